"""Whether a node's books agree with its venues, found out before anything may trade; Nautilus writes what fails into its log.

Nautilus connects, reconciles, starts its order emulator, initialises the portfolio and starts the strategies, in this order. The
checks stand between these steps, so that neither a strategy nor an emulated order acts on books that are wrong.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Set
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
from nautilus_trader.adapters.sandbox.execution import SandboxExecutionClient
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import GeneratePositionStatusReports
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import AccountType
from nautilus_trader.model.identifiers import InstrumentId

from config.clients.bybit import AcceptingExecutionClient
from config.live.readiness import FAILED_FOR_SECS
from config.preflight.venue_answers import scrubbed
from config.problems import Problem
from config.settings.spelling import nearest
from config.watch.venues import streams

# A fill between the venue's answer and a look at the books makes them differ for a moment; a venue may fail to answer once.
TRIES = 3
PAUSE_SECS = 0.5
POLL_SECS = 0.01
# How long a venue gets to tell all its instruments, for the sentence about one that it does not have.
NAMES_SECS = 10.0
# How long a private stream may take to be logged on to after its client says that it is connected; Binance' logon has as much.
LOGON_SECS = 10.0
ZERO = Decimal(0)

# What an adapter asks the venue through: Binance's two, and Bybit's.
HTTP_OBJECTS = ("_http_account", "_futures_http_account", "_http_client")
REPORTS = ("generate_order_status_reports", "generate_fill_reports", "generate_position_status_reports")

# What requests raised in this task. Adapters log it and answer with an empty list, as if the venue had nothing.
_RAISED: ContextVar[list[Exception] | None] = ContextVar("raised", default=None)

ADD_IT = "correct the id, or add it to {venue}_INSTRUMENT_IDS; empty loads all"
ASK_AGAIN = "is the exchange under maintenance, or a right of the key gone? Start again then; the log tells more"
COMPARE = (
    "compare with the exchange's own page; where the books are wrong, `tradingnode reset` forgets them and the next start "
    "takes over what the exchange tells"
)
LOAD_IT = "add it to {venue}_INSTRUMENT_IDS, or close the position at the exchange: the node cannot see what it has not loaded"
LOG_ON = (
    "a firewall or proxy that lets the socket open and nothing through, or a key that may not read; the log tells more"
)
PRICES = "a position without a price keeps it from that; the log names its instrument"
OTHER_ORDER = "use the version of nautilus_trader that the lock file names"


@dataclass(frozen=True, slots=True)
class _Failure:
    name: str
    text: str
    fix: str


class Agreement:
    """What keeps the books of a node from being those of its venues; while there is something, its strategies do not start.

    Checked are: that the instruments are loaded which clients and strategies are configured with, that each account is known,
    that reconciliation got an answer to everything it asked, and that each net position is the venue's. Simulated execution has
    no venue to compare with; spot has, but balances are no positions (see :mod:`config.clients.spot`).

    Parameters
    ----------
    node : TradingNode
        Built and not started. Steps of its start are wrapped; nothing is left on its clients once they are done.
    instrument_ids : collection of str, optional
        What is to be loaded; by default what the clients of ``node`` are configured to load.
    tries : int
        How often a venue is asked before a missing answer counts, or positions that differ.
    pause_secs : float
        Between two tries, in seconds.

    """

    def __init__(
        self,
        node: TradingNode,
        instrument_ids: Collection[str] | None = None,
        *,
        tries: int = TRIES,
        pause_secs: float = PAUSE_SECS,
    ) -> None:
        kernel = node.kernel
        self._node, self._kernel = node, kernel
        self._tries, self._pause_secs = tries, pause_secs
        self._ids = configured(node) if instrument_ids is None else frozenset(instrument_ids)
        self._failed: dict[str, _Failure] = {}
        self._waiting: dict[str, str] = {}
        self._errors: dict[str, str] = {}
        self._compared = self._agreed = self._over = False
        self._since: float | None = None
        exec_clients = kernel.exec_engine._clients.values()
        self._clients = [client for client in exec_clients if not isinstance(client, SandboxExecutionClient)]
        for client in self._all_clients():
            if getattr(client, "_instrument_provider", None) is not None:
                _name_unknown(client._instrument_provider)
        for step, check in (
            ("_await_engines_connected", self._connected),
            ("_await_execution_reconciliation", self._reconciled),
            ("_await_portfolio_initialization", self._initialised),
        ):
            setattr(kernel, step, partial(check, getattr(kernel, step)))

    @property
    def agreed(self) -> bool:
        """Whether everything was checked and is as it should be; only then do strategies start."""
        return self._agreed

    def hopeless(self, now: float) -> bool:
        """Return whether something failed, and what else goes on has had time to fail too; ``now`` by the loop's clock.

        Nautilus starts once, so that waiting mends nothing.
        """
        if self._failed and self._since is None:
            self._since = now
        return self._over or (self._since is not None and now - self._since > FAILED_FOR_SECS)

    def lacking(self) -> tuple[str, ...]:
        """Return in words what failed, else what is being waited for; nothing before the clients are connected."""
        return tuple(failure.text for failure in self._failed.values()) or tuple(self._waiting.values())

    def failures(self) -> tuple[tuple[str, str], ...]:
        """Return what failed: a variable, a strategy, an instrument or a client, each with a sentence."""
        return tuple((failure.name, failure.text) for failure in self._failed.values())

    def problems(self) -> list[Problem]:
        """Return what failed, each with its fix."""
        return [
            Problem("TN701", failure.name, f"not ready: {failure.text}", failure.fix)
            for failure in self._failed.values()
        ]

    # -- the steps of a start -----------------------------------------------------------------------

    async def _connected(self, connect: Callable[[], Awaitable[bool]]) -> bool:
        if not await connect():
            return False
        await self._look_at_streams()
        await self._look_at_instruments()
        await self._look_at_accounts()
        if not self._failed and not self._kernel.exec_engine.reconciliation:
            await self._compare()
        return self._go_on()

    async def _reconciled(self, reconcile: Callable[[], Awaitable[bool]]) -> bool:
        await self._reconcile(reconcile)
        if not self._failed:
            await self._compare()
        return self._go_on()

    async def _initialised(self, initialise: Callable[[], Awaitable[bool]]) -> bool:
        if not await initialise():
            seconds = self._kernel._config.timeout_portfolio
            self._fail("Portfolio", f"the portfolio was not initialised within {seconds:g} s", PRICES)
        elif not self._compared:
            text = "the books were not compared with the venues: this Nautilus starts in another order"
            self._fail("TradingNode", text, OTHER_ORDER)
        else:
            self._look_at_portfolio()
        self._agreed = self._go_on()
        return self._agreed

    def _go_on(self) -> bool:
        self._over = bool(self._failed)
        return not self._over

    def _fail(self, name: str, text: str, fix: str, about: str = "") -> None:
        """Keep the first failure of each part, and log it."""
        if (about or name) not in self._failed:
            self._failed[about or name] = _Failure(name, text, fix)
            self._kernel.logger.error(f"Not ready: {text}")

    def _all_clients(self) -> list[Any]:
        return [*self._kernel.data_engine._clients.values(), *self._kernel.exec_engine._clients.values()]

    # -- streams, instruments and accounts ----------------------------------------------------------

    async def _look_at_streams(self) -> None:
        """See that what tells of fills is logged on to: an adapter says that it is connected once it has asked for that."""

        def missing() -> list[tuple[str, str]]:
            return [(str(client.id), what) for client in self._clients for what, up in streams(client) if not up]

        def text(name: str, what: str) -> str:
            return f"execution client {name} is not connected: its socket{what} is not logged on to"

        self._waiting = {f"{name}{what}": text(name, what) for name, what in missing()}
        for name, what in await self._none_left(missing, LOGON_SECS):
            self._fail(name, text(name, what), LOG_ON, about=f"{name}{what}")
        self._waiting.clear()

    async def _look_at_instruments(self) -> None:
        wanted = [(f"{text.rpartition('.')[2]}_INSTRUMENT_IDS", text) for text in sorted(self._ids)]
        wanted += [
            (str(strategy.id), str(found))
            for strategy in self._node.trader.strategies()
            for found in dict.fromkeys(instrument_ids_in(strategy.config))
            if not found.is_synthetic()
        ]

        def missing() -> list[tuple[str, str]]:
            loaded = {str(instrument_id) for instrument_id in self._node.cache.instrument_ids()}
            return [(source, text) for source, text in wanted if text not in loaded]

        names: dict[str, Collection[str]] = {}
        for source, text in await self._none_left(missing):
            venue = text.rpartition(".")[2]
            if venue not in names:
                names[venue] = await self._names(venue)
            sentence = f"{source}: {_what_is_wrong(text, names[venue])}"
            self._fail(source, sentence, ADD_IT.format(venue=venue), about=sentence)

    async def _names(self, venue: str) -> Collection[str]:
        """Return the ids of all that ``venue`` has, as far as a client can tell."""
        for client in self._all_clients():
            provider = getattr(client, "_instrument_provider", None)
            if provider is not None and venue in (str(client.venue), str(client.id)):
                return await _names_of(provider)
        return ()

    async def _none_left[T](self, missing: Callable[[], list[T]], secs: float | None = None) -> list[T]:
        """Return what is still missing after a while, at once if that is nothing: it may be in the engines' queues."""
        for _ in range(round((self._tries * self._pause_secs if secs is None else secs) / POLL_SECS)):
            if not missing():
                return []
            await asyncio.sleep(POLL_SECS)
        return missing()

    async def _look_at_accounts(self) -> None:
        def missing() -> list[str]:
            return [str(client.id) for client in self._clients if self._node.cache.account(client.account_id) is None]

        for name in await self._none_left(missing):
            self._fail(name, f"the account of {name} is not known", ASK_AGAIN)

    # -- reconciliation -----------------------------------------------------------------------------

    async def _reconcile(self, reconcile: Callable[[], Awaitable[bool]]) -> None:
        """Reconcile, in the time that is set for it: Nautilus logs that time and then takes any."""
        seconds = self._kernel._config.timeout_reconciliation
        self._waiting = {str(client.id): f"reconciliation of {client.id} is not finished" for client in self._clients}
        fine = False
        with self._listening(), self._judging():
            try:
                async with asyncio.timeout(seconds) as limit:
                    fine = await reconcile()
            except Exception as error:
                if limit.expired():
                    late = f"was not finished within {seconds:g} s"
                    for name in self._waiting:
                        self._not_reconciled(name, late, self._errors.get(name, ""))
                else:
                    self._kernel.logger.exception("Reconciliation raised", error)
                    self._errors[""] = _text(error)
        if not fine and not self._failed:
            self._not_reconciled("", "failed", self._errors.get("", "the log tells why"))
        self._waiting.clear()

    def _not_reconciled(self, name: str, how: str, why: str) -> None:
        which = f"reconciliation of {name}" if name else "reconciliation"
        self._fail(name or "reconciliation", f"{which} {how}" + (f": {why}" if why else ""), ASK_AGAIN)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Hear what the clients' requests raise."""
        with ExitStack() as stack:
            for client in self._clients:
                inner = {name: vars(client)[name] for name in HTTP_OBJECTS if name in vars(client)}
                stack.enter_context(_replaced(client, {name: _Listening(one) for name, one in inner.items()}))
            yield

    @contextmanager
    def _judging(self) -> Iterator[None]:
        """Keep what goes wrong in a reconciliation, and let no incomplete report into the books."""
        engine = self._kernel.exec_engine
        with ExitStack() as stack:
            for client in self._clients:
                watched = {name: self._insisting(client, getattr(client, name)) for name in REPORTS}
                watched["generate_mass_status"] = self._finishing(client, client.generate_mass_status)
                stack.enter_context(_replaced(client, watched))
            judged = ("_reconcile_order_report", "_reconcile_position_report")
            stack.enter_context(_replaced(engine, {name: self._judged(getattr(engine, name)) for name in judged}))
            yield

    def _insisting(self, client: Any, generate: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        """Return ``generate`` that asks again when a request failed, and raises what an adapter would have kept to itself.

        An incomplete report makes Nautilus invent what is missing: an order without its fills, a position without its orders.
        """
        name = str(client.id)

        async def insisting(command: Any) -> Any:
            for left in reversed(range(self._tries)):
                answer, error = await _asked(partial(generate, command))
                if error is None:
                    return answer
                self._errors[name] = _text(error)
                if left:
                    await asyncio.sleep(self._pause_secs)
            self._not_reconciled(name, "failed", self._errors[name])
            # Nautilus logs what is raised, and what that came from: a signed url, in some cases.
            raise RuntimeError(self._errors[name]) from None

        return insisting

    def _finishing(self, client: Any, generate: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        name = str(client.id)

        async def finishing(*args: Any, **kwargs: Any) -> Any:
            status, error = await _asked(partial(generate, *args, **kwargs))
            if status is None:
                self._not_reconciled(name, "failed", _text(error) if error else "there is no report; the log tells why")
            self._waiting.pop(name, None)
            return status

        return finishing

    def _judged(self, apply: Callable[..., bool]) -> Callable[..., bool]:
        names = {client.account_id: str(client.id) for client in self._clients}

        def judged(report: Any, *args: Any, **kwargs: Any) -> bool:
            name, what = names.get(report.account_id, ""), f"{_what(report)} does not fit the books"
            try:
                fine = apply(report, *args, **kwargs)
            except Exception as error:
                self._not_reconciled(name, "failed", f"{what} ({_text(error)})")
                raise
            if not fine:
                self._not_reconciled(name, "failed", what)
            return fine

        return judged

    # -- positions ----------------------------------------------------------------------------------

    async def _compare(self) -> None:
        """Compare each client's positions with its venue's."""
        clients = [client for client in self._clients if client.account_type != AccountType.CASH]
        self._waiting = {str(client.id): f"positions are not compared with {client.id}" for client in clients}
        with self._listening():
            async with asyncio.TaskGroup() as comparing:
                for client in clients:
                    comparing.create_task(self._compare_one(client))
        self._waiting.clear()
        self._compared = True

    async def _compare_one(self, client: Any) -> None:
        name = str(client.id)
        doubts: dict[InstrumentId, str] | None = None
        error: Exception | None = None
        for left in reversed(range(self._tries)):
            answer, error = await _asked(partial(_positions, client, self._command()))
            if error is None:
                apart = self._apart(client, answer or ())
                # What once agreed is followed from then on by the venue's stream.
                doubts = {one: text for one, text in apart.items() if doubts is None or one in doubts}
                if not doubts:
                    return
                self._waiting[name] = ", ".join(doubts.values())
            if left:
                await asyncio.sleep(self._pause_secs)
        if error is not None:
            self._fail(name, f"{name} does not tell its positions: {_text(error)}", ASK_AGAIN)
        for instrument_id, text in (doubts or {}).items():
            loaded = self._node.cache.instrument(instrument_id) is not None
            fix = COMPARE if loaded else LOAD_IT.format(venue=instrument_id.venue)
            self._fail(str(instrument_id), text, fix)

    def _command(self) -> GeneratePositionStatusReports:
        now = self._kernel.clock.timestamp_ns()
        return GeneratePositionStatusReports(instrument_id=None, start=None, end=None, command_id=UUID4(), ts_init=now)

    def _apart(self, client: Any, reports: Iterable[Any]) -> dict[InstrumentId, str]:
        """Return a sentence with both numbers for each instrument whose net position differs."""
        books = self._books(client)
        venue: dict[InstrumentId, Decimal] = {}
        for report in reports:
            venue[report.instrument_id] = venue.get(report.instrument_id, ZERO) + report.signed_decimal_qty
        return {
            one: self._sentence(one, books.get(one, ZERO), "in the books", venue.get(one, ZERO), f"at {client.id}")
            for one in sorted({*books, *venue}, key=str)
            if books.get(one, ZERO) != venue.get(one, ZERO)
            and self._kernel.exec_engine._consider_for_reconciliation(one)
        }

    def _sentence(self, one: InstrumentId, left: Decimal, here: str, right: Decimal, there: str) -> str:
        instrument = self._node.cache.instrument(one)
        if instrument is None:
            return f"{one}: {both_numbers(left, here, right, there)} (it is not loaded)"
        return f"{one}: {both_numbers(left, here, right, there, instrument.size_precision)}"

    def _books(self, client: Any) -> dict[InstrumentId, Decimal]:
        """Return the net position of each instrument over all strategies."""
        net: dict[InstrumentId, Decimal] = {}
        for position in self._node.cache.positions_open(account_id=client.account_id):
            net[position.instrument_id] = net.get(position.instrument_id, ZERO) + position.signed_decimal_qty()
        return net

    def _look_at_portfolio(self) -> None:
        """See that the portfolio, which strategies ask, has what the books hold; both change in the same breath."""
        for client in self._clients:
            for one, held in self._books(client).items():
                told = self._node.portfolio.net_position(one, account_id=client.account_id)
                if told != held:
                    self._fail(str(one), self._sentence(one, told, "in the portfolio", held, "in the books"), COMPARE)


def configured(node: TradingNode) -> frozenset[str]:
    """Return the ids of the instruments that the clients of ``node`` are configured to load; empty where that is all."""
    config = node._config
    clients = [*config.data_clients.values(), *config.exec_clients.values()]
    providers = [client.instrument_provider for client in clients]
    return frozenset(str(one) for provider in providers if provider for one in provider.load_ids or ())


def instrument_ids_in(value: object) -> Iterator[InstrumentId]:
    """Yield every instrument id in ``value``: a configuration, a collection, a bar type, or an id itself."""
    if isinstance(value, InstrumentId):
        yield value
    elif isinstance(value, BarType):
        yield value.instrument_id
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from instrument_ids_in(getattr(value, name))
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from instrument_ids_in(pair)
    elif isinstance(value, list | tuple | Set):
        for one in value:
            yield from instrument_ids_in(one)


def nearest_id(text: str, known: Collection[str]) -> str | None:
    """Return the one of ``known`` that ``text`` is most likely a slip of: its symbol first, then its kind, such as ``-PERP``."""
    names: dict[str, list[str]] = {}
    for one in sorted(known):
        names.setdefault(_symbol(one)[0], []).append(one)
    symbol, kind = _symbol(text.upper())
    meant = nearest(symbol, frozenset(names))
    if meant is None:
        return None
    return next((one for one in names[meant] if _symbol(one)[1] == kind), names[meant][0])


def both_numbers(left: Decimal, here: str, right: Decimal, there: str, decimals: int = 0) -> str:
    """Return two net positions in words, both with so many decimals, or more where one of them has more."""
    places = max(decimals, *(-int(number.normalize().as_tuple().exponent) for number in (left, right)))
    return f"net {left:.{places}f} {here}, {right:.{places}f} {there}"


def _symbol(text: str) -> tuple[str, str]:
    symbol, _, kind = text.rpartition(".")[0].partition("-")
    return symbol, kind


def _what_is_wrong(text: str, known: Collection[str]) -> str:
    venue = text.rpartition(".")[2]
    if text in known:
        return f"{text} is not loaded: {venue}_INSTRUMENT_IDS names others"
    if not known:
        return f"{text} is not loaded, and no client tells which instruments {venue} has"
    meant = nearest_id(text, known)
    return f"{text} is not an instrument of {venue}" + (f", did you mean {meant}?" if meant else "")


def _what(report: Any) -> str:
    order = getattr(report, "client_order_id", None) or getattr(report, "venue_order_id", None)
    return f"order {order} of {report.instrument_id}" if order else f"the position of {report.instrument_id}"


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {scrubbed(str(error))}"


async def _positions(client: Any, command: GeneratePositionStatusReports) -> list[Any]:
    """Return the client's positions, those included that it keeps to itself."""
    found = list(await client.generate_position_status_reports(command) or ())
    return found + (await client.positions_not_loaded() if isinstance(client, AcceptingExecutionClient) else [])


async def _asked[T](ask: Callable[[], Awaitable[T]]) -> tuple[T | None, Exception | None]:
    """Return the answer and, if a request failed on the way, why: the first error, which is the cause of the others."""
    raised: list[Exception] = []
    before = _RAISED.set(raised)
    try:
        answer = await ask()
    except Exception as error:
        return None, (raised or [error])[0]
    finally:
        _RAISED.reset(before)
    return answer, raised[0] if raised else None


class _Listening:
    """Stands for an object through which an adapter asks its venue, and keeps what its requests raise."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = found(*args, **kwargs)
            return _heard(answer) if inspect.isawaitable(answer) else answer

        return call


async def _heard(answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except Exception as error:
        raised = _RAISED.get()
        if raised is not None:
            raised.append(error)
        raise


@contextmanager
def _replaced(thing: Any, others: Mapping[str, Any]) -> Iterator[None]:
    """Give ``thing`` other attributes for a while."""
    own = {name: vars(thing)[name] for name in others if name in vars(thing)}
    vars(thing).update(others)
    try:
        yield
    finally:
        for name in others:
            del vars(thing)[name]
        vars(thing).update(own)


async def _names_of(provider: Any) -> Collection[str]:
    """Return the ids of all instruments that a venue has, nothing if it does not tell them."""
    try:
        async with asyncio.timeout(NAMES_SECS):
            await provider.load_all_async()
    except Exception:
        return ()
    return frozenset(str(one) for one in provider.get_all())


def _name_unknown(provider: Any) -> None:
    """Make ``provider`` say which instrument its venue does not have: Binance's raises ``KeyError: 'XBTUSDT'``."""
    load = provider.load_ids_async

    async def load_ids_async(instrument_ids: list[InstrumentId], filters: dict[str, Any] | None = None) -> None:
        try:
            await load(instrument_ids, filters)
        except KeyError as error:
            known = await _names_of(provider)
            unknown = [str(one) for one in instrument_ids if known and str(one) not in known]
            if not unknown:
                raise
            sentences = [f"{one.rpartition('.')[2]}_INSTRUMENT_IDS: {_what_is_wrong(one, known)}" for one in unknown]
            raise LookupError("; ".join(sentences)) from error

    provider.load_ids_async = load_ids_async
