"""Whether two configurations of Nautilus say the same, field by field, secrets revealed; their classes may differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec


def differences(ours: Any, theirs: Any, path: str = "config") -> Iterator[str]:
    """Yield the path of each field that differs, or that only one of them has."""
    if isinstance(ours, msgspec.Struct) and isinstance(theirs, msgspec.Struct):
        left, right = ({name: getattr(side, name) for name in side.__struct_fields__} for side in (ours, theirs))
        yield from differences(left, right, path)
    elif isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        yield from (f"{path}.{name}" for name in ours.keys() ^ theirs.keys())
        for name in ours.keys() & theirs.keys():
            yield from differences(ours[name], theirs[name], f"{path}.{name}")
    elif ours != theirs:
        yield path
