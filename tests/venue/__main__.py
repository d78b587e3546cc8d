"""Run the venue: ``python -m tests.venue [--port 0]``.

Prints one JSON line ``{"port": ...}`` once it listens on 127.0.0.1, and serves until SIGTERM, SIGINT, the end of a
piped standard input, or the end of the process that started it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import stat
import sys

from aiohttp import web

from .server import Server

PARENT_CHECK_SECONDS = 0.5
"""How often to look whether the starting process still lives."""


async def _orphaned(parent: int) -> None:
    while os.getppid() == parent:
        await asyncio.sleep(PARENT_CHECK_SECONDS)


async def serve(port: int) -> None:
    """Serve on 127.0.0.1 until told to stop; port 0 takes a free one."""
    parent, loop, stop = os.getppid(), asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
        # Nothing is ever written to the pipe, so it is readable when its other end is closed.
        loop.add_reader(sys.stdin.fileno(), stop.set)
    runner = web.AppRunner(Server().application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, shutdown_timeout=0)
    await site.start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
    waiting = {asyncio.create_task(stop.wait()), asyncio.create_task(_orphaned(parent))}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.venue", description="A loopback exchange.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any free one)")
    asyncio.run(serve(parser.parse_args().port))
