"""From the environment to a settings object: read the sources, merge the layers, check everything, tell all problems at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from pydantic import SecretStr, ValidationError

from config.credentials import select
from config.layers import SECTIONS, Layer, Merged, Value, layer_of, layer_of_call, merge
from config.models import MISFIT, VENUE_FIELDS, MergedLayers, TradingNodeSettings, VenueName
from config.presets import PRESETS, guard, risky
from config.problems import ConfigError, Origin, Problem, raise_errors
from config.record import as_text
from config.sources import EnvFiles, read_sources
from config.variables import PRESET_VARIABLE, variables_by_path

CALL = "arguments of the call"
COMMAND = "the command"
# How the variables end that say which environment of a venue is meant.
ENVIRONMENT_NAMES = ("_ENVIRONMENT", "_TESTNET", "_DEMO")
# A key pasted into the wrong variable: exchanges' keys have 18 letters and digits or more in a row.
LOOKS_LIKE_A_KEY = re.compile(r"[A-Za-z0-9+=]{18,}")
STATE_HOME = "user's state directory"


def load[S: TradingNodeSettings](
    cls: type[S],
    *,
    env_file: EnvFiles = ...,
    environ: Mapping[str, str] | None = None,
    preset: str | None = None,
    values: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    needs_preset: bool = False,
) -> S:
    """Return the settings that apply; see :meth:`config.models.TradingNodeSettings.from_env`.

    Without ``preset``, the one that ``NAUTILUS_PRESET`` names applies. ``defaults`` are a command's own, below every other layer.
    """
    environ = os.environ if environ is None else environ
    sources = read_sources(env_file, environ)
    problems = [problem for source in sources for problem in source.problems]
    said = [source.entries[PRESET_VARIABLE] for source in sources if PRESET_VARIABLE in source.entries]
    name = preset if preset is not None else str(said[-1].value).lower() if said else None
    origin = said[-1].origin if said and preset is None else None
    if name is not None and name not in PRESETS:
        raise ConfigError([*problems, unknown_preset(name, origin)])
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
            layer_of_call(CALL, values or {}),
        ]
    )
    tree, origins, found = _tree(merged, environ)
    problems += found
    settings, found = _validate(cls, tree, origins, merged)
    problems += found
    told = {problem.key for problem in problems}
    if settings is not None and any(problem.code in ("TN502", "TN503") for problem in problems):
        settings._judged = _meant(merged)
    whole = all(problem.is_warning for problem in problems)
    if settings is not None:
        problems += [problem for problem in guard(settings, name) if problem.key not in told]
        told = {problem.key for problem in problems}
        # Where a bad value was left out, a warning might be about what was not meant.
        problems += [problem for problem in risky(settings) if whole and problem.key not in told]
    warnings = raise_errors(_once(problems))
    if settings is None:
        raise ConfigError(problems)
    settings._preset = name
    settings._warnings = warnings
    return settings


def unknown_preset(name: str, origin: Origin | None = None) -> Problem:
    """Return the usage error for a preset that does not exist."""
    key = PRESET_VARIABLE if origin is not None else "--preset"
    near = get_close_matches(name, PRESETS, n=1, cutoff=0.5)
    fix = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(PRESETS)}"
    message = f"{key} is '{name}', expected one of {', '.join(PRESETS)}"
    return Problem("TN201", key, message, fix, tuple(PRESETS), origin)


def _preset_layer(name: str | None) -> Layer:
    source = f"preset {name}"
    values = PRESETS[name].values if name is not None else {}
    return Layer(
        source, {path: Value(value, Origin(source, variables_by_path()[path].name)) for path, value in values.items()}
    )


def _once(problems: list[Problem]) -> list[Problem]:
    """Return the problems without repeats and without what follows from another one.

    A guard misses the key that was told to be the wrong one, and no key can be judged for an environment that is in doubt.
    """

    def venue(problem: Problem) -> str:
        return problem.key.partition("_")[0]

    doubtful = {
        venue(problem)
        for problem in problems
        if problem.code in ("TN401", "TN403", "TN803", "TN808") and problem.key.endswith(ENVIRONMENT_NAMES)
    }
    judged = doubtful | {venue(problem) for problem in problems if problem.code in ("TN502", "TN503")}
    kept = [
        problem
        for problem in problems
        if not (problem.code == "TN501" and venue(problem) in judged)
        and not (problem.code in ("TN502", "TN503") and venue(problem) in doubtful)
        and not (problem.code == "TN504" and judged)
    ]
    return list(dict.fromkeys(kept))


def _tree(merged: Merged, environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Origin], list[Problem]]:
    """Return the merged values as the tree that the settings class takes, their origins, and problems with keys."""
    chosen = dict(merged.values)
    problems: list[Problem] = []
    simulated = merged.text("execution", "VENUE") == "SIMULATED"
    named = chosen.get("venues")
    on = [venue.lower() for venue in _meant(merged)]
    for venue in on:
        if simulated:
            continue
        environment = merged.text(f"{venue}.environment", "LIVE")
        pair = select(merged, venue, environment, _account_type(merged, venue))
        chosen |= pair.values
        # A venue that is only named, without any key, is data only; the presets that want a key say so themselves.
        problems += [problem for problem in pair.problems if problem.code != "TN501"]
    if simulated and named is None and on:
        origin = next(key.origin for key in merged.keys)
        chosen["venues"] = Value(tuple(venue.upper() for venue in on), origin)
    if "state_dir" not in chosen and "trader_id" in chosen and (home := _state_home(environ)) is not None:
        folder = home / "tradingnode" / str(chosen["trader_id"].value)
        chosen["state_dir"] = Value(folder, Origin(STATE_HOME, "XDG_STATE_HOME"))

    by_preset = {path for path, value in chosen.items() if value.origin.source.startswith("preset")}
    sections = {path.partition(".")[0] for path in chosen.keys() - by_preset if "." in path} | set(on)
    tree: dict[str, Any] = {section: {} for section in sections & SECTIONS}
    origins: dict[str, Origin] = {}
    for path, value in chosen.items():
        section, _, name = path.partition(".")
        if not name:
            tree[path] = value.value
        elif section in tree:
            tree[section][name] = value.value
        else:
            continue
        origins[path] = value.origin
    return tree, origins, problems


def _meant(merged: Merged) -> tuple[VenueName, ...]:
    """Return the venues that somebody meant to be on: those that are named, else those with any key."""
    named = merged.values.get("venues")
    with_key = {key.venue for key in merged.keys}
    on = (
        venue for venue in VENUE_FIELDS if (venue.upper() in str(named.value).upper() if named else venue in with_key)
    )
    return tuple(cast("VenueName", venue.upper()) for venue in on)


def _account_type(merged: Merged, venue: str) -> str:
    """Return the account type for which a key is looked for; empty if it is none, which the models tell."""
    variable = variables_by_path().get(f"{venue}.account_type")
    text = merged.text(f"{venue}.account_type", str(variable.default) if variable is not None else "")
    return text if variable is not None and text in variable.choices else ""


def _state_home(environ: Mapping[str, str]) -> Path | None:
    """Return the user's state directory after the XDG base directory specification."""
    if (given := environ.get("XDG_STATE_HOME", "")).startswith("/"):
        return Path(given)
    home = environ.get("HOME", "")
    return Path(home, ".local", "state") if home else None


