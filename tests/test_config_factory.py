"""The factory: settings in, a whole TradingNodeConfig out, or every reason why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.adapters.sandbox.config import SandboxExecutionClientConfig
from nautilus_trader.common import Environment
from nautilus_trader.config import ImportableStrategyConfig, StrategyConfig, TradingNodeConfig
from nautilus_trader.model.identifiers import TraderId
from nautilus_trader.trading.strategy import Strategy
from pydantic import SecretStr

from config.cache import build_cache_config
from config.clients import VENUES
from config.data import build_data_engine_config
from config.execution import build_exec_engine_config
from config.factory import TradingNodeConfigFactory
from config.models import (
    BinanceCredentials,
    BybitCredentials,
    ConfigEnvironment,
    LoggingSettings,
    RedisConfig,
    StreamingSettings,
    TradingNodeSettings,
)
from config.problems import ConfigError
from config.risk import build_risk_engine_config

KEYS: dict[str, Any] = {"api_key": "key", "api_secret": "secret"}
TESTNET_KEYS: dict[str, Any] = {**KEYS, "testnet": True}
DEMO_KEYS: dict[str, Any] = {**KEYS, "demo": True}
PUBLIC_TESTNET: dict[str, Any] = {"testnet": True}
LIVE: dict[str, Any] = {
    "trader_id": "TRADER-001",
    "environment": ConfigEnvironment.LIVE,
    "venues": ("BINANCE",),
    "binance": BinanceCredentials(**KEYS, environment="LIVE"),
    "redis": RedisConfig(),
}
TEST: dict[str, Any] = {"trader_id": "TRADER-001", "binance": BinanceCredentials(**TESTNET_KEYS)}
PAPER: dict[str, Any] = {"trader_id": "TRADER-001", "venues": ("BINANCE", "BYBIT")}
CREATE: dict[str, Any] = {
    "production": TradingNodeConfigFactory.create_production,
    "testnet": TradingNodeConfigFactory.create_testnet,
    "sandbox": TradingNodeConfigFactory.create_sandbox,
}
GIVEN = {"production": LIVE, "testnet": TEST, "sandbox": PAPER}
LIVE_ENVIRON = {
    "NAUTILUS_TRADER_ID": "TRADER-001",
    "NAUTILUS_ENVIRONMENT": "LIVE",
    "NAUTILUS_VENUES": "BINANCE",
    "BINANCE_API_KEY": "key",
    "BINANCE_API_SECRET": "secret",
    "REDIS_HOST": "redis.internal",
}
TEST_ENVIRON = {
    "NAUTILUS_TRADER_ID": "TRADER-001",
    "BINANCE_FUTURES_TESTNET_API_KEY": "key",
    "BINANCE_FUTURES_TESTNET_API_SECRET": "secret",
}
PAPER_ENVIRON = {"NAUTILUS_TRADER_ID": "TRADER-001", "NAUTILUS_VENUES": "BINANCE,BYBIT"}
ENVIRONS = {"production": LIVE_ENVIRON, "testnet": TEST_ENVIRON, "sandbox": PAPER_ENVIRON}

type SetEnviron = Callable[[dict[str, str]], None]


def make(**values: Any) -> TradingNodeSettings:
    return TradingNodeSettings(**{"trader_id": "TRADER-001", **values})


def build(**values: Any) -> Any:
    return TradingNodeConfigFactory.from_settings(make(**values))


def strategy(**config: Any) -> ImportableStrategyConfig:
    return ImportableStrategyConfig(strategy_path="quiet:Quiet", config_path="quiet:QuietConfig", config=config)


def refused(action: Callable[[], Any]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        action()
    return caught.value


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SetEnviron:
    """Set the process environment to a mapping and nothing else, in an empty folder."""

    def set_environ(values: dict[str, str]) -> None:
        monkeypatch.setattr("os.environ", {"NAUTILUS_SECRETS_DIR": str(tmp_path), "HOME": str(tmp_path), **values})
        monkeypatch.chdir(tmp_path)

    return set_environ


# --- composition ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field, expected",
    [
        ("trader_id", TraderId("TRADER-001")),
        ("environment", Environment.LIVE),
        ("cache", build_cache_config(RedisConfig())),
        ("data_engine", build_data_engine_config()),
        ("risk_engine", build_risk_engine_config(make())),
        ("exec_engine", build_exec_engine_config(make())),
        ("streaming", None),
        ("message_bus", None),
        ("load_state", True),
        ("save_state", True),
        ("timeout_connection", 30.0),
        ("timeout_reconciliation", 30.0),
        ("timeout_post_stop", 3.0),
        ("timeout_disconnection", 10.0),
        ("timeout_shutdown", 5.0),
        ("data_clients", {"BINANCE": VENUES["BINANCE"].build_data(LIVE["binance"])}),
        ("exec_clients", {"BINANCE": VENUES["BINANCE"].build_exec(LIVE["binance"])}),
        ("strategies", []),
    ],
)
def test_the_config_is_composed_of_what_the_builders_make(field: str, expected: object) -> None:
    assert expected == getattr(build(**LIVE), field)


def test_the_config_is_nautilus_own_type() -> None:
    assert isinstance(build(), TradingNodeConfig)


def test_the_same_settings_build_the_same_config() -> None:
    assert build(**LIVE) == build(**LIVE)


@pytest.mark.parametrize("environment, expected", [("LIVE", Environment.LIVE), ("SANDBOX", Environment.SANDBOX)])
def test_the_environment_is_nautilus_enum(environment: str, expected: Environment) -> None:
    assert expected is build(environment=environment).environment


@pytest.mark.parametrize("stop_timeout", [5, 30, 600])
def test_the_timeouts_of_stopping_leave_room_within_the_stop_timeout(stop_timeout: float) -> None:
    made = build(stop_timeout=stop_timeout)
    spent = made.timeout_post_stop + made.timeout_disconnection + made.timeout_shutdown
    assert stop_timeout * 0.5 < spent < stop_timeout * 0.7
    assert min(made.timeout_post_stop, made.timeout_disconnection, made.timeout_shutdown) > 0


@pytest.mark.parametrize(
    "setting, field",
    [("connection_timeout", "timeout_connection"), ("reconciliation_timeout", "timeout_reconciliation")],
)
def test_a_timeout_reaches_nautilus(setting: str, field: str) -> None:
    assert 77.5 == getattr(build(**{setting: 77.5}), field)


@pytest.mark.parametrize(
    "values, load, save",
    [
        ({}, False, False),
        ({"redis": RedisConfig()}, True, True),
        ({"redis": RedisConfig(), "load_state": False}, False, True),
        ({"redis": RedisConfig(), "save_state": False}, True, False),
    ],
)
def test_state_is_kept_where_redis_is_unless_said_otherwise(values: dict[str, Any], load: bool, save: bool) -> None:
    made = build(**values)
    assert (load, save) == (made.load_state, made.save_state)


@pytest.mark.parametrize(
    "values, data, execution",
    [
        ({}, [], []),
        ({"binance": BinanceCredentials(**KEYS)}, ["BINANCE"], ["BINANCE"]),
        ({"binance": BinanceCredentials()}, [], []),
        ({"venues": ("BYBIT",)}, ["BYBIT"], []),
        ({"venues": ("BINANCE", "BYBIT"), "bybit": BybitCredentials(**KEYS)}, ["BINANCE", "BYBIT"], ["BYBIT"]),
        ({"venues": ("BINANCE",), "bybit": BybitCredentials(**KEYS)}, ["BINANCE"], []),
        (
            {"binance": BinanceCredentials(**KEYS), "bybit": BybitCredentials(**KEYS)},
            ["BINANCE", "BYBIT"],
            ["BINANCE", "BYBIT"],
        ),
    ],
)
def test_a_venue_without_a_key_is_data_only_and_an_unnamed_one_is_off(
    values: dict[str, Any], data: list[str], execution: list[str]
) -> None:
    made = build(**values)
    assert (data, execution) == (sorted(made.data_clients), sorted(made.exec_clients))


def test_simulated_execution_never_gets_a_client_of_the_venue() -> None:
    made = build(execution="SIMULATED", binance=BinanceCredentials(**KEYS), bybit=BybitCredentials(**KEYS))
    assert [SandboxExecutionClientConfig] * 2 == [type(client) for client in made.exec_clients.values()]


@pytest.mark.parametrize(
    "values, logs, catalog",
    [
        ({}, "/state/logs", "/state/catalog"),
        ({"execution": "SIMULATED"}, "/state/logs", "/state/catalog/simulated"),
        ({"logging": LoggingSettings(log_directory=Path("/logs"))}, "/logs", "/state/catalog"),
        ({"streaming": StreamingSettings(catalog_path=Path("/c"))}, "/state/logs", "/c"),
        (
            {"streaming": StreamingSettings(catalog_path=Path("/c")), "execution": "SIMULATED"},
            "/state/logs",
            "/c/simulated",
        ),
    ],
)
def test_logs_and_catalog_are_below_the_state_directory_unless_said_otherwise(
    values: dict[str, Any], logs: str, catalog: str
) -> None:
    made = build(**{"state_dir": Path("/state"), "streaming": StreamingSettings(), **values})
    assert (logs, catalog) == (made.logging.log_directory, made.streaming.catalog_path)


# --- strategies -----------------------------------------------------------------------------------------------


def test_importable_strategies_are_taken_as_they_are() -> None:
    given = [strategy(order_id_tag="001"), strategy(order_id_tag="002")]
    assert given == TradingNodeConfigFactory.from_settings(make(), given).strategies


@pytest.mark.parametrize("instance", [Strategy(StrategyConfig()), StrategyConfig(), {"strategy_path": "a:B"}])
def test_anything_else_than_an_importable_strategy_is_refused_with_the_way_out(instance: Any) -> None:
    error = refused(lambda: TradingNodeConfigFactory.from_settings(make(), [instance]))
    (problem,) = error.problems
    expected = (
        f"strategies holds {type(instance).__name__}; the factory takes Nautilus' ImportableStrategyConfig only",
        "give Strategy instances to build_node(config, strategies=[...]), which loads their state if state is kept",
    )
    assert (4, *expected) == (error.exit_code, problem.message, problem.fix)


@pytest.mark.parametrize("strategies", [42, Strategy, Strategy(), True], ids=repr)
def test_what_is_no_sequence_of_strategies_is_refused_in_the_one_shape(strategies: Any) -> None:
    (problem,) = refused(lambda: TradingNodeConfigFactory.from_settings(make(), strategies)).problems
    assert ("TN407", "strategies", 4) == (problem.code, problem.key, problem.exit_code)
    assert f"strategies holds {type(strategies).__name__};" in problem.message


def test_one_strategy_is_taken_for_a_sequence_of_one() -> None:
    one: Any = strategy()
    assert [one] == TradingNodeConfigFactory.from_settings(make(), one).strategies


def test_every_problem_with_strategies_is_told_at_once() -> None:
    given: Any = [Strategy(), strategy(order_id_tag="TOO-LONG-TAG"), Strategy()]
    error = refused(lambda: TradingNodeConfigFactory.from_settings(make(), given))
    assert ["TN407", "TN407", "TN408"] == [problem.code for problem in error.problems]


CLAIMS = ("BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE")


@pytest.mark.parametrize(
    "claims, config, expected",
    [
        (CLAIMS, {}, {"external_order_claims": list(CLAIMS)}),
        (CLAIMS, {"order_id_tag": "1"}, {"external_order_claims": list(CLAIMS), "order_id_tag": "1"}),
        (CLAIMS, {"external_order_claims": ["A.B"]}, {"external_order_claims": ["A.B"]}),
        ((), {"order_id_tag": "1"}, {"order_id_tag": "1"}),
    ],
)
def test_the_one_strategy_claims_external_orders_unless_it_says_what_it_claims(
    claims: tuple[str, ...], config: dict[str, Any], expected: dict[str, Any]
) -> None:
    made = TradingNodeConfigFactory.from_settings(make(external_order_claims=claims), [strategy(**config)])
    assert expected == made.strategies[0].config


def test_the_strategy_that_was_given_is_not_changed_by_claims() -> None:
    given = strategy()
    TradingNodeConfigFactory.from_settings(make(external_order_claims=CLAIMS), [given])
    assert {} == given.config


def test_claims_of_two_strategies_are_refused_since_either_could_be_meant() -> None:
    both = [strategy(order_id_tag="1"), strategy(order_id_tag="2")]
    error = refused(lambda: TradingNodeConfigFactory.from_settings(make(external_order_claims=CLAIMS), both))
    assert (4, "NAUTILUS_EXTERNAL_ORDER_CLAIMS") == (error.exit_code, error.problems[0].key)


def test_claims_without_a_strategy_claim_nothing() -> None:
    assert [] == build(external_order_claims=CLAIMS).strategies


# --- presets, settings given ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "preset, environment, client_environments, exec_types",
    [
        ("production", Environment.LIVE, ["LIVE"], ["BinanceExecClientConfig"]),
        ("testnet", Environment.SANDBOX, ["TESTNET"], ["BinanceExecClientConfig"]),
        ("sandbox", Environment.SANDBOX, ["LIVE", "LIVE"], ["SandboxExecutionClientConfig"] * 2),
    ],
)
@pytest.mark.parametrize("way", ["settings", "environment"])
def test_each_preset_from_settings_and_from_the_environment(
    way: str,
    preset: str,
    environment: Environment,
    client_environments: list[str],
    exec_types: list[str],
    environ: SetEnviron,
) -> None:
    environ(ENVIRONS[preset] if way == "environment" else {})
    made = CREATE[preset]([strategy()], settings=make(**GIVEN[preset]) if way == "settings" else None)
    assert environment is made.environment
    assert client_environments == [VENUES[name].environment_of(made.data_clients[name]) for name in made.data_clients]
    assert exec_types == [type(client).__name__ for client in made.exec_clients.values()]
    assert [strategy()] == made.strategies


@pytest.mark.parametrize("given", [42, {}, "TRADER-001", TradingNodeSettings, RedisConfig()], ids=repr)
@pytest.mark.parametrize("way", ["from_settings", *CREATE])
def test_what_is_no_settings_is_refused_in_the_one_shape(way: str, given: Any) -> None:
    error = refused(lambda: _made(way, given))
    assert (4, "settings", ("TradingNodeSettings",)) == (
        error.exit_code,
        error.problems[0].key,
        error.problems[0].accepted,
    )
    assert f"settings is {type(given).__name__}, expected TradingNodeSettings" == error.problems[0].message


def _made(way: str, settings: Any) -> TradingNodeConfig:
    if way == "from_settings":
        return TradingNodeConfigFactory.from_settings(settings)
    made: TradingNodeConfig = CREATE[way](settings=settings)
    return made


def test_no_settings_at_all_are_refused_where_the_environment_is_not_read() -> None:
    nothing: Any = None
    error = refused(lambda: TradingNodeConfigFactory.from_settings(nothing))
    assert (4, "settings is NoneType, expected TradingNodeSettings") == (error.exit_code, error.problems[0].message)


@pytest.mark.parametrize(
    "update, keys",
    [
        ({"trader_id": "PROD"}, ["NAUTILUS_TRADER_ID"]),
        ({"stop_timeout": -1, "venues": ("KRAKEN",)}, ["NAUTILUS_STOP_TIMEOUT", "NAUTILUS_VENUES"]),
        ({"redis": RedisConfig.model_construct(host="canary user@host")}, ["REDIS_HOST"]),
        ({"binance": BinanceCredentials.model_construct(api_key=SecretStr("canary-key"))}, ["BINANCE_API_SECRET"]),
        ({"binance": "canary-key"}, ["binance"]),
        ({"logging": None}, ["logging"]),
    ],
    ids=lambda given: ",".join(given),
)
@pytest.mark.parametrize("way", ["from_settings", *CREATE])
def test_given_settings_are_validated_again_since_a_copy_is_not(
    way: str, update: dict[str, Any], keys: list[str]
) -> None:
    """``model_copy`` and ``model_construct`` check nothing; pydantic's error would be no ConfigError, or come too late."""
    good = GIVEN.get(way, TEST)
    error = refused(lambda: _made(way, make(**good).model_copy(update=update)))
    assert set(keys) <= {problem.key for problem in error.problems if problem.exit_code == 4}
    assert "canary" not in str(error)


