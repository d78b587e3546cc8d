"""Former names of variables: they keep working, each with a warning, and never against the current name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from config.problems import Problem
from config.settings.sources import Entry, Source
from config.settings.variables import former_names


def modernise(sources: Sequence[Source]) -> tuple[tuple[Source, ...], tuple[Problem, ...]]:
    """Return the sources with current names only, and what there is to say of the former ones.

    The current name wins wherever each stands; if both are set to different values, that is a problem.
    """
    former = former_names()
    found = [(entry, former[name]) for source in sources for name, entry in source.entries.items() if name in former]
    if not found:
        return tuple(sources), ()
    current = {name: source.entries[name] for source in sources for name in former.values() if name in source.entries}
    problems = []
    for entry, name in found:
        rivals = [current[name]] if name in current else [other for other, same in found if same == name]
        rival = next((rival for rival in rivals if _text(rival) != _text(entry)), None)
        problems.append(_warning(entry, name) if rival is None else _contradiction(entry, rival, name))
    return tuple(replace(source, entries=dict(_renamed(source, current))) for source in sources), tuple(problems)


def _renamed(source: Source, current: dict[str, Entry]) -> Iterator[tuple[str, Entry]]:
    former = former_names()
    for name, entry in source.entries.items():
        if name not in former:
            yield name, entry
        elif former[name] not in current:
            yield former[name], entry


def _text(entry: Entry) -> str:
    return entry.value if isinstance(entry.value, str) else entry.value.get_secret_value()


def _warning(entry: Entry, name: str) -> Problem:
    old = entry.origin.key
    new = f"{name}_FILE" if old.upper().endswith("_FILE") else name.lower() if old.islower() else name
    fix = f"rename it to {new}"
    if entry.origin.line is not None:
        fix += "; `tradingnode check --fix` does that"
    return Problem("TN306", old, f"{old} is the former name of {new}", fix, (new,), entry.origin)


def _contradiction(entry: Entry, rival: Entry, name: str) -> Problem:
    message = (
        f"{entry.origin.key} and {rival.origin.key} ({rival.origin}) name the same setting and have different values"
    )
    fix = f"set {name} to the value that you mean, and remove the former name"
    return Problem("TN416", entry.origin.key, message, fix, origin=entry.origin)
