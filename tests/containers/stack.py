"""A stack of containers, for tests and the demo: brought up from the compose files as they are, steered, looked at, removed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from secrets import token_hex
from types import TracebackType
from typing import Any, Self

from tests.key_generators import alphanumeric
from tests.venue.handle import MarketName, Rows, Venue

ROOT = Path(__file__).parents[2]
OFFLINE = ("docker-compose.testnet.yml", "docker-compose.offline.yml")
NO_ENGINE = (
    "no Docker engine answers here: install Docker Engine 25 or newer with Compose 2.24.4 or newer, and start it"
)
# What the docker command needs; nothing else of the shell may reach a compose file.
OF_THE_SHELL = (
    "PATH",
    "HOME",
    "TMPDIR",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "BUILDX_CONFIG",
    "XDG_RUNTIME_DIR",
)
COMES_WITHIN_SECS = 60.0
POLL_SECS = 0.1
EXCHANGE_PORT = 9400
# What the example strategy does, and with which instrument.
HOLD = {"instrument_id": "BTCUSDT-PERP.BINANCE", "quantity": "0.010"}
RUN_HOLD = "run --strategy /strategies/hold.py:Hold --strategy-config /strategies/hold.json"


# Of the tests alone: what runs on this host from the usual tags is not touched.
TEST_IMAGES = "tradingnode-test"


class CommandError(RuntimeError):
    """A docker command that failed, with what it said."""


def docker(*args: str, given: str = "", check: bool = True, environ: Mapping[str, str] | None = None) -> str:
    """Run ``docker ARGS`` and return its output, both streams; raise `CommandError` with it if that fails."""
    shell = {name: os.environ[name] for name in OF_THE_SHELL if name in os.environ}
    done = subprocess.run(
        ["docker", *args],
        cwd=ROOT,
        env={**shell, **(environ or {})},
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if check and done.returncode:
        raise CommandError(f"`docker {' '.join(args)}` ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def engine() -> str | None:
    """Return which engine and which Compose answer, None if there is none."""
    if shutil.which("docker") is None:
        return None
    try:
        server = docker("version", "--format", "{{.Server.Version}}").strip()
        return f"Docker Engine {server}, Compose {docker('compose', 'version', '--short').strip()}"
    except CommandError:
        return None


def canaries(seed: str) -> dict[str, str]:
    """Return a secret for each file of a testnet stack, by the file's name; keys have the exchanges' shapes."""
    random = Random(seed)
    return {
        "redis_password": f"canary-{alphanumeric(random, 32)}",
        "binance_futures_testnet_api_key": alphanumeric(random, 64),
        "binance_futures_testnet_api_secret": alphanumeric(random, 64),
        "bybit_testnet_api_key": alphanumeric(random, 18),
        "bybit_testnet_api_secret": alphanumeric(random, 36),
    }


class Stack:
    """A project of its own; a context manager that leaves no container, network or volume behind.

    Parameters
    ----------
    folder : Path
        Empty: the secrets and the strategies are written there.
    files : sequence of str
        Compose files, later ones win; those of this project relative to it.
    project : str
        Name of the compose project; by default a new one.
    environ : mapping, optional
        What the compose files are given, as from a shell. No `.env` is read.
    secrets : mapping, optional
        The secret files by name.
    venue : Venue, optional
        The exchange, if it is a process of this host; otherwise it is the stack's own.
    images : str
        Name of its images.

    """

    def __init__(
        self,
        folder: Path,
        files: Sequence[str | Path] = OFFLINE,
        *,
        project: str = "",
        environ: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        venue: Venue | None = None,
        images: str = TEST_IMAGES,
    ) -> None:
        self.project = project or f"tradingnode-test-{token_hex(4)}"
        self.files = list(files)
        self.secrets = dict(canaries(self.project) if secrets is None else secrets)
        self.folder, self.venue = folder, venue
        # Readable for the containers' users; the folder above is the caller's own.
        for name, mode in (("secrets", 0o755), ("strategies", 0o755)):
            (folder / name).mkdir()
            (folder / name).chmod(mode)
        for name, text in self.secrets.items():
            self.secret(name, text)
        self.write("hold.py", (ROOT / "examples/strategies/hold.py").read_text())
        self.write("hold.json", json.dumps(HOLD))
        self.environ = {
            "OFFLINE_SECRETS": str(folder / "secrets"),
            "OFFLINE_STRATEGIES": str(folder / "strategies"),
            "NODE_COMMAND": RUN_HOLD,
            "NODE_IMAGE": f"{images}:node",
            "EXCHANGE_IMAGE": f"{images}:exchange",
            **(environ or {}),
        }

    def secret(self, name: str, text: str) -> None:
        """Write a secret file."""
        path = self.folder / "secrets" / name
        path.write_text(text)
        path.chmod(0o644)

    def write(self, name: str, text: str) -> None:
        """Write a file of the folder that is mounted at ``/strategies``."""
        path = self.folder / "strategies" / name
        path.write_text(text)
        path.chmod(0o644)

    # -- steering -----------------------------------------------------------------------------------

    def compose(self, *args: str, given: str = "", check: bool = True) -> str:
        """Run ``docker compose ARGS`` on this stack and return its output."""
        files = [part for file in self.files for part in ("-f", str(file))]
        command = ("compose", "--env-file", os.devnull, "-p", self.project, *files, *args)
        return docker(*command, given=given, check=check, environ=self.environ)

    def up(self, *services: str) -> str:
        """Bring it up and return when everything is healthy: the node is ready then."""
        return self.compose("up", "-d", "--wait", "--quiet-pull", *services)

    def down(self) -> None:
        """Remove containers, networks and volumes."""
        # Nobody waits for a node that is removed with all that it kept.
        self.compose("kill", check=False)
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")

    def forget_images(self) -> None:
        """Remove its images; what they were built from stays in the builder's cache."""
        docker("image", "rm", self.environ["NODE_IMAGE"], self.environ["EXCHANGE_IMAGE"], check=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    # -- looking ------------------------------------------------------------------------------------

    def container(self, service: str) -> str:
        """Return the name of a service's container."""
        return f"{self.project}-{service}-1"

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what the engine knows of a service's container."""
        found: list[dict[str, Any]] = json.loads(docker("inspect", self.container(service)))
        return found[0]

    def state(self, service: str) -> str:
        """Return ``running``, ``exited``, ``paused``, ``restarting`` ..."""
        return str(self.inspect(service)["State"]["Status"])

    def exit_code(self, service: str) -> int:
        """Return the exit code of the last run."""
        return int(self.inspect(service)["State"]["ExitCode"])

    def logs(self, service: str) -> str:
        """Return all that a service has said."""
        return docker("logs", self.container(service))

    def health(self) -> str:
        """Return what `tradingnode health` says in the node's container."""
        return docker("exec", self.container("node"), "tradingnode", "health", check=False)

    def until(self, what: str | Callable[[], Any], timeout: float = COMES_WITHIN_SECS) -> Any:
        """Wait until the node has said ``what``, or ``what()`` is true, and return that.

        Raises
        ------
        AssertionError
            If that does not come in time; with the node's log.

        """
        deadline = time.monotonic() + timeout
        while True:
            found = what in self.logs("node") if isinstance(what, str) else what()
            if found:
                return found
            if time.monotonic() > deadline:
                tail = "\n".join(self.logs("node").splitlines()[-40:])
                raise AssertionError(f"waited {timeout:g} s for {what!r}; the node is {self.state('node')}:\n{tail}")
            time.sleep(POLL_SECS)

    def redis(self, *commands: str) -> str:
        """Run commands as `admin` and return the answers."""
        script = "".join(f"{command}\n" for command in commands)
        answer = docker("exec", "-i", self.container("redis"), "sh", "/run/redis/admin", given=script)
        return answer.partition("\n")[2].strip()

    def stored(self, kind: str = "orders") -> set[str]:
        """Return the ids of the orders, or positions, that the node keeps in Redis."""
        answer = self.redis(f"KEYS trader-*:{kind}:*")
        return {line.rpartition(f":{kind}:")[2] for line in answer.splitlines() if line}

    def exchange(self, what: str, *args: Any) -> Any:
        """Return what a method of the exchange's handle returns, such as ``orders``; one in a container from within."""
        if self.venue is not None:
            return getattr(self.venue, what)(*args)
        script = (
            "import json, sys; from tests.venue.handle import Venue; what, *args = json.load(sys.stdin); "
            f"print(json.dumps(getattr(Venue({EXCHANGE_PORT}), what)(*args)))"
        )
        answer = docker(
            "exec", "-i", self.container("exchange"), "python", "-c", script, given=json.dumps([what, *args])
        )
        return json.loads(answer)

    def orders(self, market: MarketName = "binance_futures") -> Rows:
        """Return all orders that the exchange has."""
        found: Rows = self.exchange("orders", market)
        return found

    def positions(self, market: MarketName = "binance_futures") -> Rows:
        """Return the positions that are open at the exchange."""
        found: Rows = self.exchange("positions", market)
        return found

    def holds(self) -> bool:
        """Whether the example strategy has done what it does, and the node's books have both orders."""
        statuses = sorted(str(order["status"]) for order in self.orders())
        return statuses == ["FILLED", "NEW"] and len(self.stored()) == len(statuses)


def with_secrets(folder: Path) -> Path:
    """Return an overlay beside ``folder`` for a stack whose secrets have a fixed place: those of the stack there instead."""
    overlay = {
        "services": {
            "node": {"volumes": [f"{folder}/secrets:/run/secrets:ro", f"{folder}/strategies:/strategies:ro"]},
        },
        "secrets": {"redis_password": {"file": f"{folder}/secrets/redis_password"}},
    }
    path = folder.with_suffix(".json")
    path.write_text(json.dumps(overlay))
    return path
