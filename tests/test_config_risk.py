"""The risk engine."""

from __future__ import annotations

from typing import Any

import pytest

from config.models import TradingNodeSettings
from config.risk import build_risk_engine_config


def build(**values: Any) -> Any:
    return build_risk_engine_config(TradingNodeSettings(trader_id="TRADER-001", **values))


@pytest.mark.parametrize(
    "field, expected",
    [
        ("bypass", False),
        ("graceful_shutdown_on_exception", True),
        ("max_order_submit_rate", "20/00:00:01"),
        ("max_order_modify_rate", "20/00:00:01"),
        ("max_notional_per_order", {}),
    ],
)
def test_production_value(field: str, expected: object) -> None:
    assert expected == getattr(build(), field)


@pytest.mark.parametrize(
    "setting, given",
    [
        ("max_order_submit_rate", "300/00:00:10"),
        ("max_order_modify_rate", "5/00:01:00"),
        ("max_notional_per_order", {"BTCUSDT-PERP.BINANCE": 50_000, "ETHUSDT-LINEAR.BYBIT": 9}),
    ],
)
def test_each_setting_reaches_the_engine(setting: str, given: Any) -> None:
    assert given == getattr(build(**{setting: given}), setting)


def test_the_limits_in_the_config_are_not_those_of_the_settings_object() -> None:
    """A frozen settings object must not change when somebody changes the mapping inside a built config."""
    settings = TradingNodeSettings(trader_id="TRADER-001", max_notional_per_order={"BTCUSDT-PERP.BINANCE": 1})
    build_risk_engine_config(settings).max_notional_per_order.clear()
    assert {"BTCUSDT-PERP.BINANCE": 1} == settings.max_notional_per_order
