"""Metrics are what the node says and what is read from it when they are asked for, in Prometheus' own format, and no secret."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from config.health.endpoint import Endpoint
from config.health.heartbeat import Condition
from config.health.metrics import Snapshot, metrics_of, node_info, snapshot_of
from config.health.pulse import Pulse
from config.health.readiness_file import MAX_AGE_SECS, STATES
from config.live.changes import Changes
from tests.conftest import CANARIES
from tests.forked import run_forked
from tests.integration.markets import USD_M
from tests.integration.test_restriction import Desk, environ_of, on_node
from tests.test_config_endpoint import Clock, ask
from tests.venue.handle import Venue

type Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

CANARY = "canary-51d0"
INFO = {"trader_id": "TRADER-001", "role": "trader"}
READY = Condition("ready", ("BINANCE",))
EVERYTHING = Snapshot(
    restricted=("operator", "redis"),
    denied={"operator": 3, "lease": 1},
    clients={("data", "BINANCE"): True, ("execution", "BINANCE"): False},
    open_orders=7,
    open_positions=0,
    event_loop_lag=0.0125,
    redis_up=False,
    lease_held=True,
)


def parsed(text: str) -> Samples:
    """Return the samples as Prometheus' own parser finds them, each name and labels once."""
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("tradingnode")
        assert family.documentation
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in samples
            samples[key] = sample.value
    return samples


def of(samples: Samples, name: str) -> dict[Any, float]:
    """Return the values of one metric by those of its labels, in the order of the labels' names; by None without labels."""
    found = {
        tuple(value for _, value in sorted(labels)): number for (key, labels), number in samples.items() if key == name
    }
    return {labels if len(labels) > 1 else (labels or (None,))[0]: number for labels, number in found.items()}


def exposed(
    snapshot: Snapshot = EVERYTHING,
    *,
    info: Mapping[str, str] = INFO,
    pulse: Pulse | None = None,
    changes: Changes | None = None,
) -> Samples:
    changes = changes or Changes()
    registry = metrics_of(info, pulse or Pulse(changes), changes, lambda: snapshot)
    return parsed(generate_latest(registry).decode())


@pytest.mark.parametrize("state", STATES)
def test_one_state_is_one_and_the_others_zero(state: str) -> None:
    pulse = Pulse(Changes(), clock=lambda: 1_795_240_800.25)
    pulse.tell(READY)
    pulse.tell(Condition(state))
    samples = exposed(pulse=pulse)
    assert {name: float(name == state) for name in STATES} == of(samples, "tradingnode_state")
    ready = state == "ready"
    assert {None: float(ready)} == of(samples, "tradingnode_ready")
    since = {None: 1_795_240_800.25} if ready else {}
    assert since == of(samples, "tradingnode_ready_since_timestamp_seconds")


def test_a_node_that_says_nothing_any_more_is_not_ready_whatever_it_said() -> None:
    clock = Clock()
    pulse = Pulse(Changes(), monotonic=clock)
    clock.now += 5
    pulse.tell(READY)
    clock.now += MAX_AGE_SECS + 1
    samples = exposed(pulse=pulse)
    assert 1 == of(samples, "tradingnode_state")["ready"]
    assert {None: 0} == of(samples, "tradingnode_ready")
    assert {None: MAX_AGE_SECS + 1} == of(samples, "tradingnode_heartbeat_age_seconds")
    assert {None: MAX_AGE_SECS + 6} == of(samples, "tradingnode_uptime_seconds")


def test_values_are_those_of_the_moment_of_asking() -> None:
    changes, now = Changes(), EVERYTHING
    registry = metrics_of(INFO, Pulse(changes), changes, lambda: now)
    before = parsed(generate_latest(registry).decode())
    assert {"operator": 1, "redis": 1} == of(before, "tradingnode_restricted")
    assert {"operator": 3, "lease": 1} == of(before, "tradingnode_orders_denied_total")
    clients = {("BINANCE", "data"): 1, ("BINANCE", "execution"): 0}
    assert clients == of(before, "tradingnode_client_connected")
    single = {
        "open_orders": 7,
        "open_positions": 0,
        "event_loop_lag_seconds": 0.0125,
        "redis_up": 0,
        "lease_held": 1,
        "snapshot_failed": 0,
    }
    assert single == {name: of(before, f"tradingnode_{name}").get(None) for name in single}
    assert {} == of(before, "tradingnode_state_changes_total")

    changes.count("redis", "lost")
    changes.count("redis", "back")
    changes.count("redis", "lost")
    now = Snapshot(open_orders=8)
    after = parsed(generate_latest(registry).decode())
    assert {("lost", "redis"): 2, ("back", "redis"): 1} == of(after, "tradingnode_state_changes_total")
    assert {None: 8} == of(after, "tradingnode_open_orders")
    # What there is not makes no sample: 0 would be a claim.
    for name in (*single, "restricted", "orders_denied_total", "client_connected"):
        if name not in ("open_orders", "snapshot_failed"):
            assert {} == of(after, f"tradingnode_{name}"), name


