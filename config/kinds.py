"""Every kind of problem by its code, with an example and its cure; the texts stand in ``kinds.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files

from config.problems import ExitCode, Problem

EXITS: Mapping[ExitCode, str] = {
    ExitCode.OK: "a note: nothing is wrong",
    ExitCode.INTERNAL: "exit code 1: a defect of this program",
    ExitCode.USAGE: "exit code 2: the command was called wrongly",
    ExitCode.WARNINGS: "a warning: it runs, and ends with exit code 3 under `--strict`",
    ExitCode.SETTINGS: "exit code 4: settings are invalid",
    ExitCode.CREDENTIALS: "exit code 5: credentials are missing, or for another environment",
    ExitCode.DEPENDENCY: "exit code 6: a dependency is down",
    ExitCode.NOT_READY: "exit code 7: not ready in time",
    ExitCode.REFUSED: "exit code 8: refused for safety",
    ExitCode.NODE_FAILED: "exit code 9: the running node failed",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem.

    Parameters
    ----------
    code : str
        As in :class:`config.problems.Problem`.
    title : str
        What it is, in a few words.
    meaning : str
        Why it matters.
    cure : str
        What to do.
    prints : str
        What the program says.
    env : str
        A ``.env`` that gives it; empty where no file can.

    """

    code: str
    title: str
    meaning: str
    cure: str
    prints: str
    env: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """The exit code that this kind alone would give."""
        return ExitCode(int(self.code[2]))

    def to_dict(self) -> dict[str, str | int]:
        """Return the kind as JSON primitives."""
        return {**asdict(self), "exit_code": int(self.exit_code)}


@cache
def kinds() -> Mapping[str, Kind]:
    """Return every kind of problem by code, in the order of the codes."""
    table = tomllib.loads(files(__package__).joinpath("kinds.toml").read_text("utf-8"))
    return {
        code: Kind(code, **{name: text.strip("\n") for name, text in table[code].items()}) for code in sorted(table)
    }


def unknown_code(code: str) -> Problem:
    """Return the usage error for a code that no problem has."""
    fix = "the last line of `tradingnode check` names the codes; `tradingnode schema --format problems` lists all"
    return Problem("TN203", "CODE", f"{code} is not the code of a problem", fix)


def page(kind: Kind) -> str:
    """Return the page of one kind, as Markdown."""
    parts = [f"## {kind.code}: {kind.title}", f"*{EXITS[kind.exit_code]}*", kind.meaning, f"**Cure.** {kind.cure}"]
    if kind.env:
        parts += ["With this `.env`:", f"```shell\n{kind.env}\n```"]
    parts += ["it says:", f"```text\n{kind.prints}\n```"]
    return "\n\n".join(parts) + "\n"


def all_pages() -> str:
    """Return the pages of all kinds, as Markdown."""
    head = (
        "# Problems\n\n"
        "Generated from `config/kinds.toml` by `tradingnode schema --format problems`; a test keeps it so.\n"
        "The first digit of a code is the exit code that it gives alone: `TN4..` is 4. `TN3..` are warnings, `TN0..` notes.\n"
        "`tradingnode explain TN401` prints one page.\n\n"
    )
    return head + "\n".join(page(kind) for kind in kinds().values())
