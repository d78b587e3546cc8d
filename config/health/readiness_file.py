"""The file that tells others whether the node is ready, written by the node and judged with the standard library alone.

What the node is doing is written when it changes; in between only the file's time of modification is set, once a second,
which costs microseconds and works on a full disk. A reader compares that time with its own clock: after a jump of the clock
the file looks stale until the next beat, for a second at most. A beat from the future is not believed either, or a node that
stalls just before the clock is set back would look alive for as long.
"""
# ruff: noqa: PTH103, PTH105, PTH108, PTH116, PTH120, PTH123 -- importing pathlib costs as much as the interpreter

from __future__ import annotations

import contextlib
import json
import os
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

FORMAT = 1
STATES = ("starting", "ready", "restricted", "stopping")
# Ten beats: a garbage collection or a slow disk is no stall.
MAX_AGE_SECS = 10.0
# The file has a few hundred bytes; what is larger is something else.
MAX_BYTES = 65_536
REASON_MAX = 500
# 31 December 9999: what is later cannot be shown.
UNIX_MAX = 253_402_300_799
PID_MAX = 2**31 - 1

NUMBER = (int, float)
FIELDS: dict[str, type | tuple[type, ...]] = {
    "pid": int,
    "started": (int, type(None)),
    "boot_id": (str, type(None)),
    "trader_id": str,
    "preset": (str, type(None)),
    "role": str,
    "state": str,
    "since": NUMBER,
    "connected": list,
    "reason": (str, type(None)),
    "heartbeat": NUMBER,
    "heartbeat_monotonic": NUMBER,
}


class Unreadable(Exception):  # noqa: N818 - it is an answer: there is no record, for this reason
    """There is no record to judge; the text says why."""


def boot_id() -> str | None:
    """Return what tells this boot of the system from another; None where there is no such thing."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except (OSError, ValueError):
        return None


def process_started(pid: int) -> int | None:
    """Return when process ``pid`` began, in clock ticks since the boot (proc(5), field 22); None if that cannot be told."""
    fields = _process(pid)
    return int(fields[19]) if fields else None


def _process(pid: int) -> list[bytes]:
    """Return the fields of ``/proc/PID/stat`` from the third on: the second, the command's name, may hold blanks and brackets."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


class ReadinessFile:
    """The readiness file of this process. A failed write is no exception for the node, and never leaves ``ready`` behind.

    A file is left alone whose node lives and beats: whoever started first keeps it.

    Parameters
    ----------
    path : path
        The file; its directory is made if it is not there.
    trader_id, preset, role : str
        Of this node; a node need not have a preset.
    clock, monotonic : callable, optional
        Unix time, and seconds since some point of this boot.

    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        trader_id: str,
        preset: str | None,
        role: str = "trader",
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = os.fspath(path)
        self._clock = clock
        self._monotonic = monotonic
        self._pid = os.getpid()
        self._who = {
            "format": FORMAT,
            "pid": self._pid,
            "started": process_started(self._pid),
            "boot_id": boot_id(),
            "trader_id": trader_id,
            "preset": preset,
            "role": role,
        }
        self._what: dict[str, Any] = {}
        self._fd: int | None = None
        self._is_written = False

    def update(self, state: str, connected: Iterable[str] = (), reason: str | None = None) -> bool:
        """Write what the node is doing; return whether that worked. If not, every beat tries again.

        Parameters
        ----------
        state : str
            One of ``STATES``.
        connected : iterable of str
            Names of the clients that are connected.
        reason : str, optional
            Why it is not ready, or restricted; made one line of at most 500 characters. Never a secret.

        """
        if state not in STATES:
            raise ValueError(f"{state} is none of {', '.join(STATES)}")
        since = self._what["since"] if self._what.get("state") == state else self._clock()
        why = None if reason is None else printable(reason)[:REASON_MAX]
        self._what = {"state": state, "since": since, "connected": list(connected), "reason": why}
        return self._write()

    def beat(self) -> bool:
        """Say that the node lives; return whether others can see that. Does nothing before the first update."""
        if not self._what:
            return False
        if not self._is_written or not self._is_mine():
            return self._write()
        return self._touch()

    def remove(self) -> None:
        """Remove the file, unless another node has put its own there."""
        if self._is_mine():
            with contextlib.suppress(OSError):
                os.unlink(self._path)
        self._close()
        self._what = {}
        self._is_written = False

    def _write(self) -> bool:
        self._is_written = False
        try:
            if not self._is_mine() and _is_kept(self._path, self._pid, self._clock()):
                return False
            os.makedirs(os.path.dirname(self._path) or ".", mode=0o700, exist_ok=True)
            fd = self._replace()
        except OSError:
            self._mark_outdated()
            return False
        self._close()
        self._fd = fd
        self._is_written = True
        return self._touch()

    def _replace(self) -> int:
        """Put a new file in the place of the old one and return it, open; not synced, as after a power cut no node runs."""
        now = {"heartbeat": self._clock(), "heartbeat_monotonic": self._monotonic()}
        text = json.dumps({**self._who, **self._what, **now}, indent=2) + "\n"
        folder, _, name = self._path.rpartition("/")
        part = f"{folder or '.'}/.{name}.{self._pid}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            data = text.encode()
            if os.write(fd, data) != len(data):
                raise OSError("the disk is full")
            os.replace(part, self._path)
        except OSError:
            os.close(fd)
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise
        return fd

    def _mark_outdated(self) -> None:
        """Take the right to write from the old file: that needs no space, and tells a reader not to believe its state."""
        if self._fd is None or not self._is_mine():
            return
        try:
            os.fchmod(self._fd, 0o400)
            self._touch()
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(self._path)

    def _touch(self) -> bool:
        """Set the time of modification from this process' clock, as a file server may have another one."""
        if self._fd is None:
            return False
        now = self._clock()
        try:
            os.utime(self._fd, (now, now))
        except OSError:
            return False
        return True

    def _is_mine(self) -> bool:
        """Return whether the file at the path is still the one that this process wrote."""
        if self._fd is None:
            return False
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._fd))
        except OSError:
            return False

    def _close(self) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = None


