"""What a node writes and nothing reads is trimmed: snapshots in Redis, runs in the catalog; nothing else goes, no start fails."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr
from redis import Redis

from config.models import RedisConfig
from config.store.retention import (
    BUDGET_SECS,
    COMMANDS,
    DAY_SECS,
    QUIET_SECS,
    Trimmed,
    _Run,
    _surplus,
    trim_catalog,
    trim_snapshots,
)
from tests.conftest import CANARIES
from tests.forked import run_forked
from tests.integration.books import config_of
from tests.integration.markets import USD_M
from tests.redis_server import RedisServer
from tests.venue.handle import Venue

NOW = 1_800_000_000.0
DAYS = 7
BEFORE = NOW - DAYS * DAY_SECS
KEY = "trader-T-1:snapshots:positions:P-1"


def record(when: float) -> bytes:
    """Return a snapshot as Nautilus writes it, with less in it."""
    text = datetime.fromtimestamp(when, UTC).isoformat(timespec="microseconds").replace("+00:00", "789Z")
    return msgspec.msgpack.encode(
        {"position_id": "P-1", "commissions": ["1 USDT"], "ts_closed": None, "ts_snapshot": text}
    )


@pytest.mark.parametrize("length", [1, 2, 3, 10, 1000])
def test_exactly_what_is_older_is_removed(length: int, config: RedisConfig, client: Any) -> None:
    for old in sorted({0, 1, 2, length // 2, length - 1, length}):
        if old > length:
            continue
        records = [record(BEFORE + 60 * (place - old) + 0.5) for place in range(length)]
        client.delete(KEY)
        client.rpush(KEY, *records)
        assert Trimmed(old) == trim_snapshots(config, "T-1", DAYS, NOW)
        assert records[old:] == client.lrange(KEY, 0, -1)
        assert Trimmed(0) == trim_snapshots(config, "T-1", DAYS, NOW)


def test_other_keys_are_left_and_lists_of_positions_long_gone_too_end(config: RedisConfig, client: Any) -> None:
    old, young = record(BEFORE - 1), record(BEFORE + 1)
    client.rpush(KEY, old, young)
    client.rpush(f"{KEY}-gone", old, old)
    for key in (
        "trader-T-10:snapshots:positions:P-1",
        "trader-T-1X:snapshots:positions:P-1",
        "trader-T-1:positions:P-1",
        "trader-T-1:snapshots:orders:O-1",
        "trader-T-1:snapshots:positions",
    ):
        client.rpush(key, old, old)
    assert Trimmed(3) == trim_snapshots(config, "T-1", DAYS, NOW)
    assert [young] == client.lrange(KEY, 0, -1)
    assert not client.exists(f"{KEY}-gone")
    lists = {key: client.llen(key) for key in client.scan_iter("*") if key != KEY.encode()}
    assert [2, 2, 2, 2, 2] == list(lists.values())


def test_what_no_node_wrote_is_left_and_told_and_keeps_nothing_else_from_being_trimmed(
    config: RedisConfig, client: Any
) -> None:
    old, young = record(BEFORE - 1), record(BEFORE + 1)
    strange = {
        "text": [b"old news", young],
        "other": [msgspec.msgpack.encode({"ts_last": "2020-01-01T00:00:00Z"}), young],
        "number": [msgspec.msgpack.encode({"ts_snapshot": 1}), young],
        "words": [msgspec.msgpack.encode({"ts_snapshot": "yesterday"}), young],
        "middle": [old, old, b"\xc1", young, young],
    }
    for name, records in strange.items():
        client.rpush(f"trader-T-1:snapshots:positions:{name}", *records)
    client.set("trader-T-1:snapshots:positions:string", "x")
    client.rpush(KEY, old, young)
    done = trim_snapshots(config, "T-1", DAYS, NOW)
    assert (1, True, 6) == (done.count, done.is_complete, len(done.problems))
    for name, records in strange.items():
        assert records == client.lrange(f"trader-T-1:snapshots:positions:{name}", 0, -1)
        assert 1 == len([text for text in done.problems if text.startswith(f"trader-T-1:snapshots:positions:{name} ")])


def test_budget_that_is_used_up_leaves_the_rest_to_the_next_start(config: RedisConfig, client: Any) -> None:
    client.rpush(KEY, record(BEFORE - 1), record(BEFORE + 1))
    assert Trimmed(0, is_complete=False) == trim_snapshots(config, "T-1", DAYS, NOW, budget_secs=0)
    assert 2 == client.llen(KEY)
    assert Trimmed(1) == trim_snapshots(config, "T-1", DAYS, NOW)


def test_redis_that_cannot_be_used_is_told_and_stops_no_start(config: RedisConfig, client: Any) -> None:
    client.rpush(KEY, record(BEFORE - 1), record(BEFORE + 1))
    rights = ["+scan", "+lrange", "+watch", "+unwatch", "+multi", "+exec"]
    client.execute_command("ACL", "SETUSER", "u", "reset", "on", ">pw", "~*", "-@all", *rights)
    limited = config.model_copy(update={"username": "u", "password": SecretStr("pw")})
    wrong = config.model_copy(update={"password": SecretStr("canary-wrong-password")})
    with RedisServer() as gone:
        down = config.model_copy(update={"port": gone.port})
    for redis, words in ((limited, ", ".join(COMMANDS)), (wrong, "refuses"), (down, "cannot be reached")):
        done = trim_snapshots(redis, "T-1", DAYS, NOW)
        assert 0 == done.count
        (problem,) = done.problems
        assert words in problem
        assert not [secret for secret in (CANARIES["REDIS_PASSWORD"], "canary-wrong") if secret in problem]
    assert 2 == client.llen(KEY)
    client.execute_command("ACL", "SETUSER", "u", *(f"+{name}" for name in COMMANDS))
    assert Trimmed(1) == trim_snapshots(limited, "T-1", DAYS, NOW)


def test_frozen_redis_does_not_hold_a_start_up(server: RedisServer, config: RedisConfig) -> None:
    server.pause()
    waking = threading.Timer(20, server.resume)
    waking.start()
    try:
        done = trim_snapshots(config, "T-1", DAYS, NOW)
        assert waking.is_alive()
        assert 1 == len(done.problems)
    finally:
        waking.cancel()
        server.resume()


def books_of_a_run(environ: Mapping[str, str], interval: float, seconds: float) -> list[str]:
    """Run a node that holds a position and snapshots it so often, and return its positions and orders at the end."""
    from nautilus_trader.model.identifiers import InstrumentId

    from config.factory import TradingNodeConfigFactory
    from config.live.runner import Deadlines, run_node
    from config.models import TradingNodeSettings
    from tests.integration.strategies import Holder, HolderConfig

    os.chdir(environ["HOME"])
    settings = TradingNodeSettings.from_env(None, environ, preset="testnet")
    built = TradingNodeConfigFactory.from_settings(settings)
    often = msgspec.structs.replace(built.exec_engine, snapshot_positions_interval_secs=interval)
    held = InstrumentId.from_str(USD_M.instrument_id)
    report = f"{environ['HOME']}/report.json"
    strategy = Holder(HolderConfig(instrument_id=held, quantity=Decimal("0.01"), rest=True, report=report))
    books: list[str] = []

    async def look(node: Any) -> None:
        while not node.cache.positions_open() or not node.cache.orders_open():
            await asyncio.sleep(0.01)
        await asyncio.sleep(seconds)
        books.extend(repr(position.to_dict()) for position in node.cache.positions())
        books.extend(repr(order.to_dict()) for order in node.cache.orders())
        signal.raise_signal(signal.SIGTERM)

    def ready(node: Any, _seconds: float) -> None:
        asyncio.get_running_loop().create_task(look(node))

    run_node(msgspec.structs.replace(built, exec_engine=often), Deadlines(20, 10), [strategy], on_ready=ready)
    return sorted(books)


def test_real_node_starts_on_a_trimmed_cache_with_the_books_that_it_had(
    testnet: dict[str, str], venue: Venue, redis: RedisServer, tmp_path: Path
) -> None:
    """And its folder in the catalog is known for a run's."""
    catalog = tmp_path / "catalog"
    environ = {
        **USD_M.environ(testnet, venue),
        "HOME": str(tmp_path),
        "NAUTILUS_LOG_LEVEL": "ERROR",
        "NAUTILUS_CATALOG_PATH": str(catalog),
    }
    trader_id = environ["NAUTILUS_TRADER_ID"]
    before = run_forked(books_of_a_run, environ, 0.02, 1.0)
    with Redis(port=redis.port, password=CANARIES["REDIS_PASSWORD"]) as client:
        (key,) = client.scan_iter(f"trader-{trader_id}:snapshots:*")
        others = {name: client.dump(name) for name in client.scan_iter(f"trader-{trader_id}:*") if name != key}
        records = client.lrange(key, 0, -1)
        times = [msgspec.msgpack.decode(each)["ts_snapshot"] for each in records]
        assert sorted(times) == times
        assert len(times) > 20
        middle = len(times) // 2
        # As if it were started again seven days after the middle one.
        now = datetime.fromisoformat(times[middle]).timestamp() + DAYS * DAY_SECS
        assert Trimmed(middle) == trim_snapshots(config_of(redis), trader_id, DAYS, now)
        assert records[middle:] == client.lrange(key, 0, -1)
        assert others == {name: client.dump(name) for name in others}

        assert before == run_forked(books_of_a_run, environ, 0.02, 0.3)
        appended = client.lrange(key, 0, -1)
        assert records[middle:] == appended[: len(records) - middle]
        assert len(appended) > len(records) - middle

        # The same with none left.
        assert Trimmed(len(appended)) == trim_snapshots(config_of(redis), trader_id, DAYS, now + DAY_SECS)
        assert not client.exists(key)
    assert before == run_forked(books_of_a_run, environ, 0.02, 0.0)

    runs = {path: path.stat().st_mtime for path in (catalog / "sandbox").iterdir()}
    assert 3 == len(runs)
    for place, path in enumerate(runs):
        as_old_as(path, NOW - (place + 1) * DAY_SECS)
    first, *_ = runs
    size = sum(file.stat().st_size for path in runs if path != first for file in path.rglob("*") if file.is_file())
    assert Trimmed(2, size) == trim_catalog(catalog, 2, None, NOW)
    assert [first] == list((catalog / "sandbox").iterdir())


