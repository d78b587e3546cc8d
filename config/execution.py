"""Nautilus' execution engine: reconciliation at start, checks while running, bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nautilus_trader.config import LiveExecEngineConfig

from config.models import TradingNodeSettings

# Nautilus wants a delay above zero.
STARTUP_DELAY_SECS_MIN = 0.001

NO_CHECKS: Mapping[str, Any] = {
    "reconciliation": False,
    "inflight_check_interval_ms": 0,
    "open_check_interval_secs": None,
    "position_check_interval_secs": None,
}
CHECKS: Mapping[str, Mapping[str, Any]] = {
    "VENUE": {
        "reconciliation": True,
        "inflight_check_interval_ms": 2_000,
        "inflight_check_threshold_ms": 5_000,
        "inflight_check_retries": 5,
        "open_check_interval_secs": 5.0,
        "open_check_lookback_mins": 60,
        "position_check_interval_secs": 60.0,
    },
    "SIMULATED": NO_CHECKS,
    "NONE": NO_CHECKS,
}


def build_exec_engine_config(settings: TradingNodeSettings) -> LiveExecEngineConfig:
    """Return the execution engine's configuration.

    Simulated execution has no venue to reconcile with or to check against: its client answers every question with nothing,
    and the engine would close the books' orders and positions one after the other.
    """
    return LiveExecEngineConfig(
        **CHECKS[settings.execution],
        reconciliation_lookback_mins=settings.reconciliation_lookback_mins,
        reconciliation_startup_delay_secs=max(settings.reconciliation_startup_delay_secs, STARTUP_DELAY_SECS_MIN),
        snapshot_positions=True,
        snapshot_positions_interval_secs=60.0,
        purge_closed_orders_interval_mins=15,
        purge_closed_orders_buffer_mins=60,
        purge_closed_positions_interval_mins=15,
        purge_closed_positions_buffer_mins=60,
        purge_account_events_interval_mins=15,
        purge_account_events_lookback_mins=60,
        graceful_shutdown_on_exception=True,
    )
