"""What is weak or insecure in settings that are valid, one rule a row; :mod:`config.kinds` tells the reason of each code.

A code that begins with ``TN3`` is a warning, with ``TN0`` a note, the others are errors.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from ipaddress import ip_address
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

from config.checks.endpoints import address, classify
from config.checks.key_shapes import oddities
from config.checks.placeholders import PLACEHOLDERS, asks_to_be_replaced, is_example_host, is_placeholder
from config.presets import place, said, spelled, venues_of
from config.problems import STATE_HOME, Problem
from config.settings.variables import ANYWHERE, variables_by_path

if TYPE_CHECKING:
    from config.models import ExchangeCredentials, TradingNodeSettings
    from config.settings.layers import Key

type Rule = Callable[["TradingNodeSettings"], Iterator[Problem]]

# Orders that an exchange takes in a span of seconds, by venue and market.
ORDER_LIMITS: Mapping[tuple[str, str], tuple[tuple[int, int], ...]] = {
    ("binance", "SPOT"): ((100, 10),),  # exchangeInfo of api.binance.com, rateLimits, ORDERS
    ("binance", "USDT_FUTURES"): ((300, 10), (1200, 60)),  # exchangeInfo of fapi.binance.com
    ("binance", "COIN_FUTURES"): ((1200, 60),),  # exchangeInfo of dapi.binance.com
    ("bybit", "SPOT"): ((20, 1),),  # "Rate Limit" of the V5 API, /v5/order/create, UTA 2.0
    ("bybit", "LINEAR"): ((10, 1),),
    ("bybit", "INVERSE"): ((10, 1),),
    ("bybit", "OPTION"): ((10, 1),),
}
RATES = ("max_order_submit_rate", "max_order_modify_rate")


def _keys(settings: TradingNodeSettings) -> Iterator[tuple[str, str, str]]:
    """Yield path, what it is and text of each key and secret that is used."""
    for venue, section in venues_of(settings):
        for part in ("api_key", "api_secret"):
            value = getattr(section, part)
            if value is not None:
                yield f"{venue}.{part}", part, value.get_secret_value()


def keys_are_keys(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Keys were filled in, and look as the exchange makes them; of several things that are odd the surest is told."""
    for path, part, text in _keys(settings):
        venue, key, origin = path.partition(".")[0], spelled(settings, path), place(settings, path)
        what = "key" if part == "api_key" else "secret"
        fix = f"put the {what} that the exchange gave you there; or leave {venue.upper()} out with NAUTILUS_VENUES"
        odd = next(oddities(venue, part, text), None)
        if asks_to_be_replaced(text):
            yield Problem("TN507", key, f"{key} is still a placeholder", fix, origin=origin)
        elif odd is not None and odd.broken:
            yield Problem("TN506", key, f"{key}: {odd.reason}", odd.fix, origin=origin)
        elif is_placeholder(text):
            message = f"{key} looks like a placeholder, not like a {what} of an exchange"
            yield Problem("TN319", key, message, f"{fix}; a gateway that wants just this may have it", origin=origin)
        elif odd is not None:
            yield Problem("TN308", key, f"{key}: {odd.reason}", odd.fix, origin=origin)


