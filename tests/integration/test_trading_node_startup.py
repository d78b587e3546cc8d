"""Real nodes on the exchange on loopback: every preset, every way to fail, every way to stop, and no secret anywhere."""

from __future__ import annotations

import json
import signal
import stat
import time
from pathlib import Path

import pytest

from config.checks.fingerprints import fingerprint
from tests.conftest import CANARIES, Start
from tests.integration.books import STRATEGIES, holder, reported
from tests.integration.fault_stage import LATE
from tests.redis_server import RedisServer
from tests.venue.handle import Venue

# The node itself is to meet the venue's faults, not the preflight.
UNASKED = {"NAUTILUS_PREFLIGHT_SKIP": "venues"}
BOTH = "BINANCE,BYBIT"
PERPETUALS = ("BTCUSDT-PERP.BINANCE", "BTCUSDT-LINEAR.BYBIT")


def raises(folder: Path, where: str, text: str = "as the test asked") -> tuple[str, ...]:
    config = folder / "raises.json"
    config.write_text(json.dumps({"where": where, "text": text}))
    return "--strategy", f"{STRATEGIES}:Raises", "--strategy-config", str(config)


def round_trip(folder: Path, instrument_id: str) -> tuple[str, ...]:
    config = folder / "round_trip.toml"
    config.write_text(f'instrument_id = "{instrument_id}"\nquantity = "0.01"\n')
    file = Path(__file__).parents[2] / "examples" / "strategies" / "round_trip.py"
    return "--strategy", f"{file}:RoundTrip", "--strategy-config", str(config)


def leaks(*folders: Path) -> list[str]:
    """Return the files below ``folders`` that hold a canary."""
    secrets = [secret.encode() for secret in CANARIES.values()]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files
    return [str(path) for path in files if any(secret in path.read_bytes() for secret in secrets)]


# -- every preset --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("instrument_id, market", list(zip(PERPETUALS, ("binance_futures", "bybit"), strict=True)))
def test_testnet_accepts_cancels_and_fills(
    instrument_id: str, market: str, start: Start, testnet: dict[str, str], venue: Venue, tmp_path: Path
) -> None:
    """A limit order is accepted and cancelled, market orders are filled, the venue's books agree; then a clean stop."""
    node = start("run", "-p", "testnet", *round_trip(tmp_path, instrument_id), environ=testnet)
    node.wait_for("ready ")

    def statuses() -> list[str]:
        return [order["status"] for order in venue.orders(market)]  # type: ignore[arg-type]  # from the table above

    node.wait_for(lambda: statuses() == ["CANCELED", "FILLED", "FILLED"])
    assert 0 == node.stop()
    assert [] == venue.positions(market)  # type: ignore[arg-type]  # from the table above
    assert "stopped " in node.stderr.splitlines()[-1]


def test_testnet_leaves_no_secret_and_a_record(start: Start, testnet: dict[str, str], tmp_path: Path) -> None:
    """Both venues, Redis, log file and catalog: no canary in any file or output; the record tells what applied."""
    environ = {**testnet, "NAUTILUS_CATALOG_PATH": str(tmp_path / "catalog"), "NAUTILUS_LOG_LEVEL": "DEBUG"}
    node = start("run", "-p", "testnet", environ=environ)
    node.wait_for("ready ")
    assert 0 == node.stop()

    assert [] == leaks(tmp_path)
    assert [] != list((tmp_path / "state" / "logs").glob("*.log"))
    assert [] != list((tmp_path / "catalog").rglob("config.json"))
    record = tmp_path / "state" / "settings.json"
    assert 0o600 == stat.S_IMODE(record.stat().st_mode)
    settings = json.loads(record.read_text())["settings"]
    assert "*** (set)" == settings["redis.password"]["value"]
    digest = fingerprint(CANARIES["BINANCE_FUTURES_TESTNET_API_SECRET"])
    assert f"*** (sha256:{digest})" == settings["binance.api_secret"]["value"]
    assert "process environment as BINANCE_FUTURES_TESTNET_API_SECRET" == settings["binance.api_secret"]["source"]
    assert "process environment" == settings["redis.port"]["source"]
    assert "preset testnet" == settings["binance.environment"]["source"]
    assert "default" == settings["redis.ssl"]["source"]


