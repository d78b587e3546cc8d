"""The execution engine: reconciliation, the checks while running, and what is purged."""

from __future__ import annotations

from typing import Any

import pytest

from config.execution import build_exec_engine_config
from config.models import TradingNodeSettings


def build(**values: Any) -> Any:
    return build_exec_engine_config(TradingNodeSettings(trader_id="TRADER-001", **values))


@pytest.mark.parametrize(
    "field, expected",
    [
        ("reconciliation", True),
        ("reconciliation_lookback_mins", None),
        ("reconciliation_startup_delay_secs", 10.0),
        ("inflight_check_interval_ms", 2_000),
        ("inflight_check_threshold_ms", 5_000),
        ("inflight_check_retries", 5),
        ("open_check_interval_secs", 5.0),
        ("open_check_lookback_mins", 60),
        ("position_check_interval_secs", 60.0),
        ("snapshot_positions", True),
        ("snapshot_positions_interval_secs", 60.0),
        ("purge_closed_orders_interval_mins", 15),
        ("purge_closed_orders_buffer_mins", 60),
        ("purge_closed_positions_interval_mins", 15),
        ("purge_closed_positions_buffer_mins", 60),
        ("purge_account_events_interval_mins", 15),
        ("purge_account_events_lookback_mins", 60),
        ("purge_from_database", False),
        ("graceful_shutdown_on_exception", True),
    ],
)
def test_production_value(field: str, expected: object) -> None:
    assert expected == getattr(build(), field)


@pytest.mark.parametrize(
    "setting, given, field, expected",
    [
        ("reconciliation_lookback_mins", 1440, "reconciliation_lookback_mins", 1440),
        ("reconciliation_startup_delay_secs", 25.5, "reconciliation_startup_delay_secs", 25.5),
        ("execution", "SIMULATED", "reconciliation", False),
        ("execution", "SIMULATED", "inflight_check_interval_ms", 0),
        ("execution", "SIMULATED", "open_check_interval_secs", None),
        ("execution", "SIMULATED", "position_check_interval_secs", None),
    ],
)
def test_each_setting_reaches_the_engine(setting: str, given: Any, field: str, expected: object) -> None:
    assert expected == getattr(build(**{setting: given}), field)


def test_a_startup_delay_of_zero_becomes_the_least_that_nautilus_takes() -> None:
    assert 0 < build(reconciliation_startup_delay_secs=0).reconciliation_startup_delay_secs <= 0.01
