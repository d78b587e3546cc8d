"""No strategy acts on books that are not the venue's: real nodes, and an exchange on loopback that lies or fails in between."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Literal

import msgspec
import pytest
from nautilus_trader.adapters.binance.futures.execution import BinanceFuturesExecutionClient
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OmsType, OrderSide
from nautilus_trader.model.identifiers import AccountId, ClientOrderId, InstrumentId, PositionId, StrategyId, TradeId
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.model.position import Position
from nautilus_trader.test_kit.stubs.events import TestEventStubs
from nautilus_trader.test_kit.stubs.execution import TestExecStubs
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

from config.live.agreement import HTTP_OBJECTS, REPORTS, both_numbers, instrument_ids_in, nearest_id
from tests.forked import run_forked
from tests.key_generators import alphanumeric
from tests.venue.handle import Venue

Prepare = Callable[[Any, Venue], None]
Told = dict[str, Any]
Fault = tuple[str, Literal["BINANCE", "BYBIT"] | None, dict[str, Any]]

HAND = "by-hand"
PAUSE_SECS = 0.02
PATIENCE_SECS = 20.0
# Requests of the Binance adapter.
POSITIONS = "GET /fapi/v3/positionRisk"
OPEN_ORDERS = "GET /fapi/v1/openOrders"
# What tests wait for before they interfere: methods of the kernel that nobody wraps.
CONNECTED = "_check_engines_connected"
RECONCILED = "exec_engine.reconcile_execution_state"
INITIALISED = "_check_portfolio_initialized"


@dataclass(frozen=True)
class Market:
    """Which venues a node is on, and what its strategy trades; here, since each node imports this module and what it imports."""

    venues: str
    instrument_id: str
    account: str = "USDT_FUTURES"
    product: str = "LINEAR"


LINEAR = "BTCUSDT-LINEAR.BYBIT"
USD_M = Market("BINANCE", "BTCUSDT-PERP.BINANCE")
BOTH = Market("BINANCE,BYBIT", USD_M.instrument_id)
BINANCE_SPOT = Market("BINANCE", "BTCUSDT.BINANCE", account="SPOT")
BYBIT_SPOT = Market("BYBIT", "BTCUSDT-SPOT.BYBIT", product="SPOT")


class EagerConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    others: tuple[Any, ...] = ()


class Eager(Strategy):
    """Sends an order as early as a strategy can."""

    def on_start(self) -> None:
        instrument = self.cache.instrument(self.config.instrument_id)
        quantity = instrument.make_qty(Decimal("0.01"))
        self.submit_order(self.order_factory.market(instrument.id, OrderSide.BUY, quantity))


def nothing(_node: Any, _venue: Venue) -> None:
    """Leave the node as it is."""


def wrapped(client: Any) -> list[str]:
    """Return what somebody has put in front of a client's own."""
    methods = [name for name in ("generate_mass_status", *REPORTS) if name in vars(client)]
    objects = {name: type(vars(client)[name]).__module__ for name in HTTP_OBJECTS if name in vars(client)}
    return methods + [name for name, module in objects.items() if module.startswith("config")]


