"""The beats of a node come from its own event loop: while that runs others see it live, and when it is stuck they see that."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from config.health.heartbeat import Condition, keep_beating
from config.health.readiness_file import ReadinessFile, judge, read
from config.health.sd_notify import notify

ROOT = Path(__file__).parents[1]
BEAT = 0.02


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ready.json"


def beating(
    path: Path,
    look: Callable[[], Condition],
    meanwhile: Callable[[], Awaitable[None]],
    environ: dict[str, str] | None = None,
    every: float = BEAT,
) -> None:
    """Run ``meanwhile`` on an event loop that beats."""

    async def both() -> None:
        file = ReadinessFile(path, trader_id="T-001", preset="testnet")
        task = asyncio.create_task(keep_beating(file, look, environ or {}, every=every))
        await asyncio.sleep(5 * BEAT)
        await meanwhile()
        assert not task.done()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(both())


def live(path: Path, max_age: float) -> bool:
    return judge(path, time.time(), time.monotonic(), max_age=max_age, live=True)[0]


def test_a_loop_that_is_stuck_looks_it_and_recovers_when_it_is_not(path: Path) -> None:
    async def stuck_for_a_while() -> None:
        assert live(path, 0.5)
        time.sleep(0.7)
        assert not live(path, 0.5)
        command = [sys.executable, "-m", "config.health.command", "--state-dir", str(path.parent), "--max-age", "0.5"]
        probe = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20)
        assert 7 == probe.returncode
        assert "its event loop is stuck" in probe.stdout
        await asyncio.sleep(5 * BEAT)
        assert live(path, 0.5)

    beating(path, lambda: Condition("ready", ("BINANCE",)), stuck_for_a_while)


def test_a_loop_that_runs_beats_without_writing_the_file_again(path: Path) -> None:
    async def wait() -> None:
        before = path.stat()
        await asyncio.sleep(10 * BEAT)
        after = path.stat()
        assert before.st_ino == after.st_ino
        assert before.st_mtime < after.st_mtime

    beating(path, lambda: Condition("ready"), wait)


def test_what_changes_is_in_the_file_a_beat_later(path: Path) -> None:
    now = Condition("starting", (), "execution client BYBIT is not connected")

    async def connect() -> None:
        nonlocal now
        assert ("starting", [], now.reason) == told()
        now = Condition("ready", ("BYBIT",))
        await asyncio.sleep(5 * BEAT)
        assert ("ready", ["BYBIT"], None) == told()

    def told() -> tuple[object, object, object]:
        record = read(path)[0]
        return record["state"], record["connected"], record["reason"]

    beating(path, lambda: now, connect)


def test_a_look_that_raises_is_restricted_and_hides_what_it_said(path: Path) -> None:
    def look() -> Condition:
        raise KeyError("canary")

    async def wait() -> None:
        record = read(path)[0]
        assert "restricted" == record["state"]
        assert "whether it is ready cannot be told: KeyError" == record["reason"]
        assert "canary" not in json.dumps(record)

    beating(path, look, wait)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """The service manager's socket, and the environment of a service that it watches."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        usec, pid = str(int(2 * BEAT * 1e6)), str(os.getpid())
        yield listening, {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}


def taken(listening: socket.socket) -> list[str]:
    """Return what waits in the socket's queue."""
    heard = []
    with contextlib.suppress(BlockingIOError):
        while True:
            heard.append(listening.recv(1024).decode())
    return heard


def test_the_service_manager_hears_what_changes_and_a_beat_within_its_limit(
    path: Path, manager: tuple[socket.socket, dict[str, str]]
) -> None:
    listening, environ = manager
    now = Condition("starting")
    heard = []

    async def become_ready_and_stop() -> None:
        nonlocal now
        heard.extend(taken(listening))
        for condition in (Condition("ready", ("BINANCE", "BYBIT")), Condition("stopping")):
            now = condition
            await asyncio.sleep(5 * BEAT)
            heard.extend(taken(listening))

    # Every 60 s would be enough for the file; the manager wants to hear more.
    beating(path, lambda: now, become_ready_and_stop, environ, every=60)
    told = [message for message in heard if message != "WATCHDOG=1"]
    assert ["STATUS=starting", "READY=1\nSTATUS=ready: BINANCE, BYBIT", "STOPPING=1\nSTATUS=stopping"] == told
    assert len(heard) - len(told) > 5


def test_ready_is_not_lost_when_the_service_manager_is_busy(
    path: Path, manager: tuple[socket.socket, dict[str, str]]
) -> None:
    listening, environ = manager
    while notify(environ, STATUS="its queue is full"):
        pass
    heard = []

    async def take_later() -> None:
        assert not any("READY=1" in message for message in taken(listening))
        await asyncio.sleep(5 * BEAT)
        heard.extend(taken(listening))

    beating(path, lambda: Condition("ready", ("BINANCE",)), take_later, environ)
    assert 1 == heard.count("READY=1\nSTATUS=ready: BINANCE")