def _is_kept(path: str, pid: int, now: float) -> bool:
    """Return whether the file at ``path`` is that of another process that lives and beats."""
    try:
        record, status = read(path)
    except Unreadable:
        return False
    return record["pid"] != pid and not _dead(record, time.monotonic()) and abs(now - status.st_mtime) <= MAX_AGE_SECS


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], os.stat_result]:
    """Return the record at ``path`` and the file's status.

    Raises
    ------
    Unreadable
        With the sentence that says why there is none.

    """
    try:
        # A pipe of that name must not keep the reader waiting.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            status = os.fstat(fd)
            data = os.read(fd, MAX_BYTES) if stat.S_ISREG(status.st_mode) else b""
        finally:
            os.close(fd)
    except FileNotFoundError:
        raise Unreadable(
            f"there is no {os.fspath(path)}: the node does not run, or its state directory is another one"
        ) from None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise Unreadable(f"{os.fspath(path)} cannot be read: {reason}") from None
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        raise Unreadable(f"{os.fspath(path)} is not JSON: something else has written it, or it is damaged") from None
    wrong = f"{os.fspath(path)} is not a readiness file"
    if not isinstance(record, dict) or not isinstance(record.get("format"), int):
        raise Unreadable(wrong)
    if record["format"] != FORMAT:
        raise Unreadable(f"{os.fspath(path)} has format {record['format']}, and this version reads {FORMAT}")
    if field := next((name for name, kind in FIELDS.items() if not _fits(record.get(name), kind)), None):
        raise Unreadable(f"{wrong}: its {field} is missing or not of the right kind")
    if not (0 < record["pid"] <= PID_MAX and 0 <= record["since"] <= UNIX_MAX and record["state"] in STATES):
        raise Unreadable(f"{wrong}: its pid, since or state cannot be")
    return record, status


def _fits(value: object, kind: type | tuple[type, ...]) -> bool:
    """Return whether ``value`` is of ``kind``; a boolean is no number here, and a list has only texts."""
    if isinstance(value, list):
        return kind is list and all(isinstance(one, str) for one in value)
    return isinstance(value, kind) and not isinstance(value, bool)


def judge(
    path: str | os.PathLike[str],
    now: float,
    monotonic: float,
    *,
    trader_id: str | None = None,
    max_age: float = MAX_AGE_SECS,
    live: bool = False,
) -> tuple[bool, str]:
    """Return whether the node is ready, and the sentence that says so or why not.

    Parameters
    ----------
    path : path
        The readiness file.
    now, monotonic : float
        Unix time, and this boot's clock, of the reader, in seconds.
    trader_id : str, optional
        The trader that is asked for; any if None.
    max_age : float
        Seconds since the last beat after which the node is taken to be stalled.
    live : bool
        Ask only whether the process lives and beats, ready or not.

    """
    try:
        record, status = read(path)
    except Unreadable as error:
        return False, printable(str(error))
    who, why = record["trader_id"], record["reason"]
    if trader_id is not None and who != trader_id:
        return False, printable(f"{os.fspath(path)} is that of {who}, not of {trader_id}")
    if dead := _dead(record, monotonic):
        return False, printable(f"{who}: {dead}")
    age = now - status.st_mtime
    if not abs(age) <= max_age:
        old = f"{age:.1f} s old (more than {max_age:g} s): its event loop is stuck, or the process is stopped"
        early = f"{-age:.1f} s in the future: the clock was set back"
        return False, printable(f"{who}: its last sign of life is {old if age > 0 else early}")
    if live:
        return True, printable(f"{who}: process {record['pid']} lives, {record['state']}")
    if not status.st_mode & stat.S_IWUSR:
        return False, printable(f"{who}: it lives, but could not write what it does now (is the disk full?)")
    if record["state"] != "ready":
        return False, printable(
            f"{who} is {record['state']} since {utc(record['since'])}" + (f": {why}" if why else "")
        )
    connected = ", ".join(record["connected"]) or "no client"
    return True, printable(f"{who} since {utc(record['since'])}: {connected}")


def _dead(record: dict[str, Any], monotonic: float) -> str | None:
    """Return in words why the process of ``record`` does not live; None if it does."""
    pid = record["pid"]
    gone = f"its process {pid} has ended without removing its readiness file: it was killed, or crashed"
    this_boot = boot_id()
    if this_boot and record["boot_id"] and record["boot_id"] != this_boot:
        return "its readiness file was written before the system was started again"
    if record["boot_id"] is None and record["heartbeat_monotonic"] > monotonic:
        return "its readiness file was written before the system was started again"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return gone
    except PermissionError:
        pass  # another user's, so it lives
    fields = _process(pid)
    if fields and fields[0] in (b"Z", b"X"):
        return gone
    if fields and record["started"] is not None and record["started"] != int(fields[19]):
        return f"its process has ended, and its number {pid} is another process' now"
    return None


def utc(seconds: float) -> str:
    """Return Unix time as text, such as ``2026-11-21T06:00:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def printable(text: str) -> str:
    """Return ``text`` as one line without anything that a terminal would obey."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())
