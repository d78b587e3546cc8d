"""A restricted node takes no risk: real strategies, real nodes, and what reached the exchange on loopback."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from nautilus_trader.execution.algorithm import ExecAlgorithm
from nautilus_trader.model.enums import OrderSide, OrderType, TradingState, TriggerType
from nautilus_trader.model.events import OrderEvent
from nautilus_trader.model.identifiers import ExecAlgorithmId, InstrumentId, StrategyId
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

from tests.conftest import CANARIES
from tests.forked import run_forked
from tests.integration.markets import BINANCE_SPOT, BYBIT_SPOT, LINEAR, USD_M, Market
from tests.key_generators import alphanumeric
from tests.venue.handle import MarketName, Rows, Venue

BUY, SELL = OrderSide.BUY, OrderSide.SELL
HALTED = "halted by a test"
BOOKS: tuple[MarketName, ...] = ("binance_futures", "binance_spot", "bybit")
Scenario = Callable[["Desk"], Awaitable[Any]]


class HandConfig(StrategyConfig, frozen=True):
    instruments: tuple[InstrumentId, ...] = ()


class Hand(Strategy):
    """Does what a scenario asks, and keeps what it is told."""

    def __init__(self, config: HandConfig) -> None:
        super().__init__(config)
        self.told: list[tuple[str, str, str]] = []
        self.reopens: Callable[[], None] | None = None

    def on_start(self) -> None:
        for instrument_id in self.config.instruments:
            self.subscribe_quote_ticks(instrument_id)

    def on_order_event(self, event: OrderEvent) -> None:
        self.told.append((type(event).__name__, str(event.client_order_id), str(getattr(event, "reason", ""))))

    def on_position_closed(self, event: Any) -> None:
        if self.reopens is not None:
            self.reopens()


class Slices(ExecAlgorithm):
    """Sends every order on in two halves."""

    def on_order(self, order: Any) -> None:
        half = order.quantity.as_decimal() / 2
        instrument = self.cache.instrument(order.instrument_id)
        self.submit_order(self.spawn_market(order, instrument.make_qty(half), reduce_only=order.is_reduce_only))
        self.submit_order(order)


class Desk:
    """A running node, its restriction and two strategies."""

    restriction: Any
    running: asyncio.Task[None]

    def __init__(self, node: Any, venue: Venue, hands: list[Hand], instruments: tuple[InstrumentId, ...]) -> None:
        self.node, self.venue, self.hands, self.instruments = node, venue, hands, instruments
        self.held = True
        self.changes: list[tuple[str, ...]] = []

    def make(
        self,
        side: OrderSide,
        quantity: str,
        price: str | None = None,
        hand: int = 0,
        instrument_id: InstrumentId | None = None,
        **more: Any,
    ) -> Any:
        instrument = self.node.cache.instrument(instrument_id or self.instruments[0])
        size, factory = instrument.make_qty(Decimal(quantity)), self.hands[hand].order_factory
        if price is None:
            return factory.market(instrument.id, side, size, **more)
        return factory.limit(instrument.id, side, size, instrument.make_price(Decimal(price)), **more)

    def stop(self, side: OrderSide, quantity: str, trigger: str, hand: int = 0, **more: Any) -> Any:
        """Return a stop that Nautilus emulates."""
        instrument = self.node.cache.instrument(self.instruments[0])
        return self.hands[hand].order_factory.stop_market(
            instrument.id,
            side,
            instrument.make_qty(Decimal(quantity)),
            instrument.make_price(Decimal(trigger)),
            emulation_trigger=TriggerType.BID_ASK,
            **more,
        )

    async def send(self, order: Any, hand: int = 0) -> str:
        """Submit an order and return its status when it rests or is done."""
        self.hands[hand].submit_order(order)
        return await self.settled(order)

    async def settled(self, order: Any) -> str:
        def look() -> Any:
            cached = self.node.cache.order(order.client_order_id)
            rests = cached.status_string() == "EMULATED" or (cached.has_price and cached.status_string() == "ACCEPTED")
            return cached.status_string() if cached.is_closed or rests else None

        status: str = await until(look)
        return status

    async def trade(self, side: OrderSide, quantity: str, hand: int = 0, **more: Any) -> str:
        return await self.send(self.make(side, quantity, hand=hand, **more), hand)

    def reasons(self, order: Any, event: str = "OrderDenied", hand: int = 0) -> list[str]:
        """Return what a strategy was told with its events of one kind for an order."""
        return [
            text for kind, name, text in self.hands[hand].told if (kind, name) == (event, str(order.client_order_id))
        ]

    def answers(self, order: Any, known: int = 0) -> list[str]:
        """Return what a strategy was told about its modifications of an order, after those that are known."""
        kinds = ("OrderModifyRejected", "OrderUpdated")
        return [kind for kind, name, _ in self.hands[0].told if name == str(order.client_order_id) and kind in kinds][
            known:
        ]

    def net(self, instrument_id: InstrumentId | None = None) -> str:
        return str(self.restriction.net(instrument_id or self.instruments[0]))

    def restrict(self) -> None:
        self.restriction.restrict("operator", HALTED)


async def until(look: Callable[[], Any], timeout: float = 20) -> Any:
    deadline = time.monotonic() + timeout
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s in vain")
        await asyncio.sleep(0.01)
    return found


async def live(node: Any, desk: Desk, scenario: Scenario) -> Any:
    from config.live.readiness import is_ready

    desk.running = asyncio.get_running_loop().create_task(node.run_async())
    await until(lambda: is_ready(node))
    await until(lambda: all(node.cache.quote_tick(instrument_id) for instrument_id in desk.instruments))
    return await scenario(desk)


def on_node(
    scenario: Scenario, environ: Mapping[str, str], instruments: tuple[str, ...], port: int, lease: bool = False
) -> Any:
    """Return what a scenario returns that runs in a node with a restriction."""
    from config.factory import TradingNodeConfigFactory
    from config.live.node import build_node
    from config.live.restriction import Restriction
    from config.models import TradingNodeSettings

    os.chdir(environ["HOME"])
    settings = TradingNodeSettings.from_env(None, environ, preset="testnet")
    names = tuple(InstrumentId.from_str(name) for name in instruments)
    hands = [Hand(HandConfig(order_id_tag=tag, instruments=names)) for tag in ("001", "002")]
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    node = build_node(TradingNodeConfigFactory.from_settings(settings), hands, loop=loop)
    node.trader.add_exec_algorithm(Slices())
    desk = Desk(node, Venue(port), hands, names)
    may_trade = (lambda: desk.held) if lease else None
    desk.restriction = Restriction(
        node, may_trade=may_trade, on_change=lambda reasons: desk.changes.append(tuple(reasons))
    )
    # The process ends with its answer. To stop the node first, which is not what is tested here, takes it a second and more.
    return loop.run_until_complete(live(node, desk, scenario))


class Exchange(Venue):
    """An exchange that the tests use one after the other, as one of them sees it: with accounts that are new."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._others = {market: {row["account"] for row in self.balances(market)} for market in BOOKS}

    def orders(self, market: MarketName) -> Rows:
        return [row for row in super().orders(market) if row["account"] not in self._others[market]]

    def positions(self, market: MarketName) -> Rows:
        return [row for row in super().positions(market) if row["account"] not in self._others[market]]


