"""A strategy that answers every other quote with an order, or only waits, and tells what its process took meanwhile."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

# After the start, until everything that a start leaves to do is done.
SETTLED_SECS = 1.0


class AnswererConfig(StrategyConfig, frozen=True):
    """For how long, what it answers (nothing: it waits), and the file for what it found."""

    seconds: float
    report: str
    instrument_ids: tuple[InstrumentId, ...] = ()


class Answerer(Strategy):
    """Sends orders that the exchange ends at once: nothing rests, nothing is filled."""

    def __init__(self, config: AnswererConfig) -> None:
        super().__init__(config)
        self.quotes: Counter[InstrumentId] = Counter()

    def on_start(self) -> None:
        self.clock.set_time_alert("begin", self._in(SETTLED_SECS), callback=lambda _: self._begin())

    def _in(self, seconds: float) -> Any:
        return self.clock.utc_now() + timedelta(seconds=seconds)

    def _begin(self) -> None:
        self.cpu, self.wall = time.process_time(), time.perf_counter()
        for instrument_id in self.config.instrument_ids:
            self.subscribe_quote_ticks(instrument_id)
        self.clock.set_time_alert("end", self._in(self.config.seconds), callback=lambda _: self._end())

    def on_quote_tick(self, tick: QuoteTick) -> None:
        self.quotes[tick.instrument_id] += 1
        if self.quotes[tick.instrument_id] % 2:
            return
        instrument = self.cache.instrument(tick.instrument_id)
        price = instrument.make_price(tick.bid_price.as_decimal() * Decimal("0.9"))
        quantity = instrument.make_qty(Decimal("0.003"))
        self.submit_order(
            self.order_factory.limit(tick.instrument_id, OrderSide.BUY, quantity, price, time_in_force=TimeInForce.IOC)
        )

    def _end(self) -> None:
        took = {"cpu": time.process_time() - self.cpu, "wall": time.perf_counter() - self.wall}
        Path(self.config.report).write_text(json.dumps(took))
        self.shutdown_system("it has found what it looked for")
