"""Nautilus' streaming of market data and events to the catalog."""

from __future__ import annotations

import pandas as pd
from nautilus_trader.config import StreamingConfig
from nautilus_trader.persistence.writer import RotationMode
from nautilus_trader.serialization.arrow.serializer import list_schemas

from config.models import StreamingSettings

MIB = 1024 * 1024
ROTATION_MODES = {"NONE": RotationMode.NO_ROTATION, "SIZE": RotationMode.SIZE, "TIME": RotationMode.INTERVAL}


def build_streaming_config(streaming: StreamingSettings | None) -> StreamingConfig | None:
    """Return the streaming configuration, None where streaming is off.

    Only types with a schema are written: the writer raises KeyError on the others, reconciliation's mass status among them.

    Parameters
    ----------
    streaming : StreamingSettings or None
        Its ``catalog_path`` must be set; the factory fills it in.

    """
    if streaming is None:
        return None
    return StreamingConfig(
        catalog_path=str(streaming.catalog_path),
        flush_interval_ms=streaming.flush_interval_ms,
        include_types=sorted(list_schemas(), key=lambda kind: f"{kind.__module__}.{kind.__qualname__}"),
        rotation_mode=ROTATION_MODES[streaming.rotation_mode],
        max_file_size=streaming.max_file_size_mb * MIB,
        rotation_interval=pd.Timedelta(minutes=streaming.rotation_interval_mins)
        if streaming.rotation_mode == "TIME"
        else None,
    )
