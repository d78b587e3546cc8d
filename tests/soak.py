"""Kill a trading node at random moments, start it again, and look whether its books are those of the exchange.

``python -m tests.soak --kills 200 [--seed N] [--venue BINANCE,BYBIT] [--market FUTURES|SPOT]``

One Redis server (append-only file) and one exchange live through all of it. Between a kill and the next start the exchange goes
on: prices move, and a resting order may be filled. Everything that is drawn comes from the seed; what a process does in the time
until it is killed does not, so that a run can be repeated in kind and not to the letter.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any, Literal

# The standard library only: each node's process imports this module again.
from tests.forked import TradingNodeProcess
from tests.key_generators import alphanumeric
from tests.redis_server import RedisServer
from tests.venue.handle import MarketName, Venue

Phase = Literal["starting", "waiting", "trading", "stopping"]
MarketKind = Literal["FUTURES", "SPOT"]

TRADER_ID = "SOAK-001"
SYMBOLS = ("BTCUSDT", "ETHUSDT")
CENTRES = {"BTCUSDT": 50_000, "ETHUSDT": 3_000}
WEIGHTS: Mapping[Phase, int] = {"starting": 20, "waiting": 5, "trading": 55, "stopping": 20}
# Seconds to a kill, drawn evenly: since the start of the process (as a part of what it took to become ready), since it was
# ready, since it began to trade, since the signal to stop.
UNTIL: Mapping[Phase, float] = {"starting": 1.1, "waiting": 0.3, "trading": 2.0, "stopping": 1.2}
# Exit codes of nodes that may stop before they are killed.
ENDS: Mapping[Phase | None, tuple[int, ...]] = {None: (0,), "stopping": (0, -signal.SIGKILL)}
# How long events may take to reach the books. The engine's own checks, which would mend them, begin 10 s after the start.
PATIENCE_SECS = 5.0
READY_SECS = 60.0
# Strategies start when everything else is done; that the node is ready with that is seen, and told, by a poll of 10 ms.
EARLY_SECS = 0.25
# Longer than the exchange's prices need from one end to the other: 20 ticks of 0.1 s.
REST_SECS = 2.0
STEP = Decimal("0.01")
FOLDERS_KEPT = 3


@dataclass(frozen=True, slots=True)
class Kill:
    """When to kill, and what happens around it.

    Parameters
    ----------
    phase : {"starting", "waiting", "trading", "stopping"}
        In which phase of the node's life.
    after : float
        Seconds since that began (see `UNTIL`); in `starting` a part of what a start takes.
    seed : int
        For what the strategy does.
    eager : bool
        Whether the strategy sends an order at once, in on_start.
    rests : bool
        Whether no order is filled at the exchange while the node starts.
    trades_before_stop : float
        Seconds before the signal to stop.

    """

    phase: Phase
    after: float
    seed: int = 0
    eager: bool = False
    rests: bool = False
    trades_before_stop: float = 0.5


def plan(kills: int, seed: int) -> list[Kill]:
    """Return that many kills."""
    random = Random(seed)
    phases = random.choices([*WEIGHTS], [*WEIGHTS.values()], k=kills)
    return [
        Kill(
            phase=phase,
            after=random.uniform(0, UNTIL[phase]),
            seed=random.randrange(2**32),
            eager=random.random() < 0.5,
            rests=random.random() < 0.1,
            trades_before_stop=random.uniform(0.1, 1.0),
        )
        for phase in phases
    ]


@dataclass(frozen=True, slots=True)
class Place:
    """A venue's market: the exchange's books, and how Nautilus names an instrument there."""

    books: MarketName
    product: str
    suffix: str

    def name(self, symbol: str) -> str:
        return f"{symbol}{self.suffix}"


PLACES: Mapping[MarketKind, Mapping[str, Place]] = {
    "FUTURES": {
        "BINANCE": Place("binance_futures", "linear", "-PERP.BINANCE"),
        "BYBIT": Place("bybit", "linear", "-LINEAR.BYBIT"),
    },
    "SPOT": {"BINANCE": Place("binance_spot", "spot", ".BINANCE"), "BYBIT": Place("bybit", "spot", "-SPOT.BYBIT")},
}
QUANTITIES = {"BTCUSDT": "0.003", "ETHUSDT": "0.05"}


# -- what is compared -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the exchange has, over all markets of a soak; amounts are signed, by instrument."""

    open: Mapping[str, Mapping[str, str]]
    closed: Mapping[str, str]
    filled: Mapping[str, Decimal]
    positions: Mapping[str, Decimal]
    dust: Mapping[str, Decimal]
    """What was taken in base asset as commission: Nautilus loses part of it when a position goes through zero."""
    asked: Sequence[tuple[str, int]]

    def agrees(self, other: Exchange) -> bool:
        """Return whether nothing happened between the two."""
        return (self.open, self.closed, self.filled) == (other.open, other.closed, other.filled)


