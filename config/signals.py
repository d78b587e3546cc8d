"""The signals that stop a node."""

from __future__ import annotations

import signal
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def hear(handler: Any) -> dict[signal.Signals, Any]:
    """Have ``handler`` called for each of them, and return who was called before.

    What is ignored stays ignored: that is how nohup keeps a process alive.
    """
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}
