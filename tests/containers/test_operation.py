"""What an operator does with what runs: back up and restore, and the node as systemd and as the kubelet run it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from secrets import token_hex

import pytest

from tests.containers.stack import EXCHANGE_PORT, OF_THE_SHELL, ROOT, TEST_IMAGES, Stack, canaries, docker
from tests.test_deploy_files import UNIT, below, settings_of_the_pod, yaml

pytestmark = pytest.mark.timeout(600)
NODE, EXCHANGE = f"{TEST_IMAGES}:node", f"{TEST_IMAGES}:exchange"
LOOPBACK = {
    "BINANCE_BASE_URL_HTTP": f"http://127.0.0.1:{EXCHANGE_PORT}",
    "BINANCE_BASE_URL_WS": f"ws://127.0.0.1:{EXCHANGE_PORT}",
    "BINANCE_BASE_URL_WS_API": f"ws://127.0.0.1:{EXCHANGE_PORT}/ws-api",
    "BINANCE_BASE_URL_WS_STREAM": f"ws://127.0.0.1:{EXCHANGE_PORT}",
}


def until[T](look: Callable[[], T], why: Callable[[], str], limit: float = 60) -> T:
    """Wait until ``look()`` is true and return that; ``why()`` tells what was there instead."""
    deadline = time.monotonic() + limit
    while not (found := look()):
        assert time.monotonic() < deadline, why()
        time.sleep(0.2)
    return found


# -- backup and restore -------------------------------------------------------------------------------------------


def script(stack: Stack, name: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the project on a stack, as an operator does: by the variables of `docker compose`."""
    shell = {key: os.environ[key] for key in OF_THE_SHELL if key in os.environ}
    own = {
        "COMPOSE_FILE": ":".join(str(ROOT / file) for file in stack.files),
        "COMPOSE_PROJECT_NAME": stack.project,
        "COMPOSE_ENV_FILES": os.devnull,
    }
    command = [str(ROOT / "scripts" / name), *args]
    return subprocess.run(
        command, cwd=ROOT, env={**shell, **stack.environ, **own}, check=False, capture_output=True, text=True
    )


def lose_the_volumes(stack: Stack) -> None:
    """Remove the node and Redis with all that they kept; the exchange knows nothing of it."""
    stack.compose("rm", "--stop", "--force", "node", "redis")
    docker("volume", "rm", f"{stack.project}_testnet-redis", f"{stack.project}_testnet-state")


def test_a_backup_brings_the_books_and_the_halt_back(stack: Callable[..., Stack], tmp_path: Path) -> None:
    up, file = stack(), str(tmp_path / "backup.tar")
    up.up()
    up.until(up.holds)
    orders, positions, at_the_venue = up.stored(), up.stored("positions"), up.orders()
    docker("exec", up.container("node"), "tradingnode", "halt", "-m", "moving house")
    done = script(up, "backup", file)
    assert (0, "") == (done.returncode, done.stderr)
    assert 0o600 == Path(file).stat().st_mode & 0o777
    # The server goes on as if nothing had been: no file of the backup stays in its volume.
    assert "dump.rdb" not in docker("exec", up.container("redis"), "ls", "/data")

    lose_the_volumes(up)
    done = script(up, "restore", file)
    assert (0, "") == (done.returncode, done.stderr)
    up.compose("up", "-d")
    up.until("1 open order, 0 of them EXTERNAL")
    assert (orders, positions) == (up.stored(), up.stored("positions"))
    assert at_the_venue == up.orders()
    assert "moving house" in up.until(lambda: "restricted" in up.health() and up.health())

    # What is restored outlives a restart of Redis: it stands in the append-only file, not in a snapshot beside it.
    up.compose("restart", "redis")
    up.until(lambda: up.stored() == orders)


def test_a_restore_overwrites_nothing(stack: Callable[..., Stack], tmp_path: Path) -> None:
    up, file = stack(), tmp_path / "backup.tar"
    up.up()
    up.until(up.holds)
    assert 0 == script(up, "backup", str(file)).returncode
    again, running = script(up, "backup", str(file)), script(up, "restore", str(file))
    assert (1, 1) == (again.returncode, running.returncode)
    assert "is there already" in again.stderr
    assert "this stack runs" in running.stderr
    stored = up.stored()
    up.compose("stop", "node", "redis")
    full = script(up, "restore", str(file))
    assert 1 == full.returncode
    assert "the volume of the books is not empty" in full.stderr
    up.compose("up", "-d", "redis")
    up.until(lambda: up.stored() == stored)


