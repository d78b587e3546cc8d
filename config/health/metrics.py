"""What a running node says of itself, as Prometheus metrics. Values are read when they are asked for, never before.

Imported only where there is a port to serve them: prometheus_client costs 200 ms from a cold disk.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from types import MappingProxyType
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from config.health.pulse import Pulse
from config.health.readiness_file import STATES
from config.live.changes import Changes

if TYPE_CHECKING:
    from nautilus_trader.live.node import TradingNode

    from config.live.restriction import Restriction

type Labels = tuple[str, ...]

PREFIX = "tradingnode"
NOTHING: Mapping[str, int] = MappingProxyType({})
NO_CLIENTS: Mapping[tuple[str, str], bool] = MappingProxyType({})
# Label of `tradingnode_info`: the package whose version it is.
PACKAGES = {"version": "tradingnode-config", "nautilus_version": "nautilus_trader"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is read from a running node when its metrics are asked for; None where there is no such thing, or not yet.

    Parameters
    ----------
    restricted : collection of str
        The reasons for which no new risk is taken.
    denied : mapping
        Orders and modifications that were denied, by reason.
    clients : mapping
        Whether each client is connected, by its kind (data, execution) and its name.
    open_orders, open_positions : int, optional
        As the node's books have it.
    event_loop_lag : float, optional
        Seconds that the event loop came late, as whoever watches it has measured last.
    redis_up, lease_held : bool, optional
        Whether Redis answers, and whether the lease is held.

    """

    restricted: Collection[str] = ()
    denied: Mapping[str, int] = NOTHING
    clients: Mapping[tuple[str, str], bool] = NO_CLIENTS
    open_orders: int | None = None
    open_positions: int | None = None
    event_loop_lag: float | None = None
    redis_up: bool | None = None
    lease_held: bool | None = None


def snapshot_of(
    node: TradingNode,
    restriction: Restriction,
    *,
    event_loop_lag: float | None = None,
    redis_up: bool | None = None,
    lease_held: bool | None = None,
) -> Snapshot:
    """Return what ``node`` and its restriction tell, from any thread, in microseconds."""
    kernel, cache = node.kernel, node.cache
    engines = (("data", kernel.data_engine), ("execution", kernel.exec_engine))
    return Snapshot(
        restricted=tuple(restriction.reasons),
        denied=restriction.counts,
        clients={
            (kind, str(client.id)): bool(client.is_connected)
            for kind, engine in engines
            for client in list(engine._clients.values())
        },
        # The indexes themselves: `orders_open_count()` sorts every id first, 4 ms for 5,000 orders that the loop would wait.
        open_orders=len(cache.client_order_ids_open()),
        open_positions=len(cache.position_open_ids()),
        event_loop_lag=event_loop_lag,
        redis_up=redis_up,
        lease_held=lease_held,
    )


def node_info(trader_id: str, preset: str | None, role: str) -> Mapping[str, str]:
    """Return the labels of ``tradingnode_info``: which node this is, and the versions that it runs on."""
    versions = {label: version(package) for label, package in PACKAGES.items()}
    who = {"trader_id": trader_id, "role": role, **({} if preset is None else {"preset": preset})}
    return {**who, **versions, "python_version": platform.python_version()}


def metrics_of(
    info: Mapping[str, str], pulse: Pulse, changes: Changes, snapshot: Callable[[], Snapshot]
) -> CollectorRegistry:
    """Return a registry whose metrics are what these tell when they are asked.

    Parameters
    ----------
    info : mapping
        From :func:`node_info`.
    pulse : Pulse
        What the node is doing.
    changes : Changes
        What has changed how often.
    snapshot : callable
        Called for every answer, in another thread than the event loop's: it takes well under a millisecond, only reads, and
        waits for no lock that a stuck event loop may hold.
        If it raises, the values that it would have told are left out and ``tradingnode_snapshot_failed`` is 1.

    """
    registry = CollectorRegistry()
    registry.register(_Node(info, pulse, changes, snapshot))
    return registry


class _Node(Collector):
    def __init__(
        self, info: Mapping[str, str], pulse: Pulse, changes: Changes, snapshot: Callable[[], Snapshot]
    ) -> None:
        self._info, self._pulse, self._changes, self._snapshot = dict(info), pulse, changes, snapshot

    def collect(self) -> Iterator[Metric]:
        try:
            now, failed = self._snapshot(), False
        except Exception:
            # What it said may hold anything; the log of the node has it where it matters.
            now, failed = Snapshot(), True
        yield InfoMetricFamily(PREFIX, "Which node this is.", value=self._info)
        yield from _told(self._pulse)
        yield _total("state_changes", "What changed, and to which state.", ("what", "to"), self._changes.totals.items())
        yield from _read(now)
        yield _gauge("snapshot_failed", "Whether the node could not be looked at.", failed)


def _told(pulse: Pulse) -> Iterator[Metric]:
    """Yield what the node said last, and how long ago."""
    (state, *_), since, _ = pulse.last
    states = [((name,), name == state) for name in STATES]
    yield _gauges("state", "What the node said last that it is doing: one of these is 1.", ("state",), states)
    yield _gauge("ready", "Whether /ready says so: the state is ready and the heartbeat young.", pulse.ready()[0])
    yield _gauge(
        "ready_since_timestamp_seconds",
        "Unix time since which the state is ready; absent if it is not.",
        since if state == "ready" else None,
    )
    yield _gauge("heartbeat_age_seconds", "Time since the event loop said something.", pulse.age)
    yield _gauge("uptime_seconds", "Time since the node was started.", pulse.uptime)


def _read(now: Snapshot) -> Iterator[Metric]:
    """Yield what was read from the node; a value that there is not makes no sample."""
    reasons = [((reason,), True) for reason in now.restricted]
    denied = [((reason,), count) for reason, count in now.denied.items()]
    yield _gauges("restricted", "Why no new risk is taken: 1 for each reason in force.", ("reason",), reasons)
    yield _total("orders_denied", "Orders and modifications denied, by reason.", ("reason",), denied)
    yield _gauges("client_connected", "Whether the client is connected.", ("kind", "client"), now.clients.items())
    yield _gauge("open_orders", "Orders open at a venue, as the books have it.", now.open_orders)
    yield _gauge("open_positions", "Positions open, as the books have it.", now.open_positions)
    yield _gauge("event_loop_lag_seconds", "How late the event loop came when last measured.", now.event_loop_lag)
    yield _gauge("redis_up", "Whether Redis answers; absent without Redis.", now.redis_up)
    yield _gauge("lease_held", "Whether the lease is held; absent without one.", now.lease_held)


def _gauge(name: str, meaning: str, value: float | None) -> Metric:
    return _gauges(name, meaning, (), () if value is None else (((), value),))


def _gauges(name: str, meaning: str, labels: Sequence[str], values: Iterable[tuple[Labels, float]]) -> Metric:
    return _family(GaugeMetricFamily(f"{PREFIX}_{name}", meaning, labels=labels), values)


def _total(name: str, meaning: str, labels: Sequence[str], values: Iterable[tuple[Labels, float]]) -> Metric:
    return _family(CounterMetricFamily(f"{PREFIX}_{name}", meaning, labels=labels), values)


def _family(family: GaugeMetricFamily | CounterMetricFamily, values: Iterable[tuple[Labels, float]]) -> Metric:
    for labels, value in sorted(values):
        family.add_metric(labels, value)
    return family
