"""Bybit's word that it has an order counts though the node's event loop was busy when it came."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from tests.forked import run_forked
from tests.integration.markets import BYBIT_SPOT, LINEAR, Market
from tests.integration.test_restriction import BUY, Desk, environ_of, on_node
from tests.venue.handle import Venue

# A turn of the loop that lasts far longer than the exchange takes, and more of them than an order needs to leave the node.
TURN_SECS = 0.05
TURNS = 12


async def overtaken(desk: Desk) -> Any:
    loop = asyncio.get_running_loop()

    def busy(left: int) -> None:
        time.sleep(TURN_SECS)
        if left:
            loop.call_soon(busy, left - 1)

    order = desk.make(BUY, "0.01", "40000")
    desk.hands[0].submit_order(order)
    busy(TURNS)
    status = await desk.settled(order)
    return status, [kind for kind, name, _ in desk.hands[0].told if name == str(order.client_order_id)]


@pytest.mark.parametrize("market", [LINEAR, BYBIT_SPOT], ids=lambda market: market.product)
def test_acceptance_that_overtakes_the_submission_is_not_lost(market: Market, venue: Venue, tmp_path: Path) -> None:
    # Nautilus' check of orders in flight, which would mend it after seconds, does not run in time.
    late = {"NAUTILUS_RECONCILIATION_STARTUP_DELAY_SECS": "60"}
    environ = market.environ(environ_of(venue, tmp_path), venue) | late
    status, told = run_forked(on_node, overtaken, environ, (market.instrument_id,), venue.port)
    assert "ACCEPTED" == status
    assert ["OrderInitialized", "OrderSubmitted", "OrderAccepted"] == told
