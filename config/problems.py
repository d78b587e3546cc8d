"""What can be wrong, in one shape, and the exit code that says how grave it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value stands: the name of its source, its spelling there and, for files, the line (from 1)."""

    source: str
    key: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source} line {self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong or suspicious, and how to mend it.

    Parameters
    ----------
    code : str
        Short stable code, ``TN`` and three digits; the first digit is the exit code (``TN5xx`` is 5), ``TN3xx`` are warnings.
    key : str
        The setting as its source spells it, such as ``REDIS_PORT``.
    message : str
        One sentence: what was found and what was expected. Never holds a secret.
    accepted : tuple of str
        What is accepted; empty where that is no list.
    fix : str
        What to do about it.
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

    def __str__(self) -> str:
        lines = [f"{'warning' if self.is_warning else 'error'}: {self.message}"]
        if self.origin is not None:
            overridden = f" (overrides {self.overrides})" if self.overrides is not None else ""
            lines.append(f"   at: {self.origin}{overridden}")
        lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the problem as JSON primitives."""
        origin = self.origin
        return {
            "code": self.code,
            "key": self.key,
            "severity": "warning" if self.is_warning else "error",
            "message": self.message,
            "accepted": list(self.accepted),
            "fix": self.fix,
            "origin": None if origin is None else {"source": origin.source, "key": origin.key, "line": origin.line},
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
    """Return the warnings among ``problems``, or raise ConfigError if there are errors among them."""
    found = tuple(problems)
    if any(not problem.is_warning for problem in found):
        raise ConfigError(found)
    return found


def as_json(problems: Iterable[Problem], **fields: Any) -> str:
    """Return one JSON object with ``fields`` and the problems, for ``--json``."""
    return json.dumps({**fields, "problems": [problem.to_dict() for problem in problems]}, indent=2)
