"""Threads beside the node's own."""

from __future__ import annotations

import signal
import threading


def start_unsignalled(*threads: threading.Thread) -> None:
    """Start threads that take no signal.

    The kernel hands a signal to any thread that does not block it, and Python then runs the handler in the main thread, also
    while that one blocks it, as it does when a node is built.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        for thread in threads:
            thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
