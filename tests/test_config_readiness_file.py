"""The readiness file: what the node writes, what survives a full disk, and what a reader makes of every state of it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.health.readiness_file import MAX_AGE_SECS, STATES, ReadinessFile, boot_id, judge, process_started, read, utc

ROOT = Path(__file__).parents[1]
LINUX = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc, which only Linux has")
# A process that writes the readiness file and waits.
NODE = """
import sys, time
from config.health.readiness_file import ReadinessFile
file = ReadinessFile(sys.argv[1], trader_id=sys.argv[2], preset="testnet")
print(file.update("ready", ["BINANCE"]), flush=True)
time.sleep(60)
"""

type Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ready.json"


@pytest.fixture
def file(path: Path) -> ReadinessFile:
    return ReadinessFile(path, trader_id="T-001", preset="testnet")


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Start a node in a process of its own, which has written its file when this returns."""
    started: list[subprocess.Popen[str]] = []

    def run(trader_id: str = "T-001", written: str = "True") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", NODE, str(path), trader_id]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert written == process.stdout.readline().strip()
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def no_space(limit: int = 10) -> Iterator[None]:
    """Let no file grow beyond ``limit`` bytes: a write fails within, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def judged(path: Path, later: float = 0, **asked: Any) -> tuple[bool, str]:
    """Judge ``later`` seconds from now."""
    return judge(path, time.time() + later, time.monotonic() + later, **asked)


def rewritten(path: Path, **fields: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


# -- writing -------------------------------------------------------------------------------------------------


def test_a_node_that_says_ready_is_ready(file: ReadinessFile, path: Path) -> None:
    assert file.update("ready", ["BINANCE", "BYBIT"])
    since = json.loads(path.read_text())["since"]
    assert (True, f"T-001 since {utc(since)}: BINANCE, BYBIT") == judged(path)


def test_the_file_says_who_and_what(file: ReadinessFile, path: Path) -> None:
    before = time.time()
    file.update("restricted", ["BINANCE"], "halted by hand")
    record = json.loads(path.read_text())
    assert before <= record.pop("since") <= record.pop("heartbeat") <= time.time()
    assert record.pop("heartbeat_monotonic") <= time.monotonic()
    assert {
        "format": 1,
        "pid": os.getpid(),
        "started": process_started(os.getpid()),
        "boot_id": boot_id(),
        "trader_id": "T-001",
        "preset": "testnet",
        "role": "trader",
        "state": "restricted",
        "connected": ["BINANCE"],
        "reason": "halted by hand",
    } == record


@LINUX
def test_process_and_boot_are_told_apart_from_others() -> None:
    assert process_started(1) != process_started(os.getpid())
    assert process_started(os.getpid()) is not None
    assert len(boot_id() or "") == 36


def test_only_its_owner_can_read_it_and_nothing_lies_beside_it(file: ReadinessFile, path: Path) -> None:
    file.update("starting")
    file.update("ready")
    assert [path] == list(path.parent.iterdir())
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert 0o700 == stat.S_IMODE(path.parent.stat().st_mode)


def test_a_reader_never_sees_half_a_file(file: ReadinessFile, path: Path) -> None:
    """A file that a reader has opened stays as it was: updates put another one in its place."""
    file.update("starting", reason=400 * "x")
    with path.open() as opened:
        file.update("ready")
        assert "starting" == json.loads(opened.read())["state"]
    assert "ready" == read(path)[0]["state"]


def test_since_is_when_the_state_began(path: Path) -> None:
    now = iter(range(1000, 2000))
    file = ReadinessFile(path, trader_id="T-001", preset=None, clock=lambda: next(now))
    file.update("starting", [])
    first = read(path)[0]
    file.update("starting", ["BINANCE"])
    second = read(path)[0]
    file.update("ready", ["BINANCE"])
    assert first["since"] == second["since"] < read(path)[0]["since"]
    assert first["heartbeat"] < second["heartbeat"]


def test_a_state_that_there_is_not_is_a_defect_of_the_caller(file: ReadinessFile, path: Path) -> None:
    with pytest.raises(ValueError, match=r"^fine is none of starting, ready, restricted, stopping$"):
        file.update("fine")
    assert not path.exists()


def test_a_beat_moves_the_time_of_the_file_and_nothing_else(path: Path) -> None:
    now = [time.time() - 100]
    file = ReadinessFile(path, trader_id="T-001", preset=None, clock=lambda: now[0])
    assert not file.beat()
    file.update("ready")
    before = path.read_text(), path.stat().st_ino
    assert not judged(path)[0]
    now[0] += 100
    assert file.beat()
    assert judged(path)[0]
    assert before == (path.read_text(), path.stat().st_ino)


def test_a_file_that_somebody_removed_is_back_at_the_next_beat(file: ReadinessFile, path: Path) -> None:
    file.update("ready", ["BINANCE"])
    before = read(path)[0]
    path.unlink()
    path.parent.rmdir()
    assert file.beat()
    assert before["since"] == read(path)[0]["since"]
    assert judged(path)[0]


def test_after_the_end_there_is_no_file(file: ReadinessFile, path: Path) -> None:
    file.update("stopping")
    file.remove()
    assert [] == list(path.parent.iterdir())
    assert not file.beat()
    file.remove()


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_no_descriptor_is_left_open(file: ReadinessFile) -> None:
    before = open_files()
    for _ in range(5):
        file.update("ready")
        file.update("restricted")
    with no_space():
        file.update("ready")
    file.remove()
    assert before == open_files()


# -- what can fail -------------------------------------------------------------------------------------------


def test_a_full_disk_never_leaves_ready_behind(file: ReadinessFile, path: Path) -> None:
    """The state that cannot be written is not claimed, the node still lives, and the next beat with space mends it."""
    file.update("ready")
    with no_space():
        assert not file.update("restricted", reason="halted")
        assert not file.beat()
        assert "T-001: it lives, but could not write what it does now (is the disk full?)" == judged(path)[1]
        assert judged(path, live=True)[0]
        assert [path] == list(path.parent.iterdir())
    assert file.beat()
    assert "restricted" == read(path)[0]["state"]
    assert "halted" in judged(path)[1]


def test_a_full_disk_does_not_stop_the_beats(file: ReadinessFile, path: Path) -> None:
    file.update("ready")
    os.utime(path, (0, 0))
    with no_space():
        assert file.beat()
        assert judged(path)[0]


def test_a_directory_that_cannot_be_made_is_no_exception(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    file = ReadinessFile(tmp_path / "file" / "state" / "ready.json", trader_id="T-001", preset=None)
    assert not file.update("ready")
    assert not file.beat()
    file.remove()


def test_a_second_node_leaves_the_file_of_the_first_alone(start: Start, file: ReadinessFile, path: Path) -> None:
    """As long as that one lives: then the file is taken over, by the next beat."""
    first = start("FIRST-001")
    assert not file.update("starting")
    assert not file.beat()
    file.remove()
    assert "FIRST-001" == read(path)[0]["trader_id"]
    file.update("starting")
    first.kill()
    first.wait()
    assert file.beat()
    assert ("T-001", "starting") == (read(path)[0]["trader_id"], read(path)[0]["state"])
    assert start(written="False").poll() is None


def test_the_file_of_a_node_that_no_longer_beats_is_taken_over(start: Start, file: ReadinessFile, path: Path) -> None:
    start("FIRST-001")
    os.utime(path, (0, 0))
    assert file.update("starting")
    assert "T-001" == read(path)[0]["trader_id"]


def test_a_process_with_the_number_of_this_one_is_no_other_node(file: ReadinessFile, path: Path) -> None:
    """A container that starts again has the process number that it had: its own old file must not keep it out."""
    file.update("ready")
    again = ReadinessFile(path, trader_id="T-001", preset="testnet")
    assert again.update("starting")
    assert "starting" == read(path)[0]["state"]
    file.remove()
    assert path.exists()


def test_what_is_no_readiness_file_is_replaced(file: ReadinessFile, path: Path) -> None:
    path.parent.mkdir()
    path.write_text("{")
    assert file.update("ready")
    assert judged(path)[0]


# -- judging -------------------------------------------------------------------------------------------------


def test_without_a_file_no_node_runs(path: Path) -> None:
    expected = f"there is no {path}: the node does not run, or its state directory is another one"
    assert (False, expected) == judged(path)
    assert (False, expected) == judged(path, live=True)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", "is not JSON: something else has written it, or it is damaged"),
        ('{"format": 1', "is not JSON: something else has written it, or it is damaged"),
        ("\udcff", "is not JSON: something else has written it, or it is damaged"),
        (30_000 * "[", "is not JSON: something else has written it, or it is damaged"),
        ("[]", "is not a readiness file"),
        ("{}", "is not a readiness file"),
        ('{"format": 2}', "has format 2, and this version reads 1"),
        ('{"format": 1}', "is not a readiness file: its pid is missing or not of the right kind"),
    ],
)
def test_what_is_something_else_is_told_as_that(text: str, expected: str, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert (False, f"{path} {expected}") == judged(path)


@pytest.mark.parametrize(
    "fields",
    [
        {"pid": True},
        {"pid": 0},
        {"pid": -1},
        {"pid": 2**70},
        {"started": "5"},
        {"since": float("nan")},
        {"since": 1e30},
        {"state": "fine"},
        {"connected": [1]},
        {"connected": "BINANCE"},
        {"trader_id": None},
        {"heartbeat_monotonic": None},
    ],
)
def test_a_field_that_cannot_be_is_never_ready(fields: dict[str, object], file: ReadinessFile, path: Path) -> None:
    file.update("ready")
    rewritten(path, **fields)
    fine, sentence = judged(path)
    assert not fine
    assert sentence.startswith(f"{path} is not a readiness file: its ")


def test_a_directory_or_a_pipe_in_its_place_is_told_at_once(path: Path) -> None:
    path.mkdir(parents=True)
    assert not judged(path)[0]
    path.rmdir()
    os.mkfifo(path)
    started = time.monotonic()
    assert not judged(path)[0]
    assert time.monotonic() - started < 1


def test_a_file_in_a_place_that_cannot_be_read_is_told_with_the_reason(path: Path) -> None:
    path.parent.write_text("a file, not a directory")
    assert (False, f"{path} cannot be read: not a directory") == judged(path)


def test_another_traders_file_is_not_the_answer(file: ReadinessFile, path: Path) -> None:
    file.update("ready")
    assert (False, f"{path} is that of T-001, not of OTHER-002") == judged(path, trader_id="OTHER-002")
    assert judged(path, trader_id="T-001")[0]


@pytest.mark.parametrize("is_waited_for", [True, False])
def test_a_killed_node_is_not_ready(is_waited_for: bool, start: Start, path: Path) -> None:
    """Also while its parent has not yet taken note of its end."""
    node = start()
    assert judged(path)[0]
    node.send_signal(signal.SIGKILL)
    if is_waited_for:
        node.wait()
    else:
        os.waitid(os.P_PID, node.pid, os.WEXITED | os.WNOWAIT)
    gone = f"T-001: its process {node.pid} has ended without removing its readiness file: it was killed, or crashed"
    assert (False, gone) == judged(path)
    assert (False, gone) == judged(path, live=True)


@LINUX
def test_another_process_with_the_same_number_is_not_the_node(file: ReadinessFile, path: Path) -> None:
    file.update("ready")
    started = process_started(os.getpid())
    assert started is not None
    rewritten(path, started=started - 1)
    expected = f"T-001: its process has ended, and its number {os.getpid()} is another process' now"
    assert (False, expected) == judged(path)


@pytest.mark.parametrize(
    "fields", [pytest.param({"boot_id": "another"}, marks=LINUX), {"boot_id": None, "heartbeat_monotonic": 1e12}]
)
def test_a_file_from_before_the_last_boot_is_not_ready(
    fields: dict[str, object], file: ReadinessFile, path: Path
) -> None:
    file.update("ready")
    rewritten(path, **fields)
    assert (False, "T-001: its readiness file was written before the system was started again") == judged(path)


def test_where_the_system_tells_nothing_of_processes_the_number_alone_counts(file: ReadinessFile, path: Path) -> None:
    file.update("ready")
    rewritten(path, boot_id=None, started=None)
    assert judged(path)[0]


@pytest.mark.parametrize("later, expected", [(MAX_AGE_SECS - 1, True), (MAX_AGE_SECS + 1, False)])
def test_a_node_without_a_beat_for_ten_seconds_is_stuck(
    later: float, expected: bool, file: ReadinessFile, path: Path
) -> None:
    file.update("ready")
    for live in (False, True):
        fine, sentence = judged(path, later, live=live)
        assert expected == fine
        assert expected != ("its event loop is stuck" in sentence)


def test_a_beat_from_the_future_is_not_believed(file: ReadinessFile, path: Path) -> None:
    """A node that is stuck when the clock is set back an hour would otherwise look alive for an hour."""
    file.update("ready")
    fine, sentence = judge(path, time.time() - 3600, time.monotonic())
    assert not fine
    assert "in the future: the clock was set back" in sentence


@pytest.mark.parametrize("state", [state for state in STATES if state != "ready"])
def test_every_other_state_is_live_but_not_ready_and_says_why(state: str, file: ReadinessFile, path: Path) -> None:
    file.update(state, ["BINANCE"], "data client BYBIT is not connected")
    since = utc(read(path)[0]["since"])
    assert (False, f"T-001 is {state} since {since}: data client BYBIT is not connected") == judged(path)
    assert (True, f"T-001: process {os.getpid()} lives, {state}") == judged(path, live=True)


def test_what_a_venue_said_arrives_as_one_line_that_a_terminal_shows(file: ReadinessFile, path: Path) -> None:
    file.update("starting", ["\x1b[2J"], "refused\n\x1b[31m" + 1000 * "x")
    reason = read(path)[0]["reason"]
    assert reason.startswith("refused [31mxxx")
    assert 500 == len(reason)
    rewritten(path, state="ready", connected=["a\x1b[2Jb\n"])
    assert judged(path)[1].endswith(": a [2Jb")
