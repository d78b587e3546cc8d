"""``tradingnode health`` as probes call it: one line, an exit code that tells the truth, and next to no imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from config.health.command import HELP, NOT_READY, OK, OPTIONS, USAGE, main
from config.health.readiness_file import ReadinessFile, utc
from config.problems import ExitCode, Problem

ROOT = Path(__file__).parents[1]
# What would make a health check slow, or has nothing to do with one.
HEAVY = {
    "pydantic",
    "click",
    "nautilus_trader",
    "redis",
    "rich",
    "dotenv",
    "typing",
    "pathlib",
    "argparse",
    "socket",
    "asyncio",
}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def file(state: Path) -> ReadinessFile:
    return ReadinessFile(state / "ready.json", trader_id="T-001", preset="testnet")


def health(*args: str, environ: Mapping[str, str], python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *python, "-m", "config.health.command", *args]
    return subprocess.run(command, cwd=ROOT, env={"HOME": "/", **environ}, capture_output=True, text=True, timeout=20)


def test_the_exit_codes_are_those_of_all_commands() -> None:
    assert (ExitCode.OK, ExitCode.USAGE, ExitCode.NOT_READY) == (OK, USAGE, NOT_READY)


def test_a_probe_gets_one_line_and_zero_while_the_node_is_ready(file: ReadinessFile, state: Path) -> None:
    file.update("ready", ["BINANCE", "BYBIT"])
    since = utc(json.loads((state / "ready.json").read_text())["since"])
    done = health(environ={"NAUTILUS_STATE_DIR": str(state)})
    assert (0, f"ready T-001 since {since}: BINANCE, BYBIT\n", "") == (done.returncode, done.stdout, done.stderr)


def test_a_probe_gets_seven_and_the_reason_while_it_is_not(file: ReadinessFile, state: Path) -> None:
    file.update("starting", [], "data client BINANCE is not connected")
    done = health("--state-dir", str(state), environ={})
    assert (7, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("not ready: T-001 is starting since 2")
    assert done.stdout.endswith("Z: data client BINANCE is not connected\n")


def test_a_probe_of_a_node_that_has_ended_gets_seven(file: ReadinessFile, state: Path) -> None:
    file.update("ready")
    file.remove()
    for args in ((), ("--live",)):
        done = health(*args, environ={"NAUTILUS_STATE_DIR": str(state)})
        assert 7 == done.returncode
        assert f"there is no {state}/ready.json" in done.stdout


def test_liveness_asks_only_whether_it_lives_and_beats(file: ReadinessFile, state: Path) -> None:
    file.update("restricted", [], "halted by hand")
    environ = {"NAUTILUS_STATE_DIR": str(state)}
    assert 7 == health(environ=environ).returncode
    done = health("--live", environ=environ)
    assert (0, f"live T-001: process {os.getpid()} lives, restricted\n") == (done.returncode, done.stdout)
    os.utime(state / "ready.json", (time.time() - 20, time.time() - 20))
    done = health("--live", environ=environ)
    assert 7 == done.returncode
    assert done.stdout.startswith("not live: T-001: its last sign of life is 2")
    assert 0 == health("--live", "--max-age=60", environ=environ).returncode


def test_of_several_nodes_the_trader_id_decides(tmp_path: Path) -> None:
    root = tmp_path / "xdg" / "tradingnode"
    for name in ("A-001", "B-002"):
        ReadinessFile(root / name / "ready.json", trader_id=name, preset=None).update("ready")
    environ = {"XDG_STATE_HOME": str(tmp_path / "xdg")}
    refused = health(environ=environ)
    assert (2, "") == (refused.returncode, refused.stdout)
    assert f"error: there are 2 readiness files, in {root / 'A-001'}, {root / 'B-002'}\n  fix: " in refused.stderr
    done = health("--trader-id", "B-002", environ=environ)
    assert 0 == done.returncode
    assert done.stdout.startswith("ready B-002 since ")


def test_without_any_run_the_line_says_where_was_looked(tmp_path: Path) -> None:
    done = health(environ={"XDG_STATE_HOME": str(tmp_path)})
    assert 7 == done.returncode
    assert f"not ready: no run has left a readiness file below {tmp_path}/tradingnode; start the node" in done.stdout


def test_another_traders_readiness_is_not_this_ones(file: ReadinessFile, state: Path) -> None:
    file.update("ready")
    environ = {"NAUTILUS_STATE_DIR": str(state), "NAUTILUS_TRADER_ID": "OTHER-002"}
    done = health(environ=environ)
    assert (7, f"not ready: {state}/ready.json is that of T-001, not of OTHER-002\n") == (done.returncode, done.stdout)
    assert 0 == health("--trader-id", "T-001", environ=environ).returncode


@pytest.mark.parametrize(
    "args, expected",
    [
        (["--lives"], "tradingnode health has no such option"),
        (["--canary=canary"], "tradingnode health has no such option"),
        (["canary"], "tradingnode health takes options only"),
        (["--trader-id"], "--trader-id needs a value"),
        (["--state-dir", "--live"], "--state-dir needs a value"),
        (["--state-dir="], "--state-dir needs a value"),
        (["--live=yes"], "--live takes no value"),
        (["--role", "canary"], "--role has a value that it does not take, expected one of trader, recorder"),
        *[
            (["--max-age", wrong], "--max-age has a value that it does not take, expected seconds above 0")
            for wrong in ("0", "-1", "nan", "inf", "canary")
        ],
    ],
)
def test_wrong_usage_is_told_in_the_one_shape(
    args: list[str], expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without repeating what was typed, which may be a key; with ``--json`` as the one object."""
    problem = Problem("TN204", "tradingnode health", expected, "`tradingnode health --help` tells how")
    assert 2 == main(args, {})
    assert ("", f"{problem}\n") == capfd.readouterr()
    if args != ["--trader-id"]:
        assert 2 == main([*args, "--json"], {})
        out, err = capfd.readouterr()
        assert ("", {"ok": False, "exit_code": 2, "problems": [problem.to_dict()]}) == (err, json.loads(out))