def test_a_damaged_backup_is_refused_and_leaves_the_volume_empty(stack: Callable[..., Stack], tmp_path: Path) -> None:
    up, file, folder = stack(), tmp_path / "backup.tar", tmp_path / "damaged"
    up.up()
    up.until(up.holds)
    assert 0 == script(up, "backup", str(file)).returncode
    # As on another host: there is no container either, also none whose network the node shares.
    up.compose("down", "--volumes")
    folder.mkdir()
    subprocess.run(["tar", "-C", str(folder), "-xf", str(file)], check=True)
    snapshot = folder / "redis.rdb"
    snapshot.write_bytes(snapshot.read_bytes()[:-100])
    subprocess.run(["tar", "-C", str(folder), "-cf", f"{file}.damaged", "redis.rdb", "state.tar"], check=True)
    done = script(up, "restore", f"{file}.damaged")
    assert 1 == done.returncode
    assert "the books were not restored" in done.stderr
    assert 0 == script(up, "restore", str(file)).returncode


# -- as the kubelet runs it ---------------------------------------------------------------------------------------


class Containers:
    """Containers, volumes and a network with a prefix of their own, removed at the end."""

    def __init__(self) -> None:
        self.prefix = f"tradingnode-test-{token_hex(4)}"
        self.names: list[str] = []
        self.volumes: list[str] = []
        docker("network", "create", self.prefix)

    def name(self, which: str) -> str:
        return f"{self.prefix}-{which}"

    def run(self, which: str, *args: str) -> str:
        self.names.append(self.name(which))
        return docker("run", "-d", "--name", self.name(which), *args)

    def volume(self, which: str) -> str:
        self.volumes.append(self.name(which))
        return self.name(which)

    def exec(self, which: str, *args: str, given: str = "", check: bool = True) -> str:
        return docker("exec", "-i", self.name(which), *args, given=given, check=check)

    def code(self, which: str, *args: str) -> int:
        command = ["docker", "exec", self.name(which), *args]
        return subprocess.run(command, check=False, capture_output=True).returncode

    def logs(self, which: str) -> str:
        return docker("logs", "--tail", "40", self.name(which))

    def remove(self) -> None:
        for name in reversed(self.names):
            docker("rm", "--force", "--volumes", name, check=False)
        for volume in self.volumes:
            docker("volume", "rm", volume, check=False)
        docker("network", "rm", self.prefix, check=False)


@pytest.fixture
def containers(request: pytest.FixtureRequest) -> Iterator[Containers]:
    request.getfixturevalue("built")
    made = Containers()
    try:
        yield made
    finally:
        made.remove()


HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true")


def probe(file: str, name: str) -> list[str]:
    """Return the command of a probe as it stands in a file, in either of YAML's ways."""
    text = below(yaml(file), name)
    if flow := re.search(r"command: \[([^]]+)\]", text):
        return [word.strip(' "') for word in flow[1].split(",")]
    return [word.strip("'") for word in re.findall(r"^ +- (.+)$", text, re.MULTILINE)]


