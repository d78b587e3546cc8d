"""systemd's notify protocol (sd_notify(3)), without its library: never raises, never blocks."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


def notify(environ: Mapping[str, str], **fields: object) -> bool:
    """Tell the service manager, if there is one.

    Parameters
    ----------
    environ : mapping
        Its ``NOTIFY_SOCKET`` is a path, or ``@`` and an abstract name.
    **fields
        Such as ``READY=1``, ``STATUS="connecting"``, ``WATCHDOG=1``, ``STOPPING=1``; a value is sent as one line.

    Returns
    -------
    bool
        Whether the message was handed over; False where there is no manager, or its queue is full.

    """
    address = os.fsencode(environ.get("NOTIFY_SOCKET", ""))
    if address[:1] not in (b"/", b"@") or not fields:
        return False
    if address.startswith(b"@"):
        address = b"\0" + address[1:]
    # A line break within a value would begin another field.
    message = "\n".join(f"{name}={' '.join(str(value).split())}" for name, value in fields.items())
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(message.encode(errors="replace"), address)
    except (OSError, ValueError):
        return False
    return True


def watchdog_interval(environ: Mapping[str, str]) -> float | None:
    """Return every how many seconds the service manager wants to hear ``WATCHDOG=1``: half of its limit, as it advises.

    None where it does not watch, or watches another process (``WATCHDOG_PID``).
    """
    limit, watched = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    # As a 64-bit number has at most 20 digits; int() itself would also take signs, spaces and underscores.
    usec = int(limit) if limit.isascii() and limit.isdigit() and len(limit) <= 20 else 0
    return usec / 2_000_000 if usec and watched in ("", str(os.getpid())) else None
