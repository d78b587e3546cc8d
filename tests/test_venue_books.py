"""The venue's books: what they accept, fill and keep, without sockets."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.venue.books import Account, Books, Order, Position, RefusedError, Request, move
from tests.venue.market import BINANCE_FUTURES, BINANCE_SPOT, TICKS_PER_WAVE, Prices, quote_at, wave

NOW = 1_700_000_000_000
BTC = BINANCE_FUTURES[0]


class Desk:
    """Books with a price to turn, and orders in one line."""

    def __init__(self, instruments: Any = BINANCE_FUTURES, **options: Any) -> None:
        self.prices = Prices()
        self.books = Books(instruments, self.prices.quote, **options)
        self.product = instruments[0].product
        self.mine = self.books.account("mine")
        self._made = 0

    def order(self, side: Any, quantity: str, price: str | None = None, **options: Any) -> Order:
        self._made += 1
        request = Request(
            symbol="BTCUSDT",
            product=self.product,
            side=side,
            kind="LIMIT" if price else "MARKET",
            quantity=Decimal(quantity),
            price=Decimal(price or 0),
            client_order_id=options.pop("name", f"order-{self._made}"),
            **options,
        )
        return self.books.place(self.mine, request, NOW)

    def turn(self, price: int) -> None:
        self.prices.move("BTCUSDT", Decimal(price))
        self.books.match(NOW + 1)

    def position(self, account: Account | None = None) -> Position:
        return (account or self.mine).positions["BTCUSDT", "BOTH"]

    def now(self, order: Order) -> Order:
        return self.mine.orders[order.id]


def refusal(action: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        action(*args, **options)
    return caught.value.reason


@pytest.mark.parametrize(
    "held, entry, change, price, expected",
    [
        ("0", "0", "2", "100", ("2", "100", "0")),
        ("2", "100", "2", "110", ("4", "105", "0")),
        ("4", "105", "-1", "115", ("3", "105", "10")),
        ("4", "105", "-4", "95", ("0", "0", "-40")),
        ("1", "100", "-3", "90", ("-2", "90", "-10")),
        ("-2", "90", "1", "80", ("-1", "90", "10")),
        ("-2", "90", "5", "80", ("3", "80", "20")),
    ],
    ids=["open", "add", "reduce", "close", "flip to short", "reduce short", "flip to long"],
)
def test_a_trade_moves_amount_entry_and_profit(
    held: str, entry: str, change: str, price: str, expected: tuple[str, str, str]
) -> None:
    before = Position(BTC, amount=Decimal(held), entry=Decimal(entry), opened=1)
    after, realised = move(before, Decimal(change), Decimal(price), NOW)
    assert tuple(map(Decimal, expected)) == (after.amount, after.entry, realised)
    assert realised == after.realised


def test_flipping_a_position_dates_it_anew_and_reducing_does_not() -> None:
    before = Position(BTC, amount=Decimal(2), entry=Decimal(100), opened=1)
    assert move(before, Decimal(-1), Decimal(100), NOW)[0].opened == 1
    assert move(before, Decimal(-3), Decimal(100), NOW)[0].opened == NOW


def test_default_prices_swing_around_their_centre_and_come_back() -> None:
    quotes = [quote_at(BTC, Decimal(50_000), tick) for tick in range(TICKS_PER_WAVE + 1)]
    assert quotes[0] == quotes[-1]
    assert {quote.ask - quote.bid for quote in quotes} == {Decimal("0.20")}
    assert (min(q.bid for q in quotes), max(q.ask for q in quotes)) == (Decimal("49997.90"), Decimal("50002.10"))
    assert [wave(tick) for tick in (0, 5, 10, 15)] == [0, 1, 0, -1]


def test_a_market_order_takes_the_other_side_and_pays_the_taker_fee() -> None:
    desk = Desk()
    order = desk.order("BUY", "0.010")
    assert ("FILLED", Decimal("50000.10")) == (order.status, order.average)
    assert Decimal("0.010") == desk.position().amount
    assert Decimal("10000") - Decimal("500.001") * BTC.taker_fee == desk.mine.wallet["USDT"]


def test_a_limit_order_that_crosses_gets_the_better_price() -> None:
    desk = Desk()
    assert Decimal("50000.10") == desk.order("BUY", "0.010", "51000").average
    assert Decimal("49999.90") == desk.order("SELL", "0.010", "49000").average
    assert [fill.maker for fill in desk.mine.fills] == [False, False]


def test_a_resting_order_is_filled_at_its_own_price_when_the_market_comes() -> None:
    desk = Desk()
    order = desk.order("BUY", "0.010", "49000")
    desk.turn(49_500)
    assert desk.now(order).status == "NEW"
    desk.turn(48_900)
    assert ("FILLED", Decimal(49_000)) == (desk.now(order).status, desk.now(order).average)
    assert desk.mine.fills[0].maker
    assert [event.execution for event in desk.books.drain()] == ["NEW", "TRADE"]


@pytest.mark.parametrize("time_in_force", ["IOC", "FOK"])
def test_an_order_for_now_or_never_expires_when_nothing_crosses(time_in_force: Any) -> None:
    desk = Desk()
    order = desk.order("BUY", "0.010", "49000", time_in_force=time_in_force)
    assert order.status == "EXPIRED"
    desk.turn(40_000)
    assert desk.mine.fills == []


def test_a_post_only_order_that_would_take_is_refused_or_cancelled_as_the_exchange_does() -> None:
    assert refusal(Desk().order, "BUY", "0.010", "51000", time_in_force="POST_ONLY") == "would_take"
    desk = Desk(checks_on_entry=False)
    order = desk.order("BUY", "0.010", "51000", time_in_force="POST_ONLY")
    assert (order.status, order.note) == ("CANCELED", "would_take")
    assert desk.order("BUY", "0.010", "49000", time_in_force="POST_ONLY").status == "NEW"


def test_partial_fills_add_up_and_the_rest_can_be_cancelled() -> None:
    desk = Desk()
    order = desk.order("BUY", "0.010", "49000")
    half = desk.books.fill(desk.mine, order, Decimal("0.004"), order.price, maker=True, now=NOW)
    assert ("PARTIALLY_FILLED", Decimal("0.006")) == (half.status, half.remaining)
    assert desk.books.cancel(desk.mine, half, NOW).status == "CANCELED"
    assert Decimal("0.004") == desk.position().amount
    assert refusal(desk.books.cancel, desk.mine, desk.now(order), NOW) == "unknown_order"


def test_reduce_only_needs_a_position_to_reduce() -> None:
    desk = Desk()
    assert refusal(desk.order, "SELL", "0.010", reduce_only=True) == "no_position_to_reduce"
    desk.order("BUY", "0.010")
    assert refusal(desk.order, "BUY", "0.010", reduce_only=True) == "no_position_to_reduce"


def test_reduce_only_never_turns_the_position() -> None:
    desk = Desk()
    desk.order("BUY", "0.010")
    order = desk.order("SELL", "0.050", reduce_only=True)
    assert ("FILLED", Decimal("0.010")) == (order.status, order.quantity)
    assert desk.position().amount == 0


def test_reduce_only_keeps_its_quantity_and_cancels_the_excess_where_the_exchange_does() -> None:
    desk = Desk(checks_on_entry=False)
    desk.order("BUY", "0.010")
    order = desk.order("SELL", "0.050", reduce_only=True)
    assert ("CANCELED", Decimal("0.050"), Decimal("0.010")) == (order.status, order.quantity, order.filled)
    assert desk.position().amount == 0


def test_a_resting_reduce_only_order_expires_when_its_position_has_gone() -> None:
    desk = Desk()
    desk.order("BUY", "0.010")
    order = desk.order("SELL", "0.010", "51000", reduce_only=True)
    desk.order("SELL", "0.010")
    desk.turn(52_000)
    assert desk.now(order).status == "EXPIRED"
    assert desk.position().amount == 0


@pytest.mark.parametrize(
    "quantity, price, reason",
    [
        ("0.0105", "50000", "bad_quantity"),
        ("0", "50000", "bad_quantity"),
        ("1001", "50000", "bad_quantity"),
        ("0.010", "50000.05", "bad_price"),
        ("0.001", "50000", "small_notional"),
        ("5", "50000", "no_margin"),
    ],
)
def test_orders_against_the_instruments_rules_are_refused(quantity: str, price: str, reason: str) -> None:
    desk = Desk()
    assert reason == refusal(desk.order, "BUY", quantity, price)
    assert desk.books.drain() == []


def test_a_client_order_id_may_be_used_again_once_its_order_is_closed() -> None:
    desk = Desk()
    first = desk.order("BUY", "0.010", "49000", name="same")
    assert refusal(desk.order, "BUY", "0.010", "49000", name="same") == "duplicate_id"
    desk.books.cancel(desk.mine, first, NOW)
    assert desk.order("BUY", "0.010", "49000", name="same").id > first.id


def test_an_amended_order_keeps_its_id_and_fills_when_it_crosses() -> None:
    desk = Desk()
    order = desk.order("BUY", "0.010", "49000")
    assert refusal(desk.books.amend, desk.mine, order, order.quantity, order.price, NOW) == "nothing_changed"
    moved = desk.books.amend(desk.mine, order, Decimal("0.020"), Decimal(49_500), NOW)
    assert (order.id, "NEW", Decimal("0.020")) == (moved.id, moved.status, moved.quantity)
    assert desk.books.amend(desk.mine, moved, Decimal("0.020"), Decimal(51_000), NOW).status == "FILLED"


def test_hedge_mode_keeps_long_and_short_apart_and_refuses_one_way_orders() -> None:
    desk = Desk()
    assert refusal(desk.order, "BUY", "0.010", position_side="LONG") == "wrong_position_side"
    desk.mine.hedge = True
    assert refusal(desk.order, "BUY", "0.010") == "wrong_position_side"
    desk.order("BUY", "0.010", position_side="LONG")
    desk.order("SELL", "0.020", position_side="SHORT")
    amounts = {side: position.amount for (_, side), position in desk.mine.positions.items()}
    assert amounts == {"LONG": Decimal("0.010"), "SHORT": Decimal("-0.020")}


def test_accounts_do_not_see_each_other() -> None:
    desk = Desk()
    other = desk.books.account("other")
    desk.order("BUY", "0.010")
    order = desk.order("BUY", "0.010", "49000")
    assert desk.books.cancel_all(other, "linear", None, NOW) == []
    assert (desk.now(order).status, other.orders, other.positions) == ("NEW", {}, {})
    assert (desk.mine.name, other.name) == ("account-1", "account-2")
    assert other.wallet["USDT"] == 10_000


def test_cancelling_all_spares_other_symbols() -> None:
    desk = Desk()
    order = desk.order("BUY", "0.010", "49000")
    assert desk.books.cancel_all(desk.mine, "linear", "ETHUSDT", NOW) == []
    assert [order.id] == [o.id for o in desk.books.cancel_all(desk.mine, "linear", "BTCUSDT", NOW)]


def test_spot_fills_move_both_assets_and_take_the_fee_from_what_is_received() -> None:
    desk = Desk(BINANCE_SPOT)
    order = desk.order("BUY", "0.1")
    assert Decimal("10000") - order.spent == desk.mine.wallet["USDT"]
    assert Decimal("1.1") - Decimal("0.0001") == desk.mine.wallet["BTC"]
    desk.order("SELL", "0.1", "40000")
    assert desk.mine.fills[-1].commission_asset == "USDT"
    assert desk.mine.positions == {}


def test_resting_spot_orders_lock_what_they_would_spend() -> None:
    desk = Desk(BINANCE_SPOT)
    order = desk.order("BUY", "0.1", "49000")
    assert (Decimal(4_900), Decimal(5_100)) == (desk.mine.locked("USDT"), desk.mine.free("USDT"))
    assert refusal(desk.order, "BUY", "0.11", "49000") == "no_balance"
    assert refusal(desk.order, "SELL", "1.1") == "no_balance"
    desk.books.cancel(desk.mine, order, NOW)
    assert desk.mine.locked("USDT") == 0


def test_a_spot_market_order_may_say_what_to_spend() -> None:
    desk = Desk(BINANCE_SPOT)
    order = desk.order("BUY", "0", quote_quantity=Decimal(100))
    assert Decimal("0.00199") == order.filled
    assert order.spent <= 100
