"""The contract with the installed Nautilus: our values fit its types, and each of our cures is still needed."""

from __future__ import annotations

import ast
import asyncio
import importlib
import itertools
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nautilus_trader.adapters.binance.common import urls as binance_urls
from nautilus_trader.adapters.binance.common.enums import BinanceAccountType, BinanceEnvironment
from nautilus_trader.adapters.binance.common.symbol import BinanceSymbol
from nautilus_trader.adapters.binance.config import BinanceExecClientConfig
from nautilus_trader.adapters.binance.factories import BinanceLiveExecClientFactory
from nautilus_trader.adapters.bybit.config import BybitDataClientConfig, BybitExecClientConfig
from nautilus_trader.adapters.bybit.factories import BybitLiveDataClientFactory
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import LiveClock, MessageBus
from nautilus_trader.common.config import NautilusConfig
from nautilus_trader.config import (
    CacheConfig,
    DatabaseConfig,
    InstrumentProviderConfig,
    LiveDataEngineConfig,
    LiveExecEngineConfig,
    LiveRiskEngineConfig,
    LoggingConfig,
    StreamingConfig,
    TradingNodeConfig,
)
from nautilus_trader.core import nautilus_pyo3
from nautilus_trader.core.nautilus_pyo3 import BybitEnvironment, BybitProductType
from nautilus_trader.execution.reports import ExecutionMassStatus
from nautilus_trader.model.enums import OmsType
from nautilus_trader.model.identifiers import PositionId, TraderId
from nautilus_trader.model.position import Position
from nautilus_trader.serialization.arrow.serializer import list_schemas
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.test_kit.stubs.events import TestEventStubs
from nautilus_trader.test_kit.stubs.execution import TestExecStubs

from config.checks.endpoints import classify
from config.clients import VENUES
from config.clients.binance import BinanceExecClientFactory, build_binance_exec_client_config
from config.clients.bybit import BybitDataClientFactory, build_bybit_data_client_config
from config.factory import TradingNodeConfigFactory
from config.models import BinanceCredentials, BybitCredentials, TradingNodeSettings

ROOT = Path(__file__).parents[1]

# --- our values fit Nautilus' types ---------------------------------------------------------------------------


def misfits(value: Any, kind: Any, path: str) -> Iterator[str]:
    """Yield what in ``value`` is not of the type ``kind``: Nautilus' constructors check nothing."""
    bounds = [item for item in getattr(kind, "__metadata__", ()) if isinstance(item, msgspec.Meta)]
    kind = kind.__origin__ if hasattr(kind, "__metadata__") else kind
    origin, args = typing.get_origin(kind) or kind, typing.get_args(kind)
    if kind is Any:
        return
    if origin in (typing.Union, types.UnionType):
        tried = [list(misfits(value, arm, path)) for arm in args]
        yield from () if [] in tried else min(tried, key=len)
    elif not _is_of(value, origin):
        yield f"{path} is {value!r}, a {type(value).__name__}, expected {kind}"
    else:
        yield from (f"{path} is {value!r}, expected {bound}" for bound in bounds if not _is_within(value, bound))
        for part, wanted, name in _parts(value, args):
            yield from misfits(part, wanted, path + name)


def _parts(value: Any, args: tuple[Any, ...]) -> Iterator[tuple[Any, Any, str]]:
    """Yield (part, its type, its name) of a struct or a collection."""
    if isinstance(value, msgspec.Struct):
        hints = typing.get_type_hints(type(value), include_extras=True)
        yield from ((getattr(value, name), hints[name], f".{name}") for name in value.__struct_fields__)
    elif isinstance(value, Mapping) and args:
        yield from ((key, args[0], f" key {key!r}") for key in value)
        yield from ((item, args[1], f"[{key!r}]") for key, item in value.items())
    elif isinstance(value, list | tuple | frozenset) and args:
        yield from ((item, args[0], f"[{number}]") for number, item in enumerate(value))


