"""``check``, ``show`` and ``explain`` only read: no socket, no file written, and nothing heavy imported to say what is wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.key_generators import binance_ed25519_pair, binance_hmac_pair, bybit_hmac_pair

ROOT = Path(__file__).parents[1]
# Runs the command; on the pipe whose number it is given it reports what Python did meanwhile and which modules there are. A
# socket, a lookup of a host or another process is refused on the spot.
WATCHED = """
import json, os, sys
pipe = int(sys.argv.pop(1))
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
REFUSED = ("socket.", "subprocess.", "os.fork", "os.exec", "os.posix_spawn", "os.system")
TOLD = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
        "os.utime", "os.setxattr", "shutil.", "tempfile.")
done = []
def watch(event, args):
    if event.startswith(REFUSED) or event.startswith(TOLD) or (event == "open" and args[2] & WRITES):
        done.append(f"{event} {args[0] if args else ''}")
    if event.startswith(REFUSED):
        raise PermissionError(f"{event} is refused here")
sys.addaudithook(watch)
sys.argv[0] = "tradingnode"
try:
    from config.cli import main
    main()
finally:
    report = {"done": list(done), "modules": sorted({name.partition(".")[0] for name in sys.modules})}
    os.write(pipe, json.dumps(report).encode())
"""
# Of the system calls, those that open a socket or change a file; `?` is for machines that have no such call.
CALLS = (
    "?socket ?connect ?bind ?sendto ?sendmsg ?open ?openat ?creat ?mkdir ?mkdirat ?rename ?renameat ?renameat2 ?unlink"
)
CALLS += (
    " ?unlinkat ?rmdir ?link ?linkat ?symlink ?symlinkat ?truncate ?ftruncate ?chmod ?fchmod ?fchmodat ?mknod ?mknodat"
)
HARMLESS = re.compile(r"open(?:at)?\(.*(?:O_RDONLY|\"/dev/null\")")

BINANCE, ED25519, BYBIT = (
    make(Random(make.__name__)) for make in (binance_hmac_pair, binance_ed25519_pair, bybit_hmac_pair)
)
GOOD: Mapping[str, Mapping[str, str]] = {
    "production": {
        "NAUTILUS_ENVIRONMENT": "LIVE",
        "NAUTILUS_VENUES": "BINANCE,BYBIT",
        "BINANCE_API_KEY": ED25519[0],
        "BINANCE_API_SECRET": ED25519[1],
        "BYBIT_API_KEY": BYBIT[0],
        "BYBIT_API_SECRET": BYBIT[1],
        "REDIS_HOST": "redis.internal",
        "REDIS_PASSWORD": "F3" * 16,
        "REDIS_SSL": "true",
        "NAUTILUS_CATALOG_PATH": "catalog",
    },
    "testnet": {
        "BINANCE_FUTURES_TESTNET_API_KEY": BINANCE[0],
        "BINANCE_FUTURES_TESTNET_API_SECRET": BINANCE[1],
        "REDIS_HOST": "127.0.0.1",
    },
    "sandbox": {"NAUTILUS_VENUES": "BINANCE,BYBIT", "NAUTILUS_STATE_DIR": "not/there/yet"},
}
# What is wrong, beside a good environment, and the exit code that it gives.
BAD: Mapping[str, tuple[Mapping[str, str], int]] = {
    "settings": ({"REDIS_PORT": "0", "REDIS_HOST": "redis.internal"}, 4),
    "credentials": ({"BINANCE_FUTURES_TESTNET_API_SECRET": ""}, 5),
    "safety": ({"NAUTILUS_ENVIRONMENT": "LIVE"}, 8),
    "usage": ({"NAUTILUS_PRESET": "live"}, 2),
}


@dataclass(frozen=True)
class Watched:
    """How a command ended, what it did to files and sockets, and what it had imported."""

    code: int
    stdout: str
    stderr: str
    done: list[str]
    modules: set[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that is working directory, home and place of temporary files, with a ``.env`` and a state directory."""
    for name in ("state", "tmp", "secrets"):
        (tmp_path / name).mkdir()
    (tmp_path / "state" / "settings.json").write_text("{}")
    (tmp_path / ".env").write_text("NAUTILUS_TRADER_ID=TRADER-001\nNAUTILUS_LOG_FILE_FORMAT=json\n")
    (tmp_path / ".env").chmod(0o600)
    return tmp_path


def environ_of(folder: Path, *given: Mapping[str, str]) -> dict[str, str]:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NAUTILUS_STATE_DIR": "state",
        "NAUTILUS_SECRETS_DIR": "secrets",
    }
    for more in given:
        environ |= more
    return environ


def watched(folder: Path, arguments: list[str], environ: Mapping[str, str]) -> Watched:
    """Run ``tradingnode ARGUMENTS`` and report what it did."""
    end, pipe = os.pipe()
    command = [sys.executable, "-c", WATCHED, str(pipe), *arguments]
    ran = subprocess.run(
        command, env=environ, cwd=folder, pass_fds=(pipe,), capture_output=True, text=True, timeout=60, check=False
    )
    os.close(pipe)
    with os.fdopen(end, "rb") as file:
        report = json.load(file)
    return Watched(ran.returncode, ran.stdout, ran.stderr, report["done"], set(report["modules"]))


