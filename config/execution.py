"""Nautilus' execution engine: reconciliation at start, checks while running, bounded memory."""

from __future__ import annotations

from nautilus_trader.config import LiveExecEngineConfig

from config.models import TradingNodeSettings

# Nautilus wants a delay above zero.
STARTUP_DELAY_SECS_MIN = 0.001


def build_exec_engine_config(settings: TradingNodeSettings) -> LiveExecEngineConfig:
    """Return the execution engine's configuration.

    The checks of open orders and positions detect what differs from the venue, they do not repair it. Simulated execution has no
    venue to reconcile with.
    """
    return LiveExecEngineConfig(
        reconciliation=settings.execution == "VENUE",
        reconciliation_lookback_mins=settings.reconciliation_lookback_mins,
        reconciliation_startup_delay_secs=max(settings.reconciliation_startup_delay_secs, STARTUP_DELAY_SECS_MIN),
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
    )