@pytest.fixture(scope="module")
def _venue() -> Iterator[Venue]:
    with Venue.start() as started:
        yield started


@pytest.fixture
def venue(_venue: Venue) -> Iterator[Venue]:
    yield Exchange(_venue.port)
    _venue.behave()
    _venue.price("BTCUSDT", 50_000)


@pytest.fixture
def on(venue: Venue, tmp_path: Path) -> Callable[..., Any]:
    """Return a function that runs a scenario on one market of this test's exchange."""

    def run(scenario: Scenario, market: Market, lease: bool = False) -> Any:
        environ = market.environ(environ_of(venue, tmp_path), venue)
        return run_forked(on_node, scenario, environ, (market.instrument_id,), venue.port, lease)

    return run


def environ_of(venue: Venue, folder: Path) -> dict[str, str]:
    return {
        "HOME": str(folder),
        "NAUTILUS_TRADER_ID": "HALT-001",
        "NAUTILUS_STATE_DIR": str(folder / "state"),
        "NAUTILUS_LOG_LEVEL": "WARNING",
        # An account of its own for each test.
        "BINANCE_FUTURES_TESTNET_API_KEY": alphanumeric(Random(f"binance {folder}"), 64),
        "BYBIT_TESTNET_API_KEY": alphanumeric(Random(f"bybit {folder}"), 18),
        **{name: value for name, value in CANARIES.items() if name.endswith("_API_SECRET")},
        **venue.environ(),
    }