def as_old_as(run: Path, when: float) -> None:
    for path in (*run.rglob("*"), run):
        os.utime(path, (when, when), follow_symlinks=False)


def a_run(catalog: Path, days_old: float, environment: str = "sandbox") -> Path:
    """Make a run's folder as the writer does: files with a schema only, and those of instruments in folders."""
    run = catalog / environment / str(uuid.uuid4())
    below = run / "bar" / "BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL"
    below.mkdir(parents=True)
    (run / "config.json").write_text('{"trader_id":"T-1"}')
    (run / "order_filled_1795255165730302815.feather").write_bytes(b"x" * 100)
    (below / "BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL_1795255165811372794.feather").write_bytes(b"x" * 1000)
    as_old_as(run, NOW - days_old * DAY_SECS)
    return run


SIZE = 100 + 1000 + len('{"trader_id":"T-1"}')


def left(runs: list[Path]) -> list[int]:
    return [place for place, run in enumerate(runs) if run.exists()]


@pytest.mark.parametrize(
    "max_runs, max_age_days, kept",
    [
        (None, None, [0, 1, 2, 3, 4]),
        (10, None, [0, 1, 2, 3, 4]),
        (6, None, [0, 1, 2, 3, 4]),
        (5, None, [0, 1, 2, 3]),
        (2, None, [0]),
        (1, None, []),
        (None, 100, [0, 1, 2, 3, 4]),
        (None, 25, [0, 1]),
        (None, 1, []),
        (3, 25, [0, 1]),
        (2, 35, [0]),
    ],
)
def test_oldest_runs_go(max_runs: int | None, max_age_days: int | None, kept: list[int], tmp_path: Path) -> None:
    """This run is one of ``max_runs``, though its folder is made only after."""
    runs = [a_run(tmp_path, days_old, environment) for days_old, environment in AGES]
    done = trim_catalog(tmp_path, max_runs, max_age_days, NOW)
    assert kept == left(runs)
    assert Trimmed(5 - len(kept), SIZE * (5 - len(kept))) == done


