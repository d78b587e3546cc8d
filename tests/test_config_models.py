"""The settings tree: defaults, bounds, rules over several fields, frozen, and silent about its inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from config.models import (
    BinanceCredentials,
    BybitCredentials,
    ConfigEnvironment,
    ExchangeCredentials,
    LoggingSettings,
    RedisConfig,
    StreamingSettings,
    TradingNodeSettings,
)

CANARY = "canary-7f3a9"
PAIR: dict[str, Any] = {"api_key": "key", "api_secret": "secret"}
# What each model needs to be made at all.
NEEDED: dict[type[BaseModel], dict[str, Any]] = {TradingNodeSettings: {"trader_id": "TRADER-001"}}
# What a field needs beside it.
BESIDE: dict[str, dict[str, Any]] = {
    "load_state": {"redis": {}},
    "save_state": {"redis": {}},
    "us": {"account_type": "SPOT"},
}


def make(model: type[BaseModel], **values: Any) -> Any:
    beside = {key: value for name in values for key, value in BESIDE.get(name, {}).items()}
    return model(**{**NEEDED.get(model, {}), **beside, **values})


def refused(model: type[BaseModel], **values: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        make(model, **values)
    return caught.value


DEFAULTS: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (
        RedisConfig,
        {"host": "localhost", "port": 6379, "username": None, "password": None, "ssl": False, "timeout": 2},
    ),
    (
        LoggingSettings,
        {
            "log_level": "INFO",
            "log_level_file": "DEBUG",
            "log_directory": None,
            "log_file_name": None,
            "log_format": "text",
            "log_component_levels": {},
            "log_colors": False,
            "max_size_mb": 100,
            "max_backup_count": 10,
        },
    ),
    (
        StreamingSettings,
        {
            "catalog_path": None,
            "flush_interval_ms": 2000,
            "rotation_mode": "SIZE",
            "max_file_size_mb": 128,
            "rotation_interval_mins": 60,
            "max_runs": None,
            "max_age_days": None,
        },
    ),
    (
        BinanceCredentials,
        {
            "api_key": None,
            "api_secret": None,
            "environment": "LIVE",
            "account_type": "USDT_FUTURES",
            "us": False,
            "instrument_ids": (),
            "base_url_http": None,
            "base_url_ws": None,
            "base_url_ws_api": None,
            "base_url_ws_stream": None,
            "proxy_url": None,
            "leverages": {},
            "margin_types": {},
        },
    ),
    (
        BybitCredentials,
        {
            "api_key": None,
            "api_secret": None,
            "environment": "LIVE",
            "product_types": ("LINEAR",),
            "instrument_ids": (),
            "base_url_http": None,
            "base_url_ws_public": None,
            "base_url_ws_private": None,
            "base_url_ws_trade": None,
            "proxy_url": None,
            "leverages": {},
            "margin_mode": None,
        },
    ),
    (
        TradingNodeSettings,
        {
            "trader_id": "TRADER-001",
            "environment": ConfigEnvironment.SANDBOX,
            "role": "trader",
            "execution": "VENUE",
            "venues": None,
            "binance": None,
            "bybit": None,
            "redis": None,
            "logging": LoggingSettings(),
            "streaming": None,
            "state_dir": None,
            "preflight_skip": (),
            "lease": True,
            "on_redis_loss": "halt",
            "venue_outage_secs": 30.0,
            "http_port": None,
            "trusted_endpoints": (),
            "sandbox_starting_balances": ("10_000 USDT",),
            "reconciliation_lookback_mins": None,
            "reconciliation_startup_delay_secs": 10.0,
            "max_order_submit_rate": "20/00:00:01",
            "max_order_modify_rate": "20/00:00:01",
            "max_notional_per_order": {},
            "load_state": None,
            "save_state": None,
            "external_order_claims": (),
            "snapshot_retention_days": 7,
            "cancel_on_stop": False,
            "halt_on_shutdown": False,
            "stop_timeout": 30.0,
            "connection_timeout": 30.0,
            "reconciliation_timeout": 30.0,
            "ready_timeout": None,
        },
    ),
]


@pytest.mark.parametrize("model, expected", DEFAULTS, ids=[model.__name__ for model, _ in DEFAULTS])
def test_defaults_are_those_of_the_design(model: type[BaseModel], expected: dict[str, Any]) -> None:
    made = make(model)
    assert expected == {name: getattr(made, name) for name in model.model_fields}


BOUNDS: list[tuple[type[BaseModel], str, float, float]] = [
    (RedisConfig, "port", 1, 65535),
    (RedisConfig, "timeout", 1, 30),
    (LoggingSettings, "max_size_mb", 10, 1000),
    (LoggingSettings, "max_backup_count", 1, 100),
    (StreamingSettings, "flush_interval_ms", 100, 10_000),
    (StreamingSettings, "max_file_size_mb", 16, 1024),
    (StreamingSettings, "rotation_interval_mins", 1, 525_600),
    (StreamingSettings, "max_runs", 1, 10_000),
    (StreamingSettings, "max_age_days", 1, 3650),
    (TradingNodeSettings, "reconciliation_lookback_mins", 60, 525_600),
    (TradingNodeSettings, "reconciliation_startup_delay_secs", 0, 60),
    (TradingNodeSettings, "venue_outage_secs", 1, 600),
    (TradingNodeSettings, "http_port", 1024, 65_535),
    (TradingNodeSettings, "snapshot_retention_days", 1, 3650),
    (TradingNodeSettings, "stop_timeout", 5, 600),
    (TradingNodeSettings, "connection_timeout", 1, 600),
    (TradingNodeSettings, "reconciliation_timeout", 1, 600),
    (TradingNodeSettings, "ready_timeout", 1, 1800),
]


@pytest.mark.parametrize("model, name, low, high", BOUNDS, ids=[name for _, name, _, _ in BOUNDS])
def test_both_bounds_are_accepted_and_nothing_beyond_them(
    model: type[BaseModel], name: str, low: float, high: float
) -> None:
    assert low == getattr(make(model, **{name: low}), name)
    assert high == getattr(make(model, **{name: str(high)}), name)
    for beyond in (low - 1, high + 1, "abc", "", "inf", "nan", "1e9"):
        assert (name,) == refused(model, **{name: beyond}).errors()[0]["loc"]


@pytest.mark.parametrize(
    "model, name",
    [(model, name) for model, name, _, _ in BOUNDS if model.model_fields[name].annotation in (int, int | None)],
)
def test_whole_numbers_are_whole(model: type[BaseModel], name: str) -> None:
    for value in (100.5, "100.5", "0.5"):
        assert (name,) == refused(model, **{name: value}).errors()[0]["loc"]


ACCEPTED: list[tuple[type[BaseModel], str, Any, Any]] = [
    *((TradingNodeSettings, "trader_id", text, text) for text in ("TRADER-001", "Trader-001", "A-B", "A_1-x-12345678")),
    (TradingNodeSettings, "trader_id", " TRADER-001\n", "TRADER-001"),
    *((TradingNodeSettings, "environment", text, "LIVE") for text in ("LIVE", "live", " Live ")),
    (TradingNodeSettings, "environment", "sandbox", "SANDBOX"),
    (TradingNodeSettings, "environment", ConfigEnvironment.LIVE, "LIVE"),
    *((TradingNodeSettings, "execution", text.lower(), text) for text in ("VENUE", "SIMULATED", "NONE")),
    *((TradingNodeSettings, "role", text, "recorder") for text in ("recorder", "RECORDER", " Recorder ")),
    (TradingNodeSettings, "role", "TRADER", "trader"),
    (TradingNodeSettings, "venues", "binance, Bybit", ("BINANCE", "BYBIT")),
    (TradingNodeSettings, "venues", ["bybit"], ("BYBIT",)),
    (TradingNodeSettings, "venues", "BINANCE,BINANCE", ("BINANCE",)),
    *(
        (TradingNodeSettings, "max_order_submit_rate", text, text)
        for text in ("1/00:00:01", "300/00:00:10", "1200/00:01:00", "99999999/23:59:59", "5/01:00:00", "007/00:00:01")
    ),
    (TradingNodeSettings, "trusted_endpoints", "Gateway.Example:8443,b:1", ("gateway.example:8443", "b:1")),
    (TradingNodeSettings, "sandbox_starting_balances", "50_000 USDT, 1.5 BTC", ("50_000 USDT", "1.5 BTC")),
    (
        TradingNodeSettings,
        "max_notional_per_order",
        "BTCUSDT-PERP.BINANCE=50000",
        {"BTCUSDT-PERP.BINANCE": 50_000},
    ),
    (
        TradingNodeSettings,
        "external_order_claims",
        "BTCUSDT-PERP.BINANCE,ETHUSDT-LINEAR.BYBIT",
        ("BTCUSDT-PERP.BINANCE", "ETHUSDT-LINEAR.BYBIT"),
    ),
    *((RedisConfig, "ssl", text, True) for text in ("1", "yes", "on", "TRUE", "True", "y", "t")),
    *((RedisConfig, "ssl", text, False) for text in ("0", "no", "off", "FALSE", "n", "f")),
    (RedisConfig, "host", "10.0.0.1", "10.0.0.1"),
    *(
        (LoggingSettings, "log_level", level.lower(), level)
        for level in ("TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "OFF")
    ),
    (LoggingSettings, "log_level_file", "Off", "OFF"),
    (LoggingSettings, "log_format", "JSON", "json"),
    (
        LoggingSettings,
        "log_component_levels",
        "RiskEngine=debug, Portfolio=WARN",
        {"RiskEngine": "DEBUG", "Portfolio": "WARN"},
    ),
    (LoggingSettings, "log_component_levels", {"RiskEngine": "trace"}, {"RiskEngine": "TRACE"}),
    (LoggingSettings, "log_directory", "/var/log/node", Path("/var/log/node")),
    (StreamingSettings, "rotation_mode", "none", "NONE"),
    (StreamingSettings, "rotation_mode", "time", "TIME"),
    (BinanceCredentials, "environment", "testnet", "TESTNET"),
    (BinanceCredentials, "environment", "Demo", "DEMO"),
    (BinanceCredentials, "account_type", "spot", "SPOT"),
    (BinanceCredentials, "account_type", "coin_futures", "COIN_FUTURES"),
    (BinanceCredentials, "us", "yes", True),
    (BinanceCredentials, "leverages", "btcusdt=5, ETHUSDT=125", {"BTCUSDT": 5, "ETHUSDT": 125}),
    (BinanceCredentials, "margin_types", "BTCUSDT=isolated", {"BTCUSDT": "ISOLATED"}),
    (BinanceCredentials, "instrument_ids", "BTCUSDT-PERP.BINANCE", ("BTCUSDT-PERP.BINANCE",)),
    (BinanceCredentials, "base_url_http", "http://127.0.0.1:8900", "http://127.0.0.1:8900"),
    (BinanceCredentials, "base_url_ws", "wss://fstream.binance.com", "wss://fstream.binance.com"),
    (BinanceCredentials, "base_url_ws_api", "ws://[::1]:8900/ws", "ws://[::1]:8900/ws"),
    (BybitCredentials, "environment", "mainnet", "LIVE"),
    (BybitCredentials, "product_types", "linear, Inverse", ("LINEAR", "INVERSE")),
    (BybitCredentials, "product_types", "spot", ("SPOT",)),
    (BybitCredentials, "margin_mode", "isolated_margin", "ISOLATED_MARGIN"),
    (BybitCredentials, "leverages", "BTCUSDT-LINEAR=5", {"BTCUSDT-LINEAR": 5}),
]


@pytest.mark.parametrize(
    "model, name, given, expected", ACCEPTED, ids=[f"{name}={given}" for _, name, given, _ in ACCEPTED]
)
def test_values_are_read_as_traders_write_them(
    model: type[BaseModel], name: str, given: object, expected: object
) -> None:
    assert expected == getattr(make(model, **{name: given}), name)


REFUSED: list[tuple[type[BaseModel], str, Any]] = [
    # Nautilus aborts the process on these.
    *(
        (TradingNodeSettings, "trader_id", text)
        for text in (
            "PROD",
            "A-",
            "-A",
            "-",
            "",
            "A--B",
            "TRÄDER-001",
            "TRADER-\u0660\u0660\u0661",
            "MY TRADER-001",
            "A:B-1",
            None,
        )
    ),
    # Binance would reject every order for the length of its id.
    (TradingNodeSettings, "trader_id", "TRADER-123456789"),
    *((LoggingSettings, name, "CRITICAL") for name in ("log_level", "log_level_file")),
    *((LoggingSettings, "log_level", text) for text in ("VERBOSE", "", "20", 20, None)),
    *((LoggingSettings, "log_component_levels", text) for text in ("RiskEngine=VERBOSE", "RiskEngine", "=INFO", "A=")),
    (LoggingSettings, "log_format", "xml"),
    (LoggingSettings, "log_file_name", "logs/node"),
    # Nautilus takes these and then throttles wrongly, or raises in the node.
    *(
        (TradingNodeSettings, name, text)
        for name in ("max_order_submit_rate", "max_order_modify_rate")
        for text in (
            "abc",
            "0/00:00:01",
            "100/00:00:00",
            "100/1",
            "10/99:99:99",
            "10/24:00:00",
            "10/00:60:00",
            "10/00:00:60",
            "-1/00:00:01",
            "1.5/00:00:01",
            "1\u0660/00:00:01",
            "20/00:00:01.5",
            "20",
            "",
            20,
        )
    ),
    (TradingNodeSettings, "environment", "PRODUCTION"),
    (TradingNodeSettings, "environment", "BACKTEST"),
    (TradingNodeSettings, "execution", "PAPER"),
    *((TradingNodeSettings, "role", text) for text in ("record", "", "trader,recorder", None)),
    (TradingNodeSettings, "venues", "BINANCE,KRAKEN"),
    (TradingNodeSettings, "venues", ()),
    (TradingNodeSettings, "trusted_endpoints", "gateway.example"),
    (TradingNodeSettings, "trusted_endpoints", "https://gateway.example:8443"),
    (TradingNodeSettings, "sandbox_starting_balances", "USDT"),
    (TradingNodeSettings, "sandbox_starting_balances", "-5 USDT"),
    (TradingNodeSettings, "sandbox_starting_balances", ()),
    (TradingNodeSettings, "max_notional_per_order", "BTCUSDT=50000"),
    (TradingNodeSettings, "max_notional_per_order", "BTCUSDT-PERP.BINANCE=0"),
    (TradingNodeSettings, "max_notional_per_order", "BTCUSDT-PERP.BINANCE=0.5"),
    (TradingNodeSettings, "external_order_claims", "BTCUSDT"),
    (TradingNodeSettings, "unknown_name", 1),
    *((RedisConfig, "ssl", text) for text in ("maybe", "", "2", 2)),
    *((RedisConfig, "host", text) for text in ("", "redis://localhost", "user@localhost", "a b")),
    (RedisConfig, "password", ""),
    (RedisConfig, "username", ""),
    (RedisConfig, "database", 1),
    (StreamingSettings, "rotation_mode", "INTERVAL"),
    (TradingNodeSettings, "on_redis_loss", "ignore"),
    *((BinanceCredentials, "environment", text) for text in ("maybe", "MAINNET", "", True)),
    *((BinanceCredentials, "account_type", text) for text in ("USDT_FUTURE", "MARGIN", "")),
    *((BinanceCredentials, "leverages", text) for text in ("BTCUSDT=0", "BTCUSDT=126", "BTCUSDT=x", "BTCUSDT", "=5")),
    (BinanceCredentials, "margin_types", "BTCUSDT=CROSSED"),
    (BinanceCredentials, "us", "maybe"),
    *(
        (BinanceCredentials, "base_url_http", url)
        for url in (
            "fapi.binance.com",
            "ftp://fapi.binance.com",
            "wss://fapi.binance.com",
            "https://",
            "https://user:password@gateway.example",
            "https://gateway.example/?token=x",
            "https://[gateway.example",
            "https://gateway.example:99999",
            "https://evil.example\\.binance.com",
        )
    ),
    (BinanceCredentials, "base_url_ws", "https://fstream.binance.com"),
    (BinanceCredentials, "instrument_ids", "BTCUSDT"),
    (BinanceCredentials, "demo_mode", True),
    (BybitCredentials, "product_types", "FUTURES"),
    (BybitCredentials, "product_types", ()),
    (BybitCredentials, "margin_mode", "CROSS"),
]


@pytest.mark.parametrize("model, name, given", REFUSED, ids=[f"{name}={given!r}" for _, name, given in REFUSED])
def test_what_nautilus_or_the_venue_would_choke_on_is_refused(model: type[BaseModel], name: str, given: object) -> None:
    assert name == refused(model, **{name: given}).errors()[0]["loc"][0]


MISFITS: list[tuple[type[BaseModel], dict[str, Any], str]] = [
    (BinanceCredentials, {"api_key": "key"}, "come as a pair"),
    (BinanceCredentials, {"api_secret": "secret"}, "come as a pair"),
    (BybitCredentials, {"api_key": "key"}, "come as a pair"),
    (BinanceCredentials, {"us": True, "account_type": "USDT_FUTURES"}, "live SPOT only"),
    (BinanceCredentials, {"us": True, "account_type": "SPOT", "environment": "TESTNET"}, "live SPOT only"),
    (BinanceCredentials, {"account_type": "SPOT", "leverages": {"BTCUSDT": 2}}, "for futures"),
    (BinanceCredentials, {"account_type": "SPOT", "margin_types": {"BTCUSDT": "CROSS"}}, "for futures"),
    (BinanceCredentials, {"account_type": "SPOT", "base_url_ws_stream": "wss://a.example"}, "for futures"),
    (BinanceCredentials, {"base_url_http": "http://fapi.binance.com"}, "unencrypted"),
    (BinanceCredentials, {"base_url_ws": "ws://testnet.binancefuture.com"}, "unencrypted"),
    (BybitCredentials, {"base_url_ws_trade": "ws://stream.bybit.com"}, "unencrypted"),
    (BinanceCredentials, {"testnet": True, "demo": True}, "contradict"),
    (BinanceCredentials, {"testnet": True, "environment": "LIVE"}, "contradict"),
    (BybitCredentials, {"demo": True, "environment": "TESTNET"}, "contradict"),
    (BinanceCredentials, {"testnet": "maybe"}, "True or False"),
    (BybitCredentials, {"product_types": "SPOT,LINEAR"}, "product_types has SPOT beside another one"),
    (BybitCredentials, {"product_types": "SPOT", "leverages": {"BTCUSDT": 2}}, "for derivatives"),
    (TradingNodeSettings, {"binance": {"instrument_ids": "BTCUSDT-LINEAR.BYBIT"}}, "must end in .BINANCE"),
    (TradingNodeSettings, {"bybit": {"instrument_ids": "BTCUSDT-PERP.BINANCE"}}, "must end in .BYBIT"),
    (TradingNodeSettings, {"load_state": True, "redis": None}, "load_state is true, which needs Redis"),
    (TradingNodeSettings, {"save_state": True, "redis": None}, "save_state is true, which needs Redis"),
    (
        TradingNodeSettings,
        {"max_notional_per_order": "BTCUSDT.KRAKEN=5"},
        "no venue that can be traded here: BTCUSDT.K",
    ),
    (
        TradingNodeSettings,
        {"external_order_claims": "A.BINANCE,B.KRAKEN"},
        "no venue that can be traded here: B.KRAKEN",
    ),
    (
        TradingNodeSettings,
        {"binance": {**PAIR, "account_type": "COIN_FUTURES", "testnet": True}},
        "COIN_FUTURES, which Nautilus cannot execute on TESTNET",
    ),
]


@pytest.mark.parametrize("model, values, message", MISFITS, ids=[f"{values}" for _, values, _ in MISFITS])
def test_settings_that_do_not_fit_together_are_refused(
    model: type[BaseModel], values: dict[str, Any], message: str
) -> None:
    error = refused(model, **values)
    assert message in str(error)
    assert all(item["ctx"]["fix"] for item in error.errors())


@pytest.mark.parametrize(
    "values",
    [
        {"binance": {"account_type": "COIN_FUTURES", "testnet": True}},  # data only
        {"binance": {**PAIR, "account_type": "COIN_FUTURES"}},
        {"binance": {**PAIR, "account_type": "COIN_FUTURES", "testnet": True}, "execution": "SIMULATED"},
        {"load_state": False, "save_state": False},
    ],
)
def test_neighbours_of_the_refused_combinations_are_accepted(values: dict[str, Any]) -> None:
    assert values.keys() <= make(TradingNodeSettings, **values).model_fields_set


@pytest.mark.parametrize("model", [BinanceCredentials, BybitCredentials])
@pytest.mark.parametrize(
    "given, environment, testnet, demo",
    [
        ({"testnet": True}, "TESTNET", True, False),
        ({"demo": True}, "DEMO", False, True),
        ({"testnet": False}, "LIVE", False, False),
        ({"testnet": False, "demo": True}, "DEMO", False, True),
        ({"testnet": True, "environment": "testnet"}, "TESTNET", True, False),
        ({"environment": "DEMO"}, "DEMO", False, True),
        ({}, "LIVE", False, False),
    ],
)
def test_testnet_and_demo_say_the_environment_and_read_back(
    model: type[ExchangeCredentials], given: dict[str, Any], environment: str, testnet: bool, demo: bool
) -> None:
    made = model(**PAIR, **given)
    assert (environment, testnet, demo) == (made.environment, made.testnet, made.demo)


@pytest.mark.parametrize("model, values", DEFAULTS, ids=[model.__name__ for model, _ in DEFAULTS])
def test_settings_are_frozen(model: type[BaseModel], values: dict[str, Any]) -> None:
    made = make(model)
    for name, value in values.items():
        with pytest.raises(ValidationError, match="frozen"):
            setattr(made, name, value)


def full() -> TradingNodeSettings:
    secrets: Any = {"api_key": CANARY, "api_secret": CANARY, "proxy_url": f"http://u:{CANARY}@proxy.example:3128"}
    return TradingNodeSettings(
        trader_id="TRADER-001",
        binance=BinanceCredentials(**secrets),
        bybit=BybitCredentials(**secrets),
        redis=RedisConfig(password=SecretStr(CANARY)),
    )


def test_a_secret_is_real_inside_and_masked_in_repr_str_and_every_dump() -> None:
    settings = full()
    assert settings.binance is not None
    assert settings.binance.api_key is not None
    assert CANARY == settings.binance.api_key.get_secret_value()
    for shown in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())):
        assert CANARY not in shown
        assert "trader_id" in shown


LEAKS: list[tuple[type[BaseModel], dict[str, Any]]] = [
    # No field takes a list that holds this.
    *((model, {name: [CANARY]}) for model, values in DEFAULTS for name in values),
    *((model, {"unknown": CANARY}) for model, _ in DEFAULTS),
    *((model, {"api_key": CANARY}) for model in (BinanceCredentials, BybitCredentials)),
    *((model, {"api_key": CANARY, "api_secret": ""}) for model in (BinanceCredentials, BybitCredentials)),
    *(
        (model, {"api_key": CANARY, "api_secret": CANARY, "testnet": True, "demo": True})
        for model in (BinanceCredentials, BybitCredentials)
    ),
    (BinanceCredentials, {"api_key": CANARY, "api_secret": CANARY, "us": True, "environment": "DEMO"}),
    (BybitCredentials, {"api_key": CANARY, "api_secret": CANARY, "product_types": "SPOT,LINEAR"}),
    (RedisConfig, {"password": [CANARY]}),
    (RedisConfig, {"password": CANARY, "port": 0}),
    (RedisConfig, {"host": f"redis://:{CANARY}@host"}),
    (TradingNodeSettings, {"binance": {"api_key": CANARY, "api_secret": [CANARY]}}),
    (TradingNodeSettings, {"binance": {"api_key": CANARY, "api_secret": CANARY, "account_type": CANARY}}),
    (TradingNodeSettings, {"binance": [CANARY]}),
    (TradingNodeSettings, {"redis": {"password": CANARY, "port": CANARY}}),
    (TradingNodeSettings, {"redis": {"password": {"value": CANARY}}}),
    (TradingNodeSettings, {"redis": CANARY}),
    (TradingNodeSettings, {"binance": {"api_key": CANARY, "api_secret": CANARY}, "load_state": True, "redis": None}),
]


@pytest.mark.parametrize(
    "model, values", LEAKS, ids=[f"{model.__name__}-{'-'.join(values)}-{i}" for i, (model, values) in enumerate(LEAKS)]
)
def test_no_failure_repeats_an_input(model: type[BaseModel], values: dict[str, Any]) -> None:
    """Neither its text, nor errors(), its JSON, or the error that it stems from."""
    error = refused(model, **values)
    for told in (str(error), repr(error), error.json(), repr(error.errors()), repr(error.__context__)):
        assert CANARY not in told
    assert {"***"} == {item["input"] for item in error.errors()}


def test_all_bad_fields_are_told_at_once() -> None:
    error = refused(TradingNodeSettings, trader_id="PROD", redis={"port": 0, "timeout": 99}, stop_timeout=1)
    assert {("trader_id",), ("redis", "port"), ("redis", "timeout"), ("stop_timeout",)} == {
        item["loc"] for item in error.errors()
    }


def test_trader_id_is_required() -> None:
    with pytest.raises(ValidationError) as caught:
        TradingNodeSettings()
    assert ("trader_id",) == caught.value.errors()[0]["loc"]


def test_the_constructor_reads_no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NAUTILUS_TRADER_ID", "OTHER-002")
    monkeypatch.setenv("TRADER_ID", "OTHER-002")
    monkeypatch.setenv("STOP_TIMEOUT", "99")
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("STOP_TIMEOUT=99\n")
    made = TradingNodeSettings(trader_id="TRADER-001")
    assert ("TRADER-001", 30.0) == (made.trader_id, made.stop_timeout)


@pytest.mark.parametrize(
    "values, expected",
    [
        ({}, ()),
        ({"binance": PAIR}, ("BINANCE",)),
        ({"bybit": PAIR, "binance": PAIR}, ("BINANCE", "BYBIT")),
        ({"binance": {}, "bybit": PAIR}, ("BYBIT",)),
        ({"venues": ("BYBIT",), "binance": PAIR}, ("BYBIT",)),
        ({"venues": ("BYBIT", "BINANCE")}, ("BYBIT", "BINANCE")),
    ],
)
def test_venues_are_those_named_else_those_with_a_key(values: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert expected == make(TradingNodeSettings, **values).active_venues


def test_folders_are_below_the_state_directory_unless_said() -> None:
    base = make(TradingNodeSettings, state_dir="/state")
    assert Path("/state/logs") == base.log_directory
    assert Path("/state/catalog") == base.catalog_path
    said = make(
        TradingNodeSettings, state_dir="/state", logging={"log_directory": "/l"}, streaming={"catalog_path": "/c"}
    )
    assert (Path("/l"), Path("/c")) == (said.log_directory, said.catalog_path)
    assert "TRADER-001" == make(TradingNodeSettings).state_directory.name


def test_a_recorder_has_a_state_directory_beside_its_trader_s() -> None:
    """Two processes of one trader id never write the same file."""
    made = make(TradingNodeSettings, state_dir="/state", role="recorder")
    assert (Path("/state/recorder"), Path("/state/recorder/logs")) == (made.state_directory, made.log_directory)
    assert ("TRADER-001", "recorder") == make(TradingNodeSettings, role="recorder").state_directory.parts[-2:]


def test_what_was_not_read_from_anywhere_has_no_origin_and_nothing_to_tell() -> None:
    made = make(TradingNodeSettings)
    assert ({}, {}, (), (), None) == (made.origins, made.overridden, made.warnings, made.notes, made.preset)


def test_simulated_execution_has_a_catalog_folder_of_its_own() -> None:
    simulated = make(TradingNodeSettings, state_dir="/state", execution="SIMULATED")
    assert Path("/state/catalog/simulated") == simulated.catalog_path
    said = make(TradingNodeSettings, execution="SIMULATED", streaming={"catalog_path": "/c"})
    assert Path("/c/simulated") == said.catalog_path


@pytest.mark.parametrize(
    "values, expected",
    [
        ({}, (False, False)),
        ({"redis": {}}, (True, True)),
        ({"redis": {}, "load_state": False}, (False, True)),
        ({"redis": {}, "save_state": False}, (True, False)),
    ],
)
def test_state_is_kept_where_redis_is(values: dict[str, Any], expected: tuple[bool, bool]) -> None:
    made = make(TradingNodeSettings, **values)
    assert expected == (made.loads_state, made.saves_state)


def test_ready_timeout_is_the_sum_of_the_other_two_and_ten_seconds() -> None:
    assert 70.0 == make(TradingNodeSettings).seconds_to_ready
    assert 15.0 == make(TradingNodeSettings, connection_timeout=2, reconciliation_timeout=3).seconds_to_ready
    assert 90.0 == make(TradingNodeSettings, ready_timeout=90).seconds_to_ready


def test_a_venue_without_a_section_is_public_data() -> None:
    assert BybitCredentials() == make(TradingNodeSettings, venues=("BYBIT",)).credentials("BYBIT")
    assert not BybitCredentials().has_key
    assert BybitCredentials(api_key=SecretStr("k"), api_secret=SecretStr("s")).has_key


def test_base_urls_lists_those_that_were_set() -> None:
    made = BinanceCredentials(base_url_http="https://a.example", base_url_ws_api="wss://b.example")
    assert {"base_url_http": "https://a.example", "base_url_ws_api": "wss://b.example"} == made.base_urls
    assert {} == BinanceCredentials().base_urls
