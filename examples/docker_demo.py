"""The whole way in containers: build, start, ready, an order, a crash that costs nothing, a clean stop, and nothing left behind.

The offline stack as its compose files describe it: Redis, an exchange and a node, without a key, an account or the internet.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from types import FrameType
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

from config.signals import hear
from tests.containers.stack import NO_ENGINE, CommandError, Stack, engine

PROJECT = "tradingnode-demo"
LEFT = 9


class StoppedError(Exception):
    """A signal asked for the end."""


def main() -> int:
    """Run the demo and return its exit code: 0 when everything happened, 1 when not, 2 without an engine, 130 after Ctrl-C."""
    console = Console(highlight=False)
    found = engine()
    if found is None:
        console.print(NO_ENGINE, style="red", soft_wrap=True)
        return 2
    hear(_stop)
    console.print(f"[bold]the offline stack[/]: Redis, an exchange on loopback, a testnet node\n[dim]{found}[/]\n")
    began, code = time.monotonic(), 1
    with tempfile.TemporaryDirectory(prefix="tradingnode-demo-") as folder:
        name = f"{PROJECT}-{token_hex(3)}"
        stack = Stack(Path(folder), project=name, images=name)
        try:
            code = _play(stack, console)
        except StoppedError:
            console.print("[yellow]stopped[/]: removing what was made")
            code = 130
        except (CommandError, AssertionError) as error:
            console.print(str(error), style="red", soft_wrap=True, markup=False)
        finally:
            # A second Ctrl-C must not leave half of it behind.
            hear(signal.SIG_IGN)
            with _step(console, "clean up") as say:
                stack.down()
                stack.forget_images()
                say("nothing is left but the builder's cache")
    verdict = {0: "[green]ok: everything happened[/]", 130: "[yellow]stopped before the end[/]"}
    console.print(f"\n{verdict.get(code, '[red]not everything happened[/]')}, {time.monotonic() - began:.0f} s in all")
    return code


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    raise StoppedError


@contextmanager
def _step(console: Console, name: str) -> Iterator[Callable[[str], None]]:
    """Show that a step goes on, and in one line what came of it."""
    began, failed = time.monotonic(), True
    told: list[str] = []
    try:
        with console.status(f"{name} ..."):
            yield told.append
        failed = False
    finally:
        mark = "[red]x[/]" if failed else "[green]+[/]"
        rest = Table.grid(padding=(0, 1))
        rest.add_column(width=1)
        rest.add_column(width=LEFT)
        rest.add_column(width=7, justify="right")
        rest.add_column(overflow="fold")
        rest.add_row(mark, name, f"{time.monotonic() - began:.1f} s", "\n".join(told))
        console.print(rest)


def _play(stack: Stack, console: Console) -> int:
    with _step(console, "build") as say:
        stack.compose("build")
        say("the node and the exchange, cached where nothing changed")
    with _step(console, "up --wait") as say:
        stack.up()
        say(_lines(stack, "ready"))
    with _step(console, "health") as say:
        say(stack.health().strip())
    with _step(console, "orders") as say:
        stack.until(stack.holds)
        say("one was filled, one rests")
    before = _books(stack)
    console.print(_table(before))
    with _step(console, "crash") as say:
        stack.compose("kill", "node")
        say(f"docker kill, exit {stack.exit_code('node')}: the exchange was told nothing")
    with _step(console, "up --wait") as say:
        stack.up()
        say(_lines(stack, "ready"))
        say(_lines(stack, "found"))
    with _step(console, "the same") as say:
        after = _books(stack)
        same = before == after
        say("same order ids, same position, no order sent twice" if same else "[red]the books differ[/]")
    if not same:
        console.print(_table(after))
    with _step(console, "stop") as say:
        began = time.monotonic()
        stack.compose("stop", "node")
        code, took = stack.exit_code("node"), time.monotonic() - began
        say(f"with an order open: exit {code} after {took:.1f} s (it has 40 s)")
        say(_lines(stack, "stopped"))
    return 0 if same and code == 0 else 1


def _lines(stack: Stack, begin: str) -> str:
    """Return the node's lines of its last start that begin so."""
    last = stack.logs("node").rpartition("\nstarting ")[2]
    found = [line.strip() for line in last.splitlines() if line.strip().startswith(f"{begin} ")]
    return "\n".join(" ".join(line.split()) for line in found) or f"[red]no line that begins with {begin}[/]"


def _books(stack: Stack) -> dict[str, Any]:
    return {
        "orders": stack.orders(),
        "positions": [(row["symbol"], row["amount"], row["entry"]) for row in stack.positions()],
        "stored": sorted(stack.stored()),
        "held": sorted(stack.stored("positions")),
    }


def _table(books: dict[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("  order or position", "", "quantity", "at", "status", "kept"):
        table.add_column(name, justify="right" if name in {"quantity", "at"} else "left", no_wrap=True)
    for row in books["orders"]:
        price = row["average"] if row["status"] == "FILLED" else row["price"]
        kept = "yes" if row["client_order_id"] in books["stored"] else "[red]no[/]"
        what = f"{row['side']} {row['kind']}".lower()
        table.add_row(f"  {row['client_order_id']}", what, row["quantity"], price, row["status"].lower(), kept)
    for symbol, amount, entry in books["positions"]:
        table.add_row(f"  {symbol}", "long", amount, entry, "open", "yes" if books["held"] else "[red]no[/]")
    return table


if __name__ == "__main__":
    sys.exit(main())
