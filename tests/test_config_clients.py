"""The venues' client configurations, and simulated execution."""

from __future__ import annotations

from typing import Any

import pytest
from nautilus_trader.adapters.binance.common.enums import BinanceAccountType, BinanceEnvironment
from nautilus_trader.adapters.binance.common.symbol import BinanceSymbol
from nautilus_trader.adapters.binance.config import BinanceDataClientConfig, BinanceExecClientConfig
from nautilus_trader.adapters.binance.futures.enums import BinanceFuturesMarginType
from nautilus_trader.adapters.bybit.config import BybitDataClientConfig, BybitExecClientConfig
from nautilus_trader.adapters.sandbox.config import SandboxExecutionClientConfig
from nautilus_trader.adapters.sandbox.factory import SandboxLiveExecClientFactory
from nautilus_trader.config import InstrumentProviderConfig
from nautilus_trader.core.nautilus_pyo3 import BybitEnvironment, BybitMarginMode, BybitProductType
from nautilus_trader.model.identifiers import InstrumentId
from pydantic import SecretStr

from config.clients import DATA_FACTORIES, EXEC_FACTORIES, VENUES, binance, bybit, venue_of
from config.clients.binance import build_binance_data_client_config, build_binance_exec_client_config
from config.clients.bybit import build_bybit_data_client_config, build_bybit_exec_client_config
from config.clients.sandbox import build_sandbox_exec_client_config
from config.models import BinanceCredentials, BybitCredentials

KEYS: dict[str, Any] = {"api_key": "key-of-it", "api_secret": "secret-of-it"}
TEXT: dict[str, Any] = {"environment": "TESTNET"}
HTTP, WS = "https://gateway.example:8443", "wss://gateway.example:8443"


def binance_data(**values: Any) -> Any:
    return build_binance_data_client_config(BinanceCredentials(**KEYS, **values))


def binance_exec(**values: Any) -> Any:
    return build_binance_exec_client_config(BinanceCredentials(**KEYS, **values))


def bybit_data(**values: Any) -> Any:
    return build_bybit_data_client_config(BybitCredentials(**KEYS, **values))


def bybit_exec(**values: Any) -> Any:
    return build_bybit_exec_client_config(BybitCredentials(**KEYS, **values))


BUILDERS: dict[str, Any] = {
    "binance data": binance_data,
    "binance execution": binance_exec,
    "bybit data": bybit_data,
    "bybit execution": bybit_exec,
}
RETRYING = ["binance execution", "bybit data", "bybit execution"]


@pytest.mark.parametrize("client", BUILDERS)
def test_a_client_carries_its_key_pair(client: str) -> None:
    made = BUILDERS[client]()
    assert ("key-of-it", "secret-of-it") == (made.api_key, made.api_secret)


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(build_binance_data_client_config(BinanceCredentials()), id="binance"),
        pytest.param(build_bybit_data_client_config(BybitCredentials()), id="bybit"),
    ],
)
def test_a_data_client_without_a_key_is_for_public_data(made: Any) -> None:
    assert (None, None) == (made.api_key, made.api_secret)


@pytest.mark.parametrize(
    "field, expected",
    [
        ("max_retries", 3),
        ("retry_delay_initial_ms", 1_000),
        ("retry_delay_max_ms", 10_000),
        ("recv_window_ms", 5_000),
    ],
)
@pytest.mark.parametrize("client", RETRYING)
def test_requests_are_retried_three_times_with_back_off(client: str, field: str, expected: int) -> None:
    assert expected == getattr(BUILDERS[client](), field)


