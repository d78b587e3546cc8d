"""Streaming to the catalog: rotation, and which types are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from nautilus_trader.execution.reports import ExecutionMassStatus
from nautilus_trader.model.data import QuoteTick, TradeTick
from nautilus_trader.model.events import OrderFilled
from nautilus_trader.persistence.writer import RotationMode

from config.models import StreamingSettings
from config.streaming import build_streaming_config


def build(**values: Any) -> Any:
    return build_streaming_config(StreamingSettings(catalog_path=Path("/var/lib/catalog"), **values))


def test_streaming_that_is_absent_is_off() -> None:
    assert build_streaming_config(None) is None


@pytest.mark.parametrize(
    "values, mode, size, interval",
    [
        ({}, RotationMode.SIZE, 134_217_728, None),
        ({"rotation_mode": "size", "max_file_size_mb": 16}, RotationMode.SIZE, 16_777_216, None),
        ({"rotation_mode": "TIME"}, RotationMode.INTERVAL, 134_217_728, pd.Timedelta(hours=1)),
        (
            {"rotation_mode": "TIME", "rotation_interval_mins": 1440},
            RotationMode.INTERVAL,
            134_217_728,
            pd.Timedelta(days=1),
        ),
        ({"rotation_mode": "NONE"}, RotationMode.NO_ROTATION, 134_217_728, None),
        ({"rotation_mode": "SIZE", "rotation_interval_mins": 5}, RotationMode.SIZE, 134_217_728, None),
    ],
)
def test_rotation(values: dict[str, Any], mode: RotationMode, size: int, interval: object) -> None:
    made = build(**values)
    assert (mode, size, interval) == (made.rotation_mode, made.max_file_size, made.rotation_interval)


@pytest.mark.parametrize(
    "values, field, expected",
    [
        ({}, "catalog_path", "/var/lib/catalog"),
        ({}, "flush_interval_ms", 2000),
        ({"flush_interval_ms": 100}, "flush_interval_ms", 100),
        ({}, "replace_existing", False),
    ],
)
def test_each_setting_reaches_nautilus(values: dict[str, Any], field: str, expected: object) -> None:
    assert expected == getattr(build(**values), field)


@pytest.mark.parametrize("kind", [QuoteTick, TradeTick, OrderFilled])
def test_market_data_and_events_are_written(kind: type) -> None:
    assert kind in build().include_types


def test_the_report_that_makes_nautilus_writer_raise_is_left_out() -> None:
    assert ExecutionMassStatus not in build().include_types


def test_the_types_come_in_one_order_so_that_two_configs_compare() -> None:
    names = [f"{kind.__module__}.{kind.__qualname__}" for kind in build().include_types]
    assert sorted(names) == names
    assert len(set(names)) == len(names)