def key_is_not_its_secret(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Pasted was not the same text twice."""
    for venue, section in venues_of(settings):
        if section.has_key and section.api_key == section.api_secret and not is_placeholder(_text(section.api_key)):
            path = f"{venue}.api_secret"
            key, other = spelled(settings, path), spelled(settings, f"{venue}.api_key")
            message = f"{key} is the same text as {other}"
            fix = "put the secret there, which the exchange showed once, when the key was made"
            yield Problem("TN508", key, message, fix, origin=place(settings, path))


def _text(value: SecretStr | None) -> str:
    return "" if value is None else value.get_secret_value()


def hosts_are_no_examples(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Hosts are somebody's own; names such as ``gateway.example`` belong to nobody."""
    hosts = {
        f"{venue}.{name}": address(url).rpartition(":")[0]
        for venue, section in venues_of(settings)
        for name, url in section.base_urls.items()
    }
    for venue, section in venues_of(settings):
        hosts[f"{venue}.proxy_url"] = urlsplit(_text(section.proxy_url)).hostname or ""
    hosts["redis.host"] = settings.redis.host if settings.redis is not None else ""
    for path, host in hosts.items():
        if is_example_host(host):
            key = spelled(settings, path)
            message = f"{key} is still that of an example: the host {host} belongs to nobody"
            yield Problem("TN318", key, message, "put your own there, or remove it", origin=place(settings, path))


def lookback_orphans(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Reconciliation sees all orders."""
    path = "reconciliation_lookback_mins"
    if (found := settings.reconciliation_lookback_mins) is not None:
        key = spelled(settings, path)
        message = f"{key} is {found}: orders older than that stay open in the books after a restart"
        fix = f"remove {key}: all that the venue keeps is then reconciled"
        yield Problem("TN301", key, message, fix, (), place(settings, path))


def live_without_saying(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Real money is traded on purpose."""
    live = [name for name, section in venues_of(settings) if section.environment == "LIVE" and section.has_key]
    if settings.environment == "LIVE" or settings.execution != "VENUE" or not live:
        return
    names = " and ".join(name.upper() for name in live)
    message = f"orders go to {names} with a live key, though NAUTILUS_ENVIRONMENT is not LIVE"
    fix = "for real money set NAUTILUS_PRESET=production and NAUTILUS_ENVIRONMENT=LIVE; else take preset testnet or sandbox"
    yield Problem("TN302", "NAUTILUS_ENVIRONMENT", message, fix, ("LIVE",), place(settings, f"{live[0]}.api_key"))


def something_is_on(settings: TradingNodeSettings) -> Iterator[Problem]:
    """There is something to do; under a preset this is an error of its own."""
    if not settings.active_venues and settings.preset is None:
        message = "no venue is on: no key is set and NAUTILUS_VENUES names none, so nothing would be traded or recorded"
        yield Problem(
            "TN005", "NAUTILUS_VENUES", message, "set a venue's keys, or NAUTILUS_VENUES", ("BINANCE", "BYBIT")
        )


def state_is_lost(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Books survive a restart."""
    if settings.redis is None and settings.execution == "VENUE" and settings.active_venues:
        message = "no Redis is set: orders, positions and strategies' state are lost at every stop"
        yield Problem("TN303", "REDIS_HOST", message, "set REDIS_HOST")


def redis_is_guarded(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Whoever reaches Redis can change the books, and listens where it is far."""
    redis = settings.redis
    if redis is None or _is_loopback(redis.host):
        return
    host, origin = spelled(settings, "redis.host"), place(settings, "redis.host")
    if redis.password is None:
        message = (
            f"{host} is {redis.host}, not this machine, and no password is set: whoever reaches it can change the books"
        )
        fix = "give the server a password, and set REDIS_PASSWORD"
        yield Problem("TN311", "REDIS_PASSWORD", message, fix, origin=origin)
    # A name without a dot is a container's or a service's, on a network of its own.
    if not redis.ssl and {".", ":"} & set(redis.host):
        message = f"{host} is {redis.host}, reached without TLS: password and books cross the network in clear"
        fix = "set REDIS_SSL=true (a publicly trusted certificate is needed), or reach it through a TLS proxy on this machine"
        yield Problem("TN312", "REDIS_SSL", message, fix, ("true",), place(settings, "redis.ssl") or origin)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def passwords_are_strong(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Nobody's first guess is the password of Redis."""
    password = _text(settings.redis.password) if settings.redis is not None else ""
    if password and is_placeholder(password):
        key = spelled(settings, "redis.password")
        message = f"the password in {key} is a placeholder, or one of the first that anybody tries"
        fix = "give the server a random one, such as `openssl rand -hex 32` prints, and change both together"
        yield Problem("TN316", key, message, fix, origin=place(settings, "redis.password"))


def trader_has_a_name(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Somebody's own trader id is used."""
    if settings.trader_id == PLACEHOLDERS["trader_id"]:
        key = spelled(settings, "trader_id")
        message = (
            f"{key} is still the template's {settings.trader_id}: two traders of one id share their books in Redis"
        )
        yield Problem("TN317", key, message, "give this trader an id of its own", origin=place(settings, "trader_id"))


def directories_are_private(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Nobody else can put files where the node reads and writes its own."""
    wanted = {
        "state_dir": settings.state_directory,
        "logging.log_directory": settings.log_directory if settings.logging.log_level_file != "OFF" else None,
        "streaming.catalog_path": settings.catalog_path if settings.streaming is not None else None,
    }
    told = set()
    for path, directory in wanted.items():
        there = _open_to_all(directory) if directory is not None else None
        if there is None or there in told:
            continue
        told.add(there)
        origin = place(settings, path)
        key = (
            variables_by_path()[path].name if origin is None or origin.source == STATE_HOME else spelled(settings, path)
        )
        fix = f"set {key} to a directory of this user's own"
        if there == directory:
            message = f"{directory} ({key}) is writable for every user of this machine"
            fix = f"chmod o-w {there}, or {fix}"
        else:
            message = f"{directory} ({key}) is below {there}, where every user of this machine can replace it"
        yield Problem("TN310", key, message, fix, origin=origin)


def _open_to_all(directory: Path) -> Path | None:
    """Return ``directory`` if every user may write into it, or one above it in which every user may replace what stands there.

    A sticky bit prevents the latter.
    """
    modes = ((path, _mode(path)) for path in (directory, *directory.parents))
    return next(
        (path for path, mode in modes if mode & stat.S_IWOTH and (path == directory or not mode & stat.S_ISVTX)), None
    )


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def rates_are_the_exchanges(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Orders are throttled before the exchange bans; the default, which nobody said, is worth one note."""
    if settings.execution != "VENUE":
        return
    markets = [
        (venue, market) for venue, section in venues_of(settings) if section.has_key for market in _markets(section)
    ]
    for path in (path for path in RATES if said(settings, path) or path == RATES[0]):
        rate = getattr(settings, path)
        over = [
            (market, limit) for market in markets for limit in ORDER_LIMITS[market] if _sent(rate, limit[1]) > limit[0]
        ]
        if not over:
            continue
        key, ((venue, market), (most, span)) = spelled(settings, path), over[0]
        fits = min(most // span for market in markets for most, span in ORDER_LIMITS[market])
        message = f"{key} is {rate}: more than the {most} orders in {span} s that {venue.upper()} {market} takes;"
        message += " it rejects the rest, and may ban you if that continues"
        code = "TN313" if said(settings, path) else "TN004"
        yield Problem(code, key, message, f"set {key}={fits}/00:00:01", origin=place(settings, path))


def _markets(section: ExchangeCredentials) -> Sequence[str]:
    return getattr(section, "product_types", None) or (getattr(section, "account_type", ""),)


def _sent(rate: str, seconds: int) -> int:
    """Return how many orders ``rate`` lets through in a span of ``seconds``, at worst."""
    count, _, span = rate.partition("/")
    hours, minutes, rest = map(int, span.split(":"))
    return int(count) * ceil(seconds / (hours * 3600 + minutes * 60 + rest))


def hosts_are_the_exchanges(settings: TradingNodeSettings) -> Iterator[Problem]:
    """Who is dialled is told, where it is not the exchange itself."""
    found: dict[str, list[str]] = {}
    for venue, section in venues_of(settings):
        for name, url in section.base_urls.items():
            if classify(url) == "other" and not is_example_host(address(url).rpartition(":")[0]):
                found.setdefault(address(url), []).append(f"{venue}.{name}")
    for host, paths in found.items():
        keys = [spelled(settings, path) for path in paths]
        message = f"{host} is not the exchange's own host ({', '.join(keys)})"
        yield Problem("TN001", keys[0], message, "", origin=place(settings, paths[0]))


# Each judges values by themselves, so they speak also where other values are wrong.
VALUES: tuple[Rule, ...] = (
    keys_are_keys,
    key_is_not_its_secret,
)
# These judge the settings as a whole. Each with the settings that it rests on: where one of those is wrong, it keeps silent.
WHOLE: tuple[tuple[Rule, tuple[str, ...]], ...] = (
    (lookback_orphans, ("reconciliation_lookback_mins",)),
    (live_without_saying, ("environment", "execution", "venues", "binance.", "bybit.")),
    (something_is_on, ("venues", "binance.", "bybit.")),
    (state_is_lost, ("execution", "venues", "binance.", "bybit.", "redis.")),
    (redis_is_guarded, ("redis.",)),
    (passwords_are_strong, ("redis.password",)),
    (trader_has_a_name, ("trader_id",)),
    (hosts_are_no_examples, ("redis.host", "venues", "binance.", "bybit.")),
    (directories_are_private, ("trader_id", "state_dir", "logging.", "streaming.")),
    (rates_are_the_exchanges, ("max_order_", "execution", "venues", "binance.", "bybit.")),
    (hosts_are_the_exchanges, ("venues", "binance.", "bybit.")),
)


def weak_values(settings: TradingNodeSettings, keys: Sequence[Key] = ()) -> tuple[Problem, ...]:
    """Return what is weak about single values, and about ``keys``, all that were found, used or not."""
    return (*(problem for rule in VALUES for problem in rule(settings)), *_shared_keys(keys))


def weak_whole(settings: TradingNodeSettings, wrong: Collection[str] = ()) -> tuple[Problem, ...]:
    """Return what is weak about the settings as a whole, so far as it does not rest on what is ``wrong``.

    Parameters
    ----------
    settings : TradingNodeSettings
        What is left of them.
    wrong : collection of str, optional
        Dotted paths of the settings that have errors; some errors may concern any of them.

    """
    if not ANYWHERE.isdisjoint(wrong):
        return ()
    rules = (rule for rule, rests_on in WHOLE if not any(path.startswith(rests_on) for path in wrong))
    found = (problem for rule in rules for problem in rule(settings))
    # A note can wait until everything is good.
    return tuple(problem for problem in found if problem.is_warning or not wrong)


def _shared_keys(keys: Sequence[Key]) -> Iterator[Problem]:
    """Yield a problem for each key that is given for two environments of a venue: for one of them it is the wrong one."""
    seen: dict[tuple[str, str, str], Key] = {}
    for key in keys:
        text = key.value.get_secret_value()
        first = seen.setdefault((key.venue, key.part, text), key)
        if (
            "LIVE" in (first.environment, key.environment)
            and first.environment != key.environment
            and not is_placeholder(text)
        ):
            message = (
                f"{key.origin.key} and {first.origin.key} ({first.origin}) are the same text, for {key.environment} and"
            )
            message += f" {first.environment}: one of the two is wrong"
            fix = f"put the {key.environment} environment's own key there, or remove the pair that is wrong"
            yield Problem("TN508", key.origin.key, message, fix, origin=key.origin)