@pytest.mark.parametrize(
    "client, values, field, expected",
    [
        ("binance data", {}, "account_type", BinanceAccountType.USDT_FUTURES),
        ("binance data", {"account_type": "SPOT"}, "account_type", BinanceAccountType.SPOT),
        ("binance data", {"account_type": "coin_futures"}, "account_type", BinanceAccountType.COIN_FUTURES),
        ("binance data", {}, "environment", BinanceEnvironment.LIVE),
        ("binance data", {"testnet": True}, "environment", BinanceEnvironment.TESTNET),
        ("binance data", {"demo": True}, "environment", BinanceEnvironment.DEMO),
        ("binance data", {"base_url_http": HTTP}, "base_url_http", HTTP),
        ("binance data", {"base_url_ws": WS}, "base_url_ws", WS),
        ("binance data", {"base_url_ws_api": WS}, "base_url_ws", None),
        ("binance data", {"proxy_url": SecretStr(HTTP)}, "proxy_url", HTTP),
        ("binance data", {"us": True, "account_type": "SPOT"}, "us", True),
        ("binance execution", {}, "account_type", BinanceAccountType.USDT_FUTURES),
        ("binance execution", {"account_type": "SPOT"}, "account_type", BinanceAccountType.SPOT),
        ("binance execution", {"account_type": "COIN_FUTURES"}, "account_type", BinanceAccountType.COIN_FUTURES),
        ("binance execution", {}, "environment", BinanceEnvironment.LIVE),
        ("binance execution", {"environment": "TESTNET"}, "environment", BinanceEnvironment.TESTNET),
        ("binance execution", {"environment": "DEMO"}, "environment", BinanceEnvironment.DEMO),
        ("binance execution", {"base_url_http": HTTP}, "base_url_http", HTTP),
        ("binance execution", {"base_url_ws_api": WS}, "base_url_ws", WS),
        ("binance execution", {"base_url_ws": WS}, "base_url_ws", None),
        ("binance execution", {"base_url_ws_stream": WS}, "base_url_ws_stream", WS),
        ("binance execution", {"proxy_url": SecretStr(HTTP)}, "proxy_url", HTTP),
        ("binance execution", {"us": True, "account_type": "SPOT"}, "us", True),
        ("binance execution", {}, "futures_leverages", None),
        ("binance execution", {"leverages": "BTCUSDT=5"}, "futures_leverages", {BinanceSymbol("BTCUSDT"): 5}),
        ("binance execution", {}, "futures_margin_types", None),
        (
            "binance execution",
            {"margin_types": "BTCUSDT=isolated,ETHUSDT=CROSS"},
            "futures_margin_types",
            {
                BinanceSymbol("BTCUSDT"): BinanceFuturesMarginType.ISOLATED,
                BinanceSymbol("ETHUSDT"): BinanceFuturesMarginType.CROSS,
            },
        ),
        ("bybit data", {}, "product_types", (BybitProductType.LINEAR,)),
        (
            "bybit data",
            {"product_types": "LINEAR,INVERSE,OPTION"},
            "product_types",
            (BybitProductType.LINEAR, BybitProductType.INVERSE, BybitProductType.OPTION),
        ),
        ("bybit data", {}, "environment", BybitEnvironment.MAINNET),
        ("bybit data", {"environment": "MAINNET"}, "environment", BybitEnvironment.MAINNET),
        ("bybit data", {"testnet": True}, "environment", BybitEnvironment.TESTNET),
        ("bybit data", {"demo": True}, "environment", BybitEnvironment.DEMO),
        ("bybit data", {"base_url_http": HTTP}, "base_url_http", HTTP),
        ("bybit data", {"base_url_ws_public": WS}, "base_url_ws_public", WS),
        ("bybit data", {"proxy_url": SecretStr(HTTP)}, "proxy_url", HTTP),
        ("bybit execution", {"product_types": "SPOT"}, "product_types", (BybitProductType.SPOT,)),
        ("bybit execution", {}, "environment", BybitEnvironment.MAINNET),
        ("bybit execution", {"testnet": True}, "environment", BybitEnvironment.TESTNET),
        ("bybit execution", {"demo": True}, "environment", BybitEnvironment.DEMO),
        ("bybit execution", {"base_url_http": HTTP}, "base_url_http", HTTP),
        ("bybit execution", {"base_url_ws_private": WS}, "base_url_ws_private", WS),
        ("bybit execution", {"base_url_ws_trade": WS}, "base_url_ws_trade", WS),
        ("bybit execution", {"proxy_url": SecretStr(HTTP)}, "proxy_url", HTTP),
        ("bybit execution", {}, "futures_leverages", None),
        ("bybit execution", {"leverages": "BTCUSDT-LINEAR=5"}, "futures_leverages", {"BTCUSDT-LINEAR": 5}),
        ("bybit execution", {}, "margin_mode", None),
        ("bybit execution", {"margin_mode": "isolated_margin"}, "margin_mode", BybitMarginMode.ISOLATED_MARGIN),
        ("bybit execution", {"margin_mode": "REGULAR_MARGIN"}, "margin_mode", BybitMarginMode.REGULAR_MARGIN),
        ("bybit execution", {"margin_mode": "PORTFOLIO_MARGIN"}, "margin_mode", BybitMarginMode.PORTFOLIO_MARGIN),
    ],
)
def test_each_setting_reaches_the_client(client: str, values: dict[str, Any], field: str, expected: object) -> None:
    assert expected == getattr(BUILDERS[client](**values), field)


