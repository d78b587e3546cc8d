"""What strategies send while they start leaves the node when it is ready, and never if it does not become so."""

from __future__ import annotations

import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

from tests.forked import run_forked
from tests.integration.markets import LINEAR, USD_M, Market
from tests.venue.handle import Venue


class EagerConfig(StrategyConfig, frozen=True):
    """Configuration of :class:`Eager`: what to buy, and whether to fail then."""

    instrument_id: InstrumentId
    fails: bool


class Eager(Strategy):
    """Buys when it starts, and asks for the end when that is done."""

    def __init__(self, config: EagerConfig) -> None:
        super().__init__(config)
        self.told: list[str] = []

    def on_start(self) -> None:
        """Buy at once, and cancel what rests."""
        instrument = self.cache.instrument(self.config.instrument_id)
        quantity = instrument.make_qty(Decimal("0.01"))
        resting = self.order_factory.limit(
            instrument.id, OrderSide.BUY, quantity, instrument.make_price(Decimal(40_000))
        )
        self.submit_order(self.order_factory.market(instrument.id, OrderSide.BUY, quantity))
        self.submit_order(resting)
        if self.config.fails:
            raise ValueError("as the test asked")

    def on_order_event(self, event: Any) -> None:
        """Keep what is told."""
        self.told.append(type(event).__name__)
        states = {order.status_string() for order in self.cache.orders(strategy_id=self.id)}
        if states == {"FILLED", "ACCEPTED"}:
            self.shutdown_system("bought")


def eager(environ: Mapping[str, str], instrument_id: str, fails: bool) -> Any:
    """Return the exit code, the states of the orders when the node was ready and at the end, and what the strategy was told."""
    from config.factory import TradingNodeConfigFactory
    from config.live.runner import Deadlines, run_node
    from config.models import TradingNodeSettings
    from config.problems import ConfigError

    os.chdir(environ["HOME"])
    config = TradingNodeConfigFactory.from_settings(TradingNodeSettings.from_env(None, environ, preset="testnet"))
    strategy = Eager(EagerConfig(instrument_id=InstrumentId.from_str(instrument_id), fails=fails))
    seen: list[list[str]] = []

    def look(node: Any, _: object) -> None:
        seen.append(sorted(order.status_string() for order in node.cache.orders()))

    try:
        run_node(config, Deadlines(20, 10), [strategy], on_ready=look, on_end=look)
    except ConfigError as error:
        return error.exit_code, seen, strategy.told
    return 0, seen, strategy.told


@pytest.fixture
def environ(testnet: dict[str, str]) -> dict[str, str]:
    return {**testnet, "HOME": str(Path(testnet["NAUTILUS_STATE_DIR"]).parent), "NAUTILUS_LOG_LEVEL": "OFF"}


@pytest.mark.parametrize("market", [USD_M, LINEAR], ids=lambda market: market.name)
def test_orders_of_on_start_wait_until_the_node_is_ready(market: Market, environ: dict[str, str], venue: Venue) -> None:
    code, seen, told = run_forked(eager, market.environ(environ, venue), market.instrument_id, False)
    assert 0 == code
    assert [["INITIALIZED", "INITIALIZED"], ["ACCEPTED", "FILLED"]] == seen
    assert "OrderDenied" not in told
    assert 2 == len(venue.orders(market.books))


def test_orders_of_a_start_that_fails_are_denied(environ: dict[str, str], venue: Venue) -> None:
    code, seen, _ = run_forked(eager, USD_M.environ(environ, venue), USD_M.instrument_id, True)
    assert 9 == code
    assert [["DENIED", "DENIED"]] == seen
    assert [] == venue.orders(USD_M.books)
