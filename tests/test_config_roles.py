"""What a recorder is for, what it never looks at, and that neither a key nor an order can leave it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from nautilus_trader.adapters.binance.common.enums import BinanceEnvironment
from nautilus_trader.common import Environment
from nautilus_trader.config import ImportableStrategyConfig, TradingNodeConfig

from config.checks.guarantees import OF_A_RECORDER, broken_guarantees
from config.cli import cli
from config.factory import TradingNodeConfigFactory
from config.models import TradingNodeSettings
from config.presets import PRESETS
from config.problems import ConfigError, Problem
from config.roles import NOT_USED, RECORDER, TRADER, uses
from config.settings.loading import validate_all
from config.settings.variables import variables, variables_by_path
from tests.key_generators import alphanumeric, binance_hmac_pair, bybit_hmac_pair

RANDOM = Random("roles")
BINANCE = dict(zip(("BINANCE_API_KEY", "BINANCE_API_SECRET"), binance_hmac_pair(RANDOM), strict=True))
BYBIT = dict(zip(("BYBIT_API_KEY", "BYBIT_API_SECRET"), bybit_hmac_pair(RANDOM), strict=True))
TESTNET = {
    f"{prefix}_TESTNET_API_{part}": text
    for prefix, pair in (("BINANCE_FUTURES", binance_hmac_pair(RANDOM)), ("BYBIT", bybit_hmac_pair(RANDOM)))
    for part, text in zip(("KEY", "SECRET"), pair, strict=True)
}
INSTRUMENTS = {"BINANCE_INSTRUMENT_IDS": "BTCUSDT-PERP.BINANCE", "BYBIT_INSTRUMENT_IDS": "BTCUSDT-LINEAR.BYBIT"}
# A recorder of both venues under each preset: no key, no Redis.
RECORDS = {"NAUTILUS_ROLE": "recorder", "NAUTILUS_CATALOG_PATH": "/home/trader/catalog", **INSTRUMENTS}
NODE = {"NAUTILUS_TRADER_ID": "TRADER-001", "NAUTILUS_SECRETS_DIR": "/", "HOME": "/home/trader"}
NODE |= {"NAUTILUS_VENUES": "BINANCE,BYBIT"}
GOOD: Mapping[str | None, Mapping[str, str]] = {
    None: NODE,
    "production": {**NODE, "NAUTILUS_ENVIRONMENT": "LIVE"},
    "testnet": NODE,
    "sandbox": NODE,
}
# A trader's own settings, all of them good, and the same with all that only a trader uses being wrong.
TRADES = {
    "REDIS_HOST": "localhost",
    "REDIS_PASSWORD": alphanumeric(RANDOM, 32),
    "NAUTILUS_MAX_ORDER_SUBMIT_RATE": "10/00:00:01",
    "NAUTILUS_MAX_NOTIONAL_PER_ORDER": "BTCUSDT-PERP.BINANCE=50000",
    "NAUTILUS_LOAD_STATE": "true",
}
KEYS: Mapping[str | None, Mapping[str, str]] = {
    None: {},
    "production": {**BINANCE, **BYBIT},
    "testnet": TESTNET,
    "sandbox": {**BINANCE, **BYBIT},
}


def problems(environ: Mapping[str, str], preset: str | None = None, role: str | None = None) -> tuple[Problem, ...]:
    return validate_all(role, env_file=None, environ=environ, preset=preset)


def codes(environ: Mapping[str, str], preset: str | None = None, role: str | None = None) -> list[str]:
    return [f"{problem.code} {problem.key}" for problem in problems(environ, preset, role)]


def load(environ: Mapping[str, str], preset: str | None = None, **values: Any) -> TradingNodeSettings:
    return TradingNodeSettings.from_env(None, environ, preset=preset, **values)


def secrets(text: str) -> list[str]:
    return [name for name, secret in {**BINANCE, **BYBIT, **TESTNET}.items() if secret in text]


# --- who says what a process is for ----------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["recorder", "RECORDER", " Recorder "])
@pytest.mark.parametrize("preset", GOOD)
def test_a_recorder_needs_no_key_and_no_redis_whatever_the_preset(preset: str | None, said: str) -> None:
    environ = {**GOOD[preset], **RECORDS, "NAUTILUS_ROLE": said}
    assert () == problems(environ, preset)
    settings = load(environ, preset)
    assert ("recorder", "NONE", None, preset) == (settings.role, settings.execution, settings.redis, settings.preset)


@pytest.mark.parametrize("preset", [name for name in GOOD if name is not None])
def test_a_trader_with_the_same_settings_is_another_matter(preset: str) -> None:
    """Under sandbox it needs no key either; where orders go out it does."""
    environ = {**GOOD[preset], **RECORDS, "NAUTILUS_ROLE": ""}
    assert (preset == "sandbox") == (not [problem for problem in problems(environ, preset) if problem.is_error])


@pytest.mark.parametrize("preset", GOOD)
def test_the_role_that_is_asked_for_wins_over_the_one_that_is_named(preset: str | None) -> None:
    trader = {**GOOD[preset], **RECORDS, "NAUTILUS_ROLE": "trader", "REDIS_PORT": "0"}
    assert () == problems(trader, preset, role="recorder")
    recorder = {**trader, "NAUTILUS_ROLE": "recorder"}
    assert () == problems(recorder, preset)
    assert "TN401 REDIS_PORT" in codes(recorder, preset, role="trader")
    assert "recorder" == load(trader, preset, role="recorder").role


@pytest.mark.parametrize("said", ["recoder", "tester", "trader,recorder", "1"])
def test_an_unknown_role_is_told_and_judged_as_that_of_a_trader(said: str) -> None:
    found = problems({**NODE, **RECORDS, "NAUTILUS_ROLE": said, "REDIS_PORT": "0"})
    (role,) = [problem for problem in found if problem.key == "NAUTILUS_ROLE"]
    assert ("TN401", f"NAUTILUS_ROLE is '{said}', expected one of trader, recorder", ("trader", "recorder")) == (
        role.code,
        role.message,
        role.accepted,
    )
    assert "TN401 REDIS_PORT" in [f"{problem.code} {problem.key}" for problem in found]


def test_an_unknown_role_of_a_call_is_told_as_the_argument_that_it_is() -> None:
    (role,) = [problem for problem in problems({**NODE, **RECORDS}, role="recoder") if problem.is_error]
    assert ("TN401", "role") == (role.code, role.key)
    assert "role is 'recoder', expected one of trader, recorder" == role.message


# --- what a recorder never looks at ----------------------------------------------------------------------------------

# One bad value for each beginning of a path that a recorder has no use for.
BAD: Mapping[str, Mapping[str, str]] = {
    "redis.": {"REDIS_PORT": "0", "REDIS_HOST": "a b", "REDIS_SSL": "maybe", "REDIS_TIMEOUT": "x"},
    "execution": {"NAUTILUS_EXECUTION": "NOBODY"},
    "binance.api_": {"BINANCE_API_KEY": "your_api_key_here"},
    "binance.base_url_ws_api": {"BINANCE_BASE_URL_WS_API": "no url"},
    "binance.base_url_ws_stream": {"BINANCE_BASE_URL_WS_STREAM": "no url"},
    "binance.leverages": {"BINANCE_LEVERAGES": "BTCUSDT=1000"},
    "binance.margin_types": {"BINANCE_MARGIN_TYPES": "BTCUSDT"},
    "bybit.api_": {"BYBIT_API_SECRET": "half a pair"},
    "bybit.base_url_ws_private": {"BYBIT_BASE_URL_WS_PRIVATE": "no url"},
    "bybit.base_url_ws_trade": {"BYBIT_BASE_URL_WS_TRADE": "no url"},
    "bybit.leverages": {"BYBIT_LEVERAGES": "x"},
    "bybit.margin_mode": {"BYBIT_MARGIN_MODE": "none"},
    "sandbox_starting_balances": {"NAUTILUS_SANDBOX_STARTING_BALANCES": "much"},
    "reconciliation_": {
        "NAUTILUS_RECONCILIATION_LOOKBACK_MINS": "1",
        "NAUTILUS_RECONCILIATION_STARTUP_DELAY_SECS": "-1",
        "NAUTILUS_RECONCILIATION_TIMEOUT": "0",
    },
    "max_": {
        "NAUTILUS_MAX_ORDER_SUBMIT_RATE": "many",
        "NAUTILUS_MAX_ORDER_MODIFY_RATE": "many",
        "NAUTILUS_MAX_NOTIONAL_PER_ORDER": "X.KRAKEN=1",
    },
    "load_state": {"NAUTILUS_LOAD_STATE": "true"},
    "save_state": {"NAUTILUS_SAVE_STATE": "maybe"},
    "external_order_claims": {"NAUTILUS_EXTERNAL_ORDER_CLAIMS": "X.KRAKEN"},
    "lease": {"NAUTILUS_LEASE": "maybe"},
    "on_redis_loss": {"NAUTILUS_ON_REDIS_LOSS": "ignore"},
    "snapshot_retention_days": {"NAUTILUS_SNAPSHOT_RETENTION_DAYS": "0"},
    "cancel_on_stop": {"NAUTILUS_CANCEL_ON_STOP": "maybe"},
    "halt_on_shutdown": {"NAUTILUS_HALT_ON_SHUTDOWN": "maybe"},
}
# What is wrong beyond a single value, or in another place than the variable itself.
ELSEWHERE: list[tuple[str, Mapping[str, str]]] = [
    ("a url", {"REDIS_URL": "http://x"}),
    ("a url that is contradicted", {"REDIS_URL": "redis://a", "REDIS_HOST": "b"}),
    ("a secret file that is missing", {"BINANCE_API_KEY_FILE": "/nonexistent"}),
    ("a password file that is missing", {"REDIS_PASSWORD_FILE": "/nonexistent"}),
    ("a secret and its file", {**BINANCE, "BINANCE_API_KEY_FILE": "/nonexistent"}),
    ("half a pair of one environment", {"BINANCE_FUTURES_TESTNET_API_KEY": BINANCE["BINANCE_API_KEY"]}),
    ("a key twice", {**BINANCE, "BINANCE_API_SECRET": BINANCE["BINANCE_API_KEY"]}),
    ("a key of an unusual shape", {"BINANCE_API_KEY": "abc", "BINANCE_API_SECRET": "abd"}),
    ("two former names that differ", {"BINANCE_ED25519_API_KEY": "a1", "BINANCE_FUTURES_API_KEY": "b2"}),
    ("a former name", {"BINANCE_FUTURES_API_KEY": BINANCE["BINANCE_API_KEY"]}),
    ("quotes in a host", {"REDIS_HOST": '"redis"'}),
    ("a Redis elsewhere without a password", {"REDIS_HOST": "redis.internal"}),
    ("a service link", {"REDIS_PORT": "tcp://10.0.0.1:6379"}),
]


def test_there_is_a_bad_value_for_each_beginning_of_a_path() -> None:
    assert NOT_USED[RECORDER] == tuple(BAD)
    for beginning, said in BAD.items():
        assert all(variables()[name].path.startswith(beginning) for name in said)
        assert any(path.startswith(beginning) for path in variables_by_path())


@pytest.mark.parametrize("preset", GOOD)
@pytest.mark.parametrize("name, text", [(name, text) for said in BAD.values() for name, text in said.items()])
def test_what_a_recorder_does_not_use_may_be_wrong(name: str, text: str, preset: str | None) -> None:
    environ = {**GOOD[preset], **RECORDS, name: text}
    assert () == problems(environ, preset)
    assert "recorder" == load(environ, preset).role
    # And it is wrong: who runs a trader with it hears of it.
    trader = {**NODE, **RECORDS, "NAUTILUS_ROLE": ""}
    assert [problem for problem in problems({**trader, name: text}) if problem.is_error]
    assert [] == [problem for problem in problems(trader) if problem.is_error]


@pytest.mark.parametrize("said", [row[1] for row in ELSEWHERE], ids=[row[0] for row in ELSEWHERE])
def test_nor_is_anything_told_of_it_that_is_not_a_single_value(said: Mapping[str, str]) -> None:
    environ = {**NODE, **RECORDS, **said}
    assert () == problems(environ)
    assert () != problems({**environ, "NAUTILUS_ROLE": "", **({} if "REDIS_HOST" in said else {"REDIS_HOST": "::1"})})


def test_one_key_for_two_environments_is_nothing_to_a_recorder() -> None:
    shared = {f"BINANCE_FUTURES_TESTNET_{name.removeprefix('BINANCE_')}": text for name, text in BINANCE.items()}
    assert [] == codes({**NODE, **RECORDS, **BINANCE, **shared})


def test_a_database_number_is_nothing_to_a_recorder() -> None:
    assert [] == codes({**NODE, **RECORDS, "REDIS_DB": "1"})


USED = {
    "NAUTILUS_TRADER_ID",
    "NAUTILUS_ENVIRONMENT",
    "NAUTILUS_ROLE",
    "NAUTILUS_VENUES",
    "NAUTILUS_STATE_DIR",
    "NAUTILUS_PREFLIGHT_SKIP",
    "NAUTILUS_HTTP_PORT",
    "NAUTILUS_VENUE_OUTAGE_SECS",
    "NAUTILUS_TRUSTED_ENDPOINTS",
    "NAUTILUS_STOP_TIMEOUT",
    "NAUTILUS_CONNECTION_TIMEOUT",
    "NAUTILUS_READY_TIMEOUT",
    "NAUTILUS_CATALOG_PATH",
    "NAUTILUS_FLUSH_INTERVAL_MS",
    "NAUTILUS_ROTATION_MODE",
    "NAUTILUS_ROTATION_INTERVAL_MINS",
    "NAUTILUS_MAX_FILE_SIZE_MB",
    "NAUTILUS_CATALOG_MAX_RUNS",
    "NAUTILUS_CATALOG_MAX_AGE_DAYS",
    *(f"{venue}_{name}" for venue in ("BINANCE", "BYBIT") for name in ("ENVIRONMENT", "INSTRUMENT_IDS", "PROXY_URL")),
    "BINANCE_ACCOUNT_TYPE",
    "BINANCE_US",
    "BINANCE_BASE_URL_HTTP",
    "BINANCE_BASE_URL_WS",
    "BYBIT_PRODUCT_TYPES",
    "BYBIT_BASE_URL_HTTP",
    "BYBIT_BASE_URL_WS_PUBLIC",
}


@pytest.mark.parametrize("name", sorted(variables()))
def test_a_trader_uses_everything_and_a_recorder_what_it_needs_for_public_data_and_its_logs(name: str) -> None:
    path = variables()[name].path
    assert (True, name in USED or name.startswith("NAUTILUS_LOG_")) == (uses(TRADER, path), uses(RECORDER, path))


@pytest.mark.parametrize(
    "name, text",
    [
        ("NAUTILUS_TRADER_ID", "TRADER"),
        ("NAUTILUS_ENVIRONMENT", "TEST"),
        ("NAUTILUS_VENUES", "KRAKEN"),
        ("NAUTILUS_STOP_TIMEOUT", "1"),
        ("NAUTILUS_CONNECTION_TIMEOUT", "0"),
        ("NAUTILUS_READY_TIMEOUT", "0"),
        ("NAUTILUS_LOG_LEVEL", "LOUD"),
        ("NAUTILUS_LOG_MAX_SIZE_MB", "1"),
        ("NAUTILUS_FLUSH_INTERVAL_MS", "1"),
        ("NAUTILUS_MAX_FILE_SIZE_MB", "1"),
        ("NAUTILUS_TRUSTED_ENDPOINTS", "x"),
        ("BINANCE_ENVIRONMENT", "MAIN"),
        ("BINANCE_ACCOUNT_TYPE", "MARGIN"),
        ("BINANCE_INSTRUMENT_IDS", "BTCUSDT"),
        ("BINANCE_BASE_URL_HTTP", "no url"),
        ("BINANCE_BASE_URL_WS", "no url"),
        ("BINANCE_PROXY_URL", "no url"),
        ("BYBIT_PRODUCT_TYPES", "SWAP"),
        ("BYBIT_BASE_URL_WS_PUBLIC", "no url"),
        ("BYBIT_TESTNET", "maybe"),
    ],
)
def test_what_a_recorder_uses_is_judged_as_anybodys(name: str, text: str) -> None:
    assert f"TN401 {name}" in codes({**NODE, **RECORDS, name: text})


def test_what_is_misspelt_or_weak_elsewhere_is_told_to_a_recorder_too(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    changes = {"NAUTILUS_TRADERID": "x", "NAUTILUS_CATALOG_PATH": str(tmp_path), "NAUTILUS_TRADER_ID": "YOURNAME-001"}
    expected = ["TN305 NAUTILUS_TRADERID", "TN310 NAUTILUS_CATALOG_PATH", "TN317 NAUTILUS_TRADER_ID"]
    assert expected == sorted(codes({**NODE, **RECORDS, **changes}))


# --- what a recorder needs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", GOOD)
def test_a_recorder_needs_a_catalog(preset: str | None) -> None:
    (problem,) = problems({**GOOD[preset], **RECORDS, "NAUTILUS_CATALOG_PATH": ""}, preset)
    assert (
        Problem(
            "TN418",
            "NAUTILUS_CATALOG_PATH",
            "NAUTILUS_CATALOG_PATH is not set; a recorder writes market data to the catalog",
            "set NAUTILUS_CATALOG_PATH to a directory",
        )
        == problem
    )
    assert 4 == problem.exit_code


@pytest.mark.parametrize("preset", GOOD)
@pytest.mark.parametrize("venue", ["BINANCE", "BYBIT"])
def test_a_recorder_needs_instruments_of_each_venue_that_is_on(preset: str | None, venue: str) -> None:
    environ = {**GOOD[preset], **RECORDS, f"{venue}_INSTRUMENT_IDS": ""}
    (problem,) = problems(environ, preset)
    key = f"{venue}_INSTRUMENT_IDS"
    example = {
        "BINANCE": "BTCUSDT-PERP.BINANCE,ETHUSDT-PERP.BINANCE",
        "BYBIT": "BTCUSDT-LINEAR.BYBIT,ETHUSDT-LINEAR.BYBIT",
    }
    fix = f"set {key}, for example {key}={example[venue]}; or leave {venue} out with NAUTILUS_VENUES"
    message = f"{key} is not set; a recorder writes the instruments that are named"
    assert Problem("TN418", key, message, fix) == problem
    other = {"BINANCE": "BYBIT", "BYBIT": "BINANCE"}[venue]
    assert () == problems({**environ, "NAUTILUS_VENUES": other}, preset)


def test_a_streaming_variable_other_than_the_path_is_catalog_enough() -> None:
    """The path has a default, below the state directory."""
    environ = {**NODE, **RECORDS, "NAUTILUS_CATALOG_PATH": "", "NAUTILUS_ROTATION_MODE": "TIME"}
    assert Path("/home/trader/.local/state/tradingnode/TRADER-001/recorder/catalog") == load(environ).catalog_path


VIOLATIONS: list[tuple[str, dict[str, str], list[str]]] = [
    ("production", {"NAUTILUS_ENVIRONMENT": ""}, ["TN801 NAUTILUS_ENVIRONMENT"]),
    ("production", {"NAUTILUS_ENVIRONMENT": "SANDBOX"}, ["TN801 NAUTILUS_ENVIRONMENT"]),
    ("production", {"BYBIT_TESTNET": "1"}, ["TN803 BYBIT_TESTNET"]),
    ("production", {"BINANCE_ENVIRONMENT": "DEMO"}, ["TN803 BINANCE_ENVIRONMENT"]),
    (
        "production",
        {"BINANCE_BASE_URL_HTTP": "https://testnet.binancefuture.com"},
        ["TN806 BINANCE_BASE_URL_HTTP"],
    ),
    ("production", {"BYBIT_BASE_URL_WS_PUBLIC": "ws://127.0.0.1:9"}, ["TN807 BYBIT_BASE_URL_WS_PUBLIC"]),
    ("testnet", {"NAUTILUS_ENVIRONMENT": "LIVE"}, ["TN801 NAUTILUS_ENVIRONMENT"]),
    ("testnet", {"BYBIT_ENVIRONMENT": "LIVE"}, ["TN808 BYBIT_ENVIRONMENT"]),
    ("testnet", {"BINANCE_BASE_URL_WS": "wss://fstream.binance.com"}, ["TN805 BINANCE_BASE_URL_WS"]),
    ("sandbox", {"NAUTILUS_ENVIRONMENT": "LIVE"}, ["TN801 NAUTILUS_ENVIRONMENT"]),
    ("sandbox", {"BINANCE_DEMO": "1"}, ["TN803 BINANCE_DEMO"]),
    ("sandbox", {"BYBIT_BASE_URL_HTTP": "https://api-testnet.bybit.com"}, ["TN806 BYBIT_BASE_URL_HTTP"]),
    ("production", {"NAUTILUS_VENUES": ""}, ["TN802 NAUTILUS_VENUES"]),
    ("testnet", {"NAUTILUS_VENUES": ""}, ["TN409 NAUTILUS_VENUES"]),
    ("sandbox", {"NAUTILUS_VENUES": ""}, ["TN409 NAUTILUS_VENUES"]),
]


@pytest.mark.parametrize("preset, changes, expected", VIOLATIONS, ids=[f"{p} {c}" for p, c, _ in VIOLATIONS])
def test_what_a_preset_guards_of_a_recorder_no_setting_overrides(
    preset: str, changes: dict[str, str], expected: list[str]
) -> None:
    environ = {**GOOD[preset], **RECORDS, **changes}
    found = [problem for problem in problems(environ, preset) if problem.is_error]
    assert expected == [f"{problem.code} {problem.key}" for problem in found]
    with pytest.raises(ConfigError) as caught:
        load(environ, preset)
    assert found[0].exit_code == caught.value.exit_code


def test_each_preset_guards_each_role_and_nothing_of_a_recorder_that_it_does_not_guard_of_a_trader() -> None:
    for preset in PRESETS.values():
        assert {TRADER, RECORDER} == preset.guards.keys()
        assert set() < set(preset.guards[RECORDER]) < set(preset.guards[TRADER])


# --- beside a trader -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", [name for name in GOOD if name is not None])
def test_a_recorder_may_share_the_env_of_a_trader(tmp_path: Path, preset: str) -> None:
    """Only the role differs, and may be said on the command line; both are without a word to say about."""
    path = tmp_path / ".env"
    said = {**GOOD[preset], **RECORDS, **TRADES, **KEYS[preset], "NAUTILUS_ROLE": ""}
    path.write_text("".join(f"{name}={text}\n" for name, text in said.items()))
    path.chmod(0o600)
    base: dict[str, Any] = {"env_file": path, "environ": {"HOME": "/home/trader"}, "preset": preset}
    assert () == validate_all("trader", **base)
    assert () == validate_all("recorder", **base)
    trader = TradingNodeSettings.from_env(path, {"HOME": "/home/trader"}, preset=preset)
    recorder = TradingNodeSettings.from_env(path, {"HOME": "/home/trader"}, preset=preset, role="recorder")
    assert trader.redis is not None
    assert None is recorder.redis
    assert trader.active_venues == recorder.active_venues
    # Each run has its own files; what is recorded goes where it is said, and never among simulated fills.
    state = Path("/home/trader/.local/state/tradingnode/TRADER-001")
    assert (state, state / "recorder") == (trader.state_directory, recorder.state_directory)
    assert (state / "logs", state / "recorder" / "logs") == (trader.log_directory, recorder.log_directory)
    assert Path("/home/trader/catalog") == recorder.catalog_path


def test_without_named_venues_a_recorder_records_those_with_a_key() -> None:
    environ = {**NODE, **RECORDS, "NAUTILUS_VENUES": "", **BYBIT}
    assert ("BYBIT",) == load(environ).active_venues
    assert [] == codes(environ)


@pytest.mark.parametrize("preset", GOOD)
def test_no_key_gets_into_the_settings_of_a_recorder(preset: str | None) -> None:
    settings = load({**GOOD[preset], **RECORDS, **TRADES, **BINANCE, **BYBIT, **TESTNET}, preset)
    for venue in settings.active_venues:
        section = settings.credentials(venue)
        assert (False, None, None) == (section.has_key, section.api_key, section.api_secret)
    sections = [section for section in (settings.binance, settings.bybit) if section is not None]
    assert [(None, None)] * 2 == [(section.api_key, section.api_secret) for section in sections]
    assert [] == [path for path in settings.origins if "api_" in path or path.startswith("redis.")]


# --- what is built ---------------------------------------------------------------------------------------------------


def build(preset: str | None, **more: str) -> tuple[TradingNodeConfig, TradingNodeSettings]:
    settings = load({**GOOD[preset], **RECORDS, **TRADES, **BINANCE, **BYBIT, **TESTNET, **more}, preset)
    return TradingNodeConfigFactory.from_settings(settings), settings


@pytest.mark.parametrize("preset", GOOD)
def test_the_node_of_a_recorder_has_data_clients_a_catalog_and_the_recorder_and_nothing_else(
    preset: str | None,
) -> None:
    config, settings = build(preset)
    assert (["BINANCE", "BYBIT"], {}, []) == (list(config.data_clients), config.exec_clients, config.strategies)
    (actor,) = config.actors
    assert ("config.recorder:Recorder", "config.recorder:RecorderConfig") == (actor.actor_path, actor.config_path)
    assert {"instrument_ids": ["BTCUSDT-PERP.BINANCE", "BTCUSDT-LINEAR.BYBIT"]} == actor.config
    assert config.streaming is not None
    assert "/home/trader/catalog" == config.streaming.catalog_path
    assert config.cache is None or config.cache.database is None
    assert (False, False) == (config.load_state, config.save_state)
    assert () == broken_guarantees(config, settings)


@pytest.mark.parametrize("preset", GOOD)
def test_no_client_of_a_recorder_holds_a_key_and_the_configuration_none_of_them(preset: str | None) -> None:
    config, _ = build(preset)
    clients = list(config.data_clients.values())
    assert 2 == len(clients)
    assert [(None, None)] * 2 == [(client.api_key, client.api_secret) for client in clients]
    assert [] == secrets(config.json().decode() + repr(config))
    # The search would find one.
    trader = TradingNodeConfigFactory.from_settings(load({**NODE, **TRADES, **BINANCE, **BYBIT}))
    assert ["BINANCE_API_KEY"] == secrets(str(trader.data_clients["BINANCE"].api_key))


@pytest.mark.parametrize("preset", GOOD)
def test_a_recorder_runs_no_strategy(preset: str | None) -> None:
    _, settings = build(preset)
    strategy = ImportableStrategyConfig(strategy_path="a:B", config_path="a:C", config={})
    with pytest.raises(ConfigError) as caught:
        TradingNodeConfigFactory.from_settings(settings, [strategy])
    (problem,) = caught.value.problems
    assert ("TN407", "strategies", "a recorder runs no strategies: it has no execution client") == (
        problem.code,
        problem.key,
        problem.message,
    )
    assert "leave them out, or set NAUTILUS_ROLE=trader" == problem.fix


def change(**values: Any) -> Callable[[TradingNodeConfig], TradingNodeConfig]:
    return lambda config: msgspec.structs.replace(config, **values)


def with_client(name: str, **values: Any) -> Callable[[TradingNodeConfig], TradingNodeConfig]:
    def changed(config: TradingNodeConfig) -> TradingNodeConfig:
        client = msgspec.structs.replace(config.data_clients[name], **values)
        return change(data_clients={**config.data_clients, name: client})(config)

    return changed


def with_execution(config: TradingNodeConfig) -> TradingNodeConfig:
    trader = TradingNodeConfigFactory.from_settings(load({**NODE, **TRADES, **BINANCE, **BYBIT}))
    keyless = msgspec.structs.replace(trader.exec_clients["BYBIT"], api_key=None, api_secret=None)
    return change(exec_clients={"BYBIT": keyless})(config)


BREAKS = [
    ("an execution client of a venue", with_execution, "TN812", "execution client BYBIT would send orders"),
    ("a key", with_client("BINANCE", api_key="k"), "TN812", "data client BINANCE holds a key"),
    ("a secret", with_client("BYBIT", api_secret="s"), "TN812", "data client BYBIT holds a key"),
    ("no catalog", change(streaming=None), "TN418", "a recorder streams to no catalog"),
]


@pytest.mark.parametrize("what, broken, code, words", BREAKS, ids=[row[0] for row in BREAKS])
@pytest.mark.parametrize("preset", PRESETS)
def test_each_guarantee_of_a_recorder_is_looked_up_in_what_was_built(
    preset: str, what: str, broken: Callable[[TradingNodeConfig], TradingNodeConfig], code: str, words: str
) -> None:
    config, settings = build(preset)
    found = broken_guarantees(broken(config), settings)
    assert any(problem.code == code and words in problem.message for problem in found), what
    allowed = {"TN803", "TN807"} if what == "an execution client of a venue" and preset == "testnet" else set()
    assert {code} == {problem.code for problem in found} - allowed


def test_there_is_a_configuration_that_breaks_each_of_them() -> None:
    config, settings = build("sandbox")
    for check in OF_A_RECORDER:
        assert [] == list(check(config, settings))
        assert any(list(check(broken(config), settings)) for _, broken, _, _ in BREAKS), check


@pytest.mark.parametrize(
    "preset, broken, code",
    [
        ("production", change(environment=Environment.SANDBOX), "TN801"),
        ("testnet", change(environment=Environment.LIVE), "TN801"),
        ("sandbox", change(environment=Environment.LIVE), "TN801"),
        ("production", with_client("BINANCE", environment=BinanceEnvironment.TESTNET), "TN803"),
        ("testnet", with_client("BINANCE", environment=BinanceEnvironment.LIVE), "TN803"),
        ("production", with_client("BINANCE", base_url_http="https://gateway.internal"), "TN807"),
        ("testnet", with_client("BINANCE", base_url_http="https://fapi.binance.com"), "TN807"),
    ],
)
def test_what_a_preset_guarantees_of_every_role_holds_for_a_recorder(
    preset: str, broken: Callable[[TradingNodeConfig], TradingNodeConfig], code: str
) -> None:
    config, settings = build(preset)
    assert code in {problem.code for problem in broken_guarantees(broken(config), settings)}


# --- given settings --------------------------------------------------------------------------------------------------


def given(preset: str, **changes: Any) -> TradingNodeSettings:
    key, secret = BINANCE.values()
    environment = {"production": {"environment": "LIVE"}}.get(preset, {})
    binance = {"api_key": key, "api_secret": secret, "instrument_ids": ("BTCUSDT-PERP.BINANCE",)}
    values = {
        "trader_id": "TRADER-001",
        "role": "recorder",
        "venues": ("BINANCE",),
        "state_dir": "/home/trader/state",
        "streaming": {"catalog_path": "/home/trader/catalog"},
        "binance": {**binance, "testnet": preset == "testnet"},
        **environment,
    }
    return TradingNodeSettings(**{**values, **changes})


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("execution", [None, "VENUE", "SIMULATED"])
def test_settings_that_are_given_for_a_recorder_execute_nothing_whatever_they_say(
    preset: str, execution: str | None
) -> None:
    settings = given(preset, **({} if execution is None else {"execution": execution}))
    assert "NONE" == settings.execution
    config = getattr(TradingNodeConfigFactory, f"create_{preset}")(settings=settings)
    assert ({}, None) == (config.exec_clients, config.data_clients["BINANCE"].api_key)
    assert ["config.recorder:Recorder"] == [actor.actor_path for actor in config.actors]


@pytest.mark.parametrize(
    "changes, key",
    [({"streaming": None}, "NAUTILUS_CATALOG_PATH"), ({"binance": {"testnet": True}}, "BINANCE_INSTRUMENT_IDS")],
)
def test_settings_that_are_given_need_a_catalog_and_instruments_too(changes: dict[str, Any], key: str) -> None:
    for make in (TradingNodeConfigFactory.from_settings, TradingNodeConfigFactory.create_testnet):
        with pytest.raises(ConfigError) as caught:
            make(settings=given("testnet", **changes))
        assert (4, [("TN418", key)]) == (caught.value.exit_code, [(one.code, one.key) for one in caught.value.problems])


@pytest.mark.parametrize("preset", PRESETS)
def test_a_recorder_that_is_given_a_redis_does_not_use_it(preset: str) -> None:
    """It has the trader's id, and so its books."""
    config = getattr(TradingNodeConfigFactory, f"create_{preset}")(settings=given(preset, redis={}))
    assert config.cache is None or config.cache.database is None
    assert (False, False) == (config.load_state, config.save_state)