def look(venue: Venue, places: Sequence[Place]) -> Exchange:
    """Return what the exchange has now."""
    opened: dict[str, Mapping[str, str]] = {}
    closed: dict[str, str] = {}
    instruments = [place.name(symbol) for place in places for symbol in SYMBOLS]
    filled = dict.fromkeys(instruments, Decimal(0))
    positions = dict.fromkeys(instruments, Decimal(0))
    dust = dict.fromkeys(instruments, Decimal(0))
    asked: list[tuple[str, int]] = []
    for place in places:
        for order in venue.orders(place.books):
            name = order["client_order_id"]
            if order["status"] in ("NEW", "PARTIALLY_FILLED"):
                opened[name] = {"instrument": place.name(order["symbol"]), **_written(order)}
            else:
                closed[name] = order["status"]
        for fill in venue.fills(place.books):
            instrument, quantity = place.name(fill["symbol"]), Decimal(fill["quantity"])
            signed = quantity if fill["side"] == "BUY" else -quantity
            filled[instrument] += signed
            if place.product == "spot":
                # A spot exchange knows balances only: what was bought, less the commission taken from that.
                in_base = fill["symbol"].startswith(fill["commission_asset"])
                commission = Decimal(fill["commission"]) if in_base else Decimal(0)
                dust[instrument] += commission
                positions[instrument] += signed - commission
        if place.product == "linear":
            for position in venue.positions(place.books):
                positions[place.name(position["symbol"])] += Decimal(position["amount"])
        asked += [(row["client_order_id"], row["time"]) for row in venue.asked(place.books)]
    return Exchange(opened, closed, filled, positions, dust, asked)


def _written(order: Mapping[str, str]) -> dict[str, str]:
    """Return quantity, price and filled quantity without the zeros that each side writes in its own way."""
    return {name: f"{Decimal(order[name] or 0).normalize():f}" for name in ("quantity", "price", "filled")}


def violations(exchange: Exchange, books: Mapping[str, Any]) -> list[str]:
    """Return in words where the books of a ready node are not those of the exchange.

    Parameters
    ----------
    exchange : Exchange
        What the exchange has.
    books : mapping
        What the strategy reported (see :class:`tests.integration.strategies.Churn`).

    """
    orders: Mapping[str, Mapping[str, Any]] = books["orders"]
    found = []
    for name, theirs in exchange.open.items():
        ours = orders.get(name)
        if ours is None:
            known = books["known"].get(name)
            found.append(f"{name} is open at the exchange, {f'closed ({known})' if known else 'unknown'} in the cache")
        elif not ours["open"]:
            found.append(f"{name} is open at the exchange, {ours['status']} in the cache")
        elif {"instrument": ours["instrument"], **_written(ours)} != theirs:
            found.append(f"{name} is {dict(theirs)} at the exchange, {dict(ours)} in the cache")
    for name, ours in orders.items():
        # One that was never sent may stay for a while: the engine asks the exchange for it, and gives it up.
        if name not in exchange.open and (ours["open"] or name in exchange.closed):
            there = exchange.closed.get(name, "unknown")
            found.append(f"{name} is {ours['status']} in the cache ({ours['strategy']}), {there} at the exchange")
    for what, amounts in (
        ("filled", exchange.filled),
        ("positions", exchange.positions),
        ("portfolio", exchange.positions),
    ):
        found += [
            f"{instrument}: {amount} at the exchange, {books[what][instrument]} in the books ({what})"
            for instrument, amount in amounts.items()
            if abs(Decimal(books[what][instrument]) - amount) > (0 if what == "filled" else exchange.dust[instrument])
        ]
    return found