@pytest.mark.parametrize("client", BUILDERS)
def test_without_names_every_instrument_is_loaded(client: str) -> None:
    """Nautilus' own default loads none at all."""
    assert (True, None) == ((made := BUILDERS[client]().instrument_provider).load_all, made.load_ids)
    assert not InstrumentProviderConfig().load_all


@pytest.mark.parametrize(
    "client, named",
    [
        ("binance data", "BTCUSDT-PERP.BINANCE"),
        ("binance execution", "BTCUSDT-PERP.BINANCE"),
        ("bybit data", "BTCUSDT-LINEAR.BYBIT"),
        ("bybit execution", "BTCUSDT-LINEAR.BYBIT"),
    ],
)
def test_named_instruments_are_loaded_and_no_others(client: str, named: str) -> None:
    made = BUILDERS[client](instrument_ids=named).instrument_provider
    assert (False, frozenset({InstrumentId.from_str(named)})) == (made.load_all, made.load_ids)


@pytest.mark.parametrize(
    "client, values, expected",
    [
        (
            "binance data",
            {},
            {
                "base_url_http": "https://fapi.binance.com",
                "base_url_ws": "wss://fstream.binance.com/market",
                "base_url_ws_public": "wss://fstream.binance.com/public",
            },
        ),
        (
            "binance data",
            {"base_url_http": HTTP, "base_url_ws": WS},
            {"base_url_http": HTTP, "base_url_ws": WS, "base_url_ws_public": WS},
        ),
        (
            "binance execution",
            {"testnet": True, "account_type": "SPOT"},
            {
                "base_url_http": "https://testnet.binance.vision",
                "base_url_ws_api": "wss://ws-api.testnet.binance.vision/ws-api/v3",
            },
        ),
        (
            "binance execution",
            {"base_url_http": HTTP, "base_url_ws_api": f"{WS}/api", "base_url_ws_stream": f"{WS}/stream"},
            {"base_url_http": HTTP, "base_url_ws_api": f"{WS}/api", "base_url_ws_stream": f"{WS}/stream"},
        ),
        (
            "bybit data",
            {"product_types": "LINEAR,INVERSE", "base_url_ws_public": f"{WS}/v5/public/"},
            {
                "base_url_http": "https://api.bybit.com",
                "base_url_ws_public Linear": f"{WS}/v5/public/linear",
                "base_url_ws_public Inverse": f"{WS}/v5/public/inverse",
            },
        ),
        (
            "bybit data",
            {"base_url_http": HTTP},
            {"base_url_http": HTTP, "base_url_ws_public Linear": "wss://stream.bybit.com/v5/public/linear"},
        ),
        ("bybit data", {"demo": True}, {"base_url_http": "https://api-demo.bybit.com"}),
        (
            "bybit data",
            {"demo": True, "base_url_ws_public": WS},
            {"base_url_http": "https://api-demo.bybit.com", "base_url_ws_public Linear": f"{WS}/linear"},
        ),
        (
            "bybit execution",
            {"demo": True},
            {
                "base_url_http": "https://api-demo.bybit.com",
                "base_url_ws_private": "wss://stream-demo.bybit.com/v5/private",
            },
        ),
        (
            "bybit execution",
            {"testnet": True},
            {
                "base_url_http": "https://api-testnet.bybit.com",
                "base_url_ws_private": "wss://stream-testnet.bybit.com/v5/private",
                "base_url_ws_trade": "wss://stream-testnet.bybit.com/v5/trade",
            },
        ),
        (
            "bybit execution",
            {"base_url_http": HTTP, "base_url_ws_private": f"{WS}/private", "base_url_ws_trade": f"{WS}/trade"},
            {"base_url_http": HTTP, "base_url_ws_private": f"{WS}/private", "base_url_ws_trade": f"{WS}/trade"},
        ),
    ],
)
def test_urls_that_a_built_client_dials(client: str, values: dict[str, Any], expected: dict[str, str]) -> None:
    made = BUILDERS[client](**values)
    venue = venue_of(made)
    assert venue is not None
    assert expected == venue.urls_of(made)


