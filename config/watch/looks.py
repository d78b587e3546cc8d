"""What is looked at once a second while a node runs, and what follows from it."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from nautilus_trader.common.component import Logger

from config.live.changes import Changes
from config.live.runner import Running
from config.models import TradingNodeSettings
from config.preflight.disk import judge_room, places_by_disk
from config.problems import Problem

EVERY_SECS = 1.0
DISK_EVERY_SECS = 10.0
# States that follow upon RUNNING: a strategy may stop itself before anybody looks.
PAST = frozenset({"STOPPING", "STOPPED", "DEGRADING", "DEGRADED", "FAULTING", "FAULTED"})
# Longer than any garbage collection, shorter than what makes a health check fail.
STALLED_SECS = 3.0


class Look(NamedTuple):
    """Something to look at.

    Parameters
    ----------
    see : callable
        Takes the seconds of a monotonic clock; returns what is wrong, a sentence by a short name such as ``disk``. Cheap: it is
        called on the event loop.
    restricts : bool
        Whether what it sees keeps the node from taking new risk; otherwise it is told only.

    """

    see: Callable[[float], Mapping[str, str]]
    restricts: bool


async def watch(running: Running, looks: Sequence[Look], changes: Changes, *, every: float = EVERY_SECS) -> None:
    """Look once a second until cancelled: one line in the log, one count, and the restriction, for each change."""
    log = Logger("Watch")
    seen: list[Mapping[str, str]] = [{} for _ in looks]
    while True:
        await asyncio.sleep(every)
        if not running.was_ready():
            continue
        for index, look in enumerate(looks):
            found = look.see(time.monotonic())
            for reason in [name for name in seen[index] if name not in found]:
                changes.count(reason, "over")
                if look.restricts:
                    running.restriction.lift(reason)
                else:
                    log.info(f"{reason}: over")
            for reason, sentence in found.items():
                if reason not in seen[index]:
                    changes.count(reason, "begun")
                    if not look.restricts:
                        log.warning(f"{reason}: {sentence}")
                if look.restricts:
                    running.restriction.restrict(reason, sentence)
            seen[index] = found


async def keep_seeing(see: Callable[[float], None], *, every: float) -> None:
    """See until cancelled what lasts too short for a look once a second; ``see`` takes the seconds of a monotonic clock."""
    while True:
        see(time.monotonic())
        await asyncio.sleep(every)


def strategies_look(running: Running) -> Look:
    """Return a look at strategies that ran and do not run any more: nobody tends their orders."""
    ran: set[str] = set()

    def see(_now: float) -> Mapping[str, str]:
        strategies = running.node.trader.strategies()
        ran.update(str(strategy.id) for strategy in strategies if strategy.is_running or strategy.state.name in PAST)
        return {
            f"strategy {strategy.id}": f"{strategy.id} is {strategy.state.name}, not RUNNING; nobody tends its orders"
            for strategy in strategies
            if str(strategy.id) in ran and not strategy.is_running
        }

    return Look(see, restricts=False)


def disk_look(settings: TradingNodeSettings) -> Look:
    """Return a look, every ten seconds, at the disks that the node writes to; the judgement is the preflight's."""
    disks = places_by_disk(settings)
    last: tuple[float, Mapping[str, str]] = (-DISK_EVERY_SECS, {})

    def see(now: float) -> Mapping[str, str]:
        nonlocal last
        if now - last[0] >= DISK_EVERY_SECS:
            last = now, dict(_full(disks))
        return last[1]

    return Look(see, restricts=False)


def _full(disks: Sequence[Sequence[tuple[str, Path]]]) -> Mapping[str, str]:
    found = {}
    for places in disks:
        try:
            usage = shutil.disk_usage(places[0][1])
        except OSError as error:
            found["disk"] = f"{places[0][1]} cannot be looked at: {(error.strerror or type(error).__name__).lower()}"
            continue
        verdict = judge_room(usage.total, usage.free, places)
        if isinstance(verdict, Problem):
            found["disk"] = f"{verdict.message}; {verdict.fix}"
    return found