def sent_twice(exchange: Exchange) -> list[str]:
    """Return the client order ids that the exchange was sent more than once."""
    times: dict[str, list[int]] = {}
    for name, moment in exchange.asked:
        times.setdefault(name, []).append(moment)
    return [f"{name} was sent {len(when)} times, at {when}" for name, when in times.items() if len(when) > 1]


# -- the soak -------------------------------------------------------------------------------------


class ViolationError(Exception):
    """The guarantee does not hold; the text is all that is needed to look at it."""


@dataclass(slots=True)
class Restart:
    """One start of the node, and how it ended."""

    number: int
    kill: Kill | None
    ready: float | None = None
    """Seconds from the start of the process; None if it was killed before."""
    settled: float = 0.0
    """Seconds until the books were compared and the same."""
    exact_at_start: bool | None = None
    """Whether the books in on_start were those of the exchange; None if the exchange changed meanwhile."""
    early: float | None = None
    """Seconds by which the first order was before the ready line; negative if after it."""
    own: int = 0
    external: int = 0
    unsent: int = 0
    held: int = 0
    """Instruments with an open position."""
    sent: int = 0
    """Orders that the exchange has been sent so far."""
    exit_code: int | None = None
    """Of a node that had stopped before it could be killed, it is not -9."""

    @property
    def text(self) -> str:
        """How it was to end."""
        return "stopped" if self.kill is None else f"{self.kill.phase} {self.kill.after:.3f}"


