"""How problems, settings and explanations look: on a terminal, in a file, as JSON."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from config.problems import ExitCode, Problem, as_json

if TYPE_CHECKING:
    from config.kinds import Kind
    from config.models import TradingNodeSettings
    from config.preflight.findings import Finding
    from config.show.explain import Explanation
    from config.store.reset import Stored

COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}
# Of output that no terminal shows: wide enough that a path or a sentence stands on one line.
FILE_WIDTH = 200


def write(text: str, *, err: bool = False, nl: bool = True, color: bool | None = None) -> None:
    """Write to stdout or stderr; a reader that has gone must neither break a node nor change an exit code."""
    try:
        click.echo(text, err=err, nl=nl, color=color)
    except OSError:
        # What is still buffered would be tried again at the end, and Python then exits with a code of its own.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), (sys.stderr if err else sys.stdout).fileno())


def say(line: str) -> None:
    """Write a line to stderr."""
    write(line, err=True)


def tell(problems: Iterable[Problem]) -> None:
    """Print problems on stderr, in colour on a terminal."""
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    for problem in problems:
        head, _, rest = str(problem).partition(": ")
        painted = click.style(head, fg=COLOURS[problem.severity], bold=True) if colour else head
        write(f"{painted}: {rest}", err=True, color=colour)


def tally(problems: Sequence[Problem], code: ExitCode) -> str:
    """Return in one line how many problems there are, the exit code, and what explains them; empty if there is none."""
    counts = {severity: sum(problem.severity == severity for problem in problems) for severity in COLOURS}
    told = [f"{count} {severity}{'' if count == 1 else 's'}" for severity, count in counts.items() if count]
    codes = " ".join(dict.fromkeys(problem.code for problem in problems))
    return f"{', '.join(told)}, exit {int(code)}; more: tradingnode explain {codes}" if told else ""


def finish_json(problems: Sequence[Problem], code: ExitCode, **fields: Any) -> None:
    """Print the one JSON object of a command on stdout."""
    write(as_json(problems, ok=code is ExitCode.OK, exit_code=int(code), **fields))


def _print(*parts: Any) -> None:
    from rich.console import Console

    if sys.stdout.isatty():
        Console(highlight=False).print(*parts, sep="\n")
        return
    text = io.StringIO()
    Console(file=text, width=FILE_WIDTH, highlight=False, force_terminal=False).print(*parts, sep="\n")
    write("\n".join(line.rstrip() for line in text.getvalue().splitlines()))


def _columns(*titles: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(titles))
    for title in titles:
        table.add_column(title, overflow="fold")
    return table


def print_settings(settings: TradingNodeSettings) -> None:
    """Print the settings that apply as an aligned table: what, where from, what that overrode."""
    from rich.text import Text

    from config.show.record import rows

    table = _columns("setting", "value", "from", "overrides")
    for row in rows(settings):
        overrode = ", ".join(str(value.origin) for value in row.overrides)
        cells = (row.variable.name, row.value, row.where, overrode)
        table.add_row(*(Text(cell, style="dim" if row.origin is None else "") for cell in cells))
    _print(
        Text(f"{settings.trader_id}, preset {settings.preset or 'none'}, role {settings.role}\n", style="bold"), table
    )


def settings_as_json(settings: TradingNodeSettings) -> dict[str, Any]:
    """Return the settings that apply as JSON primitives, by variable."""
    from config.show.record import rows

    return {
        row.variable.name: {
            "path": row.variable.path,
            "value": row.value,
            "tier": row.variable.tier,
            "origin": None if row.origin is None else row.origin.to_dict(),
            "overrides": [value.origin.to_dict() for value in row.overrides],
        }
        for row in rows(settings)
    }


STATES = {"ok": "green", "warning": "yellow", "error": "red bold", "unknown": "cyan", "skipped": "dim"}


def versions() -> dict[str, str]:
    """Return what runs here: Python and the packages that a node stands on."""
    import platform
    from importlib.metadata import version

    packages = ("nautilus_trader", "pydantic", "redis", "tradingnode-config")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def print_findings(findings: Sequence[Finding]) -> None:
    """Print what each step of the preflight found as an aligned table, skipped ones in few rows; problems are told after it."""
    from rich.text import Text

    table = _columns("step", "state", "ms", "found")
    for step, one in _rows(findings):
        milliseconds = f"{one.seconds * 1000:,.1f}" if one.seconds and one.state != "skipped" else ""
        table.add_row(
            Text(step), Text(one.state, STATES[one.state]), Text(milliseconds, justify="right"), Text(one.detail)
        )
    _print(Text(", ".join(f"{name} {number}" for name, number in versions().items()) + "\n", style="dim"), table)


def _rows(findings: Sequence[Finding]) -> Iterator[tuple[str, Finding]]:
    """Yield each finding with its step; of steps that were skipped one after the other for one reason the first for all."""

    def alike(numbered: tuple[int, Finding]) -> object:
        number, one = numbered
        return (one.step.partition(".")[0], one.detail) if one.state == "skipped" else number

    for _, group in groupby(enumerate(findings), alike):
        first, *others = (one for _, one in group)
        yield f"{first.step.partition('.')[0]}, {len(others) + 1} further steps" if others else first.step, first


def print_stored(stored: Stored) -> None:
    """Print what a trader has in Redis as an aligned table, and what deleting it would mean."""
    from rich.text import Text

    from config.store.reset import KINDS

    table = _columns("kind", "keys", "what")
    for kind, count in stored.counts.items():
        if count:
            table.add_row(Text(kind), Text(f"{count:,}", justify="right"), Text(KINDS[kind].what))
    number = f"{stored.total:,} key{'' if stored.total == 1 else 's'}" if stored.total else "nothing"
    _print(
        Text(f"{stored.trader_id} has {number} in Redis at {stored.where}", style="bold"),
        *(["", table] if stored.total else []),
        *(Text(f"\n{sentence}", style="yellow") for sentence in stored.consequences),
    )


def print_explanation(found: Explanation) -> None:
    """Print one setting in full."""
    from rich.text import Text

    from config.show.record import as_text

    variable = found.variable
    facts = {
        "accepted": variable.accepted,
        "default": "none: it must be set" if variable.required else as_text(variable.default) or "unset",
        "example": f"{variable.name}={variable.example}" if variable.example else "",
        "also as": ", ".join(found.names),
        "former names": ", ".join(found.former),
        "not used by": ", ".join(found.unused_by),
    }
    table = _columns("", "")
    for name, text in facts.items():
        if text:
            table.add_row(Text(name, style="bold"), Text(text))
    title = f"{variable.name}  {variable.path}".rstrip()
    layers = _columns("", "layer", "says")
    for voice in found.voices:
        where = "default" if voice.origin is None else str(voice.origin)
        spelled = f" as {voice.origin.key}" if voice.origin is not None and voice.origin.key != variable.name else ""
        style = "" if voice.applies else "dim"
        layers.add_row(
            *(Text(cell, style) for cell in ("*" if voice.applies else "", where + spelled, voice.value or "unset"))
        )
    _print(Text(title, style="bold"), Text(f"{variable.description}\n"), table)
    _print(
        Text("\nLayers, highest first; * applies", style="bold"),
        layers if found.voices else Text("no layer speaks of it"),
    )


def print_kind(kind: Kind) -> None:
    """Print the page of one kind of problem."""
    from rich.markdown import Markdown

    from config.kinds import page

    if sys.stdout.isatty():
        _print(Markdown(page(kind)))
    else:
        write(page(kind), nl=False)