def _is_within(value: Any, bound: msgspec.Meta) -> bool:
    return (bound.gt is None or value > bound.gt) and (bound.ge is None or value >= bound.ge)


def _is_of(value: Any, kind: Any) -> bool:
    if kind is None or kind is type(None):
        return value is None
    if kind in (int, float):  # True is no number here, and msgspec takes a whole number for a float
        return isinstance(value, int | kind) and not isinstance(value, bool)
    return isinstance(value, kind)


WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (LiveExecEngineConfig, {"inflight_check_interval_ms": "2000"}, "inflight_check_interval_ms"),
    (LiveExecEngineConfig, {"reconciliation_startup_delay_secs": 0}, "reconciliation_startup_delay_secs"),
    (LiveExecEngineConfig, {"reconciliation": 1}, "reconciliation"),
    (LiveExecEngineConfig, {"inflight_check_retries": True}, "inflight_check_retries"),
    (LiveExecEngineConfig, {"qsize": -1}, "qsize"),
    (DatabaseConfig, {"port": "6379"}, "port"),
    (CacheConfig, {"database": "redis"}, "database"),
    (BinanceExecClientConfig, {"environment": "TESTNET"}, "environment"),
    (BinanceExecClientConfig, {"account_type": "USDT_FUTURES"}, "account_type"),
    (BinanceExecClientConfig, {"futures_leverages": {"BTCUSDT": 5}}, "futures_leverages key"),
    (BinanceExecClientConfig, {"futures_leverages": {BinanceSymbol("BTCUSDT"): "5"}}, "futures_leverages["),
    (BybitExecClientConfig, {"environment": "TESTNET"}, "environment"),
    (BybitExecClientConfig, {"product_types": ("LINEAR",)}, "product_types[0]"),
    (BybitExecClientConfig, {"max_retries": 0}, "max_retries"),
    (LiveRiskEngineConfig, {"max_notional_per_order": {"A.B": 0.5}}, "max_notional_per_order['A.B']"),
    (LoggingConfig, {"log_directory": Path("/var/log")}, "log_directory"),
    (StreamingConfig, {"catalog_path": "/c", "rotation_interval": "1h"}, "rotation_interval"),
    (InstrumentProviderConfig, {"load_ids": frozenset({"BTCUSDT.BINANCE"})}, "load_ids[0]"),
    (TradingNodeConfig, {"timeout_post_stop": -1.0}, "timeout_post_stop"),
    (TradingNodeConfig, {"cache": CacheConfig(buffer_interval_ms=0)}, "cache.buffer_interval_ms"),
]


@pytest.mark.parametrize("kind, values, where", WRONG)
def test_the_check_of_types_sees_what_nautilus_constructors_let_pass(
    kind: Any, values: dict[str, Any], where: str
) -> None:
    (found,) = misfits(kind(**values), kind, "made")
    assert found.startswith(f"made.{where}")


