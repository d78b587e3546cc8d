"""One fault after the other against a real engine: afterwards the node is ready and has the same orders and positions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from config.models import TradingNodeSettings
from tests.containers.fault_rows import RESTART_ENGINE, ROWS, Row, engine_restarted, hungry, ready_again, written
from tests.containers.stack import OFFLINE, Stack, with_secrets
from tests.venue.handle import Venue

pytestmark = pytest.mark.timeout(600)
GRACE_SECS = 40.0


def books(stack: Stack) -> Mapping[str, Any]:
    """Return what the exchange and the node's books hold, as far as a fault may not change it."""
    return {
        "orders": [(order["client_order_id"], order["status"]) for order in stack.orders()],
        "positions": [(position["symbol"], Decimal(position["amount"])) for position in stack.positions()],
        "stored orders": stack.stored(),
        "stored positions": stack.stored("positions"),
    }


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_row(row: Row, stack: Callable[..., Stack], tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.json"
    overlay.write_text(written(dict(row.overlay)))
    made = stack((*OFFLINE, *([overlay] if row.overlay else [])), environ=row.environ)
    hungry(made)
    made.up()
    made.until(made.holds)
    before = books(made)
    for step in row.steps:
        step(made)
    made.until(lambda: made.health().startswith("ready "))
    assert before == books(made)
    for sentence in row.told:
        assert sentence in made.logs("node"), made.logs("node")
    # With a strategy's order open: the stop is clean, and takes less than the engine gives it.
    restarts, began = made.inspect("node")["RestartCount"], time.monotonic()
    made.compose("stop", "node")
    assert time.monotonic() - began < GRACE_SECS
    assert 0 == made.exit_code("node"), made.logs("node")
    assert row.restarts <= restarts <= 5 * row.restarts
    assert before == books(made)


def test_engine_restarted(stack: Callable[..., Stack], tmp_path: Path) -> None:
    """As after a reboot of the host: nobody says `up`, and the node is back with what it had.

    The exchange must live on meanwhile, so it is a process of this host; the node shares the host's network to reach it.
    """
    if not RESTART_ENGINE:
        pytest.skip("ENGINE_RESTART is the command that restarts the engine, such as 'systemctl restart docker'")
    subnet = f"10.213.{Random(str(tmp_path)).randrange(256)}"
    overlay = tmp_path / "host.yml"
    with Venue.start() as venue:
        environ = {"NAUTILUS_VENUES": "BINANCE", "REDIS_HOST": f"{subnet}.2", **venue.environ()}
        services = {
            "redis": {"networks": {"testnet-redis": {"ipv4_address": f"{subnet}.2"}}},
            "node": {"network_mode": "host", "networks": "RESET", "environment": environ},
        }
        networks = {"testnet-redis": {"ipam": {"config": [{"subnet": f"{subnet}.0/24"}]}}}
        text = json.dumps({"services": services, "networks": networks})
        # JSON is YAML, but has no way to take something away.
        overlay.write_text(text.replace('"RESET"', "!reset []"))
        files = ("docker-compose.testnet.yml", with_secrets(tmp_path / "stack"), overlay)
        made = stack(files, venue=venue)
        made.up()
        made.until(made.holds)
        before = books(made)
        engine_restarted(made)
        ready_again(2, 180)(made)
        assert before == books(made)
        assert "\nstopped " in made.logs("node")
        made.compose("stop", "node")
        assert 0 == made.exit_code("node")


def test_grace_is_longer_than_the_time_to_stop() -> None:
    assert TradingNodeSettings.model_fields["stop_timeout"].default < GRACE_SECS
