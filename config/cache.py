"""Nautilus' cache, backed by Redis where Redis is."""

from __future__ import annotations

from nautilus_trader.config import CacheConfig

from config.masking import RedisCacheConfig, RedisDatabaseConfig
from config.models import RedisConfig

# Nautilus' default of 100 retries keeps the constructor busy for hours on a dead Redis, deaf to signals. Up to 8 take about 2 s.
CONNECTION_RETRIES = 5
BUFFER_INTERVAL_MS = 100


def build_cache_config(redis: RedisConfig | None) -> CacheConfig:
    """Return the cache configuration: msgpack, ISO 8601 timestamps, 100 ms write buffer, never flushed; in memory without Redis.

    Parameters
    ----------
    redis : RedisConfig or None
        The server; None keeps the cache in memory.

    """
    if redis is None:
        return CacheConfig()
    return RedisCacheConfig(
        database=RedisDatabaseConfig(
            type="redis",
            host=redis.host,
            port=redis.port,
            username=redis.username,
            password=None if redis.password is None else redis.password.get_secret_value(),
            ssl=redis.ssl,
            connection_timeout=redis.timeout,
            response_timeout=redis.timeout,
            number_of_retries=CONNECTION_RETRIES,
        ),
        encoding="msgpack",
        timestamps_as_iso8601=True,
        buffer_interval_ms=BUFFER_INTERVAL_MS,
        flush_on_start=False,
    )