AGES = ((10, "sandbox"), (20, "live"), (30, "sandbox"), (40, "live"), (50, "sandbox"))


def test_this_run_stays_and_counts_once(tmp_path: Path) -> None:
    runs = [a_run(tmp_path, days) for days in (90, 1, 2, 3)]
    assert Trimmed(2, 2 * SIZE) == trim_catalog(tmp_path, 2, 80, NOW, this_run=runs[0].name)
    assert [0, 1] == left(runs)


def test_run_that_may_be_written_to_stays(tmp_path: Path) -> None:
    """One that wrote just now, and one that wrote nothing for days and is open: a deleted file would take what it writes next."""
    now = time.time()
    runs = [a_run(tmp_path, 0) for _ in range(4)]
    for run, age in zip(runs, (QUIET_SECS - 60, QUIET_SECS + 60, 30 * DAY_SECS, -3600), strict=True):
        as_old_as(run, now - age)
    just_written = next(runs[2].glob("bar/*/*.feather"))
    with just_written.open("ab"):
        os.utime(just_written, (now - 30 * DAY_SECS,) * 2)
        assert Trimmed(1, SIZE) == trim_catalog(tmp_path, 1, None, now)
    assert [0, 2, 3] == left(runs)
    assert Trimmed(1, SIZE) == trim_catalog(tmp_path, 1, None, now)
    assert [0, 3] == left(runs)
    # One file is enough: the last write is that of the newest.
    os.utime(next(runs[3].glob("bar/*/*.feather")), (now, now))
    for run in (runs[0], runs[3]):
        os.utime(run / "config.json", (0, 0))
    trim_catalog(tmp_path, 1, 1, now)
    assert [0, 3] == left(runs)


