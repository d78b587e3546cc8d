"""systemd's notify protocol, against a real datagram socket as the service manager has one."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.health.sd_notify import notify, watchdog_interval


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """The service manager's socket, and the environment that names it."""
    if request.param == "abstract" and not Path("/proc/self").exists():
        pytest.skip("abstract sockets are Linux' own")
    name = str(tmp_path / "notify") if request.param == "path" else f"@tradingnode-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0", 1))
        listening.settimeout(2)
        yield listening, {"NOTIFY_SOCKET": name}


def test_the_manager_gets_the_fields_one_a_line(manager: tuple[socket.socket, dict[str, str]]) -> None:
    listening, environ = manager
    assert notify(environ, READY=1, STATUS="BINANCE, BYBIT")
    assert b"READY=1\nSTATUS=BINANCE, BYBIT" == listening.recv(1024)


def test_a_value_cannot_bring_in_another_field(manager: tuple[socket.socket, dict[str, str]]) -> None:
    listening, environ = manager
    assert notify(environ, STATUS="down\nREADY=1\r\nMAINPID=1")
    assert b"STATUS=down READY=1 MAINPID=1" == listening.recv(1024)


def test_a_full_queue_is_told_and_never_waited_for(manager: tuple[socket.socket, dict[str, str]]) -> None:
    _, environ = manager
    assert notify(environ, WATCHDOG=1)
    while notify(environ, WATCHDOG=1):
        pass
    started = time.monotonic()
    assert not notify(environ, WATCHDOG=1)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    "address", ["", "/nowhere/notify", "vsock:2:1234", "relative", "/" + 200 * "x", "@nobody-listens", "/nul\0byte"]
)
def test_without_a_manager_nothing_is_sent_and_nothing_raised(address: str) -> None:
    assert not notify({"NOTIFY_SOCKET": address}, READY=1)


def test_without_the_variable_nothing_is_sent() -> None:
    assert not notify({}, READY=1)


@pytest.mark.parametrize(
    "environ, expected",
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.25),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "1_000"}, None),
        ({"WATCHDOG_USEC": 5000 * "9"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_at_half_its_limit(environ: dict[str, str], expected: float | None) -> None:
    assert expected == watchdog_interval(environ)