def test_sandbox_fills_on_streamed_quotes(start: Start, venue: Venue, tmp_path: Path) -> None:
    """Live public data, simulated execution: the venue sees no order and no key, the node holds a position."""
    environ = {
        "NAUTILUS_TRADER_ID": "PAPER-001",
        "NAUTILUS_VENUES": BOTH,
        "NAUTILUS_STATE_DIR": str(tmp_path / "state"),
        "NAUTILUS_STOP_TIMEOUT": "6",
        "BYBIT_API_KEY": "canary-unused-key",
        "BYBIT_API_SECRET": "canary-unused-secret",
        **venue.environ(),
    }
    node = start("run", "-p", "sandbox", *holder(tmp_path, "BTCUSDT-PERP.BINANCE"), environ=environ)
    books = node.wait_for(reported(tmp_path, lambda books: books["positions"]))
    assert ["Holder-000", "LONG", "0.010"] == books["positions"][0]
    assert [] == venue.orders("binance_futures")
    assert 0 == node.stop()
    signed = [name for name in venue.counts() if "order" in name.lower() or "auth" in name or "/account" in name]
    assert [] == signed


def test_production_runs_end_to_end_on_a_trusted_endpoint(
    start: Start, testnet: dict[str, str], venue: Venue, tmp_path: Path
) -> None:
    """The live preset itself, with live key names, against loopback: refused until the host is named as trusted."""
    environ = {
        **{name: value for name, value in testnet.items() if not name.endswith(("_KEY", "_SECRET"))},
        "NAUTILUS_ENVIRONMENT": "LIVE",
        "NAUTILUS_VENUES": BOTH,
        "BINANCE_API_KEY": CANARIES["BINANCE_FUTURES_TESTNET_API_KEY"],
        "BINANCE_API_SECRET": CANARIES["BINANCE_FUTURES_TESTNET_API_SECRET"],
        "BYBIT_API_KEY": CANARIES["BYBIT_TESTNET_API_KEY"],
        "BYBIT_API_SECRET": CANARIES["BYBIT_TESTNET_API_SECRET"],
    }
    refused = start("run", "-p", "production", environ=environ, folder="refused")
    assert 8 == refused.wait()
    assert f"add 127.0.0.1:{venue.port} to NAUTILUS_TRUSTED_ENDPOINTS" in refused.stderr
    assert {} == venue.counts()

    trusted = {**environ, "NAUTILUS_TRUSTED_ENDPOINTS": f"127.0.0.1:{venue.port}"}
    strategy = holder(tmp_path, "BTCUSDT-PERP.BINANCE")
    node = start("run", "-p", "production", *strategy, environ=trusted)
    node.wait_for("ready ")
    assert f"note: 127.0.0.1:{venue.port} is not the exchange's own host" in node.stderr
    assert "warning: " not in node.stderr
    node.wait_for(reported(tmp_path, lambda books: books["positions"]))
    assert 1 == len(venue.positions("binance_futures"))
    assert 0 == node.stop()
    assert [] == leaks(tmp_path)


def test_own_keys_of_another_environment_never_leave(start: Start, testnet: dict[str, str], venue: Venue) -> None:
    """Only a live key: testnet refuses with 5 before any socket is opened."""
    environ = {name: value for name, value in testnet.items() if not name.endswith(("_KEY", "_SECRET"))}
    live = {"BINANCE_API_KEY": "canary-live-key", "BINANCE_API_SECRET": "canary-live-secret"}
    node = start("run", "-p", "testnet", environ={**environ, **live})
    assert 5 == node.wait()
    assert "BINANCE_API_KEY is a LIVE key" in node.stderr
    assert "canary-live" not in node.stderr + node.stdout
    assert {} == venue.counts()


# -- every way to fail ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault, told", [("http_500", "cannot connect"), ("hang", "not ready within 2 s")])
def test_not_ready_in_time_is_7_and_says_what_is_missing(
    fault: str, told: str, start: Start, testnet: dict[str, str], venue: Venue, tmp_path: Path
) -> None:
    """Nautilus would log RUNNING and exit 0."""
    venue.misbehave(fault)
    node = start("run", "-p", "testnet", environ={**testnet, **UNASKED, "NAUTILUS_READY_TIMEOUT": "2"})
    assert 7 == node.wait(timeout=15)
    assert "preflight: venues was left out (NAUTILUS_PREFLIGHT_SKIP)" in node.stderr
    assert told in node.stderr
    for venue_name in ("BINANCE", "BYBIT"):
        assert f"execution client {venue_name}" in node.stderr
    assert "ready T" not in node.stderr
    assert "Traceback" not in node.stderr
    assert [] == leaks(tmp_path)


