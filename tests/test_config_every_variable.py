"""Every variable that is documented changes what is built; every variable that is read is documented."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nautilus_trader.config import ImportableStrategyConfig

from config.factory import TradingNodeConfigFactory
from config.models import TradingNodeSettings
from config.preflight.steps import preflight
from config.problems import ConfigError
from config.settings.variables import current_names, former_names, secret_names
from config.show.banner import start_rows

ROOT = Path(__file__).parents[1]
DOCUMENTED = sorted(set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.MULTILINE)))

STRATEGY = ImportableStrategyConfig(strategy_path="quiet:Quiet", config_path="quiet:QuietConfig", config={})
NODE = {"NAUTILUS_TRADER_ID": "TRADER-001"}
BINANCE = {**NODE, "BINANCE_API_KEY": "key", "BINANCE_API_SECRET": "secret"}
BYBIT = {**NODE, "BYBIT_API_KEY": "key", "BYBIT_API_SECRET": "secret"}
REDIS = {**NODE, "REDIS_HOST": "127.0.0.1"}
STREAMING = {**NODE, "NAUTILUS_ROTATION_MODE": "SIZE"}


def own_keys(prefix: str, **more: str) -> dict[str, str]:
    """Return an environment whose one key pair has names of its own for one environment of the exchange."""
    return {**NODE, f"{prefix}_API_KEY": "key", f"{prefix}_API_SECRET": "secret", **more}


SPOT_TESTNET = own_keys("BINANCE_TESTNET", BINANCE_ENVIRONMENT="TESTNET", BINANCE_ACCOUNT_TYPE="SPOT")
FUTURES_TESTNET = own_keys("BINANCE_FUTURES_TESTNET", BINANCE_ENVIRONMENT="TESTNET")
BINANCE_DEMO = own_keys("BINANCE_DEMO", BINANCE_ENVIRONMENT="DEMO")
BYBIT_TESTNET = own_keys("BYBIT_TESTNET", BYBIT_ENVIRONMENT="TESTNET")
BYBIT_DEMO = own_keys("BYBIT_DEMO", BYBIT_ENVIRONMENT="DEMO")
HTTP, WS = "https://gateway.example:8443", "wss://gateway.example:8443"

# Each variable: an environment in which it matters, and a value that is not what that environment has.
CHANGES: dict[str, tuple[Mapping[str, str], str]] = {
    "NAUTILUS_PRESET": (BINANCE, "sandbox"),
    "NAUTILUS_SECRETS_DIR": (BINANCE, "{tmp}/secrets"),
    "NAUTILUS_TRADER_ID": (NODE, "OTHER-002"),
    "NAUTILUS_ENVIRONMENT": (NODE, "LIVE"),
    "NAUTILUS_EXECUTION": (BINANCE, "SIMULATED"),
    "NAUTILUS_VENUES": (BINANCE, "BINANCE,BYBIT"),
    "NAUTILUS_STATE_DIR": (NODE, "/var/lib/other"),
    "NAUTILUS_SANDBOX_STARTING_BALANCES": ({**BINANCE, "NAUTILUS_EXECUTION": "SIMULATED"}, "50_000 USDT,1 BTC"),
    "NAUTILUS_RECONCILIATION_LOOKBACK_MINS": (NODE, "1440"),
    "NAUTILUS_RECONCILIATION_STARTUP_DELAY_SECS": (NODE, "20"),
    "NAUTILUS_MAX_ORDER_SUBMIT_RATE": (NODE, "5/00:00:01"),
    "NAUTILUS_MAX_ORDER_MODIFY_RATE": (NODE, "5/00:00:01"),
    "NAUTILUS_MAX_NOTIONAL_PER_ORDER": (NODE, "BTCUSDT-PERP.BINANCE=50000"),
    "NAUTILUS_LOAD_STATE": (REDIS, "false"),
    "NAUTILUS_SAVE_STATE": (REDIS, "false"),
    "NAUTILUS_EXTERNAL_ORDER_CLAIMS": (NODE, "BTCUSDT-PERP.BINANCE"),
    "NAUTILUS_STOP_TIMEOUT": (NODE, "60"),
    "NAUTILUS_CONNECTION_TIMEOUT": (NODE, "60"),
    "NAUTILUS_RECONCILIATION_TIMEOUT": (NODE, "60"),
    "BINANCE_API_KEY": (BINANCE, "other"),
    "BINANCE_API_SECRET": (BINANCE, "other"),
    "BINANCE_ENVIRONMENT": (BINANCE, "TESTNET"),
    "BINANCE_TESTNET": (BINANCE, "true"),
    "BINANCE_DEMO": (BINANCE, "true"),
    "BINANCE_INSTRUMENT_IDS": (BINANCE, "BTCUSDT-PERP.BINANCE"),
    "BINANCE_BASE_URL_HTTP": (BINANCE, HTTP),
    "BINANCE_BASE_URL_WS": (BINANCE, WS),
    "BINANCE_BASE_URL_WS_API": (BINANCE, WS),
    "BINANCE_BASE_URL_WS_STREAM": (BINANCE, WS),
    "BINANCE_PROXY_URL": (BINANCE, "http://user:pass@proxy.example:3128"),
    "BINANCE_LEVERAGES": (BINANCE, "BTCUSDT=5"),
    "BINANCE_MARGIN_TYPES": (BINANCE, "BTCUSDT=ISOLATED"),
    "BINANCE_ACCOUNT_TYPE": (BINANCE, "SPOT"),
    "BINANCE_US": ({**BINANCE, "BINANCE_ACCOUNT_TYPE": "SPOT"}, "true"),
    "BINANCE_TESTNET_API_KEY": (SPOT_TESTNET, "other"),
    "BINANCE_TESTNET_API_SECRET": (SPOT_TESTNET, "other"),
    "BINANCE_FUTURES_TESTNET_API_KEY": (FUTURES_TESTNET, "other"),
    "BINANCE_FUTURES_TESTNET_API_SECRET": (FUTURES_TESTNET, "other"),
    "BINANCE_DEMO_API_KEY": (BINANCE_DEMO, "other"),
    "BINANCE_DEMO_API_SECRET": (BINANCE_DEMO, "other"),
    "BYBIT_API_KEY": (BYBIT, "other"),
    "BYBIT_API_SECRET": (BYBIT, "other"),
    "BYBIT_ENVIRONMENT": (BYBIT, "DEMO"),
    "BYBIT_TESTNET": (BYBIT, "yes"),
    "BYBIT_DEMO": (BYBIT, "1"),
    "BYBIT_INSTRUMENT_IDS": (BYBIT, "BTCUSDT-LINEAR.BYBIT"),
    "BYBIT_BASE_URL_HTTP": (BYBIT, HTTP),
    "BYBIT_BASE_URL_WS_PUBLIC": (BYBIT, WS),
    "BYBIT_BASE_URL_WS_PRIVATE": (BYBIT, WS),
    "BYBIT_BASE_URL_WS_TRADE": (BYBIT, WS),
    "BYBIT_PROXY_URL": (BYBIT, "http://user:pass@proxy.example:3128"),
    "BYBIT_LEVERAGES": (BYBIT, "BTCUSDT-LINEAR=5"),
    "BYBIT_PRODUCT_TYPES": (BYBIT, "LINEAR,INVERSE"),
    "BYBIT_MARGIN_MODE": (BYBIT, "ISOLATED_MARGIN"),
    "BYBIT_TESTNET_API_KEY": (BYBIT_TESTNET, "other"),
    "BYBIT_TESTNET_API_SECRET": (BYBIT_TESTNET, "other"),
    "BYBIT_DEMO_API_KEY": (BYBIT_DEMO, "other"),
    "BYBIT_DEMO_API_SECRET": (BYBIT_DEMO, "other"),
    "REDIS_URL": (NODE, "rediss://trader:password@redis.internal:6380"),
    "REDIS_HOST": (NODE, "redis.internal"),
    "REDIS_PORT": (REDIS, "6380"),
    "REDIS_USERNAME": (REDIS, "trader"),
    "REDIS_PASSWORD": (REDIS, "password"),
    "REDIS_SSL": (REDIS, "true"),
    "REDIS_TIMEOUT": (REDIS, "5"),
    "NAUTILUS_LOG_LEVEL": (NODE, "WARN"),
    "NAUTILUS_LOG_LEVEL_FILE": (NODE, "TRACE"),
    "NAUTILUS_LOG_DIRECTORY": (NODE, "/var/log/other"),
    "NAUTILUS_LOG_FILE_NAME": (NODE, "node"),
    "NAUTILUS_LOG_FORMAT": (NODE, "json"),
    "NAUTILUS_LOG_COMPONENT_LEVELS": (NODE, "RiskEngine=DEBUG"),
    "NAUTILUS_LOG_COLORS": (NODE, "true"),
    "NAUTILUS_LOG_MAX_SIZE_MB": (NODE, "50"),
    "NAUTILUS_LOG_MAX_BACKUP_COUNT": (NODE, "5"),
    "NAUTILUS_CATALOG_PATH": (STREAMING, "/var/lib/other"),
    "NAUTILUS_FLUSH_INTERVAL_MS": (STREAMING, "500"),
    "NAUTILUS_ROTATION_MODE": (STREAMING, "TIME"),
    "NAUTILUS_MAX_FILE_SIZE_MB": (STREAMING, "256"),
    "NAUTILUS_ROTATION_INTERVAL_MINS": ({**NODE, "NAUTILUS_ROTATION_MODE": "TIME"}, "30"),
}
# These act elsewhere than in the built configuration; each has a test of its own below.
ELSEWHERE = ("NAUTILUS_PREFLIGHT_SKIP", "NAUTILUS_READY_TIMEOUT", "NAUTILUS_ROLE", "NAUTILUS_TRUSTED_ENDPOINTS")
# These act around a running node: the run says them at its start, and what they do is in the tests of running nodes.
OF_A_RUN: Mapping[str, tuple[Mapping[str, str], str]] = {
    "NAUTILUS_LEASE": (REDIS, "false"),
    "NAUTILUS_ON_REDIS_LOSS": (REDIS, "stop"),
    "NAUTILUS_SNAPSHOT_RETENTION_DAYS": (REDIS, "30"),
    "NAUTILUS_VENUE_OUTAGE_SECS": (NODE, "60"),
    "NAUTILUS_CANCEL_ON_STOP": (NODE, "true"),
    "NAUTILUS_HALT_ON_SHUTDOWN": (NODE, "true"),
    "NAUTILUS_HTTP_PORT": (NODE, "9464"),
    "NAUTILUS_CATALOG_MAX_RUNS": (STREAMING, "30"),
    "NAUTILUS_CATALOG_MAX_AGE_DAYS": (STREAMING, "90"),
}


@pytest.fixture(autouse=True)
def secrets(tmp_path: Path) -> Path:
    """A secrets directory with a key pair in it, beside an empty one that applies unless a test says otherwise."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    folder.joinpath("binance_api_key").write_text("other\n")
    tmp_path.joinpath("empty").mkdir()
    return folder


