"""Settings and factory, beside a script that builds the same ``TradingNodeConfig`` by hand."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.equality import differences
from benchmarks.inputs import environ, write_secrets
from benchmarks.measure import Part, Row, Sample, at_most, in_turn, process, warm
from tests.forked import run_forked

LIMIT_MS = 1.0
OURS = "from config import TradingNodeConfigFactory; TradingNodeConfigFactory.create_testnet()"


def _ours(values: Mapping[str, str]) -> Any:
    from config.factory import TradingNodeConfigFactory
    from config.models import TradingNodeSettings

    settings = TradingNodeSettings.from_env(env_file=None, environ=values, preset="testnet")
    return TradingNodeConfigFactory.from_settings(settings)


def _by_hand(values: Mapping[str, str]) -> Any:
    from benchmarks.by_hand import build_config

    return build_config(values)


def _imported(module: str) -> float:
    began = time.perf_counter()
    __import__(module)
    return (time.perf_counter() - began) * 1e3


def first(module: str, build: Callable[[Mapping[str, str]], Any], values: Mapping[str, str]) -> tuple[float, float]:
    """Return the milliseconds of importing ``module`` and of the first build, in a process that never did either."""
    imports = _imported(module)
    began = time.perf_counter()
    build(values)
    return imports, (time.perf_counter() - began) * 1e3


def measure(rounds: int, processes: int) -> Part:
    with tempfile.TemporaryDirectory(prefix="tradingnode-bench-") as name:
        folder = Path(name)
        write_secrets(folder, {})
        values = environ(folder)
        ways = (("config.factory", _ours), ("benchmarks.by_hand", _by_hand))
        fresh = [[run_forked(first, *way, values) for way in ways] for _ in range(processes)]
        imports, builds = ([Sample(tuple(found[side][what] for found in fresh)) for side in (0, 1)] for what in (0, 1))
        script = str(Path(__file__).with_name("by_hand.py"))
        whole = in_turn(
            [process((sys.executable, *args), values, folder) for args in (("-c", OURS), (script,))], processes
        )
        assert not list(differences(_ours(values), _by_hand(values)))
        hot = warm((lambda: _ours(values), lambda: _by_hand(values)), rounds)
    rows = (
        Row("whole process, imports included", whole[0], whole[1]),
        Row("import in a process that has nautilus", imports[0], imports[1]),
        Row("first build in that process", builds[0], builds[1]),
        Row("every further build", hot[0], hot[1]),
    )
    targets = (
        at_most("settings and configuration from a mapping, nautilus imported, warm", hot[0], LIMIT_MS),
        at_most("the same, the first in a process", builds[0], LIMIT_MS),
    )
    return Part("config", "Settings and factory against the same TradingNodeConfig by hand", rows, targets)