def at_venue(venue: Venue, market: Market) -> list[tuple[str, str, str]]:
    return [(order["side"], order["quantity"], order["status"]) for order in venue.orders(market.books)]


def signed(venue: Venue, market: Market) -> list[Decimal]:
    return [Decimal(position["amount"]) for position in venue.positions(market.books) if Decimal(position["amount"])]


both = pytest.mark.parametrize("market", [USD_M, LINEAR], ids=lambda market: market.name)
spot = pytest.mark.parametrize("market", [BINANCE_SPOT, BYBIT_SPOT], ids=lambda market: market.name)


async def flat_book(desk: Desk) -> Any:
    desk.restrict()
    desk.restriction.restrict("operator", HALTED)
    orders = [desk.make(BUY, "0.01"), desk.make(SELL, "0.01"), desk.make(BUY, "0.01", "40000")]
    told = [(await desk.send(order), desk.reasons(order)) for order in orders]
    closed = [desk.node.cache.is_order_closed(order.client_order_id) for order in orders]
    counts = dict(desk.restriction.counts)
    desk.restriction.lift("operator")
    desk.restriction.lift("operator")
    return told, closed, counts, desk.changes, await desk.trade(BUY, "0.01"), desk.reasons(orders[0])


@both
def test_flat_node_opens_nothing_while_restricted_and_opens_again_once_that_is_lifted(
    market: Market, on: Callable[..., Any], venue: Venue
) -> None:
    told, closed, counts, changes, after, again = on(flat_book, market)
    assert ["DENIED"] * 3 == [status for status, _ in told]
    assert [1, 1, 1] == [len(reasons) for _, reasons in told]
    assert all(f"operator: {HALTED}" in reasons[0] for _, reasons in told)
    assert [True] * 3 == closed
    assert {"operator": 3} == counts
    assert [("operator",), ()] == changes
    assert "FILLED" == after
    assert 1 == len(again)
    assert ["BUY"] == [order[0] for order in at_venue(venue, market)]


async def positions(desk: Desk, held: OrderSide) -> Any:
    closing = SELL if held == BUY else BUY
    await desk.trade(held, "0.02")
    desk.restrict()
    more = await desk.trade(held, "0.01")
    flip = await desk.trade(closing, "0.021")
    # One after the other in one breath: the second must see what the first has claimed, and a denied one claims nothing.
    batch = [desk.make(closing, size) for size in ("0.03", "0.015", "0.01")]
    for order in batch:
        desk.hands[0].submit_order(order)
    together = [await desk.settled(order) for order in batch]
    rest = await desk.trade(closing, "0.005")
    return more, flip, together, rest, desk.net(), await desk.trade(closing, "0.005")


async def long(desk: Desk) -> Any:
    return await positions(desk, BUY)


