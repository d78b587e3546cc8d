"""From start to ready against the exchange on loopback: by hand, and through ``config.runner.run_node``.

Nautilus' part is what its own three functions take: ``TradingNode()``, ``build()`` and ``start_async()``, at whose end the node
is ready. The rest, from the first line of the user's code until that code knows of it, is our part, or by hand the user's.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.inputs import SECRETS, environ, write_secrets
from benchmarks.measure import Part, Row, Sample, at_most, order
from tests.forked import run_forked
from tests.redis_server import RedisServer
from tests.venue.handle import Venue

LIMIT_MS = 20.0
PREFLIGHT_LIMIT_MS = 150.0


class Stopwatch:
    """Milliseconds by name."""

    def __init__(self) -> None:
        self.took: dict[str, float] = {}
        self.ready = 0.0

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``call``, timed."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.took[name] = (time.perf_counter() - began) * 1e3

        return timed

    def watch_nautilus(self) -> None:
        """Time Nautilus' own functions, the same way on both sides; only in a process of its own."""
        from nautilus_trader.live.node import TradingNode
        from nautilus_trader.system.kernel import NautilusKernel

        starts = NautilusKernel.start_async

        async def start(kernel: Any) -> None:
            began = time.perf_counter()
            await starts(kernel)
            self.ready = time.perf_counter()
            self.took["start_async"] = (self.ready - began) * 1e3
            assert kernel.trader.is_running

        for owner, name, timed in (
            (NautilusKernel, "start_async", start),
            (TradingNode, "__init__", self.around("TradingNode()", TradingNode.__init__)),
            (TradingNode, "build", self.around("build()", TradingNode.build)),
        ):
            setattr(owner, name, timed)

    def told(self, began: float) -> None:
        """The user's code knows that the node is ready."""
        now = time.perf_counter()
        self.took["start to ready"] = (now - began) * 1e3
        self.took["until told"] = (now - self.ready) * 1e3
        nautilus = ("TradingNode()", "build()", "start_async")
        self.took["part"] = self.took["start to ready"] - sum(self.took[name] for name in nautilus)


def by_hand(values: dict[str, str]) -> dict[str, float]:
    os.dup2(2, 1)  # Nautilus' log; stdout is for the result
    from benchmarks.by_hand import build_config
    from benchmarks.by_hand_node import run_until_ready

    watch = Stopwatch()
    watch.watch_nautilus()
    began = time.perf_counter()
    config = watch.around("configuration", build_config)(values)
    run_until_ready(config, lambda: watch.told(began))
    return watch.took


def ours(values: dict[str, str]) -> dict[str, float]:
    os.dup2(2, 1)
    from config.factory import TradingNodeConfigFactory
    from config.live import node, runner
    from config.models import TradingNodeSettings
    from config.preflight.steps import STEPS, preflight

    watch = Stopwatch()
    load = watch.around("from_env", TradingNodeSettings.from_env)
    found = watch.around("preflight", preflight)(load(env_file=None, environ=values, preset="testnet"), tuple(STEPS))
    assert not any(one.state == "error" for one in found), found
    watch.watch_nautilus()
    runner.build_node = watch.around("build_node", node.build_node)  # type: ignore[attr-defined]  # timed on its way

    def on_ready(*_: object) -> None:
        watch.told(began)
        signal.raise_signal(signal.SIGINT)

    began = time.perf_counter()
    settings = load(env_file=None, environ=values, preset="testnet")
    config = watch.around("factory", TradingNodeConfigFactory.from_settings)(settings)
    deadlines = runner.Deadlines(settings.seconds_to_ready, settings.stop_timeout)
    runner.run_node(config, deadlines, on_ready=on_ready)
    took = watch.took
    took["configuration"] = took["from_env"] + took["factory"]
    took["build_node"] -= took["TradingNode()"] + took["build()"]
    return took


def measure(processes: int) -> Part:
    found: dict[Callable[..., Any], list[dict[str, float]]] = {ours: [], by_hand: []}
    with (
        tempfile.TemporaryDirectory(prefix="tradingnode-bench-") as name,
        Venue.start() as venue,
        RedisServer(password=SECRETS["REDIS_PASSWORD"]) as redis,
    ):
        folder = Path(name)
        write_secrets(folder, {})
        values = environ(folder, port=venue.port, redis_port=redis.port)
        for side in found:
            _run(side, values, redis)  # not counted: the first run finds the disk and the exchange cold
        for number in range(processes):
            for side, runs in order(list(found.items()), number):
                runs.append(_run(side, values, redis))

    def sample(side: Callable[..., Any], what: str) -> Sample:
        return Sample(tuple(run[what] for run in found[side]))

    both = {
        "start to ready": "start to ready",
        "  Nautilus: TradingNode()": "TradingNode()",
        "  Nautilus: build(), our client factories in it": "build()",
        "  Nautilus: connect, reconcile, start": "start_async",
        "  our part, or the user's by hand": "part",
        "    configuration": "configuration",
        "    until told that it is ready (poll of 10 ms)": "until told",
    }
    rows = [Row(title, sample(ours, what), sample(by_hand, what)) for title, what in both.items()]
    alone = {
        "    of the configuration: from_env": "from_env",
        "    of the configuration: factory": "factory",
        "    build_node less Nautilus' two": "build_node",
        "before that, preflight: Redis, disks, both venues, their keys": "preflight",
    }
    rows += [Row(title, sample(ours, what)) for title, what in alone.items()]
    target = at_most("our part of start to ready", sample(ours, "part"), LIMIT_MS)
    title = "Start to ready: both venues on loopback, Redis, nautilus imported, fresh processes"
    preflight = at_most("preflight on healthy services", sample(ours, "preflight"), PREFLIGHT_LIMIT_MS)
    return Part("start", title, tuple(rows), (target, preflight))


def _run(side: Callable[..., Any], values: dict[str, str], redis: RedisServer) -> dict[str, float]:
    """Run a node in a process of its own, with no books."""
    from redis import Redis

    with Redis(port=redis.port, password=SECRETS["REDIS_PASSWORD"]) as client:
        client.flushall()
    took: dict[str, float] = run_forked(side, values)
    return took
