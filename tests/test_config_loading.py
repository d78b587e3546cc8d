"""From the environment to settings: precedence, provenance, every problem at once with its exit code, never a secret."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from config.models import BinanceCredentials, RedisConfig, TradingNodeSettings
from config.problems import ConfigError, Origin, Problem
from config.settings.loading import load
from tests.key_generators import binance_hmac_pair, bybit_hmac_pair

DATA = Path(__file__).parent / "data"
CANARY = "canary-7f3a9"
PASSWORD = "vT4mZq8Xw2Lr9Kd6"
REDIS = {"REDIS_HOST": "localhost"}
# In the shapes that the exchanges give them.
BINANCE = dict(zip(("BINANCE_API_KEY", "BINANCE_API_SECRET"), binance_hmac_pair(Random(1)), strict=True))
BYBIT = dict(zip(("BYBIT_API_KEY", "BYBIT_API_SECRET"), bybit_hmac_pair(Random(2)), strict=True))
TESTNET = {**BYBIT, "BYBIT_TESTNET": "true"}
FUTURES = {**BINANCE, "BINANCE_TESTNET": "true"}


def told(problems: Iterable[Problem]) -> list[tuple[str, str]]:
    return [(problem.code, problem.key) for problem in problems]


def from_env(environ: Mapping[str, str] | None = None, env_file: Any = None, **values: Any) -> TradingNodeSettings:
    """Load with a trader id and an empty secrets directory, unless the environment says otherwise."""
    return TradingNodeSettings.from_env(
        env_file=env_file,
        environ={"NAUTILUS_TRADER_ID": "TRADER-001", "NAUTILUS_SECRETS_DIR": str(DATA), **(environ or {})},
        **values,
    )


def refused(environ: Mapping[str, str] | None = None, env_file: Any = None, **values: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        from_env(environ, env_file, **values)
    return caught.value


# --- precedence and provenance ---------------------------------------------------------------------------------------

SOURCES = ("default", "preset", "first file", "second file", "secrets directory", "process environment", "arguments")


def laid(tmp_path: Path, layers: tuple[str, ...]) -> TradingNodeSettings:
    """Load with one setting said in each of ``layers``, the layer's number in it."""
    texts = {name: f"password-{number}" for number, name in enumerate(SOURCES)}
    files = []
    for name in ("first file", "second file"):
        path = tmp_path / f"{name}.env"
        path.write_text(f"REDIS_PASSWORD={texts[name]}\n" if name in layers else "")
        files.append(path)
    directory = tmp_path / "secrets"
    directory.mkdir()
    if "secrets directory" in layers:
        (directory / "redis_password").write_text(texts["secrets directory"])
    environ = {"NAUTILUS_SECRETS_DIR": str(directory)}
    if "process environment" in layers:
        environ["REDIS_PASSWORD"] = texts["process environment"]
    values = {"redis": {"password": texts["arguments"]}} if "arguments" in layers else {}
    return from_env(environ, files, **values)


@pytest.mark.parametrize(
    "low, high",
    [(low, high) for number, low in enumerate(SOURCES[2:]) for high in SOURCES[2:][number + 1 :]],
)
def test_the_higher_of_two_layers_wins(tmp_path: Path, low: str, high: str) -> None:
    settings = laid(tmp_path, (low, high))
    assert settings.redis is not None
    assert settings.redis.password is not None
    assert f"password-{SOURCES.index(high)}" == settings.redis.password.get_secret_value()


@pytest.mark.parametrize(
    "layer, expected",
    [
        ("first file", ("{}/first file.env", "REDIS_PASSWORD", 1)),
        ("second file", ("{}/second file.env", "REDIS_PASSWORD", 1)),
        ("secrets directory", ("secrets directory {}/secrets", "redis_password", None)),
        ("process environment", ("process environment", "REDIS_PASSWORD", None)),
        ("arguments", ("arguments of the call", "redis.password", None)),
    ],
)
def test_each_layer_is_told_as_origin(tmp_path: Path, layer: str, expected: tuple[str, str, int | None]) -> None:
    source, key, line = expected
    settings = laid(tmp_path, (layer,))
    assert Origin(source.format(tmp_path), key, line) == settings.origins["redis.password"]


