"""Rename variables in a ``.env`` file in place: comments, order, quoting and secrets untouched, a backup beside it."""

from __future__ import annotations

import errno
import io
import os
import re
import secrets
import stat
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from config.settings.sources import ENV_FILE_BYTES_MAX

BOM = "\ufeff"
# What python-dotenv's parser skips before a key.
BEFORE_KEY = re.compile(r"\s*(?:export[^\S\r\n]+)?'?")


@dataclass(frozen=True, slots=True)
class Change:
    """One entry that was renamed, or removed because the current name has the same value.

    Parameters
    ----------
    line : int
        The line of the entry before the change, from 1.
    old : str
        Its former name.
    new : str or None
        Its current name, None where it was removed.
    why : str or None
        Why it was removed, None where it was renamed.

    """

    line: int
    old: str
    new: str | None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A file that was rewritten (of a symbolic link, its target), the copy of what stood there, and what changed."""

    path: Path
    backup: Path
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class _Content:
    """What stood in a file, and the numbers that tell whether it is still that file."""

    raw: bytes
    status: os.stat_result

    def is_still(self, other: _Content) -> bool:
        """Whether nobody has written to the file or replaced it; the bytes too, as a clock tick may hide an edit."""
        mine, others = self.status, other.status
        return (
            self.raw == other.raw
            and os.path.samestat(mine, others)
            and (mine.st_mtime_ns, mine.st_size) == (others.st_mtime_ns, others.st_size)
        )


def _entries(bindings: Sequence[Binding]) -> dict[str, set[str]]:
    """Return key -> its values as config.sources reads them; a name without ``=`` is no entry there."""
    values: dict[str, set[str]] = {}
    for binding in bindings:
        if binding.key is not None and binding.value is not None:
            values.setdefault(binding.key, set()).add(binding.value.replace("\r\n", "\n").strip())
    return values


def _kept(values: Mapping[str, set[str]], names: Mapping[str, str]) -> dict[str, str]:
    """Return current name -> the key among ``values`` that keeps its entries, without the names whose keys disagree."""
    keys: dict[str, list[str]] = {}
    for key in values:
        keys.setdefault(names.get(key, key), []).append(key)
    return {
        current: current if current in same else same[0]
        for current, same in keys.items()
        if len(same) == 1 or len(set().union(*(values[key] for key in same))) == 1
    }


def renamed(text: str, names: Mapping[str, str]) -> tuple[str, tuple[Change, ...]]:
    """Return ``text`` with former names replaced by current ones, and what changed.

    Only the characters of a key change. Entries are those that python-dotenv finds, so a name inside a value or a
    comment stays. Where the current name, or another former name of it, is there too, their values are compared without
    surrounding white space: if all are equal, one key stays and the lines of the others go, their inline comments
    included; if any differ, all of them stay and no change is reported.

    Parameters
    ----------
    text : str
        The content of a ``.env`` file, line ends and byte order mark as they are.
    names : Mapping of str to str
        Former name -> current name. No current name is itself a former one.

    """
    bindings = tuple(parse_stream(io.StringIO(text.removeprefix(BOM))))
    kept = _kept(_entries(bindings), names)

    at = len(text) - sum(len(binding.original.string) for binding in bindings)
    parts, changes = [text[:at]], []
    for binding in bindings:
        written, old = binding.original.string, binding.key
        if old is None or binding.value is None or old not in names or names[old] not in kept:
            parts.append(written)
        else:
            new = names[old]
            key = len(BEFORE_KEY.match(written)[0])  # type: ignore[index]  # matches the empty string too
            line = 1 + text.count("\n", 0, at + key)
            if kept[new] == old:
                parts += written[:key], new, written[key + len(old) :]
                changes.append(Change(line, old, new))
            else:
                # The lines before an entry belong to its text: the blank ones, and the \n of a \r\n after an error.
                before = written[:key]
                parts.append(before[: 1 + max(before.rfind("\n"), before.rfind("\r"))])
                changes.append(Change(line, old, None, f"{new} has the same value"))
        at += len(written)
    return "".join(parts), tuple(changes)


def _open_for_reading(path: str, flags: int) -> int:
    # A pipe would keep the program waiting for ever; a link that appears now is not the file that was asked for.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _read(path: Path) -> _Content:
    with open(path, "rb", opener=_open_for_reading) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        raw = file.read(ENV_FILE_BYTES_MAX + 1)
    if len(raw) > ENV_FILE_BYTES_MAX:
        raise OSError(errno.EFBIG, f"it is larger than {ENV_FILE_BYTES_MAX // 1024} KiB", str(path))
    return _Content(raw, status)


def _decoded(raw: bytes, path: Path) -> str:
    with suppress(UnicodeDecodeError):
        return raw.decode()
    # Not while the other error is handled: that one holds all the bytes, secrets included.
    raise OSError(errno.EILSEQ, "it is not UTF-8 text", str(path))


def _create(path: Path, raw: bytes, like: os.stat_result, mode: int) -> None:
    """Write a new file to the disk with the owner of ``like`` where that is allowed, or leave none behind."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(raw)
            file.flush()
            # The group first: a file that was given away cannot be changed any more.
            with suppress(OSError):
                os.fchown(descriptor, -1, like.st_gid)
            with suppress(OSError):
                os.fchown(descriptor, like.st_uid, -1)
            # What one group might read is not for another one.
            same_group = os.fstat(descriptor).st_gid == like.st_gid
            os.fchmod(descriptor, mode if same_group else mode & ~stat.S_IRWXG)
            os.fsync(descriptor)
    except BaseException:
        path.unlink()
        raise


