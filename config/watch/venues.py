"""What can be seen of the venues while a node runs: connections that are lost, and orders that a venue does not have.

Nautilus' ``is_connected`` stays True while its WebSockets reconnect in silence, and for ever where that fails. What its sockets
say of themselves is looked at instead (1.231, measured on loopback):

- ``is_active`` of Binance's sockets stays True while they reconnect; ``is_reconnecting`` tells. Bybit's has only ``is_active``.
- A user stream of Binance whose renewal failed once (a refused key, a listen key that is not given) is given up for good.
- A private stream of Bybit whose logon was refused is active, without a confirmed subscription.
- A reconnection takes 0.2 s at least, whatever the network: who looks every ``LOOK_SECS`` sees each of them.
- A half-open connection is found out by pings after 40 s without a message; by the source, never through a proxy (``proxy_url``).

What cannot be seen: those 40 s, a trade stream of Bybit that is not logged on (its private stream, with the same key, tells),
and a venue that answers pings and sends nothing. What happens to orders meanwhile is lost, and shows in the orders.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from nautilus_trader.adapters.binance.common.symbol import BinanceSymbol
from nautilus_trader.adapters.binance.data import BinanceCommonDataClient
from nautilus_trader.adapters.binance.execution import BinanceCommonExecutionClient
from nautilus_trader.adapters.bybit.data import BybitDataClient
from nautilus_trader.adapters.bybit.execution import BybitExecutionClient
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId

# Half of what a reconnection takes at least.
LOOK_SECS = 0.1
# How long a connection must have held after an outage until that is over.
CALM_SECS = 10.0
DROPS_MAX = 5
DROPS_WINDOW_SECS = 600.0
UNKNOWN_SECS = 30.0
# Nautilus' HTTP client for Binance waits for ever, and the loop that checks orders and positions with it.
ANSWER_SECS = 20.0

Up = Iterator[tuple[str, bool]]


# -- connections ----------------------------------------------------------------------------------


def connections(node: TradingNode) -> Mapping[str, bool]:
    """Return for each socket of each client whether it is up now, named for a person: ``BYBIT data public linear``.

    The first word is the client, the rest what the socket is for. Data clients of Binance have sockets for what is subscribed
    only. A client of an adapter that is not known here is up while it says that it is connected.

    Parameters
    ----------
    node : TradingNode
        Built.

    """
    kernel = node.kernel
    found: dict[str, bool] = {}
    for kind, engine in (("data", kernel.data_engine), ("execution", kernel.exec_engine)):
        for client in engine._clients.values():
            found |= {f"{client.id} {kind}{what}": up for what, up in streams(client)}
    return found


def streams(client: Any) -> Up:
    """Yield for each socket of one client what it is for, after a space, and whether it is up now."""
    look = next((look for known, look in SOCKETS.items() if isinstance(client, known)), _says)
    yield from look(client)


def _is_up(socket: Any) -> bool:
    return socket is not None and socket.is_active() and not (socket.is_reconnecting() or socket.is_disconnecting())


def _binance_data(client: Any) -> Up:
    for what, streams in ((" market streams", client._ws_client), (" book streams", client._ws_public_client)):
        for number, wanted in streams._client_streams.items():
            if wanted:
                # Nautilus opens another socket for every 200 streams.
                yield f"{what} {number + 1}" if number else what, _is_up(streams._clients.get(number))


def _binance_execution(client: Any) -> Up:
    user = client._ws_client
    subscribed = user._is_authenticated and user._subscription_id is not None and not user._is_recovery_failed
    own_socket = client._binance_account_type.is_futures
    yield " user stream", subscribed and _is_up(user._stream_client if own_socket else user._client)
    if own_socket and not user._use_rest_listen_key:
        yield " WebSocket API", _is_up(user._client)


def _bybit_data(client: Any) -> Up:
    for product, socket in client._ws_clients.items():
        yield f" public {product.name.lower()}", socket.is_active()


def _bybit_execution(client: Any) -> Up:
    private = client._ws_private_client
    yield " private", private.is_active() and private.subscription_count() > 0
    if not client._is_demo:  # there orders go over HTTP
        yield " trade", client._ws_trade_client.is_active()


def _says(client: Any) -> Up:
    yield "", client.is_connected


SOCKETS: Mapping[type, Callable[[Any], Up]] = {
    BinanceCommonDataClient: _binance_data,
    BinanceCommonExecutionClient: _binance_execution,
    BybitDataClient: _bybit_data,
    BybitExecutionClient: _bybit_execution,
}


# -- outages --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Outage:
    began: float
    ended: float | None = None

    def secs(self, now: float) -> float:
        return (now if self.ended is None else self.ended) - self.began


class Outages:
    """Which connections are down since when, and how often each has dropped in the last 10 minutes."""

    def __init__(self) -> None:
        self._outages: dict[str, deque[_Outage]] = {}

    def see(self, connections: Mapping[str, bool], now: float) -> None:
        """Take in one look; every ``LOOK_SECS``, or drops that are shorter than the time between two looks are missed.

        Parameters
        ----------
        connections : mapping
            From :func:`connections`. One that is no longer in it was closed on purpose.
        now : float
            Seconds of a clock that only goes forward.

        """
        for name, up in connections.items():
            outages = self._outages.setdefault(name, deque())
            is_down = bool(outages) and outages[-1].ended is None
            if up and is_down:
                outages[-1].ended = now
            elif not up and not is_down:
                outages.append(_Outage(now))
            while outages and outages[0].ended is not None and outages[0].ended <= now - DROPS_WINDOW_SECS:
                outages.popleft()
        for name in self._outages.keys() - connections.keys():
            del self._outages[name]

    @property
    def down(self) -> Mapping[str, float]:
        """The connections that were down at the last look, with the time at which that was seen first."""
        return {
            name: outages[-1].began for name, outages in self._outages.items() if outages and outages[-1].ended is None
        }

    def drops(self, now: float) -> Mapping[str, int]:
        """Return for each connection how often it has dropped in the 10 minutes before ``now``."""
        since = now - DROPS_WINDOW_SECS
        return {
            name: sum(outage.began > since for outage in outages) for name, outages in self._outages.items() if outages
        }

    def judge(self, now: float, limit_secs: float) -> Mapping[str, str]:
        """Return the reasons to take no risk, such as ``venue BINANCE``, each with its sentence; empty when all is well.

        A connection is a reason once it was down for longer than ``limit_secs``, until it has held for 10 s; and while it has
        dropped more than 5 times in the last 10 minutes.

        Parameters
        ----------
        now : float
            As in :meth:`see`, whose last look this judges.
        limit_secs : float
            Binance's sockets may take 30 s to come back from a long outage after the venue is there again, Bybit's 5 s.

        """
        away: dict[str, dict[str, float]] = {}
        back: dict[str, dict[str, float]] = {}
        flapping: dict[str, dict[str, int]] = {}
        drops = self.drops(now)
        for name, outages in self._outages.items():
            venue, _, what = name.partition(" ")
            secs = _longest(outages, now)
            if secs > limit_secs:
                is_away = outages[-1].ended is None
                (away if is_away else back).setdefault(venue, {})[what] = secs
            if drops.get(name, 0) > DROPS_MAX:
                flapping.setdefault(venue, {})[what] = drops[name]
        sentences: dict[str, list[str]] = {}
        for venue, named in away.items():
            text = f"no connection to {venue} ({', '.join(named)}) for {max(named.values()):.0f} s"
            sentences.setdefault(venue, []).append(text)
        for venue, named in back.items():
            lost = f"the connection to {venue} ({', '.join(named)}) was lost for {max(named.values()):.0f} s"
            sentences.setdefault(venue, []).append(f"{lost} and is back for less than {CALM_SECS:.0f} s")
        for venue, counted in flapping.items():
            each = ", ".join(f"{what} {count} times" for what, count in counted.items())
            window = f"{DROPS_WINDOW_SECS / 60:.0f} minutes"
            sentences.setdefault(venue, []).append(
                f"the connection to {venue} drops again and again ({each} in {window})"
            )
        return {f"venue {venue}": "; ".join(texts) for venue, texts in sentences.items()}


def _longest(outages: Iterable[_Outage], now: float) -> float:
    """Return the seconds of the longest outage since the connection held for ``CALM_SECS`` last; 0 if there was none."""
    longest, up_until = 0.0, now
    for outage in reversed(tuple(outages)):
        if outage.ended is not None and up_until - outage.ended >= CALM_SECS:
            break
        longest = max(longest, outage.secs(now))
        up_until = outage.began
    return longest


# -- orders that a venue does not have ------------------------------------------------------------


@dataclass(slots=True)
class _Heard:
    """What a venue told of its open orders in the course of one question."""

    lists: int = 0
    failed: bool = False
    names: set[str] = field(default_factory=set)
    numbers: set[tuple[str, str]] = field(default_factory=set)


Row = tuple[str | None, str, Any]
_hearing: ContextVar[_Heard | None] = ContextVar("_hearing", default=None)


async def _overhear(answer: Awaitable[Iterable[Any]], read: Callable[[Any], Row]) -> Iterable[Any]:
    """Return the answer, and note whom it names: an order's client order id if it has one, its symbol and venue order id."""
    heard = _hearing.get()
    if heard is None:
        return await answer
    try:
        rows = await answer
    except BaseException:
        heard.failed = True
        raise
    heard.lists += 1
    for name, symbol, number in map(read, rows):
        heard.numbers.add((symbol, str(number)))
        if name:
            heard.names.add(name)
    return rows


