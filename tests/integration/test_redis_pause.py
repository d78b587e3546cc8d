"""Redis stands still under order flow (SIGSTOP), goes on, and the node is killed: what the exchange acknowledged is there."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from redis import Redis

from tests.soak import TRADER_ID, Kill, Restart, Soak

# Until the writes that wait in the node are in Redis: it writes ten times a second.
QUIET_SECS = 1.0
LONG = pytest.mark.skipif("SOAK" not in os.environ, reason="SOAK=1 takes the time")
TRADES = Kill("trading", 0, seed=1)


@pytest.mark.parametrize(
    "seconds, on_redis_loss",
    [
        (2.5, "halt"),  # from 2 s on the node takes no new risk; cancels and what reduces a position go on
        pytest.param(1, "halt", marks=LONG),
        pytest.param(10, "halt", marks=LONG),
        pytest.param(10, "warn", marks=LONG),
        pytest.param(60, "warn", marks=LONG),
    ],
)
def test_nothing_that_was_acknowledged_is_lost(seconds: float, on_redis_loss: str, tmp_path: Path) -> None:
    """Every order that the exchange took is in Redis, and after a restart in the cache under its own strategy."""
    with Soak(tmp_path, seed=1, environ={"NAUTILUS_ON_REDIS_LOSS": on_redis_loss}) as soak:
        soak.tell(TRADES, trade=True)
        with soak.start(0) as node:
            soak.wait_until_ready(node)
            time.sleep(0.7)
            soak.redis.pause()
            before = soak.look()
            time.sleep(seconds)
            after = soak.look()
            soak.redis.resume()
            time.sleep(0.5)
            soak.tell(None, trade=False)
            time.sleep(QUIET_SECS)
            node.kill()
        exchange = soak.look()
        acknowledged = {*exchange.open, *exchange.closed}
        with Redis(port=soak.redis.port, password=soak.environ["REDIS_PASSWORD"], decode_responses=True) as client:
            stored = {key.rpartition(":")[2] for key in client.scan_iter(f"trader-{TRADER_ID}:orders:*")}

        with soak.start(1) as node:
            soak.wait_until_ready(node)
            books = soak.compare(node, Restart(1, None), exchange)
            assert 0 == node.stop()
    assert len(before.asked) < len(after.asked)  # it traded while Redis stood still
    assert acknowledged <= stored
    assert dict.fromkeys(acknowledged, "Churn-000") == {name: books["known"].get(name) for name in acknowledged}