def settings_of(environ: Mapping[str, str], tmp_path: Path, preset: str | None = None) -> TradingNodeSettings:
    given = {"NAUTILUS_SECRETS_DIR": str(tmp_path / "empty"), "HOME": "/home/trader", **environ}
    return TradingNodeSettings.from_env(None, given, preset=preset)


def revealed(value: Any) -> Any:
    """Return ``value`` with every secret in clear and every struct taken apart, so that two of them compare as text."""
    if isinstance(value, msgspec.Struct):
        fields = {name: revealed(getattr(value, name)) for name in value.__struct_fields__}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {str(name): revealed(item) for name, item in value.items()}
    if isinstance(value, list | tuple | frozenset):
        return [revealed(item) for item in (sorted(value, key=str) if isinstance(value, frozenset) else value)]
    return str.__str__(value) if isinstance(value, str) else repr(value)


def built(environ: Mapping[str, str], tmp_path: Path) -> Any:
    return revealed(TradingNodeConfigFactory.from_settings(settings_of(environ, tmp_path), [STRATEGY]))


def test_every_documented_variable_has_a_row_here_and_no_row_is_left_over() -> None:
    assert DOCUMENTED == sorted([*CHANGES, *ELSEWHERE, *OF_A_RUN])


def test_every_variable_that_is_read_is_documented() -> None:
    files = {f"{name}_FILE" for name in secret_names()}
    assert DOCUMENTED == sorted(current_names() - files)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_documented_variable_changes_what_is_built(name: str, tmp_path: Path) -> None:
    if name in ELSEWHERE:
        assert _acts_elsewhere(name, tmp_path)
        return
    if name in OF_A_RUN:
        environ, value = OF_A_RUN[name]
        assert _said(environ, tmp_path) != _said({**environ, name: value}, tmp_path)
        return
    environ, value = CHANGES[name]
    changed = {**environ, name: value.format(tmp=tmp_path)}
    if name == "NAUTILUS_SECRETS_DIR":  # the process environment would win over the directory
        changed.pop("BINANCE_API_KEY")
    assert built(environ, tmp_path) == built(environ, tmp_path)
    assert built(environ, tmp_path) != built(changed, tmp_path)