def _listen(api: Any, method: str, read: Callable[[Any], Row]) -> None:
    question = getattr(api, method)

    async def asked(*args: Any, **kwargs: Any) -> Any:
        return await _overhear(question(*args, **kwargs), read)

    setattr(api, method, asked)


class _Overheard:
    """The HTTP client of Bybit, whose answers are heard; it is Rust's, and takes no other method in."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def request_order_status_reports(self, *args: Any, **kwargs: Any) -> Any:
        answer = self._client.request_order_status_reports(*args, **kwargs)
        return await _overhear(answer, _bybit_row)


def _bybit_row(row: Any) -> Row:
    name = row.client_order_id
    return None if name is None else name.value, row.instrument_id.symbol.value, row.venue_order_id.value


def _listen_to_binance(client: Any) -> int:
    # The rows as they come: the adapter leaves out what was created longer ago than the engine looks back.
    _listen(client._http_account, "query_open_orders", lambda row: (row.clientOrderId, row.symbol, row.orderId))
    if not client._binance_account_type.is_futures:
        return 1
    conditional = client._futures_http_account
    _listen(conditional, "query_open_algo_orders", lambda row: (row.clientAlgoId, row.symbol, row.algoId))
    return 2


def _listen_to_bybit(client: Any) -> int:
    client._http_client = _Overheard(client._http_client)
    return len(client._product_types)


@dataclass(frozen=True, slots=True)
class _Adapter:
    """How to hear what a client is told: ``listen`` returns how many lists make a whole answer, ``symbol`` is the venue's."""

    listen: Callable[[Any], int]
    symbol: Callable[[InstrumentId], str]