def test_refused_key_is_5_at_once_with_the_venue_s_words(
    start: Start, testnet: dict[str, str], venue: Venue, tmp_path: Path
) -> None:
    """Nautilus would wait for its timeout, and be running."""
    venue.misbehave("bad_key")
    node = start("run", "-p", "testnet", environ={**testnet, **UNASKED})
    assert 5 == node.wait(timeout=15)
    assert "execution client BINANCE cannot connect" in node.stderr
    assert "-2015" in node.stderr
    assert "10003" in node.stderr
    assert [] == leaks(tmp_path)


@pytest.mark.parametrize("where", ["on_stop", "on_save"])
def test_strategy_that_raises_while_stopping_is_9_and_the_stop_goes_on(
    where: str, start: Start, testnet: dict[str, str], tmp_path: Path
) -> None:
    text = f"leaked {CANARIES['BINANCE_FUTURES_TESTNET_API_SECRET']}"
    node = start("run", "-p", "testnet", *raises(tmp_path, where, text), environ=testnet)
    node.wait_for("ready ")
    assert 9 == node.stop()
    told, fix, summary = node.stderr.splitlines()[-3:]
    assert told.startswith("error: ")
    assert "ValueError: leaked ***" in told
    assert fix.startswith("  fix: ")
    assert summary.startswith("failed (the running node failed: ")
    assert "): 1 error, exit 9; more: tradingnode explain TN9" in summary
    assert "Disconnected" in node.stdout


def test_cancel_that_the_venue_refuses_at_the_stop_is_9(
    start: Start, testnet: dict[str, str], venue: Venue, tmp_path: Path
) -> None:
    """The order is still open at the venue; Nautilus would exit 0."""
    node = start("run", "-p", "testnet", *holder(tmp_path, PERPETUALS[0], rest=True, cancel=True), environ=testnet)
    node.wait_for(reported(tmp_path, lambda books: ["FILLED", "ACCEPTED"] == [order[2] for order in books["orders"]]))
    venue.misbehave("refuse_cancels")
    assert 9 == node.stop()
    assert "is still open at BINANCE" in node.stderr


def test_strategy_that_blocks_the_loop_does_not_make_the_node_deaf(
    start: Start, testnet: dict[str, str], tmp_path: Path
) -> None:
    """A second signal ends it; without one, the clock does."""
    node = start("run", "-p", "testnet", *raises(tmp_path, "blocks"), environ=testnet)
    node.wait_for("ready ")
    node.send(signal.SIGTERM)
    time.sleep(1.0)
    assert 143 == node.stop(signal.SIGTERM, timeout=3)

    patient = start("run", "-p", "testnet", *raises(tmp_path, "blocks"), environ=testnet, folder="patient")
    patient.wait_for("ready ")
    assert 9 == patient.stop(timeout=float(testnet["NAUTILUS_STOP_TIMEOUT"]) + 4)
    assert "did not stop within" in patient.stderr