def test_the_pods_as_the_kubelet_runs_them(containers: Containers, tmp_path: Path) -> None:
    """What the files say of user, root file system, secrets, settings, probes and stop, by hand."""
    secrets = canaries(containers.prefix)
    mounted = tmp_path / "secret"
    (mounted / "..2026").mkdir(parents=True)
    (mounted / "..data").symlink_to("..2026")
    for name in ("redis_password", "binance_futures_testnet_api_key", "binance_futures_testnet_api_secret"):
        (mounted / "..2026" / name).write_text(secrets[name])
        (mounted / name).symlink_to(f"..data/{name}")
    for path in (tmp_path, mounted, mounted / "..2026"):
        path.chmod(0o755)

    redis = below(yaml("redis.yaml"), "command").partition("- |\n")[2]
    password = f"{mounted}/..2026/redis_password:/run/secrets/redis_password:ro"
    containers.run(
        "redis", *HARDENED, "--user", "999:1000", "--network", containers.prefix, "--network-alias", "tradingnode-redis",
        "--tmpfs", "/run/redis:uid=999,gid=1000,mode=0770", "-v", f"{containers.volume('data')}:/data", "-v", password,
        "redis:8-alpine", "sh", "-euc", textwrap.dedent(redis),
    )  # fmt: skip
    ready = probe("redis.yaml", "readinessProbe")
    until(lambda: containers.code("redis", *ready) == 0, lambda: containers.logs("redis"))

    # The sandbox of the pod: its network, and with shareProcessNamespace its process 1. Here the exchange keeps them.
    tests = f"{ROOT}/tests:/srv/tests:ro"
    containers.run("pod", "--network", containers.prefix, "--init", "-v", tests, EXCHANGE)
    shared = [f"container:{containers.name('pod')}"]
    given = [f"{name}={value}" for name, value in {**settings_of_the_pod(), **LOOPBACK}.items()]
    (limit,) = re.findall(r"limits: \{memory: (\d+)Gi\}", yaml("node.yaml"))
    containers.run(
        "node", *HARDENED, "--user", "10001:10001", "--network", *shared, "--pid", *shared, "--memory", f"{limit}g",
        "--tmpfs", "/tmp:size=64m", "-v", f"{containers.volume('state')}:/var/lib/tradingnode",
        "-v", f"{mounted}:/run/secrets/tradingnode:ro", *[word for pair in given for word in ("-e", pair)], NODE, "run",
    )  # fmt: skip

    def node(which: str) -> int:
        return containers.code("node", *probe("node.yaml", which))

    until(lambda: node("startupProbe") == 0, lambda: containers.logs("node"))
    until(lambda: node("readinessProbe") == 0, lambda: containers.logs("node"))
    assert 0 == node("livenessProbe")
    # One namespace of processes for all lives of the pod: the lease of a node that was killed is taken over without a wait.
    docker("kill", "--signal", "KILL", containers.name("node"))
    docker("start", containers.name("node"))
    until(lambda: node("readinessProbe") == 0, lambda: containers.logs("node"))
    assert "waiting up to" not in docker("logs", containers.name("node"))
    # A node that may not trade gets no traffic, and is not killed for it.
    containers.exec("node", "tradingnode", "halt", "-m", "looking into fills")
    until(lambda: node("readinessProbe") == 7, lambda: containers.logs("node"))
    assert (0, 0) == (node("livenessProbe"), node("startupProbe"))

    (grace,) = re.findall(r"^      terminationGracePeriodSeconds: (\d+)$", yaml("node.yaml"), re.MULTILINE)
    docker("stop", "--time", grace, containers.name("node"))
    assert "0" == docker("inspect", "-f", "{{.State.ExitCode}}", containers.name("node")).strip()
    told = docker("inspect", containers.name("node")) + docker("logs", containers.name("node"))
    assert not [secret for secret in secrets.values() if secret in told]


# -- as systemd runs it -------------------------------------------------------------------------------------------

HOST = f"""
FROM python:3.12-slim
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends systemd redis-server
COPY --from={NODE} /usr/local /usr/local
RUN mkdir -p /opt/tradingnode/bin && ln -s /usr/local/bin/tradingnode /opt/tradingnode/bin/tradingnode
"""
INSTANCE = "tradingnode@testnet"
SETTINGS = "NAUTILUS_PRESET=testnet\nNAUTILUS_TRADER_ID=TESTNET-001\nREDIS_HOST=127.0.0.1\n"
# Only the waits are shorter than in the unit.
QUICK = "[Service]\nRestartSec=1s\nWatchdogSec=4s\n"


