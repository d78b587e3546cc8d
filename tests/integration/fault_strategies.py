"""Strategies that misbehave, for the fault matrix."""

from __future__ import annotations

import os
import sys
import time
from decimal import Decimal
from typing import Any

from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy


class MisfitConfig(StrategyConfig, frozen=True):
    """Configuration of :class:`Misfit`: what it does with its first quote, and with which instrument."""

    does: str
    instrument_id: InstrumentId


class Misfit(Strategy):
    """Does one thing that no strategy should do, at its first quote."""

    def __init__(self, config: MisfitConfig) -> None:
        super().__init__(config)
        self.is_done = False

    def on_start(self) -> None:
        """Begin to look."""
        self.subscribe_quote_ticks(self.config.instrument_id)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        """Do it once."""
        if not self.is_done:
            self.is_done = True
            getattr(self, self.config.does)(tick)

    def blocks(self, _tick: QuoteTick) -> None:
        """Wait on the event loop for something that never comes."""
        self.log.warning("blocks from now on")
        while True:
            time.sleep(0.05)

    def pauses(self, _tick: QuoteTick) -> None:
        """Hold the event loop for longer than anybody should."""
        time.sleep(4)

    def exits(self, _tick: QuoteTick) -> None:
        """Leave as a script does."""
        sys.exit(3)

    def stops(self, _tick: QuoteTick) -> None:
        """Stop itself, without a word to the node."""
        self.stop()

    def asks_for_the_end(self, _tick: QuoteTick) -> None:
        """End the node as Nautilus means it."""
        self.shutdown_system("the strategy is done")

    def too_precise(self, tick: QuoteTick) -> None:
        """Send an order with digits that the instrument does not have."""
        price = Price(tick.bid_price.as_decimal() * Decimal("0.9"), 9)
        self.submit_order(self._order(Quantity.from_str("0.012345678"), price))

    def _order(self, quantity: Quantity, price: Price | None) -> Any:
        instrument_id, factory = self.config.instrument_id, self.order_factory
        if price is None:
            return factory.market(instrument_id, OrderSide.BUY, quantity)
        return factory.limit(instrument_id, OrderSide.BUY, quantity, price)

    def trades(self, _tick: QuoteTick) -> None:
        """Send a good order."""
        instrument = self.cache.instrument(self.config.instrument_id)
        self.submit_order(self._order(instrument.make_qty(Decimal("0.01")), None))

    def on_order_denied(self, _event: Any) -> None:
        """Go on after a refusal: the node lives."""
        self._goes_on()

    def on_order_rejected(self, _event: Any) -> None:
        """Go on after a refusal: the node lives."""
        self._goes_on()

    def _goes_on(self) -> None:
        self.log.warning("an order was refused, and the strategy goes on")


class SentWhileBuiltConfig(StrategyConfig, frozen=True):
    """Configuration of :class:`SentWhileBuilt`: the signal."""

    number: int


class SentWhileBuilt(Strategy):
    """Sends its process a signal when it is made, which is while the node is built."""

    def __init__(self, config: SentWhileBuiltConfig) -> None:
        super().__init__(config)
        os.kill(os.getpid(), config.number)
        # Where another thread takes it, Python's handler runs here.
        time.sleep(0.2)
