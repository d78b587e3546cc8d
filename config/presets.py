"""The three presets: a layer of plain values each, and guards on what came out. A guard cannot be overridden."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from config.checks.endpoints import address, classify
from config.problems import Origin, Problem
from config.roles import RECORDER, TRADER
from config.settings.credentials import GENERIC, own_names
from config.settings.variables import path_of, variables_by_path

if TYPE_CHECKING:
    from config.models import ExchangeCredentials, TradingNodeSettings

type Guard = Callable[["TradingNodeSettings"], Iterator[Problem]]


def spelled(settings: TradingNodeSettings, path: str) -> str:
    """Return the setting as its source spells it."""
    origin = settings.origins.get(path)
    return variables_by_path()[path].name if origin is None or origin.source.startswith("preset") else origin.key


def place(settings: TradingNodeSettings, path: str) -> Origin | None:
    """Return where the setting stands, if somebody said it."""
    return settings.origins.get(path)


def venues_of(settings: TradingNodeSettings) -> Iterator[tuple[str, ExchangeCredentials]]:
    """Yield the active venues with what applies to each."""
    for venue in settings.active_venues:
        yield venue.lower(), settings.credentials(venue)


def said(settings: TradingNodeSettings, path: str) -> bool:
    """Whether a value was given by somebody, rather than left to a default or a preset."""
    section, _, name = path.rpartition(".")
    holder = getattr(settings, section) if section else settings
    if holder is None or name not in holder.model_fields_set:
        return False
    origin = settings.origins.get(path)
    return origin is None or not origin.source.startswith("preset")


def environment_is_live(settings: TradingNodeSettings) -> Iterator[Problem]:
    """LIVE was said out loud."""
    if settings.environment != "LIVE" or not said(settings, "environment"):
        key = spelled(settings, "environment")
        found = f"{key} is {settings.environment}" if said(settings, "environment") else f"{key} is not set"
        message = f"{found}; production trades real money only when it is LIVE"
        yield Problem("TN801", key, message, "set NAUTILUS_ENVIRONMENT=LIVE", ("LIVE",), place(settings, "environment"))


def environment_is_sandbox(settings: TradingNodeSettings) -> Iterator[Problem]:
    """LIVE was not said."""
    if settings.environment != "SANDBOX":
        key = spelled(settings, "environment")
        message = f"{key} is LIVE, which contradicts preset {settings.preset}"
        fix = f"remove {key}, or run with preset production"
        yield Problem("TN801", key, message, fix, ("SANDBOX",), place(settings, "environment"))


def venues_are_named(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Venues were named, so that a stray key cannot switch one on."""
    origin = place(settings, "venues")
    if settings.venues is None or (origin is not None and path_of(origin.key) != "venues"):
        message = "NAUTILUS_VENUES is not set; production trades only on venues that are named"
        fix = "set NAUTILUS_VENUES to the venues to trade on, such as BINANCE or BINANCE,BYBIT"
        yield Problem("TN802", "NAUTILUS_VENUES", message, fix, ("BINANCE", "BYBIT"))


def some_venue_is_on(settings: TradingNodeSettings) -> Iterator[Problem]:
    """There is a venue at all."""
    if not settings.active_venues:
        message = "no venue is on: no key is set and NAUTILUS_VENUES names none"
        fix = "set NAUTILUS_VENUES=BINANCE (or BYBIT, or both), or a venue's keys"
        yield Problem("TN409", "NAUTILUS_VENUES", message, fix, ("BINANCE", "BYBIT"))


def _venue_environments(settings: TradingNodeSettings, allowed: tuple[str, ...], preset: str) -> Iterator[Problem]:
    for name, section in venues_of(settings):
        if section.environment in allowed:
            continue
        path = f"{name}.environment"
        origin = place(settings, path)
        if section.has_key and not said(settings, path):
            key, _ = GENERIC[name]
            message = f"{name.upper()} has a key that is not said to be for {' or '.join(allowed)}, so it counts as a LIVE key"
            account_type = str(getattr(section, "account_type", ""))
            fix = f"say whose it is: {name}.environment, or the names {' and '.join(own_names(name, allowed[0], account_type))}"
            yield Problem("TN503", key, message, fix, allowed, origin)
            continue
        key = spelled(settings, path)
        message = f"{key} puts {name.upper()} on {section.environment}; {preset} is {' or '.join(allowed)} only"
        fix = f"remove {key}, or leave {name.upper()} out with NAUTILUS_VENUES"
        yield Problem("TN803" if allowed == ("LIVE",) else "TN808", key, message, fix, allowed, origin)


