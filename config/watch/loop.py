"""The event loop while a node runs: a strategy that waits or computes in it stops everything, and nobody hears of it."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from config.live.threads import start_unsignalled

# Longer than any garbage collection, shorter than what makes a health check fail.
STALLED_SECS = 3.0
# So many beats in that time.
BEATS = 10


class LoopWatch:
    """A thread that sees when the event loop stands still, and where; a context manager, entered where the loop runs.

    Parameters
    ----------
    on_change : callable
        Called from the thread when the loop has stood still for three seconds, with the lines of code that it is in, and when
        it turns again.

    """

    def __init__(self, on_change: Callable[[bool, str], object], *, stalled_secs: float = STALLED_SECS) -> None:
        self._on_change = on_change
        self._limit = stalled_secs
        self._beat = time.monotonic()
        self._main = threading.get_ident()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loop-watch", daemon=True)

    @property
    def lag(self) -> float:
        """Seconds that the loop is late, as of now."""
        return max(0.0, time.monotonic() - self._beat - self._limit / BEATS)

    async def beat(self) -> None:
        """Show that the loop turns, until cancelled."""
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(self._limit / BEATS)

    def __enter__(self) -> Self:
        self._beat = time.monotonic()
        start_unsignalled(self._thread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        since: float | None = None
        while not self._done.wait(self._limit / BEATS):
            lag = self.lag
            if since is None and lag > self._limit:
                since = self._beat
                self._on_change(True, f"the event loop has stood still for {lag:.1f} s, in {self._where()}")
            elif since is not None and lag < self._limit:
                self._on_change(False, f"the event loop turns again, after {self._beat - since:.1f} s")
                since = None

    def _where(self) -> str:
        """Return the innermost lines of code; nothing of their values."""
        frame = sys._current_frames().get(self._main)
        stack = traceback.extract_stack(frame)[-3:] if frame is not None else []
        return " > ".join(f"{Path(line.filename).name}:{line.lineno} {line.name}" for line in stack)