def on_node(
    environ: Mapping[str, str],
    port: int,
    prepare: Prepare,
    watched: bool,
    preset: str,
    others: tuple[Any, ...],
    changes: dict[str, Any],
) -> Told:
    """Start a node with an eager strategy and return what came of it."""
    from nautilus_trader.common.component import sync_logger_to_disk

    from config.factory import TradingNodeConfigFactory
    from config.live.agreement import Agreement
    from config.live.node import build_node
    from config.live.readiness import Connections, is_ready
    from config.models import TradingNodeSettings

    os.chdir(environ["HOME"])
    settings = TradingNodeSettings.from_env(None, environ, preset=preset)
    built = TradingNodeConfigFactory.from_settings(settings)
    exec_engine = msgspec.structs.replace(built.exec_engine, **changes.pop("exec_engine", {}))
    built = msgspec.structs.replace(built, exec_engine=exec_engine, **{"timeout_post_stop": 0.01, **changes})
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    eager = Eager(EagerConfig(instrument_id=InstrumentId.from_str(environ["INSTRUMENT"]), others=others))
    node = build_node(built, [eager], loop=loop)
    connections = Connections(node)
    agreement = Agreement(node, pause_secs=PAUSE_SECS) if watched else None
    waited: set[str] = set()
    prepare(node, Venue(port))

    async def live() -> Told:
        run = loop.create_task(node.run_async())
        deadline = time.monotonic() + PATIENCE_SECS
        while not (is_ready(node) or connections.failures() or (agreement and agreement.hopeless(loop.time()))):
            assert not run.done()
            assert time.monotonic() < deadline, waited
            waited.update(agreement.lacking() if agreement else ())
            await asyncio.sleep(0.001)
        # Long enough for a start that goes on all the same.
        await asyncio.sleep(0 if is_ready(node) else 0.1)
        told = {
            "ready": is_ready(node),
            "started": eager.is_running,
            "connections": connections.failures(),
            "books": sorted(f"{one.side.name} {one.quantity}" for one in node.cache.positions_open()),
            "wrapped": [name for client in node.kernel.exec_engine._clients.values() for name in wrapped(client)],
            "waited": waited,
        }
        if agreement:
            told["agreed"] = agreement.agreed
            told["failures"] = list(agreement.failures())
            told["lacking"] = agreement.lacking()
            told["problems"] = [(problem.code, problem.key, problem.fix) for problem in agreement.problems()]
        if not eager.is_running:
            run.cancel()
        await node.stop_async()
        await asyncio.wait((run,), timeout=5)
        return told

    try:
        return loop.run_until_complete(live())
    finally:
        node.dispose()
        sync_logger_to_disk()