async def short(desk: Desk) -> Any:
    return await positions(desk, SELL)


@both
@pytest.mark.parametrize("scenario", [long, short], ids=["long", "short"])
def test_restricted_position_shrinks_to_nothing_and_neither_grows_nor_flips(
    scenario: Scenario, market: Market, on: Callable[..., Any], venue: Venue
) -> None:
    more, flip, together, rest, net, after = on(scenario, market)
    assert ("DENIED", "DENIED") == (more, flip)
    assert ["DENIED", "FILLED", "DENIED"] == together
    assert ("FILLED", Decimal(0), "DENIED") == (rest, Decimal(net), after)
    assert [Decimal(size) for size in ("0.02", "0.015", "0.005")] == [
        Decimal(row[1]) for row in at_venue(venue, market)
    ]
    assert [] == signed(venue, market)


async def resting(desk: Desk) -> Any:
    await desk.trade(BUY, "0.02")
    target = desk.make(SELL, "0.02", "60000", reduce_only=True)
    entry = desk.make(BUY, "0.02", "40000")
    before = [await desk.send(target), await desk.send(entry)]
    desk.restrict()
    kept = [desk.node.cache.order(order.client_order_id).status_string() for order in (target, entry)]
    # What rests has claimed the position already: without the flag this could leave the node short.
    plain = await desk.trade(SELL, "0.01")
    flagged = await desk.trade(SELL, "0.01", reduce_only=True)
    stop = desk.stop(SELL, "0.01", "30000", reduce_only=True)
    held = await desk.send(stop)
    hand = desk.hands[0]
    hand.cancel_order(desk.node.cache.order(entry.client_order_id))
    await until(lambda: desk.node.cache.order(entry.client_order_id).is_closed)
    return before, kept, plain, flagged, held, desk.node.cache.order(entry.client_order_id).status_string()


@both
def test_reduce_only_orders_stay_and_pass_and_cancels_pass(
    market: Market, on: Callable[..., Any], venue: Venue
) -> None:
    before, kept, plain, flagged, held, cancelled = on(resting, market)
    assert ["ACCEPTED", "ACCEPTED"] == before == kept
    assert ("DENIED", "FILLED", "EMULATED", "CANCELED") == (plain, flagged, held, cancelled)
    open_orders = [row for row in at_venue(venue, market) if row[2] in ("NEW", "PARTIALLY_FILLED")]
    assert [("SELL", Decimal("0.02"))] == [(side, Decimal(size)) for side, size, _ in open_orders]
    assert [Decimal("0.01")] == signed(venue, market)


async def cancels(desk: Desk) -> Any:
    orders = [desk.make(BUY, "0.01", price) for price in ("40000", "40100", "40200")]
    for order in orders:
        await desk.send(order)
    desk.restrict()
    cached = [desk.node.cache.order(order.client_order_id) for order in orders]
    desk.hands[0].cancel_orders(cached[:2])
    await until(lambda: cached[0].is_closed and cached[1].is_closed)
    desk.hands[0].cancel_all_orders(desk.instruments[0])
    await until(lambda: cached[2].is_closed)
    return [order.status_string() for order in cached]


@both
def test_batch_cancel_and_cancel_all_pass_while_restricted(
    market: Market, on: Callable[..., Any], venue: Venue
) -> None:
    assert ["CANCELED"] * 3 == on(cancels, market)
    assert ["CANCELED"] * 3 == [row[2] for row in at_venue(venue, market)]


