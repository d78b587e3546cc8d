"""``tradingnode doctor`` looks at everything outside the process and starts nothing; ``health`` tells what a node does."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

from tests.conftest import CANARIES, Start
from tests.integration.books import client
from tests.redis_server import RedisServer, free_port
from tests.venue.handle import Venue

STEPS = ("redis.reachable", "redis.persistence", "disk.state", "disk.room", "binance.clock", "binance.key", "bybit.key")


def test_doctor_finds_nothing_wrong_and_leaves_no_trace(
    start: Start, testnet: dict[str, str], redis: RedisServer, venue: Venue
) -> None:
    doctor = start("doctor", "-p", "testnet", "--json", environ=testnet)
    assert 0 == doctor.wait(30)
    told = json.loads(doctor.stdout)
    states = {found["step"]: found["state"] for found in told["findings"]}
    assert dict.fromkeys(STEPS, "ok") == {step: states[step] for step in STEPS}
    assert "unknown" == states["binance.withdrawals"]
    assert "1.231" in told["versions"]["nautilus_trader"]
    assert not any(secret in doctor.stdout + doctor.stderr for secret in CANARIES.values())
    with client(redis) as server:
        assert [] == server.keys(f"*{testnet['NAUTILUS_TRADER_ID']}*")
    assert [] == [name for name in venue.counts() if not name.startswith("GET ") or "order" in name.lower()]


def test_doctor_tells_everything_that_is_wrong_at_once(start: Start, testnet: dict[str, str], venue: Venue) -> None:
    """A Redis that is down, a folder that is none, a key that the venue refuses: each with its fix, and the gravest code."""
    venue.misbehave("bad_key")
    environ = {**testnet, "REDIS_PORT": str(free_port()), "NAUTILUS_LOG_DIRECTORY": "/proc/nowhere"}
    doctor = start("doctor", "-p", "testnet", environ=environ)
    assert 5 == doctor.wait(30)
    for told in ("cannot be reached", "/proc/nowhere", "-2015", "10003"):
        assert told in doctor.stderr
    # The worst is told last, and after it whether a node would start.
    severities = [line.partition(":")[0] for line in doctor.stderr.splitlines() if not line.startswith(" ")]
    assert ["note", "error"] == list(dict.fromkeys(severities[:-1]))
    assert doctor.stderr.rindex("cannot be reached") < doctor.stderr.index("-2015")
    assert re.fullmatch(r"would not start: 4 errors, \d notes?, exit 5; more: .+", doctor.stderr.splitlines()[-1])
    table = [line.split() for line in doctor.stdout.splitlines()]
    assert 1 == sum("see redis.reachable" in line for line in doctor.stdout.splitlines())
    assert ["redis.reachable", "error"] in [line[:2] for line in table]
    assert ["binance.key", "error"] in [line[:2] for line in table]


def test_doctor_says_that_a_node_would_start(start: Start, testnet: dict[str, str], redis: RedisServer) -> None:
    """With what is only warned of; not where warnings count, nor without the preset that ``run`` wants."""
    with client(redis) as server:
        server.config_set("maxmemory-policy", "allkeys-lru")
        doctors = [
            start("doctor", "-p", "testnet", *strict, environ=testnet, folder=f"doctor{len(strict)}")
            for strict in ((), ("--strict",))
        ]
        assert [0, 3] == [doctor.wait(30) for doctor in doctors]
        server.config_set("maxmemory-policy", "noeviction")
    lines = [doctor.stderr.splitlines()[-1] for doctor in doctors]
    assert ["would start: 1 warning, ", "would not start: 1 warning, "] == [
        line[: line.index("1") + 11] for line in lines
    ]
    bare = {"NAUTILUS_TRADER_ID": "DOCTOR-001", "NAUTILUS_PREFLIGHT_SKIP": "venues", "NAUTILUS_VENUES": "BINANCE"}
    bare["NAUTILUS_STATE_DIR"] = testnet["NAUTILUS_STATE_DIR"]
    for preset, told in (("sandbox", "would start\n"), (None, "would start under a preset (-p)\n")):
        simulated = {} if preset else {"NAUTILUS_EXECUTION": "SIMULATED"}
        doctor = start("doctor", *(("-p", preset) if preset else ()), environ=bare | simulated, folder=str(preset))
        assert (0, told) == (doctor.wait(30), doctor.stderr)


def test_health_follows_a_node_from_start_to_kill(start: Start, testnet: dict[str, str], tmp_path: Path) -> None:
    """Not ready without a node, ready with one, stopping, gone; a node that was killed is told to have ended."""
    state = {"NAUTILUS_STATE_DIR": testnet["NAUTILUS_STATE_DIR"]}

    def health(folder: str) -> tuple[int, str]:
        process = start("health", environ=state, folder=folder)
        return process.wait(10), process.stdout

    assert 7 == health("before")[0]
    node = start("run", "-p", "testnet", environ=testnet)
    node.wait_for("ready ")
    code, line = health("while")
    assert (0, f"ready {testnet['NAUTILUS_TRADER_ID']} since ") == (code, line[: line.index("since ") + 6])
    assert "BINANCE, BYBIT" in line
    assert 0 == node.stop()
    assert not (tmp_path / "state" / "ready.json").exists()
    assert 7 == health("after")[0]

    second = start("run", "-p", "testnet", environ=testnet, folder="second")
    second.wait_for("ready ")
    os.kill(second.pid, signal.SIGKILL)
    second.wait(10)
    code, line = health("killed")
    assert (7, True) == (code, "ended" in line)
