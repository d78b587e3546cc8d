"""The one table of variables: every name that the design and the adapters know, each once, each with its path."""

from __future__ import annotations

import re

import pytest
from pydantic import BaseModel

from config.models import BinanceCredentials, RedisConfig, StreamingSettings, TradingNodeSettings
from config.settings.variables import (
    FLAGS,
    KEY_NAMES,
    REDIS_URL_VARIABLE,
    SPECIAL,
    current_names,
    former_names,
    is_key,
    known_names,
    path_of,
    paths,
    secret_names,
    sections,
    variables,
    variables_by_path,
)

# The names that the design fixes, with the setting that each sets.
NAMES = {
    "NAUTILUS_TRADER_ID": "trader_id",
    "NAUTILUS_ENVIRONMENT": "environment",
    "NAUTILUS_ROLE": "role",
    "NAUTILUS_EXECUTION": "execution",
    "NAUTILUS_VENUES": "venues",
    "NAUTILUS_STATE_DIR": "state_dir",
    "NAUTILUS_TRUSTED_ENDPOINTS": "trusted_endpoints",
    "NAUTILUS_LOG_LEVEL": "logging.log_level",
    "NAUTILUS_LOG_LEVEL_FILE": "logging.log_level_file",
    "NAUTILUS_LOG_DIRECTORY": "logging.log_directory",
    "NAUTILUS_LOG_FORMAT": "logging.log_format",
    "NAUTILUS_LOG_FILE_NAME": "logging.log_file_name",
    "NAUTILUS_LOG_MAX_SIZE_MB": "logging.max_size_mb",
    "NAUTILUS_LOG_MAX_BACKUP_COUNT": "logging.max_backup_count",
    "NAUTILUS_LOG_COMPONENT_LEVELS": "logging.log_component_levels",
    "NAUTILUS_CATALOG_PATH": "streaming.catalog_path",
    "NAUTILUS_FLUSH_INTERVAL_MS": "streaming.flush_interval_ms",
    "NAUTILUS_ROTATION_MODE": "streaming.rotation_mode",
    "NAUTILUS_ROTATION_INTERVAL_MINS": "streaming.rotation_interval_mins",
    "NAUTILUS_MAX_FILE_SIZE_MB": "streaming.max_file_size_mb",
    "NAUTILUS_RECONCILIATION_LOOKBACK_MINS": "reconciliation_lookback_mins",
    "NAUTILUS_RECONCILIATION_STARTUP_DELAY_SECS": "reconciliation_startup_delay_secs",
    "NAUTILUS_MAX_ORDER_SUBMIT_RATE": "max_order_submit_rate",
    "NAUTILUS_MAX_ORDER_MODIFY_RATE": "max_order_modify_rate",
    "NAUTILUS_STOP_TIMEOUT": "stop_timeout",
    "NAUTILUS_CONNECTION_TIMEOUT": "connection_timeout",
    "NAUTILUS_RECONCILIATION_TIMEOUT": "reconciliation_timeout",
    "NAUTILUS_READY_TIMEOUT": "ready_timeout",
    "REDIS_HOST": "redis.host",
    "REDIS_PORT": "redis.port",
    "REDIS_USERNAME": "redis.username",
    "REDIS_PASSWORD": "redis.password",
    "REDIS_SSL": "redis.ssl",
    "REDIS_TIMEOUT": "redis.timeout",
    "BINANCE_API_KEY": "binance.api_key",
    "BINANCE_API_SECRET": "binance.api_secret",
    "BINANCE_ENVIRONMENT": "binance.environment",
    "BINANCE_ACCOUNT_TYPE": "binance.account_type",
    "BINANCE_US": "binance.us",
    "BINANCE_BASE_URL_HTTP": "binance.base_url_http",
    "BINANCE_BASE_URL_WS": "binance.base_url_ws",
    "BINANCE_BASE_URL_WS_API": "binance.base_url_ws_api",
    "BINANCE_BASE_URL_WS_STREAM": "binance.base_url_ws_stream",
    "BYBIT_API_KEY": "bybit.api_key",
    "BYBIT_API_SECRET": "bybit.api_secret",
    "BYBIT_ENVIRONMENT": "bybit.environment",
    "BYBIT_PRODUCT_TYPES": "bybit.product_types",
    "BYBIT_BASE_URL_HTTP": "bybit.base_url_http",
    "BYBIT_BASE_URL_WS_PUBLIC": "bybit.base_url_ws_public",
}
# What Nautilus' adapters or earlier versions called the same thing, with the name that is current.
FORMER = {
    "NAUTILUS_LOG_FILE_FORMAT": "NAUTILUS_LOG_FORMAT",
    "NAUTILUS_TIMEOUT_CONNECTION": "NAUTILUS_CONNECTION_TIMEOUT",
    "NAUTILUS_TIMEOUT_RECONCILIATION": "NAUTILUS_RECONCILIATION_TIMEOUT",
    "BINANCE_ED25519_API_KEY": "BINANCE_API_KEY",
    "BINANCE_ED25519_API_SECRET": "BINANCE_API_SECRET",
    "BINANCE_FUTURES_API_KEY": "BINANCE_API_KEY",
    "BINANCE_FUTURES_API_SECRET": "BINANCE_API_SECRET",
    "BINANCE_TESTNET_ED25519_API_KEY": "BINANCE_TESTNET_API_KEY",
    "BINANCE_TESTNET_ED25519_API_SECRET": "BINANCE_TESTNET_API_SECRET",
    "BINANCE_FUTURES_TESTNET_ED25519_API_KEY": "BINANCE_FUTURES_TESTNET_API_KEY",
    "BINANCE_FUTURES_TESTNET_ED25519_API_SECRET": "BINANCE_FUTURES_TESTNET_API_SECRET",
    "BINANCE_HTTP_PROXY_URL": "BINANCE_PROXY_URL",
    "BINANCE_WS_PROXY_URL": "BINANCE_PROXY_URL",
    "BYBIT_HTTP_PROXY_URL": "BYBIT_PROXY_URL",
    "BYBIT_WS_PROXY_URL": "BYBIT_PROXY_URL",
}
SECRETS = {
    "REDIS_URL",
    "REDIS_PASSWORD",
    "BINANCE_PROXY_URL",
    "BYBIT_PROXY_URL",
    "BINANCE_API_KEY",
    "BINANCE_API_SECRET",
    "BINANCE_TESTNET_API_KEY",
    "BINANCE_TESTNET_API_SECRET",
    "BINANCE_FUTURES_TESTNET_API_KEY",
    "BINANCE_FUTURES_TESTNET_API_SECRET",
    "BINANCE_DEMO_API_KEY",
    "BINANCE_DEMO_API_SECRET",
    "BYBIT_API_KEY",
    "BYBIT_API_SECRET",
    "BYBIT_TESTNET_API_KEY",
    "BYBIT_TESTNET_API_SECRET",
    "BYBIT_DEMO_API_KEY",
    "BYBIT_DEMO_API_SECRET",
}
FORMER_SECRETS = {old for old, new in FORMER.items() if new in SECRETS}