async def modifications(desk: Desk) -> Any:
    hand, cache = desk.hands[0], desk.node.cache
    await desk.trade(BUY, "0.02")
    entry = desk.make(BUY, "0.02", "40000")
    target = desk.make(SELL, "0.01", "60000", reduce_only=True)
    await desk.send(entry)
    await desk.send(target)
    desk.restrict()
    instrument = cache.instrument(desk.instruments[0])
    told = []
    for order, size, price in (
        (entry, "0.03", None),
        (entry, None, "40100"),
        (entry, "0.01", "40100"),
        (entry, "0.01", None),
        (target, "0.02", None),
        (target, None, "59000"),
    ):
        before = len(desk.answers(order))
        cached = cache.order(order.client_order_id)
        new_price = instrument.make_price(Decimal(price)) if price else None
        hand.modify_order(cached, instrument.make_qty(Decimal(size)) if size else None, new_price)
        (answer,) = (await until(partial(desk.answers, order, before)))[-1:]
        told.append((answer, cached.status_string(), str(cached.quantity), str(cached.price)))
    return told, desk.reasons(entry, "OrderModifyRejected")[0], dict(desk.restriction.counts)


@both
def test_opening_order_may_only_shrink_while_a_reduce_only_one_may_change(
    market: Market, on: Callable[..., Any], venue: Venue
) -> None:
    told, reason, counts = on(modifications, market)
    assert ["OrderModifyRejected"] * 3 + ["OrderUpdated"] * 3 == [row[0] for row in told]
    assert {"ACCEPTED"} == {row[1] for row in told}
    assert ("0.010", "40000") == (told[3][2], told[3][3].split(".")[0])
    assert ("0.020", "59000") == (told[5][2], told[5][3].split(".")[0])
    assert HALTED in reason
    assert {"operator": 3} == counts
    resting = {row[0]: Decimal(row[1]) for row in at_venue(venue, market) if row[2] == "NEW"}
    assert {"BUY": Decimal("0.01"), "SELL": Decimal("0.02")} == resting


def bracket(desk: Desk, emulated: bool, price: str | None = None) -> Any:
    instrument = desk.node.cache.instrument(desk.instruments[0])
    return desk.hands[0].order_factory.bracket(
        instrument.id,
        BUY,
        instrument.make_qty(Decimal("0.01")),
        entry_order_type=OrderType.LIMIT if price else OrderType.MARKET,
        entry_price=instrument.make_price(Decimal(price)) if price else None,
        tp_price=instrument.make_price(Decimal(60000)),
        sl_trigger_price=instrument.make_price(Decimal(40000)),
        emulation_trigger=TriggerType.BID_ASK if emulated else TriggerType.NO_TRIGGER,
    )


async def brackets(desk: Desk) -> Any:
    early = bracket(desk, emulated=True, price="45000")
    desk.hands[0].submit_order_list(early)
    first = await desk.settled(early.orders[0])
    desk.restrict()
    told = []
    for orders in (bracket(desk, emulated=False), bracket(desk, emulated=True)):
        desk.hands[0].submit_order_list(orders)
        told.append([(await desk.settled(order), len(desk.reasons(order))) for order in orders.orders])
    desk.venue.price("BTCUSDT", 44_000)
    await until(lambda: all(desk.reasons(order) for order in early.orders))
    late = [await desk.settled(order) for order in early.orders]
    return first, told, late, [len(desk.reasons(order)) for order in early.orders], dict(desk.restriction.counts)


@both
def test_bracket_is_denied_as_a_whole_at_once_and_when_its_entry_is_released(
    market: Market, on: Callable[..., Any], venue: Venue
) -> None:
    first, told, late, reasons, counts = on(brackets, market)
    assert "EMULATED" == first
    assert [[("DENIED", 1)] * 3] * 2 == told
    assert ["DENIED"] * 3 == late
    assert [1] * 3 == reasons
    assert {"operator": 9} == counts
    assert [] == venue.orders(market.books)


