"""Strategies that integration tests load with ``tradingnode run --strategy``."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy


class HolderConfig(StrategyConfig, frozen=True):
    """Configuration of :class:`Holder`: what to hold, how much, whether to rest an order, and where to report."""

    instrument_id: InstrumentId
    quantity: Decimal
    report: str
    side: str = "BUY"
    rest: bool = False
    cancel: bool = False


class Holder(Strategy):
    """Opens a position if its orders never did, holds it, and reports what the books say ten times a second."""

    def __init__(self, config: HolderConfig) -> None:
        super().__init__(config)
        self.opened = False
        self.quotes = 0

    def on_save(self) -> dict[str, bytes]:
        """Keep what must not be done twice."""
        return {"opened": b"1" if self.opened else b"0"}

    def on_load(self, state: dict[str, bytes]) -> None:
        """Take up what was kept."""
        self.opened = state.get("opened") == b"1"

    def on_start(self) -> None:
        """Begin to look and to report."""
        self.subscribe_quote_ticks(self.config.instrument_id)
        self.clock.set_timer("report", timedelta(milliseconds=100), callback=lambda _: self._report())

    def on_quote_tick(self, tick: QuoteTick) -> None:
        """Open once: not when this strategy has traded before, in this run or an earlier one."""
        self.quotes += 1
        if self.opened or self.cache.orders(strategy_id=self.id):
            return
        self.opened = True
        instrument = self.cache.instrument(self.config.instrument_id)
        quantity = instrument.make_qty(self.config.quantity)
        side = OrderSide[self.config.side]
        self.submit_order(self.order_factory.market(self.config.instrument_id, side, quantity))
        if self.config.rest:
            price = instrument.make_price(tick.bid_price.as_decimal() * Decimal("0.9"))
            self.submit_order(self.order_factory.limit(self.config.instrument_id, OrderSide.BUY, quantity, price))

    def on_stop(self) -> None:
        """Cancel, if that is wanted."""
        if self.config.cancel:
            self.cancel_all_orders(self.config.instrument_id)

    def _report(self) -> None:
        path = Path(self.config.report)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(self._books()))
        part.replace(path)

    def _books(self) -> dict[str, Any]:
        instrument_id = self.config.instrument_id
        return {
            "quotes": self.quotes,
            "loaded": self.opened,
            "net": str(self.portfolio.net_position(instrument_id)),
            "positions": [
                [str(position.strategy_id), position.side.name, str(position.quantity)]
                for position in self.cache.positions_open(instrument_id=instrument_id)
            ],
            "orders": [
                [str(order.strategy_id), order.type_string(), order.status_string()]
                for order in self.cache.orders(instrument_id=instrument_id)
            ],
        }


class RaisesConfig(StrategyConfig, frozen=True):
    """Configuration of :class:`Raises`: where to raise, and what text."""

    where: str
    text: str = "as the test asked"
    instrument_id: InstrumentId = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")


class Raises(Strategy):
    """Raises in the callback that its configuration names."""

    def on_start(self) -> None:
        """Raise here, or begin to look."""
        self.subscribe_quote_ticks(self.config.instrument_id)
        self._raise("on_start")

    def on_quote_tick(self, tick: QuoteTick) -> None:
        """Raise here, or ask for the end."""
        self._raise("on_quote_tick")
        if self.config.where == "shutdown":
            self.shutdown_system("the strategy is done")

    def on_stop(self) -> None:
        """Raise here, block the loop, or leave."""
        self._raise("on_stop")
        while self.config.where == "blocks":
            time.sleep(0.05)

    def on_save(self) -> dict[str, bytes]:
        """Raise here, or keep nothing."""
        self._raise("on_save")
        return {}

    def _raise(self, where: str) -> None:
        if self.config.where == where:
            raise ValueError(self.config.text)
