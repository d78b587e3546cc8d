"""What a row of the fault matrix is played on: a node, a Redis server of its own, and an exchange that is its own meanwhile."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from random import Random
from typing import Any, Literal, Protocol

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from config.health.readiness_file import judge
from config.state_dir import READINESS_FILE
from config.store.lease import PREFIX, Holder
from tests.forked import KEPT, TradingNodeProcess
from tests.key_generators import alphanumeric
from tests.redis_server import RedisServer
from tests.venue.handle import MarketName, Rows, Venue

ROOT = Path(__file__).parents[2]
# How long anything but the end of the node may take to come about; only a hang takes as long.
COMES_WITHIN_SECS = 40.0
POLL_SECS = 0.01
# multiprocessing loses an exit code for which two threads ask at once, and it asks for all of them at each start.
_PROCESSES = threading.Lock()

MARKETS: tuple[MarketName, ...] = ("binance_futures", "bybit")
# What Python and Rust say of defects.
NOISE = ("Traceback", "Task was destroyed", "never retrieved", "never awaited", "Exception ignored", "panicked at")
# A defect of today that comes by chance, once in a thousand nodes, so that no row can be said to have it: a client in Rust
# gets its answer when the loop is closed and the process has not ended yet.
LATE = re.compile(
    r'Traceback \(most recent call last\):\n(?:  File "uvloop/loop.pyx", .*\n)+RuntimeError: Event loop is closed\n'
)

type Lease = Literal["released", "dead", "held", "untold", "any"]


def own() -> dict[str, str]:
    """Return what a process is given of this one's environment; always given, since pytest changes that in its thread."""
    return {name: value for name, value in os.environ.items() if KEPT.match(name)}


class Node(Protocol):
    """A ``tradingnode`` in a process of its own."""

    started: float

    @property
    def pid(self) -> int: ...

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs."""

    @property
    def stdout(self) -> str: ...

    @property
    def stderr(self) -> str: ...


class Forked(TradingNodeProcess):
    """As its base, and its end may be awaited in one thread while others start such processes."""

    def __init__(self, args: Sequence[str], environ: Mapping[str, str], folder: Path) -> None:
        with _PROCESSES:
            super().__init__(args, environ, folder)

    @property
    def code(self) -> int | None:
        with _PROCESSES:
            return self._process.exitcode


class Commanded:
    """The real command line."""

    def __init__(self, args: Sequence[str], environ: Mapping[str, str], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._output = folder / "stdout", folder / "stderr"
        given = {**own(), "HOME": str(folder), "PYTHONPATH": str(ROOT), **environ}
        command = [sys.executable, "-m", "config", *args]
        self.started = time.monotonic()
        with self._output[0].open("wb") as stdout, self._output[1].open("wb") as stderr:
            self._process = subprocess.Popen(command, env=given, cwd=folder, stdout=stdout, stderr=stderr)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        return self._process.poll()

    @property
    def stdout(self) -> str:
        return self._output[0].read_text()

    @property
    def stderr(self) -> str:
        return self._output[1].read_text()


@dataclass(frozen=True)
class Outcome:
    """What is left of a row.

    Parameters
    ----------
    code : int, optional
        Exit code; None if the node had to be killed at the deadline.
    seconds : float
        From the start, or the signal that was to end it, to the end.
    stderr, stdout, log_files : str
        What it said there.
    ready : bool
        Whether its readiness file still says ready.
    lease : {'released', 'dead', 'held', 'untold'}
        What stands in Redis: nothing of this node, the name of a dead process, that of one that seems to live; or no Redis.
    leaks : tuple of str
        Files that hold a secret.

    """

    code: int | None
    seconds: float
    stderr: str
    stdout: str
    log_files: tuple[str, ...]
    ready: bool
    lease: Lease
    leaks: tuple[str, ...]

    @property
    def noise(self) -> list[str]:
        """What nobody meant to say on stderr: Nautilus' errors stand there with their tracebacks, as in the log file."""
        said = LATE.sub("", self.stderr)
        return [words for words in NOISE if said.count(words) > sum(text.count(words) for text in self.log_files)]

    @property
    def told(self) -> str:
        """All that it said."""
        return "\n---\n".join((self.stderr, self.stdout, *self.log_files))


