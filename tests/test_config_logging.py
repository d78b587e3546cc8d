"""Logging on stdout and in rotated files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.logging_config import build_logging_config
from config.models import LoggingSettings

FOLDER = Path("/var/log/tradingnode")


def build(**values: Any) -> Any:
    return build_logging_config(LoggingSettings(**{"log_directory": FOLDER, **values}))


@pytest.mark.parametrize(
    "field, expected",
    [
        ("log_level", "INFO"),
        ("log_level_file", "DEBUG"),
        ("log_directory", "/var/log/tradingnode"),
        ("log_file_name", None),
        ("log_file_format", None),
        ("log_file_max_size", 100 * 1024 * 1024),
        ("log_file_max_backup_count", 10),
        ("log_component_levels", None),
        ("log_colors", False),
        ("bypass_logging", False),
    ],
)
def test_production_value(field: str, expected: object) -> None:
    assert expected == getattr(build(), field)


@pytest.mark.parametrize(
    "setting, given, field, expected",
    [
        ("log_level", "warn", "log_level", "WARN"),
        ("log_level_file", "trace", "log_level_file", "TRACE"),
        ("log_file_name", "node", "log_file_name", "node"),
        ("log_format", "json", "log_file_format", "JSON"),
        ("log_component_levels", "RiskEngine=debug,A=off", "log_component_levels", {"RiskEngine": "DEBUG", "A": "OFF"}),
        ("log_colors", True, "log_colors", True),
        ("max_size_mb", 10, "log_file_max_size", 10_485_760),
        ("max_backup_count", 3, "log_file_max_backup_count", 3),
    ],
)
def test_each_setting_reaches_nautilus_in_its_own_words(setting: str, given: Any, field: str, expected: object) -> None:
    assert expected == getattr(build(**{setting: given}), field)


def test_the_directory_is_text_as_rust_wants_it() -> None:
    assert str is type(build().log_directory)


@pytest.mark.parametrize("values", [{"log_directory": None}, {"log_level_file": "OFF"}])
def test_without_a_directory_or_a_level_no_file_is_asked_for(values: dict[str, Any]) -> None:
    """Nautilus writes a file as soon as it has a level for it, into the working directory if it has no other."""
    made = build(log_format="json", log_file_name="node", **values)
    assert (None, None, None) == (made.log_level_file, made.log_directory, made.log_file_name)
