"""Start, ready, watch, stop; and an exit code that tells the truth where Nautilus' own does not."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nautilus_trader.common.messages import ShutdownSystem
from nautilus_trader.config import TradingNodeConfig
from nautilus_trader.live.node import TradingNode
from nautilus_trader.trading.strategy import Strategy

from config.node import build_node
from config.problems import ConfigError, ExitCode, Problem
from config.readiness import is_ready, lacking

POLL_SECS = 0.01
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Nautilus' components that stop the node when one of their queues raised; any other stop was asked for by a strategy.
ENGINES = frozenset({"DataEngine", "RiskEngine", "ExecEngine"})


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds from start to ready, and from the wish to stop to the end of the process."""

    ready: float
    stop: float


class _Stop:
    """The wish to stop: who had it first. Set from signal handlers, strategies and engines."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.event = asyncio.Event()
        self.failure: str | None = None
        self._loop = loop

    def on_signal(self, number: signal.Signals) -> None:
        """Stop at the first signal; a second one ends the process at once."""
        if self.event.is_set():
            os._exit(128 + number)
        self.event.set()

    def on_shutdown(self, command: ShutdownSystem) -> None:
        """Stop when a component asks for it; when an engine does, it has failed."""
        component = str(command.component_id)
        if component in ENGINES and not self.event.is_set():
            self.failure = f"{component} stopped the node: {command.reason}"
        self.event.set()


def run_node(
    config: TradingNodeConfig,
    deadlines: Deadlines,
    strategies: Sequence[Strategy] = (),
    *,
    on_ready: Callable[[TradingNode, float], None] = lambda _node, _secs: None,
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

    Raises
    ------
    ConfigError
        ``exit_code`` 7 if the node is not ready in time, 9 if it failed, and what :func:`config.node.build_node` raises. A stop
        that was asked for and completed returns, in every phase.

    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    started = loop.time()
    node = build_node(config, strategies, loop=loop)
    stop = _Stop(loop)
    # In place of the kernel's own handlers, which would let a connecting node spin on until its timeout.
    for number in SIGNALS:
        loop.add_signal_handler(number, stop.on_signal, number)
    node.kernel.msgbus.subscribe("commands.system.shutdown", stop.on_shutdown)
    try:
        problem = loop.run_until_complete(_supervise(node, stop, deadlines, started, on_ready))
    finally:
        node.dispose()
    if problem is not None:
        raise ConfigError([problem])
    return node


async def _supervise(
    node: TradingNode,
    stop: _Stop,
    deadlines: Deadlines,
    started: float,
    on_ready: Callable[[TradingNode, float], None],
) -> Problem | None:
    """Return what went wrong, None for a stop that was asked for."""
    loop = asyncio.get_running_loop()
    running = loop.create_task(node.run_async())
    wish = loop.create_task(stop.event.wait())
    problem: Problem | None = None
    while not (ready := is_ready(node)) and not wish.done() and not running.done():
        if loop.time() - started > deadlines.ready:
            problem = _not_ready(node, deadlines.ready)
            break
        await asyncio.sleep(POLL_SECS)
    if ready and not wish.done():
        on_ready(node, loop.time() - started)
        await asyncio.wait((running, wish), return_when=asyncio.FIRST_COMPLETED)
    if problem is None and running.done() and not wish.done():
        problem = _ended(running)
    wish.cancel()
    watchdog = _watchdog(deadlines.stop)
    if not (await _stopped(node, running, deadlines.stop)) and problem is None:
        problem = _failed(f"the node did not stop within {deadlines.stop:g} s")
    await _end_tasks()
    watchdog.cancel()
    return problem or (_failed(stop.failure) if stop.failure is not None else None)


async def _stopped(node: TradingNode, running: asyncio.Task[None], timeout: float) -> bool:
    """Stop the node, whatever it is doing; return whether that was done in ``timeout`` seconds."""
    if not node.trader.is_running:
        # Still connecting or reconciling: Nautilus would go on with that until its own timeout.
        running.cancel()
    try:
        async with asyncio.timeout(timeout):
            # The kernel stops by itself when a component asked for it.
            if node.kernel.is_running() and not node.kernel._is_stopping:
                await node.stop_async()
            while node.kernel.is_running():
                await asyncio.sleep(POLL_SECS)
            await asyncio.wait((running,))
    except TimeoutError:
        running.cancel()
        return False
    return True


async def _end_tasks() -> None:
    """End what clients left behind, so that nothing is pending when the loop closes."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=1)


def _watchdog(timeout: float) -> threading.Timer:
    """Return a started timer that ends the process when even the event loop is stuck."""

    def end() -> None:
        print(f"error: the node did not stop within {timeout:g} s and was ended", file=sys.stderr, flush=True)
        os._exit(ExitCode.NODE_FAILED)

    timer = threading.Timer(timeout + 1, end)
    timer.daemon = True
    timer.start()
    return timer


def _not_ready(node: TradingNode, timeout: float) -> Problem:
    missing = ", ".join(lacking(node)) or "nothing any more: it became ready just after"
    message = f"not ready within {timeout:g} s: {missing}"
    fix = "look for ERROR lines above; is the venue reachable and the key valid? NAUTILUS_READY_TIMEOUT gives it longer"
    return Problem("TN701", "NAUTILUS_READY_TIMEOUT", message, fix)


def _ended(running: asyncio.Task[None]) -> Problem:
    error = None if running.cancelled() else running.exception()
    return _failed("the node stopped by itself" if error is None else f"{type(error).__name__}: {error}")


def _failed(message: str) -> Problem:
    return Problem("TN901", "TradingNode", f"the running node failed: {message}", "look for ERROR lines above")
