"""How often what changed to which state: counted where it happens, read by whoever makes metrics of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import MappingProxyType


class Changes:
    """What has changed in this process, and to which state, since it started; any thread may count and read.

    There is one for a node, endpoint or not: counting takes half a microsecond and imports nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: dict[tuple[str, str], int] = {}

    def count(self, what: str, to: str) -> None:
        """Count that ``what`` is now ``to``, such as ``redis`` and ``lost``.

        Words from a small set, never a sentence, an id or a number: every pair is kept for ever, and is a time series.
        """
        with self._lock:
            self._totals[what, to] = self._totals.get((what, to), 0) + 1

    @property
    def totals(self) -> Mapping[tuple[str, str], int]:
        """How often each change was counted, as of now."""
        with self._lock:
            return MappingProxyType(dict(self._totals))
