"""What is seen of the venues while a node runs: real nodes on the exchange on loopback, whose sockets and orders get lost."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

from tests.conftest import CANARIES
from tests.forked import run_forked
from tests.integration.markets import BINANCE_SPOT, BYBIT_SPOT, LINEAR, USD_M, Market
from tests.venue.handle import Venue

DERIVATIVES = (USD_M, LINEAR)
SPOT = (BINANCE_SPOT, BYBIT_SPOT)
CHECK_SECS = 0.2
LIMIT_SECS = 0.6
# A clock that runs ahead: 10 s of calm are over in half a second.
FAST = 20.0

Scenario = Callable[["Watch"], Awaitable[Any]]


class WatcherConfig(StrategyConfig, frozen=True):
    instruments: tuple[InstrumentId, ...] = ()


class Watcher(Strategy):
    """Subscribes to quotes and sends what a scenario wants."""

    def __init__(self, config: WatcherConfig) -> None:
        super().__init__(config)

    def on_start(self) -> None:
        for instrument_id in self.config.instruments:
            self.subscribe_quote_ticks(instrument_id)

    def on_stop(self) -> None:
        pass

    def rest(self, instrument_id: InstrumentId) -> Any:
        """Send an order that rests."""
        instrument = self.cache.instrument(instrument_id)
        size, price = instrument.make_qty(Decimal("0.01")), instrument.make_price(Decimal(40_000))
        order = self.order_factory.limit(instrument_id, OrderSide.BUY, size, price)
        self.submit_order(order)
        return order


class Watch:
    """A running node, its exchange and what watches it."""

    orders: Any

    def __init__(self, node: Any, venue: Venue, strategy: Watcher) -> None:
        from config.watch.venues import Outages

        self.node, self.venue, self.strategy = node, venue, strategy
        self.outages = Outages()
        self.now = 0.0
        self.seen_down: set[str] = set()

    def look(self) -> Mapping[str, bool]:
        from config.watch.venues import connections

        seen = connections(self.node)
        self.now = time.monotonic() * FAST
        self.outages.see(seen, self.now)
        self.seen_down |= {name for name, up in seen.items() if not up}
        return seen

    async def keep_looking(self) -> None:
        from config.watch.venues import LOOK_SECS

        while True:
            self.look()
            await asyncio.sleep(LOOK_SECS)

    def up(self) -> bool:
        return all(self.look().values())

    def down(self) -> set[str]:
        return {name for name, up in self.look().items() if not up}

    def venues(self, limit_secs: float) -> Mapping[str, str]:
        self.look()
        return self.outages.judge(self.now, limit_secs)

    def unknown(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self.orders.judge(time.monotonic())
        return found

    async def ask(self, command: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Steer the exchange from a thread: it answers while the node runs."""
        return await asyncio.to_thread(command, *args, **kwargs)

    async def until(self, look: Callable[[], Any], timeout: float = 30) -> Any:
        """Wait for what ``look`` returns."""
        deadline = time.monotonic() + timeout
        while not (found := look()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.look()} {dict(self.unknown())}")
            await asyncio.sleep(0.02)
        return found

    def connected(self) -> bool:
        """Return what Nautilus says of its clients."""
        engines = (self.node.kernel.data_engine, self.node.kernel.exec_engine)
        return all(client.is_connected for engine in engines for client in engine._clients.values())


def on_node(
    scenario: Scenario,
    environ: Mapping[str, str],
    instruments: tuple[str, ...],
    port: int,
    answer_secs: float,
) -> Any:
    """Return what a scenario returns beside a node that checks its orders more often than one does for real."""
    from config.factory import TradingNodeConfigFactory
    from config.live.node import build_node
    from config.live.readiness import is_ready
    from config.models import TradingNodeSettings
    from config.watch.venues import UnknownOrders

    os.chdir(environ["HOME"])
    settings = TradingNodeSettings.from_env(None, environ, preset="testnet")
    names = tuple(InstrumentId.from_str(name) for name in instruments)
    config = TradingNodeConfigFactory.from_settings(settings)
    often = {"open_check_interval_secs": CHECK_SECS, "inflight_check_interval_ms": round(CHECK_SECS * 1_000)}
    config = msgspec.structs.replace(config, exec_engine=msgspec.structs.replace(config.exec_engine, **often))
    strategy = Watcher(WatcherConfig(order_id_tag="001", instruments=names))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    node = build_node(config, [strategy], loop=loop)
    watch = Watch(node, Venue(port), strategy)
    watch.orders = UnknownOrders(node, limit_secs=LIMIT_SECS, answer_secs=answer_secs)

    async def live() -> Any:
        running = loop.create_task(node.run_async())
        await watch.until(lambda: is_ready(node) and all(node.cache.quote_tick(name) for name in names))
        await watch.until(watch.up)
        watch.outages = type(watch.outages)()
        watch.seen_down.clear()
        looking = loop.create_task(watch.keep_looking())
        found = await scenario(watch)
        looking.cancel()
        # How a node stops is proven elsewhere, and takes seconds.
        running.cancel()
        return found

    return loop.run_until_complete(live())