def _validate[S: TradingNodeSettings](
    cls: type[S], tree: dict[str, Any], origins: dict[str, Origin], merged: Merged
) -> tuple[S | None, list[Problem]]:
    """Return the settings; where some values are bad, their problems and settings without them, for the guards to look at."""
    problems: list[Problem] = []
    spoilt: set[str] = set()
    while True:
        try:
            return _built(cls, tree, origins), problems
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
        # Rules over several settings speak only once each of them is good, and of what was said, not of what was left out.
        found = [_problem(detail, origins, merged) for detail in details if _section(detail) not in spoilt]
        problems += [problem for problem in found if problem not in problems]
        spoilt |= {_section(detail) for detail in details if not str(detail["type"]).startswith((MISFIT, "missing"))}
        before = _size(tree)
        for detail in details:
            _drop(tree, detail)
        if _size(tree) == before and "trader_id" in tree:
            return None, problems
        tree.setdefault("trader_id", "UNKNOWN-0")


def _built[S: TradingNodeSettings](cls: type[S], tree: Mapping[str, Any], origins: dict[str, Origin]) -> S:
    # The sources are given, so that pydantic-settings does not make its own on the way: that costs as much as the validation.
    settings = cls(_build_sources=((MergedLayers(cls, tree),), {}))
    settings._origins = origins
    return settings


