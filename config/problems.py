"""What can be wrong, in one shape, and the exit code that says how grave it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """Exit codes of ``tradingnode``; a supervisor may rely on them."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    WARNINGS = 3
    SETTINGS = 4
    CREDENTIALS = 5
    DEPENDENCY = 6
    NOT_READY = 7
    REFUSED = 8
    NODE_FAILED = 9
    CHANGES = 10


# Of several problems the gravest decides the exit code: safety, then credentials, then settings, then the rest.
GRAVITY = (
    ExitCode.REFUSED,
    ExitCode.CREDENTIALS,
    ExitCode.SETTINGS,
    ExitCode.USAGE,
    ExitCode.DEPENDENCY,
    ExitCode.NOT_READY,
    ExitCode.NODE_FAILED,
    ExitCode.INTERNAL,
    ExitCode.WARNINGS,
    ExitCode.OK,
)
SEVERITIES = {ExitCode.OK: "note", ExitCode.WARNINGS: "warning"}


# The source of a state directory that nobody named: it follows from XDG_STATE_HOME or HOME.
STATE_HOME = "user's state directory"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value stands: the name of its source, its spelling there and, for files, line and column (from 1).

    The column is that of the name's first character.
    """

    source: str
    key: str
    line: int | None = None
    column: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source} line {self.line}"

    @property
    def file(self) -> str | None:
        """The file, where the source is one with lines."""
        return None if self.line is None else self.source

    def to_dict(self) -> dict[str, Any]:
        """Return the origin as JSON primitives."""
        return {"source": self.source, "key": self.key, "file": self.file, "line": self.line, "column": self.column}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong or suspicious, and how to mend it.

    Parameters
    ----------
    code : str
        Short stable code, ``TN`` and three digits; the first digit is the exit code (``TN5xx`` is 5): ``TN3xx`` are warnings,
        ``TN0xx`` notes. :mod:`config.kinds` tells what each means.
    key : str
        The setting as its source spells it, such as ``REDIS_PORT``.
    message : str
        One sentence: what was found and what was expected. Never holds a secret.
    accepted : tuple of str
        What is accepted; empty where that is no list.
    fix : str
        What to do about it; empty for a note that asks for nothing.
    origin : Origin, optional
        Where the value stands.
    overrides : Origin, optional
        What the value overrode there.

    """

    code: str
    key: str
    message: str
    fix: str
    accepted: tuple[str, ...] = ()
    origin: Origin | None = None
    overrides: Origin | None = None

    @property
    def exit_code(self) -> ExitCode:
        """The exit code that this problem alone would give."""
        return ExitCode(int(self.code[2]))

    @property
    def is_warning(self) -> bool:
        """Whether this counts only under ``--strict``."""
        return self.exit_code is ExitCode.WARNINGS

    @property
    def is_error(self) -> bool:
        """Whether nothing runs with it."""
        return not self.is_warning and self.exit_code is not ExitCode.OK

    @property
    def severity(self) -> str:
        """One of error, warning, note."""
        return SEVERITIES.get(self.exit_code, "error")

    def __str__(self) -> str:
        lines = [f"{self.severity}: {self.message}"]
        if self.origin is not None:
            overridden = f" (overrides {self.overrides})" if self.overrides is not None else ""
            lines.append(f"   at: {self.origin}{overridden}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the problem as JSON primitives."""
        return {
            "code": self.code,
            "key": self.key,
            "severity": self.severity,
            "message": self.message,
            "accepted": list(self.accepted),
            "fix": self.fix,
            "origin": None if self.origin is None else self.origin.to_dict(),
            "overrides": None if self.overrides is None else self.overrides.to_dict(),
        }


class ConfigError(Exception):
    """Every problem that was found, at once.

    Attributes
    ----------
    problems : tuple of Problem
        Each with ``code``, ``key``, ``message``, ``accepted``, ``fix`` and ``origin``.
    exit_code : ExitCode
        That of the gravest problem.

    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @property
    def exit_code(self) -> ExitCode:
        """That of the gravest problem: 8, then 5, then 4, then the others."""
        return exit_code_of(self.problems)

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[Problem, ...]]]:
        return ConfigError, (self.problems,)


def exit_code_of(problems: Sequence[Problem]) -> ExitCode:
    """Return the exit code of the gravest of ``problems``, ``OK`` for none."""
    return min((problem.exit_code for problem in problems), key=GRAVITY.index, default=ExitCode.OK)


def raise_errors(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the warnings and notes that ``problems`` are, or raise ConfigError if there are errors among them."""
    found = tuple(problems)
    if any(problem.is_error for problem in found):
        raise ConfigError(found)
    return found


def in_order(problems: Iterable[Problem], sources: Sequence[str]) -> tuple[Problem, ...]:
    """Return the problems without repeats, by source, line and column; what stands nowhere (a missing value) comes last."""

    def place(problem: Problem) -> tuple[int, int, int]:
        origin = problem.origin
        if origin is None or origin.source not in sources:
            return len(sources), 0, 0
        return sources.index(origin.source), origin.line or 0, origin.column or 0

    return tuple(sorted(dict.fromkeys(problems), key=place))


def as_json(problems: Iterable[Problem], **fields: Any) -> str:
    """Return one JSON object with ``fields`` and the problems, for ``--json``."""
    return json.dumps({**fields, "problems": [problem.to_dict() for problem in problems]}, indent=2)