@pytest.fixture
def on(venue: Venue, tmp_path: Path) -> Callable[..., Any]:
    """Return a function that runs a scenario on some markets of this test's exchange."""

    def run(scenario: Scenario, markets: tuple[Market, ...], answer_secs: float = 20.0) -> Any:
        environ = {
            "HOME": str(tmp_path),
            "NAUTILUS_TRADER_ID": "WATCH-001",
            "NAUTILUS_STATE_DIR": str(tmp_path / "state"),
            "NAUTILUS_LOG_LEVEL": "OFF",
            "NAUTILUS_RECONCILIATION_STARTUP_DELAY_SECS": "0",
            **{name: value for name, value in CANARIES.items() if not name.startswith("REDIS")},
        }
        binance, bybit = markets
        environ = binance.environ(environ, venue)
        environ |= {"NAUTILUS_VENUES": "BINANCE,BYBIT", "BYBIT_PRODUCT_TYPES": bybit.product}
        names = tuple(market.instrument_id for market in markets)
        return run_forked(on_node, scenario, environ, names, venue.port, answer_secs)

    return run


# -- connections ----------------------------------------------------------------------------------


async def dropped(watch: Watch) -> Any:
    names = set(watch.look())
    claims, drops = [], 0
    while watch.seen_down != names:
        # Once, unless this machine is so busy that the node itself stands still for longer than a drop lasts.
        drops += 1
        await watch.ask(watch.venue.misbehave, "disconnect")
        claims.append(watch.connected())
        await asyncio.sleep(0.5)
        await watch.until(watch.up)
    counted = set(watch.outages.drops(watch.now).values())
    await watch.ask(watch.venue.misbehave, "bad_key")
    await watch.ask(watch.venue.counts, reset=True)
    await watch.ask(watch.venue.misbehave, "disconnect")
    logons = {"POST /fapi/v1/listenKey", "WS /ws-api session.logon"}
    while not logons & (asked := set(await watch.ask(watch.venue.counts))) or "WS /v5/private auth" not in asked:
        await asyncio.sleep(0.05)
    private = {name for name in names if name.endswith(("user stream", "private"))}
    await watch.until(lambda: watch.down() == private)
    await watch.ask(watch.venue.behave)
    told = await watch.until(lambda: len(found := watch.venues(limit_secs=FAST)) == len(private) and found)
    claims.append(watch.connected())
    return names, drops, counted, watch.down(), told, claims


def test_drop_of_a_moment_is_seen_and_a_refused_logon_is_an_outage_while_nautilus_says_connected(
    on: Callable[..., Any],
) -> None:
    """Drops last 0.2 s. After a key was refused once, Binance's user stream is gone for good, Bybit's is open and empty."""
    names, drops, counted, refused, told, claims = on(dropped, DERIVATIVES)
    expected = {
        "BINANCE data book streams",
        "BINANCE execution user stream",
        "BYBIT data public linear",
        "BYBIT execution private",
        "BYBIT execution trade",
    }
    assert expected == names
    assert drops == max(counted)
    assert {"BINANCE execution user stream", "BYBIT execution private"} == refused
    assert told["venue BINANCE"].startswith("no connection to BINANCE (execution user stream) for ")
    assert told["venue BYBIT"].startswith("no connection to BYBIT (execution private) for ")
    assert {True} == set(claims)


async def silent(watch: Watch) -> Any:
    await watch.ask(watch.venue.misbehave, "hang", path="/ws-api")
    await watch.ask(watch.venue.misbehave, "disconnect", "BINANCE")
    await watch.until(lambda: len(watch.down()) > 1)
    user = next(iter(watch.node.kernel.exec_engine._clients.values()))._ws_client
    await watch.until(lambda: len(watch.down()) == 1 and not user._client.is_reconnecting())
    return watch.down(), user._client.is_active(), user._is_recovery_failed


def test_logon_that_is_not_answered_is_no_connection_though_the_socket_is_up(on: Callable[..., Any]) -> None:
    """Nautilus waits 10 s for the answer and then gives the stream up."""
    assert ({"BINANCE execution user stream"}, True, False) == on(silent, SPOT)