def _acts_elsewhere(name: str, tmp_path: Path) -> bool:
    return {
        "NAUTILUS_PREFLIGHT_SKIP": _a_step_of_the_preflight_is_left_out,
        "NAUTILUS_READY_TIMEOUT": _ready_timeout_is_the_deadline,
        "NAUTILUS_ROLE": _a_recorder_records_and_a_trader_trades,
        "NAUTILUS_TRUSTED_ENDPOINTS": _trust_lets_a_foreign_host_pass,
    }[name](tmp_path)


def _said(environ: Mapping[str, str], tmp_path: Path) -> list[tuple[str, str]]:
    settings = settings_of(environ, tmp_path)
    return list(start_rows(settings, TradingNodeConfigFactory.from_settings(settings)))


def _a_step_of_the_preflight_is_left_out(tmp_path: Path) -> bool:
    environ = {**NODE, "NAUTILUS_STATE_DIR": str(tmp_path)}
    steps = [
        [(found.step, found.state) for found in preflight(settings_of(given, tmp_path), ["disk"])]
        for given in (environ, {**environ, "NAUTILUS_PREFLIGHT_SKIP": "Disk"})
    ]
    return [("disk", "skipped")] == steps[1] != steps[0]


def _ready_timeout_is_the_deadline(tmp_path: Path) -> bool:
    seconds = settings_of({**NODE, "NAUTILUS_READY_TIMEOUT": "90"}, tmp_path).seconds_to_ready
    return (70.0, 90.0) == (settings_of(NODE, tmp_path).seconds_to_ready, seconds)


