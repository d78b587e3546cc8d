"""A real server: what a node writes is found under Nautilus' documented keys, and user and password are really used."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis

from config.models import RedisConfig, TradingNodeSettings
from config.preflight.redis import check_redis
from config.preflight.steps import problems_of
from config.problems import Problem
from tests.conftest import CANARIES, Start
from tests.integration.books import client, holder, persisted, reported
from tests.redis_server import RedisServer, free_port
from tests.venue.handle import Venue

PASSWORD = CANARIES["REDIS_PASSWORD"]


def config(server: RedisServer, **fields: object) -> RedisConfig:
    return RedisConfig.model_validate({"host": "127.0.0.1", "port": server.port, **fields})


def checked(server: RedisConfig) -> tuple[Problem, ...]:
    return problems_of(
        check_redis(server, TradingNodeSettings(trader_id="PROBE-001", venues=("BINANCE",), redis=server))
    )


def test_password_is_used(redis: RedisServer) -> None:
    """The right one passes, a wrong or a missing one is refused with exit code 6 and never shown."""
    assert () == checked(config(redis, password=PASSWORD))
    for password in ("wrong-password", None):
        (problem,) = checked(config(redis, password=password))
        assert 6 == problem.exit_code
        assert f"127.0.0.1:{redis.port} refuses the default user" in problem.message
        assert "wrong-password" not in str(problem)


def test_username_is_used() -> None:
    """An ACL user gets in with its name and password; the default user does not."""
    with RedisServer(username="trader", password=PASSWORD) as server:
        assert () == checked(config(server, username="trader", password=PASSWORD))
        (problem,) = checked(config(server, username="trader", password="wrong-password"))
        assert "refuses user 'trader'" in problem.message
        (problem,) = checked(config(server, password=PASSWORD))
        assert 6 == problem.exit_code


def test_closed_port_is_told_at_once_with_host_and_port() -> None:
    port = free_port()
    began = time.monotonic()
    (problem,) = checked(RedisConfig(host="127.0.0.1", port=port))
    assert time.monotonic() - began < 5
    assert 6 == problem.exit_code
    assert f"127.0.0.1:{port} cannot be reached" in problem.message


def test_tls_to_a_plain_port_does_not_hang(redis: RedisServer) -> None:
    """Nautilus hangs on it for more than 20 s."""
    began = time.monotonic()
    (problem,) = checked(config(redis, password=PASSWORD, ssl=True, timeout=1))
    assert time.monotonic() - began < 5
    assert 6 == problem.exit_code
    assert "REDIS_SSL=false" in problem.fix


def test_frozen_server_is_told_within_its_timeout() -> None:
    with RedisServer(password=PASSWORD) as server:
        import os

        os.kill(server.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            (problem,) = checked(config(server, password=SecretStr(PASSWORD), timeout=1))
            assert time.monotonic() - began < 5
            assert 6 == problem.exit_code
        finally:
            os.kill(server.pid, signal.SIGCONT)


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"REDIS_PASSWORD": "canary-wrong-password"}, "refuses the default user"),
        ({"REDIS_PORT": "closed"}, "cannot be reached"),
    ],
)
def test_run_gives_up_with_6_before_it_imports_nautilus(
    changed: dict[str, str], told: str, start: Start, testnet: dict[str, str], venue: Venue
) -> None:
    """In under 5 s, naming host and port, and without a word to the venue."""
    port = str(free_port())
    environ = {**testnet, **{name: port if value == "closed" else value for name, value in changed.items()}}
    node = start("run", "-p", "testnet", environ=environ)
    assert 6 == node.wait(timeout=5)
    assert told in node.stderr
    assert f"127.0.0.1:{environ['REDIS_PORT']}" in node.stderr
    assert {} == venue.counts()
    assert not any(secret in node.stderr + node.stdout for secret in (*CANARIES.values(), "canary-wrong-password"))


def test_node_writes_the_documented_keys_and_the_next_one_reads_them(
    start: Start, testnet: dict[str, str], redis: RedisServer, tmp_path: Path
) -> None:
    """Accounts, instruments, currencies, orders, positions and indexes; a second node of the same trader loads them."""
    trader_id = testnet["NAUTILUS_TRADER_ID"]
    environ = {**testnet, "NAUTILUS_VENUES": "BINANCE"}
    strategy = holder(tmp_path, "BTCUSDT-PERP.BINANCE")
    first = start("run", "-p", "testnet", *strategy, environ=environ, folder="first")
    first.wait_for(reported(tmp_path, lambda books: books["positions"]))
    first.wait_for(persisted(redis, trader_id, 4))
    assert 0 == first.stop()

    with client(redis) as server:
        keys = {key.removeprefix(f"trader-{trader_id}:") for key in server.scan_iter(f"trader-{trader_id}:*")}
        foreign = [key for key in server.scan_iter("*") if not key.startswith(("trader-", "tradingnode:"))]
    kinds = {key.partition(":")[0] for key in keys}
    assert {"accounts", "instruments", "currencies", "orders", "positions", "index", "strategies"} <= kinds
    assert "instruments:BTCUSDT-PERP.BINANCE" in keys
    assert any(key.startswith("orders:O-") for key in keys)
    assert [] == foreign

    second = start("run", "-p", "testnet", *strategy, environ=environ, folder="second")
    second.wait_for("ready ")
    assert 0 == second.stop()
    loaded = [line for line in second.stdout.splitlines() if "Cached" in line and "from database" in line]
    assert any("Cached 1 order from database" in line for line in loaded), loaded
    assert any("Cached 1 position from database" in line for line in loaded), loaded


def test_node_authenticates_with_username_and_password(start: Start, testnet: dict[str, str]) -> None:
    """Nautilus' own Redis client gets them too: the node is ready on a server that has no default user."""
    with RedisServer(username="trader", password=PASSWORD) as server:
        environ = {**testnet, **server.environ, "REDIS_USERNAME": "trader", "NAUTILUS_VENUES": "BINANCE"}
        node = start("run", "-p", "testnet", environ=environ)
        node.wait_for("ready ")
        assert 0 == node.stop()


def test_server_that_takes_no_writes_is_refused(start: Start, testnet: dict[str, str]) -> None:
    """A read-only replica answers PING; a node on it would keep nothing, without a word."""
    with RedisServer() as server, Redis(port=server.port) as admin:
        admin.replicaof("127.0.0.1", str(free_port()))
        node = start("run", "-p", "testnet", environ={**testnet, **server.environ, "REDIS_PASSWORD": ""})
        assert 6 == node.wait(timeout=10)
        assert "read-only replica" in node.stderr


def test_books_of_one_environment_are_never_loaded_into_another(
    start: Start, testnet: dict[str, str], venue: Venue, redis: RedisServer
) -> None:
    """Testnet, paper and real money under one trader id would share their keys in Redis."""
    with client(redis) as server:
        server.hset(f"tradingnode:books:{testnet['NAUTILUS_TRADER_ID']}", "BINANCE", "LIVE")
    node = start("run", "-p", "testnet", environ=testnet)
    assert 8 == node.wait(timeout=10)
    assert "holds saved orders and positions of" in node.stderr
    assert "on BINANCE LIVE; this node would run on TESTNET" in node.stderr
    assert {} == venue.counts()