def test_nothing_but_runs_is_deleted(tmp_path: Path) -> None:
    catalog, elsewhere = tmp_path / "catalog", tmp_path / "elsewhere"
    target, moved = a_run(elsewhere, 60), a_run(tmp_path / "other", 60)
    stays = [
        a_run(catalog, 60, "backtest"),
        a_run(catalog, 60, "data"),
        a_run(catalog / "simulated", 60),
        a_run(catalog / "sandbox" / "nested", 60).parents[1],
        a_run(catalog, 60).rename(catalog / "sandbox" / "notes"),
        a_run(catalog, 60).rename(catalog / "sandbox" / str(uuid.uuid4()).upper()),
        a_run(catalog, 60).rename(catalog / "sandbox" / f"{uuid.uuid4()}.bak"),
    ]
    link = catalog / "sandbox" / str(uuid.uuid4())
    link.symlink_to(target, target_is_directory=True)
    (catalog / "live").symlink_to(moved.parent, target_is_directory=True)
    file = catalog / "sandbox" / str(uuid.uuid4())
    file.write_text("x")
    os.utime(file, (0, 0))
    before = {path: path.lstat().st_mtime for path in tmp_path.rglob("*")}
    assert Trimmed(0, 0) == trim_catalog(catalog, 1, 1, NOW)
    assert before == {path: path.lstat().st_mtime for path in tmp_path.rglob("*")}
    assert all(path.exists() for path in (*stays, target, moved, link))


