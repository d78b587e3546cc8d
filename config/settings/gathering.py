"""All sources and layers together: what is said, before any value is judged."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from config.presets import PRESETS
from config.problems import ConfigError, Origin, Problem
from config.roles import NOT_USED, TRADER, uses
from config.settings.former import modernise
from config.settings.hiding import found
from config.settings.layers import Layer, Merged, Value, layer_of, layer_of_call, merge
from config.settings.sources import EnvFiles, read_sources
from config.settings.variables import PRESET_VARIABLE, path_of, variables_by_path

CALL = "arguments of the call"
COMMAND = "the command"
# Nothing longer is a slip of one of the few words that are accepted somewhere.
LONGEST_SLIP = 80


@dataclass(frozen=True, slots=True)
class Gathered:
    """What all sources say together, before any value is judged."""

    merged: Merged
    role: str
    preset: str | None
    environ: Mapping[str, str]
    sources: tuple[str, ...]
    problems: tuple[Problem, ...]


def gather(
    *,
    env_file: EnvFiles = ...,
    environ: Mapping[str, str] | None = None,
    preset: str | None = None,
    values: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    needs_preset: bool = False,
) -> Gathered:
    """Return the merged layers: defaults of a command, preset, sources, arguments of the call, lowest first.

    Raises
    ------
    ConfigError
        If a file that was named does not exist, or there is no telling which preset is meant.

    """
    environ = os.environ if environ is None else environ
    read = read_sources(env_file, environ)
    sources, told = modernise(read)
    problems = [*(problem for source in sources for problem in source.problems), *told]
    if missing := [problem for problem in problems if problem.code == "TN202"]:
        raise ConfigError(missing)  # whatever else seems wrong may stand in that file
    said = [source.entries[PRESET_VARIABLE] for source in sources if PRESET_VARIABLE in source.entries]
    name = preset if preset is not None else str(said[-1].value).lower() if said else None
    if name is not None and name not in PRESETS:
        problems.append(unknown_preset(name, said[-1].origin if preset is None else None))
        name = nearest_preset(name)  # under which all else is judged, so that it is told at once
        if name is None:
            raise ConfigError(problems)
    if name is None and needs_preset:
        fix = f"add --preset with one of {', '.join(PRESETS)}"
        raise ConfigError([*problems, Problem("TN201", "--preset", "this command needs a preset", fix, tuple(PRESETS))])

    layers = [layer_of(source) for source in sources]
    problems += [problem for _, found in layers for problem in found]
    merged = merge(
        [
            layer_of_call(COMMAND, defaults or {}),
            _preset_layer(name),
            *(layer for layer, _ in layers),
            layer_of_call(CALL, {**(values or {}), **({"preset": preset} if preset is not None else {})}),
        ]
    )
    role = merged.text("role", TRADER).lower()
    role = role if role in NOT_USED else TRADER
    used = [problem for problem in problems if uses(role, path_of(problem.key) or _section_of(problem.key))]
    return Gathered(_for_role(merged, role), role, name, environ, tuple(source.name for source in sources), tuple(used))


def _section_of(key: str) -> str:
    """Return the section that a name nothing reads was meant for, by its beginning."""
    return f"{key.partition('_')[0].lower()}."


def _for_role(merged: Merged, role: str) -> Merged:
    """Return the layers without what a process of ``role`` has no use for."""
    if role == TRADER:
        return merged
    values = {path: value for path, value in merged.values.items() if uses(role, path)}
    values["execution"] = Value("NONE", merged.values["role"].origin)
    return replace(merged, values=values)


def nearest_preset(name: str) -> str | None:
    """Return the preset that ``name`` is most likely a slip of."""
    return next(iter(get_close_matches(name[:LONGEST_SLIP], PRESETS, n=1, cutoff=0.5)), None)


def unknown_preset(name: str, origin: Origin | None = None) -> Problem:
    """Return the usage error for a preset that does not exist."""
    key = PRESET_VARIABLE if origin is not None else "--preset"
    near = nearest_preset(name)
    fix = f"choose one of {', '.join(PRESETS)}" if near is None else f"did you mean {near}?"
    message = f"{found(key, name)}, expected one of {', '.join(PRESETS)}"
    return Problem("TN201", key, message, fix, tuple(PRESETS), origin)


def _preset_layer(name: str | None) -> Layer:
    source = f"preset {name}"
    values = PRESETS[name].values if name is not None else {}
    return Layer(
        source, {path: Value(value, Origin(source, variables_by_path()[path].name)) for path, value in values.items()}
    )