def test_the_object_of_json_holds_the_node_and_the_problem(
    file: ReadinessFile, state: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environ = {"NAUTILUS_STATE_DIR": str(state)}
    file.update("ready", ["BINANCE"])
    assert 0 == main(["--json"], environ)
    told = json.loads(capfd.readouterr().out)
    assert (True, 0, True, []) == (told["ok"], told["exit_code"], told["ready"], told["problems"])
    assert told["message"].startswith("ready T-001 since ")
    assert json.loads((state / "ready.json").read_text()) == told["node"]

    file.update("stopping")
    assert 7 == main(["--json"], environ)
    told = json.loads(capfd.readouterr().out)
    assert (False, 7, False) == (told["ok"], told["exit_code"], told["ready"])
    assert [Problem("TN702", "tradingnode", told["message"], told["problems"][0]["fix"]).to_dict()] == told["problems"]
    assert "stopping" == told["node"]["state"]

    file.remove()
    assert 7 == main(["--json", "--live"], environ)
    told = json.loads(capfd.readouterr().out)
    assert (False, None) == (told["live"], told["node"])


def test_help_names_every_option(capfd: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["--json", "--help"], {})
    assert (HELP, "") == capfd.readouterr()
    assert [] == [name for name in OPTIONS if f"  {name} " not in HELP]


def test_a_reader_that_has_gone_does_not_change_the_exit_code(file: ReadinessFile, state: Path) -> None:
    file.update("starting")
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "config.health.command", "--state-dir", str(state)]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, timeout=20)
    os.close(writing)
    assert (7, b"") == (done.returncode, done.stderr)


def test_a_health_check_imports_next_to_nothing(file: ReadinessFile, state: Path) -> None:
    """Not even what the rest of this program needs to tell a problem; its CPU time is only reported."""
    file.update("ready")
    code = "import os, sys; from config.health.command import main; sys.exit(main(sys.argv[1:], os.environ))"
    command = [sys.executable, "-X", "importtime", "-c", code, "--state-dir", str(state)]
    done = subprocess.run(command, cwd=ROOT, env={"HOME": "/"}, capture_output=True, text=True, timeout=20)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert 0 == done.returncode
    assert {"config.health.command", "config.state_dir", "config.health.readiness_file"} <= imported
    ours = {name for name in imported if name.startswith("config")}
    assert {
        "config",
        "config.health",
        "config.health.command",
        "config.state_dir",
        "config.health.readiness_file",
    } == ours
    assert set() == HEAVY & {name.partition(".")[0] for name in imported}