def test_settings_made_of_nothing_lack_the_trader_id() -> None:
    error = refused(lambda: TradingNodeConfigFactory.from_settings(TradingNodeSettings.model_construct()))
    assert [("TN402", "NAUTILUS_TRADER_ID")] == [(problem.code, problem.key) for problem in error.problems]


RECORDER: dict[str, Any] = {
    "role": "recorder",
    "execution": "NONE",
    "venues": ("BINANCE",),
    "binance": {"instrument_ids": ("BTCUSDT-PERP.BINANCE",)},
    "streaming": StreamingSettings(),
}


def test_a_recorder_has_the_recorder_and_runs_no_strategy() -> None:
    made = build(**RECORDER)
    assert (["BINANCE"], {}) == (list(made.data_clients), made.exec_clients)
    assert [{"instrument_ids": ["BTCUSDT-PERP.BINANCE"]}] == [actor.config for actor in made.actors]
    assert [] == build().actors
    error = refused(lambda: TradingNodeConfigFactory.from_settings(make(**RECORDER), [strategy()]))
    assert (4, "a recorder runs no strategies: it has no execution client") == (
        error.exit_code,
        error.problems[0].message,
    )


@pytest.mark.parametrize("lacking", ["streaming", "binance"])
def test_a_recorder_without_anything_to_record_or_anywhere_to_is_refused(lacking: str) -> None:
    error = refused(lambda: build(**{**RECORDER, lacking: None}))
    assert (4, ["TN418"]) == (error.exit_code, [problem.code for problem in error.problems])


