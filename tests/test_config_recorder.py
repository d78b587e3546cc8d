"""The recorder: what Nautilus makes of its configuration, and what it asks the data engine for."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from nautilus_trader.backtest.data_client import BacktestMarketDataClient
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.config import ActorFactory
from nautilus_trader.data.engine import DataEngine
from nautilus_trader.model.identifiers import ClientId, TraderId
from nautilus_trader.portfolio.portfolio import Portfolio
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.test_kit.stubs.data import TestDataStubs

from config.recorder import Recorder, RecorderConfig, build_recorder_config

BTCUSDT = TestInstrumentProvider.btcusdt_binance()
ETHUSDT = TestInstrumentProvider.ethusdt_binance()
ASKED = [str(BTCUSDT.id), str(ETHUSDT.id)]
KINDS = ("instruments", "quote_ticks", "trade_ticks")


class Node:
    """Nautilus' own data engine with a data client for BINANCE and a recorder."""

    def __init__(self, asked: Sequence[str]) -> None:
        clock = TestClock()
        self.msgbus = MessageBus(trader_id=TraderId("RECORDER-001"), clock=clock)
        self.cache = Cache()
        self.engine = DataEngine(msgbus=self.msgbus, cache=self.cache, clock=clock)
        client = BacktestMarketDataClient(ClientId("BINANCE"), self.msgbus, self.cache, clock)
        self.engine.register_client(client)
        # Where this client hands commands for ticks on to.
        self.msgbus.register(endpoint="BacktestEngine.execute", handler=lambda _command: None)
        self.engine.start()
        self.recorder = ActorFactory.create(build_recorder_config(asked))
        portfolio = Portfolio(self.msgbus, self.cache, clock)
        self.recorder.register_base(portfolio=portfolio, msgbus=self.msgbus, cache=self.cache, clock=clock)

    def subscribed(self) -> dict[str, list[str]]:
        """Return the instrument ids that the engine's clients are subscribed to, by kind."""
        return {kind: sorted(map(str, getattr(self.engine, f"subscribed_{kind}")())) for kind in KINDS}


def test_nautilus_makes_the_recorder_from_its_importable_configuration() -> None:
    made = ActorFactory.create(build_recorder_config(ASKED))
    assert type(made) is Recorder
    assert type(made.config) is RecorderConfig
    assert (BTCUSDT.id, ETHUSDT.id) == made.config.instrument_ids


def test_the_configuration_is_plain_enough_to_be_written_as_json() -> None:
    """Nautilus writes the configuration of a node that streams into the catalog."""
    config = build_recorder_config(ASKED)
    assert ASKED == msgspec.json.decode(config.json())["config"]["instrument_ids"]


def test_an_instrument_that_is_there_twice_counts_once() -> None:
    assert {"instrument_ids": ASKED} == build_recorder_config([*ASKED, *ASKED]).config


@pytest.mark.parametrize(
    "asked, words",
    [
        ([], "Expected `array` of length >= 1 - at `$.instrument_ids`"),
        (["BTCUSDT"], "'BTCUSDT': missing '.' separator"),
        ([*ASKED, ".BINANCE"], "'.BINANCE': invalid symbol"),
        ([*ASKED, "BTCUSDT."], "'BTCUSDT.': invalid venue"),
        ([*ASKED, ""], "at `$.instrument_ids[2]`"),
    ],
)
def test_instrument_ids_are_checked_before_there_is_a_node(asked: list[str], words: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        build_recorder_config(asked)
    assert words in str(caught.value)


def test_start_subscribes_to_instrument_quotes_and_trades_and_stop_ends_that() -> None:
    node = Node(ASKED)
    for instrument in (BTCUSDT, ETHUSDT):
        node.cache.add_instrument(instrument)

    node.recorder.start()
    assert dict.fromkeys(KINDS, ASKED) == node.subscribed()

    node.recorder.stop()
    assert {kind: [] for kind in KINDS} == node.subscribed()


def test_ticks_of_a_missing_instrument_are_asked_for_when_its_venue_sends_it() -> None:
    """The streaming writer would drop them before."""
    node = Node(ASKED)
    node.cache.add_instrument(BTCUSDT)
    node.recorder.start()
    assert [str(BTCUSDT.id)] == node.subscribed()["quote_ticks"]

    node.engine.process(ETHUSDT)
    assert ASKED == node.subscribed()["quote_ticks"]
    assert ASKED == node.subscribed()["trade_ticks"]

    node.recorder.stop()
    assert [] == node.subscribed()["quote_ticks"] + node.subscribed()["trade_ticks"]


def test_an_instrument_that_is_sent_again_is_not_asked_for_again() -> None:
    """Both adapters send every instrument once an hour."""
    node = Node(ASKED[:1])
    node.cache.add_instrument(BTCUSDT)
    node.recorder.start()
    commands = node.engine.command_count
    assert len(KINDS) == commands

    node.engine.process(BTCUSDT)
    assert commands == node.engine.command_count


def test_a_recorder_that_was_reset_records_again() -> None:
    node = Node(ASKED[:1])
    node.cache.add_instrument(BTCUSDT)
    node.recorder.start()
    node.recorder.stop()
    node.recorder.reset()

    node.recorder.start()
    assert dict.fromkeys(KINDS, ASKED[:1]) == node.subscribed()


def test_what_it_is_sent_does_not_disturb_it() -> None:
    """An exception in a handler would end the node."""
    node = Node(ASKED[:1])
    node.cache.add_instrument(BTCUSDT)
    node.recorder.start()
    for sent in (BTCUSDT, ETHUSDT, TestDataStubs.quote_tick(BTCUSDT), TestDataStubs.trade_tick(BTCUSDT)):
        node.engine.process(sent)
    assert node.recorder.is_running
    assert node.cache.quote_tick(BTCUSDT.id) is not None


def test_a_venue_without_a_data_client_does_not_disturb_it() -> None:
    node = Node([*ASKED[:1], "BTCUSD.KRAKEN"])
    node.cache.add_instrument(BTCUSDT)
    node.recorder.start()
    assert node.recorder.is_running
    assert ASKED[:1] == node.subscribed()["quote_ticks"]
    node.recorder.stop()
    assert node.recorder.is_stopped
