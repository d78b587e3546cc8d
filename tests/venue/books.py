"""The books of one market: accounts, orders, fills, positions and balances. No I/O, no clock, no wire format."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal

from .market import Instrument, Product, Quote

Side = Literal["BUY", "SELL"]
Kind = Literal["LIMIT", "MARKET"]
TimeInForce = Literal["GTC", "IOC", "FOK", "POST_ONLY"]
PositionSide = Literal["BOTH", "LONG", "SHORT"]
Status = Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED"]
Execution = Literal["NEW", "TRADE", "CANCELED", "EXPIRED", "AMENDMENT"]
Reason = Literal[
    "unknown_symbol",
    "bad_quantity",
    "bad_price",
    "small_notional",
    "duplicate_id",
    "no_balance",
    "no_margin",
    "no_position_to_reduce",
    "would_take",
    "wrong_position_side",
    "unknown_order",
    "nothing_changed",
]

ZERO = Decimal(0)
LEVERAGE = 20
"""Leverage of every linear position."""

OPENING_BALANCES = {"USDT": Decimal(10_000), "BTC": Decimal(1)}
"""What an account holds when it is first seen."""


class RefusedError(Exception):
    """The books refuse a request; each exchange words the reason in its own way."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class Request:
    """An order as a client asks for it. A spot market buy may give `quote_quantity` instead of `quantity`."""

    symbol: str
    product: Product
    side: Side
    kind: Kind
    quantity: Decimal
    client_order_id: str
    price: Decimal = ZERO
    time_in_force: TimeInForce = "GTC"
    reduce_only: bool = False
    position_side: PositionSide = "BOTH"
    quote_quantity: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Order:
    """An order at one moment; `created` and `updated` are UNIX milliseconds, `spent` is filled value in quote asset."""

    id: int
    instrument: Instrument
    request: Request
    quantity: Decimal
    price: Decimal
    status: Status
    created: int
    updated: int
    filled: Decimal = ZERO
    spent: Decimal = ZERO
    fees: Decimal = ZERO
    note: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the order may still be filled or cancelled."""
        return self.status in ("NEW", "PARTIALLY_FILLED")

    @property
    def remaining(self) -> Decimal:
        """Quantity not filled yet, in base asset."""
        return self.quantity - self.filled

    @property
    def average(self) -> Decimal:
        """Average fill price, 0 before the first fill."""
        return self.spent / self.filled if self.filled else ZERO

    @property
    def side(self) -> Side:
        """Side of the order."""
        return self.request.side

    @property
    def sign(self) -> int:
        """1 for a buy, -1 for a sell."""
        return 1 if self.request.side == "BUY" else -1


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of an order. `realised` is profit before commission, in the settlement asset; `time` UNIX ms."""

    id: int
    order: Order
    quantity: Decimal
    price: Decimal
    commission: Decimal
    commission_asset: str
    realised: Decimal
    maker: bool
    time: int
    closed: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Position:
    """A linear position: `amount` is signed, in base asset; `entry` is the average entry price."""

    instrument: Instrument
    side: PositionSide = "BOTH"
    amount: Decimal = ZERO
    entry: Decimal = ZERO
    realised: Decimal = ZERO
    opened: int = 0
    updated: int = 0

    def profit(self, mark: Decimal) -> Decimal:
        """Return the unrealised profit at price `mark`."""
        return (mark - self.entry) * self.amount


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an order, with the order as it stands afterwards."""

    account: Account
    execution: Execution
    order: Order
    fill: Fill | None = None
    time: int = 0


@dataclass(slots=True)
class Account:
    """Everything one API key sees in one market. `name` is safe to show, unlike the key.

    `asked` holds the client order id and the time of every order that was sent, refused ones included.
    """

    name: str
    hedge: bool = False
    wallet: dict[str, Decimal] = field(default_factory=lambda: dict(OPENING_BALANCES))
    asked: list[tuple[str, int]] = field(default_factory=list)
    orders: dict[int, Order] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    positions: dict[tuple[str, PositionSide], Position] = field(default_factory=dict)

    def open_orders(self) -> Iterator[Order]:
        """Yield open orders, oldest first."""
        return (order for order in self.orders.values() if order.is_open)

    def locked(self, asset: str) -> Decimal:
        """Return how much of `asset` resting spot orders hold back."""
        total = ZERO
        for order in self.open_orders():
            if order.instrument.product != "spot":
                continue
            if order.side == "BUY" and order.instrument.quote == asset:
                total += order.remaining * order.price
            if order.side == "SELL" and order.instrument.base == asset:
                total += order.remaining
        return total

    def free(self, asset: str) -> Decimal:
        """Return what is left of `asset` for new spot orders."""
        return self.wallet.get(asset, ZERO) - self.locked(asset)

    def order_margin(self, asset: str) -> Decimal:
        """Return the initial margin that resting linear orders hold back in `asset`."""
        return sum(
            (
                order.remaining * order.price / LEVERAGE
                for order in self.open_orders()
                if order.instrument.product == "linear"
                and order.instrument.quote == asset
                and not order.request.reduce_only
            ),
            ZERO,
        )

    def position_margin(self, asset: str) -> Decimal:
        """Return the initial margin of open positions settled in `asset`, at their entry prices."""
        return sum(
            (abs(p.amount) * p.entry / LEVERAGE for p in self.positions.values() if p.instrument.quote == asset), ZERO
        )

    def margin_free(self, asset: str) -> Decimal:
        """Return what is left of `asset` for new linear orders, disregarding unrealised profit."""
        return self.wallet.get(asset, ZERO) - self.order_margin(asset) - self.position_margin(asset)


def move(position: Position, change: Decimal, price: Decimal, now: int) -> tuple[Position, Decimal]:
    """Return the position after trading `change` (signed) at `price`, and the profit that realises.

    Adding averages the entry, reducing keeps it, and going through zero opens the other side at `price`.
    """
    amount = position.amount + change
    if position.amount * change >= 0:
        entry = (position.entry * position.amount + price * change) / amount if amount else ZERO
        realised = ZERO
    else:
        closed = min(abs(change), abs(position.amount)).copy_sign(position.amount)
        realised = (price - position.entry) * closed
        entry = ZERO if amount == 0 else position.entry if amount * position.amount > 0 else price
    opened = now if position.amount == 0 or amount * position.amount < 0 else position.opened
    moved = replace(
        position,
        amount=amount,
        entry=entry,
        realised=position.realised + realised,
        opened=opened,
        updated=now,
    )
    return moved, realised


def crosses(side: Side, price: Decimal, quote: Quote) -> bool:
    """Return whether a limit order at `price` would trade against `quote`."""
    return price >= quote.ask if side == "BUY" else price <= quote.bid


@dataclass(slots=True)
class Books:
    """One market: its instruments and the accounts that trade them.

    Parameters
    ----------
    instruments : iterable of Instrument
        What can be traded here.
    quote : callable
        Returns the present `Quote` of an instrument.
    checks_on_entry : bool
        Whether a post-only order that would take is refused and a reduce-only order is cut to the position on entry,
        as Binance does; otherwise such orders are accepted, and what is too much is cancelled then, as Bybit does.
    """

    instruments: Iterable[Instrument]
    quote: Callable[[Instrument], Quote]
    checks_on_entry: bool = True
    accounts: dict[str, Account] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    _by_symbol: dict[tuple[Product, str], Instrument] = field(init=False)
    _order_ids: Iterator[int] = field(default_factory=lambda: itertools.count(8_000_001))
    _trade_ids: Iterator[int] = field(default_factory=lambda: itertools.count(3_000_001))

    def __post_init__(self) -> None:
        self._by_symbol = {(i.product, i.symbol): i for i in self.instruments}

    @property
    def _leftover(self) -> Literal["CANCELED", "EXPIRED"]:
        return "EXPIRED" if self.checks_on_entry else "CANCELED"

    def account(self, key: str) -> Account:
        """Return the account of `key`, opened on first sight."""
        if key not in self.accounts:
            self.accounts[key] = Account(name=f"account-{len(self.accounts) + 1}")
        return self.accounts[key]

    def instrument(self, product: Product, symbol: str) -> Instrument:
        """Return an instrument by name, or refuse with ``unknown_symbol``."""
        if (product, symbol) not in self._by_symbol:
            raise RefusedError("unknown_symbol")
        return self._by_symbol[product, symbol]

    def drain(self) -> list[Event]:
        """Return what happened since the last call."""
        happened, self.events = self.events, []
        return happened

    # -- requests ---------------------------------------------------------------------------------

    def place(self, account: Account, request: Request, now: int) -> Order:
        """Enter an order and fill what crosses. Returns the order as it then stands, or raises `RefusedError`."""
        account.asked.append((request.client_order_id, now))
        instrument = self.instrument(request.product, request.symbol)
        quote = self.quote(instrument)
        reference = request.price if request.kind == "LIMIT" else quote.opposite(request.side)
        quantity = request.quantity
        if request.quote_quantity:
            steps = request.quote_quantity / reference // instrument.step
            quantity = steps * instrument.step
        self._check_rules(instrument, request, quantity, reference)
        if any(o.request.client_order_id == request.client_order_id for o in account.open_orders()):
            raise RefusedError("duplicate_id")
        if request.reduce_only:
            reducible = self._reducible(account, instrument, request)
            quantity = min(quantity, reducible) if self.checks_on_entry else quantity
        self._check_funds(account, instrument, request, quantity, reference)
        takes = request.kind == "MARKET" or crosses(request.side, request.price, quote)
        post_only = request.time_in_force == "POST_ONLY"
        if takes and post_only and self.checks_on_entry:
            raise RefusedError("would_take")
        order = Order(
            id=next(self._order_ids),
            instrument=instrument,
            request=request,
            quantity=quantity,
            price=request.price,
            status="NEW",
            created=now,
            updated=now,
        )
        self._record(account, "NEW", order, now)
        if takes and post_only:
            return self._close(account, order, "CANCELED", now, "would_take")
        if takes:
            return self.fill(account, order, order.quantity, quote.opposite(request.side), maker=False, now=now)
        if request.time_in_force in ("IOC", "FOK"):
            return self._close(account, order, "EXPIRED", now, "no_immediate_fill")
        return order

    def cancel(self, account: Account, order: Order, now: int) -> Order:
        """Cancel an open order, or refuse with ``unknown_order``."""
        if not order.is_open:
            raise RefusedError("unknown_order")
        return self._close(account, order, "CANCELED", now)

    def cancel_all(self, account: Account, product: Product, symbol: str | None, now: int) -> list[Order]:
        """Cancel every open order of `product` (and `symbol`); returns them cancelled."""
        return [self._close(account, o, "CANCELED", now) for o in self.find(account, product, symbol) if o.is_open]

    def amend(self, account: Account, order: Order, quantity: Decimal, price: Decimal, now: int) -> Order:
        """Change quantity and price of an open order; fills it if it crosses then."""
        if not order.is_open:
            raise RefusedError("unknown_order")
        if (quantity, price) == (order.quantity, order.price):
            raise RefusedError("nothing_changed")
        self._check_rules(order.instrument, order.request, quantity, price)
        if quantity <= order.filled:
            raise RefusedError("bad_quantity")
        changed = replace(order, quantity=quantity, price=price, updated=now)
        self._record(account, "AMENDMENT", changed, now)
        quote = self.quote(order.instrument)
        if crosses(order.side, price, quote):
            return self.fill(account, changed, changed.remaining, quote.opposite(order.side), maker=False, now=now)
        return changed

    def fill(
        self, account: Account, order: Order, quantity: Decimal, price: Decimal, *, maker: bool, now: int
    ) -> Order:
        """Fill `quantity` of an open order at `price` and book balances, position and commission."""
        instrument = order.instrument
        if order.request.reduce_only:
            # What the order may reduce can be less than it asks for, or can have gone since it was accepted.
            quantity = min(quantity, self._open_against(account, order))
            if quantity <= 0:
                return self._close(account, order, self._leftover, now, "nothing_to_reduce")
        value = quantity * price
        rate = instrument.maker_fee if maker else instrument.taker_fee
        realised = closed = commission = ZERO
        commission_asset = instrument.quote
        if instrument.product == "linear":
            key = (instrument.symbol, order.request.position_side)
            before = account.positions.get(key) or Position(instrument, order.request.position_side)
            account.positions[key], realised = move(before, order.sign * quantity, price, now)
            if before.amount * order.sign < 0:
                closed = min(quantity, abs(before.amount))
            commission = value * rate
            self._credit(account, instrument.quote, realised - commission)
        else:
            # Spot takes its commission from what is received, as both exchanges do.
            received, given = (instrument.base, instrument.quote), (quantity, value)
            if order.side == "BUY":
                commission_asset, commission = instrument.base, quantity * rate
            else:
                commission = value * rate
            self._credit(account, received[0], order.sign * given[0])
            self._credit(account, received[1], -order.sign * given[1])
            self._credit(account, commission_asset, -commission)
        filled = order.filled + quantity
        after = replace(
            order,
            filled=filled,
            spent=order.spent + value,
            fees=order.fees + commission,
            status="FILLED" if filled == order.quantity else "PARTIALLY_FILLED",
            updated=now,
        )
        trade = Fill(
            id=next(self._trade_ids),
            order=after,
            quantity=quantity,
            price=price,
            commission=commission,
            commission_asset=commission_asset,
            realised=realised,
            maker=maker,
            time=now,
            closed=closed,
        )
        account.fills.append(trade)
        self._record(account, "TRADE", after, now, trade)
        if after.is_open and order.request.reduce_only and not self._open_against(account, after):
            return self._close(account, after, self._leftover, now, "nothing_to_reduce")
        return after

    def match(self, now: int) -> None:
        """Fill every resting order that the present quotes cross, at its own price, as maker."""
        for account in self.accounts.values():
            for order in list(account.open_orders()):
                if crosses(order.side, order.price, self.quote(order.instrument)):
                    self.fill(account, order, order.remaining, order.price, maker=True, now=now)

    def age(self, span: int) -> None:
        """Date everything in the books `span` milliseconds earlier, as if it had happened then."""
        for account in self.accounts.values():
            for number, order in account.orders.items():
                account.orders[number] = replace(order, created=order.created - span, updated=order.updated - span)
            account.fills = [replace(fill, time=fill.time - span) for fill in account.fills]
            for name, position in account.positions.items():
                moved = replace(position, opened=position.opened - span, updated=position.updated - span)
                account.positions[name] = moved

    # -- look-ups ---------------------------------------------------------------------------------

    def find(self, account: Account, product: Product, symbol: str | None = None) -> list[Order]:
        """Return orders of a product (and symbol), oldest first, closed ones included."""
        return [
            order
            for order in account.orders.values()
            if order.instrument.product == product and symbol in (None, "", order.instrument.symbol)
        ]

    # -- rules ------------------------------------------------------------------------------------

    def _check_rules(self, instrument: Instrument, request: Request, quantity: Decimal, price: Decimal) -> None:
        if not instrument.min_quantity <= quantity <= instrument.max_quantity or quantity % instrument.step:
            raise RefusedError("bad_quantity")
        if request.kind == "LIMIT" and (price <= 0 or price % instrument.tick):
            raise RefusedError("bad_price")
        if quantity * price < instrument.min_notional and not request.reduce_only:
            raise RefusedError("small_notional")

    def _check_funds(
        self, account: Account, instrument: Instrument, request: Request, quantity: Decimal, price: Decimal
    ) -> None:
        if instrument.product == "spot":
            asset, needed = (
                (instrument.quote, quantity * price) if request.side == "BUY" else (instrument.base, quantity)
            )
            if account.free(asset) < needed:
                raise RefusedError("no_balance")
            return
        if account.hedge == (request.position_side == "BOTH"):
            raise RefusedError("wrong_position_side")
        sign = 1 if request.side == "BUY" else -1
        held = account.positions.get((instrument.symbol, request.position_side))
        if request.reduce_only:
            return
        reducing = abs(held.amount) if held and held.amount * sign < 0 else ZERO
        if account.margin_free(instrument.quote) < max(ZERO, quantity - reducing) * price / LEVERAGE:
            raise RefusedError("no_margin")

    def _reducible(self, account: Account, instrument: Instrument, request: Request) -> Decimal:
        held = account.positions.get((instrument.symbol, request.position_side))
        sign = 1 if request.side == "BUY" else -1
        if held is None or held.amount * sign >= 0:
            raise RefusedError("no_position_to_reduce")
        return abs(held.amount)

    def _open_against(self, account: Account, order: Order) -> Decimal:
        held = account.positions.get((order.instrument.symbol, order.request.position_side))
        return abs(held.amount) if held and held.amount * order.sign < 0 else ZERO

    # -- records ----------------------------------------------------------------------------------

    def _credit(self, account: Account, asset: str, amount: Decimal) -> None:
        account.wallet[asset] = account.wallet.get(asset, ZERO) + amount

    def _close(
        self, account: Account, order: Order, status: Literal["CANCELED", "EXPIRED"], now: int, note: str = ""
    ) -> Order:
        closed = replace(order, status=status, updated=now, note=note)
        self._record(account, status, closed, now)
        return closed

    def _record(self, account: Account, execution: Execution, order: Order, now: int, fill: Fill | None = None) -> None:
        account.orders[order.id] = order
        self.events.append(Event(account, execution, order, fill, now))