def fields(*choices: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return every combination of one mapping from each of the lists in ``choices``."""
    return [
        dict(itertools.chain.from_iterable(one.items() for one in chosen)) for chosen in itertools.product(*choices)
    ]


KEY: dict[str, Any] = {"api_key": "key", "api_secret": "secret"}
GATEWAY = {"base_url_http": "https://gateway.example:8443", "proxy_url": "http://user:pass@proxy.example:3128"}
BINANCE = [
    *fields(
        [KEY],
        [{}, GATEWAY, {"base_url_ws": "wss://g.example", "base_url_ws_api": "wss://g.example"}],
        [{"environment": name} for name in ("LIVE", "TESTNET", "DEMO")],
        [{"account_type": name} for name in ("SPOT", "USDT_FUTURES")],
        [{}, {"instrument_ids": "BTCUSDT-PERP.BINANCE,ETHUSDT.BINANCE"}],
    ),
    {},
    {"account_type": "COIN_FUTURES"},
    {**KEY, "account_type": "COIN_FUTURES"},
    {"account_type": "COIN_FUTURES", "environment": "TESTNET"},
    {**KEY, "account_type": "SPOT", "us": True},
    {**KEY, "leverages": "BTCUSDT=125,ETHUSDT=1", "margin_types": "BTCUSDT=CROSS,ETHUSDT=ISOLATED"},
    {**KEY, "base_url_ws_stream": "wss://g.example"},
]
BYBIT = [
    *fields(
        [KEY],
        [{}, GATEWAY, {"base_url_ws_public": "wss://g.example", "base_url_ws_trade": "wss://g.example"}],
        [{"environment": name} for name in ("LIVE", "TESTNET", "DEMO")],
        [{"product_types": names} for names in ("SPOT", "LINEAR", "INVERSE", "OPTION", "LINEAR,INVERSE,OPTION")],
        [{}, {"instrument_ids": "BTCUSDT-LINEAR.BYBIT"}],
    ),
    {},
    {**KEY, "leverages": "BTCUSDT-LINEAR=125", "base_url_ws_private": "wss://g.example"},
    *({**KEY, "margin_mode": name} for name in ("ISOLATED_MARGIN", "REGULAR_MARGIN", "PORTFOLIO_MARGIN")),
]
NODE: list[dict[str, Any]] = [
    {},
    {"execution": "SIMULATED", "sandbox_starting_balances": "50_000 USDT,1 BTC"},
    {"environment": "LIVE", "redis": {"password": "p", "username": "u", "ssl": True, "timeout": 30}},
    {"redis": {}, "load_state": False, "save_state": True},
    {"reconciliation_lookback_mins": 60, "reconciliation_startup_delay_secs": 0},
    {"reconciliation_startup_delay_secs": 60},
    {"max_notional_per_order": "BTCUSDT-PERP.BINANCE=50000,BTCUSDT-LINEAR.BYBIT=1"},
    {"stop_timeout": 5, "connection_timeout": 1, "reconciliation_timeout": 600},
    {"logging": {"log_level_file": "OFF"}},
    {"logging": {"log_format": "json", "log_component_levels": "A=DEBUG,B=off", "log_file_name": "n"}},
    *({"streaming": {"rotation_mode": mode}} for mode in ("NONE", "SIZE", "TIME")),
]


@pytest.mark.parametrize("values", NODE, ids=str)
def test_every_node_setting_becomes_a_value_of_the_type_that_nautilus_wants(values: dict[str, Any]) -> None:
    settings = TradingNodeSettings(**{"trader_id": "TRADER-001", "binance": KEY, "bybit": KEY, **values})
    config = TradingNodeConfigFactory.from_settings(settings)
    assert [] == list(misfits(config, type(config), "node"))
    assert [] == [text for kind in config.data_clients.values() for text in misfits(kind, type(kind), "data")]
    assert [] == [text for kind in config.exec_clients.values() for text in misfits(kind, type(kind), "exec")]
    assert ["BINANCE", "BYBIT"] == sorted(config.exec_clients)


@pytest.mark.parametrize("name, values", [("BINANCE", values) for values in BINANCE] + [("BYBIT", v) for v in BYBIT])
def test_every_venue_setting_becomes_a_value_of_the_type_that_the_adapter_wants(
    name: str, values: dict[str, Any]
) -> None:
    row = VENUES[name]
    for build in (row.build_data, row.build_exec):
        made = build(row.settings(**values))
        assert [] == list(misfits(made, type(made), name))


@pytest.mark.parametrize("values", NODE, ids=str)
def test_engines_and_logging_pass_through_nautilus_own_decoder(values: dict[str, Any]) -> None:
    """``parse`` checks types and ranges, which the constructors do not."""
    settings = TradingNodeSettings(**{"trader_id": "TRADER-001", **values})
    config = TradingNodeConfigFactory.from_settings(settings)
    parts: tuple[Any, ...] = (config.data_engine, config.risk_engine, config.exec_engine, config.logging)
    kinds: tuple[Any, ...] = (LiveDataEngineConfig, LiveRiskEngineConfig, LiveExecEngineConfig, LoggingConfig)
    assert parts == tuple(kind.parse(part.json()) for kind, part in zip(kinds, parts, strict=True))
    assert config.cache is not None
    assert config.cache.buffer_interval_ms == CacheConfig.parse(config.cache.json()).buffer_interval_ms


# --- our keywords are fields of the installed structs ---------------------------------------------------------

BUILDERS = (
    "config.cache",
    "config.clients.binance",
    "config.clients.bybit",
    "config.clients.instruments",
    "config.clients.sandbox",
    "config.data",
    "config.execution",
    "config.factory",
    "config.logging_config",
    "config.risk",
    "config.streaming",
)


def _names_in(tree: ast.AST, module: Any, spread: ast.expr) -> set[str]:
    """Return the keywords that ``**spread`` brings: of a function's dict, of a table of the module, or of a local dict."""
    (root, *_) = [node.id for node in ast.walk(spread) if isinstance(node, ast.Name)]
    table = getattr(module, root, None)
    if isinstance(table, Mapping):
        return {name for row in table.values() for name in row}
    nodes = list(ast.walk(tree))
    functions: list[ast.AST] = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name == root]
    assignments = [node for node in nodes if isinstance(node, ast.Assign | ast.AnnAssign) and root in _read_in(node)]
    holders = functions or assignments
    dicts = [node for holder in holders for node in ast.walk(holder) if isinstance(node, ast.Dict)]
    return {str(key.value) for node in dicts for key in node.keys if isinstance(key, ast.Constant)}


