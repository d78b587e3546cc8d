"""From the environment to settings: precedence, provenance, every problem at once with its exit code, never a secret."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from config.loading import load
from config.models import BinanceCredentials, RedisConfig, TradingNodeSettings
from config.problems import ConfigError, Origin

DATA = Path(__file__).parent / "data"
CANARY = "canary-7f3a9"
TRADER_ID = "NAME-TAG of letters, digits, _ and -, the tag of at most 8 characters, such as TRADER-001"
LEVEL = "one of TRACE, DEBUG, INFO, WARN, WARNING, ERROR, OFF"
LEVELS = "COMPONENT=LEVEL,... with levels TRACE, DEBUG, INFO, WARN, WARNING, ERROR, OFF"
RATE = "COUNT/HH:MM:SS with a count and a span above zero, such as 20/00:00:01"
URL = "an http:// or https:// url without user, password and query"
# File, preset, exit code, and line: message of each error, in the order in which they are told.
BAD: list[tuple[str, str | None, int, tuple[str, ...]]] = [
    ("trader_id_without_hyphen", None, 4, (f"2: NAUTILUS_TRADER_ID is 'PROD', expected {TRADER_ID}",)),
    ("trader_id_without_name", None, 4, (f"2: NAUTILUS_TRADER_ID is '-001', expected {TRADER_ID}",)),
    ("trader_id_without_tag", None, 4, (f"2: NAUTILUS_TRADER_ID is 'TRADER-', expected {TRADER_ID}",)),
    ("trader_id_not_ascii", None, 4, (f"2: NAUTILUS_TRADER_ID is 'TRÄDER-001', expected {TRADER_ID}",)),
    ("trader_id_with_space", None, 4, (f"2: NAUTILUS_TRADER_ID is 'MY TRADER-001', expected {TRADER_ID}",)),
    ("trader_id_tag_too_long", None, 4, (f"2: NAUTILUS_TRADER_ID is 'TRADER-123456789', expected {TRADER_ID}",)),
    ("trader_id_missing", None, 4, (f"-: NAUTILUS_TRADER_ID is not set, expected {TRADER_ID}",)),
    ("log_level_unknown", None, 4, (f"3: NAUTILUS_LOG_LEVEL is 'CRITICAL', expected {LEVEL}",)),
    ("log_level_file_unknown", None, 4, (f"3: NAUTILUS_LOG_LEVEL_FILE is 'VERBOSE', expected {LEVEL}",)),
    ("log_level_misspelled", None, 4, (f"2: NAUTILUS_LOG_LEVEL is 'debgu', expected {LEVEL}",)),
    (
        "log_component_level_unknown",
        None,
        4,
        (f"3: NAUTILUS_LOG_COMPONENT_LEVELS is 'RiskEngine=DEBUG,Portfolio=LOUD', expected {LEVELS}",),
    ),
    ("log_format_unknown", None, 4, ("3: NAUTILUS_LOG_FORMAT is 'xml', expected one of text, json",)),
    ("rate_no_rate", None, 4, (f"3: NAUTILUS_MAX_ORDER_SUBMIT_RATE is 'abc', expected {RATE}",)),
    ("rate_count_zero", None, 4, (f"3: NAUTILUS_MAX_ORDER_SUBMIT_RATE is '0/00:00:01', expected {RATE}",)),
    ("rate_span_zero", None, 4, (f"3: NAUTILUS_MAX_ORDER_SUBMIT_RATE is '100/00:00:00', expected {RATE}",)),
    ("rate_span_one", None, 4, (f"3: NAUTILUS_MAX_ORDER_SUBMIT_RATE is '100/1', expected {RATE}",)),
    ("rate_span_no_time", None, 4, (f"3: NAUTILUS_MAX_ORDER_MODIFY_RATE is '10/99:99:99', expected {RATE}",)),
    ("binance_testnet_maybe", None, 4, ("5: BINANCE_TESTNET is 'maybe', expected true or false",)),
    (
        "binance_flag_contradicts",
        None,
        4,
        ("3: BINANCE_ENVIRONMENT and BINANCE_TESTNET contradict each other in binance_flag_contradicts.bad.env",),
    ),
    (
        "bybit_flags_contradict",
        None,
        4,
        ("3: BYBIT_TESTNET and BYBIT_DEMO contradict each other in bybit_flags_contradict.bad.env",),
    ),
    (
        "binance_environment_unknown",
        None,
        4,
        ("3: BINANCE_ENVIRONMENT is 'TESTNT', expected one of LIVE, TESTNET, DEMO",),
    ),
    (
        "binance_account_type_unknown",
        None,
        4,
        ("2: BINANCE_ACCOUNT_TYPE is 'USDT_FUTURE', expected one of SPOT, USDT_FUTURES, COIN_FUTURES",),
    ),
    ("binance_coin_futures_testnet", None, 4, ("4: Nautilus has no COIN_FUTURES execution on Binance's TESTNET",)),
    (
        "binance_us_futures",
        None,
        4,
        ("2: Binance.US has live SPOT only: set BINANCE_ACCOUNT_TYPE=SPOT and no testnet",),
    ),
    (
        "binance_url_unencrypted",
        None,
        4,
        (
            "2: BINANCE_BASE_URL_HTTP would send keys to the exchange unencrypted",
            "3: BINANCE_BASE_URL_WS would send keys to the exchange unencrypted",
        ),
    ),
    ("binance_url_with_password", None, 4, (f"2: BINANCE_BASE_URL_HTTP is not valid, expected {URL}",)),
    (
        "binance_secret_missing",
        None,
        5,
        ("2: BINANCE_API_KEY is set for BINANCE LIVE, but BINANCE_API_SECRET is missing or empty",),
    ),
    (
        "binance_leverage_too_high",
        None,
        4,
        ("2: BINANCE_LEVERAGES is 'BTCUSDT=126', expected SYMBOL=LEVERAGE,... with 1 to 125",),
    ),
    (
        "binance_instruments_of_bybit",
        None,
        4,
        ("2: BINANCE_INSTRUMENT_IDS must end in .BINANCE: BTCUSDT-LINEAR.BYBIT",),
    ),
    (
        "bybit_spot_beside_linear",
        None,
        4,
        ("2: SPOT cannot stand beside another product type: one account, one kind of margin",),
    ),
    ("venue_unknown", None, 4, ("2: NAUTILUS_VENUES is 'BINANCE,KRAKEN', expected a list of BINANCE, BYBIT",)),
    (
        "redis_port_of_kubernetes",
        None,
        4,
        ("3: REDIS_PORT is 'tcp://10.0.0.1:6379', expected a whole number from 1 to 65535",),
    ),
    ("redis_url_as_host", None, 4, ("2: REDIS_HOST is not valid, expected a host name or address without port",)),
    ("redis_timeout_half_a_second", None, 4, ("3: REDIS_TIMEOUT is '0.5', expected a whole number from 1 to 30",)),
    ("state_without_redis", None, 4, ("2: NAUTILUS_SAVE_STATE needs Redis: set REDIS_HOST",)),
    (
        "lookback_too_short",
        None,
        4,
        ("3: NAUTILUS_RECONCILIATION_LOOKBACK_MINS is '30', expected a whole number from 60 to 525600",),
    ),
    ("stop_timeout_not_finite", None, 4, ("2: NAUTILUS_STOP_TIMEOUT is 'inf', expected a number from 5 to 600",)),
    (
        "flush_interval_with_unit",
        None,
        4,
        ("2: NAUTILUS_FLUSH_INTERVAL_MS is '2s', expected a whole number from 100 to 10000",),
    ),
    (
        "secret_file_missing",
        None,
        4,
        ("2: REDIS_PASSWORD_FILE names /nonexistent/redis_password, which cannot be read: no such file or directory",),
    ),
    (
        "secret_and_its_file",
        None,
        4,
        ("3: REDIS_PASSWORD and REDIS_PASSWORD_FILE are both set in secret_and_its_file.bad.env",),
    ),
    ("line_without_equals", None, 4, ("4: line_without_equals.bad.env line 4 is not NAME=value",)),
    ("preset_unknown", None, 2, ("2: NAUTILUS_PRESET is 'prod', expected one of production, testnet, sandbox",)),
    (
        "many",
        None,
        5,
        (
            "6: BINANCE_TESTNET is 'maybe', expected true or false",
            "7: BYBIT_API_KEY is set for BYBIT LIVE, but BYBIT_API_SECRET is missing or empty",
            f"2: NAUTILUS_TRADER_ID is 'PROD', expected {TRADER_ID}",
            "4: REDIS_PORT is '0', expected a whole number from 1 to 65535",
            f"3: NAUTILUS_LOG_LEVEL is 'CRITICAL', expected {LEVEL}",
            f"5: NAUTILUS_MAX_ORDER_SUBMIT_RATE is '100/1', expected {RATE}",
        ),
    ),
    (
        "production_unsaid",
        "production",
        8,
        (
            "3: NAUTILUS_STOP_TIMEOUT is '1', expected a number from 5 to 600",
            "-: NAUTILUS_ENVIRONMENT is not set; production trades real money only when it is LIVE",
            "-: NAUTILUS_VENUES is not set; production trades only on venues that are named",
            "-: REDIS_HOST is not set; production keeps its orders and positions in Redis",
        ),
    ),
    (
        "production_on_testnet",
        "production",
        8,
        ("5: BINANCE_TESTNET puts BINANCE on TESTNET; production is LIVE only",),
    ),
    (
        "production_delay_too_short",
        "production",
        4,
        ("7: NAUTILUS_RECONCILIATION_STARTUP_DELAY_SECS is 5, expected a number from 10 to 60 in production",),
    ),
    ("testnet_live", "testnet", 8, ("3: NAUTILUS_ENVIRONMENT is LIVE, which contradicts this preset",)),
    ("testnet_with_live_key", "testnet", 5, ("2: BINANCE is to run on TESTNET, but BINANCE_API_KEY is a LIVE key",)),
    ("sandbox_without_venue", "sandbox", 4, ("-: no venue is on: no key is set and NAUTILUS_VENUES names none",)),
]


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


def bad(name: str, preset: str | None, environ: Mapping[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        TradingNodeSettings.from_env(
            env_file=DATA / f"{name}.bad.env",
            environ={"NAUTILUS_SECRETS_DIR": str(DATA), **(environ or {})},
            preset=preset,
        )
    return caught.value


@pytest.mark.parametrize("name, preset, code, expected", BAD, ids=[row[0] for row in BAD])
def test_a_broken_file_is_told_in_full(name: str, preset: str | None, code: int, expected: tuple[str, ...]) -> None:
    error = bad(name, preset)
    found = [problem for problem in error.problems if not problem.is_warning]
    told = tuple(f"{problem.origin.line if problem.origin else '-'}: {problem.message}" for problem in found)
    # The folder of the checkout is no part of what is expected.
    assert expected == tuple(text.replace(f"{DATA}/", "") for text in told)
    assert code == error.exit_code
    assert all(problem.fix for problem in found)
    assert "canary" not in f"{error}{error!r}{[problem.to_dict() for problem in found]}"


def test_every_broken_file_is_in_the_table_and_says_nothing_else() -> None:
    assert sorted(path.name for path in DATA.glob("*.env")) == sorted(f"{row[0]}.bad.env" for row in BAD)


@pytest.mark.parametrize("name", [row[0] for row in BAD if row[1] is None and row[2] == 4 and "preset" not in row[0]])
def test_what_is_broken_stays_so_under_every_preset(name: str) -> None:
    messages = {problem.message for problem in bad(name, None).problems if not problem.is_warning}
    for preset in ("production", "testnet", "sandbox"):
        # Keys are not looked at where execution is simulated; what a key contradicts is then no contradiction.
        if name == "binance_coin_futures_testnet" and preset == "sandbox":
            continue
        assert messages <= {problem.message for problem in bad(name, preset).problems}


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
    assert {"trader_id"} == set(from_env().origins)


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
    error = refused(environ, preset=preset)
    assert (2, key, fix) == (error.exit_code, error.problems[0].key, error.problems[0].fix)


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
    """BINANCE_TESTNET=maybe is an error; it is not also a live key in use."""
    error = refused({"BINANCE_API_KEY": "k", "BINANCE_API_SECRET": "s", "BINANCE_TESTNET": "maybe"})
    assert ["BINANCE_TESTNET"] == [problem.key for problem in error.problems]


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
        ({"NAUTILUS_VENUES": "BINANCE", "REDIS_HOST": "r"}, []),
        ({"NAUTILUS_VENUES": "BINANCE"}, ["TN303"]),
        ({"REDIS_HOST": "r", "NAUTILUS_RECONCILIATION_LOOKBACK_MINS": "60"}, ["TN301"]),
        ({"REDIS_HOST": "r", "BYBIT_API_KEY": "k", "BYBIT_API_SECRET": "s"}, ["TN302"]),
        ({"REDIS_HOST": "r", "BYBIT_API_KEY": "k", "BYBIT_API_SECRET": "s", "BYBIT_TESTNET": "1"}, []),
        ({"REDIS_HOST": "r", "BYBIT_API_KEY": "k", "BYBIT_API_SECRET": "s", "NAUTILUS_ENVIRONMENT": "LIVE"}, []),
    ],
)
def test_what_is_risky_is_a_warning_and_no_error(environ: dict[str, str], codes: list[str]) -> None:
    warnings = from_env(environ).warnings
    assert codes == [problem.code for problem in warnings]
    assert all(problem.is_warning for problem in warnings)


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
    keys = {"BINANCE_FUTURES_TESTNET_API_KEY": "k", "BINANCE_FUTURES_TESTNET_API_SECRET": "s"}
    error = refused({**keys, "BINANCE_ENVIRONMENT": "LIVE"}, preset="testnet")
    assert 8 == error.exit_code
    assert ["TN808"] == [problem.code for problem in error.problems]
