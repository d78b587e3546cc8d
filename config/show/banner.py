"""What a run says to a person: what starts, what was found when it was ready, what was left when it ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from nautilus_trader.config import TradingNodeConfig

from config.checks.endpoints import address, classify
from config.clients import venue_of
from config.live.restriction import still_open
from config.models import TradingNodeSettings
from config.show.record import shown

type Row = tuple[str, str]

EXTERNAL = "EXTERNAL"
ZERO = Decimal(0)
LABEL_WIDTH = 11
# More are counted; all of them are in the log and at the venue.
LISTED_MAX = 20


def aligned(rows: Iterable[Row]) -> Iterator[str]:
    """Yield each row as a line, its label in a column of its own."""
    for label, text in rows:
        yield f"  {label:<{LABEL_WIDTH}}{text}"


def start_rows(settings: TradingNodeSettings, config: TradingNodeConfig) -> Iterator[Row]:
    """Yield what is about to run: which endpoints, which account, which guards, where its files are. No secret."""
    for name in settings.active_venues:
        section = settings.credentials(name)
        key = f", key {shown('.api_key', section.api_key)}" if section.api_key is not None else ", no key"
        # Binance has one kind of account to a node, Bybit several kinds of product.
        kinds = getattr(section, "account_type", None) or "+".join(getattr(section, "product_types", ()))
        hosts = ", ".join(_hosts(config, name))
        yield name, f"{section.environment} {kinds}{key}; {hosts}"
    if (redis := settings.redis) is not None:
        user = f"user {redis.username}" if redis.username else "password" if redis.password else "no password"
        lease = "on" if settings.lease else "OFF: a second node would trade the same account"
        where = f"{redis.host}:{redis.port}, {user}, {'TLS' if redis.ssl else 'no TLS'}"
        yield "Redis", f"{where}; lease {lease}; snapshots kept {settings.snapshot_retention_days} d"
    if settings.role == "trader":
        names = [strategy.strategy_path.rpartition(":")[2] for strategy in config.strategies]
        yield "strategies", ", ".join(names) or "none"
        yield "guards", "; ".join(_guards(settings))
        orders = "are cancelled" if settings.cancel_on_stop else "stay unless a strategy cancels them"
        halts = "; one that a strategy asked for halts the next start" if settings.halt_on_shutdown else ""
        yield "stop", f"within {settings.stop_timeout:g} s; open orders {orders}{halts}"
    yield "files", "; ".join(_files(settings))
    if settings.http_port is not None:
        yield "HTTP", f"http://127.0.0.1:{settings.http_port}/ready, /live, /metrics"


def _hosts(config: TradingNodeConfig, name: str) -> list[str]:
    """Return the hosts that the venue's clients dial, each once, those that are not the exchange's own marked."""
    clients = (config.data_clients.get(name), config.exec_clients.get(name))
    urls = [
        url
        for client in clients
        if client is not None and (venue := venue_of(client)) is not None
        for url in venue.urls_of(client).values()
    ]
    return list(dict.fromkeys(address(url) + (" (not its own)" if classify(url) == "other" else "") for url in urls))


def _files(settings: TradingNodeSettings) -> Iterator[str]:
    yield f"{settings.state_directory}; logs {settings.log_directory}"
    if (streaming := settings.streaming) is None:
        yield "no catalog"
        return
    runs = "all runs" if streaming.max_runs is None else f"{streaming.max_runs} runs"
    age = "" if streaming.max_age_days is None else f" of {streaming.max_age_days} d"
    yield f"catalog {settings.catalog_path} keeps {runs}{age}"


def _guards(settings: TradingNodeSettings) -> Iterator[str]:
    yield f"orders {settings.max_order_submit_rate}"
    yield from (f"{name} at most {most} an order" for name, most in settings.max_notional_per_order.items())
    if settings.redis is not None:
        yield f"Redis lost: {settings.on_redis_loss}"
    yield f"no venue for {settings.venue_outage_secs:g} s: halt"


def found_rows(node: Any, before: Mapping[str, Decimal]) -> Iterator[Row]:
    """Yield what reconciliation found, after a restart above all: open orders, whose they are, and net positions.

    ``before`` are the net positions that the books had when they were loaded: what the venue made of them must not go unsaid.
    """
    orders = still_open(node.cache)
    if orders:
        external = sum(str(order.strategy_id) == EXTERNAL for order in orders)
        yield (
            "found",
            f"{_count(orders, 'open order')}, {external} of them EXTERNAL (no strategy of this node claims those)",
        )
    now = nets(node.cache)
    yield from (("found", f"position {name} {net}") for name, net in now.items() if net)
    for name in sorted(before.keys() | now.keys()):
        had, has = before.get(name, ZERO), now.get(name, ZERO)
        if had != has:
            yield "changed", f"position {name} was {had} in the books and is {has}, as the exchange has it"


def end_rows(node: Any, restricted: Mapping[str, str]) -> Iterator[Row]:
    """Yield what the run leaves: what became of its orders, those that are still open, positions, restrictions."""
    started = node.kernel.ts_created
    mine = [order for order in node.cache.orders() if order.ts_init >= started]
    became = Counter(order.status_string() for order in mine)
    told = ", ".join(f"{number} {status}" for status, number in sorted(became.items()))
    yield "orders", f"{len(mine)} in this run{': ' if told else ''}{told}"
    left = still_open(node.cache)
    yield from (("still open", f"{order.client_order_id} {order.info()}") for order in left[:LISTED_MAX])
    if len(left) > LISTED_MAX:
        yield "still open", f"and {len(left) - LISTED_MAX} more"
    yield from (("position", f"{name} {net}") for name, net in nets(node.cache).items())
    yield from (("restricted", f"{reason}: {sentence}") for reason, sentence in restricted.items())


def nets(cache: Any) -> Mapping[str, Decimal]:
    """Return the net position of each instrument with an open one, by its id."""
    found: dict[str, Decimal] = {}
    for position in cache.positions_open():
        name = str(position.instrument_id)
        found[name] = found.get(name, ZERO) + position.signed_decimal_qty()
    return found


def duration(seconds: float) -> str:
    """Return a span as a person would say it: ``4.2 s``, ``12 min``, ``3 h 5 min``, ``2 d 4 h``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


def _count(things: Any, name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
