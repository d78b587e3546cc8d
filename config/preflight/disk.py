"""Whether a node can write where it must, and for how long: tried before the node is built, which would run without."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from config.models import TradingNodeSettings
from config.preflight.findings import Finding, Verdict, finding, unforeseen
from config.problems import Problem

# Bytes; both figures are a choice, not a limit of Nautilus: the log files alone may take 10 files of 100 MB by default.
LEAST_FREE = 100 * 2**20
LITTLE_FREE = 2**30
LITTLE_SHARE = 0.05
# A block, so that a full disk is found and not only a full directory.
PROBE = b"\0" * 4096


def check_disk(settings: TradingNodeSettings) -> list[Finding]:
    """Return whether the state, log and catalog directories can be written, and how much room their disks have.

    Each directory that is in use is made if it is not there, and a small file is written and removed in it. One that cannot be
    written since the state directory above it cannot is told as skipped, not as a second problem.
    """
    found: list[Finding] = []
    disks: dict[int, list[tuple[str, Path]]] = {}
    for step, key, directory in _directories(settings):
        if directory is None:
            found.append(finding(step, ("skipped", UNUSED[key])))
            continue
        began = time.perf_counter()
        try:
            verdict = _written(key, directory)
            if not isinstance(verdict, Problem):
                disks.setdefault(directory.stat().st_dev, []).append((key, directory))
            elif found and found[0].state == "error" and _only_below(settings.state_directory, directory):
                verdict = STATE_FAILED
            found.append(finding(step, verdict, time.perf_counter() - began))
        except Exception as error:
            found.append(unforeseen(step, error))
    for places in disks.values():
        began = time.perf_counter()
        try:
            usage = shutil.disk_usage(places[0][1])
            found.append(finding("disk.room", judge_room(usage.total, usage.free, places), time.perf_counter() - began))
        except Exception as error:
            found.append(unforeseen("disk.room", error))
    return found if disks else [*found, finding("disk.room", STATE_FAILED)]


def places_by_disk(settings: TradingNodeSettings) -> list[list[tuple[str, Path]]]:
    """Return the directories that are in use and there, each with its variable, those on one disk together."""
    disks: dict[int, list[tuple[str, Path]]] = {}
    for _, key, directory in _directories(settings):
        if directory is not None and directory.exists():
            disks.setdefault(directory.stat().st_dev, []).append((key, directory))
    return list(disks.values())


def judge_room(total: int, free: int, places: Sequence[tuple[str, Path]]) -> Verdict:
    """Return whether a disk has room for a run.

    Parameters
    ----------
    total, free : int
        Bytes; ``free`` is what this user may still write.
    places : sequence of (str, Path)
        The directories on that disk, each with the variable that sets it; at least one.

    """
    keys = " or ".join(key for key, _ in places)
    names = ", ".join(str(directory) for _, directory in places)
    message = f"the disk of {names} has {_size(free)} of {_size(total)} free"
    if free < LEAST_FREE:
        fix = f"make room, or set {keys} to another disk"
        return Problem("TN613", places[0][0], f"{message}; a run needs {_size(LEAST_FREE)} at least", fix)
    if free < LITTLE_FREE or free < LITTLE_SHARE * total:
        return Problem("TN323", places[0][0], message, f"make room soon, or set {keys} to another disk")
    return "ok", message


def _directories(settings: TradingNodeSettings) -> tuple[tuple[str, str, Path | None], ...]:
    """Return the step, the variable and the place of each directory; None where nothing is written there."""
    logs = settings.log_directory if settings.logging.log_level_file != "OFF" else None
    catalog = settings.catalog_path if settings.streaming is not None else None
    return (
        ("disk.state", "NAUTILUS_STATE_DIR", settings.state_directory),
        ("disk.logs", "NAUTILUS_LOG_DIRECTORY", logs),
        ("disk.catalog", "NAUTILUS_CATALOG_PATH", catalog),
    )


# Why nothing is written there.
UNUSED: Mapping[str, str] = {
    "NAUTILUS_LOG_DIRECTORY": "NAUTILUS_LOG_LEVEL_FILE is OFF",
    "NAUTILUS_CATALOG_PATH": "NAUTILUS_CATALOG_PATH is not set",
}
STATE_FAILED: Verdict = ("skipped", "not looked at: see disk.state")

# The state directory's record, log and sockets are for its owner only; the others follow the user's umask.
MODES: Mapping[str, int] = {"NAUTILUS_STATE_DIR": 0o700}


def _written(key: str, directory: Path) -> Verdict:
    probe = directory / f".tradingnode-probe.{os.getpid()}"
    try:
        directory.mkdir(mode=MODES.get(key, 0o777), parents=True, exist_ok=True)
        # O_EXCL: what somebody else has put there in that name is neither followed nor overwritten.
        with os.fdopen(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            try:
                file.write(PROBE)
                file.flush()
                # Without it a full network disk says so only when nobody asks any more.
                os.fsync(file.fileno())
            finally:
                probe.unlink()
    except OSError as error:
        return _cannot(key, directory, error, probe)
    return "ok", f"{directory} can be written"


def _cannot(key: str, directory: Path, error: OSError, probe: Path) -> Problem:
    reason, fix = (error.strerror or type(error).__name__).lower(), FIXES.get(error.errno or 0)
    obstacle = _in_the_way(directory) or (probe if isinstance(error, FileExistsError) else None)
    if obstacle == probe:
        reason, fix = f"{probe} is in the way", "remove it"
    elif obstacle is not None:
        reason = f"{obstacle} is {'a file' if obstacle.exists() else 'a link that leads nowhere'}, not a directory"
        fix = f"move {obstacle} away (the directory is then made)"
    writable = "make it writable" if os.access(directory, os.F_OK) else "create it, writable"
    fix = f"{fix or f'{writable} for user {_user()}'}, or set {key} to another place"
    if key == "NAUTILUS_STATE_DIR":
        return Problem("TN604", key, f"the state directory {directory} cannot be written: {reason}", fix)
    return Problem("TN605", key, f"{directory} cannot be written, which {key} needs: {reason}", fix)


# What to do where the rights of a user are not what is missing.
FIXES: Mapping[int, str] = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "raise this user's quota",
    errno.EROFS: "mount it for writing",
}


def _in_the_way(directory: Path) -> Path | None:
    """Return what is no directory, though one is needed there: the place itself, or a parent."""
    for path in (directory, *directory.parents):
        with suppress(OSError):  # what a closed parent hides is not what is in the way
            if (path.exists() or path.is_symlink()) and not path.is_dir():
                return path
    return None


def _only_below(state: Path, directory: Path) -> bool:
    """Return whether ``directory`` is below the state directory, and nothing in between is in its way."""
    obstacle = _in_the_way(directory)
    return state in directory.parents and (obstacle is None or state not in obstacle.parents)


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container may run as a user without a name
        return str(os.geteuid())


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
