"""The cache: what reaches Nautilus' CacheConfig and DatabaseConfig."""

from __future__ import annotations

from typing import Any

import pytest
from nautilus_trader.config import CacheConfig
from pydantic import SecretStr

from config.cache import build_cache_config
from config.models import RedisConfig


def database(**redis: Any) -> dict[str, Any]:
    found = build_cache_config(RedisConfig(**redis)).database
    assert found is not None
    return dict(found.dict())


def test_without_redis_the_cache_is_in_memory_as_nautilus_has_it() -> None:
    assert CacheConfig() == build_cache_config(None)


@pytest.mark.parametrize(
    "field, expected",
    [
        ("encoding", "msgpack"),
        ("timestamps_as_iso8601", True),
        ("buffer_interval_ms", 100),
        ("flush_on_start", False),
        ("use_trader_prefix", True),
        ("use_instance_id", False),
    ],
)
def test_production_value(field: str, expected: object) -> None:
    assert expected == getattr(build_cache_config(RedisConfig()), field)


@pytest.mark.parametrize(
    "setting, given, field, expected",
    [
        ("host", "redis.internal", "host", "redis.internal"),
        ("port", 6380, "port", 6380),
        ("username", "trader", "username", "trader"),
        ("password", SecretStr("pa${ss}#word"), "password", "pa${ss}#word"),
        ("ssl", True, "ssl", True),
        ("timeout", 7, "connection_timeout", 7),
        ("timeout", 7, "response_timeout", 7),
    ],
)
def test_each_redis_setting_reaches_the_database(setting: str, given: Any, field: str, expected: object) -> None:
    assert expected == database(**{setting: given})[field]
    assert expected != database()[field]


def test_what_is_not_set_is_redis_own_default() -> None:
    expected = ("redis", "localhost", 6379, None, None, False)
    made = database()
    assert expected == tuple(made[name] for name in ("type", "host", "port", "username", "password", "ssl"))


def test_timeouts_are_whole_seconds_as_rust_wants_them() -> None:
    made = database(timeout=3)
    assert [int, int] == [type(made[name]) for name in ("connection_timeout", "response_timeout")]


def test_retries_are_bounded_to_seconds_rather_than_nautilus_hours() -> None:
    """The waits double: 8 retries take about 2 s, 12 take 15 s, Nautilus' own 100 never end."""
    assert 1 <= database()["number_of_retries"] <= 8
