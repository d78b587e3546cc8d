"""One setting in full: what it means, what applies, and every layer that speaks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from config.models import TradingNodeSettings
from config.problems import Origin, Problem
from config.roles import NOT_USED, uses
from config.settings.gathering import Gathered
from config.settings.hiding import text_shown
from config.settings.judging import judge
from config.settings.layers import Value
from config.settings.redis_url import REDIS_DEFAULTS
from config.settings.spelling import nearest, visible
from config.settings.variables import (
    FLAGS,
    KEY_NAMES,
    REDIS_URL_VARIABLE,
    SPECIAL_BY_PATH,
    Variable,
    current_names,
    former_names,
    path_of,
    variables_by_path,
)
from config.show.record import as_text, rows, shown


@dataclass(frozen=True, slots=True)
class Voice:
    """What one layer says of a setting; of all voices one ``applies``."""

    value: str
    origin: Origin | None
    applies: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """One setting in full; ``voices`` are highest first, the default last."""

    variable: Variable
    names: tuple[str, ...]
    former: tuple[str, ...]
    voices: tuple[Voice, ...]
    unused_by: tuple[str, ...]
    problems: tuple[Problem, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON primitives."""
        variable = self.variable
        return {
            "key": variable.name,
            "path": variable.path,
            "description": variable.description,
            "accepted": variable.accepted,
            "choices": list(variable.choices),
            "default": None if variable.required else as_text(variable.default),
            "required": variable.required,
            "secret": variable.secret,
            "tier": variable.tier,
            "example": variable.example or None,
            "names": list(self.names),
            "former_names": list(self.former),
            "unused_by": list(self.unused_by),
            "layers": [
                {
                    "value": voice.value,
                    "origin": None if voice.origin is None else voice.origin.to_dict(),
                    "applies": voice.applies,
                }
                for voice in self.voices
            ],
        }


def explain(key: str, gathered: Gathered) -> Explanation | Problem:
    """Return what there is to say of ``key``, or the usage error that it is no setting.

    Parameters
    ----------
    key : str
        A dotted path (``redis.port``) or a name in any case, former names and those of one environment's keys included.
    gathered : Gathered
        What the sources say; nothing of it needs to be valid.

    """
    by_path = {**variables_by_path(), **SPECIAL_BY_PATH}
    variable = by_path.get(key.lower()) or by_path.get(path_of(key))
    if variable is None:
        near = nearest(key.upper(), current_names()) or nearest(key.lower(), frozenset(variables_by_path()))
        fix = (
            f"did you mean {near}?"
            if near
            else "`tradingnode show` lists the settings that apply, `tradingnode schema` all of them"
        )
        return Problem("TN203", "KEY", f"{visible(key)} is no setting", fix, (near,) if near else ())
    settings, problems = judge(TradingNodeSettings, gathered)
    return Explanation(
        variable,
        _names(variable),
        tuple(former for former, name in former_names().items() if path_of(name) == variable.path),
        tuple(_voices(variable, gathered, settings)),
        tuple(role for role in NOT_USED if not uses(role, variable.path)),
        tuple(problem for problem in problems if path_of(problem.key) == variable.path),
    )


def _names(variable: Variable) -> tuple[str, ...]:
    """Return the other names under which the setting may be given."""
    venue, _, part = variable.path.partition(".")
    keys = [name.name for name in KEY_NAMES if (name.venue, name.part) == (venue, part)]
    flags = [flag.name for flag in FLAGS if flag.path == variable.path]
    url = [REDIS_URL_VARIABLE] if venue == "redis" and part in REDIS_DEFAULTS else []
    names = [*flags, *keys, *url]
    return tuple([*names, *(f"{name}_FILE" for name in (variable.name, *keys))] if variable.secret else names)


def _voices(variable: Variable, gathered: Gathered, settings: TradingNodeSettings | None) -> list[Voice]:
    path, merged = variable.path, gathered.merged
    applied = settings.origins.get(path) if settings is not None else None
    venue, _, part = path.partition(".")
    if part in ("api_key", "api_secret"):
        return [
            Voice(f"{shown(path, key.value)} for {key.environment}", key.origin, key.origin == applied)
            for key in merged.keys
            if (key.venue, key.part) == (venue, part)
        ]
    said: list[Value] = [merged.values[path], *merged.overridden.get(path, ())] if path in merged.values else []
    row = next((row for row in rows(settings) if row.variable is variable), None) if settings is not None else None
    if row is not None and row.origin is not None and row.origin not in [value.origin for value in said]:
        # Worked out from other settings, such as the state directory from the user's home.
        voices = [Voice(row.value, row.origin, True)]
    else:
        voices = [Voice(_written(variable, value), value.origin, index == 0) for index, value in enumerate(said)]
    if variable.required:
        return voices
    default = row.value if row is not None and row.origin is None else as_text(variable.default)
    return [*voices, Voice(default, None, not voices)]


def _written(variable: Variable, value: Value) -> str:
    if variable.secret:
        return "*** (set)"
    return shown(variable.path, value.value) if not isinstance(value.value, str) else text_shown(value.value)
