"""A node that held a position, was killed and started again has the books that the venue has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Start
from tests.integration.books import holder, persisted, reported, settled
from tests.integration.markets import BINANCE_SPOT, BYBIT_SPOT, LINEAR, USD_M, Market
from tests.redis_server import RedisServer
from tests.venue.handle import Venue


@pytest.mark.parametrize(
    "market, side, held",
    [
        (USD_M, "BUY", "LONG"),
        (USD_M, "SELL", "SHORT"),
        (LINEAR, "BUY", "LONG"),
        (LINEAR, "SELL", "SHORT"),
        (BINANCE_SPOT, "BUY", "LONG"),
        (BYBIT_SPOT, "BUY", "LONG"),
    ],
    ids=lambda value: value.instrument_id if isinstance(value, Market) else str(value),
)
def test_position_survives_kill_and_restart(
    market: Market,
    side: str,
    held: str,
    start: Start,
    testnet: dict[str, str],
    venue: Venue,
    redis: RedisServer,
    tmp_path: Path,
) -> None:
    """The same side and size under the same strategy, the resting order still its own, and nothing traded meanwhile."""
    environ = market.environ(testnet, venue)
    strategy = holder(tmp_path, market.instrument_id, side=side, rest=True)
    first = start("run", "-p", "testnet", *strategy, environ=environ, folder="first")
    before = first.wait_for(reported(tmp_path, settled))
    first.wait_for(persisted(redis, environ["NAUTILUS_TRADER_ID"], market.order_events))
    venue_before = venue.orders(market.books), venue.positions(market.books)
    first.kill()
    (tmp_path / "report.json").unlink()

    second = start("run", "-p", "testnet", *strategy, environ=environ, folder="second")
    second.wait_for("ready ")
    after = second.wait_for(reported(tmp_path, lambda books: books["quotes"] > 3))

    assert [["Holder-000", held]] == [row[:2] for row in before["positions"]]
    assert before["positions"] == after["positions"]
    assert before["net"] == after["net"] != "0"
    assert before["orders"] == after["orders"]
    assert venue_before == (venue.orders(market.books), venue.positions(market.books))
    assert 0 == second.stop()


@pytest.mark.parametrize("market", [USD_M, LINEAR], ids=lambda market: market.instrument_id)
def test_order_that_was_filled_while_the_node_was_down_is_found(
    market: Market, start: Start, testnet: dict[str, str], venue: Venue, redis: RedisServer, tmp_path: Path
) -> None:
    """The resting order is FILLED after the restart, under its own strategy, and the position has grown by it."""
    environ = market.environ(testnet, venue)
    strategy = holder(tmp_path, market.instrument_id, rest=True)
    first = start("run", "-p", "testnet", *strategy, environ=environ, folder="first")
    first.wait_for(reported(tmp_path, settled))
    first.wait_for(persisted(redis, environ["NAUTILUS_TRADER_ID"], market.order_events))
    first.kill()
    (tmp_path / "report.json").unlink()
    (resting,) = (order for order in venue.orders(market.books) if order["status"] == "NEW")
    venue.fill(resting["client_order_id"])

    second = start("run", "-p", "testnet", *strategy, environ=environ, folder="second")
    second.wait_for("ready ")
    after = second.wait_for(reported(tmp_path, lambda books: books["quotes"] > 3))
    assert ["FILLED", "FILLED"] == [order[2] for order in after["orders"]]
    assert [["Holder-000", "LONG", "0.020"]] == [[*row[:2], f"{float(row[2]):.3f}"] for row in after["positions"]]


def test_state_is_loaded_after_a_clean_stop(
    start: Start, testnet: dict[str, str], venue: Venue, tmp_path: Path
) -> None:
    """What a strategy saved at the stop is there before it starts again, so that it does not open twice."""
    environ = USD_M.environ(testnet, venue)
    strategy = holder(tmp_path, USD_M.instrument_id)
    first = start("run", "-p", "testnet", *strategy, environ=environ, folder="first")
    first.wait_for(reported(tmp_path, lambda books: books["positions"]))
    assert 0 == first.stop()
    (tmp_path / "report.json").unlink()

    second = start("run", "-p", "testnet", *strategy, environ=environ, folder="second")
    after = second.wait_for(reported(tmp_path, lambda books: True))
    assert after["loaded"]
    assert 1 == len(after["positions"])
    assert 1 == len(venue.orders(USD_M.books))
