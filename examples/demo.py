"""The whole way on this machine: a private Redis, both exchanges on loopback, a testnet node, orders on both, a clean stop.

No key, no account and no network is needed. Nothing of the environment is read, and nothing is left running.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any, NoReturn

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from config.models import TradingNodeSettings
from config.problems import ConfigError, ExitCode
from config.signals import hear
from tests.redis_server import RedisServer
from tests.venue.handle import Venue

TRADER_ID = "DEMO-001"
REDIS_PASSWORD = token_hex(16)  # of a server that lives as long as the demo
INSTRUMENTS = {"BINANCE": "BTCUSDT-PERP.BINANCE", "BYBIT": "BTCUSDT-LINEAR.BYBIT"}
QUOTES_WANTED = 10
DONE_WITHIN_SECS = 15.0


@dataclass
class Seen:
    """What went past while the node ran."""

    ready_secs: float = 0.0
    interrupted: bool = False
    quotes: Counter[str] = field(default_factory=Counter)
    trades: Counter[str] = field(default_factory=Counter)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)


def env_file(folder: Path, redis: RedisServer, venue: Venue) -> Path:
    """Write the ``.env`` of the demo and return its path."""
    values = {
        "NAUTILUS_TRADER_ID": TRADER_ID,
        "NAUTILUS_STATE_DIR": str(folder / "state"),
        "NAUTILUS_SECRETS_DIR": str(folder / "secrets"),
        "NAUTILUS_LOG_LEVEL": "ERROR",
        "NAUTILUS_STOP_TIMEOUT": "10",
        **redis.environ,
        "REDIS_PASSWORD": REDIS_PASSWORD,
        "BINANCE_FUTURES_TESTNET_API_KEY": token_hex(32),
        "BINANCE_FUTURES_TESTNET_API_SECRET": token_hex(32),
        "BYBIT_TESTNET_API_KEY": token_hex(9),
        "BYBIT_TESTNET_API_SECRET": token_hex(18),
        **venue.environ(),
    }
    (folder / "secrets").mkdir()
    path = folder / ".env"
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    path.chmod(0o600)
    return path


def shown(path: Path, folder: Path) -> Text:
    """Return the file as it may be shown: secrets masked, the temporary folder as ``...``."""
    text = Text()
    for line in path.read_text().splitlines():
        name, _, value = line.partition("=")
        secret = name.endswith(("_KEY", "_SECRET", "_PASSWORD"))
        text.append(f"{name}", style="cyan")
        text.append(f"={'***' if secret else value.replace(str(folder), '...')}\n")
    text.rstrip()
    return text


def strategies() -> Iterator[Any]:
    """Yield the strategy of each venue, as Nautilus imports it."""
    from nautilus_trader.config import ImportableStrategyConfig

    for tag, instrument in enumerate(INSTRUMENTS.values(), start=1):
        yield ImportableStrategyConfig(
            strategy_path="examples.strategies.round_trip:RoundTrip",
            config_path="examples.strategies.round_trip:RoundTripConfig",
            config={"instrument_id": instrument, "quantity": "0.01", "order_id_tag": f"{tag:03}"},
        )


async def watch(node: Any, seen: Seen, say: Any) -> None:
    """Tell each order event once, and have a strategy ask for the end when both venues are done."""
    deadline = time.monotonic() + DONE_WITHIN_SECS
    told: set[tuple[str, str]] = set()
    while time.monotonic() < deadline:
        for order in node.cache.orders():
            for event in order.events:
                key = (str(order.client_order_id), type(event).__name__)
                if key not in told and key[1] in {"OrderAccepted", "OrderCanceled", "OrderFilled"}:
                    told.add(key)
                    what = f"{order.type_string()} {order.side_string()}"
                    say(f"{order.instrument_id.venue!s:8} {what:12} {key[1].removeprefix('Order').lower()}")
        if all(_done(node, venue) and seen.quotes[venue] >= QUOTES_WANTED for venue in INSTRUMENTS):
            break
        await asyncio.sleep(0.02)
    seen.rows = {venue: _row(node, venue, seen) for venue in INSTRUMENTS}
    node.trader.strategies()[0].shutdown_system("the demo is done")


def _done(node: Any, venue: str) -> bool:
    from nautilus_trader.model.identifiers import Venue as VenueId

    orders = node.cache.orders(venue=VenueId(venue))
    return len(orders) == 3 and all(order.is_closed for order in orders)


def _row(node: Any, venue: str, seen: Seen) -> dict[str, Any]:
    from nautilus_trader.model.identifiers import ClientId, InstrumentId
    from nautilus_trader.model.identifiers import Venue as VenueId

    orders = node.cache.orders(venue=VenueId(venue))
    clients = (*node.kernel.data_engine._clients.items(), *node.kernel.exec_engine._clients.items())
    connected = [client.is_connected for name, client in clients if name == ClientId(venue)]
    limits = [order for order in orders if order.has_price]
    markets = [order for order in orders if not order.has_price]
    return {
        "clients connected": f"{sum(connected)} of {len(connected)}" if all(connected) else "",
        "instruments": str(len(node.cache.instruments(venue=VenueId(venue))) or ""),
        "quotes seen": str(seen.quotes[venue] or ""),
        "trades seen": str(seen.trades[venue] or ""),
        "limit order": "accepted, cancelled" if [order.status_string() for order in limits] == ["CANCELED"] else "",
        "market orders": " ".join(
            f"{order.side_string().lower()} {order.avg_px:,.1f}" for order in markets if order.is_closed
        ),
        "position at the end": "flat" if node.portfolio.is_flat(InstrumentId.from_str(INSTRUMENTS[venue])) else "",
    }


def redis_keys(redis: RedisServer) -> Mapping[str, int]:
    """Return how many keys the node left, by kind."""
    from redis import Redis

    prefix = f"trader-{TRADER_ID}:"
    with Redis(port=redis.port, password=REDIS_PASSWORD) as client:
        keys = [key.decode().removeprefix(prefix) for key in client.scan_iter(f"{prefix}*")]
    return Counter(key.partition(":")[0] for key in sorted(keys))


def summary(seen: Seen) -> Table:
    """Return what happened on each venue."""
    table = Table(title="What happened", title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for venue in INSTRUMENTS:
        table.add_column(venue)
    for name in next(iter(seen.rows.values()), {}):
        table.add_row(name, *(seen.rows[venue][name] or Text("missing", style="red") for venue in INSTRUMENTS))
    return table


def figures(seen: Seen, keys: Mapping[str, int], took: Mapping[str, float]) -> Table:
    """Return what the node left in Redis, and how long it all took."""
    table = Table.grid(padding=(0, 2))
    table.add_row("keys in Redis", ", ".join(f"{count} {kind}" for kind, count in keys.items()))
    table.add_row("start to ready", f"{seen.ready_secs:.2f} s")
    table.add_row("in all", f"{took['all']:.1f} s, of which {took['imports']:.1f} s are imports")
    return table


class StoppedError(Exception):
    """A signal asked for the end."""


def _stop(*_: object) -> NoReturn:
    raise StoppedError


def main() -> int:
    """Run the demo and return its exit code: 0 when everything in the summary happened, 130 after Ctrl-C."""
    console = Console(highlight=False)
    hear(_stop)
    try:
        return _play(console)
    except StoppedError:
        console.print("[yellow]stopped before the end[/], exit 130")
        return 130


def _play(console: Console) -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tradingnode-demo-") as name, Venue.start() as venue:
        folder = Path(name)
        with RedisServer(password=REDIS_PASSWORD) as redis:
            path = env_file(folder, redis, venue)
            console.print(Panel(shown(path, folder), title=".env", title_align="left", expand=False))
            seen = Seen()
            took: dict[str, float] = {}
            try:
                with console.status("importing nautilus_trader") as status:
                    _run(path, seen, console, status, took, began)
            except ConfigError as error:
                console.print(str(error), style="red")
                return error.exit_code
            keys = redis_keys(redis)
            took["all"] = time.monotonic() - began
            console.print()
            console.print(summary(seen))
            console.print()
            console.print(figures(seen, keys, took))
    good = bool(keys.get("orders")) and len(seen.rows) == len(INSTRUMENTS)
    good = good and all(value for row in seen.rows.values() for value in row.values())
    console.print()
    console.print(
        "[green]ok: everything ran and was stopped, exit 0[/]" if good else "[red]not everything happened, exit 1[/]"
    )
    return ExitCode.OK if good else ExitCode.INTERNAL


def _run(path: Path, seen: Seen, console: Console, status: Any, took: dict[str, float], began: float) -> None:
    # `environ={}`: keys that stand in the shell are no business of a demo.
    settings = TradingNodeSettings.from_env(env_file=path, environ={}, preset="testnet")
    from config.factory import TradingNodeConfigFactory
    from config.live.runner import Deadlines, run_node

    took["imports"] = time.monotonic() - began
    config = TradingNodeConfigFactory.create_testnet(strategies=list(strategies()), settings=settings)
    status.update("connecting both venues")
    watching: list[asyncio.Task[None]] = []

    def say(line: str) -> None:
        console.print(f"{time.monotonic() - began:6.2f} s  {line}")

    def on_ready(node: Any, seconds: float) -> None:
        seen.ready_secs = seconds
        say(f"ready after {seconds:.2f} s: {', '.join(settings.active_venues)}")
        status.update("trading")
        bus = node.kernel.msgbus
        bus.subscribe("data.quotes.*", lambda tick: seen.quotes.update([str(tick.instrument_id.venue)]))
        bus.subscribe("data.trades.*", lambda tick: seen.trades.update([str(tick.instrument_id.venue)]))
        watching.append(asyncio.get_running_loop().create_task(watch(node, seen, say)))

    def on_end(_node: Any, why: str) -> None:
        say(f"stopped ({why})")
        seen.interrupted = why.startswith("SIG")

    run_node(config, Deadlines(settings.seconds_to_ready, settings.stop_timeout), on_ready=on_ready, on_end=on_end)
    if seen.interrupted:
        raise StoppedError


if __name__ == "__main__":
    sys.exit(main())
