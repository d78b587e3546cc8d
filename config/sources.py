"""The sources of settings, and the only code that reads them: process environment, ``.env`` files, secret files."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import EllipsisType

from pydantic import SecretStr

from config.problems import Origin, Problem
from config.variables import SECRETS_DIR_DEFAULT, SECRETS_DIR_VARIABLE, known_names, secret_names

type EnvFiles = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | EllipsisType | None

ENVIRONMENT = "process environment"
PREFIXES = ("NAUTILUS_", "BINANCE_", "BYBIT_", "REDIS_")
# Nautilus looks these up by itself.
READ_BY_NAUTILUS = frozenset({"NAUTILUS_PATH", "NAUTILUS_LOG", "NAUTILUS_WORKER_THREADS"})
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


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (
        "it is not UTF-8 text"
        if isinstance(error, UnicodeDecodeError)
        else (error.strerror or type(error).__name__).lower()
    )


def _secret_from_file(path: str, origin: Origin) -> Entry | Problem:
    """Return the content of a secret file without surrounding white space, or why there is none."""
    try:
        # A pipe or a device would keep the program waiting for ever.
        if Path(path).exists() and not (Path(path).is_file() or Path(path).is_dir()):
            raise OSError(errno.EINVAL, "it is not a regular file")
        with Path(path).open("rb") as file:
            text = file.read(SECRET_FILE_BYTES_MAX).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        return Problem(
            "TN405",
            origin.key,
            f"{origin.key} names {path}, which cannot be read: {_reason(error)}",
            "give the path of a file that this user may read, holding nothing but the secret",
            origin=origin,
        )
    if not text:
        return Problem(
            "TN405",
            origin.key,
            f"{origin.key} names {path}, which is empty",
            "write the secret into that file",
            origin=origin,
        )
    return Entry(SecretStr(text), origin)


def _read(source: str, pairs: Mapping[str, tuple[str, int | None]]) -> Source:
    """Return the known variables among ``pairs`` of name -> (text, line); an empty value is unset."""
    secrets, names = secret_names(), known_names()
    entries: dict[str, Entry] = {}
    problems: list[Problem] = []
    for name, (raw, line) in pairs.items():
        origin = Origin(source, name, line)
        if name not in names:
            problems += _unknown(origin)
            continue
        if not (text := raw.strip()):
            continue
        if name in secrets:
            entries[name] = Entry(SecretStr(text), origin)
        elif (secret := name.removesuffix("_FILE")) in secrets:
            if pairs.get(secret, ("", None))[0].strip():
                message = f"{secret} and {name} are both set in {source}"
                problems.append(Problem("TN403", name, message, "keep one of the two", origin=origin))
                continue
            found = _secret_from_file(text, origin)
            if isinstance(found, Problem):
                problems.append(found)
            else:
                entries[secret] = found
        else:
            entries[name] = Entry(text, origin)
    return Source(source, entries, tuple(problems))


def _unknown(origin: Origin) -> list[Problem]:
    """Return a warning for a name that looks like one of ours and that nothing reads: a setting that is silently not set.

    Other tools have variables of their own in the process environment, so there only what is surely ours, or nearly so, counts.
    """
    name = origin.key
    if not name.startswith(PREFIXES) or name in READ_BY_NAUTILUS:
        return []
    near = get_close_matches(name, known_names(), n=1, cutoff=0.8)
    if origin.source == ENVIRONMENT and not name.startswith("NAUTILUS_"):
        near = get_close_matches(name, known_names(), n=1, cutoff=0.93)
        if not near:
            return []
    fix = f"did you mean {near[0]}?" if near else "remove it; docs/reference.md lists the names that are read"
    return [Problem("TN305", name, f"{name} is not a variable that anything reads", fix, tuple(near), origin)]


def read_environ(environ: Mapping[str, str]) -> Source:
    """Return what stands in the process environment."""
    return _read(ENVIRONMENT, {name: (text, None) for name, text in environ.items()})


def read_env_file(path: Path, *, must_exist: bool) -> Source:
    """Return what stands in a ``.env`` file; a value arrives as written, ``${`` included.

    Parameters
    ----------
    path : Path
        The file, at most 64 KiB.
    must_exist : bool
        Whether a missing file is a problem (exit code 2).

    """
    name = str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(ENV_FILE_BYTES_MAX + 1)
        text = raw.decode("utf-8-sig")
    except FileNotFoundError:
        if not must_exist:
            return Source(name)
        problem = Problem("TN202", "--env-file", f"{name} does not exist", "give the path of a file, or leave it out")
        return Source(name, problems=(problem,))
    except (OSError, UnicodeDecodeError) as error:
        message = f"{name} cannot be read: {_reason(error)}"
        return Source(
            name, problems=(Problem("TN404", name, message, "make it a UTF-8 text file that this user may read"),)
        )
    if len(raw) > ENV_FILE_BYTES_MAX:
        message = f"{name} is larger than {ENV_FILE_BYTES_MAX // 1024} KiB"
        return Source(name, problems=(Problem("TN404", name, message, "keep only the variables in it"),))

    from dotenv.parser import parse_stream

    pairs: dict[str, tuple[str, int | None]] = {}
    problems = []
    for binding in parse_stream(io.StringIO(text)):
        written = binding.original.string
        # The parser counts the empty lines before a binding as its own.
        line = binding.original.line + written[: len(written) - len(written.lstrip())].count("\n")
        if binding.error:
            origin = Origin(name, name, line)
            message = f"{name} line {line} is not NAME=value"
            problems.append(
                Problem("TN404", name, message, "write NAME=value, quotes closed, or begin it with #", origin=origin)
            )
        elif binding.key is not None:
            pairs[binding.key] = (binding.value or "", line)
    found = _read(name, pairs)
    return Source(name, found.entries, (*problems, *found.problems))


def _unreadable_by_default(directory: str, error: OSError) -> tuple[Problem, ...]:
    """Return a warning if the default secrets directory is there but closed: secrets in it would be missed without a word."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ()
    message = f"{directory} is there, but cannot be listed: {_reason(error)}"
    fix = f"let this user read it, or set {SECRETS_DIR_VARIABLE} to another folder"
    return (Problem("TN304", SECRETS_DIR_VARIABLE, message, fix),)


def read_secrets_dir(directory: str, *, must_exist: bool) -> Source:
    """Return the secrets that stand in ``directory`` as files named as the variables, in upper or lower case.

    The folder is listed once; other files in it are not opened.
    """
    name = f"secrets directory {directory}"
    secrets = secret_names()
    try:
        listed = sorted(os.listdir(directory))  # noqa: PTH208  ten times cheaper than Path.iterdir where there is no folder
    except OSError as error:
        if not must_exist:
            return Source(name, problems=_unreadable_by_default(directory, error))
        message = f"{SECRETS_DIR_VARIABLE} names {directory}, which cannot be listed: {_reason(error)}"
        problem = Problem("TN405", SECRETS_DIR_VARIABLE, message, "give a folder that this user may read")
        return Source(name, problems=(problem,))
    found = {
        variable: _secret_from_file(f"{directory}/{file}", Origin(name, file))
        for file in listed
        if (variable := file.upper()) in secrets
    }
    return Source(
        name,
        {variable: entry for variable, entry in found.items() if isinstance(entry, Entry)},
        tuple(entry for entry in found.values() if isinstance(entry, Problem)),
    )


def _env_files(env_file: EnvFiles) -> Iterator[tuple[Path, bool]]:
    if isinstance(env_file, EllipsisType):
        yield Path(DEFAULT_ENV_FILE), False
    elif isinstance(env_file, str | os.PathLike):
        yield Path(env_file), True
    else:
        yield from ((Path(path), True) for path in env_file or ())


def read_sources(env_file: EnvFiles, environ: Mapping[str, str]) -> tuple[Source, ...]:
    """Return the sources, lowest precedence first: ``.env`` files, secrets directory, process environment."""
    files = tuple(read_env_file(path, must_exist=must_exist) for path, must_exist in _env_files(env_file))
    process = read_environ(environ)
    named = next(
        (found for source in (process, *reversed(files)) if (found := source.entries.get(SECRETS_DIR_VARIABLE))), None
    )
    directory = SECRETS_DIR_DEFAULT if named is None else str(named.value)
    return (*files, read_secrets_dir(directory, must_exist=named is not None), process)
