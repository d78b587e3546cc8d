"""A node without any key or execution client records both venues of the exchange on loopback into its catalog."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import Start
from tests.forked import run_forked
from tests.venue import binance_futures, bybit
from tests.venue.handle import Venue

RECORDED = ("BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE", "BTCUSDT-LINEAR.BYBIT", "ETHUSDT-LINEAR.BYBIT")
MISSING = "GONEUSDT-PERP.BINANCE"
# The exchange sends a quote and a trade of each instrument every 0.1 s, so 25 in 2.5 s; half are enough on a slow machine.
ROWS_WANTED = 12

PUBLIC_STREAMS = ("WS /stream", "WS /v5/public/")
PUBLIC_REQUESTS = {
    f"{method} {path}"
    for routes in (binance_futures.ROUTES, bybit.ROUTES)
    for (method, path), (_, security) in routes.items()
    if security == "NONE"
}


def run(environ: Mapping[str, str], instrument_ids: tuple[str, ...], seconds: float) -> str:
    """Run a node with a recorder, if there is something to record, and return its instance id.

    It is stopped by a signal so many seconds after it was ready. Anything but exit code 0 would be a ConfigError here.
    """
    import msgspec

    from config.factory import TradingNodeConfigFactory
    from config.live.runner import Deadlines, run_node
    from config.models import TradingNodeSettings
    from config.recorder import build_recorder_config

    os.chdir(environ["HOME"])
    built = TradingNodeConfigFactory.from_settings(TradingNodeSettings.from_env(None, environ))
    assert {} == built.exec_clients
    assert built.cache is not None
    assert built.cache.database is None
    if instrument_ids:
        built = msgspec.structs.replace(built, actors=[build_recorder_config(instrument_ids)])

    def ready(_node: object, _secs: float) -> None:
        asyncio.get_running_loop().call_later(seconds, signal.raise_signal, signal.SIGTERM)

    return str(run_node(built, Deadlines(20, 10), on_ready=ready).kernel.instance_id)


@pytest.fixture
def environ(venue: Venue, tmp_path: Path) -> dict[str, str]:
    return {
        "HOME": str(tmp_path),
        "NAUTILUS_TRADER_ID": "RECORDER-001",
        "NAUTILUS_VENUES": "BINANCE,BYBIT",
        "NAUTILUS_STATE_DIR": str(tmp_path / "state"),
        "NAUTILUS_CATALOG_PATH": str(tmp_path / "catalog"),
        "NAUTILUS_LOG_LEVEL": "OFF",
        "NAUTILUS_STOP_TIMEOUT": "6",
        "BINANCE_INSTRUMENT_IDS": ",".join(name for name in RECORDED if name.endswith(".BINANCE")),
        "BYBIT_INSTRUMENT_IDS": ",".join(name for name in RECORDED if name.endswith(".BYBIT")),
        **venue.environ(),
    }


def test_quotes_and_trades_of_both_venues_are_recorded_without_a_key(
    environ: dict[str, str], venue: Venue, tmp_path: Path
) -> None:
    """Every asked instrument has rows that Nautilus' own catalog reads; a missing one is told and harms none of them."""
    from nautilus_trader.model.data import QuoteTick, TradeTick
    from nautilus_trader.persistence.catalog import ParquetDataCatalog

    instance_id = run_forked(run, environ, (MISSING, *RECORDED), 2.5)

    catalog = ParquetDataCatalog(str(tmp_path / "catalog"))
    for kind in (QuoteTick, TradeTick):
        catalog.convert_stream_to_data(instance_id, kind, subdirectory="sandbox")
        rows = {name: len(catalog.query(kind, identifiers=[name])) for name in RECORDED}
        assert [] == [name for name, count in rows.items() if count < ROWS_WANTED], rows
        assert [] == catalog.query(kind, identifiers=[MISSING])

    counts = venue.counts()
    streams = {name for name in counts if name.startswith(PUBLIC_STREAMS) and not name.endswith(" auth")}
    assert set() == counts.keys() - PUBLIC_REQUESTS - streams
    assert {"WS /stream UNSUBSCRIBE", "WS /v5/public/linear unsubscribe"} <= streams

    log = "\n".join(path.read_text() for path in (tmp_path / "state" / "logs").glob("*.log"))
    told = [line for line in log.splitlines() if "[ERROR]" in line]
    assert 1 == len(told), told
    assert f"Recorder: {MISSING} is not in the cache" in told[0]


def test_nothing_is_recorded_without_the_recorder(environ: dict[str, str], venue: Venue, tmp_path: Path) -> None:
    """When this fails, Nautilus streams what nobody subscribed to, and the recorder is not needed any more."""
    instance_id = run_forked(run, environ, (), 0.5)
    folder = tmp_path / "catalog" / "sandbox" / instance_id
    assert (folder / "config.json").exists()
    assert not (folder / "quote_tick").exists()
    assert [] == [name for name in venue.counts() if name.lower().endswith(" subscribe")]


def test_the_command_runs_a_recorder_from_the_environment_of_a_trader(
    start: Start, testnet: dict[str, str], environ: dict[str, str], venue: Venue, tmp_path: Path
) -> None:
    """Keys and Redis stand beside it and are not touched; its files stand apart from the trader's."""
    closed = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": "1"}
    given = {**testnet, **environ, **closed, "NAUTILUS_ROLE": "recorder"}
    node = start("run", "-p", "testnet", environ=given)
    node.wait_for("ready ")
    time.sleep(1)
    assert 0 == node.stop()
    assert (
        "starting RECORDER-001, recorder, preset testnet: BINANCE TESTNET, BYBIT TESTNET, no execution, no Redis"
        in node.stderr
    )
    written = [path for path in (tmp_path / "catalog").rglob("*.feather") if path.stat().st_size > 0]
    for kind in ("quote_tick", "trade_tick"):
        assert set(RECORDED) == {path.parent.name for path in written if kind in path.parts}
    assert (tmp_path / "state" / "recorder" / "settings.json").exists()
    assert not (tmp_path / "state" / "settings.json").exists()
    assert [] == [
        name for name in venue.counts() if not name.startswith(PUBLIC_STREAMS) and name not in PUBLIC_REQUESTS
    ]


def test_a_recorder_without_a_catalog_does_not_start(start: Start, testnet: dict[str, str], venue: Venue) -> None:
    node = start("run", "-p", "testnet", "--role", "recorder", environ={**testnet, "NAUTILUS_VENUES": "BYBIT"})
    assert 4 == node.wait()
    assert "error: NAUTILUS_CATALOG_PATH is not set; a recorder writes market data to the catalog" in node.stderr
    assert {} == venue.counts()