def test_given_settings_are_not_mixed_with_the_environment(environ: SetEnviron) -> None:
    environ({**LIVE_ENVIRON, "NAUTILUS_TRADER_ID": "OTHER-002", "BYBIT_API_KEY": "k", "BYBIT_API_SECRET": "s"})
    made = TradingNodeConfigFactory.create_testnet(settings=make(**TEST))
    assert (TraderId("TRADER-001"), ["BINANCE"]) == (made.trader_id, list(made.data_clients))


def test_an_env_file_beside_the_caller_is_read(environ: SetEnviron, tmp_path: Path) -> None:
    environ({})
    tmp_path.joinpath(".env").write_text("\n".join(f"{name}={text}" for name, text in TEST_ENVIRON.items()))
    assert ["BINANCE"] == list(TradingNodeConfigFactory.create_testnet().exec_clients)


REFUSED: list[tuple[str, str, dict[str, Any], int]] = [
    ("production", "not said to be live", {"environment": None}, 8),
    ("production", "said to be sandbox", {"environment": ConfigEnvironment.SANDBOX}, 8),
    ("production", "no venue named", {"venues": None}, 8),
    ("production", "no redis", {"redis": None}, 8),
    ("production", "a testnet", {"binance": BinanceCredentials(**TESTNET_KEYS)}, 8),
    ("production", "a demo", {"binance": BinanceCredentials(**DEMO_KEYS)}, 8),
    ("production", "no key", {"binance": None}, 5),
    ("production", "simulated execution", {"execution": "SIMULATED"}, 8),
    (
        "production",
        "a foreign host",
        {"binance": BinanceCredentials(**KEYS, environment="LIVE", base_url_http="https://gateway.example")},
        8,
    ),
    ("production", "checks at once", {"reconciliation_startup_delay_secs": 0}, 4),
    ("testnet", "said to be live", {"environment": ConfigEnvironment.LIVE}, 8),
    ("testnet", "a bare key, which is a live one", {"binance": BinanceCredentials(**KEYS)}, 5),
    ("testnet", "said to be a live key", {"binance": BinanceCredentials(**KEYS, environment="LIVE")}, 8),
    ("testnet", "no key", {"binance": None}, 5),
    (
        "testnet",
        "a venue without a key",
        {"venues": ("BINANCE", "BYBIT"), "bybit": BybitCredentials(**PUBLIC_TESTNET)},
        5,
    ),
    ("testnet", "simulated execution", {"execution": "SIMULATED"}, 8),
    (
        "testnet",
        "a live host",
        {"binance": BinanceCredentials(**TESTNET_KEYS, base_url_http="https://fapi.binance.com")},
        8,
    ),
    ("sandbox", "said to be live", {"environment": ConfigEnvironment.LIVE}, 8),
    ("sandbox", "execution at the venue", {"execution": "VENUE"}, 8),
    ("sandbox", "a testnet", {"binance": BinanceCredentials(**PUBLIC_TESTNET)}, 8),
    ("sandbox", "no venue", {"venues": None}, 4),
]