@pytest.mark.parametrize("environment", ["LIVE", "TESTNET", "DEMO"])
@pytest.mark.parametrize("client", BUILDERS)
def test_the_environment_is_read_back_from_a_built_client(client: str, environment: str) -> None:
    made = BUILDERS[client](environment=environment)
    venue = venue_of(made)
    assert venue is not None
    assert environment == venue.environment_of(made)


@pytest.mark.parametrize(
    "environment_of, made",
    [
        (binance.environment_of, BinanceExecClientConfig()),
        (binance.environment_of, BinanceDataClientConfig(**TEXT)),
        (bybit.environment_of, BybitExecClientConfig()),
        (bybit.environment_of, BybitDataClientConfig(**TEXT)),
    ],
)
def test_what_is_no_enum_counts_as_live_for_nautilus_dials_live_with_it(environment_of: Any, made: Any) -> None:
    assert "LIVE" == environment_of(made)


@pytest.mark.parametrize(
    "credentials, expected",
    [
        (BinanceCredentials(account_type="SPOT"), "CASH"),
        (BinanceCredentials(account_type="USDT_FUTURES"), "MARGIN"),
        (BinanceCredentials(account_type="COIN_FUTURES"), "MARGIN"),
        (BybitCredentials(product_types=("SPOT",)), "CASH"),
        (BybitCredentials(product_types=("LINEAR",)), "MARGIN"),
        (BybitCredentials(product_types=("LINEAR", "INVERSE")), "MARGIN"),
    ],
)
def test_simulated_spot_has_a_cash_account_and_derivatives_a_margin_account(credentials: Any, expected: str) -> None:
    assert expected == build_sandbox_exec_client_config("BINANCE", credentials, ("1 BTC",)).account_type


def test_the_simulated_venue_starts_with_the_balances_that_were_given() -> None:
    made = build_sandbox_exec_client_config("BYBIT", BybitCredentials(), ("50_000 USDT", "1 BTC"))
    assert ("BYBIT", ["50_000 USDT", "1 BTC"], "NETTING") == (made.venue, made.starting_balances, made.oms_type)


def test_the_simulated_venue_has_no_place_for_a_key() -> None:
    assert not {"api_key", "api_secret"} & set(SandboxExecutionClientConfig.__struct_fields__)


def test_simulated_execution_belongs_to_no_venue_and_has_a_factory() -> None:
    made = build_sandbox_exec_client_config("BINANCE", BinanceCredentials(), ("1 BTC",))
    assert venue_of(made) is None
    assert SandboxLiveExecClientFactory is EXEC_FACTORIES[type(made)]


@pytest.mark.parametrize("name, settings", [("BINANCE", BinanceCredentials), ("BYBIT", BybitCredentials)])
def test_a_row_of_the_table_builds_what_it_says_it_builds(name: str, settings: Any) -> None:
    row = VENUES[name]
    made = settings(**KEYS)
    data, execution = row.build_data(made), row.build_exec(made)
    assert row.settings is settings
    assert isinstance(data, row.data_config)
    assert isinstance(execution, row.exec_config)
    assert (row, row) == (venue_of(data), venue_of(execution))
    assert (row.data_factory, row.exec_factory) == (DATA_FACTORIES[row.data_config], EXEC_FACTORIES[row.exec_config])
