"""The sources of settings, and the only code that reads them: process environment, ``.env`` files, secret files."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import EllipsisType

from pydantic import SecretStr

from config.problems import Origin, Problem
from config.settings.foreign import is_foreign
from config.settings.hiding import path_shown
from config.settings.spelling import cleaned, odd_value, visible
from config.settings.unknown import told_of_unknown
from config.settings.variables import SECRETS_DIR_DEFAULT, SECRETS_DIR_VARIABLE, is_key, known_names, secret_names

type EnvFiles = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | EllipsisType | None

ENVIRONMENT = "process environment"
# Kubernetes gives every pod REDIS_PORT=tcp://10.0.0.1:6379 when a Service is called redis.
SERVICE_LINKS = ("tcp://", "udp://", "sctp://")
EXPORT = re.compile(r"export[^\S\n]+")
MALFORMED = "write NAME=value, quotes closed, or begin it with #"
DEFAULT_ENV_FILE = ".env"
# python-dotenv's parser takes quadratic time: 125 KiB cost 1.2 s, 1 MiB costs 101 s. Real files have a few KiB.
ENV_FILE_BYTES_MAX = 64 * 1024
SECRET_FILE_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One value as it stands in a source; a secret is a ``SecretStr`` from the moment it is read."""

    value: str | SecretStr
    origin: Origin


@dataclass(frozen=True, slots=True)
class Source:
    """A name, the known variables that stand there, and what was wrong with reading it."""

    name: str
    entries: Mapping[str, Entry] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def _reason(error: OSError | ValueError) -> str:
    match error:
        case UnicodeDecodeError():
            return "it is not UTF-8 text"
        case OSError():
            return (error.strerror or type(error).__name__).lower()
        case _:
            return "it is no path"