async def released(desk: Desk) -> Any:
    await desk.trade(BUY, "0.02")
    entry = desk.stop(BUY, "0.01", "51000")
    protection = desk.stop(SELL, "0.02", "49000", reduce_only=True)
    before = [await desk.send(entry), await desk.send(protection)]
    desk.restrict()
    at_once = await desk.send(desk.stop(BUY, "0.01", "51000"))
    desk.venue.price("BTCUSDT", 52_000)
    denied = await until(lambda: desk.reasons(entry))
    desk.venue.price("BTCUSDT", 48_000)
    await until(lambda: desk.node.cache.order(protection.client_order_id).is_closed)
    cache = desk.node.cache
    after = [cache.order(order.client_order_id).status_string() for order in (entry, protection)]
    return before, at_once, len(denied), after, desk.net()


@both
def test_emulated_entry_is_denied_when_released_while_the_emulated_stop_does_its_work(
    market: Market, on: Callable[..., Any], venue: Venue
) -> None:
    before, at_once, denied, after, net = on(released, market)
    assert ["EMULATED", "EMULATED"] == before
    assert ("DENIED", 1) == (at_once, denied)
    assert ["DENIED", "FILLED"] == after
    assert 0 == Decimal(net)
    assert ["BUY", "SELL"] == [row[0] for row in at_venue(venue, market)]
    assert [] == signed(venue, market)


async def sliced(desk: Desk) -> Any:
    algorithm = {"exec_algorithm_id": ExecAlgorithmId("Slices")}
    opened = await desk.trade(BUY, "0.02", **algorithm)
    await until(lambda: Decimal(desk.net()) == Decimal("0.02"))
    desk.restrict()
    more = await desk.trade(BUY, "0.02", **algorithm)
    closed = await desk.trade(SELL, "0.02", **algorithm)
    await until(lambda: Decimal(desk.net()) == 0)
    return opened, more, closed


@both
def test_execution_algorithm_is_held_to_the_same_rule(market: Market, on: Callable[..., Any], venue: Venue) -> None:
    assert ("FILLED", "DENIED", "FILLED") == on(sliced, market)
    assert [("BUY", "FILLED")] * 2 + [("SELL", "FILLED")] * 2 == [(row[0], row[2]) for row in at_venue(venue, market)]


async def spot_trades(desk: Desk) -> Any:
    await desk.trade(BUY, "0.02")
    held = Decimal(desk.net())
    desk.restrict()
    buy = await desk.trade(BUY, "0.01")
    rests = desk.make(SELL, "0.01", "60000")
    statuses = [await desk.send(rests), await desk.trade(SELL, "0.015"), await desk.trade(SELL, "0.005")]
    # Binance's spot orders have no such flag, and Bybit refuses it: it must not open the gate.
    flagged = desk.make(SELL, "0.03", reduce_only=True)
    statuses += [await desk.send(flagged)]
    return str(held), buy, statuses, desk.reasons(flagged)


@spot
def test_spot_sells_what_is_held_and_buys_nothing(market: Market, on: Callable[..., Any], venue: Venue) -> None:
    held, buy, statuses, flagged = on(spot_trades, market)
    assert Decimal("0.0199") <= Decimal(held) <= Decimal("0.02")
    assert "DENIED" == buy
    assert ["ACCEPTED", "DENIED", "FILLED", "DENIED"] == statuses
    assert HALTED in flagged[0]
    assert ["BUY", "SELL", "SELL"] == [row[0] for row in at_venue(venue, market)]


async def opposite(desk: Desk) -> Any:
    await desk.trade(BUY, "0.02", hand=0)
    await desk.trade(SELL, "0.008", hand=1)
    desk.restrict()
    # The leg of the second strategy is short, but what it buys back makes the net position larger.
    against = await desk.trade(BUY, "0.008", hand=1)
    whole = await desk.trade(SELL, "0.02", hand=0)
    part = await desk.trade(SELL, "0.012", hand=0)
    other = desk.reasons(desk.node.cache.orders(strategy_id=desk.hands[1].id)[-1], hand=1)
    return against, whole, part, desk.net(), len(other)


