"""Growth is bounded: what a node writes and nothing reads again is trimmed at its start.

Neither function raises: a node must not fail to start because something old could not be deleted.
"""

from __future__ import annotations

import os
import stat
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from math import inf
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from redis.client import NEVER_DECODE
from redis.exceptions import NoPermissionError, RedisError, ResponseError, WatchError

from config.models import RedisConfig
from config.store.client import one_line, redis_client
from config.store.reset import pages, trader_prefix, unusable

# What trimming may take of a start; what is left goes at the next one. Redis needs 2 ms for 100,000 snapshots.
BUDGET_SECS = 2.0
# Commands beside those of a node and of its lease.
COMMANDS = ("llen", "ltrim")

DAY_SECS = 86_400
# Of another machine, or another container, nobody here sees which files are open.
QUIET_SECS = 600
# Runs of a backtest are somebody's work and no growth: they stay.
ENVIRONMENTS = ("live", "sandbox")
CONFIG = "config.json"
SUFFIX = ".feather"


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What was removed.

    Parameters
    ----------
    count : int
        Position snapshots, or runs.
    bytes : int or None
        Of the files; None for snapshots, which are deleted unread (750 bytes each were measured).
    problems : tuple of str
        What could not be done and why, a sentence each.
    is_complete : bool
        Whether all was looked at; otherwise the time was up, and the next start goes on.

    """

    count: int
    bytes: int | None = None
    problems: tuple[str, ...] = ()
    is_complete: bool = True


def trim_snapshots(
    redis: RedisConfig, trader_id: str, days: float, now: float, *, budget_secs: float = BUDGET_SECS
) -> Trimmed:
    """Remove a trader's position snapshots that are older than ``days`` from Redis; before its node starts.

    Nautilus appends one record a minute to ``trader-<ID>:snapshots:positions:<position>``, and reads none. A list is in the
    order of writing, so that one old record tells of all before it: of 100,000 a bisection reads 18.

    Parameters
    ----------
    redis : RedisConfig
        The server.
    trader_id : str
        Whose snapshots.
    days : float
        How long they stay.
    now : float
        UNIX time in seconds.
    budget_secs : float
        Seconds after which no more is begun; one answer that does not come may take 2 s again.

    """
    deadline = time.monotonic() + budget_secs
    before = now - days * DAY_SECS
    count = 0
    problems: list[str] = []
    try:
        with redis_client(redis, timeout=min(redis.timeout, BUDGET_SECS)) as client:
            for page in pages(client, f"{trader_prefix(trader_id)}snapshots:positions:"):
                for key, first in zip(page, _firsts(client, page, deadline), strict=True):
                    try:
                        if _time_of(first) < before:
                            count += _trim_list(client, key, before, deadline)
                    except (msgspec.DecodeError, ValueError, WatchError, ResponseError) as error:
                        if isinstance(error, ResponseError) and not str(error).startswith("WRONGTYPE"):
                            raise
                        problems.append(f"{key.decode(errors='replace')} was left as it is: {one_line(error)}")
    except _TimeUpError:
        return Trimmed(count, None, tuple(problems), is_complete=False)
    except RedisError as error:
        problem = unusable(error, redis)
        fix = f"give the user {', '.join(COMMANDS)}" if isinstance(error, NoPermissionError) else problem.fix
        problems.append(f"position snapshots were not trimmed: {problem.message}; {fix}")
    except Exception as error:  # whatever it is, the node starts
        problems.append(f"position snapshots were not trimmed: {type(error).__name__}")
    return Trimmed(count, None, tuple(problems))


def trim_catalog(
    path: Path,
    max_runs: int | None,
    max_age_days: float | None,
    now: float,
    this_run: str | None = None,
    *,
    budget_secs: float = BUDGET_SECS,
) -> Trimmed:
    """Delete whole runs from a catalog, oldest first by their last write; nothing unless one of the limits is given.

    A run is a folder ``live/<instance id>`` or ``sandbox/<instance id>`` that holds ``config.json`` and ``.feather`` files and
    nothing else. No link is followed. A run stays that was written to in the last ten minutes, or that a process of this machine
    has open: one whose market is quiet, or closed, writes nothing for days.

    Parameters
    ----------
    path : Path
        The catalog; it need not be there.
    max_runs : int or None
        Runs that stay, this one included.
    max_age_days : float or None
        Days that a run stays after its last write.
    now : float
        UNIX time in seconds.
    this_run : str, optional
        Instance id of this run, if its folder may be there already.
    budget_secs : float
        Seconds after which no more run is deleted.

    """
    if max_runs is None and max_age_days is None:
        return Trimmed(0, 0)
    deadline = time.monotonic() + budget_secs
    count, size = 0, 0
    problems: list[str] = []
    try:
        runs = [run for run in _runs(path) if run.path.name != this_run]
        surplus = _surplus(runs, max_runs, max_age_days, now)
        in_use = _open_files() if surplus else frozenset()
        for run in surplus:
            if time.monotonic() > deadline:
                return Trimmed(count, size, tuple(problems), is_complete=False)
            if now - run.written < QUIET_SECS or run.files & in_use:
                continue
            if run.foreign:
                problems.append(f"{run.path} was left as it is: {run.foreign}")
                continue
            try:
                _delete(run.path)
            except OSError as error:
                problems.append(f"{run.path} could not be deleted: {error.strerror}")
            else:
                count, size = count + 1, size + run.bytes
    except Exception as error:  # whatever it is, the node starts
        problems.append(f"{path} was not trimmed: {getattr(error, 'strerror', None) or type(error).__name__}")
    return Trimmed(count, size, tuple(problems))


class _TimeUpError(Exception):
    """The budget is used up."""


class _Snapshot(msgspec.Struct):
    """What is read of a record; Nautilus writes times as ISO 8601."""

    ts_snapshot: str


def _time_of(answer: Sequence[bytes] | Exception) -> float:
    """Return when a record was written, in UNIX seconds; none at all is not old."""
    if isinstance(answer, Exception):
        raise answer
    return min(
        (datetime.fromisoformat(msgspec.msgpack.decode(one, type=_Snapshot).ts_snapshot).timestamp() for one in answer),
        default=inf,
    )


def _ask(client: Any, key: bytes, index: int, deadline: float) -> Any:
    """Ask for one record of a list, as it stands: it is no text."""
    if time.monotonic() > deadline:
        raise _TimeUpError
    return client.execute_command("LRANGE", key, index, index, **{NEVER_DECODE: []})


def _firsts(client: Any, keys: Sequence[bytes], deadline: float) -> Any:
    """Return the first record of each list, or why there is none, in one go: most lists have nothing to trim."""
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            _ask(pipe, key, 0, deadline)
        if time.monotonic() > deadline:
            raise _TimeUpError
        return pipe.execute(raise_on_error=False)


def _trim_list(client: Any, key: bytes, before: float, deadline: float) -> int:
    """Remove what was written before a time, in UNIX seconds, and return how many records that were."""
    with client.pipeline() as pipe:
        # Two nodes that trim one list would count the same records twice.
        pipe.watch(key)
        length = pipe.llen(key)

        def is_young(index: int) -> bool:
            return _time_of(_ask(pipe, key, index, deadline)) >= before

        old = bisect_left(range(length), x=True, key=is_young) if is_young(-1) else length
        pipe.multi()
        pipe.ltrim(key, old, -1)
        pipe.execute()
    return int(old)


class _Run(NamedTuple):
    """A folder named as a run's: when it was last written to, how large it is, which files, and why it is no run's after all."""

    path: Path
    written: float
    bytes: int
    files: frozenset[tuple[int, int]]
    foreign: str


def _surplus(runs: Sequence[_Run], max_runs: int | None, max_age_days: float | None, now: float) -> list[_Run]:
    """Return the runs beyond either limit, oldest first; this run is none of ``runs`` and counts as one."""
    newest_first = sorted(runs, key=lambda run: run.written, reverse=True)
    kept = len(runs) if max_runs is None else max_runs - 1
    oldest = -inf if max_age_days is None else now - max_age_days * DAY_SECS
    beyond = [run for place, run in enumerate(newest_first) if place >= kept or run.written < oldest]
    return beyond[::-1]


def _runs(path: Path) -> Iterator[_Run]:
    for environment in ENVIRONMENTS:
        folder = path / environment
        if not _is_folder(folder):
            continue
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        for name in filter(_is_instance_id, names):
            with suppress(FileNotFoundError):  # another node trims the same catalog
                yield _looked_at(folder / name)


def _is_folder(path: Path) -> bool:
    with suppress(FileNotFoundError):
        return stat.S_ISDIR(path.lstat().st_mode)
    return False


def _is_instance_id(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def _looked_at(run: Path) -> _Run:
    files: dict[Path, os.stat_result] = {}
    foreign = ""
    for folder, names, others in run.walk():
        for entry in (folder / name for name in (*names, *others)):
            found = entry.lstat()
            if stat.S_ISREG(found.st_mode) and _is_of_a_run(entry, run):
                files[entry] = found
            elif not stat.S_ISDIR(found.st_mode):
                foreign = f"it holds {entry.relative_to(run)}, which no run writes"
    if files and run / CONFIG not in files:
        foreign = f"it has no {CONFIG}"
    # Of the files: if a deletion was cut short, that was no write.
    written = max((found.st_mtime for found in files.values()), default=run.lstat().st_mtime)
    size = sum(found.st_size for found in files.values())
    return _Run(run, written, size, frozenset((found.st_dev, found.st_ino) for found in files.values()), foreign)


def _is_of_a_run(file: Path, run: Path) -> bool:
    return file.suffix == SUFFIX or file == run / CONFIG


def _delete(run: Path) -> None:
    """Delete a run; its ``config.json`` last, so that what is left of it, if this is cut short, is found the next time."""
    for _, names, files, descriptor in os.fwalk(run, topdown=False):
        for name in files:
            if name.endswith(SUFFIX):
                os.unlink(name, dir_fd=descriptor)
        for name in names:
            os.rmdir(name, dir_fd=descriptor)
    (run / CONFIG).unlink(missing_ok=True)
    run.rmdir()


def _open_files() -> frozenset[tuple[int, int]]:
    """Return device and number of each feather file that a process of this machine has open, as far as ``/proc`` tells."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if link.readlink().suffix == SUFFIX:
                status = link.stat()
                found.add((status.st_dev, status.st_ino))
    return frozenset(found)
