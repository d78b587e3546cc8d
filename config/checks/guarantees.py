"""What the presets guarantee, looked up in the built configuration: its enums and resolved urls, not the inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from nautilus_trader.common import Environment
from nautilus_trader.config import TradingNodeConfig

from config.checks.endpoints import address, classify
from config.clients import venue_of
from config.models import TradingNodeSettings
from config.problems import Problem
from config.roles import TRADER

type Check = Callable[[TradingNodeConfig, TradingNodeSettings], Iterator[Problem]]


def _refused(code: str, key: str, message: str) -> Problem:
    return Problem(code, key, message, "this was built against its preset: report it, and do not run it")


def _clients(config: TradingNodeConfig) -> Iterator[tuple[str, object]]:
    yield from ((f"data client {name}", client) for name, client in config.data_clients.items())
    yield from ((f"execution client {name}", client) for name, client in config.exec_clients.items())


def _environment_is(wanted: Environment) -> Check:
    def check(config: TradingNodeConfig, _: TradingNodeSettings) -> Iterator[Problem]:
        if config.environment is not wanted:
            yield _refused("TN801", "environment", f"the environment is {config.environment!r}, expected {wanted!r}")

    return check


def _clients_are_on(*allowed: str) -> Check:
    def check(config: TradingNodeConfig, _: TradingNodeSettings) -> Iterator[Problem]:
        for name, client in _clients(config):
            venue = venue_of(client)  # type: ignore[arg-type]  # what is no venue's has no environment
            if venue is not None and (found := venue.environment_of(client)) not in allowed:
                yield _refused("TN803", name, f"{name} is on {found}, expected {' or '.join(allowed)}")

    return check


def _urls_are(*allowed: str) -> Check:
    def check(config: TradingNodeConfig, settings: TradingNodeSettings) -> Iterator[Problem]:
        for name, client in _clients(config):
            venue = venue_of(client)  # type: ignore[arg-type]  # what is no venue's has no urls
            for what, url in venue.urls_of(client).items() if venue is not None else ():
                trusted = classify(url) == "other" and address(url) in settings.trusted_endpoints
                if classify(url) not in allowed and not trusted:
                    yield _refused("TN807", name, f"{name} would dial {url} as {what}, a {classify(url)} host")

    return check


def _clients_have_keys(config: TradingNodeConfig, _: TradingNodeSettings) -> Iterator[Problem]:
    for name in config.data_clients:
        client = config.exec_clients.get(name)
        if not (getattr(client, "api_key", None) and getattr(client, "api_secret", None)):
            yield _refused("TN501", name, f"{name} has no execution client with a key")


def _no_client_has_a_key(config: TradingNodeConfig, _: TradingNodeSettings) -> Iterator[Problem]:
    for name, client in _clients(config):
        if getattr(client, "api_key", None) or getattr(client, "api_secret", None):
            yield _refused("TN812", name, f"{name} holds a key, for which it has no use")


def _no_venue_executes(config: TradingNodeConfig, _: TradingNodeSettings) -> Iterator[Problem]:
    for name, client in config.exec_clients.items():
        if venue_of(client) is not None:
            yield _refused("TN812", name, f"execution client {name} would send orders to the venue")


def _risk_is_watched(config: TradingNodeConfig, _: TradingNodeSettings) -> Iterator[Problem]:
    if config.risk_engine.bypass:
        yield _refused("TN809", "risk_engine.bypass", "the risk engine is bypassed")


def _books_are_reconciled(config: TradingNodeConfig, _: TradingNodeSettings) -> Iterator[Problem]:
    if not config.exec_engine.reconciliation:
        yield _refused("TN810", "exec_engine.reconciliation", "reconciliation is off")


def _books_are_kept(config: TradingNodeConfig, _: TradingNodeSettings) -> Iterator[Problem]:
    if config.cache is None or config.cache.database is None:
        yield _refused("TN804", "cache.database", "the cache has no Redis")
    elif config.cache.flush_on_start:
        yield _refused("TN811", "cache.flush_on_start", "Redis would be flushed at start")


def _data_is_kept(config: TradingNodeConfig, _: TradingNodeSettings) -> Iterator[Problem]:
    if config.streaming is None:
        yield _refused("TN418", "streaming", "a recorder streams to no catalog")


# What holds of a preset for every role.
GUARANTEES: Mapping[str, tuple[Check, ...]] = {
    "production": (_environment_is(Environment.LIVE), _clients_are_on("LIVE"), _urls_are("live")),
    "testnet": (
        _environment_is(Environment.SANDBOX),
        _clients_are_on("TESTNET", "DEMO"),
        _urls_are("testnet", "other"),
    ),
    "sandbox": (_environment_is(Environment.SANDBOX), _clients_are_on("LIVE"), _urls_are("live", "other")),
}
# What a preset guarantees of a trader beyond that.
OF_A_TRADER: Mapping[str, tuple[Check, ...]] = {
    "production": (_clients_have_keys, _risk_is_watched, _books_are_reconciled, _books_are_kept),
    "testnet": (_clients_have_keys, _risk_is_watched),
    "sandbox": (_no_venue_executes, _no_client_has_a_key, _risk_is_watched),
}
# What holds of a recorder under every preset.
OF_A_RECORDER: tuple[Check, ...] = (_no_venue_executes, _no_client_has_a_key, _data_is_kept)


def broken_guarantees(config: TradingNodeConfig, settings: TradingNodeSettings) -> tuple[Problem, ...]:
    """Return what the settings' preset and role guarantee and ``config`` does not keep; nothing where there is no preset."""
    if settings.preset is None:
        return ()
    mine = OF_A_TRADER[settings.preset] if settings.role == TRADER else OF_A_RECORDER
    checks = (*GUARANTEES[settings.preset], *mine)
    return tuple(problem for check in checks for problem in check(config, settings))
