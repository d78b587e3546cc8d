"""Nautilus' logging, on stdout and in rotated files."""

from __future__ import annotations

from typing import Any

from nautilus_trader.config import LoggingConfig

from config.models import LoggingSettings

MIB = 1024 * 1024
FILE_FORMATS: dict[str, str | None] = {"text": None, "json": "JSON"}


def build_logging_config(logging: LoggingSettings) -> LoggingConfig:
    """Return the logging configuration; without a directory, or at file level OFF, no file is written."""
    file: dict[str, Any] = {}
    if logging.log_directory is not None and logging.log_level_file != "OFF":
        file = {
            "log_level_file": logging.log_level_file,
            "log_directory": str(logging.log_directory),
            "log_file_name": logging.log_file_name,
            "log_file_format": FILE_FORMATS[logging.log_format],
            "log_file_max_size": logging.max_size_mb * MIB,
            "log_file_max_backup_count": logging.max_backup_count,
        }
    return LoggingConfig(
        log_level=logging.log_level,
        log_component_levels=dict(logging.log_component_levels) or None,
        log_colors=logging.log_colors,
        **file,
    )
