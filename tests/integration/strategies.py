"""Strategies that integration tests load with ``tradingnode run --strategy``."""

from __future__ import annotations

import json
import os
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
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
            "prices": [str(order.price) for order in self.cache.orders(instrument_id=instrument_id) if order.has_price],
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


class ChurnConfig(StrategyConfig, frozen=True):
    """Configuration of :class:`Churn`: what to trade, how much at a time, and the folder where it is steered and reports."""

    instrument_ids: tuple[InstrumentId, ...]
    quantities: tuple[Decimal, ...]
    folder: str
    spot: bool = False


class Churn(Strategy):
    """Places, fills, modifies and cancels orders at random while it is told to, and reports its books while it is not.

    ``orders.json`` in the folder tells what to do: ``seed``, ``eager`` (send one order at once, in on_start), ``trade``. Before
    that first order the books are reported as ``first.json``, later as ``report.json``.
    """

    MOST_OPEN = 10
    MOST_HELD = 6  # times the quantity of one order

    def __init__(self, config: ChurnConfig) -> None:
        super().__init__(config)
        self.told: dict[str, Any] = {}
        self.text = ""
        self.random = Random()
        self.first_order: float | None = None
        self.folder = Path(config.folder)
        self.quantity = dict(zip(config.instrument_ids, config.quantities, strict=True))

    def on_start(self) -> None:
        """Say what the books hold before anything is done, and act at once if that is asked for."""
        self._listen()
        self._write("first.json")
        for instrument_id in self.config.instrument_ids:
            self.subscribe_quote_ticks(instrument_id)
        if self.told.get("eager"):
            self._place(self.config.instrument_ids[0], {"BUY": Decimal(45_000), "SELL": Decimal(55_000)}, far=True)
        self.clock.set_timer("report", timedelta(milliseconds=50), callback=lambda _: self._report())

    def on_quote_tick(self, tick: QuoteTick) -> None:
        """Do something, or nothing, every other time."""
        self._listen()
        if not self.told.get("trade") or self.random.random() < 0.5:
            return
        best = {"BUY": tick.bid_price.as_decimal(), "SELL": tick.ask_price.as_decimal()}
        mine = [
            order
            for order in self.cache.orders_open(instrument_id=tick.instrument_id)
            if not (order.is_pending_cancel or order.is_pending_update)
        ]
        dice = self.random.random()
        if len(mine) > self.MOST_OPEN or (mine and dice < 0.25):
            self.cancel_order(self.random.choice(mine))
        elif mine and dice < 0.4 and not self.config.spot:  # Binance amends no spot orders
            self._modify(self.random.choice(mine), best)
        elif dice < 0.42:
            self.cancel_all_orders(tick.instrument_id)
        elif dice < 0.6:
            self._take(tick.instrument_id, best)
        else:
            self._place(tick.instrument_id, best, far=dice < 0.8)

    def _listen(self) -> None:
        text = (self.folder / "orders.json").read_text()
        if text != self.text:
            self.text, self.told = text, json.loads(text)
            self.random.seed(self.told["seed"])

    def _side(self, instrument_id: InstrumentId) -> OrderSide:
        """Return a random side; back to where it came from when much is held, and nothing sold on spot that was not bought."""
        net, most = self.portfolio.net_position(instrument_id), self.MOST_HELD * self.quantity[instrument_id]
        if abs(net) > most:
            return OrderSide.SELL if net > 0 else OrderSide.BUY
        if self.config.spot:
            orders = (*self.cache.orders_open(), *self.cache.orders_inflight())
            sold = [
                o.leaves_qty.as_decimal()
                for o in orders
                if o.instrument_id == instrument_id and o.side == OrderSide.SELL
            ]
            return OrderSide.SELL if net - sum(sold) > most / 2 else OrderSide.BUY
        return self.random.choice((OrderSide.BUY, OrderSide.SELL))

    def _price(self, instrument: Any, side: OrderSide, best: dict[str, Decimal], far: bool) -> Any:
        """Return a price that rests; the near ones are where the exchange's quotes come by."""
        ticks = self.random.randint(200, 2_000) if far else self.random.randint(1, 30)
        away = ticks * instrument.price_increment.as_decimal()
        price = best["BUY"] - away if side == OrderSide.BUY else best["SELL"] + away
        return instrument.make_price(price)

    def _place(self, instrument_id: InstrumentId, best: dict[str, Decimal], *, far: bool) -> None:
        instrument, side = self.cache.instrument(instrument_id), self._side(instrument_id)
        quantity = instrument.make_qty(self.quantity[instrument_id] * self.random.randint(1, 3))
        price = self._price(instrument, side, best, far)
        self._send(self.order_factory.limit(instrument_id, side, quantity, price, post_only=far))

    def _take(self, instrument_id: InstrumentId, best: dict[str, Decimal]) -> None:
        """Trade at once: at market, or with a limit beyond the other side of the book."""
        instrument, side = self.cache.instrument(instrument_id), self._side(instrument_id)
        quantity = instrument.make_qty(self.quantity[instrument_id])
        if self.random.random() < 0.7:
            self._send(self.order_factory.market(instrument_id, side, quantity))
            return
        beyond = 100 * instrument.price_increment.as_decimal()
        price = best["SELL"] + beyond if side == OrderSide.BUY else best["BUY"] - beyond
        self._send(self.order_factory.limit(instrument_id, side, quantity, instrument.make_price(price)))

    def _modify(self, order: Any, best: dict[str, Decimal]) -> None:
        instrument = self.cache.instrument(order.instrument_id)
        price = self._price(instrument, order.side, best, self.random.random() < 0.5)
        if self.random.random() < 0.5:
            self.modify_order(order, price=price)
        else:
            more = order.quantity.as_decimal() + self.quantity[order.instrument_id]
            self.modify_order(order, quantity=instrument.make_qty(more), price=price)

    def _send(self, order: Any) -> None:
        if self.first_order is None:
            self.first_order = time.time()
        self.submit_order(order)

    def _report(self) -> None:
        self._listen()
        if not self.told.get("trade"):
            self._write("report.json")

    def _write(self, name: str) -> None:
        part = self.folder / f"{name}.part"
        part.write_text(json.dumps(self._books()))
        part.replace(self.folder / name)

    def _books(self) -> dict[str, Any]:
        orders = {str(order.client_order_id): order for order in self.cache.orders()}
        filled = dict.fromkeys(map(str, self.config.instrument_ids), Decimal(0))
        for order in orders.values():
            sign = 1 if order.side == OrderSide.BUY else -1
            filled[str(order.instrument_id)] += sign * order.filled_qty.as_decimal()
        held = dict.fromkeys(map(str, self.config.instrument_ids), Decimal(0))
        for position in self.cache.positions_open():
            held[str(position.instrument_id)] += position.signed_decimal_qty()
        return {
            "pid": os.getpid(),
            "time": time.time(),
            "first_order": self.first_order,
            "orders": {
                name: {
                    "strategy": str(order.strategy_id),
                    "instrument": str(order.instrument_id),
                    "status": order.status_string(),
                    "open": order.is_open,
                    "quantity": str(order.quantity),
                    "price": str(order.price) if order.has_price else "",
                    "filled": str(order.filled_qty),
                }
                for name, order in orders.items()
                if not order.is_closed
            },
            "known": {name: str(order.strategy_id) for name, order in orders.items()},
            "filled": {name: str(amount) for name, amount in filled.items()},
            "positions": {name: str(amount) for name, amount in held.items()},
            "portfolio": {str(name): str(self.portfolio.net_position(name)) for name in self.config.instrument_ids},
        }
