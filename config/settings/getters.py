"""Settings read once for a whole script: what the environment said at the first call stays.

Each getter has ``cache_clear()``, for tests and for a script that changes its own environment.
"""

from __future__ import annotations

from functools import cache

from config.models import (
    BinanceCredentials,
    BybitCredentials,
    LoggingSettings,
    RedisConfig,
    StreamingSettings,
    TradingNodeSettings,
)


@cache
def get_settings(preset: str | None = None) -> TradingNodeSettings:
    """Return the settings of the environment, read at the first call for each preset.

    Parameters
    ----------
    preset : {'production', 'testnet', 'sandbox'}, optional
        As for :meth:`config.models.TradingNodeSettings.from_env`.

    Raises
    ------
    ConfigError
        With every problem at once; a failure is not kept.

    """
    return TradingNodeSettings.from_env(preset=preset)


@cache
def get_redis_config() -> RedisConfig:
    """Return the Redis section alone; raises ConfigError with its problems."""
    return RedisConfig.from_env()


@cache
def get_logging_settings() -> LoggingSettings:
    """Return the logging section alone; raises ConfigError with its problems."""
    return LoggingSettings.from_env()


@cache
def get_streaming_settings() -> StreamingSettings:
    """Return the streaming section alone; raises ConfigError with its problems."""
    return StreamingSettings.from_env()


@cache
def get_binance_credentials() -> BinanceCredentials:
    """Return the Binance section alone; raises ConfigError with its problems."""
    return BinanceCredentials.from_env()


@cache
def get_bybit_credentials() -> BybitCredentials:
    """Return the Bybit section alone; raises ConfigError with its problems."""
    return BybitCredentials.from_env()
