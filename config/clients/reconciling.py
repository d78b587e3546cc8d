"""Reconciliation at the start, put right: what happens meanwhile waits, and nothing is made up for what the books know."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.reports import ExecutionMassStatus, FillReport, OrderStatusReport
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.events import OrderFilled
from nautilus_trader.model.identifiers import InstrumentId, StrategyId
from nautilus_trader.model.position import Position

ENDPOINTS = ("ExecEngine.process", "ExecEngine.reconcile_execution_report")
# As Nautilus makes them unless it is told otherwise: date, time, tag of the trader, tag of the strategy, number.
OWN_ID = re.compile(r"O-\d{8}-\d{6}-(?P<tags>.+)-\d+")
# How often a venue's orders, fills and positions are asked for until nothing was filled meanwhile.
TRIES = 5
# The private stream may tell of a fill a little later than an answer that has it already.
LATE_SECS = 0.1


class Reconciling:
    """Puts right what Nautilus' reconciliation at the start does to books that it finds in Redis.

    It asks for orders, fills and positions all at once, and applies the answers when every venue has given them. What is filled
    in between reaches the books through the private stream, and is then taken back by an invented fill, since the position that
    was asked for does not have it. So events wait while it runs, and a venue is asked again if something was filled meanwhile.

    Before that it rewrites a venue's answers to what explains the position best, as if nothing were known: fills become one
    synthetic fill with the id of an order, and the other orders are dropped, also those whose fill the books lack. That is left
    to instruments which the books do not know. Then it drops what has the status and the filled quantity that the books have,
    also where the order was amended and the books have another price. And an order that a strategy sent in the last moment before
    a crash, which is missing in Redis, becomes nobody's (EXTERNAL), and so does what it fills; here it is its strategy's again.
    So is a position whose last fill Redis has of the order only; nothing else would ever tell of it on spot.

    Parameters
    ----------
    node : TradingNode
        Built and not started. Steps of its execution engine are wrapped.

    """

    def __init__(self, node: TradingNode) -> None:
        kernel = node.kernel
        self._engine, self._cache, self._trader = kernel.exec_engine, kernel.cache, kernel.trader
        self._holds = False
        self._held: list[tuple[Callable[[Any], Any], Any]] = []
        for endpoint, handler in zip(
            ENDPOINTS, (self._engine.process, self._engine.reconcile_execution_report), strict=True
        ):
            kernel.msgbus.deregister(endpoint, handler)
            kernel.msgbus.register(endpoint, partial(self._pass_on, handler))
        for client in self._engine._clients.values():
            client.generate_mass_status = partial(self._consistent, client.generate_mass_status)
        self._engine.reconcile_execution_state = partial(self._reconcile, self._engine.reconcile_execution_state)
        for name, step in (
            ("_adjust_mass_status_fills", self._adjust),
            ("_deduplicate_mass_status_orders", self._deduplicate),
            ("_generate_order", self._generate),
        ):
            setattr(self._engine, name, partial(step, getattr(self._engine, name)))

    # -- what happens meanwhile -----------------------------------------------------------------------

    def _pass_on(self, handler: Callable[[Any], Any], message: Any) -> None:
        if self._holds:
            self._held.append((handler, message))
        else:
            handler(message)

    async def _reconcile(self, reconcile: Callable[..., Awaitable[bool]], *args: Any, **kwargs: Any) -> bool:
        self._catch_up()
        self._holds = True
        try:
            return await reconcile(*args, **kwargs)
        finally:
            self._holds = False
            held, self._held = self._held, []
            for handler, message in held:
                if not self._is_outdated(message):
                    handler(message)

    async def _consistent(
        self, generate: Callable[..., Awaitable[ExecutionMassStatus | None]], *args: Any, **kwargs: Any
    ) -> ExecutionMassStatus | None:
        """Return a report during whose making nothing was filled, or the last of several."""
        status = None
        for _ in range(TRIES):
            before = len(self._held)
            status = await generate(*args, **kwargs)
            await asyncio.sleep(LATE_SECS)
            if status is None or not any(
                _is_fill(message) and message.account_id == status.account_id for _, message in self._held[before:]
            ):
                break
        return status

    def _is_outdated(self, message: Any) -> bool:
        """Return whether a report tells less than the books have; events of that kind do no harm."""
        if not isinstance(message, OrderStatusReport) or message.client_order_id is None:
            return False
        order = self._cache.order(message.client_order_id)
        return order is not None and (order.is_closed or order.filled_qty > message.filled_qty)

    # -- what the crash tore apart --------------------------------------------------------------------

    def _catch_up(self) -> None:
        """Apply to positions what was written of an order in the moment of a crash, and not any more of its position.

        Redis is written to in sequence, the order before its position, and a position that is flipped is closed before it is
        opened again: only the last fills can be torn apart like that.
        """
        fills = [
            (event, order) for order in self._cache.orders() for event in order.events if isinstance(event, OrderFilled)
        ]
        fills.sort(key=lambda found: found[0].ts_init, reverse=True)
        torn = list(itertools.takewhile(lambda found: self._is_torn(found[0]), fills))
        for fill, order in reversed(torn):
            oms_type, position = self._engine._determine_oms_type(fill), self._cache.position(fill.position_id)
            if position is not None and _is_half_of_a_flip(position, fill):
                rest = _other_half(fill, position.last_event)
                self._engine._open_position(self._cache.instrument(fill.instrument_id), None, rest, oms_type)
            else:
                self._engine._handle_order_fill(order, fill, oms_type)

    def _is_torn(self, fill: OrderFilled) -> bool:
        position = None if fill.position_id is None else self._cache.position(fill.position_id)
        if position is None:
            return fill.position_id is not None
        # A position that was closed and opened again has the fills of its last life only.
        news = fill.trade_id not in position.trade_ids and fill.ts_init > position.last_event.ts_init
        return news or _is_half_of_a_flip(position, fill)

    # -- what the books know --------------------------------------------------------------------------

    def _adjust(self, adjust: Callable[[ExecutionMassStatus], None], status: ExecutionMassStatus) -> None:
        """Have only the reports adjusted of instruments that the books do not know."""
        begun = {name: self._begun(name) for name in self._instruments(status)}
        known = {name: when for name, when in begun.items() if when is not None}
        positions, orders = status._position_reports, status._order_reports
        status._position_reports = {name: reports for name, reports in positions.items() if name not in known}
        try:
            adjust(status)
        finally:
            status._position_reports = positions
        # Nautilus drops what rests at the venue where the fills do not explain the position.
        for name, report in orders.items():
            if report.is_open and name not in status._order_reports:
                status._order_reports[name] = report
        for name, report in list(status._order_reports.items()):
            if report.instrument_id in known and not self._is_news(report, known[report.instrument_id]):
                del status._order_reports[name]
                status._fill_reports.pop(name, None)

    def _deduplicate(self, deduplicate: Callable[[ExecutionMassStatus], None], status: ExecutionMassStatus) -> None:
        """Have the reports dropped that say what the books have, but not those of orders with another price or quantity there."""
        orders, fills = dict(status._order_reports), dict(status._fill_reports)
        deduplicate(status)
        for name, report in orders.items():
            order = None if report.client_order_id is None else self._cache.order(report.client_order_id)
            if name in status._order_reports or order is None or order.is_closed or order.venue_order_id != name:
                continue
            if self._engine._should_update(order, report):
                status._order_reports[name] = report
                if name in fills:
                    status._fill_reports[name] = fills[name]

    def _generate(self, generate: Callable[..., Any], report: OrderStatusReport, is_external: bool = True) -> Any:
        """Have an order made from a report; one with an id of a strategy's is that strategy's."""
        owner = self._owner(report) if is_external else None
        if owner is None:
            return generate(report, is_external)
        self._engine.get_external_order_claim = lambda _: owner
        try:
            return generate(report, is_external)
        finally:
            del self._engine.get_external_order_claim

    def _owner(self, report: OrderStatusReport) -> StrategyId | None:
        """Return the strategy whose tags are in an order's id, if it traded before that order: tags alone may be another's."""
        match = None if report.client_order_id is None else OWN_ID.fullmatch(report.client_order_id.value)
        if match is None:
            return None
        for strategy in self._trader.strategies():
            if match["tags"] == f"{self._trader.id.get_tag()}-{strategy.order_id_tag}":
                earlier = (order.ts_init <= report.ts_last for order in self._cache.orders(strategy_id=strategy.id))
                return strategy.id if any(earlier) else None
        return None

    def _instruments(self, status: ExecutionMassStatus) -> set[InstrumentId]:
        return {report.instrument_id for report in status._order_reports.values()}

    def _begun(self, instrument_id: InstrumentId) -> int | None:
        """Return since when the books have known an instrument, in UNIX nanoseconds."""
        return min((order.ts_init for order in self._cache.orders(instrument_id=instrument_id)), default=None)

    def _is_news(self, report: OrderStatusReport, begun: int) -> bool:
        """Return whether an order's report may have something that the books have not.

        What ended before the books began is in the position that they began with; so is what a synthetic fill stands for, whose
        order is closed here with more than its own fills.
        """
        known = report.client_order_id or self._cache.client_order_id(report.venue_order_id)
        order = None if known is None else self._cache.order(known)
        if order is None:
            return bool(report.is_open or report.ts_last >= begun)
        return bool(not order.is_closed or order.filled_qty < report.filled_qty)


def _is_half_of_a_flip(position: Position, fill: OrderFilled) -> bool:
    """Return whether ``fill`` closed ``position`` and has more than that took: Nautilus splits such a fill into two."""
    last = position.last_event
    return bool(position.is_closed and last.trade_id == fill.trade_id and last.last_qty < fill.last_qty)


def _other_half(fill: OrderFilled, first: OrderFilled) -> OrderFilled:
    """Return the part of ``fill`` that opens the position again, as Nautilus makes it after the ``first``."""
    values = OrderFilled.to_dict(fill)
    values["last_qty"] = str(fill.last_qty - first.last_qty)
    values["commission"] = str(fill.commission - first.commission)
    values["event_id"] = UUID4().value
    return OrderFilled.from_dict(values)


def _is_fill(message: Any) -> bool:
    return isinstance(message, OrderFilled | FillReport) or (
        isinstance(message, OrderStatusReport) and message.filled_qty > 0
    )