def _read_in(node: ast.AST) -> set[str]:
    return {found.id for found in ast.walk(node) if isinstance(found, ast.Name)}


def keywords() -> Iterator[tuple[str, Any, str]]:
    """Yield (module, struct, keyword) for each keyword with which our builders make a struct of Nautilus."""
    for name in BUILDERS:
        module = importlib.import_module(name)
        tree = ast.parse((ROOT / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8"))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            kind = getattr(module, call.func.id, None) if isinstance(call.func, ast.Name) else None
            if not (isinstance(kind, type) and issubclass(kind, NautilusConfig)):
                continue
            for word in call.keywords:
                found = {word.arg} if word.arg is not None else _names_in(tree, module, word.value)
                yield from ((name, kind, keyword) for keyword in sorted(filter(None, found)))


def test_every_keyword_of_our_builders_is_a_field_of_the_installed_nautilus() -> None:
    gone = [
        f"{module} passes {keyword}= to {kind.__name__}, which the installed nautilus_trader {version('nautilus_trader')} "
        f"does not have; it has {', '.join(kind.__struct_fields__)}"
        for module, kind, keyword in keywords()
        if keyword not in kind.__struct_fields__
    ]
    assert [] == gone


def test_the_search_for_keywords_finds_those_of_every_builder() -> None:
    """Without this, the test above would pass on builders that it cannot read."""
    found = set(keywords())
    assert set(BUILDERS) == {module for module, _, _ in found}
    seen = {(module, keyword) for module, _, keyword in found}
    expected = {
        ("config.cache", "number_of_retries"),
        ("config.clients.binance", "instrument_provider"),
        ("config.clients.bybit", "recv_window_ms"),
        ("config.execution", "open_check_lookback_mins"),
        ("config.logging_config", "log_file_max_size"),
        ("config.factory", "timeout_shutdown"),
    }
    assert set() == expected - seen


# --- urls -----------------------------------------------------------------------------------------------------

EXPECTED = {"LIVE": "live", "TESTNET": "testnet", "DEMO": "testnet"}
BINANCE_URLS: list[Callable[..., str]] = [
    binance_urls.get_http_base_url,
    binance_urls.get_ws_base_url,
    binance_urls.get_ws_api_base_url,
    binance_urls.get_ws_public_base_url,
    binance_urls.get_ws_private_base_url,
]
BYBIT_URLS: dict[str, Callable[[BybitEnvironment], str]] = {
    "http": nautilus_pyo3.get_bybit_http_base_url,
    "private": nautilus_pyo3.get_bybit_ws_url_private,
    "trade": nautilus_pyo3.get_bybit_ws_url_trade,
    **{
        f"public {kind}": partial(nautilus_pyo3.get_bybit_ws_url_public, kind)
        for kind in (BybitProductType.SPOT, BybitProductType.LINEAR, BybitProductType.INVERSE, BybitProductType.OPTION)
    },
}
BYBIT_ENVIRONMENTS = {
    "LIVE": BybitEnvironment.MAINNET,
    "TESTNET": BybitEnvironment.TESTNET,
    "DEMO": BybitEnvironment.DEMO,
}


@pytest.mark.parametrize("environment", BinanceEnvironment, ids=lambda member: member.name)
@pytest.mark.parametrize(
    "account_type", [BinanceAccountType.SPOT, BinanceAccountType.USDT_FUTURES, BinanceAccountType.COIN_FUTURES]
)
@pytest.mark.parametrize("url_of", BINANCE_URLS, ids=lambda function: function.__name__)
def test_binance_urls_are_classed_as_what_they_are(
    url_of: Callable[..., str], account_type: BinanceAccountType, environment: BinanceEnvironment
) -> None:
    coin_test = account_type is BinanceAccountType.COIN_FUTURES and environment is not BinanceEnvironment.LIVE
    if coin_test and url_of is binance_urls.get_ws_api_base_url:
        with pytest.raises(ValueError, match="no WS API"):
            url_of(account_type, environment, False)
        return
    url = url_of(account_type, environment, False)
    assert EXPECTED[environment.name] == classify(url), url


@pytest.mark.parametrize("url_of", BINANCE_URLS, ids=lambda function: function.__name__)
def test_binance_us_urls_are_live(url_of: Callable[..., str]) -> None:
    assert "live" == classify(url_of(BinanceAccountType.SPOT, BinanceEnvironment.LIVE, True))


@pytest.mark.parametrize("environment", BYBIT_ENVIRONMENTS)
@pytest.mark.parametrize("what", BYBIT_URLS)
def test_bybit_urls_are_classed_as_what_they_are(what: str, environment: str) -> None:
    """Demo shares the public streams with the live exchange; Nautilus names the live trade stream too, and never dials it."""
    shared = environment == "DEMO" and (what == "trade" or what.startswith("public"))
    url = BYBIT_URLS[what](BYBIT_ENVIRONMENTS[environment])
    assert ("live" if shared else EXPECTED[environment]) == classify(url), url


# --- the cures that the installed Nautilus needs: the day one of these fails, that cure can go ------------------


def test_the_installed_version_is_one_that_this_was_measured_with() -> None:
    major, minor, *_ = (int(part) for part in version("nautilus_trader").split(".")[:2])
    assert (1, 231) <= (major, minor) < (2, 0)


def test_nautilus_still_retries_a_dead_redis_a_hundred_times() -> None:
    assert 100 == DatabaseConfig().number_of_retries


def test_nautilus_still_has_no_schema_for_the_mass_status_of_reconciliation() -> None:
    assert ExecutionMassStatus not in set(list_schemas())


def test_nautilus_bybit_data_client_still_has_no_url_for_public_streams() -> None:
    assert [] == [name for name in BybitDataClientConfig.__struct_fields__ if name.startswith("base_url_ws")]


class _VenueAnswers:
    """What the venue says of open orders: none."""

    async def query_open_orders(self, _symbol: str | None) -> list[Any]:
        return []


def _made_by(factory: Any, name: str, config: Any, cache: Cache, loop: asyncio.AbstractEventLoop) -> Any:
    """Return a real client that is offline, made as Nautilus' own node makes it."""
    clock = LiveClock()
    msgbus = MessageBus(TraderId("TRADER-001"), clock)
    return factory.create(loop=loop, name=name, config=config, msgbus=msgbus, cache=cache, clock=clock)


def _binance_exec(**values: Any) -> Any:
    return build_binance_exec_client_config(BinanceCredentials(**KEY, **values))


def _symbols_asked_for(factory: Any) -> set[str]:
    """Return the symbols that a client asks the venue for, whose cache holds an open BTCUSDT-PERP position."""
    cache, loop = Cache(), asyncio.new_event_loop()
    client = _made_by(factory, "BINANCE", _binance_exec(), cache, loop)
    instrument = TestInstrumentProvider.btcusdt_perp_binance()
    order = TestExecStubs.limit_order(instrument=instrument)
    fill = TestEventStubs.order_filled(order, instrument=instrument, position_id=PositionId("P-1"))
    cache.add_instrument(instrument)
    cache.add_order(order)
    cache.add_position(Position(instrument=instrument, fill=fill), OmsType.NETTING)

    async def positions_at_the_venue(_symbol: str | None = None) -> set[str]:
        return {"BTCUSDT"}

    client._http_account = _VenueAnswers()
    client._get_binance_active_position_symbols = positions_at_the_venue
    symbols, _ = loop.run_until_complete(client._build_active_symbols(None))
    loop.close()
    return set(symbols)


def test_nautilus_still_asks_binance_for_one_symbol_under_two_names_and_ours_does_not() -> None:
    """Asked for both, every fill comes twice, and reconciliation invents a position of the other side."""
    assert {"BTCUSDT-PERP", "BTCUSDT"} == _symbols_asked_for(BinanceLiveExecClientFactory)
    assert {"BTCUSDT"} == _symbols_asked_for(BinanceExecClientFactory)


@pytest.mark.parametrize("account_type", ["SPOT", "USDT_FUTURES", "COIN_FUTURES"])
def test_the_class_of_a_client_that_nautilus_made_can_become_ours(account_type: str) -> None:
    """Ours is the stock class and methods: with state of its own, the assignment of the class would leave it half made."""
    config, loop = _binance_exec(account_type=account_type), asyncio.new_event_loop()
    stock = _made_by(BinanceLiveExecClientFactory, "BINANCE", config, Cache(), loop)
    ours = _made_by(BinanceExecClientFactory, "BINANCE", config, Cache(), loop)
    assert type(stock) is not type(ours)
    assert isinstance(ours, type(stock))
    assert type(ours).__module__.startswith("config.")
    assert set(vars(stock)) == set(vars(ours))
    loop.close()


async def _first_line_dialled(factory: Any, config: Callable[[int], Any]) -> str:
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[bytes] = loop.create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        if not heard.done():
            heard.set_result(line)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    client = _made_by(factory, "BYBIT", config(server.sockets[0].getsockname()[1]), Cache(), loop)
    (stream,) = client._ws_clients.values()
    dialling = asyncio.ensure_future(stream.connect(loop_=loop, callback=lambda _: None))
    try:
        return (await asyncio.wait_for(heard, 10)).decode()
    finally:
        dialling.cancel()
        await stream.close()
        server.close()


def test_nautilus_bybit_data_client_still_dials_its_http_url_as_a_stream_and_ours_does_not() -> None:
    def config(port: int) -> Any:
        http, stream = f"http://127.0.0.1:{port}/rest", f"ws://127.0.0.1:{port}/public"
        return build_bybit_data_client_config(BybitCredentials(base_url_http=http, base_url_ws_public=stream))

    def stock(port: int) -> Any:
        return BybitDataClientConfig(
            base_url_http=f"ws://127.0.0.1:{port}/rest", product_types=(BybitProductType.LINEAR,)
        )

    assert "GET /rest HTTP/1.1\r\n" == asyncio.run(_first_line_dialled(BybitLiveDataClientFactory, stock))
    assert "GET /public/linear HTTP/1.1\r\n" == asyncio.run(_first_line_dialled(BybitDataClientFactory, config))
