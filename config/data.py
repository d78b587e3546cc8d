"""Nautilus' data engine."""

from __future__ import annotations

from nautilus_trader.config import LiveDataEngineConfig


def build_data_engine_config() -> LiveDataEngineConfig:
    """Return the data engine's configuration: data out of sequence is dropped, an exception stops the node cleanly."""
    return LiveDataEngineConfig(validate_data_sequence=True, graceful_shutdown_on_exception=True)