def test_defaults_have_no_origin() -> None:
    """Where the state directory is by default follows from the user, so that is its source."""
    assert {"trader_id", "state_dir"} == set(from_env().origins)
    assert "user's state directory" == from_env().origins["state_dir"].source


def test_a_preset_lies_above_the_defaults_and_below_everything_else(tmp_path: Path) -> None:
    preset = from_env({"NAUTILUS_VENUES": "BINANCE"}, preset="sandbox")
    assert ("SIMULATED", "preset sandbox") == (preset.execution, preset.origins["execution"].source)
    path = tmp_path / ".env"
    path.write_text("BYBIT_ENVIRONMENT=DEMO\nBYBIT_API_KEY=k\nBYBIT_API_SECRET=s\n")
    settings = from_env({}, path, preset="testnet")
    assert settings.bybit is not None
    assert ("DEMO", Origin(str(path), "BYBIT_ENVIRONMENT", 1)) == (
        settings.bybit.environment,
        settings.origins["bybit.environment"],
    )


def test_the_commands_own_defaults_lie_below_all_others() -> None:
    environ = {"NAUTILUS_TRADER_ID": "TRADER-001", "NAUTILUS_SECRETS_DIR": str(DATA)}
    defaults = {"logging": {"log_colors": True}}

    def colours(more: Mapping[str, str]) -> bool:
        loaded = load(TradingNodeSettings, env_file=None, environ={**environ, **more}, defaults=defaults)
        return loaded.logging.log_colors

    assert colours({})
    assert not colours({"NAUTILUS_LOG_COLORS": "no"})


def test_a_secret_below_a_secret_file_of_a_higher_layer_is_overridden(tmp_path: Path) -> None:
    """NAME and NAME_FILE contradict each other in one source only."""
    secret = tmp_path / "password"
    secret.write_text("from the file")
    path = tmp_path / ".env"
    path.write_text("REDIS_PASSWORD=from .env\n")
    settings = from_env({"REDIS_PASSWORD_FILE": str(secret)}, path)
    assert settings.redis is not None
    assert settings.redis.password is not None
    assert "from the file" == settings.redis.password.get_secret_value()
    assert "REDIS_PASSWORD_FILE" == settings.origins["redis.password"].key


