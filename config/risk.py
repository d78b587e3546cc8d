"""Nautilus' risk engine, never bypassed."""

from __future__ import annotations

from nautilus_trader.config import LiveRiskEngineConfig

from config.models import TradingNodeSettings


def build_risk_engine_config(settings: TradingNodeSettings) -> LiveRiskEngineConfig:
    """Return the risk engine's configuration; the rates count the orders of the whole node."""
    return LiveRiskEngineConfig(
        bypass=False,
        max_order_submit_rate=settings.max_order_submit_rate,
        max_order_modify_rate=settings.max_order_modify_rate,
        max_notional_per_order=dict(settings.max_notional_per_order),
        graceful_shutdown_on_exception=True,
    )
