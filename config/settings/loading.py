"""From the environment to a settings object: gather what is said, judge it, tell all problems at once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from pydantic import BaseModel

from config.checks.weaknesses import weak_values
from config.models import TradingNodeSettings
from config.problems import ConfigError, Problem, in_order, raise_errors
from config.settings.gathering import gather
from config.settings.judging import judge, tree_of
from config.settings.sources import EnvFiles
from config.settings.validation import STANDING_IN, validate
from config.settings.variables import ANYWHERE, path_of, sections


def load[S: TradingNodeSettings](cls: type[S], **given: Any) -> S:
    """Return the settings that apply; see :meth:`config.models.TradingNodeSettings.from_env` and :func:`gather`."""
    settings, problems = judge(cls, gather(**given))
    told = raise_errors(problems)
    if settings is None:
        raise ConfigError(problems)
    settings._told = told
    return settings


def log_warnings(settings: TradingNodeSettings) -> None:
    """Write the warnings to the logger ``config``, for scripts, which have no ``check`` before them."""
    for problem in settings.warnings:
        logging.getLogger("config").warning("%s; %s", problem.message, problem.fix)


def load_section[M: BaseModel](
    section: type[M], *, env_file: EnvFiles = ..., environ: Mapping[str, str] | None = None
) -> M:
    """Return one section of the settings, loaded and judged by itself.

    Raises
    ------
    TypeError
        If ``section`` is none that the settings have.
    ConfigError
        With every problem of the section at once.

    """
    name = next((name for name, model in sections().items() if model is section), None)
    if name is None:
        raise TypeError(f"{section.__name__} is no section of the settings; these are: {', '.join(sections())}")

    def mine(path: str) -> bool:
        return path.startswith(f"{name}.")

    gathered = gather(env_file=env_file, environ=environ)
    alone = replace(
        gathered.merged,
        values={path: value for path, value in gathered.merged.values.items() if mine(path)},
        keys=tuple(key for key in gathered.merged.keys if key.venue == name),
    )
    tree, origins, unfit = tree_of(alone, gathered.environ)
    tree |= {"trader_id": STANDING_IN, name: tree.get(name, {})}
    settings, invalid = validate(TradingNodeSettings, tree, origins, alone)
    problems = [*gathered.problems, *unfit, *invalid, *(weak_values(settings, alone.keys) if settings else ())]
    # What is wrong with a file, or with a line that sets nothing, might have been about this section.
    told = [
        problem
        for problem in problems
        if mine(path_of(problem.key)) or (problem.is_error and path_of(problem.key) in ANYWHERE)
    ]
    raise_errors(in_order(told, gathered.sources))
    return cast("M", getattr(settings, name))


def validate_all(
    role: str | None = None,
    *,
    env_file: EnvFiles = ...,
    environ: Mapping[str, str] | None = None,
    preset: str | None = None,
) -> tuple[Problem, ...]:
    """Return everything that is wrong, suspicious or worth knowing for a process of ``role``; an empty tuple if nothing is.

    Parameters
    ----------
    role : {'trader', 'recorder'}, optional
        What that process uses is judged, and nothing else. By default the role that ``NAUTILUS_ROLE`` names.
    env_file, environ, preset
        As for :meth:`config.models.TradingNodeSettings.from_env`.

    """
    try:
        gathered = gather(env_file=env_file, environ=environ, preset=preset, values={"role": role} if role else {})
    except ConfigError as error:
        return error.problems
    return judge(TradingNodeSettings, gathered)[1]
