"""Run the benchmarks: ``python -m benchmarks [--only NAME] [--rounds small|normal] [--json]``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.measure import Part, Row, Sample

PACKAGES = ("nautilus_trader", "pydantic", "pydantic-settings", "python-dotenv", "msgspec")


@dataclass(frozen=True, slots=True)
class Rounds:
    """How often: calls in one process, fresh processes, nodes started."""

    calls: int
    processes: int
    nodes: int


ROUNDS = {"small": Rounds(calls=40, processes=1, nodes=1), "normal": Rounds(calls=400, processes=6, nodes=5)}


def _config(rounds: Rounds) -> Part:
    from benchmarks import part_config

    return part_config.measure(rounds.calls, rounds.processes)


def _settings(rounds: Rounds) -> Part:
    from benchmarks import part_settings

    return part_settings.measure(rounds.calls)


def _check(rounds: Rounds) -> Part:
    from benchmarks import part_check

    return part_check.measure(rounds.processes)


def _start(rounds: Rounds) -> Part:
    from benchmarks import part_start

    return part_start.measure(rounds.nodes)


def _watch(rounds: Rounds) -> Part:
    from benchmarks import part_watch

    return part_watch.measure(rounds.nodes)


PARTS: Mapping[str, Callable[[Rounds], Part]] = {
    "config": _config,
    "settings": _settings,
    "check": _check,
    "start": _start,
    "watch": _watch,
}


def machine() -> str:
    """Return what the figures depend on."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, {versions}"


def _row_as_json(row: Row) -> dict[str, Any]:
    return {
        "name": row.name.strip(),
        "unit": "ms",
        "runs": len(row.ours.times),
        "ours": row.ours.as_json(),
        "other": row.other and row.other.as_json(),
        "against": row.against if row.other is not None else None,
        "ratio": row.ratio,
    }


def _digits(milliseconds: float) -> str:
    return (
        f"{milliseconds:,.0f}"
        if milliseconds >= 100
        else f"{milliseconds:.1f}"
        if milliseconds >= 10
        else f"{milliseconds:.2f}"
    )


def _cells(sample: Sample | None) -> tuple[str, str]:
    if sample is None:
        return "", ""
    return _digits(sample.median), f"{_digits(min(sample.times))}–{_digits(max(sample.times))}"  # noqa: RUF001  a range


def table(part: Part) -> Table:
    """Return the part as a table, in milliseconds."""
    made = Table(
        title=part.title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="bold"
    )
    made.add_column("median of runs, ms", no_wrap=True)
    for title in ("ratio", "ours", "min–max", "other", "min–max"):  # noqa: RUF001  a range
        made.add_column(title, justify="right", no_wrap=True)
    made.add_column("other is", no_wrap=True)
    made.add_column("runs", justify="right", no_wrap=True)
    for row in part.rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        against = "" if row.other is None else row.against
        made.add_row(row.name, ratio, *_cells(row.ours), *_cells(row.other), against, str(len(row.ours.times)))
    return made


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure what the README claims.")
    parser.add_argument("--only", choices=PARTS, action="append", help="one part; repeatable")
    parser.add_argument("--rounds", choices=ROUNDS, default="normal")
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    args = parser.parse_args()
    began = time.perf_counter()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    if not args.json:
        console.print(machine(), soft_wrap=True)
    parts = []
    for name in args.only or PARTS:
        with Console(stderr=True).status(f"measuring {name}"):
            part = PARTS[name](ROUNDS[args.rounds])
        parts.append(part)
        if not args.json:
            console.print()
            console.print(table(part))
    targets = [target for part in parts for target in part.targets]
    seconds = time.perf_counter() - began
    if args.json:
        told = [{"name": part.name, "title": part.title, "rows": [*map(_row_as_json, part.rows)]} for part in parts]
        print(json.dumps({"machine": machine(), "seconds": seconds, "parts": told, "targets": [*map(asdict, targets)]}))
        return
    console.print()
    for target in targets:
        console.print(
            Text("ok    " if target.ok else "MISSED", "green" if target.ok else "red"), target.name, "->", target.found
        )
    console.print(f"\n{seconds:.0f} s in all; ratio: ours by the other, below 1 is faster")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