def test_info_tells_which_node_it_is_and_what_it_runs_on() -> None:
    (labels,) = (
        dict(pairs)
        for name, pairs in exposed(info=node_info("TRADER-001", "testnet", "trader"))
        if name == "tradingnode_info"
    )
    assert ("TRADER-001", "testnet", "trader") == (labels["trader_id"], labels["preset"], labels["role"])
    assert labels["nautilus_version"].startswith("1.")
    assert labels["version"]
    assert labels["python_version"].startswith("3.")
    assert "preset" not in node_info("TRADER-001", None, "trader")


def test_odd_labels_survive_the_format() -> None:
    odd = 'a "quoted" \\ name\nwith a line'
    samples = exposed(Snapshot(denied={odd: 2}), info={"trader_id": odd})
    assert {odd: 2} == of(samples, "tradingnode_orders_denied_total")
    assert {odd: 1} == of(samples, "tradingnode_info")


def test_a_snapshot_that_fails_leaves_the_rest_and_hides_what_it_said() -> None:
    def fail() -> Snapshot:
        raise KeyError(CANARY)

    changes = Changes()
    pulse = Pulse(changes)
    pulse.tell(READY)
    text = generate_latest(metrics_of(INFO, pulse, changes, fail)).decode()
    samples = parsed(text)
    assert {None: 1} == of(samples, "tradingnode_snapshot_failed")
    assert 1 == of(samples, "tradingnode_state")["ready"]
    assert {} == of(samples, "tradingnode_open_orders")
    assert CANARY not in text


def test_sentences_are_never_exposed() -> None:
    changes = Changes()
    pulse = Pulse(changes)
    pulse.tell(Condition("restricted", ("BINANCE",), CANARY))
    text = generate_latest(
        metrics_of(INFO, pulse, changes, lambda: Snapshot(restricted={"redis": CANARY}, denied={"redis": 1}))
    ).decode()
    assert {"redis": 1} == of(parsed(text), "tradingnode_restricted")
    assert CANARY not in text


def test_changes_of_many_threads_are_all_counted() -> None:
    changes = Changes()

    def count() -> None:
        for _ in range(5_000):
            changes.count("redis", "lost")

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert changes.totals.get(("redis", "lost"), 0) <= 40_000
    assert {("redis", "lost"): 40_000} == changes.totals


def test_totals_are_as_of_the_moment_of_reading() -> None:
    changes = Changes()
    totals = changes.totals
    changes.count("state", "ready")
    assert {} == totals
    with pytest.raises(TypeError):
        totals["state", "ready"] = 2  # type: ignore[index]  # read-only, which is what this shows


async def _trades_and_is_asked(desk: Desk) -> str:
    """Return what ``/metrics`` tells of a node with an order that rests, a position and a denied order."""
    changes = Changes()
    pulse = Pulse(changes)
    await desk.send(desk.make(OrderSide.BUY, "0.01", "40000"))
    await desk.trade(OrderSide.BUY, "0.02")
    desk.restrict()
    assert "DENIED" == await desk.trade(OrderSide.BUY, "0.01")
    pulse.tell(Condition("restricted", ("BINANCE",), "operator: halted by a test"))
    registry = metrics_of(
        node_info("HALT-001", "testnet", "trader"),
        pulse,
        changes,
        lambda: snapshot_of(desk.node, desk.restriction, lease_held=True),
    )
    with Endpoint(0, pulse, registry) as endpoint:
        answer = ask(endpoint.port, "/metrics")
        assert (200, "text/plain; version=0.0.4; charset=utf-8") == (answer.status, answer.headers["Content-Type"])
        return answer.text


def test_a_running_node_tells_its_books_and_clients_and_no_secret(venue: Venue, tmp_path: Path) -> None:
    environ = USD_M.environ(environ_of(venue, tmp_path), venue)
    text = run_forked(on_node, _trades_and_is_asked, environ, (USD_M.instrument_id,), venue.port)
    samples = parsed(text)
    clients = {("BINANCE", "data"): 1, ("BINANCE", "execution"): 1}
    assert clients == of(samples, "tradingnode_client_connected")
    assert {None: 1} == of(samples, "tradingnode_open_orders") == of(samples, "tradingnode_open_positions")
    assert {"operator": 1} == of(samples, "tradingnode_restricted") == of(samples, "tradingnode_orders_denied_total")
    assert {("restricted", "state"): 1} == of(samples, "tradingnode_state_changes_total")
    assert {None: 0} == of(samples, "tradingnode_ready") == of(samples, "tradingnode_snapshot_failed")
    assert {None: 1} == of(samples, "tradingnode_lease_held")
    assert {} == of(samples, "tradingnode_redis_up")
    assert [] == [name for name, secret in CANARIES.items() if secret in text]
