"""What lies outside the process, tried before a node is built: Nautilus itself would hang on it, or run on without it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from config.models import TradingNodeSettings
from config.preflight.findings import Finding, finding
from config.problems import Problem


def _redis(settings: TradingNodeSettings, *, claim: bool) -> list[Finding]:
    from config.preflight.redis import check_redis

    return [] if settings.redis is None else check_redis(settings.redis, settings, claim=claim)


def _disk(settings: TradingNodeSettings, *, claim: bool) -> list[Finding]:  # noqa: ARG001  the steps are called alike
    from config.preflight.disk import check_disk

    return check_disk(settings)


def _venues(settings: TradingNodeSettings, *, claim: bool) -> list[Finding]:  # noqa: ARG001  the steps are called alike
    from config.preflight.venues import check_venues

    return check_venues(settings)


# In the order in which they are taken; the venues are asked through Nautilus' own clients, whose import costs a second.
STEPS: Mapping[str, Callable[..., list[Finding]]] = {"redis": _redis, "disk": _disk, "venues": _venues}
BEFORE_NAUTILUS = ("redis", "disk")
THROUGH_NAUTILUS = ("venues",)


def preflight(settings: TradingNodeSettings, names: Sequence[str], *, claim: bool = True) -> list[Finding]:
    """Return what the steps of these ``names`` find; one that is to be skipped says so.

    Parameters
    ----------
    settings : TradingNodeSettings
        Their ``preflight_skip`` names the steps to leave out.
    names : sequence of {'redis', 'disk', 'venues'}
        Which steps.
    claim : bool
        Whether a node will run on what is looked at: then Redis is marked with whose books it holds.

    """
    found: list[Finding] = []
    for name in names:
        if name in settings.preflight_skip:
            found.append(finding(name, ("skipped", "left out by NAUTILUS_PREFLIGHT_SKIP")))
        else:
            found += STEPS[name](settings, claim=claim)
    return found


def problems_of(findings: Iterable[Finding]) -> tuple[Problem, ...]:
    """Return the problems among ``findings``, each once."""
    return tuple(dict.fromkeys(found.problem for found in findings if found.problem is not None))