@pytest.mark.parametrize(
    "preset, change, exit_code",
    [pytest.param(preset, change, number, id=f"{preset}, {what}") for preset, what, change, number in REFUSED],
)
def test_given_settings_that_a_preset_cannot_vouch_for_are_refused(
    preset: str, change: dict[str, Any], exit_code: int
) -> None:
    values = {name: value for name, value in {**GIVEN[preset], **change}.items() if value is not None}
    assert exit_code == refused(lambda: CREATE[preset](settings=make(**values))).exit_code


@pytest.mark.parametrize(
    "preset, change, exit_code",
    [
        ("production", {"NAUTILUS_ENVIRONMENT": ""}, 8),
        ("production", {"NAUTILUS_ENVIRONMENT": "SANDBOX"}, 8),
        ("production", {"NAUTILUS_VENUES": ""}, 8),
        ("production", {"REDIS_HOST": ""}, 8),
        ("production", {"BINANCE_ENVIRONMENT": "TESTNET"}, 8),
        ("production", {"BINANCE_API_KEY": "", "BINANCE_API_SECRET": ""}, 5),
        ("production", {"BINANCE_API_SECRET": ""}, 5),
        ("production", {"NAUTILUS_LOG_LEVEL": "LOUD"}, 4),
        ("testnet", {"NAUTILUS_ENVIRONMENT": "LIVE"}, 8),
        ("testnet", {"NAUTILUS_VENUES": "BINANCE,BYBIT"}, 5),
        ("testnet", {"BINANCE_TESTNET": "maybe"}, 4),
        ("sandbox", {"NAUTILUS_ENVIRONMENT": "LIVE"}, 8),
        ("sandbox", {"NAUTILUS_VENUES": ""}, 4),
        ("sandbox", {"NAUTILUS_EXECUTION": "VENUE"}, 8),
    ],
)
def test_an_environment_that_a_preset_cannot_vouch_for_is_refused(
    preset: str, change: dict[str, str], exit_code: int, environ: SetEnviron
) -> None:
    environ({**ENVIRONS[preset], **change})
    assert exit_code == refused(CREATE[preset]).exit_code


