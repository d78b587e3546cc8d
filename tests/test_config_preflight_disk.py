"""Where a node cannot write, or not for long: on directories and file systems that are really so."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from config.models import TradingNodeSettings
from config.preflight.disk import check_disk, judge_room
from config.preflight.findings import Finding
from config.problems import Problem

MIB, GIB = 2**20, 2**30
WRITABLE = ("disk.state", "disk.logs", "disk.catalog")


def settings(folder: Path, **fields: object) -> TradingNodeSettings:
    return TradingNodeSettings.model_validate(
        {"trader_id": "PROBE-001", "state_dir": folder / "state", "streaming": {}, **fields}
    )


def problems(found: list[Finding]) -> list[Problem]:
    return [each.problem for each in found if each.step in WRITABLE and each.problem is not None]


def test_directories_are_made_and_left_empty(tmp_path: Path) -> None:
    chosen = settings(tmp_path, logging={"log_directory": tmp_path / "a" / "logs"})
    found = check_disk(chosen)
    assert [(step, "ok") for step in WRITABLE] == [(each.step, each.state) for each in found if each.step in WRITABLE]
    for directory in (chosen.state_directory, chosen.log_directory, chosen.catalog_path):
        assert directory.is_dir()
        assert [] == [path for path in directory.iterdir() if path.is_file()]
    assert 0o700 == stat.S_IMODE(chosen.state_directory.stat().st_mode)
    json.dumps([each.to_dict() for each in found])


def test_a_directory_that_nothing_writes_to_is_not_made(tmp_path: Path) -> None:
    chosen = settings(tmp_path, streaming=None, logging={"log_level_file": "OFF"})
    found = {each.step: each for each in check_disk(chosen)}
    assert ("ok", "skipped", "skipped") == tuple(found[step].state for step in WRITABLE)
    assert "NAUTILUS_LOG_LEVEL_FILE is OFF" == found["disk.logs"].detail
    assert "NAUTILUS_CATALOG_PATH is not set" == found["disk.catalog"].detail
    assert [] == list(chosen.state_directory.iterdir())


def test_a_file_in_a_directorys_place_is_told_with_its_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("keep me")
    chosen = settings(
        tmp_path,
        state_dir=tmp_path / "file" / "state",
        logging={"log_directory": tmp_path / "file"},
        streaming={"catalog_path": tmp_path / "file" / "catalog"},
    )
    state, logs, catalog = problems(check_disk(chosen))
    because = f"{tmp_path}/file is a file, not a directory"
    assert f"the state directory {chosen.state_directory} cannot be written: {because}" == state.message
    assert (
        f"move {tmp_path}/file away (the directory is then made), or set NAUTILUS_STATE_DIR to another place"
        == state.fix
    )
    assert ("TN604", "NAUTILUS_STATE_DIR") == (state.code, state.key)
    assert ("TN605", "NAUTILUS_LOG_DIRECTORY") == (logs.code, logs.key)
    assert ("TN605", "NAUTILUS_CATALOG_PATH") == (catalog.code, catalog.key)
    assert f"{tmp_path}/file cannot be written, which NAUTILUS_LOG_DIRECTORY needs: {because}" == logs.message
    assert "keep me" == (tmp_path / "file").read_text()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_only_lies_below_a_state_directory_that_fails_is_no_second_problem(kind: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    if kind == "file":
        state.write_text("keep me")
    else:
        state.symlink_to(tmp_path / "gone")
    found = check_disk(settings(tmp_path))
    (problem,) = problems(found)
    told = {"file": "a file", "link": "a link that leads nowhere"}[kind]
    assert f"the state directory {state} cannot be written: {state} is {told}, not a directory" == problem.message
    see = ("skipped", "not looked at: see disk.state")
    steps = ("disk.logs", "disk.catalog", "disk.room")
    assert dict.fromkeys(steps, see) == {each.step: (each.state, each.detail) for each in found[1:]}


def test_what_is_wrong_below_a_state_directory_that_fails_is_told(tmp_path: Path) -> None:
    """The state directory has something in the probe's place, and what lies below it a fault of its own, or none."""
    chosen = settings(tmp_path)
    chosen.state_directory.mkdir(parents=True)
    (chosen.state_directory / f".tradingnode-probe.{os.getpid()}").touch()
    (chosen.state_directory / "logs").write_text("keep me")
    found = check_disk(chosen)
    assert ["TN604", "TN605"] == [problem.code for problem in problems(found)]
    assert ("disk.catalog", "ok") in [(each.step, each.state) for each in found]
    assert ("disk.room", "ok") in [(each.step, each.state) for each in found]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="nobody can write there")
