"""What a careful user writes without this project: a testnet configuration of both venues, from ``os.environ``.

It checks nothing; a missing variable is a KeyError. Its fields equal those of ours (tests/test_benchmarks.py).
As a script it builds the configuration once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from nautilus_trader.adapters.binance.common.enums import BinanceAccountType, BinanceEnvironment
from nautilus_trader.adapters.binance.config import BinanceDataClientConfig, BinanceExecClientConfig
from nautilus_trader.adapters.bybit.config import BybitDataClientConfig, BybitExecClientConfig
from nautilus_trader.common import Environment
from nautilus_trader.config import (
    CacheConfig,
    DatabaseConfig,
    InstrumentProviderConfig,
    LiveDataEngineConfig,
    LiveExecEngineConfig,
    LiveRiskEngineConfig,
    LoggingConfig,
    TradingNodeConfig,
)
from nautilus_trader.core.nautilus_pyo3 import BybitEnvironment, BybitProductType


class BybitPublicConfig(BybitDataClientConfig, frozen=True):
    """Bybit's data client configuration, and the root of the public WebSocket, which Nautilus cannot be told."""

    base_url_ws_public: str | None = None


def build_config(environ: Mapping[str, str]) -> TradingNodeConfig:
    stop = float(environ["NAUTILUS_STOP_TIMEOUT"])
    retries: dict[str, Any] = {"max_retries": 3, "retry_delay_initial_ms": 1_000, "retry_delay_max_ms": 10_000}
    binance: dict[str, Any] = {
        "api_key": environ["BINANCE_FUTURES_TESTNET_API_KEY"],
        "api_secret": environ["BINANCE_FUTURES_TESTNET_API_SECRET"],
        "account_type": BinanceAccountType[environ["BINANCE_ACCOUNT_TYPE"]],
        "environment": BinanceEnvironment.TESTNET,
        "base_url_http": environ["BINANCE_BASE_URL_HTTP"],
        "instrument_provider": InstrumentProviderConfig(load_all=True),
    }
    bybit: dict[str, Any] = {
        "api_key": environ["BYBIT_TESTNET_API_KEY"],
        "api_secret": environ["BYBIT_TESTNET_API_SECRET"],
        "product_types": tuple(getattr(BybitProductType, name) for name in environ["BYBIT_PRODUCT_TYPES"].split(",")),
        "environment": BybitEnvironment.TESTNET,
        "base_url_http": environ["BYBIT_BASE_URL_HTTP"],
        "instrument_provider": InstrumentProviderConfig(load_all=True),
        "recv_window_ms": 5_000,
        **retries,
    }
    redis_timeout = int(environ["REDIS_TIMEOUT"])
    return TradingNodeConfig(
        environment=Environment.SANDBOX,
        trader_id=environ["NAUTILUS_TRADER_ID"],
        cache=CacheConfig(
            database=DatabaseConfig(
                type="redis",
                host=environ["REDIS_HOST"],
                port=int(environ["REDIS_PORT"]),
                password=environ["REDIS_PASSWORD"],
                ssl=False,
                connection_timeout=redis_timeout,
                response_timeout=redis_timeout,
                number_of_retries=5,
            ),
            encoding="msgpack",
            timestamps_as_iso8601=True,
            buffer_interval_ms=100,
            flush_on_start=False,
        ),
        data_engine=LiveDataEngineConfig(validate_data_sequence=True, graceful_shutdown_on_exception=True),
        risk_engine=LiveRiskEngineConfig(
            bypass=False,
            max_order_submit_rate=environ["NAUTILUS_MAX_ORDER_SUBMIT_RATE"],
            max_order_modify_rate=environ["NAUTILUS_MAX_ORDER_MODIFY_RATE"],
            graceful_shutdown_on_exception=True,
        ),
        exec_engine=LiveExecEngineConfig(
            reconciliation=True,
            reconciliation_startup_delay_secs=float(environ["NAUTILUS_RECONCILIATION_STARTUP_DELAY_SECS"]),
            inflight_check_interval_ms=2_000,
            inflight_check_threshold_ms=5_000,
            inflight_check_retries=5,
            open_check_interval_secs=5.0,
            open_check_lookback_mins=60,
            position_check_interval_secs=60.0,
            snapshot_positions=True,
            snapshot_positions_interval_secs=60.0,
            purge_closed_orders_interval_mins=15,
            purge_closed_orders_buffer_mins=60,
            purge_closed_positions_interval_mins=15,
            purge_closed_positions_buffer_mins=60,
            purge_account_events_interval_mins=15,
            purge_account_events_lookback_mins=60,
            graceful_shutdown_on_exception=True,
        ),
        logging=LoggingConfig(
            log_level=environ["NAUTILUS_LOG_LEVEL"],
            log_level_file=environ["NAUTILUS_LOG_LEVEL_FILE"],
            log_directory=f"{environ['NAUTILUS_STATE_DIR']}/logs",
            log_file_max_size=int(environ["NAUTILUS_LOG_MAX_SIZE_MB"]) * 1024 * 1024,
            log_file_max_backup_count=int(environ["NAUTILUS_LOG_MAX_BACKUP_COUNT"]),
            log_colors=False,
        ),
        data_clients={
            "BINANCE": BinanceDataClientConfig(**binance, base_url_ws=environ["BINANCE_BASE_URL_WS"]),
            "BYBIT": BybitPublicConfig(**bybit, base_url_ws_public=environ["BYBIT_BASE_URL_WS_PUBLIC"]),
        },
        exec_clients={
            "BINANCE": BinanceExecClientConfig(
                **binance,
                **retries,
                base_url_ws=environ["BINANCE_BASE_URL_WS_API"],
                base_url_ws_stream=environ["BINANCE_BASE_URL_WS_STREAM"],
                recv_window_ms=5_000,
            ),
            "BYBIT": BybitExecClientConfig(
                **bybit,
                base_url_ws_private=environ["BYBIT_BASE_URL_WS_PRIVATE"],
                base_url_ws_trade=environ["BYBIT_BASE_URL_WS_TRADE"],
            ),
        },
        load_state=True,
        save_state=True,
        timeout_connection=float(environ["NAUTILUS_CONNECTION_TIMEOUT"]),
        timeout_reconciliation=float(environ["NAUTILUS_RECONCILIATION_TIMEOUT"]),
        timeout_post_stop=stop * 0.1,
        timeout_disconnection=stop / 3,
        timeout_shutdown=stop / 6,
    )


if __name__ == "__main__":
    build_config(os.environ)