@both
def test_two_strategies_with_opposite_legs_are_judged_by_their_sum(
    market: Market, on: Callable[..., Any], venue: Venue
) -> None:
    against, whole, part, net, _ = on(opposite, market)
    assert ("DENIED", "DENIED", "FILLED") == (against, whole, part)
    assert 0 == Decimal(net)
    assert [("BUY", "FILLED"), ("SELL", "FILLED"), ("SELL", "FILLED")] == [
        (row[0], row[2]) for row in at_venue(venue, market)
    ]
    assert [] == signed(venue, market)


async def leased(desk: Desk) -> Any:
    opened = await desk.trade(BUY, "0.01")
    desk.held = False
    more = desk.make(BUY, "0.01")
    denied = await desk.send(more)
    reduced = await desk.trade(SELL, "0.005")
    desk.restriction.restrict("redis", "Redis is away")
    desk.restriction.restrict("disk", "the disk is full")
    both_told = desk.make(BUY, "0.01")
    await desk.send(both_told)
    desk.held = True
    desk.restriction.lift("redis")
    still = await desk.trade(BUY, "0.01")
    desk.restriction.lift("disk")
    again = await desk.trade(BUY, "0.01")
    told = (opened, denied, reduced, still, again, desk.reasons(more), desk.reasons(both_told))
    return told, dict(desk.restriction.counts), desk.changes


@both
def test_lost_lease_and_several_reasons_each_hold_the_gate(
    market: Market, on: Callable[..., Any], venue: Venue
) -> None:
    (opened, denied, reduced, still, again, why, all_why), counts, changes = on(leased, market, True)
    assert ("FILLED", "DENIED", "FILLED", "DENIED", "FILLED") == (opened, denied, reduced, still, again)
    assert "does not hold the lease" in why[0]
    assert all(text in all_why[0] for text in ("Redis is away", "the disk is full", "does not hold the lease"))
    assert {"lease": 2, "redis": 1, "disk": 2} == counts
    assert [("redis",), ("redis", "disk"), ("disk",), ()] == changes
    assert 3 == len(venue.orders(market.books))


async def hostile(desk: Desk) -> Any:
    def broken() -> bool:
        raise OSError("no answer")

    desk.restriction._may_trade = broken
    order = desk.make(BUY, "0.01")
    denied = await desk.send(order)
    desk.restriction._may_trade = None
    desk.restriction._on_change = lambda reasons: broken()
    desk.restrict()
    from config.live.restriction import Restriction

    try:
        Restriction(desk.node)
        second = ""
    except RuntimeError as error:
        second = str(error)
    return denied, desk.reasons(order), await desk.trade(BUY, "0.01"), second


def test_broken_lease_and_broken_callback_leave_the_gate_shut(on: Callable[..., Any], venue: Venue) -> None:
    denied, why, restricted, second = on(hostile, USD_M)
    assert ("DENIED", "DENIED") == (denied, restricted)
    assert "the lease cannot tell (OSError)" in why[0]
    assert "before it is started" in second
    assert [] == venue.orders(USD_M.books)


async def flattened(desk: Desk) -> Any:
    from config.live.restriction import flatten

    bybit = desk.instruments[1]
    await desk.trade(BUY, "0.02", hand=0)
    await desk.trade(BUY, "0.005", hand=0, instrument_id=bybit)
    await desk.trade(SELL, "0.03", hand=1, instrument_id=bybit)
    await desk.send(desk.make(BUY, "0.01", "40000"))
    await desk.send(desk.make(SELL, "0.02", "60000", reduce_only=True))
    await desk.send(desk.make(BUY, "0.01", "41000", hand=1, instrument_id=bybit), hand=1)
    await desk.send(desk.stop(SELL, "0.02", "45000", reduce_only=True))
    again = desk.make(BUY, "0.01")
    desk.hands[0].reopens = lambda: desk.hands[0].submit_order(again)
    done = await flatten(desk.node, 10, restriction=desk.restriction)
    await until(lambda: desk.reasons(again))
    return facts(done), dict(desk.restriction.reasons), [desk.net(name) for name in desk.instruments]