async def unreachable(watch: Watch) -> Any:
    limit_secs, back = FAST * 0.1, {}
    names = set(watch.look())

    def over() -> bool:
        told = watch.venues(limit_secs)
        back.update({venue: text for venue, text in told.items() if "is back" in text})
        return not told

    await watch.ask(watch.venue.misbehave, "http_500")
    await watch.ask(watch.venue.misbehave, "disconnect")
    await watch.until(lambda: watch.down() == names)
    away = await watch.until(lambda: len(found := watch.venues(limit_secs)) == 2 and found)
    claims = [watch.connected()]
    await watch.ask(watch.venue.behave)
    await watch.until(over)
    claims.append(watch.connected())
    return away, back, claims


def test_exchange_that_refuses_connections_is_told_until_all_have_held_for_a_while(on: Callable[..., Any]) -> None:
    away, back, claims = on(unreachable, SPOT)
    assert {"venue BINANCE", "venue BYBIT"} == set(away) == set(back)
    assert away["venue BINANCE"].startswith("no connection to BINANCE (data book streams, execution user stream) for ")
    assert away["venue BYBIT"].startswith(
        "no connection to BYBIT (data public spot, execution private, execution trade)"
    )
    for venue in ("BINANCE", "BYBIT"):
        assert f"the connection to {venue} (" in back[f"venue {venue}"]
        assert back[f"venue {venue}"].endswith(" and is back for less than 10 s")
    assert [True, True] == claims


# -- outages, on a clock of our own ---------------------------------------------------------------

STREAM = "BINANCE execution user stream"
DATA = "BYBIT data public linear"


def seen(*looks: tuple[float, dict[str, bool]]) -> Any:
    from config.watch.venues import Outages

    outages = Outages()
    for now, connections in looks:
        outages.see(connections, now)
    return outages


def test_outage_counts_from_the_first_look_and_is_told_after_the_limit() -> None:
    outages = seen((0, {STREAM: True, DATA: True}), (1, {STREAM: False, DATA: True}), (32, {STREAM: False, DATA: True}))
    assert {STREAM: 1} == outages.down
    assert {} == outages.judge(31, 30)
    assert {"venue BINANCE": "no connection to BINANCE (execution user stream) for 31 s"} == outages.judge(32, 30)


def test_outage_is_over_when_the_connection_has_held_for_10_s() -> None:
    """A short drop meanwhile begins the calm anew; one after it does not bring the outage back."""
    outages = seen((0, {STREAM: False}), (40, {STREAM: True}), (45, {STREAM: False}), (46, {STREAM: True}))
    was_lost = "the connection to BINANCE (execution user stream) was lost for 40 s and is back for less than 10 s"
    assert {"venue BINANCE": was_lost} == outages.judge(55, 30)
    assert {} == outages.judge(56, 30)
    outages.see({STREAM: False}, 60)
    assert {} == outages.judge(61, 30)
    assert {STREAM: 3} == outages.drops(61)


def test_more_than_5_drops_in_10_minutes_are_told_until_one_is_older() -> None:
    looks = [(60.0 * minute + second, {DATA: bool(second)}) for minute in range(1, 7) for second in (0, 1)]
    assert {} == seen((0, {DATA: True}), *looks[:-2]).judge(361, 30)
    outages = seen((0, {DATA: True}), *looks)
    text = "the connection to BYBIT drops again and again (data public linear 6 times in 10 minutes)"
    assert {"venue BYBIT": text} == outages.judge(361, 30) == outages.judge(659, 30)
    assert {} == outages.judge(660, 30)


def test_connection_that_was_closed_on_purpose_is_forgotten() -> None:
    outages = seen((0, {STREAM: True, DATA: False}), (100, {STREAM: True}))
    assert {} == outages.judge(100, 30) == outages.down == outages.drops(100)


def test_both_kinds_of_trouble_of_one_venue_are_one_reason() -> None:
    looks = [(float(second), {STREAM: bool(second % 2), DATA: True}) for second in range(1, 12)]
    outages = seen(*looks, (12, {STREAM: True, DATA: False}), (50, {STREAM: False, DATA: False}))
    assert {"venue BINANCE", "venue BYBIT"} == set(outages.judge(90, 30))
    lost, again = outages.judge(90, 30)["venue BINANCE"].split("; ")
    assert "no connection to BINANCE (execution user stream) for 40 s" == lost
    assert again.startswith("the connection to BINANCE drops again and again (execution user stream")


# -- orders ---------------------------------------------------------------------------------------


def two_orders(told: Mapping[str, str]) -> dict[str, str] | None:
    """Return what is told if that is orders of both venues, without the seconds."""
    both = ["in the books" in told.get(f"orders {venue}", "") for venue in ("BINANCE", "BYBIT")]
    return {reason: re.sub(r" \d+ s", " N s", text) for reason, text in told.items()} if all(both) else None


async def resting(watch: Watch, count: int) -> dict[str, list[Any]]:
    """Return so many orders at each venue, all of them accepted."""
    names = watch.strategy.config.instruments
    orders = {str(name.venue): [watch.strategy.rest(name) for _ in range(count)] for name in names}
    await watch.until(lambda: all(o.status_string() == "ACCEPTED" for found in orders.values() for o in found))
    return orders


