"""Stop taking risk: orders that open or enlarge a position are denied, those that reduce one and all cancels go through."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from nautilus_trader.adapters.binance.config import BinanceExecClientConfig
from nautilus_trader.adapters.bybit.config import BybitExecClientConfig
from nautilus_trader.adapters.sandbox.config import SandboxExecutionClientConfig
from nautilus_trader.common.component import Logger
from nautilus_trader.core.nautilus_pyo3 import BybitProductType, bybit_product_type_from_symbol
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import CancelOrder, ModifyOrder, SubmitOrder, SubmitOrderList
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.enums import ContingencyType, OrderSide, OrderStatus
from nautilus_trader.model.events import OrderDenied, OrderModifyRejected
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId
from nautilus_trader.model.objects import Quantity
from nautilus_trader.model.orders import MarketOrder

from config.live.halted import OPERATOR

# What is counted and told where `may_trade` says no while nobody restricted the node.
LEASE = "lease"
LEASE_SENTENCE = "this node may not trade now: it does not hold the lease"

EXECUTION = "ExecEngine.execute"
EMULATOR = "OrderEmulator.execute"
EVENTS = "ExecEngine.process"

# Orders that wait in the engine's queue are few; more than this many would have been there for seconds.
SENT_REMEMBERED = 1_024
# Not at a venue, and maybe never: only those that were handed to the engine count.
NOT_YET_SENT = frozenset({OrderStatus.INITIALIZED, OrderStatus.RELEASED})

POLL_SECS = 0.02
# How long `flatten` lets cancels be confirmed before it closes beside what still rests, and before it asks once more.
PATIENCE_SECS = 1.0
ZERO = Decimal(0)
EVERYTHING = Decimal("Infinity")

# Whether the client passes an order's reduce-only flag on to a venue that obeys it. A client that is not here is not trusted.
SENDS_REDUCE_ONLY: Mapping[type, Callable[[Any, InstrumentId], bool]] = MappingProxyType(
    {
        BinanceExecClientConfig: lambda config, _: bool(config.use_reduce_only and config.account_type.is_futures),
        BybitExecClientConfig: lambda _, instrument_id: bool(
            bybit_product_type_from_symbol(instrument_id.symbol.value) != BybitProductType.SPOT
        ),
        SandboxExecutionClientConfig: lambda config, _: bool(config.use_reduce_only),
    }
)


def room(net: Decimal, side: OrderSide, claimed: Decimal) -> Decimal:
    """Return how much an order of ``side`` may trade and only reduce, in units of the instrument; never negative.

    Parameters
    ----------
    net : Decimal
        The open position over all strategies, negative when short.
    side : OrderSide
        Of the order.
    claimed : Decimal
        What the other working orders of that side would still trade: all of them may fill before this one.

    """
    open_against = -net if side == OrderSide.BUY else net
    return max(ZERO, open_against - claimed)


def shares(net: Decimal, legs: Sequence[Decimal]) -> tuple[Decimal, ...]:
    """Return how much of each leg to close so that their sum, ``net``, becomes flat and nothing is traded to and fro.

    Parameters
    ----------
    net : Decimal
        Signed sum of ``legs``.
    legs : sequence of Decimal
        Signed quantities of the strategies' positions; those against ``net`` are left alone.

    """
    left = abs(net)
    closed = []
    for leg in legs:
        part = min(left, abs(leg)) if leg * net > 0 else ZERO
        closed.append(part)
        left -= part
    return tuple(closed)


class Restriction:
    """What keeps a node from taking risk: a set of reasons, and a gate before execution that heeds it.

    Every order passes the message bus' endpoint of the execution engine last: orders from the risk engine, from execution
    algorithms, and those that the order emulator releases past the risk engine. There stands the gate; orders that are handed to
    the emulator or to an algorithm are judged at once too, so that a strategy hears of it when it asks.

    Of what is judged, a reduce-only order passes where its client sends that flag to the venue. Any other order passes if its
    quantity is at most what is open against it, net over all strategies, less what other working orders of its side may still
    trade; so a flip is denied. Cancels pass. A modification passes if it only shrinks the order, or if the order can only reduce;
    no other may grow. An order list passes or is denied as a whole. Orders that rest at a venue already are not touched.

    Parameters
    ----------
    node : TradingNode
        Built and not started.
    may_trade : callable, optional
        Asked before every command; without input or output. Where it returns False or raises, opening orders are denied.
    on_change : callable, optional
        Called once with the reasons after each that comes or goes, in the thread that changed them.
    holds : bool
        Whether all commands wait in the gate until :meth:`release`: strategies start a moment before the node is ready.

    Raises
    ------
    RuntimeError
        If the node is not built, or runs, or has a restriction.

    """

    def __init__(
        self,
        node: TradingNode,
        *,
        may_trade: Callable[[], bool] | None = None,
        on_change: Callable[[Mapping[str, str]], None] | None = None,
        holds: bool = False,
    ) -> None:
        if not node.is_built() or node.kernel.is_running():
            raise RuntimeError("a restriction is installed after the node is built and before it is started")
        kernel = node.kernel
        self._bus, self._cache, self._clock = kernel.msgbus, kernel.cache, kernel.clock
        self._engine = kernel.exec_engine
        self._configs = {name.partition("-")[0]: config for name, config in node._config.exec_clients.items()}
        self._log = Logger("Restriction")
        self._lock = threading.Lock()
        self._reasons: Mapping[str, str] = MappingProxyType({})
        self._counts: dict[str, int] = {}
        self._may_trade = may_trade
        self._on_change = on_change
        self._sent: deque[Any] = deque(maxlen=SENT_REMEMBERED)
        self._held: list[Any] | None = [] if holds else None
        self._refusal: str | None = None
        self._install(EXECUTION, self._engine.execute, self._sent.append)
        self._install(EMULATOR, kernel.emulator.execute)
        for algorithm in kernel.trader.exec_algorithms():
            self._install(f"{algorithm.id}.execute", algorithm.execute)

    @property
    def reasons(self) -> Mapping[str, str]:
        """The reasons in force, oldest first, each with its sentence; restricted while there is one."""
        return self._reasons

    @property
    def counts(self) -> Mapping[str, int]:
        """How many orders and modifications were denied while a reason held; one may count for several reasons."""
        return MappingProxyType(dict(self._counts))

    def restrict(self, reason: str, sentence: str) -> None:
        """Take no new risk for ``reason``, such as ``redis``; ``sentence`` is told with every denial, the newest one counts.

        One line in the log (Nautilus' logger, WARNING) and one call of ``on_change`` if the reason is new. Any thread may call.
        """
        with self._lock:
            known = reason in self._reasons
            self._reasons = MappingProxyType({**self._reasons, reason: sentence})
        if not known:
            self._changed(
                f"restricted ({reason}): {sentence}; opening orders are denied, reducing ones and cancels pass"
            )

    def lift(self, reason: str) -> None:
        """Take back ``reason``; logged and told as :meth:`restrict` is, if it was in force."""
        with self._lock:
            known = reason in self._reasons
            self._reasons = MappingProxyType({name: text for name, text in self._reasons.items() if name != reason})
            left = ", ".join(self._reasons)
        if known:
            self._changed(f"lifted ({reason}): " + (f"still restricted ({left})" if left else "orders pass again"))

    def release(self, refusal: str | None = None) -> None:
        """Let pass what was held, in its order, and all that follows; with a ``refusal`` every order is denied from now on.

        Once is enough: what was released stays so.
        """
        held, self._held = self._held, None
        if held is not None:
            self._refusal = refusal
        for command in held or ():
            self._bus.send(EXECUTION, command)

    def _changed(self, line: str) -> None:
        self._log.warning(line)
        if self._on_change is not None:
            try:
                self._on_change(self._reasons)
            except Exception as error:
                self._log.error(f"on_change raised {type(error).__name__}: {error}")

    # -- the gate -----------------------------------------------------------------------------------

    def _install(
        self, endpoint: str, handler: Callable[[Any], None], remember: Callable[[Any], None] | None = None
    ) -> None:
        try:
            self._bus.deregister(endpoint, handler)
        except ValueError as error:
            raise RuntimeError(
                f"somebody else stands before {endpoint}: is a restriction installed already?"
            ) from error

        def gate(command: Any) -> None:
            if endpoint == EXECUTION and self._held is not None:
                self._held.append(command)
                return
            if self._refusal is not None and (orders := _orders_of(command)):
                self._deny(orders, self._refusal, {})
                return
            if (self._reasons or self._may_trade is not None) and not self._admits(command):
                return
            if remember is not None:
                remember(command)
            handler(command)

        self._bus.register(endpoint, gate)

    def _in_force(self) -> Mapping[str, str]:
        """Return the reasons, with the lease's where only that forbids."""
        reasons = self._reasons
        if self._may_trade is None or LEASE in reasons:
            return reasons
        try:
            allowed = self._may_trade()
        except Exception as error:
            return {**reasons, LEASE: f"this node may not trade now: the lease cannot tell ({type(error).__name__})"}
        return reasons if allowed else {**reasons, LEASE: LEASE_SENTENCE}

    def _admits(self, command: Any) -> bool:
        """Return whether a command may pass; one that may not is answered to its strategy."""
        reasons = self._in_force()
        if not reasons:
            return True
        if isinstance(command, ModifyOrder):
            return self._admits_change(command, reasons)
        if not isinstance(command, SubmitOrder | SubmitOrderList):
            return True
        orders = _orders_of(command)
        objection = self._objection(command, orders)
        if objection is None:
            return True
        self._deny(orders, _told(reasons, objection), reasons)
        return False

    def _objection(self, command: Any, orders: Sequence[Any]) -> str | None:
        """Return why an order of these opens or enlarges a position; None if all of them can only reduce."""
        mine = {order.client_order_id for order in orders}
        taken: dict[tuple[InstrumentId, OrderSide], Decimal] = {}
        for order in orders:
            if order.is_closed or self._is_reduce_only(command, order):
                continue
            place = order.instrument_id, order.side
            taken[place] = taken.get(place, ZERO) + _leaves(order)
            objection = self._too_much(order, taken[place], mine)
            if objection is not None:
                return objection
        return None

    def _too_much(self, order: Any, quantity: Decimal, without: Iterable[ClientOrderId]) -> str | None:
        net, claimed = self.net(order.instrument_id), self._claimed(order.instrument_id, order.side, without)
        if quantity <= room(net, order.side, claimed):
            return None
        side = OrderSide(order.side).name
        what = f"{side} of {order.instrument_id} would open or enlarge a position"
        return f"{what} (net {net}{f', {claimed} of it claimed by other {side} orders' if claimed else ''})"

    def _admits_change(self, command: ModifyOrder, reasons: Mapping[str, str]) -> bool:
        order = self._cache.order(command.client_order_id)
        if order is None or order.is_closed or self._is_reduce_only(command, order):
            return True
        objection = None
        if command.quantity is not None and command.quantity > order.quantity:
            objection = f"{order.client_order_id} may not grow from {order.quantity} to {command.quantity}"
        elif _moves(command, order):
            quantity = (command.quantity or order.quantity).as_decimal() - order.filled_qty.as_decimal()
            quantity = EVERYTHING if order.is_quote_quantity else quantity
            objection = self._too_much(order, quantity, {order.client_order_id})
        if objection is None:
            return True
        self._count(reasons, 1)
        now = self._clock.timestamp_ns()
        rejected = OrderModifyRejected(
            trader_id=order.trader_id,
            strategy_id=order.strategy_id,
            instrument_id=order.instrument_id,
            client_order_id=order.client_order_id,
            venue_order_id=order.venue_order_id,
            account_id=order.account_id,
            reason=_told(reasons, objection),
            event_id=UUID4(),
            ts_event=now,
            ts_init=now,
        )
        self._bus.send(EVENTS, rejected)
        return False

    def _deny(self, orders: Sequence[Any], sentence: str, reasons: Mapping[str, str]) -> None:
        """Deny these orders, and those that would have followed from them: Nautilus leaves the latter waiting for ever."""
        denied = {order.client_order_id: order for order in orders}
        for order in orders:
            if order.contingency_type == ContingencyType.OTO:
                linked = (self._cache.order(client_order_id) for client_order_id in order.linked_order_ids or ())
                denied |= {child.client_order_id: child for child in linked if child is not None}
        for order in denied.values():
            if order.status == OrderStatus.EMULATED:
                self._bus.send(EMULATOR, self._cancel(order))
            elif order.status in NOT_YET_SENT:
                if not self._cache.order_exists(order.client_order_id):
                    self._cache.add_order(order)
                event = OrderDenied(
                    trader_id=order.trader_id,
                    strategy_id=order.strategy_id,
                    instrument_id=order.instrument_id,
                    client_order_id=order.client_order_id,
                    reason=sentence,
                    event_id=UUID4(),
                    ts_init=self._clock.timestamp_ns(),
                )
                self._bus.send(EVENTS, event)
        self._count(reasons, len(denied))

    def _count(self, reasons: Iterable[str], denied: int) -> None:
        for reason in reasons:
            self._counts[reason] = self._counts.get(reason, 0) + denied

    def _cancel(self, order: Any) -> CancelOrder:
        return CancelOrder(
            trader_id=order.trader_id,
            strategy_id=order.strategy_id,
            instrument_id=order.instrument_id,
            client_order_id=order.client_order_id,
            venue_order_id=order.venue_order_id,
            command_id=UUID4(),
            ts_init=self._clock.timestamp_ns(),
        )

    # -- what is open -------------------------------------------------------------------------------

    def net(self, instrument_id: InstrumentId) -> Decimal:
        """Return what is open over all strategies, negative when short."""
        positions = self._cache.positions_open(instrument_id=instrument_id)
        return sum((position.signed_decimal_qty() for position in positions), ZERO)

    def _claimed(self, instrument_id: InstrumentId, side: OrderSide, without: Iterable[ClientOrderId]) -> Decimal:
        """Return what the working orders of one side may still trade, those in the engine's queue included."""
        working = {
            order.client_order_id: order
            for orders in (self._cache.orders_open, self._cache.orders_inflight)
            for order in orders(instrument_id=instrument_id, side=side)
        }
        for order in self._queued():
            if (order.instrument_id, order.side) == (instrument_id, side):
                working[order.client_order_id] = order
        return sum((_leaves(order) for name, order in working.items() if name not in without), ZERO)

    def _queued(self) -> list[Any]:
        """Return the orders that have passed the gate and have not left the engine's queue."""
        found, kept = [], []
        for command in self._sent:
            cached = (self._cache.order(order.client_order_id) for order in _orders_of(command))
            waiting = [order for order in cached if order is not None and order.status in NOT_YET_SENT]
            if waiting:
                found += waiting
                kept.append(command)
        self._sent.clear()
        self._sent.extend(kept)
        return found

    def _is_reduce_only(self, command: Any, order: Any) -> bool:
        """Return whether the venue itself will keep this order from opening anything."""
        return bool(order.is_reduce_only) and self._sends_reduce_only(command, order.instrument_id)

    def _sends_reduce_only(self, command: Any, instrument_id: InstrumentId) -> bool:
        client = self._engine._find_client_for_command(command)
        config = None if client is None else self._configs.get(client.id.value)
        return any(
            isinstance(config, kind) and sends(config, instrument_id) for kind, sends in SENDS_REDUCE_ONLY.items()
        )


def _orders_of(command: Any) -> Sequence[Any]:
    if isinstance(command, SubmitOrder):
        return (command.order,)
    return tuple(command.order_list.orders) if isinstance(command, SubmitOrderList) else ()


def _leaves(order: Any) -> Decimal:
    """Return what an order may still trade; one in units of the quote currency may be any quantity."""
    return EVERYTHING if order.is_quote_quantity else order.leaves_qty.as_decimal()


def _moves(command: ModifyOrder, order: Any) -> bool:
    price = order.price if order.has_price else None
    trigger = order.trigger_price if order.has_trigger_price else None
    return command.price not in (None, price) or command.trigger_price not in (None, trigger)


def _told(reasons: Mapping[str, str], objection: str) -> str:
    """Return the sentence that a strategy gets."""
    why = "; ".join(f"{reason}: {sentence}" for reason, sentence in reasons.items())
    return f"the node takes no new risk ({why}): {objection}"


# -- flatten --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Flattened:
    """What :func:`flatten` did, as the node's books have it.

    Parameters
    ----------
    flat : bool
        Whether no order works any more and nothing is open that can be closed.
    seconds : float
        How long it took.
    cancelled : int
        Orders whose cancel was asked for.
    closing : int
        Closing orders that were sent, repeats included.
    orders : tuple of str
        Client order ids that still work.
    positions : mapping
        What is open, net by instrument id; spot remainders below the smallest order stay here when flat, too.
    offset : tuple of str
        Positions of strategies that cancel each other out: open in the books, nothing at the venue.

    """

    flat: bool
    seconds: float
    cancelled: int
    closing: int
    orders: tuple[str, ...]
    positions: Mapping[str, Decimal]
    offset: tuple[str, ...]


async def flatten(
    node: TradingNode, timeout: float, *, restriction: Restriction, sentence: str = "flattened by hand"
) -> Flattened:
    """Restrict the node, cancel every order, close every position at market, and return what was done and what is left.

    The node is restricted first, and stays so, for a strategy would otherwise open again what is closed here. A closing order
    carries the id of the strategy that holds the position, loaded or not and EXTERNAL too, so that the books close with the
    venue; it is reduce-only where the venue obeys that, and goes past the risk engine, whose rate limit and trading state must
    not keep it back. Where strategies hold opposite legs, what the venue has is their sum, and only that is traded.

    Parameters
    ----------
    node : TradingNode
        Running.
    timeout : float
        Seconds after which it returns, flat or not.
    restriction : Restriction
        Of this node; gets the reason ``operator``.
    sentence : str, optional
        Why.

    """
    restriction.restrict(OPERATOR, sentence)
    return await _Flattening(node, restriction).run(timeout)


async def cancel_all(node: TradingNode, timeout: float, *, restriction: Restriction) -> None:
    """Cancel every order that may still trade, until none does or ``timeout`` seconds have passed."""
    await _Flattening(node, restriction, closes=False).run(timeout)


def still_open(cache: Any) -> list[Any]:
    """Return the orders that may still trade at a venue, as the books have it; those that never left the node are not."""
    found = [*cache.orders_open(), *cache.orders_inflight()]
    return list({order.client_order_id: order for order in found if not order.is_closed}.values())


class _Flattening:
    def __init__(self, node: TradingNode, restriction: Restriction, *, closes: bool = True) -> None:
        self._closes = closes
        self._node, self._restriction = node, restriction
        self._cache, self._bus, self._clock = node.cache, node.kernel.msgbus, node.kernel.clock
        self._strategies = {strategy.id: strategy for strategy in node.trader.strategies()}
        self._asked: dict[ClientOrderId, float] = {}
        self._closing: list[ClientOrderId] = []
        self._closed_at: dict[InstrumentId, float] = {}

    async def run(self, timeout: float) -> Flattened:
        started = time.monotonic()
        while True:
            now = time.monotonic() - started
            orders, nets = self._working(), self._nets() if self._closes else {}
            closable = {name for name in nets if self._quantity(name, abs(nets[name])) is not None}
            if (not orders and not closable) or now >= timeout:
                break
            for order in orders:
                self._cancel(order, now)
            for instrument_id in closable:
                resting = any(order.instrument_id == instrument_id for order in orders)
                if not resting or now >= min(PATIENCE_SECS, timeout / 2):
                    self._close(instrument_id, nets[instrument_id], now)
            await asyncio.sleep(POLL_SECS)
        legs = [position for position in self._cache.positions_open() if position.instrument_id not in nets]
        return Flattened(
            flat=not orders and not closable,
            seconds=time.monotonic() - started,
            cancelled=len(self._asked),
            closing=len(self._closing),
            orders=tuple(str(order.client_order_id) for order in orders),
            positions=MappingProxyType({str(name): net for name, net in nets.items()}),
            offset=tuple(str(position.id) for position in legs),
        )

    def _working(self) -> list[Any]:
        """Return every order that may still trade, wherever it waits."""
        found = [*still_open(self._cache), *self._cache.orders_emulated()]
        for algorithm in self._node.trader.exec_algorithms():
            found += [order for order in self._cache.orders_for_exec_algorithm(algorithm.id) if order.is_active_local]
        found += self._restriction._queued()
        return list({order.client_order_id: order for order in found if not order.is_closed}.values())

    def _nets(self) -> dict[InstrumentId, Decimal]:
        nets: dict[InstrumentId, Decimal] = {}
        for position in self._cache.positions_open():
            nets[position.instrument_id] = nets.get(position.instrument_id, ZERO) + position.signed_decimal_qty()
        return {instrument_id: net for instrument_id, net in nets.items() if net}

    def _cancel(self, order: Any, now: float) -> None:
        name = order.client_order_id
        if name in self._closing or now - self._asked.get(name, -PATIENCE_SECS) < PATIENCE_SECS:
            return
        self._asked[name] = now
        strategy = self._strategies.get(order.strategy_id)
        if strategy is not None and strategy.is_running and not order.is_pending_cancel:
            strategy.cancel_order(order)
        else:
            emulated = order.status == OrderStatus.EMULATED
            self._bus.send(EMULATOR if emulated else EXECUTION, self._restriction._cancel(order))

    def _close(self, instrument_id: InstrumentId, net: Decimal, now: float) -> None:
        """Send what closes ``net``, unless an earlier attempt is on its way or has just failed."""
        pending = (self._cache.order(name) for name in self._closing)
        if any(order.instrument_id == instrument_id and not order.is_closed for order in pending):
            return
        if now - self._closed_at.get(instrument_id, -PATIENCE_SECS) < PATIENCE_SECS:
            return
        self._closed_at[instrument_id] = now
        positions = self._cache.positions_open(instrument_id=instrument_id)
        parts = shares(net, [position.signed_decimal_qty() for position in positions])
        for position, part in zip(positions, parts, strict=True):
            quantity = self._quantity(instrument_id, part)
            if quantity is not None:
                self._send(position, OrderSide.SELL if net > 0 else OrderSide.BUY, quantity)

    def _quantity(self, instrument_id: InstrumentId, wanted: Decimal) -> Quantity | None:
        """Return ``wanted`` as the venue takes it in one order; None if that is too little for one."""
        instrument = self._cache.instrument(instrument_id)
        if instrument is None:
            return None
        most = wanted if instrument.max_quantity is None else min(wanted, instrument.max_quantity.as_decimal())
        step = instrument.size_increment.as_decimal()
        rounded = most // step * step
        least = ZERO if instrument.min_quantity is None else instrument.min_quantity.as_decimal()
        return Quantity(rounded, instrument.size_precision) if rounded and rounded >= least else None

    def _send(self, position: Any, side: OrderSide, quantity: Quantity) -> None:
        def submit(reduce_only: bool) -> SubmitOrder:
            now = self._clock.timestamp_ns()
            order = MarketOrder(
                trader_id=position.trader_id,
                strategy_id=position.strategy_id,
                instrument_id=position.instrument_id,
                client_order_id=ClientOrderId(UUID4().value),
                order_side=side,
                quantity=quantity,
                init_id=UUID4(),
                ts_init=now,
                reduce_only=reduce_only,
                tags=["FLATTEN"],
            )
            return SubmitOrder(
                trader_id=position.trader_id,
                strategy_id=position.strategy_id,
                order=order,
                position_id=position.id,
                command_id=UUID4(),
                ts_init=now,
            )

        command = submit(True)
        if not self._restriction._sends_reduce_only(command, position.instrument_id):
            command = submit(False)  # Bybit refuses the flag on spot
        order = command.order
        self._closing.append(order.client_order_id)
        self._bus.publish(topic=f"events.order.{order.strategy_id}", msg=order.init_event)
        self._cache.add_order(order, position.id)
        self._bus.send(EXECUTION, command)