def _path(detail: Mapping[str, Any]) -> str:
    """Return the dotted path of the setting that an error is about."""
    loc = [str(part) for part in detail["loc"]]
    if (kind := str(detail["type"])).startswith(MISFIT):
        return ".".join([*loc, kind.removeprefix(MISFIT)])
    depth = 2 if loc and loc[0] in SECTIONS else 1
    return ".".join(loc[:depth])


def _section(detail: Mapping[str, Any]) -> str:
    return _path(detail).rpartition(".")[0]


def _size(tree: Mapping[str, Any]) -> int:
    return sum(1 + (len(value) if isinstance(value, dict) else 0) for value in tree.values())


def _drop(tree: dict[str, Any], detail: Mapping[str, Any]) -> None:
    section, _, name = _path(detail).partition(".")
    if name and isinstance(tree.get(section), dict):
        tree[section].pop(name, None)
    else:
        tree.pop(section, None)


def _problem(detail: Mapping[str, Any], origins: Mapping[str, Origin], merged: Merged) -> Problem:
    """Return a pydantic error as a problem, spelled as its source spells the setting."""
    path = _path(detail)
    variable = variables_by_path().get(path)
    origin = origins.get(path)
    key = origin.key if origin is not None else variable.name if variable is not None else path
    overridden = next((value.origin for value in merged.overridden.get(path, ())), None)
    if path in SECTIONS:
        names = ", ".join(known.removeprefix(f"{path}.") for known in variables_by_path() if known.startswith(path))
        return Problem("TN401", key, f"{key} is not a section", f"give a mapping with some of {names}", origin=origin)
    if variable is None:
        near = get_close_matches(path, variables_by_path(), n=1)
        fix = f"did you mean {near[0]}?" if near else "remove it"
        return Problem("TN401", key, f"{key} is not a setting", fix, origin=origin)
    if detail["type"] == "missing":
        message = f"{key} is not set, expected {variable.accepted}"
        return Problem("TN402", key, message, f"set {key}, for example {key}={variable.example}", variable.choices)
    if str(detail["type"]).startswith(MISFIT):
        said, name = str(detail["msg"]), str(detail["type"]).removeprefix(MISFIT)
        message = f"{key}{said.removeprefix(name)}" if said.startswith(f"{name} ") else said
        return Problem(
            "TN406", key, message, f"change {key} or what contradicts it", variable.choices, origin, overridden
        )
    given = merged.values.get(path)
    # A url may hold a password before the @ or a token behind the question mark, and stand in the wrong variable.
    hidden = (
        variable.secret
        or given is None
        or isinstance(given.value, SecretStr)
        or bool({"@", "?"} & set(str(given.value)))
        or LOOKS_LIKE_A_KEY.search(str(given.value)) is not None
    )
    found = f"{key} is not valid" if hidden or given is None else f"{key} is '{given.value}'"
    near = (
        get_close_matches(str(given.value).upper(), variable.choices, n=1) if given is not None and not hidden else []
    )
    if near:
        fix = f"did you mean {near[0]}?"
    elif variable.default in (None, (), {}):
        fix = f"give {variable.accepted}" + ("" if variable.required else ", or leave it out")
    else:
        fix = f"give {variable.accepted}, or leave it out for {as_text(variable.default)}"
    return Problem("TN401", key, f"{found}, expected {variable.accepted}", fix, variable.choices, origin, overridden)


def with_preset(settings: TradingNodeSettings, preset: str) -> TradingNodeSettings:
    """Return given settings with the preset's values where nothing was said, its guards applied; nothing is read.

    A venue's environment is not among them: what a given key is for is said by who gives it.

    Raises
    ------
    ConfigError
        If a guard refuses the settings.

    """
    values = {
        path: value
        for path, value in PRESETS[preset].values.items()
        if "." not in path and path not in settings.model_fields_set
    }
    laid = _replaced(settings, values)
    laid._preset = preset
    laid._warnings = raise_errors(_once([*guard(laid, preset), *risky(laid)]))
    return laid


def _replaced(settings: TradingNodeSettings, values: Mapping[str, Any]) -> TradingNodeSettings:
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    laid = type(settings)(**{**given, **values})
    laid._origins = settings.origins
    return laid
