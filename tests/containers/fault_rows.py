"""The fault matrix of the containers: what goes wrong, what is said of it, and how everything is as it was afterwards."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tests.containers.stack import COMES_WITHIN_SECS, Stack, docker

type Step = Callable[[Stack], object]

RESTART_ENGINE = os.environ.get("ENGINE_RESTART", "")
# Beside the strategy that holds, one that takes all the memory that there is, or leaves, when it is told to.
HUNGRY = '''
"""Hold, and on demand take memory without end, or ask for the end."""

from datetime import timedelta
from pathlib import Path

from hold import Hold, HoldConfig

BLOCK = 50_000_000


class HungryConfig(HoldConfig, frozen=True):
    pass


class Hungry(Hold):
    def on_start(self):
        super().on_start()
        self.eaten = []
        self.clock.set_timer("eat", timedelta(milliseconds=50), callback=self.eat)

    def eat(self, event):
        if Path("/tmp/eat").exists():
            self.eaten.append(bytes(BLOCK).replace(b"\\0", b"x"))
        if Path("/tmp/leave").exists():
            self.shutdown_system("enough for today")
'''


class Row(NamedTuple):
    """One row: a stack that holds an order and a position, what happens to it, and then it is ready and holds the same.

    Parameters
    ----------
    name : str
        What goes wrong.
    steps : tuple of Step
        How, in order, and what an operator does about it, if anything.
    told : tuple of str
        What the node has said at the end.
    restarts : int
        How often the engine has started the node again by itself.
    overlay : mapping
        What is added to the stack.
    environ : mapping
        What the compose files are given.

    """

    name: str
    steps: tuple[Step, ...]
    told: tuple[str, ...] = ()
    restarts: int = 0
    overlay: Mapping[str, Any] = {}
    environ: Mapping[str, str] = {}


# -- steps ---------------------------------------------------------------------------------------------------------


def compose(*args: str) -> Step:
    """Run a command of compose."""
    return lambda stack: stack.compose(*args)


def up(stack: Stack) -> None:
    """Bring everything up, as the documentation says, and wait until it is healthy."""
    stack.up()


def says(text: str, timeout: float = COMES_WITHIN_SECS) -> Step:
    """Wait until the node has said it."""
    return lambda stack: stack.until(text, timeout)


def ready_again(number: int, timeout: float = COMES_WITHIN_SECS) -> Step:
    """Wait until the node has become ready for the ``number``-th time."""
    return lambda stack: stack.until(lambda: stack.logs("node").count("\nready ") == number, timeout)


def unhealthy(reason: str) -> Step:
    """Expect that `health` says no, and why."""

    def step(stack: Stack) -> None:
        stack.until(lambda: reason in stack.health())

    return step


def ended(code: int) -> Step:
    """Wait until the node has ended with ``code``, before or after the engine starts it again."""
    return lambda stack: stack.until(lambda: f"exit={code}" in deaths(stack))


def deaths(stack: Stack) -> str:
    """Return what the engine has noted of the node's ends so far."""
    return docker(
        *("events", "--since", stack.inspect("node")["Created"], "--until", f"{time.time():.0f}"),
        *("--filter", f"container={stack.container('node')}", "--filter", "event=die", "--filter", "event=oom"),
        *("--format", "{{.Action}} exit={{.Actor.Attributes.exitCode}}"),
    )


def running(service: str) -> Step:
    """Wait until a service is healthy."""
    return lambda stack: stack.until(lambda: stack.inspect(service)["State"]["Health"]["Status"] == "healthy")


def asleep(seconds: float) -> Step:
    """Let time pass."""
    return lambda _stack: time.sleep(seconds)


def disk_filled(stack: Stack) -> None:
    """Fill the disk that Redis writes to, to the last byte."""
    docker("exec", stack.container("redis"), "sh", "-c", "dd if=/dev/zero of=/data/fill bs=4k", check=False)
    # A block that the log was given before is used up first.
    stack.until(lambda: "MISCONF" in stack.redis("SET filler 1", f"SET filler {'x' * 100_000}"))


def disk_freed(stack: Stack) -> None:
    """Make room again."""
    docker("exec", stack.container("redis"), "rm", "/data/fill")
    stack.until(lambda: stack.redis("SET filler 1", "DEL filler").startswith("OK"))


def killed_within(stack: Stack) -> None:
    """Kill the node's process as the kernel would, unseen by the engine until it has gone."""
    # The first process is the init, which the kernel protects from its own container.
    script = "for each in /proc/[0-9]*; do grep -q '^PPid:.1$' $each/status && kill -9 ${each#/proc/} && exit; done"
    docker("exec", stack.container("node"), "sh", "-c", script.replace(".1$", "[[:space:]]1$"))


def fed(stack: Stack) -> None:
    """Have the strategy take all memory."""
    docker("exec", stack.container("node"), "touch", "/tmp/eat")
    stack.until(lambda: "oom" in deaths(stack) or "exit=137" in deaths(stack))


