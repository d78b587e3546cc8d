"""From the environment to a running NautilusTrader TradingNode.

Every name is imported when it is first used: a health check must not pay for pydantic, nor a settings check for nautilus.
"""

from __future__ import annotations

# Not typing's own: importing that costs a health check as much as starting the interpreter.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from config.cache import build_cache_config
    from config.clients.binance import build_binance_data_client_config, build_binance_exec_client_config
    from config.clients.bybit import build_bybit_data_client_config, build_bybit_exec_client_config
    from config.clients.sandbox import build_sandbox_exec_client_config
    from config.data import build_data_engine_config
    from config.execution import build_exec_engine_config
    from config.factory import TradingNodeConfigFactory
    from config.live.node import build_node
    from config.logging_config import build_logging_config
    from config.models import (
        BinanceCredentials,
        BybitCredentials,
        ConfigEnvironment,
        ExchangeCredentials,
        LoggingSettings,
        RedisConfig,
        StreamingSettings,
        TradingNodeSettings,
    )
    from config.problems import ConfigError
    from config.risk import build_risk_engine_config
    from config.settings.getters import (
        get_binance_credentials,
        get_bybit_credentials,
        get_logging_settings,
        get_redis_config,
        get_settings,
        get_streaming_settings,
    )
    from config.settings.loading import validate_all
    from config.streaming import build_streaming_config

_HOMES = {
    "BinanceCredentials": "models",
    "BybitCredentials": "models",
    "ConfigEnvironment": "models",
    "ConfigError": "problems",
    "ExchangeCredentials": "models",
    "LoggingSettings": "models",
    "RedisConfig": "models",
    "StreamingSettings": "models",
    "TradingNodeConfigFactory": "factory",
    "TradingNodeSettings": "models",
    "build_binance_data_client_config": "clients.binance",
    "build_binance_exec_client_config": "clients.binance",
    "build_bybit_data_client_config": "clients.bybit",
    "build_bybit_exec_client_config": "clients.bybit",
    "build_cache_config": "cache",
    "build_data_engine_config": "data",
    "build_exec_engine_config": "execution",
    "build_logging_config": "logging_config",
    "build_node": "live.node",
    "build_risk_engine_config": "risk",
    "build_sandbox_exec_client_config": "clients.sandbox",
    "build_streaming_config": "streaming",
    "get_binance_credentials": "settings.getters",
    "get_bybit_credentials": "settings.getters",
    "get_logging_settings": "settings.getters",
    "get_redis_config": "settings.getters",
    "get_settings": "settings.getters",
    "get_streaming_settings": "settings.getters",
    "validate_all": "settings.loading",
}

__all__ = [
    "BinanceCredentials",
    "BybitCredentials",
    "ConfigEnvironment",
    "ConfigError",
    "ExchangeCredentials",
    "LoggingSettings",
    "RedisConfig",
    "StreamingSettings",
    "TradingNodeConfigFactory",
    "TradingNodeSettings",
    "build_binance_data_client_config",
    "build_binance_exec_client_config",
    "build_bybit_data_client_config",
    "build_bybit_exec_client_config",
    "build_cache_config",
    "build_data_engine_config",
    "build_exec_engine_config",
    "build_logging_config",
    "build_node",
    "build_risk_engine_config",
    "build_sandbox_exec_client_config",
    "build_streaming_config",
    "get_binance_credentials",
    "get_bybit_credentials",
    "get_logging_settings",
    "get_redis_config",
    "get_settings",
    "get_streaming_settings",
    "validate_all",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