ADAPTERS: Mapping[type, _Adapter] = {
    BinanceCommonExecutionClient: _Adapter(_listen_to_binance, lambda name: str(BinanceSymbol(name.symbol.value))),
    BybitExecutionClient: _Adapter(_listen_to_bybit, lambda name: str(name.symbol.value)),
}


class UnknownOrders:
    """Orders that are open in the books, and not at their venue.

    Nautilus asks each venue every few seconds which orders are open (``open_check_interval_secs``), and of an order that is not
    among them it writes a line at DEBUG. What it is answered is heard here; nothing more is asked. An order counts from the first
    answer without it to the last; it was open in the books before the question and is after the answer, and not in flight, whose
    checks are Nautilus' own. Whether the venue has lost it, or has filled or cancelled it and the message was lost, is not known.

    A question that is not answered, or only in part, says nothing of the orders. When that lasts as long, it is told: the node
    cannot see what it should. So that the next one is asked, a question ends after 20 s, which Nautilus' own does not.

    Parameters
    ----------
    node : TradingNode
        Built and not started. Clients of simulated execution are left alone.
    limit_secs : float
        After how many seconds an order, or a venue without an answer, is told.
    answer_secs : float
        After how many seconds a question ends without an answer.
    clock : callable
        Seconds of a clock that only goes forward.

    Raises
    ------
    RuntimeError
        If the node is not built, or runs.

    """

    def __init__(
        self,
        node: TradingNode,
        *,
        limit_secs: float = UNKNOWN_SECS,
        answer_secs: float = ANSWER_SECS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not node.is_built() or node.kernel.is_running():
            raise RuntimeError("open orders are watched from after the node is built and before it is started")
        self._limit = limit_secs
        self._watched = [
            _OpenOrders(client, adapter, node.cache, answer_secs, clock)
            for client in node.kernel.exec_engine._clients.values()
            for known, adapter in ADAPTERS.items()
            if isinstance(client, known)
        ]

    def judge(self, now: float) -> Mapping[str, str]:
        """Return the reasons to take no risk, such as ``orders BINANCE``, each with its sentence; empty when all is well.

        Parameters
        ----------
        now : float
            By the clock that was given.

        """
        told = ((watched.name, watched.sentences(now, self._limit)) for watched in self._watched)
        return {f"orders {name}": "; ".join(sentences) for name, sentences in told if sentences}


class _OpenOrders:
    """What one client is answered."""

    def __init__(
        self, client: Any, adapter: _Adapter, cache: Any, answer_secs: float, clock: Callable[[], float]
    ) -> None:
        self.name = str(client.id)
        self._client, self._cache, self._answer_secs, self._clock = client, cache, answer_secs, clock
        self._symbol = adapter.symbol
        self._lists = adapter.listen(client)
        self._question = client.generate_order_status_reports
        self._missing: dict[ClientOrderId, float] = {}
        self._answered_at = 0.0
        self._waiting_since: float | None = None
        client.generate_order_status_reports = self._asked

    async def _asked(self, command: Any) -> Any:
        if not command.open_only or command.instrument_id is not None:
            return await self._question(command)
        began = self._clock()
        if self._waiting_since is None:
            self._waiting_since = began
        open_before = self._cache.client_order_ids_open(venue=self._client.venue)
        heard = _Heard()
        token = _hearing.set(heard)
        try:
            async with asyncio.timeout(self._answer_secs):
                return await self._question(command)
        finally:
            _hearing.reset(token)
            if heard.lists >= self._lists and not heard.failed:
                self._compare(open_before, heard, began)

    def _compare(self, open_before: Iterable[ClientOrderId], heard: _Heard, began: float) -> None:
        known_missing, self._missing = self._missing, {}
        self._answered_at, self._waiting_since = began, None
        for name in open_before:
            if name.value in heard.names:
                continue
            since = known_missing.get(name)
            order = self._cache.order(name)
            if order is None or not self._may_be_missed(order, heard):
                continue
            if not order.is_inflight:
                self._missing[name] = began if since is None else since
            elif since is not None:
                # A strategy that cancels in vain again and again must not begin the count anew each time.
                self._missing[name] = since

    def _may_be_missed(self, order: Any, heard: _Heard) -> bool:
        # Bybit's client leaves out what is of an instrument that it has not loaded.
        if not order.is_open or self._client._instrument_provider.find(order.instrument_id) is None:
            return False
        number = order.venue_order_id
        return number is None or (self._symbol(order.instrument_id), number.value) not in heard.numbers

    def sentences(self, now: float, limit: float) -> list[str]:
        told = []
        late = {name: self._answered_at - since for name, since in self._missing.items()}
        late = {name: secs for name, secs in late.items() if secs >= limit and self._cache.is_order_open(name)}
        if late:
            first, *others = sorted(late, key=lambda name: (-late[name], name.value))
            which = f"order {first} is" if not others else f"order {first} and {len(others)} more are"
            told.append(f"{which} open in the books and {self.name} has not had it for {late[first]:.0f} s")
        if self._waiting_since is not None and now - self._waiting_since >= limit:
            told.append(f"{self.name} has not told its open orders for {now - self._waiting_since:.0f} s")
        return told
