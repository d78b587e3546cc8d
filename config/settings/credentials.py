"""Which key is whose: a key reaches only the environment that it was said to be for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from config.problems import Origin, Problem
from config.settings.layers import Key, Merged, Value
from config.settings.variables import KEY_NAMES, former_names

GENERIC = {
    "binance": ("BINANCE_API_KEY", "BINANCE_API_SECRET"),
    "bybit": ("BYBIT_API_KEY", "BYBIT_API_SECRET"),
}


@dataclass(frozen=True, slots=True)
class Selection:
    """The pair for one venue, as values of its section, or what is missing."""

    values: dict[str, Value]
    problems: tuple[Problem, ...] = ()


def own_names(venue: str, environment: str, account_type: str) -> tuple[str, str]:
    """Return the names of key and secret that belong to ``environment`` alone."""
    own = [key for key in KEY_NAMES if (key.venue, key.environment) == (venue, environment)]
    names = [key.name for key in reversed(own) if _is_for(account_type, key.account_types)]
    return (names[1], names[0]) if names else GENERIC[venue]


def _is_for(account_type: str, account_types: tuple[str, ...]) -> bool:
    return not account_type or not account_types or account_type in account_types


def _first(keys: Iterable[Key], part: Literal["api_key", "api_secret"]) -> Key | None:
    return next((key for key in keys if key.part == part), None)


def _ways_out(venue: str, environment: str, account_type: str, keys: Iterable[Key]) -> str:
    ways = [f"set {' and '.join(own_names(venue, environment, account_type))}"]
    generic = next((key.origin for key in keys if not key.own), None)
    if environment != "LIVE" and generic is not None:
        flag = f"{venue.upper()}_ENVIRONMENT={environment}"
        ways.append(f"or, if {generic.key} is a {environment} key, set {flag} where that is set ({generic})")
    if environment != "LIVE":
        ways.append(f"or leave {venue.upper()} out with NAUTILUS_VENUES")
    return "; ".join(ways)


def _way_to(key: Key, environment: str) -> str:
    """Return how to run where ``key`` belongs, if its name tells."""
    if not key.own:
        return ""
    venue = key.venue.upper()
    if key.environment != environment:
        return f"; or, to run on {key.environment}, set {venue}_ENVIRONMENT={key.environment}"
    return f"; or, to trade there, set {venue}_ACCOUNT_TYPE={key.account_types[0]}"


def _cause(origin: Origin) -> str:
    return str(origin) if origin.source.startswith("preset") else f"{origin.key}, {origin}"


def _mixed(api_key: Key, api_secret: Key, family: Iterable[Key]) -> Iterator[Problem]:
    """Yield a warning if one half of a pair was overridden and the other was not: they hardly belong together."""
    if api_key.origin.source != api_secret.origin.source and any(key not in (api_key, api_secret) for key in family):
        half, other = api_secret.origin, api_key.origin
        message = f"{other.key} comes from {other}, but {half.key} from {half}: are they a pair?"
        yield Problem(
            "TN314", half.key, message, "set both in one place, and remove what is left of the other pair", origin=half
        )


def select(merged: Merged, venue: str, environment: str, account_type: str) -> Selection:
    """Return the key pair of ``venue`` for ``environment``.

    Names of the environment's own win over the generic ones, which belong to the environment that their source says. Key and
    secret may stand in different sources, but never come from different families of names.

    Parameters
    ----------
    merged : Merged
        The merged layers.
    venue : {'binance', 'bybit'}
        The venue's section.
    environment : {'LIVE', 'TESTNET', 'DEMO'}
        The environment that the venue's clients will be on.
    account_type : str
        Binance's account type: its testnets have keys of their own. Empty where it is not known: any key fits.

    """
    mine = [key for key in merged.keys if key.venue == venue]
    fitting = [key for key in mine if key.environment == environment and _is_for(account_type, key.account_types)]
    family = [key for key in fitting if key.own] or fitting
    api_key, api_secret = _first(family, "api_key"), _first(family, "api_secret")
    if api_key is not None and api_secret is not None:
        found = {f"{venue}.{key.part}": Value(key.value, key.origin) for key in (api_key, api_secret)}
        return Selection(found, tuple(_mixed(api_key, api_secret, family)))
    half = api_key or api_secret
    if half is not None:
        missing = half.origin.key.removesuffix("_FILE")
        old, new = ("KEY", "SECRET") if half.part == "api_key" else ("SECRET", "KEY")
        if missing.islower():  # a file in the secrets directory, or a field of the call
            old, new = old.lower(), new.lower()
        missing = missing.removesuffix(old) + new
        missing = former_names().get(missing, missing)
        message = f"{half.origin.key} is set for {venue.upper()} {environment}, but {missing} is missing or empty"
        if any(key.part != half.part for key in mine):
            message += f" (the one that is set is not for {environment})"
        fix = f"set {missing} for {environment} too: a {old.lower()} without its {new.lower()} is of no use"
        return Selection({}, (Problem("TN502", missing, message, fix, origin=half.origin),))
    if mine:
        other = mine[0]
        said = merged.values.get(f"{venue}.environment")
        cause = f" ({_cause(said.origin)})" if said is not None else ""
        message = (
            f"{venue.upper()} is to run on {environment}{cause}, but {other.origin.key} is a {other.environment} key"
        )
        if other.environment == environment:
            markets = ", ".join(other.account_types)
            message = f"{venue.upper()} is to trade {account_type}, but {other.origin.key} is for {markets}"
        fix = _ways_out(venue, environment, account_type, mine) + _way_to(other, environment)
        return Selection({}, (Problem("TN503", other.origin.key, message, fix, origin=other.origin),))
    key, secret = own_names(venue, environment, account_type)
    message = f"{venue.upper()} has no key for {environment}: {key} and {secret} are not set"
    return Selection({}, (Problem("TN501", key, message, _ways_out(venue, environment, account_type, ())),))