class Soak:
    """A Redis server, an exchange, and one node after the other on them; a context manager.

    Parameters
    ----------
    folder : Path
        For the nodes' files.
    seed : int
        For what happens at the exchange while no node runs.
    venues : sequence of str
        Which of BINANCE and BYBIT.
    market : {"FUTURES", "SPOT"}
        What is traded there.
    environ : mapping, optional
        Variables of the nodes, beside those that it needs.

    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        venues: Sequence[str] = ("BINANCE", "BYBIT"),
        market: MarketKind = "FUTURES",
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._folder = folder
        self._seed = seed
        self._random = Random(f"exchange {seed}")
        self._venues, self._market, self._more = venues, market, environ
        self._places = [PLACES[market][name] for name in venues]
        self._after = contextlib.ExitStack()
        self._start_secs = 1.0
        self._folders: deque[Path] = deque()
        self.restarts: list[Restart] = []

    def __enter__(self) -> Soak:
        password = alphanumeric(Random("soak redis"), 24)
        self.redis = self._after.enter_context(RedisServer(password=password))
        self._venue = self._after.enter_context(Venue.start())
        spot = self._market == "SPOT"
        binance = "BINANCE_TESTNET" if spot else "BINANCE_FUTURES_TESTNET"
        (self._folder / "secrets").mkdir(parents=True)
        self.environ = {
            "NAUTILUS_TRADER_ID": TRADER_ID,
            "NAUTILUS_VENUES": ",".join(self._venues),
            "NAUTILUS_STATE_DIR": str(self._folder / "state"),
            "NAUTILUS_SECRETS_DIR": str(self._folder / "secrets"),
            "NAUTILUS_STOP_TIMEOUT": "6",
            "BINANCE_ACCOUNT_TYPE": "SPOT" if spot else "USDT_FUTURES",
            "BYBIT_PRODUCT_TYPES": "SPOT" if spot else "LINEAR",
            **self.redis.environ,
            **self._venue.environ("SPOT" if spot else "USDT_FUTURES"),
            "REDIS_PASSWORD": password,
            f"{binance}_API_KEY": alphanumeric(Random("soak binance key"), 64),
            f"{binance}_API_SECRET": alphanumeric(Random("soak binance secret"), 64),
            "BYBIT_TESTNET_API_KEY": alphanumeric(Random("soak bybit key"), 18),
            "BYBIT_TESTNET_API_SECRET": alphanumeric(Random("soak bybit secret"), 36),
            **self._more,
        }
        config = self._folder / "churn.json"
        instruments = [(place.name(symbol), QUANTITIES[symbol]) for place in self._places for symbol in SYMBOLS]
        config.write_text(
            json.dumps(
                {
                    "instrument_ids": [name for name, _ in instruments],
                    "quantities": [quantity for _, quantity in instruments],
                    "folder": str(self._folder),
                    "spot": spot,
                }
            )
        )
        strategy = ("--strategy", "tests.integration.strategies:Churn", "--strategy-config", str(config))
        self._args = ("run", "-p", "testnet", *strategy)
        return self

    def __exit__(self, *args: object) -> None:
        self._after.__exit__(None, None, None)

    def run(self, kills: Sequence[Kill]) -> Iterator[Restart]:
        """Start a node for each kill, and one more at the end that is looked at and stopped.

        Raises
        ------
        ViolationError
            At the first one.

        """
        for number, kill in enumerate((*kills, None)):
            restart = Restart(number, kill)
            self.restarts.append(restart)
            self._disturb()
            if kill is not None and kill.rests:
                self._rest()
            self.tell(kill, trade=False)
            before = self.look()
            process = self.start(number)
            with process:
                try:
                    self._live(process, restart, before)
                except AssertionError as error:
                    raise self.violation(restart, [str(error)]) from None
                process.kill()
                restart.exit_code = process.wait()
            self._look_back(process, restart)
            yield restart

    def wait_until_ready(self, process: TradingNodeProcess) -> float:
        """Return how many seconds it took from the start."""
        process.wait_for(lambda: _is_said(process, "ready "), READY_SECS)
        return time.monotonic() - process.started

    def look(self) -> Exchange:
        """Return what the exchange has now."""
        return look(self._venue, self._places)

    def _disturb(self) -> None:
        """Go on at the exchange while no node runs: a price moves, an order is filled in part."""
        if self._random.random() < 0.3:
            symbol = self._random.choice(SYMBOLS)
            centre = CENTRES[symbol]
            self._venue.price(symbol, centre + self._random.randint(-5, 5) * centre // 10_000)
        resting = [*self.look().open.items()]
        if resting and self._random.random() < 0.5:
            name, order = self._random.choice(resting)
            left = Decimal(order["quantity"]) - Decimal(order["filled"])
            part = left / 2 // STEP * STEP
            with contextlib.suppress(ValueError):  # the price came by meanwhile
                self._venue.fill(name, part if part and self._random.random() < 0.5 else left)

    def _rest(self) -> None:
        """Wait until the price has come by every order that it reaches."""
        before, now = None, self.look()
        while before is None or not before.agrees(now):
            time.sleep(REST_SECS)
            before, now = now, self.look()

    def start(self, number: int) -> TradingNodeProcess:
        """Start the node, with the same settings each time."""
        folder = self._folder / f"node-{number}"
        self._folders.append(folder)
        while len(self._folders) > FOLDERS_KEPT:
            shutil.rmtree(self._folders.popleft())
        for name in ("first.json", "report.json"):
            (self._folder / name).unlink(missing_ok=True)
        return TradingNodeProcess(self._args, self.environ, folder)

    def tell(self, kill: Kill | None, *, trade: bool) -> None:
        """Tell the strategy what to do."""
        part = self._folder / "orders.part"
        told = {"seed": kill and kill.seed, "eager": kill is not None and kill.eager, "trade": trade}
        part.write_text(json.dumps(told))
        part.replace(self._folder / "orders.json")

    def _live(self, process: TradingNodeProcess, restart: Restart, before: Exchange) -> None:
        """Let a node live until it is to be killed, or has stopped."""
        kill = restart.kill
        if kill is not None and kill.phase == "starting":
            time.sleep(kill.after * self._start_secs)
            return
        restart.ready = self._start_secs = self.wait_until_ready(process)
        if kill is not None and kill.phase == "waiting":
            time.sleep(kill.after)
            return
        self.compare(process, restart, before)
        if kill is None:
            process.stop()
            return
        self.tell(kill, trade=True)
        if kill.phase == "trading":
            time.sleep(kill.after)
            return
        time.sleep(kill.trades_before_stop)
        process.send(signal.SIGTERM)
        time.sleep(kill.after)

    def compare(self, process: TradingNodeProcess, restart: Restart, before: Exchange) -> dict[str, Any]:
        """Wait until the exchange rests and the books are the same; they have to be, once events have arrived.

        Parameters
        ----------
        process : TradingNodeProcess
            A node that is ready and does not trade.
        restart : Restart
            Takes what is found.
        before : Exchange
            What the exchange had before the start.

        Raises
        ------
        ViolationError
            If the books are not those of the exchange.

        """
        began = time.monotonic()
        while True:
            exchange = self.look()
            asked = time.time()
            books: dict[str, Any] = process.wait_for(
                lambda: self.reported(process, "report.json", asked)  # noqa: B023  called at once
            )
            rests = exchange.agrees(self.look())
            found = violations(exchange, books)
            if rests and not found:
                break
            if time.monotonic() - began > PATIENCE_SECS:
                raise self.violation(restart, found or ["the exchange does not come to rest"], exchange, books)
        restart.settled = time.monotonic() - began
        first = self.reported(process, "first.json", 0)
        # But for the order that is sent in on_start.
        opened = {name: row for name, row in exchange.open.items() if name in dict(before.asked)}
        untouched = replace(exchange, open=opened)
        if first is None:
            raise self.violation(restart, ["it traded before it had reported"], exchange, books)
        if before.agrees(untouched):
            restart.exact_at_start = True
            if found := violations(untouched, first):
                raise self.violation(restart, ["in on_start already:", *found], untouched, first)
        if books["first_order"] is not None:
            ready = json.loads((self._folder / "state" / "ready.json").read_text())
            restart.early = ready["since"] - books["first_order"]
            if restart.early > EARLY_SECS:
                raise self.violation(restart, [f"its first order was {restart.early:.3f} s before it was ready"])
        mine = [order["strategy"] for order in books["orders"].values() if order["open"]]
        restart.external = mine.count("EXTERNAL")
        restart.own = len(mine) - restart.external
        restart.unsent = len(books["orders"]) - len(mine)
        restart.held = sum(bool(Decimal(amount)) for amount in books["positions"].values())
        return books

    def reported(self, process: TradingNodeProcess, name: str, since: float) -> dict[str, Any] | None:
        path = self._folder / name
        if not path.exists():
            return None
        books: dict[str, Any] = json.loads(path.read_text())
        return books if books["pid"] == process.pid and books["time"] > since else None

    def _look_back(self, process: TradingNodeProcess, restart: Restart) -> None:
        """See what holds for every start, however short."""
        exchange = self.look()
        restart.sent = len(exchange.asked)
        found = sent_twice(exchange)
        if _is_said(process, "lease: "):
            found.append("it waited for the lease of the node that was killed")
        phase = None if restart.kill is None else restart.kill.phase
        if restart.exit_code not in ENDS.get(phase, (-signal.SIGKILL,)):
            found.append(f"it ended by itself with {restart.exit_code}")
        if found:
            raise self.violation(restart, found, exchange)

    def violation(
        self,
        restart: Restart,
        found: Sequence[str],
        exchange: Exchange | None = None,
        books: Mapping[str, Any] | None = None,
    ) -> ViolationError:
        """Write down what is needed to look at it, and return what is to be told."""
        seen = self.look() if exchange is None else exchange
        names = {word for line in found for word in line.split() if word in dict(seen.asked)}
        for name, what in (
            ("exchange", {"open": seen.open, "closed": seen.closed, "asked": seen.asked}),
            ("books", books),
            ("fills", {place.books: self._venue.fills(place.books) for place in self._places}),
            ("redis", self._stored(names)),
            ("restarts", [asdict(one) for one in self.restarts]),
        ):
            (self._folder / f"{name}.json").write_text(json.dumps(what, indent=1, default=str))
        earlier = ", ".join(one.text for one in self.restarts[-4:-1])
        lines = (
            f"restart {restart.number} (seed {self._seed}): {restart.text}",
            *(f"  {line}" for line in found),
            f"before it: {earlier}",
            f"nodes' output, exchange.json, books.json, fills.json, redis.json: {self._folder}",
        )
        return ViolationError("\n".join(lines))

    def _stored(self, names: Collection[str]) -> dict[str, list[Any]]:
        """Return what Redis holds of some orders."""
        import msgspec
        from redis import Redis

        with Redis(port=self.redis.port, password=self.environ["REDIS_PASSWORD"]) as client:
            return {
                name: [
                    msgspec.msgpack.decode(event) for event in client.lrange(f"trader-{TRADER_ID}:orders:{name}", 0, -1)
                ]
                for name in names
            }


def _is_said(process: TradingNodeProcess, beginning: str) -> bool:
    return any(line.startswith(beginning) for line in process.stderr.splitlines())


# -- telling --------------------------------------------------------------------------------------


def line(restart: Restart) -> str:
    """Return one restart in one line."""
    told = [f"{restart.number:4} {restart.text:14}"]
    told.append("not ready" if restart.ready is None else f"ready after {restart.ready:5.2f} s")
    if restart.settled:
        told.append(f"open orders: {restart.own} own, {restart.external} EXTERNAL, {restart.unsent} not sent")
        told.append(f"{restart.held} positions")
    told.append(f"{restart.sent} orders so far")
    return "; ".join(told)


def summary(restarts: Sequence[Restart]) -> list[tuple[str, str]]:
    """Return what was seen, as rows of a table."""
    killed = [one for one in restarts if one.exit_code == -signal.SIGKILL]
    phases = Counter(one.kill.phase for one in killed if one.kill is not None)
    ready = [one.ready for one in restarts if one.ready is not None]
    compared = [one for one in restarts if one.settled]
    early = [one.early for one in restarts if one.early is not None]
    return [
        ("kills", f"{len(killed)} ({', '.join(f'{name} {number}' for name, number in phases.items())})"),
        ("stopped before the kill", str(sum(one.kill is not None and one.exit_code == 0 for one in restarts))),
        ("ready, seconds", f"{len(ready)}: median {statistics.median(ready):.2f}, at most {max(ready):.2f}"),
        ("books compared", f"{len(compared)}, with a position held {sum(one.held > 0 for one in compared)}"),
        ("the same in on_start", str(sum(one.exact_at_start is True for one in compared))),
        ("settled, seconds", f"at most {max(one.settled for one in compared):.2f}"),
        (
            "open orders found",
            f"{sum(one.own for one in compared)} own, {sum(one.external for one in compared)} EXTERNAL",
        ),
        ("in the cache only, not sent", f"at most {max(one.unsent for one in compared)} at a time"),
        ("orders at the exchange", f"{restarts[-1].sent}, none twice"),
        ("first order before `ready`", f"{max(early) * 1e3:.0f} ms at most, of {len(early)}" if early else "none"),
    ]


def main() -> int:
    """Run it, and tell."""
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Kill a node again and again.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="default: drawn, and told")
    parser.add_argument("--venue", default="BINANCE,BYBIT", help="which of BINANCE,BYBIT (default: both)")
    parser.add_argument("--market", choices=PLACES, default="FUTURES")
    args = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(f"seed {args.seed}, {args.kills} kills, {args.venue} {args.market}")
    folder = Path(tempfile.mkdtemp(prefix="tradingnode-soak-"))
    soak = Soak(folder, seed=args.seed, venues=args.venue.split(","), market=args.market)
    began = time.monotonic()
    try:
        with soak, Progress(console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task("kills", total=args.kills + 1)
            for restart in soak.run(plan(args.kills, args.seed)):
                progress.advance(task)
                if not console.is_terminal:
                    print(line(restart), flush=True)
    except ViolationError as error:
        console.print(f"[red]VIOLATED[/] after {time.monotonic() - began:.0f} s")
        print(error)
        return 1
    except KeyboardInterrupt:
        return 130
    table = Table("", f"{time.monotonic() - began:.0f} s", box=None)
    for row in summary(soak.restarts):
        table.add_row(*row)
    console.print(table)
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