def _create_backup(path: Path, content: _Content) -> Path:
    """Write the copy under the first name that is free and return its path; only its owner may read it."""
    mode = stat.S_IMODE(content.status.st_mode) & (stat.S_IRUSR | stat.S_IWUSR)
    for suffix in chain([".bak"], (f".bak.{number}" for number in count(1))):
        backup = path.with_name(path.name + suffix)
        with suppress(FileExistsError):
            _create(backup, content.raw, content.status, mode)
            return backup
    raise AssertionError("count() has no end")


def _sync_directory(path: Path) -> None:
    """Let the names in a folder outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rewrite(path: Path, names: Mapping[str, str]) -> Rewritten | None:
    """Replace former names by current ones in a ``.env`` file, in one step; return None where nothing is to change.

    The original is kept beside it as ``.bak`` (``.bak.1`` and so on where that is taken), readable by its owner alone.
    The file keeps its mode and, where allowed, its owner; where its group cannot be kept the group loses access. A
    symbolic link stays, its target is rewritten; another hard link keeps the former text. On any error the file is as
    it was, and neither a backup nor a temporary file is left.

    Parameters
    ----------
    path : Path
        A file of UTF-8 text, at most 64 KiB.
    names : Mapping of str to str
        Former name -> current name, as for ``renamed``.

    Raises
    ------
    OSError
        If the file is not there, is larger (or would be), no regular file or no UTF-8 text, if it changed while it was
        being rewritten, or if its folder cannot be read and written. Never holds any of the content.

    """
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    content = _read(target)
    text, changes = renamed(_decoded(content.raw, target), names)
    if not changes:
        return None
    raw = text.encode()
    if len(raw) > ENV_FILE_BYTES_MAX:
        message = f"with the current names it would be larger than {ENV_FILE_BYTES_MAX // 1024} KiB"
        raise OSError(errno.EFBIG, message, str(target))
    temporary = target.with_name(f"{target.name}.{secrets.token_hex(8)}.tmp")
    with ExitStack() as undo:
        backup = _create_backup(target, content)
        undo.callback(backup.unlink)
        _create(temporary, raw, content.status, stat.S_IMODE(content.status.st_mode))
        undo.callback(temporary.unlink)
        _sync_directory(target.parent)
        if not content.is_still(_read(target)):
            raise OSError(errno.EBUSY, "it changed while it was being rewritten", str(target))
        temporary.replace(target)
        undo.pop_all()
    # The file is whole whatever comes of this: after a power cut it holds either text, and the backup is on the disk.
    with suppress(OSError):
        _sync_directory(target.parent)
    return Rewritten(target, backup, changes)
