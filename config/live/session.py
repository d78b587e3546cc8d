"""A run: everything that stands around a node from the settings on, and comes down with it in the right order."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from functools import partial
from typing import Any

from nautilus_trader.common.component import Logger
from nautilus_trader.common.messages import ShutdownSystem
from nautilus_trader.live.node import TradingNode

from config.factory import TradingNodeConfigFactory
from config.health.pulse import Pulse
from config.health.readiness_file import ReadinessFile
from config.live.changes import Changes
from config.live.control import serve
from config.live.halted import OPERATOR, Halt
from config.live.restriction import LEASE
from config.live.runner import ENGINES, Deadlines, Running, run_node
from config.models import TradingNodeSettings
from config.problems import Problem
from config.show.banner import Row, aligned, duration, end_rows, found_rows, nets, start_rows
from config.signals import hear
from config.state_dir import READINESS_FILE
from config.store.lease import Lease, lease_names
from config.store.retention import trim_catalog, trim_snapshots
from config.watch.looks import Look, disk_look, keep_seeing, strategies_look, watch
from config.watch.loop import LoopWatch
from config.watch.redis import RedisWatch
from config.watch.venues import LOOK_SECS, Outages, UnknownOrders, connections

REDIS = "redis"
RESTART = "restart the node: it reconciles from the venue"


class Session:
    """What its parts tell each other: who restricts the node, what stops it, what is counted.

    Parameters
    ----------
    settings : TradingNodeSettings
        Loaded with a preset.
    say : callable
        Takes a line for whoever started the node.

    """

    def __init__(self, settings: TradingNodeSettings, say: Callable[[str], object]) -> None:
        self._settings = settings
        self._say = say
        self._lock = threading.Lock()
        self._running: Running | None = None
        self._ready_at: float | None = None
        # The net positions of the books as they were kept.
        self._before: Mapping[str, Decimal] = {}
        # What is to be done as soon as there is a node.
        self._early: list[Callable[[Running], None]] = []
        self.changes = Changes()
        self.halt = Halt(settings.state_directory)
        self._lease = self._new_lease()
        self._redis_watch = (
            None if settings.redis is None else RedisWatch(settings.redis, settings.trader_id, self._redis_changed)
        )
        self._loop_watch = LoopWatch(self._loop_changed)

    def run(self, strategies: Sequence[Any] = ()) -> None:
        """Run a node until it stops; see :func:`config.live.runner.run_node` for what is raised.

        Parameters
        ----------
        strategies : sequence of ImportableStrategyConfig
            As the factory takes them.

        """
        settings = self._settings
        config = TradingNodeConfigFactory.from_settings(settings, strategies)
        self._tell(start_rows(settings, config))
        with contextlib.ExitStack() as after:
            for part in (self._lease, self._redis_watch):
                if part is not None:
                    after.enter_context(part)
            self._trim()
            pulse = Pulse(self.changes)
            if settings.http_port is not None:
                after.enter_context(self._endpoint(settings.http_port, pulse))
            readiness = ReadinessFile(
                str(settings.state_directory / READINESS_FILE),
                trader_id=settings.trader_id,
                preset=settings.preset,
                role=settings.role,
            )
            # Nothing may disturb the last steps of a process that ends: a signal would take the place of its exit code.
            after.callback(hear, signal.SIG_IGN)
            run_node(
                config,
                Deadlines(settings.seconds_to_ready, settings.stop_timeout),
                on_ready=self._on_ready,
                on_end=self._on_end,
                readiness=readiness,
                on_condition=pulse.tell,
                may_trade=None if self._lease is None else self._lease.may_trade,
                attend=self._attend,
                cancel_on_stop=settings.cancel_on_stop,
            )

    def _trim(self) -> None:
        """Keep what grows within its bounds, before the node is built; what cannot be trimmed keeps no node from starting."""
        settings, now = self._settings, time.time()
        trimmed = []
        if (redis := settings.redis) is not None:
            trimmed.append(trim_snapshots(redis, settings.trader_id, settings.snapshot_retention_days, now))
        if (streaming := settings.streaming) is not None:
            trimmed.append(trim_catalog(settings.catalog_path, streaming.max_runs, streaming.max_age_days, now))
        for problem in (problem for one in trimmed for problem in one.problems):
            self._say(f"not trimmed: {problem}")

    def _tell(self, rows: Iterable[Row]) -> None:
        for line in aligned(rows):
            self._say(line)

    def _on_ready(self, node: TradingNode, seconds: float) -> None:
        settings = self._settings
        venues = ",".join(settings.active_venues)
        self._say(f"ready {settings.trader_id} {settings.preset} {venues} after {seconds:.2f} s")
        self._ready_at = time.monotonic()
        self._tell(found_rows(node, self._before))

    def _on_end(self, node: TradingNode, why: str) -> None:
        self._tell(end_rows(node, self._running.restriction.reasons if self._running else {}))
        ran = "" if self._ready_at is None else f" after {duration(time.monotonic() - self._ready_at)}"
        self._say(f"stopped {self._settings.trader_id}{ran} ({why})")

    def _new_lease(self) -> Lease | None:
        settings = self._settings
        if settings.redis is None or not settings.lease or not (names := lease_names(settings)):
            return None
        return Lease(
            settings.redis,
            names,
            settings.trader_id,
            on_trouble=self._lease_changed,
            on_wait=lambda why: self._say(f"lease: {why}"),
        )

    def _endpoint(self, port: int, pulse: Pulse) -> AbstractContextManager[Any]:
        from config.health.endpoint import Endpoint
        from config.health.metrics import Snapshot, metrics_of, node_info, snapshot_of

        def snapshot() -> Snapshot:
            if self._running is None:
                return Snapshot()
            return snapshot_of(
                self._running.node,
                self._running.restriction,
                event_loop_lag=self._loop_watch.lag,
                redis_up=None if self._redis_watch is None else self._redis_watch.state in ("up", "back"),
                lease_held=None if self._lease is None else self._lease.may_trade(),
            )

        settings = self._settings
        info = node_info(settings.trader_id, settings.preset, settings.role)
        return Endpoint(port, pulse, metrics_of(info, pulse, self.changes, snapshot))

    def _attend(self, running: Running) -> Iterator[Coroutine[Any, Any, None]]:
        with self._lock:
            self._running, early = running, self._early
        self._before = nets(running.node.cache)
        for act in early:
            act(running)
        if (why := self.halt.read()) is not None:
            running.restriction.restrict(OPERATOR, why)
        if self._settings.halt_on_shutdown:
            running.node.kernel.msgbus.subscribe("commands.system.shutdown", self._halt_next_start)
        yield serve(running, self._settings.state_directory, self.halt)
        yield self._watch_loop()
        looks = [disk_look(self._settings), strategies_look(running)]
        limit, outages = self._settings.venue_outage_secs, Outages()
        yield keep_seeing(partial(self._see_connections, outages), every=LOOK_SECS)
        looks.append(Look(lambda now: outages.judge(now, limit), restricts=True))
        if running.node.kernel.exec_engine.registered_clients:
            looks.append(Look(UnknownOrders(running.node).judge, restricts=True))
        yield watch(running, looks, self.changes)

    def _halt_next_start(self, command: ShutdownSystem) -> None:
        """Remember that a strategy had enough: whoever starts the node again by itself must not make it trade again."""
        if (component := str(command.component_id)) not in ENGINES:
            self.halt.write(f"{component} asked for the end: {command.reason or 'no reason given'}")
            self._say(f"halted by {component}: the next start takes no new risk until `tradingnode resume`")

    def _see_connections(self, outages: Outages, now: float) -> None:
        if self._running is not None and self._running.was_ready():
            outages.see(connections(self._running.node), now)

    async def _watch_loop(self) -> None:
        with self._loop_watch:
            await self._loop_watch.beat()

    # -- what threads tell, maybe before there is a node ----------------------------------------------

    def _loop_changed(self, stalled: bool, sentence: str) -> None:
        self.changes.count("event loop", "stalled" if stalled else "turning")
        self._act(lambda _running: Logger("Watch").warning(sentence))

    def _redis_changed(self, state: str, sentence: str) -> None:
        self.changes.count(REDIS, state)
        if state in ("lost", "back"):
            self._redis_is_bad(f"{sentence}; what was written meanwhile may be missing: {RESTART}", is_lost=True)
        elif state == "silent":
            self._redis_is_bad(sentence, is_lost=False)
        elif self._settings.on_redis_loss == "warn":
            self._act(lambda _running: Logger("Watch").warning(f"redis: {sentence}"))
        else:
            self._act(lambda running: running.restriction.lift(REDIS))

    def _redis_is_bad(self, sentence: str, *, is_lost: bool) -> None:
        policy = self._settings.on_redis_loss
        if policy == "warn":
            self._act(lambda _running: Logger("Watch").warning(f"redis: {sentence}"))
            return
        self._act(lambda running: _restrict(running, REDIS, sentence))
        if policy == "stop" and is_lost:
            fix = "see that Redis runs, then run again; NAUTILUS_ON_REDIS_LOSS=halt would go on without new risk"
            self._act(lambda running: running.fail(Problem("TN905", "NAUTILUS_ON_REDIS_LOSS", sentence, fix)))

    def _lease_changed(self, state: str, sentence: str) -> None:
        self.changes.count(LEASE, state)
        if state == "held":
            self._act(lambda running: running.restriction.lift(LEASE))
            return
        self._act(lambda running: _restrict(running, LEASE, sentence))
        if state == "lost":
            fix = "stop the other node or give this one its own trader id and account; compare the orders at the venue"
            self._act(lambda running: running.fail(Problem("TN906", "NAUTILUS_LEASE", sentence, fix)))

    def _act(self, act: Callable[[Running], None]) -> None:
        """Do it to the node, as soon as there is one."""
        with self._lock:
            if self._running is None:
                self._early.append(act)
                return
        act(self._running)


def _restrict(running: Running, reason: str, sentence: str) -> None:
    """Restrict the node; a reason that holds already has changed, which the restriction does not log."""
    if reason in running.restriction.reasons:
        Logger("Watch").warning(f"{reason}: {sentence}")
    running.restriction.restrict(reason, sentence)