@pytest.mark.parametrize("name, path", NAMES.items())
def test_a_name_of_the_design_sets_its_setting(name: str, path: str) -> None:
    assert path == variables()[name].path
    assert name == variables_by_path()[path].name


def _paths(model: type[BaseModel], prefix: str = "") -> set[str]:
    paths = set()
    for name, field in model.model_fields.items():
        kinds = [kind for kind in getattr(field.annotation, "__args__", (field.annotation,)) if isinstance(kind, type)]
        section = next((kind for kind in kinds if issubclass(kind, BaseModel)), None)
        paths |= {prefix + name} if section is None else _paths(section, f"{prefix}{name}.")
    return paths


def test_every_field_of_every_model_has_exactly_one_variable() -> None:
    assert _paths(TradingNodeSettings) == set(variables_by_path())
    assert len(variables()) == len(variables_by_path())


def test_names_follow_one_form() -> None:
    form = r"(NAUTILUS|REDIS|BINANCE|BYBIT)_[A-Z_]+"
    assert [] == [name for name in current_names() if not re.fullmatch(form, name)]


def test_the_secrets_are_those_of_the_design_and_no_others() -> None:
    assert SECRETS | FORMER_SECRETS == secret_names()


def test_the_former_names_are_those_of_the_design_and_lead_to_a_current_one() -> None:
    assert FORMER == former_names()
    assert set(FORMER.values()) <= current_names()


def test_known_names_are_variables_flags_keys_former_names_and_the_two_that_say_where_to_look() -> None:
    flags = {"BINANCE_TESTNET", "BINANCE_DEMO", "BYBIT_TESTNET", "BYBIT_DEMO"}
    files = {f"{name}_FILE" for name in SECRETS}
    current = {*variables(), *flags, *SECRETS, *files, "NAUTILUS_PRESET", "NAUTILUS_SECRETS_DIR"}
    former = {*FORMER, *(f"{name}_FILE" for name in FORMER_SECRETS)}
    assert set() == current & former
    assert current == current_names()
    assert current | former == known_names()


def test_every_name_that_sets_something_leads_to_its_setting() -> None:
    assert known_names() == set(paths())
    assert {"preset", "secrets_dir", "redis.url"} == set(paths().values()) - set(variables_by_path())
    assert NAMES.items() <= paths().items()
    expected = {
        **dict.fromkeys(("BINANCE_TESTNET", "BINANCE_DEMO"), "binance.environment"),
        **dict.fromkeys(("BYBIT_TESTNET", "BYBIT_DEMO"), "bybit.environment"),
        "BINANCE_DEMO_API_SECRET": "binance.api_secret",
        "BYBIT_TESTNET_API_KEY": "bybit.api_key",
        "REDIS_URL": "redis.url",
    }
    assert expected.items() <= paths().items()
    assert [] == [old for old, new in FORMER.items() if paths()[old] != paths()[new]]
    assert [] == [name for name in secret_names() if paths()[name] != paths()[f"{name}_FILE"]]


