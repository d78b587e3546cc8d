"""What tests share: a Redis server and an exchange, both real processes on free ports of loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random

import pytest

from tests.forked import TradingNodeProcess
from tests.key_generators import alphanumeric
from tests.redis_server import RedisServer
from tests.venue.handle import Venue

type Start = Callable[..., TradingNodeProcess]

# Secrets that must be seen nowhere; a test fails if any of them is in a file or an output. Keys have the exchanges' shapes, so
# that nothing is said about them.
CANARIES = {
    "BINANCE_FUTURES_TESTNET_API_KEY": alphanumeric(Random("binance key"), 64),
    "BINANCE_FUTURES_TESTNET_API_SECRET": alphanumeric(Random("binance secret"), 64),
    "BYBIT_TESTNET_API_KEY": alphanumeric(Random("bybit key"), 18),
    "BYBIT_TESTNET_API_SECRET": alphanumeric(Random("bybit secret"), 36),
    "REDIS_PASSWORD": "canary-redis-password-e2f4",
}


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """One server with a password for the whole run: tests keep apart by their trader ids."""
    with RedisServer(password=CANARIES["REDIS_PASSWORD"]) as server:
        yield server


@pytest.fixture
def venue() -> Iterator[Venue]:
    """An exchange with empty books."""
    with Venue.start() as started:
        yield started


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start ``tradingnode ARGS`` with an environment; whatever still runs at the end is killed."""
    started: list[TradingNodeProcess] = []

    def run(*args: str, environ: Mapping[str, str], folder: str = "node") -> TradingNodeProcess:
        process = TradingNodeProcess(args, environ, tmp_path / folder)
        started.append(process)
        return process

    yield run
    for process in started:
        with process:
            pass


@pytest.fixture
def testnet(redis: RedisServer, venue: Venue, tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    """Return the environment of a testnet node on both venues: the exchange and the Redis server of this test."""
    return {
        "NAUTILUS_TRADER_ID": f"T{abs(hash(request.node.nodeid)) % 10**8}-001",
        "NAUTILUS_STATE_DIR": str(tmp_path / "state"),
        "NAUTILUS_SECRETS_DIR": str(_made(tmp_path / "secrets")),
        "NAUTILUS_STOP_TIMEOUT": "6",
        **redis.environ,
        **venue.environ(),
        **CANARIES,
    }


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder
