"""Start, ready, watch, stop; and an exit code that tells the truth where Nautilus' own does not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from nautilus_trader.common.messages import ShutdownSystem
from nautilus_trader.config import TradingNodeConfig
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.events import OrderCancelRejected
from nautilus_trader.trading.strategy import Strategy

from config.clients.reconciling import Reconciling
from config.health.heartbeat import Condition, keep_beating, looked, tell
from config.health.readiness_file import ReadinessFile
from config.live.agreement import Agreement
from config.live.node import build_node
from config.live.readiness import Connections, connected_clients, is_ready, lacking
from config.live.restriction import Restriction, cancel_all, still_open
from config.live.strategy_errors import mask_errors
from config.problems import ExitCode, Problem, raise_errors
from config.signals import SIGNALS, hear

POLL_SECS = 0.01
# Binance -2014 and -2015, Bybit 10003 to 10005 and 33004: the key is malformed, unknown, forbidden here or expired.
REFUSED_KEY = re.compile(r"-2014|-2015|\b1000[345]\b|\b33004\b")
WATCHDOG_MARGIN_SECS = 1.0
# The part of the time for a stop that cancels may take; the rest is for the kernel.
CANCEL_PART = 0.5
# Nautilus' components that stop the node when one of their queues raised; any other stop was asked for by a strategy.
ENGINES = frozenset({"DataEngine", "RiskEngine", "ExecEngine"})


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds from start to ready, and from the wish to stop to the end of the process."""

    ready: float
    stop: float


@dataclass(frozen=True, slots=True)
class Running:
    """A node that was built, for those who watch it and lay hands on it; all of it may be called from any thread.

    Parameters
    ----------
    node : TradingNode
        Built, and later running.
    restriction : Restriction
        Of this node.
    agreement : Agreement
        Of its books with its venues.
    was_ready : callable
        Whether the node has been ready.
    fail : callable
        Stops the node with this problem, whose code becomes the exit code.
    tell : callable
        Has it said at once what the node is doing.

    """

    node: TradingNode
    restriction: Restriction
    agreement: Agreement
    was_ready: Callable[[], bool]
    fail: Callable[[Problem], None]
    tell: Callable[[], None]


class _Stop:
    """The wish to stop: who had it first. Set from signal handlers, strategies, engines and watches."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self.event = asyncio.Event()
        self.problems: list[Problem] = []
        self.why = ""
        self.was_ready = False
        self._loop = loop
        self._timeout = timeout
        self._signalled = False
        self._watchdog: threading.Timer | None = None

    def on_signal(self, number: int, _frame: object) -> None:
        """Stop at the first signal; a second one ends the process at once.

        A handler of the interpreter, not of the loop: a strategy that blocks the loop must not make the node deaf.
        """
        if self._signalled:
            os._exit(128 + number)
        self._signalled = True
        self.why = self.why or signal.Signals(number).name
        self.begin()
        self._loop.call_soon_threadsafe(self.event.set)

    def wish(self) -> None:
        """Stop because of a signal that arrived while the kernel's own handler stood in our place; again is the same."""
        self.begin()
        self.event.set()

    def on_shutdown(self, command: ShutdownSystem) -> None:
        """Stop when a component asks for it; when an engine does, it has failed."""
        component = str(command.component_id)
        self.why = self.why or f"asked by {component}"
        if component in ENGINES and not self.event.is_set():
            self.problems.append(_failed(f"{component} stopped the node: {command.reason}"))
        self.event.set()

    def fail(self, problem: Problem) -> None:
        """Stop because of ``problem``; from any thread."""
        self.problems.append(problem)
        self.why = self.why or "failed"
        self._loop.call_soon_threadsafe(self.event.set)

    def begin(self) -> None:
        """Start the clock that ends the process when even the event loop is stuck."""
        if self._watchdog is None:
            self._watchdog = threading.Timer(self._timeout + WATCHDOG_MARGIN_SECS, self._end)
            self._watchdog.daemon = True
            self._watchdog.start()

    def done(self) -> None:
        """Stop that clock."""
        if self._watchdog is not None:
            self._watchdog.cancel()

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            print(f"error: the node did not stop within {self._timeout:g} s and was ended", file=sys.stderr, flush=True)
        os._exit(ExitCode.NODE_FAILED)


def run_node(
    config: TradingNodeConfig,
    deadlines: Deadlines,
    strategies: Sequence[Strategy] = (),
    *,
    on_ready: Callable[[TradingNode, float], None] = lambda _node, _secs: None,
    on_end: Callable[[TradingNode, str], None] = lambda _node, _why: None,
    readiness: ReadinessFile | None = None,
    on_condition: Callable[[Condition], None] = lambda _condition: None,
    may_trade: Callable[[], bool] | None = None,
    attend: Callable[[Running], Iterable[Coroutine[Any, Any, None]]] = lambda _running: (),
    cancel_on_stop: bool = False,
) -> TradingNode:
    """Run a node until a signal, a strategy or a failure stops it, and return it disposed.

    Parameters
    ----------
    config : TradingNodeConfig
        From the factory.
    deadlines : Deadlines
        When to give up on becoming ready, and on stopping.
    strategies : sequence of Strategy, optional
        Instances beside those of ``config``.
    on_ready : callable, optional
        Called once with the node and the seconds that it took.
    on_end : callable, optional
        Called once with the stopped node before it is disposed, while its books can be read, and what stopped it: a signal, who
        asked for it, or ``failed``.
    readiness : ReadinessFile, optional
        Where it is said, once a second, what the node is doing; gone when the node is.
    on_condition : callable, optional
        Called with what the node is doing whenever that is said; only with ``readiness``.
    may_trade : callable, optional
        Asked before every order (see :class:`config.live.restriction.Restriction`).
    attend : callable, optional
        Called once with the node before it starts; what it returns runs beside the node until the stop.
    cancel_on_stop : bool
        Cancel every open order at the stop; one that stays open is a failure.

    Raises
    ------
    ConfigError
        ``exit_code`` 5 if a venue refuses the key, 7 if the node cannot become ready or is not in time, 9 if it failed or a
        cancel at the stop was refused, and what :func:`config.live.node.build_node` raises. A stop that was asked for and
        completed returns, in every phase.

    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    stop = _Stop(loop, deadlines.stop)
    started = loop.time()
    # A signal that arrives while the node is built waits until somebody can act on it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    with contextlib.ExitStack() as after:
        if readiness is not None:
            tell(readiness, Condition("starting"))
            after.callback(readiness.remove)
        try:
            with _noted_signals() as noted:
                node = build_node(config, strategies, loop=loop)
                handlers = _take_signals(loop, stop)
                if noted():
                    stop.wish()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        node.kernel.msgbus.subscribe("commands.system.shutdown", stop.on_shutdown)

        def tell_soon() -> None:
            with contextlib.suppress(
                RuntimeError
            ):  # the loop is closed: the node is gone, and so is its readiness file
                loop.call_soon_threadsafe(tell_now)

        try:
            agreement = Agreement(node)
            Reconciling(node)
            mask_errors(node)
            restriction = Restriction(node, may_trade=may_trade, on_change=lambda _reasons: tell_soon(), holds=True)

            def look() -> Condition:
                condition = looked(partial(_condition, node, stop, restriction, agreement))
                on_condition(condition)
                return condition

            tell_now = partial(_tell, readiness, look)
            running = Running(node, restriction, agreement, lambda: stop.was_ready, stop.fail, tell_soon)
            if readiness is not None:
                after.callback(loop.create_task(keep_beating(readiness, look)).cancel)
            supervising = _supervise(
                running, stop, deadlines, started, on_ready, tell_now, attend(running), cancel_on_stop=cancel_on_stop
            )
            problems = _completed(loop, loop.create_task(supervising), stop)
            on_end(node, "failed" if problems else stop.why)
        finally:
            node.dispose()
            stop.done()
            for number, handler in handlers.items():
                signal.signal(number, handler)
    raise_errors(problems)
    return node


@contextlib.contextmanager
def _noted_signals() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether a signal arrived.

    Nautilus' threads take it in spite of our mask, and the kernel's handler, which stands there for a while, forgets it.
    """
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def noted() -> bool:
        with contextlib.suppress(BlockingIOError):
            return bool(os.read(reading, 64))
        return False

    try:
        yield noted
    finally:
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)


def _completed(loop: asyncio.AbstractEventLoop, supervising: asyncio.Task[list[Problem]], stop: _Stop) -> list[Problem]:
    """Run the loop to the end of ``supervising``: a strategy that calls sys.exit() ends the loop under it, not the node."""
    while True:
        try:
            return loop.run_until_complete(supervising)
        except SystemExit as error:
            if supervising.done():
                raise
            stop.fail(_failed(f"a strategy raised SystemExit({error.code})"))


