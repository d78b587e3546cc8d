"""What was gathered, judged: values, keys, guards and weaknesses, and every problem at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from config.checks.weaknesses import weak_values, weak_whole
from config.models import VENUE_FIELDS, TradingNodeSettings, VenueName
from config.presets import PRESETS, guard
from config.problems import STATE_HOME, Origin, Problem, in_order, raise_errors
from config.settings.credentials import select
from config.settings.gathering import CALL, Gathered
from config.settings.layers import SECTIONS, Merged, Value, layer_of_call, merge
from config.settings.validation import validate
from config.settings.variables import SPECIAL_BY_PATH, path_of, variables_by_path
from config.state_dir import state_home


def judge[S: TradingNodeSettings](cls: type[S], gathered: Gathered) -> tuple[S | None, tuple[Problem, ...]]:
    """Return the settings and every problem, by source and line; with errors among them, the settings are what is left."""
    merged = gathered.merged
    tree, origins, unfit = tree_of(merged, gathered.environ)
    settings, invalid = validate(cls, tree, origins, merged)
    problems = [*gathered.problems, *unfit, *invalid]
    if settings is not None:
        settings._preset = gathered.preset
        settings._overridden = merged.overridden
        if any(problem.code in ("TN502", "TN503") for problem in problems):
            settings._judged = _meant(merged)
        problems += weak_values(settings, merged.keys if settings.execution == "VENUE" else ())
        told = {problem.key for problem in problems if problem.is_error}
        problems += [problem for problem in guard(settings, gathered.preset) if problem.key not in told]
        problems += weak_whole(settings, _wrong(problems))
    return settings, in_order(_without_consequences(problems), gathered.sources)


def with_preset(settings: TradingNodeSettings, preset: str) -> TradingNodeSettings:
    """Return given settings with the preset's values where nothing was said, its guards applied; nothing is read.

    A venue's environment is not among them: what a given key is for is said by who gives it.

    Raises
    ------
    ConfigError
        If the settings are none, or a guard refuses them.

    """
    values = {path: value for path, value in PRESETS[preset].values.items() if "." not in path}
    laid, problems = _made_anew(settings, values)
    if laid is not None:
        laid._preset = preset
        problems += [*weak_values(laid), *guard(laid, preset)]
        problems += weak_whole(laid, _wrong(problems))
    told = raise_errors(_without_consequences(dict.fromkeys(problems)))
    assert laid is not None  # noqa: S101  settings that are none have a problem
    laid._told = told
    return laid


def flaws(settings: object) -> tuple[Problem, ...]:
    """Return what is wrong with an object that is given as settings: ``model_copy`` and ``model_construct`` check nothing."""
    laid, problems = _made_anew(settings, {})
    return (*problems, *(guard(laid, None) if laid is not None else ()))


def _made_anew(settings: object, values: Mapping[str, Any]) -> tuple[TradingNodeSettings | None, list[Problem]]:
    """Return the settings, validated again from their plain values, with ``values`` where nothing was said."""
    if not isinstance(settings, TradingNodeSettings):
        message = f"settings is {type(settings).__name__}, expected TradingNodeSettings"
        fix = "give TradingNodeSettings(...) or TradingNodeSettings.from_env()"
        return None, [Problem("TN407", "settings", message, fix, ("TradingNodeSettings",))]
    tree = dict(values)
    for name in settings.model_fields_set:
        given = getattr(settings, name)
        whole = isinstance(given, BaseModel)
        tree[name] = {part: getattr(given, part) for part in given.model_fields_set} if whole else given
    merged = merge([layer_of_call(CALL, tree)])
    laid, problems = validate(type(settings), tree, dict(settings.origins), merged)
    if laid is not None:
        laid._overridden = settings.overridden
    return laid, problems


def tree_of(merged: Merged, environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Origin], list[Problem]]:
    """Return the merged values as the tree that the settings class takes, their origins, and problems with keys."""
    chosen = {path: value for path, value in merged.values.items() if path not in SPECIAL_BY_PATH}
    problems: list[Problem] = []
    keyless = merged.text("execution", "VENUE") in ("SIMULATED", "NONE")
    named = chosen.get("venues")
    on = [venue.lower() for venue in _meant(merged)]
    for venue in on:
        if keyless:
            continue
        environment = merged.text(f"{venue}.environment", "LIVE")
        pair = select(merged, venue, environment, _account_type(merged, venue))
        chosen |= pair.values
        # A venue that is only named, without any key, is data only; the presets that want a key say so themselves.
        problems += [problem for problem in pair.problems if problem.code != "TN501"]
    if keyless and named is None and on:
        origin = next(key.origin for key in merged.keys)
        chosen["venues"] = Value(tuple(venue.upper() for venue in on), origin)
    if "state_dir" not in chosen:
        if (home := state_home(environ)) is None:
            message = "NAUTILUS_STATE_DIR is not set, and this user has no home directory below which it could be"
            problems.append(Problem("TN402", "NAUTILUS_STATE_DIR", message, "set NAUTILUS_STATE_DIR to a directory"))
        elif "trader_id" in chosen:
            folder = Path(home, "tradingnode", str(chosen["trader_id"].value))
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


def _wrong(problems: Iterable[Problem]) -> set[str]:
    return {path_of(problem.key) for problem in problems if problem.is_error}


def _without_consequences(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems without what follows from another one.

    A guard misses the key that was told to be the wrong one, and no key can be judged for an environment that is in doubt.
    """
    every = list(problems)

    def venue(problem: Problem) -> str:
        return path_of(problem.key).partition(".")[0]

    doubtful = {
        venue(problem)
        for problem in every
        if problem.code in ("TN401", "TN403", "TN803", "TN808") and path_of(problem.key).endswith(".environment")
    }
    spoilt = {path_of(problem.key) for problem in every if problem.code == "TN415"}
    unreadable = {path_of(problem.key) for problem in every if problem.code in ("TN405", "TN403")}
    judged = doubtful | {venue(problem) for problem in every if problem.code in ("TN502", "TN503")}
    return [
        problem
        for problem in every
        if not (problem.code == "TN401" and path_of(problem.key) in spoilt)
        and not (problem.code == "TN501" and venue(problem) in judged)
        and not (problem.code in ("TN502", "TN503") and venue(problem) in doubtful)
        and not (problem.code == "TN502" and path_of(problem.key) in unreadable)
        and not (problem.code == "TN504" and judged)
    ]
