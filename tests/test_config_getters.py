"""Cached getters read the environment once, fail with every problem, and keep no failure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import config
from config import ConfigError
from config.settings import getters

GETTERS = [getattr(getters, name) for name in sorted(vars(getters)) if name.startswith("get_")]


@pytest.fixture(autouse=True)
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAUTILUS_TRADER_ID", "TRADER-001")
    monkeypatch.setenv("REDIS_HOST", "localhost")
    yield
    for getter in GETTERS:
        getter.cache_clear()


@pytest.mark.parametrize("getter", GETTERS)
def test_each_getter_is_importable_from_the_package_and_reads_once(
    getter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert getter is getattr(config, getter.__name__)
    first = getter()
    monkeypatch.setenv("REDIS_HOST", "elsewhere")
    monkeypatch.setenv("NAUTILUS_LOG_LEVEL", "no level")
    assert first is getter()


def test_a_cleared_getter_reads_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "localhost" == getters.get_redis_config().host
    monkeypatch.setenv("REDIS_HOST", "elsewhere")
    getters.get_redis_config.cache_clear()
    assert "elsewhere" == getters.get_redis_config().host


def test_settings_are_kept_for_each_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAUTILUS_VENUES", "BINANCE")
    assert (None, "sandbox") == (getters.get_settings().preset, getters.get_settings("sandbox").preset)


def test_a_failure_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PORT", "none")
    with pytest.raises(ConfigError):
        getters.get_redis_config()
    monkeypatch.setenv("REDIS_PORT", "6380")
    assert 6380 == getters.get_redis_config().port