def _take_signals(loop: asyncio.AbstractEventLoop, stop: _Stop) -> dict[signal.Signals, Any]:
    """Take the signals from the kernel, which would let a connecting node spin on, and return the handlers to restore."""
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.wish)  # uvloop removes none before it runs
    return hear(stop.on_signal)


async def _supervise(
    running: Running,
    stop: _Stop,
    deadlines: Deadlines,
    started: float,
    on_ready: Callable[[TradingNode, float], None],
    say_now: Callable[[], None],
    beside: Iterable[Coroutine[Any, Any, None]],
    *,
    cancel_on_stop: bool,
) -> list[Problem]:
    """Return what went wrong; nothing for a stop that was asked for and completed."""
    loop = asyncio.get_running_loop()
    node = running.node
    attendants = [loop.create_task(_attended(coroutine, running)) for coroutine in beside]
    run = loop.create_task(_run(node))
    wish = loop.create_task(stop.event.wait())
    problems = await _awaited_ready(running, deadlines.ready, started, (run, wish))
    ready = not problems and is_ready(node)
    if ready and not wish.done():
        stop.was_ready = True
        say_now()
        try:
            on_ready(node, loop.time() - started)
        except Exception as error:
            problems.append(_failed(f"on_ready raised {_text(error)}"))
        else:
            running.restriction.release()
            await asyncio.wait((run, wish), return_when=asyncio.FIRST_COMPLETED)
    if not problems and run.done() and not wish.done():
        problems.append(_ended(run))
    for task in (wish, *attendants):
        task.cancel()
    stop.event.set()
    running.restriction.release("the node stops before it was ready")
    say_now()
    stop.begin()
    if not await _stopped(running, stop, run, deadlines.stop, cancel_on_stop) and not problems:
        problems.append(_failed(f"the node did not stop within {deadlines.stop:g} s"))
    if run.done() and not run.cancelled():
        run.exception()  # what it raised was told, or follows from what was
    await _end_tasks()
    return [*problems, *stop.problems, *_left_open(node, all_of_them=cancel_on_stop)]


async def _awaited_ready(
    running: Running, timeout: float, started: float, ends: Iterable[asyncio.Task[Any]]
) -> list[Problem]:
    """Wait until the node is ready or one of ``ends`` is done; return why it cannot become ready, or was not in time."""
    loop, node, agreement = asyncio.get_running_loop(), running.node, running.agreement
    connections = Connections(node)
    while not is_ready(node) and not any(task.done() for task in ends):
        if connections.hopeless(loop.time()):
            return _not_connected(node, connections)
        if agreement.hopeless(loop.time()):
            return agreement.problems()
        if loop.time() - started > timeout:
            return [_not_ready(node, connections, agreement, timeout)]
        await asyncio.sleep(POLL_SECS)
    return []


async def _attended(coroutine: Coroutine[Any, Any, None], running: Running) -> None:
    """Run what watches the node; one that fails would leave it unwatched, so it takes no new risk from then on."""
    try:
        await coroutine
    except Exception as error:
        sentence = f"what watches this node failed ({type(error).__name__}): restart it"
        running.restriction.restrict("watch", sentence)


def _tell(readiness: ReadinessFile | None, look: Callable[[], Condition]) -> None:
    if readiness is not None:
        tell(readiness, look())


def _condition(node: TradingNode, stop: _Stop, restriction: Restriction, agreement: Agreement) -> Condition:
    """Return what the node is doing, for whoever reads the readiness file."""
    connected = tuple(connected_clients(node))
    if stop.event.is_set():
        return Condition("stopping", connected)
    reasons = [f"{reason}: {sentence}" for reason, sentence in restriction.reasons.items()]
    if is_ready(node):
        stop.was_ready = True
        return Condition("restricted", connected, "; ".join(reasons)) if reasons else Condition("ready", connected)
    return Condition(
        "restricted" if stop.was_ready else "starting",
        connected,
        "; ".join((*(agreement.lacking() or lacking(node)), *reasons)),
    )


async def _run(node: TradingNode) -> None:
    try:
        await node.run_async()
    except SystemExit as error:
        raise RuntimeError(f"a strategy raised SystemExit({error.code})") from error