@pytest.fixture
def host(containers: Containers) -> Containers:
    """A Debian with systemd as process 1, a Redis, the unit, its user and its keys; beside it the exchange."""
    docker("build", "--tag", "tradingnode-test-systemd", "-", given=HOST)
    containers.run(
        "host", "--privileged", "--cgroupns", "private", "--tmpfs", "/run", "--tmpfs", "/tmp", "-e", "container=docker",
        # Where the machine still has control groups of version 1, systemd has to be asked to take them.
        "tradingnode-test-systemd", "/lib/systemd/systemd", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
    )  # fmt: skip
    shared = f"container:{containers.name('host')}"
    containers.run("exchange", "--network", shared, "-v", f"{ROOT}/tests:/srv/tests:ro", EXCHANGE)
    until(lambda: "redis" in show(containers, "redis-server", "Id"), lambda: containers.logs("host"))
    # As on a machine that has booted by itself; without it no unit gets its credentials.
    containers.exec("host", "mount", "--make-rshared", "/")
    user = "useradd --system --user-group --no-create-home tradingnode-testnet"
    containers.exec("host", "sh", "-euc", f"{user}; mkdir -p /etc/tradingnode; install -d -m 700 /etc/credstore")
    settings = SETTINGS + "".join(f"{name}={value}\n" for name, value in LOOPBACK.items())
    keys = canaries(containers.prefix)
    files = {
        "/etc/systemd/system/tradingnode@.service": UNIT.read_text(),
        f"/etc/systemd/system/{INSTANCE}.service.d/quick.conf": QUICK,
        "/etc/tradingnode/testnet.env": settings,
        **{
            f"/etc/credstore/tradingnode-testnet.{name}": keys[name]
            for name in ("binance_futures_testnet_api_key", "binance_futures_testnet_api_secret")
        },
    }
    for path, text in files.items():
        containers.exec("host", "sh", "-euc", f"mkdir -p {Path(path).parent}; cat >{path}", given=text)
    containers.exec("host", "systemctl", "daemon-reload")
    return containers


def show(host: Containers, unit: str, field: str) -> str:
    return host.exec("host", "systemctl", "show", "--property", field, "--value", unit, check=False).strip()


def runs_anew(host: Containers, before: str) -> bool:
    """Whether the node runs, as another process than ``before``: asked at once, as it changes between two questions."""
    found = host.exec("host", "systemctl", "show", "--property", "SubState,MainPID", INSTANCE)
    fields = dict(line.split("=") for line in found.splitlines())
    return fields["SubState"] == "running" and fields["MainPID"] not in ("0", before)


def journal(host: Containers) -> str:
    return host.exec("host", "journalctl", "--no-pager", "--unit", INSTANCE)


def test_the_unit_under_systemd(host: Containers) -> None:
    started = host.code("host", "systemctl", "start", INSTANCE)
    assert 0 == started, journal(host)
    # `start` returns when the node has said READY=1, not when its process is there.
    assert "ready: BINANCE" == show(host, INSTANCE, "StatusText")

    pid = show(host, INSTANCE, "MainPID")
    keys = canaries(host.prefix).values()
    seen = host.exec("host", "sh", "-c", f"cat /proc/{pid}/environ /proc/{pid}/cmdline; systemctl show {INSTANCE}")
    assert "NAUTILUS_SECRETS_DIR" in seen
    assert not [key for key in keys if key in seen + journal(host)]

    for number in (signal.SIGKILL, signal.SIGSTOP):
        # The second one is found by the watchdog: the process is there, and says nothing.
        host.exec("host", "sh", "-c", f"kill -{number} {pid}")
        until(partial(runs_anew, host, pid), lambda: journal(host))
        pid = show(host, INSTANCE, "MainPID")
    assert "2" == show(host, INSTANCE, "NRestarts")
    assert "Watchdog timeout" in journal(host)

    host.exec("host", "systemctl", "stop", INSTANCE)
    assert ("inactive", "0") == (show(host, INSTANCE, "ActiveState"), show(host, INSTANCE, "ExecMainStatus"))


def test_a_wrong_setting_is_not_tried_again_by_systemd(host: Containers) -> None:
    host.exec("host", "sh", "-c", "echo BINANCE_ACCOUNT_TYPE=USDT_FUTURE >>/etc/tradingnode/testnet.env")
    assert 0 != host.code("host", "systemctl", "start", INSTANCE)
    # Longer than the unit waits before it tries again.
    time.sleep(3)
    assert ("failed", "4", "0") == (
        show(host, INSTANCE, "ActiveState"),
        show(host, INSTANCE, "ExecMainStatus"),
        show(host, INSTANCE, "NRestarts"),
    )
    assert "did you mean USDT_FUTURES?" in journal(host)


def test_redis_that_is_late_is_waited_for_by_systemd(host: Containers) -> None:
    host.exec("host", "systemctl", "stop", "redis-server")
    assert 0 != host.code("host", "systemctl", "start", INSTANCE)
    host.exec("host", "systemctl", "start", "redis-server")
    until(lambda: show(host, INSTANCE, "ActiveState") == "active", lambda: journal(host))