def _a_recorder_records_and_a_trader_trades(tmp_path: Path) -> bool:
    """A recorder runs no strategies, so the two are built without."""
    environ = {**BINANCE, **STREAMING, "BINANCE_INSTRUMENT_IDS": "BTCUSDT-PERP.BINANCE", "NAUTILUS_VENUES": "BINANCE"}
    trader, recorder = (
        TradingNodeConfigFactory.from_settings(settings_of({**environ, "NAUTILUS_ROLE": role}, tmp_path))
        for role in ("trader", "recorder")
    )
    found = [(list(made.data_clients), list(made.exec_clients), len(made.actors)) for made in (trader, recorder)]
    return [(["BINANCE"], ["BINANCE"], 0), (["BINANCE"], [], 1)] == found


def _trust_lets_a_foreign_host_pass(tmp_path: Path) -> bool:
    live = {"NAUTILUS_ENVIRONMENT": "LIVE", "NAUTILUS_VENUES": "BINANCE", "BINANCE_BASE_URL_HTTP": HTTP}
    environ = {**BINANCE, **REDIS, **live}
    with pytest.raises(ConfigError) as caught:
        settings_of(environ, tmp_path, "production")
    trusted = {**environ, "NAUTILUS_TRUSTED_ENDPOINTS": "gateway.example:8443"}
    config = TradingNodeConfigFactory.from_settings(settings_of(trusted, tmp_path, "production"))
    return caught.value.exit_code == 8 and config.exec_clients["BINANCE"].base_url_http == HTTP


@pytest.mark.parametrize("former, name", former_names().items())
def test_a_former_name_builds_what_the_current_one_builds_and_says_so(former: str, name: str, tmp_path: Path) -> None:
    environ, value = CHANGES[name]
    old = {**{other: text for other, text in environ.items() if other != name}, former: value}
    assert built({**environ, name: value}, tmp_path) == built(old, tmp_path)
    said = [
        (problem.key, problem.accepted) for problem in settings_of(old, tmp_path).warnings if problem.code == "TN306"
    ]
    assert [(former, (name,))] == said


@pytest.mark.parametrize("name", sorted(secret_names()))
def test_a_secret_from_a_file_builds_what_the_variable_builds(name: str, tmp_path: Path) -> None:
    current = former_names().get(name, name)
    environ, value = CHANGES[current]
    file = tmp_path / "secret"
    file.write_text(f"{value}\n")
    from_file = {other: text for other, text in environ.items() if other != current} | {f"{name}_FILE": str(file)}
    assert built({**environ, current: value}, tmp_path) == built(from_file, tmp_path)