def left(stack: Stack) -> None:
    """Have the strategy ask for the end."""
    docker("exec", stack.container("node"), "touch", "/tmp/leave")


def hand(*command: str) -> Step:
    """Give a command to the running node."""
    return lambda stack: docker("exec", stack.container("node"), "tradingnode", *command)


def setting(**environ: str) -> Step:
    """Change what the compose files are given from now on."""
    return lambda stack: stack.environ.update(environ)


def unset(name: str) -> Step:
    """Take it back."""
    return lambda stack: stack.environ.pop(name)


def reason_comes_last(stack: Stack) -> None:
    """Expect that the log ends with the reason and the exit code, between one start and the next."""

    def told() -> bool:
        last = stack.logs("node").splitlines()[-1]
        return last.startswith("failed (BINANCE_ACCOUNT_TYPE is 'USDT_FUTURE'") and "exit 4" in last

    stack.until(told)


def engine_restarted(stack: Stack) -> None:
    """Restart the engine, and wait until it answers."""
    subprocess.run(shlex.split(RESTART_ENGINE), check=True, timeout=120)
    stack.until(lambda: docker("version", check=False).count("Version:") > 1)


# -- rows ----------------------------------------------------------------------------------------------------------


SMALL_DISK = {
    "volumes": {
        "testnet-redis": {
            "driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": "size=4m,uid=999,gid=1000,mode=0700"}
        }
    }
}
LITTLE_MEMORY = {"services": {"node": {"mem_limit": "640m", "memswap_limit": "640m"}}}
EATS = {"NODE_COMMAND": "run --strategy /strategies/hungry.py:Hungry --strategy-config /strategies/hold.json"}
LOST = "restricted (redis): "
REDIS_7 = {"services": {"redis": {"image": "redis:7-alpine"}}}

ROWS: tuple[Row, ...] = (
    # -- Redis
    Row(
        "redis: killed, and the node restarted by hand",
        (
            compose("kill", "redis"),
            says(LOST),
            unhealthy("redis"),
            compose("start", "redis"),
            running("redis"),
            asleep(2),
            unhealthy("redis"),
            compose("restart", "node"),
            ready_again(2),
        ),
        ("restart the node: it reconciles from the venue",),
    ),
    Row(
        "redis: killed, and the node restarts itself",
        (compose("kill", "redis"), ended(9), compose("start", "redis"), ready_again(2, 120)),
        ("NAUTILUS_ON_REDIS_LOSS=halt would go on without new risk",),
        restarts=1,
        environ={"NAUTILUS_ON_REDIS_LOSS": "stop"},
    ),
    Row(
        "redis: restarted",
        (compose("restart", "redis"), says(LOST), running("redis"), compose("restart", "node"), ready_again(2)),
        (LOST,),
    ),
    Row(
        "redis: frozen for 4 s",
        (compose("pause", "redis"), says(LOST), asleep(1), compose("unpause", "redis"), says("lifted (redis)")),
        ("has not answered for",),
    ),
    Row(
        "redis: disk full",
        (
            disk_filled,
            says("refuses to write"),
            unhealthy("redis"),
            disk_freed,
            compose("restart", "node"),
            ready_again(2),
        ),
        (LOST,),
        overlay=SMALL_DISK,
    ),
    Row("redis: 7 in place of 8", (compose("restart", "node"), ready_again(2)), overlay=REDIS_7),
    # -- the node
    Row("node: docker kill, then up", (compose("kill", "node"), ended(137), up, ready_again(2))),
    Row("node: crashed", (killed_within, ended(137), ready_again(2)), restarts=1),
    Row("node: out of memory", (fed, ended(137), ready_again(2, 120)), restarts=1, overlay=LITTLE_MEMORY, environ=EATS),
    Row(
        "node: ended by its strategy, and resumed by hand",
        (left, ended(0), ready_again(2), unhealthy("Hungry-000 asked for the end: enough for today"), hand("resume")),
        ("halted by Hungry-000: the next start takes no new risk",),
        restarts=1,
        environ=EATS,
    ),
    Row("node: stopped, then up", (compose("stop", "node"), ended(0), up, ready_again(2)), ("stopped ",)),
    Row("node: down, then up", (compose("rm", "--stop", "--force", "node"), up, ready_again(1))),
    Row(
        "node: a wrong setting, then the right one",
        (
            setting(BINANCE_ACCOUNT_TYPE="USDT_FUTURE"),
            compose("up", "-d"),
            ended(4),
            reason_comes_last,
            unset("BINANCE_ACCOUNT_TYPE"),
            up,
            ready_again(1),
        ),
    ),
)


def hungry(stack: Stack) -> None:
    """Give the stack the strategy that takes memory."""
    stack.write("hungry.py", HUNGRY)


def written(overlay: Mapping[str, Any]) -> str:
    """Return an overlay as a compose file; JSON is YAML."""
    return json.dumps(overlay)