@dataclass(frozen=True)
class Scene:
    """An account of its own at the exchange, and nodes that trade on it."""

    venue: Venue
    folder: Path
    trader_tag: str
    futures_key: str
    bybit_key: str

    def start(
        self,
        market: Market,
        prepare: Prepare = nothing,
        *,
        watched: bool = True,
        preset: str = "testnet",
        others: tuple[Any, ...] = (),
        environ: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> Told:
        """Return what came of a start on one market."""
        pairs = {"BINANCE_FUTURES_TESTNET": self.futures_key, "BINANCE_TESTNET": self.futures_key}
        keys = {
            f"{name}_API_{part}": key[:: 1 if part == "KEY" else -1]
            for name, key in {**pairs, "BYBIT_TESTNET": self.bybit_key}.items()
            for part in ("KEY", "SECRET")
        }
        given = {
            "HOME": str(self.folder),
            "INSTRUMENT": market.instrument_id,
            "NAUTILUS_TRADER_ID": f"BOOKS-{self.trader_tag}",
            "NAUTILUS_STATE_DIR": str(self.folder / "state"),
            "NAUTILUS_LOG_LEVEL": "OFF",
            "NAUTILUS_STOP_TIMEOUT": "6",
            "NAUTILUS_VENUES": market.venues,
            "BINANCE_ACCOUNT_TYPE": market.account,
            "BYBIT_PRODUCT_TYPES": market.product,
            **self.venue.environ(market.account),
            **keys,
            **(environ or {}),
        }
        told: Told = run_forked(on_node, given, self.venue.port, prepare, watched, preset, others, changes)
        assert not [secret for secret in keys.values() if secret in repr(told)]
        return told

    def buy(self) -> None:
        """Buy 0.010 by hand at both exchanges, for 45,000 each, before any node runs."""
        from tests.test_venue_server import bybit_order, futures_order

        futures_order(self.venue, self.futures_key, HAND)
        bybit_order(self.venue, self.bybit_key, HAND)
        for _ in ("BINANCE", "BYBIT"):
            self.venue.fill(HAND)

    def orders(self) -> list[str]:
        """Return the orders that a node of this scene has sent to Binance."""
        names = [order["client_order_id"] for order in self.venue.orders("binance_futures")]
        return [name for name in names if f"-{self.trader_tag}-000-" in name]


@pytest.fixture(scope="module")
def exchange() -> Iterator[Venue]:
    with Venue.start() as venue:
        yield venue


numbers = itertools.count(100)


@pytest.fixture
def scene(exchange: Venue, tmp_path: Path) -> Iterator[Scene]:
    """An account that no other test uses; the exchange behaves before and after."""
    number = next(numbers)
    random = Random(f"agreement {number}")
    exchange.counts(reset=True)
    yield Scene(exchange, tmp_path, str(number), alphanumeric(random, 64), alphanumeric(random, 18))
    exchange.behave()


def after(step: str, call: Prepare, node: Any, venue: Venue) -> None:
    """Have ``call`` made at the end of a step of Nautilus' own, before anybody learns that it has ended."""
    owner, _, name = step.rpartition(".")
    thing = getattr(node.kernel, owner) if owner else node.kernel
    original = getattr(thing, name)

    async def stepped(*args: Any, **kwargs: Any) -> Any:
        answer = await original(*args, **kwargs)
        while not node.cache.instrument_ids():
            await asyncio.sleep(0)  # they come through the data engine's queue
        call(node, venue)
        return answer

    setattr(thing, name, stepped)


def misbehave(faults: tuple[Fault, ...], _node: Any, venue: Venue) -> None:
    venue.counts(reset=True)
    for fault, name, options in faults:
        venue.misbehave(fault, name, **options)


def from_then_on(step: str, *faults: Fault) -> Prepare:
    """Return what makes the exchange misbehave from the end of a step on."""
    return partial(after, step, partial(misbehave, faults))


def lies(by: str, **options: Any) -> Fault:
    return "lies", None, {"by": by, **options}


def refuses(path: str, **options: Any) -> Fault:
    return "http_500", "BINANCE", {"path": path, **options}


REFUSES_BYBITS_KEY: Fault = ("bad_key", "BYBIT", {})
SERVER_ERROR = "BinanceServerError: Internal Server Error"
KEY_ERROR = "ValueError: Bybit error 10003: API key is invalid."


def remember(filled: str, node: Any, venue: Venue) -> None:
    """Put the newest order by hand into the books as if this node had sent it, with so much of it filled."""
    traded = [row for row in venue.fills("binance_futures") if row["client_order_id"] == HAND][-1]
    instrument = node.cache.instrument(InstrumentId.from_str(USD_M.instrument_id))
    (client,) = node.kernel.exec_engine._clients.values()
    order = TestExecStubs.market_order(
        instrument=instrument,
        quantity=Quantity.from_str(filled),
        trader_id=node.trader_id,
        strategy_id=StrategyId("Eager-000"),
        client_order_id=ClientOrderId(HAND),
    )
    order.apply(TestEventStubs.order_submitted(order, account_id=client.account_id))
    fill = TestEventStubs.order_filled(
        order,
        instrument,
        account_id=client.account_id,
        position_id=PositionId(f"{instrument.id}-Eager-000"),
        last_qty=order.quantity,
        last_px=Price.from_str(traded["price"]),
        trade_id=TradeId(str(traded["trade_id"])),
        ts_event=node.kernel.clock.timestamp_ns(),
    )
    order.apply(fill)
    node.cache.add_order(order, position_id=fill.position_id)
    node.cache.add_position(Position(instrument, fill), OmsType.NETTING)


# -- what is as it should be ---------------------------------------------------------------------


def test_node_whose_books_are_the_venues_becomes_ready(scene: Scene) -> None:
    """Positions from before are taken over, and nothing of the watch is left on the clients."""
    scene.buy()
    told = scene.start(BOTH)
    assert (True, True, [], ()) == (told["ready"], told["agreed"], told["failures"], told["lacking"])
    assert ["LONG 0.010", "LONG 0.010"] == told["books"]
    assert [] == told["wrapped"]
    for venue in ("BINANCE", "BYBIT"):
        assert {f"reconciliation of {venue} is not finished", f"positions are not compared with {venue}"} <= told[
            "waited"
        ]
    assert 1 == len(scene.orders())


def record(steps: Path, node: Any, _venue: Venue) -> None:
    """Write down the steps of a start as they end, and what runs by then."""
    kernel = node.kernel

    def write(name: str) -> None:
        runs = [part for part in ("emulator", "trader") if getattr(kernel, part).is_running]
        with steps.open("a") as file:
            print(name, *runs, file=file)

    for name in (CONNECTED, RECONCILED, INITIALISED):
        after(name, lambda _node, _venue, step=name: write(step), node, _venue)  # type: ignore[misc]  # bound early
    client = kernel.exec_engine._clients[next(iter(kernel.exec_engine._clients))]
    ask = client.generate_position_status_reports

    async def asked(command: Any) -> Any:
        write("positions")
        return await ask(command)

    client.generate_position_status_reports = asked


@pytest.mark.parametrize("market", [BINANCE_SPOT, BYBIT_SPOT], ids=lambda market: market.venues)
def test_spot_has_balances_and_no_positions_to_compare(market: Market, scene: Scene) -> None:
    steps = scene.folder / "steps"
    told = scene.start(market, partial(record, steps))
    assert (True, True, []) == (told["ready"], told["agreed"], told["failures"])
    assert [CONNECTED, "positions", RECONCILED, f"{INITIALISED} emulator"] == steps.read_text().splitlines()


def test_simulated_execution_has_nothing_to_compare(scene: Scene) -> None:
    """A position that it keeps from an earlier run is the node's own affair."""
    scene.buy()
    told = scene.start(USD_M, partial(after, CONNECTED, partial(remember, "0.010")), preset="sandbox")
    assert (True, True, []) == (told["ready"], told["agreed"], told["failures"])
    assert "LONG 0.010" in told["books"]
    assert POSITIONS not in scene.venue.counts()


# -- positions -----------------------------------------------------------------------------------


def test_no_strategy_acts_where_a_venue_has_another_position(scene: Scene) -> None:
    scene.buy()
    told = scene.start(BOTH, from_then_on(RECONCILED, lies("-0.005")))
    expected = {
        name: f"{name}: net 0.010 in the books, 0.005 at {name.rpartition('.')[2]}"
        for name in (USD_M.instrument_id, LINEAR)
    }
    assert expected == dict(told["failures"])
    assert {*expected.values()} == {*told["lacking"]}
    assert {("TN701", name) for name in expected} == {problem[:2] for problem in told["problems"]}
    assert (False, False, False) == (told["ready"], told["agreed"], told["started"])
    assert [] == scene.orders()
    assert [] == told["wrapped"]


def test_position_on_one_side_only_is_zero_on_the_other(scene: Scene) -> None:
    scene.buy()
    told = scene.start(USD_M, from_then_on(RECONCILED, lies("-0.010")))
    assert ["BTCUSDT-PERP.BINANCE: net 0.010 in the books, 0.000 at BINANCE"] == [*told["lacking"]]


def test_positions_that_differ_once_are_asked_for_again(scene: Scene) -> None:
    """A fill that has reached the venue's answer and not yet the books makes no failure."""
    told = scene.start(USD_M, from_then_on(RECONCILED, lies("0.005", times=1)))
    assert (True, []) == (told["ready"], told["failures"])
    assert "BTCUSDT-PERP.BINANCE: net 0.000 in the books, 0.005 at BINANCE" in told["waited"]
    assert 2 == scene.venue.counts()[POSITIONS]


def test_position_that_nautilus_cannot_see_is_told(scene: Scene) -> None:
    scene.buy()
    environ = {"BINANCE_INSTRUMENT_IDS": "ETHUSDT-PERP.BINANCE", "INSTRUMENT": "ETHUSDT-PERP.BINANCE"}
    told = scene.start(USD_M, environ=environ)
    text = "BTCUSDT-PERP.BINANCE: net 0.00 in the books, 0.01 at BINANCE (it is not loaded)"
    assert [("BTCUSDT-PERP.BINANCE", text)] == told["failures"]
    assert "add it to BINANCE_INSTRUMENT_IDS" in told["problems"][0][2]


def test_venue_that_does_not_tell_its_positions_has_not_said_that_there_are_none(scene: Scene) -> None:
    told = scene.start(BOTH, from_then_on(RECONCILED, refuses("/fapi/v3/positionRisk"), REFUSES_BYBITS_KEY))
    expected = {"BINANCE": SERVER_ERROR, "BYBIT": KEY_ERROR}
    assert {name: f"{name} does not tell its positions: {why}" for name, why in expected.items()} == dict(
        told["failures"]
    )
    assert not told["started"]


def test_position_that_reconciliation_is_told_to_leave_alone_is_left_alone(scene: Scene) -> None:
    scene.buy()
    only = [InstrumentId.from_str("ETHUSDT-PERP.BINANCE")]
    told = scene.start(USD_M, exec_engine={"reconciliation_instrument_ids": only})
    assert (True, []) == (told["ready"], told["failures"])


# -- reconciliation ------------------------------------------------------------------------------


REFUSED = from_then_on(CONNECTED, refuses("/fapi/v1/allOrders"), REFUSES_BYBITS_KEY)


def test_report_that_is_refused_fails_reconciliation_and_leaves_the_books_alone(scene: Scene) -> None:
    scene.buy()
    told = scene.start(BOTH, REFUSED)
    expected = {"BINANCE": SERVER_ERROR, "BYBIT": KEY_ERROR}
    assert {name: f"reconciliation of {name} failed: {why}" for name, why in expected.items()} == dict(told["failures"])
    assert (False, False, []) == (told["agreed"], told["started"], told["books"])
    assert [] == told["wrapped"]


def test_nautilus_itself_still_takes_a_refused_report_for_an_empty_one(scene: Scene) -> None:
    """When this fails, the installed Nautilus no longer starts strategies then: `_insisting` may be simpler."""
    scene.buy()
    told = scene.start(BOTH, REFUSED, watched=False)
    assert (True, ["LONG 0.010"]) == (told["ready"], told["books"])


def test_report_that_is_refused_once_is_asked_for_again(scene: Scene) -> None:
    scene.buy()
    told = scene.start(USD_M, from_then_on(CONNECTED, refuses("/fapi/v1/allOrders", times=1)))
    assert (True, [], ["LONG 0.010"]) == (told["ready"], told["failures"], told["books"][:1])


def test_venue_that_falls_silent_is_waited_for_as_long_as_is_set(scene: Scene) -> None:
    """Nautilus passes that time on and nothing heeds it."""
    hangs = from_then_on(CONNECTED, ("hang", "BINANCE", {"path": "/fapi/v1/openOrders"}))
    told = scene.start(USD_M, hangs, timeout_reconciliation=0.3)
    assert [("BINANCE", "reconciliation of BINANCE was not finished within 0.3 s")] == told["failures"]
    assert [] == told["wrapped"]


def unreachable(node: Any, _venue: Venue) -> None:
    (client,) = node.kernel.exec_engine._clients.values()
    client._http_account.client._base_url = "http://127.0.0.1:9"


def test_signed_url_of_a_failed_request_is_not_repeated(scene: Scene) -> None:
    """Not in the failure, nor in the traceback that Nautilus logs; at DEBUG it logs every url."""
    told = scene.start(USD_M, partial(after, CONNECTED, unreachable))
    ((name, text),) = told["failures"]
    assert "BINANCE" == name
    assert text.startswith("reconciliation of BINANCE failed: HttpError: ")
    assert "Connection refused" in text
    assert not [word for word in ("signature", "timestamp", "?") if word in text]
    (log,) = (scene.folder / "state" / "logs").glob("*.log")
    lines = [line for line in log.read_text().splitlines() if "[DEBUG]" not in line]
    assert any(f"Not ready: {text}" in line for line in lines)
    assert not [line for line in lines if "signature" in line]


def test_order_that_does_not_fit_the_books_is_named(scene: Scene) -> None:
    scene.buy()
    told = scene.start(USD_M, partial(after, CONNECTED, partial(remember, "0.020")))
    text = "reconciliation of BINANCE failed: order by-hand of BTCUSDT-PERP.BINANCE does not fit the books"
    assert [("BINANCE", text)] == told["failures"]
    assert not told["started"]


def stock(node: Any, venue: Venue) -> None:
    """Use Nautilus' own client, which asks for each fill of a position twice."""
    (client,) = node.kernel.exec_engine._clients.values()
    client.__class__ = BinanceFuturesExecutionClient
    remember("0.010", node, venue)


def test_position_that_nautilus_invents_at_a_restart_is_noticed(scene: Scene) -> None:
    """The books had what the venue has, until Nautilus' own Binance client reconciled them."""
    scene.buy()
    told = scene.start(USD_M, partial(after, CONNECTED, stock))
    text = "BTCUSDT-PERP.BINANCE: net 0.000 in the books, 0.010 at BINANCE"
    assert [("BTCUSDT-PERP.BINANCE", text)] == told["failures"]
    assert not told["started"]


# -- instruments and accounts --------------------------------------------------------------------


def test_instruments_that_are_not_there_are_named_before_anything_is_reconciled(scene: Scene) -> None:
    bar = BarType.from_str("ETHUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")
    others = ({"spot": [InstrumentId.from_str("BTCUSDT.BINANCE")]}, (bar,), InstrumentId.from_str("X.SYNTH"))
    environ = {
        "BINANCE_INSTRUMENT_IDS": "BTCUSDT-PERP.BINANCE",
        "BYBIT_INSTRUMENT_IDS": "BTCUSDT-LINEAR.BYBIT,XBTUSDT-LINEAR.BYBIT",
    }
    told = scene.start(BOTH, others=(*others, InstrumentId.from_str("BTCUSDT.KRAKEN")), environ=environ)
    expected = [
        (
            "BYBIT_INSTRUMENT_IDS",
            "XBTUSDT-LINEAR.BYBIT is not an instrument of BYBIT, did you mean BTCUSDT-LINEAR.BYBIT?",
        ),
        ("Eager-000", "BTCUSDT.BINANCE is not an instrument of BINANCE, did you mean BTCUSDT-PERP.BINANCE?"),
        ("Eager-000", "ETHUSDT-PERP.BINANCE is not loaded: BINANCE_INSTRUMENT_IDS names others"),
        ("Eager-000", "BTCUSDT.KRAKEN is not loaded, and no client tells which instruments KRAKEN has"),
    ]
    assert [(name, f"{name}: {text}") for name, text in expected] == told["failures"]
    assert OPEN_ORDERS not in scene.venue.counts()


def test_instrument_without_which_binance_does_not_connect_is_named(scene: Scene) -> None:
    told = scene.start(USD_M, environ={"BINANCE_INSTRUMENT_IDS": "BTCUSDT-PERP.BINANCE,XBTUSDT-PERP.BINANCE"})
    text = (
        "LookupError: BINANCE_INSTRUMENT_IDS: XBTUSDT-PERP.BINANCE is not an instrument of BINANCE, "
        "did you mean BTCUSDT-PERP.BINANCE?"
    )
    assert text in dict(told["connections"]).values()


def other_account(node: Any, _venue: Venue) -> None:
    (client,) = node.kernel.exec_engine._clients.values()
    client._set_account_id(AccountId("BINANCE-of-nobody"))


def test_account_that_is_not_known_is_told(scene: Scene) -> None:
    told = scene.start(USD_M, partial(after, CONNECTED, other_account))
    assert [("BINANCE", "the account of BINANCE is not known")] == told["failures"]


# -- the order of Nautilus' start ----------------------------------------------------------------


def test_nautilus_starts_in_the_order_that_the_checks_rely_on(scene: Scene, tmp_path: Path) -> None:
    """When this fails, the installed Nautilus starts in another order: see where `Agreement` has to stand."""
    steps = tmp_path / "steps"
    assert scene.start(USD_M, partial(record, steps))["ready"]
    expected = [CONNECTED, "positions", RECONCILED, "positions", f"{INITIALISED} emulator"]
    assert expected == steps.read_text().splitlines()


def skip_reconciliation(node: Any, _venue: Venue) -> None:
    async def reconciled() -> bool:
        return True

    node.kernel._await_execution_reconciliation = reconciled


def test_start_in_another_order_is_refused(scene: Scene) -> None:
    told = scene.start(USD_M, skip_reconciliation)
    text = "the books were not compared with the venues: this Nautilus starts in another order"
    assert [("TradingNode", text)] == told["failures"]
    assert not told["started"]


def test_books_are_compared_without_reconciliation_too(scene: Scene) -> None:
    scene.buy()
    told = scene.start(USD_M, exec_engine={"reconciliation": False})
    text = "BTCUSDT-PERP.BINANCE: net 0.000 in the books, 0.010 at BINANCE"
    assert [("BTCUSDT-PERP.BINANCE", text)] == told["failures"]
    assert not told["started"]


def no_portfolio(node: Any, _venue: Venue) -> None:
    node.kernel._initialize_portfolio = lambda: None


def test_portfolio_that_is_not_initialised_is_told(scene: Scene) -> None:
    told = scene.start(USD_M, no_portfolio, timeout_portfolio=0.1)
    assert [("Portfolio", "the portfolio was not initialised within 0.1 s")] == told["failures"]


def only_orders(node: Any, venue: Venue) -> None:
    node.kernel._initialize_portfolio = node.portfolio.initialize_orders
    after(CONNECTED, partial(remember, "0.010"), node, venue)


def test_portfolio_that_has_not_what_the_books_have_is_told(scene: Scene) -> None:
    scene.buy()
    told = scene.start(USD_M, only_orders)
    text = "BTCUSDT-PERP.BINANCE: net 0.000 in the portfolio, 0.010 in the books"
    assert [("BTCUSDT-PERP.BINANCE", text)] == told["failures"]
    assert not told["started"]


# -- words ---------------------------------------------------------------------------------------

KNOWN = ("BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE", "BTCUSDT-LINEAR.BYBIT", "BTCUSDT-SPOT.BYBIT")


@pytest.mark.parametrize(
    "text, expected",
    [
        ("XBTUSDT-PERP.BINANCE", "BTCUSDT-PERP.BINANCE"),
        ("btcusdt-perp.BINANCE", "BTCUSDT-PERP.BINANCE"),
        ("ETHUSD.BINANCE", "ETHUSDT-PERP.BINANCE"),
        ("BTCUSDT-SPOTS.BYBIT", "BTCUSDT-LINEAR.BYBIT"),
        ("BTCUST-SPOT.BYBIT", "BTCUSDT-SPOT.BYBIT"),
        ("DOGEUSDT-PERP.BINANCE", None),
    ],
)
def test_nearest_id_goes_by_symbol_and_then_by_kind(text: str, expected: str | None) -> None:
    venue = text.rpartition(".")[2]
    assert expected == nearest_id(text, [one for one in KNOWN if one.endswith(venue)])


def test_instrument_ids_are_found_at_any_depth() -> None:
    ids = [InstrumentId.from_str(f"{name}.BINANCE") for name in "ABCDE"]
    bar = BarType.from_str("F.BINANCE-1-MINUTE-LAST-EXTERNAL")
    deep = {ids[1]: [{"x": (ids[2], frozenset({ids[3]}))}], "text": "Z.BINANCE", "bar": bar}
    config = EagerConfig(instrument_id=ids[0], others=(deep,), external_order_claims=[ids[4]])
    assert {*ids, bar.instrument_id} == set(instrument_ids_in(config))


@pytest.mark.parametrize(
    "left, right, expected",
    [
        ("0.010", "0", "net 0.010 here, 0.000 there"),
        ("-0.5", "0.25", "net -0.500 here, 0.250 there"),
        ("1E+3", "0.00001", "net 1000.00000 here, 0.00001 there"),
    ],
)
def test_both_numbers_have_the_decimals_of_the_instrument_or_more(left: str, right: str, expected: str) -> None:
    assert expected == both_numbers(Decimal(left), "here", Decimal(right), "there", 3)
