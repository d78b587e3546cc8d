"""The data engine."""

from __future__ import annotations

import pytest
from nautilus_trader.config import LiveDataEngineConfig

from config.data import build_data_engine_config


@pytest.mark.parametrize("field", ["validate_data_sequence", "graceful_shutdown_on_exception"])
def test_production_value_that_nautilus_leaves_off(field: str) -> None:
    assert (False, True) == (getattr(LiveDataEngineConfig(), field), getattr(build_data_engine_config(), field))
