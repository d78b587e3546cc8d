"""Hands on a running node: halt, resume and flatten through its socket, by the command line, as an operator would."""

from __future__ import annotations

import json
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.live.hands import SOCKET
from tests.conftest import CANARIES, Start
from tests.forked import TradingNodeProcess
from tests.integration.books import holder, reported
from tests.venue.handle import Venue

PERPETUAL = "BTCUSDT-PERP.BINANCE"
type Do = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def one_venue(testnet: dict[str, str]) -> dict[str, str]:
    return {**testnet, "NAUTILUS_VENUES": "BINANCE"}


@pytest.fixture
def do(start: Start, one_venue: dict[str, str]) -> Do:
    """Run a command beside the node, and return its exit code and its JSON object."""

    def run(*args: str) -> tuple[int, dict[str, Any]]:
        process = start(*args, "--json", environ=one_venue, folder="hands")
        code = process.wait()
        assert "" == process.stderr
        answer: dict[str, Any] = json.loads(process.stdout)
        assert code == answer["exit_code"]
        return code, answer

    return run


def run(start: Start, environ: dict[str, str], *more: str) -> TradingNodeProcess:
    node = start("run", "-p", "testnet", *more, environ=environ)
    node.wait_for("ready ")
    return node


def test_halt_lasts_over_a_restart_until_resume(start: Start, one_venue: dict[str, str], do: Do) -> None:
    node = run(start, one_venue)
    code, answer = do("halt", "-m", "the desk asked")
    assert (0, True, {"operator": "the desk asked"}) == (
        code,
        answer["answer"]["changed"],
        answer["answer"]["restricted"],
    )
    assert (7, "restricted") == ((told := do("health"))[0], told[1]["node"]["state"])
    assert "restricted (operator): the desk asked" in node.wait_for(lambda: node.stdout)
    assert (0, False) == ((again := do("halt"))[0], again[1]["answer"]["changed"])
    node.kill()

    node = run(start, one_venue)
    assert (7, True) == ((told := do("health"))[0], "the desk asked" in told[1]["node"]["reason"])
    assert (0, {}) == ((told := do("resume"))[0], told[1]["answer"]["restricted"])
    assert 0 == do("health")[0]
    assert (0, False) == ((again := do("resume"))[0], again[1]["answer"]["changed"])
    assert 0 == node.stop()
    assert 7 == do("flatten", "--yes")[0]

    node = run(start, one_venue)
    assert 0 == do("health")[0]
    assert 0 == node.stop()


def test_a_halt_without_a_node_counts_for_the_next_one(start: Start, one_venue: dict[str, str], do: Do) -> None:
    assert 0 == do("halt")[0]
    node = run(start, one_venue)
    assert (7, "restricted") == ((told := do("health"))[0], told[1]["node"]["state"])
    assert 0 == node.stop()
    assert 0 == do("resume")[0]
    assert not (Path(one_venue["NAUTILUS_STATE_DIR"]) / "halted.json").exists()


def test_flatten_cancels_and_closes_and_stays_halted(
    start: Start, one_venue: dict[str, str], do: Do, venue: Venue, tmp_path: Path
) -> None:
    node = run(start, one_venue, *holder(tmp_path, PERPETUAL, rest=True))
    node.wait_for(
        reported(tmp_path, lambda books: books["positions"] and "ACCEPTED" in [row[2] for row in books["orders"]])
    )
    assert [] != venue.positions("binance_futures")
    code, answer = do("flatten", "--yes", "-m", "too much")
    done = answer["answer"]
    assert (0, True, 1, 1, {"operator": "too much"}) == (
        code,
        done["flat"],
        done["cancelled"],
        done["closing"],
        done["restricted"],
    )
    assert [] == venue.positions("binance_futures")
    assert [] == [order for order in venue.orders("binance_futures") if order["status"] == "NEW"]
    assert 0 == node.stop()
    assert "too much" in node.stderr.splitlines()[-2]


def test_the_socket_is_its_owners_and_bears_what_is_not_ours(
    start: Start, one_venue: dict[str, str], do: Do, tmp_path: Path
) -> None:
    deep = tmp_path / ("a" * 60) / ("b" * 60)
    one_venue["NAUTILUS_STATE_DIR"] = str(deep)
    deep.mkdir(parents=True)
    stale = socket.socket(socket.AF_UNIX)
    (tmp_path / "short").symlink_to(deep)
    stale.bind(str(tmp_path / "short" / SOCKET))
    stale.close()  # left behind, as by a run that was killed
    node = run(start, one_venue)
    assert 0o600 == stat.S_IMODE((deep / SOCKET).stat().st_mode)
    for said in (b"", b"\n", b"[]\n", b'{"command": 1}\n', b'{"command": "sell"}\n', b"x" * 100_000, b"\xff\n"):
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(10)
            asking.connect(str(tmp_path / "short" / SOCKET))
            asking.sendall(said)
            asking.shutdown(socket.SHUT_WR)
            assert b"true" not in asking.recv(4096)
    assert 0 == do("halt")[0]
    assert 0 == node.stop()
    assert not (deep / SOCKET).exists()
    assert [] == [secret for secret in CANARIES.values() if secret in node.stderr + node.stdout]


def test_a_node_that_stands_still_is_told(start: Start, one_venue: dict[str, str], do: Do) -> None:
    """Suspended, as its event loop would be by a strategy that computes."""
    node = run(start, one_venue)
    node.send(signal.SIGSTOP)
    try:
        code, answer = do("halt", "--timeout", "0.5")
    finally:
        node.send(signal.SIGCONT)
    assert (7, ["TN703"]) == (code, [problem["code"] for problem in answer["problems"]])
    assert 0 == node.stop()


def test_flatten_asks_or_says_that_it_cannot(start: Start, one_venue: dict[str, str]) -> None:
    process = start("flatten", environ=one_venue, folder="hands")
    assert 2 == process.wait()
    assert "there is no terminal to ask at, and nothing was done" in process.stderr