def venues_are_live(settings: TradingNodeSettings) -> Iterator[Problem]:
    """No active venue is on testnet or demo."""
    return _venue_environments(settings, ("LIVE",), "production")


def venue_data_is_live(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Paper trading runs on live public data."""
    return _venue_environments(settings, ("LIVE",), "sandbox")


def venues_are_testnets(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Every active venue is on testnet or demo."""
    return _venue_environments(settings, ("TESTNET", "DEMO"), "testnet")


def venues_have_keys(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Every active venue has a key pair; a key of the wrong environment has been told already.

    Simulated execution takes none, and is refused by itself.
    """
    for name, section in venues_of(settings):
        if not section.has_key and settings.execution == "VENUE":
            key, secret = own_names(name, section.environment, str(getattr(section, "account_type", "")))
            message = f"{name.upper()} has no key for {section.environment}"
            yield Problem(
                "TN501", key, message, f"set {key} and {secret}, or leave {name.upper()} out with NAUTILUS_VENUES"
            )


def some_key_is_set(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Keys are set: what a testnet without any venue lacks above all."""
    if not settings.active_venues:
        message = "no venue is on: no testnet or demo key is set"
        fix = " or ".join(
            f"set {key} and {secret}" for key, secret in (own_names(name, "TESTNET", "") for name in GENERIC)
        )
        yield Problem("TN504", "BINANCE_FUTURES_TESTNET_API_KEY", message, fix)


def redis_is_named(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Books that must survive a restart are kept in Redis."""
    loaded = bool(settings.origins)
    if settings.redis is None or (loaded and not said(settings, "redis.host")):
        message = "REDIS_HOST is not set; production keeps its orders and positions in Redis"
        yield Problem(
            "TN804",
            "REDIS_HOST",
            message,
            "set REDIS_HOST, for example REDIS_HOST=localhost, and REDIS_PASSWORD if the server has one",
        )


def venue_executes(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Orders go to the venue."""
    if settings.execution != "VENUE":
        key = spelled(settings, "execution")
        message = f"{key} is {settings.execution}; preset {settings.preset} sends its orders to the venue"
        yield Problem(
            "TN812", key, message, f"remove {key}, or run with preset sandbox", ("VENUE",), place(settings, "execution")
        )


def execution_is_simulated(settings: TradingNodeSettings) -> Iterator[Problem]:
    """No order leaves the node."""
    if settings.execution != "SIMULATED":
        key = spelled(settings, "execution")
        message = f"{key} is {settings.execution}; sandbox never sends an order to a venue"
        fix = f"set {key}=SIMULATED, or leave it out"
        yield Problem("TN812", key, message, fix, ("SIMULATED",), place(settings, "execution"))


def _base_urls(settings: TradingNodeSettings) -> Iterator[tuple[str, str, str]]:
    for name, section in venues_of(settings):
        for field_name, url in section.base_urls.items():
            yield f"{name}.{field_name}", url, classify(url)


def urls_are_not_live(settings: TradingNodeSettings) -> Iterator[Problem]:
    """No base url leads a testnet client to a live host."""
    for path, url, kind in _base_urls(settings):
        if kind == "live":
            key = spelled(settings, path)
            yield Problem(
                "TN805", key, f"{key} is at {address(url)}, a live host", f"remove {key}", (), place(settings, path)
            )


def urls_are_not_testnet(settings: TradingNodeSettings) -> Iterator[Problem]:
    """No base url leads a live client to a test host."""
    for path, url, kind in _base_urls(settings):
        if kind == "testnet":
            key = spelled(settings, path)
            yield Problem(
                "TN806",
                key,
                f"{key} is at {address(url)}, a testnet or demo host",
                f"remove {key}",
                (),
                place(settings, path),
            )


def other_urls_are_trusted(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Hosts that are not the exchange's own were named as trusted."""
    for path, url, kind in _base_urls(settings):
        if kind == "other" and address(url) not in settings.trusted_endpoints:
            key = spelled(settings, path)
            message = f"{key} is at {address(url)}, which is not the exchange's own host"
            fix = f"remove {key}; or, if that host is yours, add {address(url)} to NAUTILUS_TRUSTED_ENDPOINTS"
            yield Problem("TN807", key, message, fix, (), place(settings, path))


def checks_begin_late_enough(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Nautilus' documentation asks for 10 s between start and the periodic checks."""
    if settings.reconciliation_startup_delay_secs < 10:
        key = spelled(settings, "reconciliation_startup_delay_secs")
        found = settings.reconciliation_startup_delay_secs
        message = f"{key} is {found:g}, expected a number from 10 to 60 in production"
        origin = place(settings, "reconciliation_startup_delay_secs")
        yield Problem("TN406", key, message, "give 10 or more, or leave it out", (), origin)


def data_is_kept(settings: TradingNodeSettings) -> Iterator[Problem]:
    """There is a catalog to record to."""
    if settings.streaming is None:
        message = "NAUTILUS_CATALOG_PATH is not set; a recorder writes market data to the catalog"
        fix = "set NAUTILUS_CATALOG_PATH to a directory"
        yield Problem("TN418", "NAUTILUS_CATALOG_PATH", message, fix)


def instruments_are_named(settings: TradingNodeSettings) -> Iterator[Problem]:
    """There is something to record: Nautilus streams what somebody subscribed to."""
    for name, section in venues_of(settings):
        if not section.instrument_ids:
            key = spelled(settings, f"{name}.instrument_ids")
            message = f"{key} is not set; a recorder writes the instruments that are named"
            example = variables_by_path()[f"{name}.instrument_ids"].example
            fix = f"set {key}, for example {key}={example}; or leave {name.upper()} out with NAUTILUS_VENUES"
            yield Problem("TN418", key, message, fix)


@dataclass(frozen=True, slots=True)
class Preset:
    """A layer of plain values by dotted path, and by role the guards that hold whatever the other layers say."""

    values: Mapping[str, Any]
    guards: Mapping[str, tuple[Guard, ...]]


PRESETS: Mapping[str, Preset] = {
    "production": Preset(
        {},
        {
            TRADER: (
                environment_is_live,
                venues_are_named,
                venues_are_live,
                venues_have_keys,
                redis_is_named,
                venue_executes,
                urls_are_not_testnet,
                other_urls_are_trusted,
                checks_begin_late_enough,
            ),
            RECORDER: (
                environment_is_live,
                venues_are_named,
                venues_are_live,
                urls_are_not_testnet,
                other_urls_are_trusted,
            ),
        },
    ),
    "testnet": Preset(
        {"environment": "SANDBOX", "binance.environment": "TESTNET", "bybit.environment": "TESTNET"},
        {
            TRADER: (
                environment_is_sandbox,
                some_key_is_set,
                venues_are_testnets,
                venues_have_keys,
                venue_executes,
                urls_are_not_live,
            ),
            RECORDER: (environment_is_sandbox, venues_are_testnets, urls_are_not_live),
        },
    ),
    "sandbox": Preset(
        {"environment": "SANDBOX", "execution": "SIMULATED"},
        {
            TRADER: (
                environment_is_sandbox,
                some_venue_is_on,
                venue_data_is_live,
                execution_is_simulated,
                urls_are_not_testnet,
            ),
            RECORDER: (environment_is_sandbox, venue_data_is_live, urls_are_not_testnet),
        },
    ),
}
# What a role needs under every preset, and without one.
ROLES: Mapping[str, tuple[Guard, ...]] = {TRADER: (), RECORDER: (some_venue_is_on, data_is_kept, instruments_are_named)}


def guard(settings: TradingNodeSettings, preset: str | None) -> tuple[Problem, ...]:
    """Return what keeps ``settings`` from running in their role under ``preset``; of one setting, what is told of it first."""
    guards = PRESETS[preset].guards[settings.role] if preset is not None else ()
    found: dict[str, Problem] = {}
    for problem in (problem for rule in (*guards, *ROLES[settings.role]) for problem in rule(settings)):
        found.setdefault(problem.key, problem)
    return tuple(found.values())
