"""Says once a second what the node is doing, from its own event loop: a loop that is stuck says nothing, and looks it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from config.health.readiness_file import ReadinessFile
from config.health.sd_notify import notify, watchdog_interval

BEAT_SECS = 1.0
# systemd asks whether the start is over; a node that may not trade has started too.
NOTIFIED: Mapping[str, Mapping[str, str]] = {
    "ready": {"READY": "1"},
    "restricted": {"READY": "1"},
    "stopping": {"STOPPING": "1"},
}


class Condition(NamedTuple):
    """What the node is doing: one of ``readiness_file.STATES``, the clients that are connected, and why it is not ready."""

    state: str
    connected: tuple[str, ...] = ()
    reason: str | None = None


def tell(file: ReadinessFile, condition: Condition, environ: Mapping[str, str] = os.environ) -> bool:
    """Write ``condition`` into the readiness file and tell it the service manager; return whether the manager took it."""
    file.update(*condition)
    status = f"{condition.state}: {condition.reason or ', '.join(condition.connected)}".removesuffix(": ")
    return notify(environ, **NOTIFIED.get(condition.state, {}), STATUS=status)


async def keep_beating(
    file: ReadinessFile,
    look: Callable[[], Condition],
    environ: Mapping[str, str] = os.environ,
    *,
    every: float = BEAT_SECS,
) -> None:
    """Beat until cancelled, and tell what changed.

    Parameters
    ----------
    file : ReadinessFile
        Where to.
    look : callable
        Returns the condition of the node, in well under a millisecond. If it raises, the node counts as restricted.
    environ : mapping
        ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC`` of systemd are read.
    every : float
        Seconds between two beats; less if systemd's watchdog wants that.

    """
    watchdog = watchdog_interval(environ)
    pause = every if watchdog is None else min(every, watchdog)
    is_managed = bool(environ.get("NOTIFY_SOCKET"))
    told: Condition | None = None
    while True:
        condition = looked(look)
        if condition == told:
            file.beat()
        elif tell(file, condition, environ) or not is_managed:
            # A manager whose queue was full hears it with the next beat: READY=1 must not be lost.
            told = condition
        if watchdog is not None:
            notify(environ, WATCHDOG=1)
        await asyncio.sleep(pause)


def looked(look: Callable[[], Condition]) -> Condition:
    """Return what ``look`` sees; a node that cannot be looked at counts as restricted."""
    try:
        return look()
    except Exception as error:
        # Its text may hold anything, so only its kind is told.
        return Condition("restricted", (), f"whether it is ready cannot be told: {type(error).__name__}")
