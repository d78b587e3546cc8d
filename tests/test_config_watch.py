"""What is looked at once a second: each change is told once, counted once, and restricts or does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config.live.changes import Changes
from config.models import TradingNodeSettings
from config.preflight import disk as preflight_disk
from config.watch.looks import Look, disk_look, strategies_look, watch
from config.watch.loop import LoopWatch


class Recorded:
    """Stands where a node's restriction does, and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    def restrict(self, reason: str, sentence: str) -> None:
        self.told.append(("restrict", reason, sentence))

    def lift(self, reason: str) -> None:
        self.told.append(("lift", reason))


def looked(looks: list[Look], turns: int, *, ready: bool = True) -> tuple[Recorded, Changes]:
    restriction, changes = Recorded(), Changes()
    running: Any = SimpleNamespace(restriction=restriction, was_ready=lambda: ready)

    async def run() -> None:
        watching = asyncio.create_task(watch(running, looks, changes, every=0.01))
        await asyncio.sleep(0.01 * turns + 0.3)
        watching.cancel()

    asyncio.run(run())
    return restriction, changes


def sees(*answers: Mapping[str, str]) -> Any:
    """Return a function that gives one answer after the other, and the last one from then on."""
    left = list(answers)
    return lambda _now: left.pop(0) if len(left) > 1 else left[0]


def test_a_change_restricts_is_told_on_and_is_lifted() -> None:
    look = Look(sees({}, {"venue X": "for 31 s"}, {"venue X": "for 32 s"}, {}), restricts=True)
    restriction, changes = looked([look], 4)
    assert [("restrict", "venue X", "for 31 s"), ("restrict", "venue X", "for 32 s"), ("lift", "venue X")] == (
        restriction.told
    )
    assert {("venue X", "begun"): 1, ("venue X", "over"): 1} == dict(changes.totals)


def test_what_does_not_restrict_is_counted_only() -> None:
    restriction, changes = looked([Look(sees({"disk": "full"}, {}), restricts=False)], 2)
    assert [] == restriction.told
    assert {("disk", "begun"): 1, ("disk", "over"): 1} == dict(changes.totals)


def test_nothing_is_looked_at_before_the_node_is_ready() -> None:
    restriction, changes = looked([Look(sees({"disk": "full"}), restricts=True)], 2, ready=False)
    assert ([], {}) == (restriction.told, dict(changes.totals))


def test_a_strategy_that_ran_and_does_not_is_told_and_one_that_never_ran_is_not() -> None:
    def strategy(name: str, state: str) -> Any:
        return SimpleNamespace(id=name, is_running=state == "RUNNING", state=SimpleNamespace(name=state))

    strategies = [strategy("A-001", "RUNNING"), strategy("B-002", "READY")]
    running: Any = SimpleNamespace(node=SimpleNamespace(trader=SimpleNamespace(strategies=lambda: strategies)))
    look = strategies_look(running)
    assert {} == look.see(0.0)
    strategies[:] = [strategy("A-001", "STOPPED"), strategy("B-002", "READY"), strategy("C-003", "STOPPED")]
    assert ["strategy A-001", "strategy C-003"] == list(look.see(1.0))


def test_a_disk_that_fills_up_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TradingNodeSettings(trader_id="TRADER-001", state_dir=tmp_path)
    assert {} == disk_look(settings).see(0.0) or "free" in str(disk_look(settings).see(0.0))
    monkeypatch.setattr(preflight_disk, "LEAST_FREE", 2**62)
    look = disk_look(settings)
    assert "free" in look.see(0.0)["disk"]
    monkeypatch.setattr(preflight_disk, "LEAST_FREE", 0)
    monkeypatch.setattr(preflight_disk, "LITTLE_FREE", 0)
    monkeypatch.setattr(preflight_disk, "LITTLE_SHARE", 0)
    assert "disk" in look.see(5.0)  # ten seconds are not over
    assert {} == look.see(11.0)


def test_a_loop_that_stands_still_is_told_with_its_place_and_again_when_it_turns() -> None:
    told: list[tuple[bool, str]] = []

    async def run() -> None:
        with LoopWatch(lambda stalled, text: told.append((stalled, text)), stalled_secs=0.2) as looking:
            beating = asyncio.create_task(looking.beat())
            await asyncio.sleep(0.1)
            waits_where_it_must_not()
            await asyncio.sleep(0.3)
            beating.cancel()

    asyncio.run(run())
    assert [True, False] == [stalled for stalled, _ in told]
    assert "waits_where_it_must_not" in told[0][1]


def waits_where_it_must_not() -> None:
    until = time.monotonic() + 1
    while time.monotonic() < until:
        pass
