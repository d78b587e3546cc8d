"""What a node's strategy says of its books, and how to ask for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from redis import Redis

from config.models import RedisConfig
from tests.conftest import CANARIES
from tests.redis_server import RedisServer

STRATEGIES = "tests.integration.strategies"


def holder(folder: Path, instrument_id: str, **fields: Any) -> tuple[str, ...]:
    """Return the arguments of ``tradingnode run`` that load Holder for one instrument, reporting into ``folder``."""
    config = folder / "holder.json"
    values = {"instrument_id": instrument_id, "quantity": "0.01", "report": str(folder / "report.json"), **fields}
    config.write_text(json.dumps(values))
    return "--strategy", f"{STRATEGIES}:Holder", "--strategy-config", str(config)


def reported(folder: Path, good: Callable[[dict[str, Any]], object]) -> Callable[[], dict[str, Any] | None]:
    """Return a function that returns the newest report if ``good`` likes it."""

    def look() -> dict[str, Any] | None:
        path = folder / "report.json"
        if not path.exists():
            return None
        books: dict[str, Any] = json.loads(path.read_text())
        return books if good(books) else None

    return look


def client(server: RedisServer) -> Any:
    """Return a client of the session's server."""
    return Redis(port=server.port, password=CANARIES["REDIS_PASSWORD"], decode_responses=True)


def persisted(server: RedisServer, trader_id: str, events: int) -> Callable[[], bool]:
    """Return a function that tells whether Redis holds so many order events: the node writes them with a delay of 100 ms."""

    def look() -> bool:
        with client(server) as redis:
            keys = list(redis.scan_iter(f"trader-{trader_id}:orders:*"))
            return bool(sum(redis.llen(key) for key in keys) >= events)

    return look


def config_of(server: RedisServer) -> RedisConfig:
    """Return how a node reaches the server."""
    return RedisConfig(host="127.0.0.1", port=server.port, password=SecretStr(CANARIES["REDIS_PASSWORD"]), timeout=1)


def settled(books: dict[str, Any]) -> bool:
    """Whether the market order is filled and the limit order rests."""
    return bool(books["positions"]) and ["FILLED", "ACCEPTED"] == [order[2] for order in books["orders"]]