def test_an_empty_value_is_unset_and_does_not_hide_a_lower_layer(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("REDIS_HOST=redis\n")
    settings = from_env({"REDIS_HOST": "", "REDIS_PORT": " "}, path)
    assert settings.redis is not None
    assert ("redis", 6379) == (settings.redis.host, settings.redis.port)


def test_an_error_names_what_it_overrides(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("\nREDIS_PORT=6380\n")
    (problem,) = refused({"REDIS_PORT": "0"}, path).problems
    assert f"at: process environment (overrides {path} line 2)" in str(problem)
    assert "REDIS_PORT is '0', expected a whole number from 1 to 65535" == problem.message


@pytest.mark.parametrize(
    "section, environ",
    [
        ("redis", {"REDIS_HOST": "redis"}),
        ("redis", {"REDIS_TIMEOUT": "3"}),
        ("streaming", {"NAUTILUS_FLUSH_INTERVAL_MS": "500"}),
        ("streaming", {"NAUTILUS_CATALOG_PATH": "/c"}),
    ],
)
def test_a_section_is_on_when_something_of_it_is_said(section: str, environ: dict[str, str]) -> None:
    assert getattr(from_env(), section) is None
    assert getattr(from_env(environ), section) is not None


def test_the_state_directory_follows_the_xdg_base_directory_specification() -> None:
    assert Path("/xdg/tradingnode/TRADER-001") == from_env({"XDG_STATE_HOME": "/xdg", "HOME": "/me"}).state_directory
    assert Path("/me/.local/state/tradingnode/TRADER-001") == from_env({"HOME": "/me"}).state_directory
    relative = from_env({"XDG_STATE_HOME": "relative", "HOME": "/me"}).state_directory
    assert Path("/me/.local/state/tradingnode/TRADER-001") == relative
    assert Path("/state") == from_env({"NAUTILUS_STATE_DIR": "/state", "HOME": "/me"}).state_directory


# --- which preset ----------------------------------------------------------------------------------------------------


def test_the_preset_may_be_named_in_the_environment_or_a_file_and_the_argument_wins(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("NAUTILUS_PRESET=Sandbox\nNAUTILUS_VENUES=BINANCE\n")
    assert "sandbox" == from_env({}, path).preset
    assert 8 == refused({"NAUTILUS_PRESET": "production"}, path).exit_code
    assert "sandbox" == from_env({"NAUTILUS_PRESET": "production"}, path, preset="sandbox").preset
    assert from_env().preset is None


@pytest.mark.parametrize(
    "environ, preset, key, fix",
    [
        ({}, "prodction", "--preset", "did you mean production?"),
        ({"NAUTILUS_PRESET": "testnets"}, None, "NAUTILUS_PRESET", "did you mean testnet?"),
        ({"NAUTILUS_PRESET": "paper"}, None, "NAUTILUS_PRESET", "choose one of production, testnet, sandbox"),
    ],
)
def test_an_unknown_preset_is_a_usage_error(environ: dict[str, str], preset: str | None, key: str, fix: str) -> None:
    """Whatever else is wrong under the one that was meant is told beside it."""
    told = [problem for problem in refused(environ, preset=preset).problems if problem.code == "TN201"]
    assert [(2, key, fix)] == [(problem.exit_code, problem.key, problem.fix) for problem in told]


def test_a_missing_env_file_is_a_usage_error_that_names_it(tmp_path: Path) -> None:
    error = refused({}, [tmp_path / "missing.env"])
    assert (2, f"{tmp_path / 'missing.env'} does not exist") == (error.exit_code, error.problems[0].message)


# --- arguments of the call -------------------------------------------------------------------------------------------


def test_arguments_may_be_mappings_or_models() -> None:
    redis = RedisConfig(host="redis")
    assert redis == from_env({"REDIS_HOST": "other"}, redis=redis).redis
    assert redis == from_env({"REDIS_HOST": "other"}, redis={"host": "redis"}).redis
    pair: Any = {"api_key": "k", "api_secret": "s"}
    made = from_env(binance=BinanceCredentials(**{**pair, "testnet": True}), preset="testnet").binance
    assert made == from_env(binance={**pair, "testnet": True}, preset="testnet").binance
    assert made is not None
    assert made.testnet


def test_a_mapping_with_nothing_for_keys_has_no_key() -> None:
    settings = from_env(binance={"api_key": None, "api_secret": None, "environment": "DEMO"})
    assert () == settings.active_venues


@pytest.mark.parametrize(
    "values, key, fix",
    [
        ({"redis": {"prot": 1}}, "redis.prot", "did you mean redis.port?"),
        ({"stop_timeuot": 1}, "stop_timeuot", "did you mean stop_timeout?"),
        ({"zzz": 1}, "zzz", "remove it"),
        ({"redis": "localhost"}, "redis", "give a mapping with some of host, port, username, password, ssl, timeout"),
    ],
)
def test_an_argument_that_is_no_setting_is_told(values: dict[str, Any], key: str, fix: str) -> None:
    (problem,) = refused(**values).problems
    assert (4, key, fix) == (problem.exit_code, problem.key, problem.fix)


# --- all at once, gravest first --------------------------------------------------------------------------------------


def test_rules_over_several_settings_are_told_beside_bad_values_of_other_sections() -> None:
    error = refused({"REDIS_PORT": "0", "BINANCE_US": "yes", "NAUTILUS_TRADER_ID": "PROD"})
    assert {"REDIS_PORT", "BINANCE_US", "NAUTILUS_TRADER_ID"} == {problem.key for problem in error.problems}


def test_a_rule_is_silent_about_a_value_that_was_bad_itself() -> None:
    error = refused({"BINANCE_US": "yes", "BINANCE_ACCOUNT_TYPE": "SPTO"})
    assert ["BINANCE_ACCOUNT_TYPE"] == [problem.key for problem in error.problems]


def test_warnings_are_not_drawn_from_settings_of_which_a_part_was_bad() -> None:
    """BINANCE_TESTNET=maybe is an error; it is not also a live key in use, nor are books without Redis told."""
    error = refused({**BINANCE, "BINANCE_TESTNET": "maybe"})
    assert ["BINANCE_TESTNET"] == [problem.key for problem in error.problems]


def test_what_is_weak_about_a_value_is_told_beside_bad_values_elsewhere() -> None:
    error = refused({**BINANCE, "BINANCE_API_KEY": "key", "BINANCE_TESTNET": "maybe"})
    assert [("TN401", "BINANCE_TESTNET"), ("TN319", "BINANCE_API_KEY")] == told(error.problems)


@pytest.mark.parametrize(
    "environ, code",
    [
        ({"REDIS_HOST": "r", "REDIS_PORT": "0"}, 8),
        ({"REDIS_HOST": "r", "REDIS_PORT": "0", "BINANCE_API_KEY": "k", "NAUTILUS_VENUES": "BINANCE"}, 8),
        ({"NAUTILUS_ENVIRONMENT": "LIVE", "NAUTILUS_VENUES": "BINANCE", "REDIS_HOST": "r", "REDIS_PORT": "0"}, 5),
        (
            {
                "NAUTILUS_ENVIRONMENT": "LIVE",
                "NAUTILUS_VENUES": "BINANCE",
                "REDIS_HOST": "r",
                "REDIS_PORT": "0",
                "BINANCE_API_KEY": "k",
                "BINANCE_API_SECRET": "s",
            },
            4,
        ),
        # Two broken rules in one section do not keep the guards from speaking.
        (
            {
                "BINANCE_BASE_URL_HTTP": "http://fapi.binance.com",
                "BINANCE_BASE_URL_WS": "ws://fstream.binance.com",
                "NAUTILUS_VENUES": "BINANCE",
            },
            8,
        ),
    ],
)
def test_the_gravest_problem_under_production_decides(environ: dict[str, str], code: int) -> None:
    assert code == refused(environ, preset="production").exit_code


@pytest.mark.parametrize(
    "environ, codes",
    [
        ({"NAUTILUS_VENUES": "BINANCE", **REDIS}, []),
        ({"NAUTILUS_VENUES": "BINANCE"}, ["TN303 REDIS_HOST"]),
        ({**REDIS, "NAUTILUS_RECONCILIATION_LOOKBACK_MINS": "60"}, ["TN301 NAUTILUS_RECONCILIATION_LOOKBACK_MINS"]),
        ({**REDIS, **BYBIT}, ["TN302 NAUTILUS_ENVIRONMENT"]),
        ({**REDIS, **BYBIT, "BYBIT_TESTNET": "1"}, []),
        ({**REDIS, **BYBIT, "NAUTILUS_ENVIRONMENT": "LIVE"}, []),
        # Keys that are none, or not as the exchange makes them.
        (
            {**REDIS, **TESTNET, "BYBIT_API_KEY": "key", "BYBIT_API_SECRET": "secret"},
            ["TN319 BYBIT_API_KEY", "TN319 BYBIT_API_SECRET"],
        ),
        ({**REDIS, **TESTNET, "BYBIT_API_SECRET": BYBIT["BYBIT_API_SECRET"][:-1]}, ["TN308 BYBIT_API_SECRET"]),
        # Redis beyond this machine.
        ({"REDIS_HOST": "redis"}, ["TN311 REDIS_PASSWORD"]),
        ({"REDIS_HOST": "redis", "REDIS_PASSWORD": PASSWORD}, []),
        ({"REDIS_HOST": "redis.internal", "REDIS_PASSWORD": PASSWORD}, ["TN312 REDIS_SSL"]),
        ({"REDIS_HOST": "redis.internal", "REDIS_SSL": "1"}, ["TN311 REDIS_PASSWORD"]),
        ({"REDIS_HOST": "redis.internal", "REDIS_SSL": "1", "REDIS_PASSWORD": PASSWORD}, []),
        ({"REDIS_URL": f"rediss://:{PASSWORD}@redis.internal"}, []),
        ({"REDIS_URL": f"redis://:{PASSWORD}@10.0.0.1"}, ["TN312 REDIS_SSL"]),
        ({"REDIS_HOST": "::1"}, []),
        ({"REDIS_HOST": "redis.example.com", "REDIS_SSL": "1", "REDIS_PASSWORD": PASSWORD}, ["TN318 REDIS_HOST"]),
        ({**REDIS, "REDIS_PASSWORD": "changeme"}, ["TN316 REDIS_PASSWORD"]),
        ({**REDIS, "REDIS_PASSWORD": '"pass word"'}, ["TN315 REDIS_PASSWORD"]),
        # Rates that the exchange would not take.
        *(
            ({**REDIS, **keys, name: rate}, [f"TN313 {name}"] * over)
            for keys, name, rate, over in (
                (TESTNET, "NAUTILUS_MAX_ORDER_SUBMIT_RATE", "10/00:00:01", False),
                (TESTNET, "NAUTILUS_MAX_ORDER_SUBMIT_RATE", "11/00:00:01", True),
                (TESTNET, "NAUTILUS_MAX_ORDER_MODIFY_RATE", "11/00:01:00", True),
                (FUTURES, "NAUTILUS_MAX_ORDER_SUBMIT_RATE", "20/00:00:01", False),
                (FUTURES, "NAUTILUS_MAX_ORDER_SUBMIT_RATE", "21/00:00:01", True),
                (FUTURES, "NAUTILUS_MAX_ORDER_MODIFY_RATE", "300/00:00:15", False),
                (FUTURES, "NAUTILUS_MAX_ORDER_MODIFY_RATE", "301/00:00:15", True),
                # Nobody sends an order there.
                ({"NAUTILUS_VENUES": "BINANCE"}, "NAUTILUS_MAX_ORDER_MODIFY_RATE", "1000/00:00:01", False),
            )
        ),
        # What a template or a document says.
        ({"NAUTILUS_TRADER_ID": "YOURNAME-001"}, ["TN317 NAUTILUS_TRADER_ID"]),
        (
            {**REDIS, **TESTNET, "BYBIT_PROXY_URL": f"http://me:{CANARY}@proxy.example:3128"},
            ["TN318 BYBIT_PROXY_URL"],
        ),
        # Names that nothing reads, or that have another name now.
        ({"NAUTILUS_LOGLEVEL": "DEBUG"}, ["TN305 NAUTILUS_LOGLEVEL"]),
        ({"redis_host": "redis"}, ["TN305 redis_host"]),
        ({"NAUTILUS_TIMEOUT_CONNECTION": "60"}, ["TN306 NAUTILUS_TIMEOUT_CONNECTION"]),
    ],
)
def test_what_is_risky_is_a_warning_and_no_error(environ: dict[str, str], codes: list[str]) -> None:
    warnings = from_env(environ).warnings
    assert codes == [f"{code} {key}" for code, key in told(warnings)]
    assert all(problem.is_warning and problem.fix for problem in warnings)
    assert CANARY not in "".join(map(str, warnings))


def test_a_pair_of_which_one_half_was_overridden_is_told_with_both_places(tmp_path: Path) -> None:
    """A pair may well stand in two sources; a half that is left over makes it doubtful."""
    key, secret = BYBIT.values()
    new = {"BYBIT_ENVIRONMENT": "TESTNET", "BYBIT_TESTNET_API_SECRET": secret[::-1]}
    path = tmp_path / ".env"
    path.write_text(f"BYBIT_TESTNET_API_KEY={key}\n")
    path.chmod(0o600)
    assert () == from_env({**REDIS, **new}, path).warnings
    path.write_text(f"BYBIT_TESTNET_API_KEY={key}\nBYBIT_TESTNET_API_SECRET={secret}\n")
    (problem,) = from_env({**REDIS, **new}, path).warnings
    assert ("TN314", "BYBIT_TESTNET_API_SECRET") == (problem.code, problem.key)
    expected = f"BYBIT_TESTNET_API_KEY comes from {path} line 1, but BYBIT_TESTNET_API_SECRET from process environment"
    assert expected in problem.message
    assert not {key, secret} & set(str(problem).split())
    both = {**new, "BYBIT_TESTNET_API_KEY": key[::-1]}
    assert () == from_env({**REDIS, **both}, path).warnings


@pytest.mark.parametrize("mode, codes", [(0o600, []), (0o640, []), (0o604, ["TN309"]), (0o602, ["TN309"])])
@pytest.mark.parametrize("where", ["env file", "secret file"])
def test_a_secret_that_every_user_may_read_is_a_warning(
    tmp_path: Path, where: str, mode: int, codes: list[str]
) -> None:
    path = tmp_path / "file"
    path.write_text(f"REDIS_PASSWORD={PASSWORD}\n" if where == "env file" else PASSWORD)
    path.chmod(mode)
    if where == "env file":
        warnings = from_env(REDIS, path).warnings
    else:
        warnings = from_env({**REDIS, "REDIS_PASSWORD_FILE": str(path)}).warnings
    assert codes == [problem.code for problem in warnings]
    assert [f"chmod 600 {path}"] * len(codes) == [problem.fix for problem in warnings]


def test_an_env_file_without_a_secret_may_be_read_by_everybody(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("REDIS_HOST=localhost\n")
    path.chmod(0o644)
    assert () == from_env({}, path).warnings


def test_a_directory_that_everybody_may_write_is_told_once_with_the_variable_that_names_it(tmp_path: Path) -> None:
    """The state directory would be made below it; so would the logs, which need no word of their own."""
    tmp_path.chmod(0o777)
    state = tmp_path / "state"
    (below,) = from_env({"NAUTILUS_STATE_DIR": str(state)}).warnings
    assert ("TN310", "NAUTILUS_STATE_DIR") == (below.code, below.key)
    assert f"{state} (NAUTILUS_STATE_DIR) is below {tmp_path}, where every user of this " in below.message
    (itself,) = from_env({"NAUTILUS_STATE_DIR": str(tmp_path)}).warnings
    assert f"{tmp_path} (NAUTILUS_STATE_DIR) is writable for every user of this machine" == itself.message
    assert itself.fix.startswith(f"chmod o-w {tmp_path}, or set NAUTILUS_STATE_DIR")
    state.mkdir(mode=0o700)
    assert ["TN310"] == [problem.code for problem in from_env({"NAUTILUS_STATE_DIR": str(state)}).warnings]
    tmp_path.chmod(0o1777)
    assert () == from_env({"NAUTILUS_STATE_DIR": str(state)}).warnings


# --- worth knowing ---------------------------------------------------------------------------------------------------


def test_other_hosts_are_noted_with_the_variables_that_name_them() -> None:
    """Only of venues that are on, and never the exchange's own."""
    gateway = {
        "base_url_http": "https://gateway.internal:8443",
        "base_url_ws": "wss://gateway.internal:8443/ws",
        "base_url_ws_api": "wss://ws-fapi.binance.com/ws-fapi/v1",
    }
    settings = from_env(REDIS, venues=("BINANCE",), binance=gateway, bybit={"base_url_http": "http://127.0.0.1:1"})
    assert () == settings.warnings
    (note,) = settings.notes
    assert ("TN001", "binance.base_url_http", "note") == (note.code, note.key, note.severity)
    names = "binance.base_url_http, binance.base_url_ws"
    assert f"gateway.internal:8443 is not the exchange's own host ({names})" == note.message
    assert Origin("arguments of the call", "binance.base_url_http") == note.origin
    (same,) = from_env({**REDIS, "NAUTILUS_VENUES": "BYBIT", "BYBIT_BASE_URL_HTTP": "http://127.0.0.1:1"}).notes
    assert "127.0.0.1:1 is not the exchange's own host (BYBIT_BASE_URL_HTTP)" == same.message


def test_a_default_rate_that_the_exchange_would_not_take_is_noted() -> None:
    assert () == from_env({**REDIS, **FUTURES}).notes
    (note,) = from_env({**REDIS, **TESTNET}).notes
    assert ("TN004", "NAUTILUS_MAX_ORDER_SUBMIT_RATE") == (note.code, note.key)
    assert "NAUTILUS_MAX_ORDER_SUBMIT_RATE is 20/00:00:01: more than the 10 orders in 1 s" in note.message
    assert "set NAUTILUS_MAX_ORDER_SUBMIT_RATE=10/00:00:01" == note.fix


def test_what_kubernetes_sets_is_noted_and_not_taken() -> None:
    settings = from_env({"REDIS_PORT": "tcp://10.0.0.1:6379", "REDIS_HOST": "localhost", "NAUTILUS_VENUES": "BINANCE"})
    assert settings.redis is not None
    assert 6379 == settings.redis.port
    assert ([], [("TN002", "REDIS_PORT")]) == (told(settings.warnings), told(settings.notes))


def test_what_was_overridden_is_kept_highest_first(tmp_path: Path) -> None:
    paths = [tmp_path / "a.env", tmp_path / "b.env"]
    for number, path in enumerate(paths):
        path.write_text(f"# {number}\nREDIS_PORT={6380 + number}\n")
    overridden = from_env({"REDIS_PORT": "6379"}, paths).overridden
    assert {"redis.port"} == set(overridden)
    assert [("6381", Origin(str(paths[1]), "REDIS_PORT", 2)), ("6380", Origin(str(paths[0]), "REDIS_PORT", 2))] == [
        (value.value, value.origin) for value in overridden["redis.port"]
    ]


def test_problems_come_in_the_order_of_their_sources_and_lines(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("NAUTILUS_LOG_LEVEL=LOUD\nREDIS_PORT=0\nNAUTILUS_LOGLEVEL=INFO\nBINANCE_TESTNET=maybe\n")
    error = refused({"NAUTILUS_STOP_TIMEOUT": "1", "NAUTILUS_TRADER_ID": ""}, path)
    assert [
        ("NAUTILUS_LOG_LEVEL", 1),
        ("REDIS_PORT", 2),
        ("NAUTILUS_LOGLEVEL", 3),
        ("BINANCE_TESTNET", 4),
        ("NAUTILUS_STOP_TIMEOUT", None),
        ("NAUTILUS_TRADER_ID", -1),
    ] == [(problem.key, problem.origin.line if problem.origin else -1) for problem in error.problems]


# --- secrets ---------------------------------------------------------------------------------------------------------

SECRET_NAMES = (
    "REDIS_PASSWORD",
    "BINANCE_API_KEY",
    "BINANCE_API_SECRET",
    "BINANCE_PROXY_URL",
    "BINANCE_FUTURES_TESTNET_API_SECRET",
    "BINANCE_DEMO_API_KEY",
    "BYBIT_API_KEY",
    "BYBIT_TESTNET_API_KEY",
    "BYBIT_DEMO_API_SECRET",
)


@pytest.mark.parametrize("preset", [None, "production", "testnet", "sandbox"])
@pytest.mark.parametrize("name", SECRET_NAMES)
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"NAUTILUS_TRADER_ID": "PROD"},
        {"BINANCE_TESTNET": "maybe", "BYBIT_DEMO": "1"},
        {"BINANCE_US": "1", "BYBIT_PRODUCT_TYPES": "SPOT,LINEAR", "REDIS_PORT": "0"},
    ],
)
def test_no_error_or_warning_repeats_a_secret(name: str, more: dict[str, str], preset: str | None) -> None:
    try:
        settings = from_env({name: CANARY, **more}, preset=preset)
    except ConfigError as error:
        told = f"{error}{error!r}{error.problems}{error.__cause__!r}{error.__context__!r}"
    else:
        told = f"{settings!r}{settings.origins}{settings.warnings}{settings.model_dump_json()}"
    assert told
    assert CANARY not in told


@pytest.mark.parametrize(
    "name, value",
    [
        ("REDIS_HOST", f"redis://:{CANARY}@redis"),
        ("REDIS_PORT", f"redis://:{CANARY}@redis"),
        ("BINANCE_BASE_URL_HTTP", f"https://{CANARY}@gateway.example"),
        ("BYBIT_BASE_URL_WS_TRADE", f"wss://gateway.example/?token={CANARY}"),
        ("NAUTILUS_TRUSTED_ENDPOINTS", f"me:{CANARY}@gateway.example:443"),
    ],
)
def test_a_value_that_might_hold_a_password_is_not_shown(name: str, value: str) -> None:
    (problem,) = refused({name: value}).problems
    assert f"{name} is not valid, expected" in problem.message
    assert CANARY not in str(problem)


@pytest.mark.parametrize(
    "values",
    [
        {"redis": {"password": [CANARY]}},
        {"binance": {"api_key": [CANARY], "api_secret": "s"}},
        {"binance": CANARY},
        {"redis": {"password": CANARY, "port": 0}},
        {"bybit": {"api_key": CANARY}},
        {"binance": {"api_key": CANARY, "api_secret": CANARY, "testnet": True, "demo": True}},
    ],
)
def test_no_error_about_an_argument_repeats_a_secret(values: dict[str, Any]) -> None:
    try:
        told = repr(from_env(**values))
    except ConfigError as error:
        told = f"{error}{error!r}{error.__context__!r}"
    assert CANARY not in told


# --- what is not imported --------------------------------------------------------------------------------------------


def modules_after(program: str) -> set[str]:
    program += "\nimport sys; sys.stdout.write(' '.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in ran.stdout.split()}


def test_importing_config_imports_nothing_heavy() -> None:
    heavy = {"pydantic", "pydantic_settings", "nautilus_trader", "redis", "rich", "click", "dotenv", "msgspec"}
    assert set() == heavy & modules_after("import config; dir(config)")


def test_loading_settings_imports_no_nautilus() -> None:
    program = f"""
from config import TradingNodeSettings
environ = {{"NAUTILUS_TRADER_ID": "TRADER-001", "NAUTILUS_VENUES": "BINANCE", "NAUTILUS_SECRETS_DIR": {str(DATA)!r}}}
TradingNodeSettings.from_env(env_file=None, environ=environ, preset="sandbox")"""
    modules = modules_after(program)
    assert "pydantic" in modules
    assert set() == {"nautilus_trader", "redis", "rich", "msgspec"} & modules


@pytest.mark.parametrize("name", ["NAUTILUS_TRADER_ID", "BINANCE_ENVIRONMENT", "NAUTILUS_LOG_LEVEL"])
def test_key_pasted_into_the_wrong_variable_is_not_shown(name: str) -> None:
    key = "canaryQ7" * 8
    assert key not in str(refused({name: key}))


def test_live_said_of_a_venue_under_testnet_is_8_whatever_keys_are_there() -> None:
    keys = {name.replace("BINANCE", "BINANCE_FUTURES_TESTNET"): text for name, text in BINANCE.items()}
    error = refused({**keys, "BINANCE_ENVIRONMENT": "LIVE"}, preset="testnet")
    assert 8 == error.exit_code
    assert ["TN808"] == [problem.code for problem in error.problems]