def _content(path: Path, most: int) -> bytes:
    """Return at most so many bytes of a file; a pipe or a device, which would keep the program waiting for ever, is refused."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "it is not a regular file")
    with path.open("rb") as file:
        return file.read(most)


def _secret_from_file(path: str, origin: Origin, *, named: bool = True) -> Entry | Problem:
    """Return what stands in a secret file, ``named`` by a variable or found, without surrounding white space, or a problem."""
    subject = f"{origin.key} names {path_shown(path)}, which" if named else path_shown(path)
    try:
        text = _content(Path(path), SECRET_FILE_BYTES_MAX).decode().strip()
    except (OSError, ValueError) as error:  # a ValueError is a path with a NUL in it, or a text that is not UTF-8
        return Problem(
            "TN405",
            origin.key,
            f"{subject} cannot be read: {_reason(error)}",
            "give the path of a file that this user may read, holding nothing but the secret",
            origin=origin,
        )
    if not text:
        return Problem(
            "TN405",
            origin.key,
            f"{subject} is empty",
            f"write the secret into that file, or {'leave the variable out' if named else 'delete it'}",
            origin=origin,
        )
    return Entry(SecretStr(text), origin)


def _read(source: str, pairs: Iterable[tuple[str, str, Origin]]) -> Source:
    """Return the known variables among ``pairs`` of name, text and place; an empty value is unset, of two the later counts."""
    secrets, names = secret_names(), known_names()
    entries: dict[str, Entry] = {}
    files: dict[str, tuple[str, Origin]] = {}
    problems: list[Problem] = []
    for name, raw, origin in pairs:
        if name not in names:
            problems += told_of_unknown(name, raw, origin, everything=source != ENVIRONMENT)
            continue
        if source == ENVIRONMENT and raw.startswith(SERVICE_LINKS) and (whose := is_foreign(name, raw)):
            message = f"{name} is {whose}, not a setting: it is ignored"
            problems.append(Problem("TN002", name, message, "", origin=origin))
            continue
        if not (text := raw.strip()):
            entries.pop(name, None)
            continue
        if (secret := name.removesuffix("_FILE")) != name and secret in secrets:
            files[secret] = text, origin
            continue
        if not is_key(name) and (odd := odd_value(text, random=name in secrets)) is not None:
            problems.append(_oddity(name, odd, origin, certain=name not in secrets))
            text = cleaned(text) if name not in secrets else text
        entries[name] = Entry(SecretStr(text) if name in secrets else text, origin)
    for secret, (path, origin) in files.items():
        if secret in entries:
            message = f"{secret} and {origin.key} are both set in {source}"
            problems.append(Problem("TN403", origin.key, message, "keep one of the two", origin=origin))
            continue
        found = _secret_from_file(path, origin)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            entries[secret] = found
            problems += _open_to_others(Path(path), origin)
    return Source(source, entries, tuple(problems))


def _oddity(name: str, how: str, origin: Origin, *, certain: bool) -> Problem:
    """Return the problem of a value that is not what was meant; a password may be odd on purpose."""
    fix = "write the value without them" if "quotes" in how else "write the value anew, by hand"
    if certain:
        return Problem("TN415", name, f"{name} is not what it seems: {how}", fix, origin=origin)
    return Problem(
        "TN315", name, f"{name} may not be what it seems: {how}", f"{fix}, unless it is meant so", origin=origin
    )


def _open_to_others(path: Path, origin: Origin) -> list[Problem]:
    """Return a warning if everybody on this machine may read or change a file with a secret.

    A mounted secrets directory is the container's own, where the mode says nothing.
    """
    with contextlib.suppress(OSError):
        if path.parent.is_mount() or not path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            return []
        message = f"{path} holds a secret, and every user of this machine may read it"
        return [Problem("TN309", origin.key, message, f"chmod 600 {path}", origin=origin)]
    return []


def read_environ(environ: Mapping[str, str]) -> Source:
    """Return what stands in the process environment."""
    return _read(ENVIRONMENT, ((name, text, Origin(ENVIRONMENT, name)) for name, text in environ.items()))


def read_env_file(path: Path, *, must_exist: bool) -> Source:
    """Return what stands in a ``.env`` file; a value arrives as written, ``${`` included.

    Parameters
    ----------
    path : Path
        The file, at most 64 KiB.
    must_exist : bool
        Whether a missing file is a problem (exit code 2).

    """
    name = visible(str(path), 200)
    try:
        raw = _content(path, ENV_FILE_BYTES_MAX + 1)
        text = raw.decode("utf-8-sig")
    except FileNotFoundError:
        if not must_exist:
            return Source(name)
        fix = "give the path of a file, or leave it out"
        return Source(name, problems=(Problem("TN202", "--env-file", f"{name} does not exist", fix),))
    except (OSError, UnicodeDecodeError) as error:
        message = f"{name} cannot be read: {_reason(error)}"
        return Source(
            name, problems=(Problem("TN404", name, message, "make it a UTF-8 text file that this user may read"),)
        )
    if len(raw) > ENV_FILE_BYTES_MAX:
        message = f"{name} is larger than {ENV_FILE_BYTES_MAX // 1024} KiB"
        return Source(name, problems=(Problem("TN404", name, message, "keep only the variables in it"),))
    bindings = list(_bindings(text, name))
    problems = [
        Problem("TN404", name, f"{name} line {origin.line} {key}", MALFORMED, origin=origin)
        for key, value, origin in bindings
        if value is None
    ]
    pairs = [(key, value, origin) for key, value, origin in bindings if value is not None]
    found = _read(name, pairs)
    problems += [*_duplicates(pairs, name), *found.problems]
    if any(
        isinstance(entry.value, SecretStr) and entry.origin.key in secret_names() for entry in found.entries.values()
    ):
        problems += _open_to_others(path, Origin(name, name))
    return Source(name, found.entries, tuple(problems))


def _bindings(text: str, source: str) -> Iterator[tuple[str, str | None, Origin]]:
    """Yield name, value and place of each entry; a line that is none has no value, and what is wrong with it as its name.

    The places are counted here: the parser gives the line of the comments before an entry, and counts a malformed line of a
    file from Windows twice.
    """
    from dotenv.parser import parse_stream

    line = 1
    for binding in parse_stream(io.StringIO(text.replace("\r\n", "\n"))):
        written = binding.original.string
        before = len(written) - len(written.lstrip())
        before += len(export.group()) if (export := EXPORT.match(written, before)) else 0
        column = before - (written.rfind("\n", 0, before) + 1) + 1
        start = line + written.count("\n", 0, before)
        line += written.count("\n")
        if binding.error or (binding.key is not None and binding.value is None):
            yield _malformed(written), None, Origin(source, source, start, column)
        elif binding.key is not None:
            yield binding.key, binding.value or "", Origin(source, binding.key, start, column)


def _malformed(written: str) -> str:
    """Return what is wrong with a line that is no entry; of it no more than a known name is repeated, it may be part of a key."""
    name, equals, rest = written.strip().removeprefix("export ").partition("=")
    if name.strip() not in known_names():
        return "is not NAME=value"
    if not equals:
        return f"has no = after {name.strip()}"
    return (
        f"has a quote after {name.strip()}= that is never closed"
        if rest.lstrip()[:1] in ("'", '"')
        else "is not NAME=value"
    )


def _duplicates(pairs: Sequence[tuple[str, str, Origin]], source: str) -> Iterator[Problem]:
    """Yield a warning for each known name that stands twice: only the later one counts."""
    first: dict[str, Origin] = {}
    for name, _, origin in pairs:
        if name not in first:
            first[name] = origin
        elif name in known_names():
            message = (
                f"{name} is set twice in {source}, on lines {first[name].line} and {origin.line}: the later one counts"
            )
            yield Problem("TN307", name, message, "keep one of the two", origin=origin)


def _unreadable_by_default(directory: str, error: OSError | ValueError) -> tuple[Problem, ...]:
    """Return a warning if the default secrets directory is there but closed: secrets in it would be missed without a word."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ()
    message = f"{directory} is there, but cannot be listed: {_reason(error)}"
    fix = f"let this user read it, or set {SECRETS_DIR_VARIABLE} to another folder"
    return (Problem("TN304", SECRETS_DIR_VARIABLE, message, fix),)


def _unread_file(file: str, origin: Origin) -> list[Problem]:
    """Return what there is to say of a file in the secrets directory that is none of the secrets."""
    stem, secrets = Path(file).stem, secret_names()
    if stem != file and stem.upper() in secrets:
        message = f"{file} is not read as {stem.upper()}: it has the suffix {Path(file).suffix}"
        return [Problem("TN305", file, message, f"rename it to {stem}", (stem,), origin)]
    if file.upper() in known_names():
        message = f"{file} is no secret, and only secrets are read from the secrets directory"
        return [Problem("TN305", file, message, f"set {file.upper()} in the environment, or in a .env", (), origin)]
    return told_of_unknown(file.removesuffix(".txt"), "", origin, everything=False, known=secrets)


def read_secrets_dir(directory: str, *, must_exist: bool, named: Origin | None = None) -> Source:
    """Return the secrets that stand in ``directory`` as files named as the variables, in upper or lower case.

    The folder is listed once; other files in it are not opened.

    Parameters
    ----------
    directory : str
        The folder.
    must_exist : bool
        Whether a missing folder is a problem.
    named : Origin, optional
        Where the folder was named.

    """
    name = f"secrets directory {path_shown(directory)}"
    secrets = secret_names()
    try:
        listed = sorted(os.listdir(directory))  # noqa: PTH208  ten times cheaper than Path.iterdir where there is no folder
    except (OSError, ValueError) as error:
        if not must_exist:
            return Source(name, problems=_unreadable_by_default(directory, error))
        message = f"{SECRETS_DIR_VARIABLE} names {path_shown(directory)}, which cannot be listed: {_reason(error)}"
        fix = "give a folder that this user may read"
        problem = Problem("TN405", SECRETS_DIR_VARIABLE, message, fix, origin=named)
        return Source(name, problems=(problem,))
    entries: dict[str, Entry] = {}
    problems: list[Problem] = []
    for file in listed:
        origin = Origin(name, file)
        if (variable := file.upper()) not in secrets:
            problems += _unread_file(file, origin)
            continue
        if variable in entries:
            message = (
                f"{entries[variable].origin.key} and {file} in {directory} are the same secret: the later one counts"
            )
            problems.append(Problem("TN307", file, message, "keep one of the two", origin=origin))
        found = _secret_from_file(f"{directory}/{file}", origin, named=False)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            entries[variable] = found
    return Source(name, entries, tuple(problems))


def env_files(env_file: EnvFiles) -> Iterator[tuple[Path, bool]]:
    """Yield the ``.env`` files that are meant, and whether each must exist."""
    if isinstance(env_file, EllipsisType):
        yield Path(DEFAULT_ENV_FILE), False
    elif isinstance(env_file, str | os.PathLike):
        yield Path(env_file), True
    else:
        yield from ((Path(path), True) for path in env_file or ())


def read_sources(env_file: EnvFiles, environ: Mapping[str, str]) -> tuple[Source, ...]:
    """Return the sources, lowest precedence first: ``.env`` files, secrets directory, process environment."""
    files = tuple(read_env_file(path, must_exist=must_exist) for path, must_exist in env_files(env_file))
    process = read_environ(environ)
    named = next(
        (found for source in (process, *reversed(files)) if (found := source.entries.get(SECRETS_DIR_VARIABLE))), None
    )
    if named is None:
        secrets = read_secrets_dir(SECRETS_DIR_DEFAULT, must_exist=False)
    else:
        secrets = read_secrets_dir(str(named.value), must_exist=True, named=named.origin)
    return (*files, secrets, process)