async def _stopped(
    running: Running, stop: _Stop, run: asyncio.Task[None], timeout: float, cancel_on_stop: bool
) -> bool:
    """Stop the node, whatever it is doing; return whether that was done in ``timeout`` seconds."""
    node = running.node
    if not node.trader.is_running:
        # Still connecting or reconciling: Nautilus would go on with that until its own timeout.
        run.cancel()
    try:
        async with asyncio.timeout(timeout):
            # The kernel stops by itself when a component asked for it.
            if node.kernel.is_running() and not node.kernel._is_stopping:
                _stop_components(node, stop)
                if cancel_on_stop:
                    await cancel_all(node, timeout * CANCEL_PART, restriction=running.restriction)
                await _stop_kernel(node, stop)
            while node.kernel.is_running():
                await asyncio.sleep(POLL_SECS)
            await asyncio.wait((run,))
    except TimeoutError:
        run.cancel()
        return False
    return True


def _stop_components(node: TradingNode, stop: _Stop) -> None:
    """Stop strategies and actors one by one: one that raises must not keep the others from cancelling their orders."""
    trader = node.trader
    for component in (*trader.strategies(), *trader.exec_algorithms(), *trader.actors()):
        if component.is_running:
            try:
                component.stop()
            except Exception as error:
                stop.problems.append(_failed(f"{component.id} raised in on_stop: {_text(error)}"))


async def _stop_kernel(node: TradingNode, stop: _Stop) -> None:
    """Stop the kernel, once more without saving if a strategy raises while its state is saved."""
    try:
        await node.stop_async()
    except Exception as error:
        stop.problems.append(_failed(f"the stop raised {_text(error)}"))
        node.kernel._save_state = False
        for strategy in node.trader.strategies():
            with contextlib.suppress(Exception):  # the one that raised was told; the others keep their state
                node.cache.update_strategy(strategy)
        await node.stop_async()


async def _end_tasks() -> None:
    """End what clients left behind, so that nothing is pending when the loop closes."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=1)


def _not_connected(node: TradingNode, connections: Connections) -> list[Problem]:
    """Return a problem for each client that failed to connect, and one for those that still try."""
    failed = connections.failures()
    problems = [
        Problem(code, name, f"{name} cannot connect: {text}", fix)
        for name, text in failed
        for code, fix in [_cause(text)]
    ]
    others = [text for text in lacking(node) if not text.startswith(tuple(name for name, _ in failed))]
    if others:
        fix = "it was still trying when another one failed; mend that one first"
        problems.append(Problem("TN701", "clients", f"not ready: {', '.join(others)}", fix))
    return problems


def _cause(text: str) -> tuple[str, str]:
    """Return code and fix for what a venue answered; the codes of a refused key are the exchanges' own."""
    if REFUSED_KEY.search(text):
        return (
            "TN505",
            "compare with the key's page at the exchange: which environment it is for, its addresses, its permissions",
        )
    return "TN701", "mend what it names: the venue's address, the clock, the position mode, or the instrument ids"


def _not_ready(node: TradingNode, connections: Connections, agreement: Agreement, timeout: float) -> Problem:
    missing = ", ".join(agreement.lacking() or lacking(node)) or "nothing any more: it became ready just after"
    reasons = "".join(f"; {name}: {text}" for name, text in connections.failures())
    message = f"not ready within {timeout:g} s: {missing}{reasons}"
    fix = "is the venue reachable? NAUTILUS_CONNECTION_TIMEOUT and NAUTILUS_READY_TIMEOUT give it longer; the log tells more"
    return Problem("TN701", "NAUTILUS_READY_TIMEOUT", message, fix)


def _left_open(node: TradingNode, *, all_of_them: bool) -> list[Problem]:
    """Return a problem for each order that should be cancelled and is still open at the venue: its cancel was asked for."""
    return [
        Problem(
            "TN903",
            str(order.client_order_id),
            f"{order.client_order_id} is still open at {order.instrument_id.venue}: {order.info()}; its cancel was not done",
            "cancel it at the exchange, or start again; if the exchange does not have it, `tradingnode reset` forgets it",
        )
        for order in still_open(node.cache)
        if all_of_them
        or order.is_pending_cancel
        or any(isinstance(event, OrderCancelRejected) for event in order.events)
    ]


def _ended(run: asyncio.Task[None]) -> Problem:
    error = None if run.cancelled() else run.exception()
    return _failed("the node stopped by itself" if error is None else _text(error))


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _failed(message: str) -> Problem:
    return Problem("TN901", "TradingNode", f"the running node failed: {message}", "the log has the traceback")