# --- the command -----------------------------------------------------------------------------------------------------


def call(*arguments: str, **environ: str) -> Result:
    result = CliRunner().invoke(cli, ["check", *arguments], env=dict(environ))
    assert [] == secrets(result.output)
    return result


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("here")
def test_check_says_what_a_recorder_would_run() -> None:
    environ = {**NODE, **RECORDS, **TRADES, **BINANCE, **BYBIT, "NAUTILUS_ROLE": ""}
    by_option = call("--role", "recorder", "-p", "sandbox", **environ)
    by_name = call("-p", "sandbox", **{**environ, "NAUTILUS_ROLE": "recorder"})
    line = "ok: TRADER-001, recorder, preset sandbox: BINANCE LIVE, BYBIT LIVE, no execution, no Redis\n"
    for result in (by_option, by_name):
        assert (0, line, "") == (result.exit_code, result.stdout, result.stderr)
    trader = call("--role", "trader", "-p", "sandbox", **{**environ, "NAUTILUS_ROLE": "recorder"})
    assert trader.stdout.endswith("simulated execution, Redis localhost:6379\n")
    assert "recorder" not in trader.stdout


@pytest.mark.usefixtures("here")
def test_check_ends_with_4_for_a_recorder_that_lacks_something() -> None:
    result = call("--role", "recorder", **{**NODE, **RECORDS, "NAUTILUS_CATALOG_PATH": ""})
    assert (4, "") == (result.exit_code, result.stdout)
    assert "1 error, exit 4; more: tradingnode explain TN418" == result.stderr.splitlines()[-1]


@pytest.mark.usefixtures("here")
def test_check_takes_no_other_role() -> None:
    assert 2 == call("--role", "recoder", **NODE).exit_code
