"""Processes forked from a server that has imported nautilus_trader already: an eighth of the cost of a fresh one."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PRELOADED = [
    "nautilus_trader.live.node",
    "nautilus_trader.adapters.binance",
    "nautilus_trader.adapters.bybit",
    "nautilus_trader.adapters.sandbox.factory",
    "nautilus_trader.persistence.writer",
    "certifi",
    "prometheus_client",
    "pydantic_settings",
    "redis",
    "rich.console",
    "rich.table",
]
# What a test process may take from the environment; everything else would make tests depend on the machine.
KEPT = re.compile(r"^(PATH|LANG|LC_\w+|TMPDIR|SYSTEMROOT|VIRTUAL_ENV|COVERAGE_\w+|COV_\w+)$")

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(PRELOADED)


def _enter(environ: Mapping[str, str], folder: Path, stdout: Path, stderr: Path) -> None:
    """Make this process look as if it were started in ``folder`` with ``environ`` and its output redirected."""
    for name in [name for name in os.environ if not KEPT.match(name)]:
        del os.environ[name]
    os.environ.update(environ)
    os.chdir(folder)
    for path, number in ((stdout, 1), (stderr, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, number)
        os.close(file)
    # A terminal's stdin or stdout of the test run must not colour what is tested.
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path(__file__).parents[1]))


def _tradingnode(args: Sequence[str], environ: Mapping[str, str], folder: Path, stdout: Path, stderr: Path) -> None:
    _enter(environ, folder, stdout, stderr)
    # A test run under nohup hands on a SIGHUP that is ignored, one in the background of a script a SIGINT.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from config.cli import main

    sys.argv = ["tradingnode", *args]
    main()


def _call(function: Callable[..., Any], args: tuple[Any, ...], queue: Any) -> None:
    try:
        queue.put((True, function(*args)))
    except BaseException as error:
        queue.put((False, f"{type(error).__name__}: {error}"))


def run_forked(function: Callable[..., Any], *args: Any, timeout: float = 60) -> Any:
    """Return what ``function(*args)`` returns in a process of its own; Nautilus sets up its logging once a process.

    Raises
    ------
    RuntimeError
        With the text of what the function raised, or if the process ended or took too long.

    """
    queue = _context.SimpleQueue()
    process = _context.Process(target=_call, args=(function, args, queue))
    process.start()
    deadline = time.monotonic() + timeout
    while queue.empty() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    if queue.empty():
        process.kill()
        process.join()
        raise RuntimeError(f"the process gave no answer within {timeout:g} s (exit code {process.exitcode})")
    fine, answer = queue.get()
    process.join(10)
    if not fine:
        raise RuntimeError(answer)
    return answer


class TradingNodeProcess:
    """``tradingnode ARGS`` in a process of its own; a context manager that leaves nothing running.

    Parameters
    ----------
    args : sequence of str
        Such as ``["run", "-p", "testnet"]``.
    environ : mapping
        Its environment: nothing else of this process' is passed on.
    folder : Path
        Its working directory and home; output goes to ``stdout`` and ``stderr`` there.

    """

    def __init__(self, args: Sequence[str], environ: Mapping[str, str], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._stdout, self._stderr = folder / "stdout", folder / "stderr"
        for path in (self._stdout, self._stderr):
            path.unlink(missing_ok=True)
        given = {"HOME": str(folder), **environ}
        self._process = _context.Process(target=_tradingnode, args=(args, given, folder, self._stdout, self._stderr))
        self.started = time.monotonic()
        self._process.start()

    @property
    def stdout(self) -> str:
        """What it wrote to stdout so far."""
        return self._stdout.read_text() if self._stdout.exists() else ""

    @property
    def stderr(self) -> str:
        """What it wrote to stderr so far."""
        return self._stderr.read_text() if self._stderr.exists() else ""

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    def wait_for(self, what: str | Callable[[], Any], timeout: float = 30) -> Any:
        """Wait until stderr holds ``what``, or ``what()`` is true, and return that.

        Raises
        ------
        AssertionError
            If that does not come in time, or the process ends before; with its output.

        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found = what in self.stderr if isinstance(what, str) else what()
            if found:
                return found
            if not self._process.is_alive():
                break
            time.sleep(0.01)
        state = "is running" if self._process.is_alive() else f"ended with {self._process.exitcode}"
        raise AssertionError(f"waited for {what!r}; the process {state}\n{self.stderr[-4000:]}\n{self.stdout[-4000:]}")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self, timeout: float = 60) -> int:
        """Return its exit code; negative for a signal that ended it."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self.kill()
            raise AssertionError(f"the process did not end within {timeout:g} s\n{self.stderr[-4000:]}")
        return self._process.exitcode

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = 30) -> int:
        """Send it a signal and return its exit code."""
        self.send(number)
        return self.wait(timeout)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._process.kill()
        self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.is_alive():
            self.kill()
