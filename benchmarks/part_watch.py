"""What stands around a node costs: our session against Nautilus' node alone, with the same configuration.

Latency is measured at the exchange on loopback: from a quote that it sends to the order that answers it. CPU is that of the
whole process, of a node that is ready and has nothing to do.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.inputs import SECRETS, environ, write_secrets
from benchmarks.measure import Part, Row, Sample, Target, order
from tests.forked import run_forked
from tests.redis_server import RedisServer, free_port
from tests.venue.handle import MarketName, Venue

type Side = Callable[[dict[str, str], dict[str, Any]], None]

INSTRUMENTS: Mapping[MarketName, str] = {
    "binance_futures": "BTCUSDT-PERP.BINANCE",
    "bybit": "BTCUSDT-LINEAR.BYBIT",
}
ANSWERING_SECS = 6.0
IDLE_SECS = 20.0
# The exchange sends ten quotes a second of each, and every other one is answered: no throttle is to be measured.
RATE = {"NAUTILUS_MAX_ORDER_SUBMIT_RATE": "20/00:00:01"}
MOST_OF_A_CORE = 0.01
MOST_LATENCY = 1.05


def _strategy(fields: dict[str, Any]) -> Any:
    from nautilus_trader.config import ImportableStrategyConfig

    return ImportableStrategyConfig("benchmarks.answerer:Answerer", "benchmarks.answerer:AnswererConfig", fields)


def ours(values: dict[str, str], fields: dict[str, Any]) -> None:
    os.dup2(2, 1)  # Nautilus' log; stdout is for the result
    from config.live.session import Session
    from config.models import TradingNodeSettings

    values = {**values, "NAUTILUS_HTTP_PORT": str(free_port())}
    settings = TradingNodeSettings.from_env(env_file=None, environ=values, preset="testnet")
    Session(settings, lambda _: None).run([_strategy(fields)])


def alone(values: dict[str, str], fields: dict[str, Any]) -> None:
    os.dup2(2, 1)
    import msgspec
    from nautilus_trader.adapters.binance.factories import BinanceLiveDataClientFactory, BinanceLiveExecClientFactory
    from nautilus_trader.adapters.bybit.factories import BybitLiveExecClientFactory
    from nautilus_trader.live.node import TradingNode

    from benchmarks.by_hand import build_config
    from benchmarks.by_hand_node import BybitDataFactory

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    node = TradingNode(msgspec.structs.replace(build_config(values), strategies=[_strategy(fields)]), loop=loop)
    node.add_data_client_factory("BINANCE", BinanceLiveDataClientFactory)
    node.add_exec_client_factory("BINANCE", BinanceLiveExecClientFactory)
    node.add_data_client_factory("BYBIT", BybitDataFactory)
    node.add_exec_client_factory("BYBIT", BybitLiveExecClientFactory)
    node.build()
    try:
        node.run(raise_exception=True)
    finally:
        node.dispose()


SIDES: Mapping[str, Side] = {"ours": ours, "alone": alone}


class Bench:
    """An exchange, a Redis server, and a folder for each side."""

    def __init__(self, folder: Path, venue: Venue, redis: RedisServer) -> None:
        self._folder, self._venue, self._redis = folder, venue, redis

    def run(self, name: str, seconds: float, instruments: tuple[str, ...] = ()) -> float:
        """Run one side in a process of its own and return its CPU time, in ms for each second of the wall clock."""
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        write_secrets(folder, {})
        report = folder / "report.json"
        values = environ(folder, port=self._venue.port, redis_port=self._redis.port)
        values |= {**RATE, "NAUTILUS_TRADER_ID": f"{name.upper()}-001"}
        fields = {"seconds": seconds, "report": str(report), "instrument_ids": list(instruments)}
        run_forked(SIDES[name], values, fields, timeout=seconds + 60)
        took = json.loads(report.read_text())
        return float(took["cpu"] / took["wall"] * 1e3)

    def latency(self, name: str) -> dict[MarketName, list[float]]:
        """Return the milliseconds from a quote to its answer, as the exchange has them."""
        self._venue.reactions()
        self.run(name, ANSWERING_SECS, tuple(INSTRUMENTS.values()))
        return self._venue.reactions()


def measure(nodes: int) -> Part:
    runs: dict[str, list[dict[MarketName, list[float]]]] = {name: [] for name in SIDES}
    cpu: dict[str, list[float]] = {name: [] for name in SIDES}
    with (
        tempfile.TemporaryDirectory(prefix="tradingnode-bench-") as folder,
        Venue.start() as venue,
        RedisServer(password=SECRETS["REDIS_PASSWORD"]) as redis,
        ThreadPoolExecutor(len(SIDES)) as pool,
    ):
        bench = Bench(Path(folder), venue, redis)
        for number in range(nodes):
            for name in order([*SIDES], number):
                runs[name].append(bench.latency(name))
        for _ in range(max(1, nodes // 2)):
            # Both at once: nothing but their own CPU time counts.
            for name, found_cpu in zip(SIDES, pool.map(partial(bench.run, seconds=IDLE_SECS), SIDES), strict=True):
                cpu[name].append(found_cpu)
    rows, targets = [], []
    for market, instrument in INSTRUMENTS.items():
        ours_found, other = (Sample(tuple(itertools.chain(*(run[market] for run in runs[name])))) for name in SIDES)
        row = Row(f"quote to order at {instrument}", ours_found, other, "Nautilus alone")
        rows.append(row)
        # Runs of the same differ too: what is within that cannot be told from nothing.
        medians = [statistics.median(run[market]) for run in runs["alone"]]
        fine = ours_found.median <= max(MOST_LATENCY * other.median, *medians)
        name = f"{row.name}: at most {MOST_LATENCY} times as long, or than the slowest run of Nautilus alone"
        spread = f"its runs {min(medians):.2f} to {max(medians):.2f} ms"
        targets.append(Target(name, f"{row.ratio:.2f}, {ours_found.median:.2f} ms, {spread}", fine))
    idle = Row(
        "CPU of an idle node, ms a second", Sample(tuple(cpu["ours"])), Sample(tuple(cpu["alone"])), "Nautilus alone"
    )
    assert idle.other is not None
    more = (idle.ours.median - idle.other.median) / 1e3
    targets.append(Target(f"watching: at most {MOST_OF_A_CORE:.0%} of a core", f"{more:.2%}", more <= MOST_OF_A_CORE))
    title = "Around a running node: session, restriction, lease and watches, against Nautilus' node alone"
    return Part("watch", title, (*rows, idle), tuple(targets))