def facts(done: Any) -> dict[str, Any]:
    return {
        "flat": done.flat,
        "seconds": done.seconds,
        "cancelled": done.cancelled,
        "closing": done.closing,
        "orders": done.orders,
        "positions": {name: str(net) for name, net in done.positions.items()},
        "offset": done.offset,
    }


def test_flatten_leaves_nothing_open_at_either_venue_though_a_strategy_reopens(venue: Venue, tmp_path: Path) -> None:
    """Open orders, an emulated stop, a long, and opposite legs of which the short one is larger."""
    environ = environ_of(venue, tmp_path) | {"NAUTILUS_VENUES": "BINANCE,BYBIT"}
    names = (USD_M.instrument_id, LINEAR.instrument_id)
    done, reasons, nets = run_forked(on_node, flattened, environ, names, venue.port)
    assert done["flat"], done
    assert {"operator": "flattened by hand"} == reasons
    assert (4, 2) == (done["cancelled"], done["closing"])
    assert ((), {}) == (done["orders"], done["positions"])
    # Long 0.005 and short 0.005 of two strategies: nothing at the venue.
    assert 2 == len(done["offset"])
    assert [Decimal(0)] * 2 == [Decimal(net) for net in nets]
    for market in (USD_M, LINEAR):
        assert [] == signed(venue, market)
        assert [] == [row for row in at_venue(venue, market) if row[2] in ("NEW", "PARTIALLY_FILLED")]


async def flattened_spot(desk: Desk) -> Any:
    from config.live.restriction import flatten

    await desk.trade(BUY, "0.02")
    await desk.send(desk.make(SELL, "0.01", "60000"))
    return facts(await flatten(desk.node, 10, restriction=desk.restriction))


@spot
def test_flatten_sells_what_is_held_on_spot(market: Market, on: Callable[..., Any], venue: Venue) -> None:
    done = on(flattened_spot, market)
    assert done["flat"], done
    assert (1, 1) == (done["cancelled"], done["closing"])
    statuses = [row[2] for row in at_venue(venue, market)]
    assert ["FILLED", "CANCELED", "FILLED"] == statuses


async def flattened_stuck(desk: Desk) -> Any:
    from config.live.restriction import flatten

    await desk.trade(BUY, "0.02")
    await desk.send(desk.make(BUY, "0.01", "40000"))
    desk.venue.misbehave("refuse_cancels")
    desk.node.kernel.risk_engine.set_trading_state(TradingState.HALTED)
    return facts(await flatten(desk.node, 3, restriction=desk.restriction))


@both
def test_flatten_closes_though_a_cancel_is_refused_and_nautilus_is_halted_and_says_what_is_left(
    market: Market, on: Callable[..., Any], venue: Venue
) -> None:
    done = on(flattened_stuck, market)
    assert not done["flat"]
    assert 3 <= done["seconds"]
    assert (1, {}) == (len(done["orders"]), done["positions"])
    assert [] == signed(venue, market)


async def flattened_external(desk: Desk) -> Any:
    from config.live.restriction import flatten

    cache = desk.node.cache
    (position,) = cache.positions_open()
    owner = str(position.strategy_id)
    done = await flatten(desk.node, 10, restriction=desk.restriction)
    return owner, facts(done), [str(left.id) for left in cache.positions_open()]


async def open_only(desk: Desk) -> Any:
    return await desk.trade(SELL, "0.01")


@both
def test_flatten_closes_a_position_that_no_strategy_owns(market: Market, on: Callable[..., Any], venue: Venue) -> None:
    assert "FILLED" == on(open_only, market)
    owner, done, left = on(flattened_external, market)
    assert str(StrategyId("EXTERNAL")) == owner
    assert done["flat"], done
    assert ([], ()) == (left, done["offset"])
    assert [] == signed(venue, market)
