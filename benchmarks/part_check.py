"""``tradingnode check`` as a whole process, beside the imports that it may or may not pay for."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.inputs import environ, write_secrets
from benchmarks.measure import Part, Row, Target, in_turn, process

ADAPTERS = (
    "import nautilus_trader.config, nautilus_trader.adapters.binance.factories, "
    "nautilus_trader.adapters.bybit.factories, nautilus_trader.adapters.sandbox.factory"
)
CHECK = ("-m", "config", "check", "-p", "testnet")
SETTINGS_INVALID = 4
MOST_OF_THE_IMPORT = 0.35


def nautilus_is_imported(values: dict[str, str], folder: Path) -> bool:
    """Return whether a ``check`` of ``values`` imports any of nautilus."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *CHECK], env=values, cwd=folder, capture_output=True, text=True
    )
    return any("nautilus_trader" in line for line in done.stderr.splitlines() if line.startswith("import time:"))


def measure(processes: int) -> Part:
    with tempfile.TemporaryDirectory(prefix="tradingnode-bench-") as name:
        folder = Path(name)
        write_secrets(folder, {})
        good = environ(folder)
        bad = {**good, "BINANCE_ACCOUNT_TYPE": "USDT_FUTURE", "REDIS_PORT": "6379/0"}
        python = sys.executable
        failing, bare, config, succeeding, adapters = in_turn(
            (
                process((python, *CHECK), bad, folder, expected=SETTINGS_INVALID),
                process((python, "-c", "pass"), {}, folder),
                process((python, "-c", "import nautilus_trader.config"), {}, folder),
                process((python, *CHECK), good, folder),
                process((python, "-c", ADAPTERS), {}, folder),
            ),
            processes,
        )
        seen = nautilus_is_imported(bad, folder), nautilus_is_imported(good, folder)
    # That the good one imports it shows that the question can be answered with yes.
    assert seen[1]
    rows = (
        Row("check that finds problems", failing, bare, "python -c pass"),
        Row("check that finds problems", failing, config, "import nautilus_trader.config"),
        Row("check that finds none", succeeding, adapters, "import nautilus and adapters"),
    )
    quicker = not seen[0] and failing.median < MOST_OF_THE_IMPORT * config.median
    found = f"{failing.median / config.median:.2f}, nautilus {'not imported' if not seen[0] else 'imported'}"
    target = Target(
        f"a failing check: at most {MOST_OF_THE_IMPORT} of importing nautilus_trader.config", found, quicker
    )
    return Part("check", "tradingnode check, whole processes", rows, (target,))