async def forgotten(watch: Watch) -> Any:
    orders = await resting(watch, 3)
    for kept, _, partly in orders.values():
        await watch.ask(watch.venue.fill, str(kept.client_order_id), "0.004")
        await watch.ask(watch.venue.fill, str(partly.client_order_id), "0.004")
    filled = [order for kept, _, partly in orders.values() for order in (kept, partly)]
    await watch.until(lambda: all(order.status_string() == "PARTIALLY_FILLED" for order in filled))
    # Binance's adapter leaves out what was created more than an hour ago.
    await watch.ask(watch.venue.age, 120)
    await watch.ask(watch.venue.counts, reset=True)
    await asyncio.sleep(2 * LIMIT_SECS)
    before = str(watch.unknown())
    for _, lost, partly in orders.values():
        await watch.ask(watch.venue.forget, str(lost.client_order_id))
        await watch.ask(watch.venue.forget, str(partly.client_order_id))
    told = await watch.until(lambda: two_orders(watch.unknown()))
    ids = {venue: [str(order.client_order_id) for order in found] for venue, found in orders.items()}
    return before, told, ids, await watch.ask(watch.venue.counts)


def test_open_order_that_the_venue_has_forgotten_is_told_and_one_that_it_has_is_not(on: Callable[..., Any]) -> None:
    """Old orders and partly filled ones too, from what Nautilus asks anyway: no order is asked for by itself."""
    before, told, ids, counts = on(forgotten, DERIVATIVES)
    assert "in the books" not in before
    for venue, (kept, lost, _) in ids.items():
        text = f"order {lost} and 1 more are open in the books and {venue} has not had it for N s"
        assert text in told[f"orders {venue}"]
        assert kept not in told[f"orders {venue}"]
    assert not {"GET /fapi/v1/order", "GET /v5/order/history"} & set(counts)


async def unheard(watch: Watch) -> Any:
    orders = await resting(watch, 1)
    ids = {venue: str(order.client_order_id) for venue, (order,) in orders.items()}
    await watch.ask(watch.venue.misbehave, "half_open")
    for name in ids.values():
        await watch.ask(watch.venue.fill, name)
    told = await watch.until(lambda: two_orders(watch.unknown()))
    seen = set(watch.seen_down)
    await watch.ask(watch.venue.behave)
    await watch.ask(watch.venue.misbehave, "disconnect")
    await watch.until(lambda: orders["BINANCE"][0].status_string() == "FILLED")
    await watch.until(lambda: watch.up() and set(watch.unknown()) == {"orders BYBIT"})
    return ids, told, seen, orders["BYBIT"][0].status_string()


def test_fill_that_was_not_heard_on_a_half_open_connection_is_told(on: Callable[..., Any]) -> None:
    """The connections look well. Once they are back, Binance's adapter asks what it missed; Bybit's does not."""
    ids, told, seen, status = on(unheard, DERIVATIVES)
    for venue, name in ids.items():
        assert f"order {name} is open in the books and {venue} has not had it for N s" in told[f"orders {venue}"]
    assert set() == seen
    assert "ACCEPTED" == status


async def unanswered(watch: Watch) -> Any:
    orders = await resting(watch, 1)
    found = []
    for fault, options in (
        ("http_500", {}),
        ("slow", {"ms": 3_000}),
        ("hang", {"path": "/api/v3/openOrders", "times": 1}),
    ):
        await watch.ask(watch.venue.misbehave, fault, "BINANCE", **options)
        found.append(await watch.until(lambda: watch.unknown().get("orders BINANCE")))
        if fault == "hang":
            # The next question is asked though this one is never answered.
            await watch.until(lambda: not watch.unknown())
        await watch.ask(watch.venue.behave)
        await watch.until(lambda: not watch.unknown())
    ids = {venue: str(order.client_order_id) for venue, (order,) in orders.items()}
    for name in ids.values():
        await watch.ask(watch.venue.forget, name)
    return found, ids, await watch.until(lambda: two_orders(watch.unknown()))


def test_questions_without_an_answer_say_nothing_of_the_orders_and_are_told_themselves(on: Callable[..., Any]) -> None:
    """Where its question fails, an adapter answers with no orders at all; where it hangs, Nautilus would wait for ever."""
    found, ids, told = on(unanswered, SPOT, answer_secs=0.8)
    assert 3 == len(found)
    assert all(re.fullmatch(r"BINANCE has not told its open orders for \d s", text) for text in found)
    for venue, name in ids.items():
        assert f"order {name} is open in the books and {venue} has not had it for N s" in told[f"orders {venue}"]
