"""What the node said last and how long ago: told by its event loop, read by any thread, also while that loop is stuck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from config.health.heartbeat import Condition
from config.health.readiness_file import MAX_AGE_SECS, REASON_MAX, printable, utc
from config.live.changes import Changes


class Word(NamedTuple):
    """One condition, since when the node is in its state (Unix time), and when it said so last (seconds, monotonic)."""

    condition: Condition
    since: float
    heard: float


class Pulse:
    """The last word of a node, which says every second what it is doing.

    Parameters
    ----------
    changes : Changes
        Where each change of the node's state is counted, as one of ``state``.
    max_age : float
        Seconds without a word after which the event loop counts as stuck.
    clock, monotonic : callable, optional
        Unix time, and seconds since some point of this boot.

    """

    def __init__(
        self,
        changes: Changes,
        *,
        max_age: float = MAX_AGE_SECS,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changes, self._max_age, self._clock, self._monotonic = changes, max_age, clock, monotonic
        self._started = monotonic()
        # Replaced as a whole, so that a reader sees one word or the next and nothing between, without a lock.
        self._last = Word(Condition("starting"), clock(), self._started)

    @property
    def last(self) -> Word:
        """What was said last; ``starting`` before the first word."""
        return self._last

    @property
    def age(self) -> float:
        """Seconds since the last word."""
        return self._monotonic() - self._last.heard

    @property
    def uptime(self) -> float:
        """Seconds since this object was made, before the node was."""
        return self._monotonic() - self._started

    def tell(self, condition: Condition) -> None:
        """Say what the node is doing: every second, and when it changes; from the event loop's thread alone. Takes 0.5 us."""
        before = self._last
        same = before.condition.state == condition.state
        self._last = Word(condition, before.since if same else self._clock(), self._monotonic())
        if not same:
            self._changes.count("state", condition.state)

    def live(self) -> tuple[bool, str]:
        """Return whether the event loop turns, and the sentence that says so or why not."""
        age, limit = self.age, self._max_age
        if age > limit:
            return False, f"its last sign of life is {age:.1f} s old (more than {limit:g} s): its event loop is stuck"
        return True, f"its event loop turns, {self._last.condition.state}"

    def ready(self) -> tuple[bool, str]:
        """Return whether the node is ready and its event loop turns, and the sentence that says so or why not."""
        alive, sentence = self.live()
        if not alive:
            return False, sentence
        (state, connected, reason), since, _ = self._last
        if state != "ready":
            return False, _line(f"{state} since {utc(since)}" + (f": {reason}" if reason else ""))
        return True, _line(f"since {utc(since)}: {', '.join(connected) or 'no client'}")


def _line(text: str) -> str:
    return printable(text)[:REASON_MAX]