def test_folder_with_something_else_in_it_is_left_whole_and_told(tmp_path: Path) -> None:
    catalog, elsewhere = tmp_path / "catalog", a_run(tmp_path / "elsewhere", 60)
    runs = [a_run(catalog, 60) for _ in range(7)]
    (runs[0] / "notes.txt").write_text("mine")
    (runs[1] / "bar" / "config.json").write_text("{}")
    (runs[2] / "quotes.feather").symlink_to(next(elsewhere.glob("*.feather")))
    (runs[3] / "quote_tick").symlink_to(elsewhere, target_is_directory=True)
    (runs[4] / "config.json").unlink()
    (runs[5] / "config.json").unlink()
    (runs[5] / "config.json").symlink_to(elsewhere / "config.json")
    for run in runs:
        as_old_as(run, NOW - 60 * DAY_SECS)
    before = {path for path in tmp_path.rglob("*") if runs[6] not in (path, *path.parents)}
    done = trim_catalog(catalog, 1, None, NOW)
    assert (1, SIZE) == (done.count, done.bytes)
    assert before == set(tmp_path.rglob("*"))
    told = ("notes.txt", "bar/config.json", "quotes.feather", "quote_tick", "no config.json", "config.json")
    for run, words in zip(runs, told, strict=False):
        (problem,) = (text for text in done.problems if str(run) in text)
        assert words in problem
    assert 6 == len(done.problems)


def test_deletion_that_was_cut_short_is_taken_up_again(tmp_path: Path) -> None:
    """What is left of it is no younger for it, and the last thing to go is what makes it a run."""
    now = time.time()
    runs = [a_run(tmp_path, 60) for _ in range(3)]
    for run in runs:
        as_old_as(run, now - 60 * DAY_SECS)
    shutil.rmtree(runs[0] / "bar")
    next(runs[0].glob("*.feather")).unlink()
    shutil.rmtree(runs[1])
    runs[1].mkdir()
    assert 2 == trim_catalog(tmp_path, None, 30, now).count
    assert [1] == left(runs)  # an empty folder tells its own time only
    assert 1 == trim_catalog(tmp_path, None, 30, now + 31 * DAY_SECS).count
    assert [] == left(runs)


def test_oldest_go_first_when_there_is_no_time_for_all() -> None:
    runs = [_Run(Path(str(written)), written, 0, frozenset(), "") for written in (5.0, 1.0, 4.0, 2.0, 3.0)]
    assert [1.0, 2.0, 3.0] == [run.written for run in _surplus(runs, 3, None, NOW)]
    assert [1.0, 2.0, 3.0, 4.0, 5.0] == [run.written for run in _surplus(runs, 3, 1, NOW)]


def test_catalog_that_cannot_be_read_or_is_not_there_stops_no_start(tmp_path: Path) -> None:
    assert Trimmed(0, 0) == trim_catalog(tmp_path / "none", 1, 1, NOW)
    file = tmp_path / "file"
    file.write_text("x")
    done = trim_catalog(file, 1, 1, NOW)
    assert (0, 1) == (done.count, len(done.problems))
    assert "Not a directory" in done.problems[0]


def test_budget_that_is_used_up_leaves_the_youngest_of_the_surplus(tmp_path: Path) -> None:
    runs = [a_run(tmp_path, days) for days in (10, 20, 30)]
    assert Trimmed(0, 0, is_complete=False) == trim_catalog(tmp_path, 1, None, NOW, budget_secs=0)
    assert [0, 1, 2] == left(runs)
    assert 3 == trim_catalog(tmp_path, 1, None, NOW, budget_secs=BUDGET_SECS).count