@pytest.mark.parametrize("name", ["NAUTILUS_LOG_DIRECTORY", "NAUTILUS_CATALOG_PATH"])
def test_folder_that_cannot_be_written_is_6(name: str, start: Start, testnet: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    node = start("run", "-p", "testnet", environ={**testnet, name: str(tmp_path / "file" / "below")})
    assert 6 == node.wait()
    assert name in node.stderr


@pytest.mark.parametrize("where", ["on_start", "on_quote_tick"])
def test_strategy_that_raises_is_9(where: str, start: Start, testnet: dict[str, str], tmp_path: Path) -> None:
    """With its reason, secrets masked; Nautilus would exit 0, or without a word."""
    text = f"leaked {CANARIES['BINANCE_FUTURES_TESTNET_API_SECRET']}"
    node = start("run", "-p", "testnet", *raises(tmp_path, where, text), environ=testnet)
    assert 9 == node.wait(timeout=30)
    assert "error: the running node failed" in node.stderr


def test_strategy_that_asks_for_the_end_gets_it_with_0(start: Start, testnet: dict[str, str], tmp_path: Path) -> None:
    node = start("run", "-p", "testnet", *raises(tmp_path, "shutdown"), environ=testnet)
    assert 0 == node.wait(timeout=30)
    assert "ready " in node.stderr


@pytest.mark.parametrize(
    "args, code, told",
    [
        ((), 2, "this command needs a preset"),
        (("-p", "live"), 2, "expected one of production, testnet, sandbox"),
        (("-p", "testnet", "--strategy", "nowhere.py:Missing"), 2, "nowhere.py does not exist"),
        (("-p", "testnet", "--strategy", f"{STRATEGIES}:Missing"), 2, "no Strategy called Missing"),
        (("-p", "testnet", "--strategy", f"{STRATEGIES}:Holder"), 4, "does not fit HolderConfig"),
        (("-p", "testnet", "--env-file", "missing.env"), 2, "missing.env does not exist"),
    ],
)
def test_wrong_usage_is_told(
    args: tuple[str, ...], code: int, told: str, start: Start, testnet: dict[str, str]
) -> None:
    node = start("run", *args, environ=testnet)
    assert code == node.wait()
    assert told in node.stderr
    assert "Traceback" not in node.stderr


def test_state_directory_that_cannot_be_made_is_6(start: Start, testnet: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    node = start("run", "-p", "testnet", environ={**testnet, "NAUTILUS_STATE_DIR": str(tmp_path / "file" / "below")})
    assert 6 == node.wait()
    assert "NAUTILUS_STATE_DIR" in node.stderr


# -- every way to stop ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_stops_a_running_node_within_its_timeout(
    number: signal.Signals, start: Start, testnet: dict[str, str]
) -> None:
    node = start("run", "-p", "testnet", environ=testnet)
    node.wait_for("ready ")
    began = time.monotonic()
    assert 0 == node.stop(number)
    assert time.monotonic() - began < float(testnet["NAUTILUS_STOP_TIMEOUT"])


def test_signal_while_the_venues_are_asked_stops_at_once(start: Start, testnet: dict[str, str], venue: Venue) -> None:
    venue.misbehave("hang")
    node = start("run", "-p", "testnet", environ=testnet)
    node.wait_for("starting ")
    node.wait_for(lambda: venue.counts())
    began = time.monotonic()
    assert 0 == node.stop()
    assert time.monotonic() - began < 2
    assert "Traceback" not in node.stderr


@pytest.mark.parametrize(
    "fault, code, told", [("bad_key", 5, "-2015"), ("http_500", 6, "500"), ("no_trading", 5, "may")]
)
def test_what_the_venue_refuses_is_told_before_a_node_is_built(
    fault: str, code: int, told: str, start: Start, testnet: dict[str, str], venue: Venue, tmp_path: Path
) -> None:
    venue.misbehave(fault)
    node = start("run", "-p", "testnet", environ=testnet)
    assert code == node.wait(timeout=15)
    assert told in node.stderr
    assert "BINANCE" in node.stderr
    assert "ready T" not in node.stderr
    assert [] == [name for name in venue.counts() if not name.startswith("GET ")]
    assert [] == leaks(tmp_path)


def test_misspelt_strategy_is_told_though_the_venues_are_away(
    start: Start, testnet: dict[str, str], venue: Venue
) -> None:
    venue.misbehave("http_500")
    node = start("run", "-p", "testnet", "--strategy", "nowhere.py:Missing", environ=testnet)
    assert 2 == node.wait()
    assert "nowhere.py does not exist" in node.stderr
    assert {} == venue.counts()


def test_signal_while_connecting_stops_at_once(start: Start, testnet: dict[str, str], venue: Venue) -> None:
    """Nautilus would go on until its connection timeout of 30 s."""
    venue.misbehave("hang")
    node = start("run", "-p", "testnet", environ={**testnet, **UNASKED})
    node.wait_for(lambda: "Awaiting engine connections" in node.stdout)
    began = time.monotonic()
    assert 0 == node.stop()
    assert time.monotonic() - began < float(testnet["NAUTILUS_STOP_TIMEOUT"]) + 1
    assert "Traceback" not in LATE.sub("", node.stderr)


def test_signal_before_there_is_a_node_is_a_complete_stop(start: Start, testnet: dict[str, str]) -> None:
    """Preflight waits for a server that does not answer; the stop is done and is 0."""
    with RedisServer() as server:
        import os

        os.kill(server.pid, signal.SIGSTOP)
        try:
            node = start("run", "-p", "testnet", environ={**testnet, **server.environ, "REDIS_TIMEOUT": "30"})
            time.sleep(1.0)
            assert 0 == node.stop(timeout=5)
            assert "stopped before the node was started" in node.stderr
        finally:
            os.kill(server.pid, signal.SIGCONT)


def test_second_signal_ends_the_process_at_once(start: Start, testnet: dict[str, str]) -> None:
    node = start("run", "-p", "testnet", environ={**testnet, "NAUTILUS_STOP_TIMEOUT": "60"})
    node.wait_for("ready ")
    node.send(signal.SIGTERM)
    node.wait_for(lambda: "STOPPING" in node.stdout)
    began = time.monotonic()
    assert 143 == node.stop(signal.SIGTERM)
    assert time.monotonic() - began < 2
