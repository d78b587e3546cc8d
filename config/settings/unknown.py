"""Names that nothing reads, and what to say of each: a misspelt setting is one that is silently not set."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from config.problems import Origin, Problem
from config.settings.foreign import answered, is_foreign
from config.settings.hiding import name_shown
from config.settings.spelling import nearest, recognised, visible
from config.settings.variables import current_names, known_names

PREFIXES = ("NAUTILUS_", "BINANCE_", "BYBIT_", "REDIS_")


def told_of_unknown(
    name: str, value: str, origin: Origin, *, everything: bool, known: Collection[str] = ()
) -> list[Problem]:
    """Return a warning for a name that looks like one of ours and that nothing reads, or what else there is to say of it.

    Parameters
    ----------
    name, value : str
        As they stand in the source. The value is never repeated.
    origin : Origin
        Where.
    everything : bool
        Whether all names under our prefixes are meant for us, as in a ``.env``. Elsewhere other tools have variables too: only
        ``NAUTILUS_*`` counts, and what is within two letters of a name of ours.
    known : collection of str, optional
        The names that are read there, if those are not all.

    """
    if (answer := answered(name, value)) is not None:
        code = "TN003" if answer.harmless else "TN414"
        return [Problem(code, name, f"{name} is not read: {answer.why}", answer.fix, origin=origin)]
    if is_foreign(name, value) is not None:
        return []
    shown = name_shown(name)
    if shown != visible(name):
        origin = replace(origin, key=shown)
    names = known or known_names()
    if (spelled := recognised(name, names)) is not None:
        meant, how = spelled
        message = f"{shown} is not read as {meant}: {how}"
        fix = f"rename it to {meant.lower() if name.islower() else meant}" if known else f"write {meant}"
        return [Problem("TN305", shown, message, fix, (meant,), origin)]
    near = nearest(name, known or current_names())
    if near is None and not name.startswith(PREFIXES if everything else "NAUTILUS_"):
        return []
    fix = f"did you mean {near}?" if near else "remove it; `tradingnode schema` lists the names that are read"
    accepted = (near,) if near else ()
    return [Problem("TN305", shown, f"{shown} is not a variable that anything reads", fix, accepted, origin)]
