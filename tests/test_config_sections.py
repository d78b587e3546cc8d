"""A section by itself is loaded and judged alone: nothing else is looked at, so nothing else can be wrong."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from config import BinanceCredentials, BybitCredentials, ConfigError, LoggingSettings, RedisConfig, StreamingSettings
from config.models import ExchangeCredentials
from tests.key_generators import binance_hmac_pair, bybit_hmac_pair

EVERYTHING_ELSE_IS_WRONG = {
    "NAUTILUS_TRADER_ID": "PROD",
    "NAUTILUS_LOG_LEVEL": "CRITICAL",
    "NAUTILUS_FLUSH_INTERVAL_MS": "soon",
    "REDIS_PORT": "none",
    "BINANCE_ACCOUNT_TYPE": "OPTIONS",
    "BYBIT_PRODUCT_TYPES": "SWAPS",
}
# A good value of the variable that is wrong above.
SECTIONS = {
    RedisConfig: {"REDIS_PORT": "6380"},
    LoggingSettings: {"NAUTILUS_LOG_LEVEL": "WARN"},
    StreamingSettings: {"NAUTILUS_FLUSH_INTERVAL_MS": "500"},
    BinanceCredentials: {"BINANCE_ACCOUNT_TYPE": "SPOT"},
    BybitCredentials: {"BYBIT_PRODUCT_TYPES": "SPOT"},
}


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_is_good_whatever_the_others_are(section: type[RedisConfig]) -> None:
    found = section.from_env(None, {**EVERYTHING_ELSE_IS_WRONG, **SECTIONS[section]})
    assert isinstance(found, section)
    assert section() != found


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_tells_its_own_problems_and_no_others(section: type[RedisConfig]) -> None:
    with pytest.raises(ConfigError) as caught:
        section.from_env(None, EVERYTHING_ELSE_IS_WRONG)
    assert [*SECTIONS[section]] == [problem.key for problem in caught.value.problems]


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_of_which_nothing_is_said_is_its_defaults(section: type[RedisConfig]) -> None:
    assert section() == section.from_env(None, {})


def test_a_venue_gets_the_key_of_its_environment() -> None:
    key, secret = binance_hmac_pair(Random(1))
    environ = {"BINANCE_ENVIRONMENT": "DEMO", "BINANCE_DEMO_API_KEY": key, "BINANCE_DEMO_API_SECRET": secret}
    found = BinanceCredentials.from_env(None, environ)
    assert ("DEMO", key) == (found.environment, found.api_key and found.api_key.get_secret_value())


def test_a_key_of_another_environment_is_refused_here_too() -> None:
    key, secret = bybit_hmac_pair(Random(1))
    environ = {"BYBIT_ENVIRONMENT": "TESTNET", "BYBIT_DEMO_API_KEY": key, "BYBIT_DEMO_API_SECRET": secret}
    with pytest.raises(ConfigError) as caught:
        BybitCredentials.from_env(None, environ)
    assert (5, "TN503") == (caught.value.exit_code, caught.value.problems[0].code)


def test_a_line_that_sets_nothing_might_have_been_of_the_section(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text('REDIS_HOST="localhost\n')
    with pytest.raises(ConfigError) as caught:
        RedisConfig.from_env(path, {})
    assert ["TN404"] == [problem.code for problem in caught.value.problems]


def test_what_is_no_section_of_the_settings_is_refused_by_name() -> None:
    with pytest.raises(
        TypeError, match="ExchangeCredentials is no section of the settings; these are: binance, bybit, redis"
    ):
        ExchangeCredentials.from_env(None, {})