def strace() -> str | None:
    """Return the path of strace, None where there is none or, as in some containers, it may not trace."""
    found = shutil.which("strace")
    if found is None:
        return None
    tried = subprocess.run([found, "-o", "/dev/null", "true"], capture_output=True, timeout=60, check=False)
    return found if tried.returncode == 0 else None


def traced(folder: Path, arguments: list[str], environ: Mapping[str, str]) -> list[str]:
    """Return the system calls of ``python -m config ARGUMENTS`` that are not harmless; nothing where there is no strace."""
    if (tracer := strace()) is None:
        return []
    options = ["-f", "-qq", "-e", f"trace={','.join(CALLS.split())}", "-e", "signal=none", "-o", "/dev/stdout"]
    command = [tracer, *options, sys.executable, "-m", "config", *arguments]
    ran = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, timeout=110, check=False)
    calls = [line for line in ran.stdout.splitlines() if re.match(r"[0-9]+ +\w+\(", line)]
    assert any('"secrets"' in call for call in calls), "strace saw nothing of what it should have seen"
    return [call for call in calls if not HARMLESS.search(call)]


def tree(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Return every path below ``folder`` with mode, size, time of change and content."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (status.st_mode, status.st_size, status.st_mtime_ns, content)
    return found


@pytest.mark.parametrize("preset", GOOD)
def test_check_of_a_good_environment_opens_no_socket_and_writes_no_file(preset: str, folder: Path) -> None:
    """Nautilus is imported and the configuration built, all of that without a socket: each would be refused."""
    before = tree(folder)
    found = watched(folder, ["check", "-p", preset], environ_of(folder, GOOD[preset]))
    assert (0, []) == (found.code, found.done), found.stderr
    assert found.stdout.startswith(f"ok: TRADER-001, preset {preset}: ")
    assert "nautilus_trader" in found.modules
    assert before == tree(folder)


@pytest.mark.parametrize("what", BAD)
def test_check_of_a_bad_environment_opens_no_socket_writes_no_file_and_imports_nothing_heavy(
    what: str, folder: Path
) -> None:
    more, code = BAD[what]
    before = tree(folder)
    found = watched(
        folder,
        ["check", "-p", "testnet"][: 1 if "NAUTILUS_PRESET" in more else 3],
        environ_of(folder, GOOD["testnet"], more),
    )
    assert (code, "", []) == (found.code, found.stdout, found.done), found.stderr
    assert "\nerror: " in f"\n{found.stderr}"
    assert set() == found.modules & {"nautilus_trader", "redis", "rich", "msgspec"}
    assert "pydantic" in found.modules
    assert before == tree(folder)


@pytest.mark.parametrize("arguments", [["check", "-p", "production"], ["check", "-p", "sandbox", "--strict"], ["show"]])
def test_the_system_is_asked_for_no_socket_and_no_change_of_a_file(arguments: list[str], folder: Path) -> None:
    """What Python's own hooks cannot see, such as what Rust does, strace does; without it, this proves the less."""
    environ = environ_of(folder, GOOD["production"])
    found = watched(folder, arguments, environ)
    assert [] == found.done
    assert [] == traced(folder, arguments, environ)


@pytest.mark.parametrize("bad", [{}, {"REDIS_PORT": "0"}], ids=["good", "bad"])
@pytest.mark.parametrize(
    "arguments", [["check"], ["check", "--json"], ["show"], ["show", "--json"], ["explain", "REDIS_PORT"]]
)
def test_commands_that_only_read_leave_every_file_as_it_was(
    arguments: list[str], bad: Mapping[str, str], folder: Path
) -> None:
    """Working directory, home, place of temporary files, secrets and state directory: none is written, nothing is made."""
    before = tree(folder)
    found = watched(folder, [*arguments, "-p", "testnet"], environ_of(folder, GOOD["testnet"], bad))
    assert (4 if bad and "explain" not in arguments else 0, []) == (found.code, found.done), found.stderr
    assert found.stdout or found.stderr
    assert before == tree(folder)


def test_the_watch_sees_what_it_is_for(folder: Path) -> None:
    """``check --fix`` writes, and a socket is refused: otherwise the tests above would prove nothing."""
    arguments, environ = ["check", "--fix", "-p", "testnet"], environ_of(folder, GOOD["testnet"])
    (folder / ".env.too").write_bytes((folder / ".env").read_bytes())
    found = watched(folder, arguments, environ)
    assert 0 == found.code, found.stderr
    assert any(done.startswith("open ") for done in found.done)
    calls = traced(folder, [*arguments, "--env-file", ".env.too"], environ)
    assert strace() is None or any("O_CREAT" in call for call in calls)
    refused = subprocess.run(
        [sys.executable, "-c", f"{WATCHED.partition('sys.argv[0]')[0]}\nimport socket\nsocket.socket()", "1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "PermissionError: socket.__new__ is refused here" in refused.stderr