def test_testnet_with_live_keys_alone_is_refused_and_says_how_to_go_on(environ: SetEnviron) -> None:
    environ({"NAUTILUS_TRADER_ID": "TRADER-001", "BINANCE_API_KEY": "canary", "BINANCE_API_SECRET": "canary"})
    error = refused(TradingNodeConfigFactory.create_testnet)
    assert (5, "BINANCE_API_KEY") == (error.exit_code, error.problems[0].key)
    assert "BINANCE_FUTURES_TESTNET_API_KEY" in error.problems[0].fix
    assert "canary" not in str(error)


@pytest.mark.parametrize(
    "keys",
    [
        {"BYBIT_DEMO_API_KEY": "key", "BYBIT_DEMO_API_SECRET": "secret", "BYBIT_DEMO": "true"},
        {"BYBIT_API_KEY": "key", "BYBIT_API_SECRET": "secret", "BYBIT_ENVIRONMENT": "DEMO"},
        {"BINANCE_DEMO_API_KEY": "key", "BINANCE_DEMO_API_SECRET": "secret", "BINANCE_ENVIRONMENT": "DEMO"},
    ],
    ids=list,
)
def test_testnet_runs_on_demo_too(keys: dict[str, str], environ: SetEnviron) -> None:
    environ({"NAUTILUS_TRADER_ID": "TRADER-001", **keys})
    made = TradingNodeConfigFactory.create_testnet()
    assert ["DEMO"] == [VENUES[name].environment_of(client) for name, client in made.exec_clients.items()]