class Stage:
    """What the steps of a row act on.

    Parameters
    ----------
    name : str
        Of the row; its secrets follow from it.
    folder : Path
        Empty; everything but the server's files and what `given` holds is searched for secrets.
    venue : Venue
        This row's alone while it is played.

    Attributes
    ----------
    environ : dict
        What the next node is given beside Redis, venue and secrets, and before them.
    args : list
        What follows ``run -p testnet``.
    node : Node
        The one whose end counts: the one that was started last.
    nodes : list
        All that were started.

    """

    def __init__(self, name: str, folder: Path, venue: Venue) -> None:
        random = Random(name)
        self.folder, self.venue = folder, venue
        # Keys have the exchanges' shapes; each pair is an account of its own, with empty books.
        self.secrets = {
            "BINANCE_FUTURES_TESTNET_API_KEY": alphanumeric(random, 64),
            "BINANCE_FUTURES_TESTNET_API_SECRET": alphanumeric(random, 64),
            "BYBIT_TESTNET_API_KEY": alphanumeric(random, 18),
            "BYBIT_TESTNET_API_SECRET": alphanumeric(random, 36),
            "REDIS_PASSWORD": f"canary-{alphanumeric(random, 16)}",
        }
        self.trader_id = f"M{random.randrange(10**6)}-001"
        self.given = self._made("given")
        self.environ: dict[str, str] = {
            "NAUTILUS_TRADER_ID": self.trader_id,
            "NAUTILUS_SECRETS_DIR": str(self._made("secrets")),
            "NAUTILUS_VENUES": "BINANCE",
            "NAUTILUS_STOP_TIMEOUT": "10",
            "NAUTILUS_CONNECTION_TIMEOUT": "20",
        }
        self.args: list[str] = []
        self.nodes: list[Node] = []
        self.asked_to_end: float | None = None
        self._others = {market: {row["account"] for row in venue.balances(market)} for market in MARKETS}
        self._after = ExitStack()
        self._redis: RedisServer | None = None

    def _made(self, name: str) -> Path:
        (self.folder / name).mkdir()
        return self.folder / name

    # -- Redis ------------------------------------------------------------------------------------------------

    @property
    def redis(self) -> RedisServer:
        """The server, started when it is first needed."""
        return self._redis or self.serve()

    def serve(self, *options: str, before: Callable[[Path], object] = lambda _folder: None) -> RedisServer:
        """Start the server with more options than usual; ``before`` is given its folder first."""
        assert self._redis is None, "there is a server already"
        self._redis = RedisServer(*options, password=self.secrets["REDIS_PASSWORD"])
        before(self._redis.folder)
        return self.keep(self._redis)

    @contextmanager
    def admin(self) -> Iterator[Any]:
        """Give a client of the server."""
        password, once = self.secrets["REDIS_PASSWORD"], Retry(NoBackoff(), 0)
        with Redis(
            port=self.redis.port, password=password, decode_responses=True, socket_timeout=5, retry=once
        ) as client:
            yield client

    # -- the venue --------------------------------------------------------------------------------------------

    def orders(self, market: MarketName) -> Rows:
        """Return the orders of this row's account."""
        return self._mine(market, self.venue.orders(market))

    def positions(self, market: MarketName) -> Rows:
        """Return the open positions of this row's account."""
        return self._mine(market, self.venue.positions(market))

    def _mine(self, market: MarketName, rows: Rows) -> Rows:
        return [row for row in rows if row["account"] not in self._others[market]]

    # -- the node ---------------------------------------------------------------------------------------------

    @property
    def node(self) -> Node:
        return self.nodes[-1]

    @property
    def state(self) -> Path:
        """The state directory of all nodes of this row, unless `environ` has another one."""
        return Path(self.environ.get("NAUTILUS_STATE_DIR", self.folder / "state"))

    def start(self, kind: Callable[..., Node] = Forked) -> Node:
        """Start a node; it is killed when the row is over."""
        environ = {
            "NAUTILUS_STATE_DIR": str(self.state),
            **self.redis.environ,
            **self.venue.environ(),
            **self.secrets,
            **self.environ,
        }
        node = kind(["run", "-p", "testnet", *self.args], environ, self.folder / f"node{len(self.nodes)}")
        self._after.callback(_end, node)
        self.nodes.append(node)
        self.asked_to_end = None
        return node

    def send(self, number: signal.Signals) -> None:
        """Send the node a signal; from now on it is to end."""
        self.asked_to_end = time.monotonic()
        os.kill(self.node.pid, number)

    def until(self, what: str | Callable[[], Any], timeout: float = COMES_WITHIN_SECS) -> Any:
        """Wait until the node has said ``what``, or ``what()`` is true, and return that.

        Raises
        ------
        AssertionError
            If that does not come, or the node ends before.

        """
        node, deadline = self.node, time.monotonic() + timeout
        while time.monotonic() < deadline:
            # Asked first: what it said before its end counts.
            code = node.code
            found = what in node.stderr + node.stdout if isinstance(what, str) else what()
            if found:
                return found
            if code is not None:
                break
            time.sleep(POLL_SECS)
        state = "runs" if node.code is None else f"ended with {node.code}"
        raise AssertionError(f"waited for {what!r}; the node {state}\n{node.stderr[-4000:]}\n{node.stdout[-4000:]}")

    def end(self, timeout: float) -> tuple[int | None, float]:
        """Wait for the end of the node and return its exit code, and the seconds since it was to end.

        A node that has not ended ``timeout`` seconds after its start, or the signal that is to end it, is killed: None.
        """
        began = self.node.started if self.asked_to_end is None else self.asked_to_end
        while (code := self.node.code) is None and time.monotonic() - began < timeout:
            time.sleep(POLL_SECS)
        seconds = time.monotonic() - began
        if code is None:
            _end(self.node)
        return code, seconds

    def keep[T](self, one: AbstractContextManager[T]) -> T:
        """Enter ``one`` until the row is over."""
        return self._after.enter_context(one)

    def after(self, act: Callable[[], object]) -> None:
        """Call ``act`` when the row is over, before what was kept earlier is left."""
        self._after.callback(act)

    def outcome(self, timeout: float) -> Outcome:
        """Wait for the end of the node and return what is left of it."""
        code, seconds = self.end(timeout)
        logs = (self.state / "logs").glob("*") if (self.state / "logs").is_dir() else ()
        fine, _ = judge(self.state / READINESS_FILE, time.time(), time.monotonic())
        return Outcome(
            code=code,
            seconds=seconds,
            stderr=self.node.stderr,
            stdout=self.node.stdout,
            log_files=tuple(path.read_text() for path in logs),
            ready=fine,
            lease=self._lease(),
            leaks=self._leaks(),
        )

    def _lease(self) -> Lease:
        try:
            with self.admin() as client:
                names = [name for name in client.scan_iter(f"{PREFIX}:*") if not name.startswith(f"{PREFIX}:last:")]
                found = [Holder.from_text(client.get(name) or "") for name in names]
        except RedisError:
            return "untold"
        mine = [holder for holder in found if holder is not None and holder.pid == self.node.pid]
        if not mine:
            return "released"
        return "dead" if all(holder.is_dead() for holder in mine) else "held"

    def _leaks(self) -> tuple[str, ...]:
        secrets = [secret.encode() for secret in self.secrets.values()]
        folders = [self.folder, *([self._redis.folder] if self._redis is not None else [])]
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        return tuple(
            str(path)
            for path in files
            if not path.is_relative_to(self.given) and any(secret in path.read_bytes() for secret in secrets)
        )

    def close(self) -> None:
        """End everything that the row has started."""
        self._after.close()


def _end(node: Node) -> None:
    """Kill a node that still runs, and wait until it has gone."""
    while node.code is None:
        with suppress(ProcessLookupError):
            os.kill(node.pid, signal.SIGKILL)
        time.sleep(POLL_SECS)


class Venues:
    """As many exchanges as rows are played at a time; one that was used is as good as new.

    Parameters
    ----------
    count : int
        How many.

    """

    def __init__(self, count: int) -> None:
        self._after = ExitStack()
        self._free: SimpleQueue[Venue] = SimpleQueue()
        for _ in range(count):
            self._free.put(self._after.enter_context(Venue.start()))

    @contextmanager
    def one(self) -> Iterator[Venue]:
        """Give one that nobody else has."""
        venue = self._free.get()
        try:
            yield venue
        finally:
            venue.behave()
            venue.keys({})
            venue.counts(reset=True)
            self._free.put(venue)

    def __enter__(self) -> Venues:
        return self

    def __exit__(self, *_: object) -> None:
        self._after.close()