@pytest.mark.parametrize(
    "key, path",
    [
        ("REDIS_PORT", "redis.port"),
        ("redis.port", "redis.port"),
        ("redis_password", "redis.password"),  # a file in the secrets directory
        ("BYBIT_DEMO_API_KEY_FILE", "bybit.api_key"),
        ("binance_ed25519_api_key", "binance.api_key"),
        ("trader_id", "trader_id"),
        ("NAUTILUS_PRESET", "preset"),
        ("--env-file", ""),
        ("redis", ""),
        ("", ""),
    ],
)
def test_the_setting_that_a_problem_speaks_of_is_known_however_it_is_spelled(key: str, path: str) -> None:
    assert path == path_of(key)


def test_keys_of_exchanges_are_told_from_other_secrets() -> None:
    others = {"REDIS_URL", "REDIS_PASSWORD", *(name for name in secret_names() if name.endswith("PROXY_URL"))}
    assert secret_names() - others == {name for name in secret_names() if is_key(name)}
    assert not is_key("REDIS_HOST")


def test_sections_are_the_models_that_have_variables() -> None:
    assert ["binance", "bybit", "redis", "logging", "streaming"] == list(sections())
    kinds = {"binance": BinanceCredentials, "redis": RedisConfig, "streaming": StreamingSettings}
    assert kinds.items() <= sections().items()


def test_flags_and_keys_say_their_environment() -> None:
    assert {
        "BINANCE_TESTNET": "TESTNET",
        "BINANCE_DEMO": "DEMO",
        "BYBIT_TESTNET": "TESTNET",
        "BYBIT_DEMO": "DEMO",
    } == {flag.name: flag.means for flag in FLAGS}
    assert {("binance", "TESTNET"), ("binance", "DEMO"), ("bybit", "TESTNET"), ("bybit", "DEMO")} == {
        (key.venue, key.environment) for key in KEY_NAMES
    }


@pytest.mark.parametrize(
    "name, accepted, choices",
    [
        ("REDIS_PORT", "a whole number from 1 to 65535", ()),
        ("NAUTILUS_STOP_TIMEOUT", "a number from 5 to 600", ()),
        ("REDIS_SSL", "true or false", ()),
        (
            "BINANCE_ACCOUNT_TYPE",
            "one of SPOT, USDT_FUTURES, COIN_FUTURES",
            ("SPOT", "USDT_FUTURES", "COIN_FUTURES"),
        ),
        ("NAUTILUS_ENVIRONMENT", "one of LIVE, SANDBOX", ("LIVE", "SANDBOX")),
        ("NAUTILUS_ROLE", "one of trader, recorder", ("trader", "recorder")),
        ("NAUTILUS_EXECUTION", "one of VENUE, SIMULATED, NONE", ("VENUE", "SIMULATED", "NONE")),
        ("NAUTILUS_READY_TIMEOUT", "a number from 1 to 1800", ()),
    ],
)
def test_what_is_accepted_is_told_in_words(name: str, accepted: str, choices: tuple[str, ...]) -> None:
    assert (accepted, choices) == (variables()[name].accepted, variables()[name].choices)


def test_every_variable_says_what_it_means_and_what_it_takes() -> None:
    everything = {**SPECIAL, **variables()}
    assert [] == [name for name, found in everything.items() if not found.description.endswith(".")]
    assert [] == [name for name, found in everything.items() if not found.accepted or "None" in found.accepted]
    assert REDIS_URL_VARIABLE in everything


@pytest.mark.parametrize("name", [name for name, found in variables().items() if found.example])
def test_an_example_is_a_value_that_is_accepted(name: str) -> None:
    found = variables()[name]
    environ = {"NAUTILUS_TRADER_ID": "TRADER-001", "NAUTILUS_SECRETS_DIR": "/", name: str(found.example)}
    settings = TradingNodeSettings.from_env(env_file=None, environ=environ)
    assert name == settings.origins[found.path].key


def test_only_the_trader_id_is_required() -> None:
    assert ["NAUTILUS_TRADER_ID"] == [name for name, found in variables().items() if found.required]
    assert 6379 == variables()["REDIS_PORT"].default
    assert "20/00:00:01" == variables()["NAUTILUS_MAX_ORDER_SUBMIT_RATE"].default


def test_what_a_beginner_must_know_is_essential() -> None:
    essential = {name for name, found in variables().items() if found.tier == "essential"}
    assert {"NAUTILUS_TRADER_ID", "NAUTILUS_VENUES", "REDIS_HOST", "BINANCE_API_KEY", "BYBIT_API_SECRET"} <= essential
    assert {"NAUTILUS_ROTATION_MODE", "BINANCE_BASE_URL_WS_API", "REDIS_TIMEOUT"}.isdisjoint(essential)
