"""The models put to use: settings, or a problem for each value that they refuse, spelled as its source spells it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import SecretStr, ValidationError

from config.models import MISFIT, MergedLayers, TradingNodeSettings
from config.problems import Origin, Problem
from config.settings.gathering import LONGEST_SLIP
from config.settings.hiding import found
from config.settings.layers import SECTIONS, Merged
from config.settings.variables import secret_names, variables_by_path
from config.show.record import as_text

# What somebody had in mind who wrote such a value there: path, form of the value, what to do.
HINTS = (
    ("trader_id", re.compile("^[^-]+$"), "put a hyphen and a tag behind it, such as -001"),
    ("trader_id", re.compile("-[^-]{9,}$"), "shorten what is behind the last hyphen to at most 8 characters"),
    ("redis.host", re.compile("://"), "write a whole url into REDIS_URL instead, or the host alone into REDIS_HOST"),
    ("redis.host", re.compile(":[0-9]+$"), "write the host alone, and what follows the colon into REDIS_PORT"),
    ("redis.port", re.compile("://"), "that is an address as Kubernetes sets it: write the number alone, such as 6379"),
)
# A trader id for judging the rest of the settings where there is none, or a bad one.
STANDING_IN = "UNKNOWN-0"


def validate[S: TradingNodeSettings](
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
        tree.setdefault("trader_id", STANDING_IN)


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
        return Problem("TN406", key, message, detail["ctx"]["fix"], variable.choices, origin, overridden)
    given = merged.values.get(path)
    # A part of REDIS_URL is a part of a secret.
    secret = variable.secret or key.upper() in secret_names() or key.upper().removesuffix("_FILE") in secret_names()
    text = "" if given is None or secret or isinstance(given.value, SecretStr) else str(given.value)
    what = found(key, text) if text else f"{key} is not valid"
    near = get_close_matches(text.upper(), variable.choices, n=1) if len(text) < LONGEST_SLIP else []
    otherwise = (
        ""
        if variable.required
        else ", or leave it out"
        if variable.default in (None, (), {})
        else f", or leave it out for {as_text(variable.default)}"
    )
    hint = next((hint for at, form, hint in HINTS if at == path and form.search(text)), None)
    if hint is not None:
        fix = hint
    elif near:
        fix = f"did you mean {near[0]}?"
    elif variable.example:
        fix = f"write it like {variable.name}={variable.example}{otherwise}"
    else:
        fix = f"give {variable.accepted}{otherwise}"
    return Problem("TN401", key, f"{what}, expected {variable.accepted}", fix, variable.choices, origin, overridden)