@pytest.mark.parametrize("folder, fix", [("/proc", "make it writable"), ("/proc/nowhere", "create it, writable")])
def test_who_has_to_be_let_in_is_named(folder: str, fix: str, tmp_path: Path) -> None:
    (problem,) = problems(check_disk(settings(tmp_path, logging={"log_directory": Path(folder)})))
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert f"{fix} for user {user}, or set NAUTILUS_LOG_DIRECTORY to another place" == problem.fix


def test_what_somebody_put_in_the_probes_place_is_not_overwritten(tmp_path: Path) -> None:
    """A link in a directory that others can write to may lead anywhere."""
    target = tmp_path / "precious"
    target.write_text("keep me")
    chosen = settings(tmp_path)
    chosen.state_directory.mkdir(parents=True)
    probe = chosen.state_directory / f".tradingnode-probe.{os.getpid()}"
    probe.symlink_to(target)
    (problem,) = problems(check_disk(chosen))
    assert "TN604" == problem.code
    assert f"cannot be written: {probe} is in the way" in problem.message
    assert "keep me" == target.read_text()


@pytest.mark.parametrize(
    "total, free, code",
    [
        (100 * GIB, 50 * MIB, "TN613"),
        (100 * GIB, 100 * MIB, "TN323"),
        (2 * GIB, GIB - 1, "TN323"),
        (2 * GIB, GIB, None),
        (100 * GIB, 4 * GIB, "TN323"),
        (100 * GIB, 5 * GIB, None),
    ],
)
def test_room_is_judged_by_its_size_and_its_share(total: int, free: int, code: str | None) -> None:
    places = [("NAUTILUS_STATE_DIR", Path("/var/state")), ("NAUTILUS_CATALOG_PATH", Path("/var/catalog"))]
    verdict = judge_room(total, free, places)
    assert code == (verdict.code if isinstance(verdict, Problem) else None)
    if isinstance(verdict, Problem):
        assert "/var/state, /var/catalog" in verdict.message
        assert "NAUTILUS_STATE_DIR or NAUTILUS_CATALOG_PATH" in verdict.fix


def test_directories_on_one_disk_are_told_once(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    (room,) = [each for each in check_disk(chosen) if each.step == "disk.room"]
    for directory in (chosen.state_directory, chosen.log_directory, chosen.catalog_path):
        assert str(directory) in room.detail


MOUNTED = """
import json, sys
from pathlib import Path
from config.models import TradingNodeSettings
from config.preflight.disk import check_disk
settings = TradingNodeSettings(trader_id="PROBE-001", state_dir=Path(sys.argv[1]))
print(json.dumps([each.to_dict() for each in check_disk(settings)]))
"""


@pytest.mark.parametrize(
    "options, before, step, told",
    [
        ("size=64m", "true", "disk.room", ("TN613", "64 MiB of 64 MiB free", "make room, or")),
        (
            "size=64m",
            'head -c 64M /dev/zero > "$1/full"',
            "disk.state",
            ("TN604", "no space left on device", "make room on"),
        ),
        (
            "size=64m",
            'mount -o remount,ro "$1"',
            "disk.state",
            ("TN604", "read-only file system", "mount it for writing"),
        ),
    ],
    ids=["small", "full", "read-only"],
)
def test_a_real_file_system_without_room_is_told(
    options: str, before: str, step: str, told: tuple[str, str, str], tmp_path: Path
) -> None:
    """Mounted in a namespace of its own, for which the user need not be root where the system allows it."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-Urm", "true"], check=False).returncode:
        pytest.skip("this system lets nobody mount a file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    script = (
        f'mount -t tmpfs -o {options} none "$1" && mkdir -p "$1/state" && {{ {before}; }}; exec "$2" -c "$3" "$1/state"'
    )
    ran = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, "sh", str(folder), sys.executable, MOUNTED],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    (found,) = [each for each in json.loads(ran.stdout) if each["step"] == step]
    code, words, fix = told
    assert code == found["problem"]["code"]
    assert words in found["detail"]
    assert found["problem"]["fix"].startswith(fix)
