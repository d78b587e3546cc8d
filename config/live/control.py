"""Hands on a running node: a socket in its state directory that only its owner may open, one line of JSON each way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nautilus_trader.common.component import Logger

from config.live.halted import OPERATOR, Halt
from config.live.hands import SOCKET, answers, reachable
from config.live.restriction import flatten
from config.live.runner import Running

LINE_MAX = 4096
ASKED_WITHIN_SECS = 5.0
FLATTEN_SECS = 30.0
SENTENCE_MAX = 200


async def serve(running: Running, directory: Path, halt: Halt) -> None:
    """Answer ``halt``, ``resume``, ``flatten`` and ``status`` until cancelled.

    Parameters
    ----------
    running : Running
        The node.
    directory : Path
        Its state directory.
    halt : Halt
        Where it is kept that an operator halted the node, so that a restart does not forget it.

    """

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ASKED_WITHIN_SECS):
                line = await reader.readline()
            answer = await _answer(line, running, halt)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (OSError, TimeoutError, ValueError):
            pass  # whoever asked has gone, or was no client of ours
        finally:
            writer.close()

    if answers(str(directory)):
        Logger("Control").warning(f"another node answers at {directory / SOCKET}: this one cannot be halted by hand")
        return
    with _bound(directory) as listening:
        async with await asyncio.start_unix_server(connected, sock=listening, limit=LINE_MAX) as server:
            await server.serve_forever()


@contextlib.contextmanager
def _bound(directory: Path) -> Iterator[socket.socket]:
    """Give a socket that only its owner may open, and remove it afterwards."""
    path = directory / SOCKET
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()  # of a run that was killed
    mask = os.umask(0o177)
    try:
        with reachable(str(directory)) as folder:
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(f"{folder}/{SOCKET}")
    finally:
        os.umask(mask)
    try:
        yield listening
    finally:
        listening.close()
        path.unlink(missing_ok=True)


async def _answer(line: bytes, running: Running, halt: Halt) -> Mapping[str, Any]:
    """Return what was done, and how the node stands after it."""
    try:
        asked = json.loads(line)
        command, sentence = asked["command"], str(asked.get("sentence") or "")[:SENTENCE_MAX]
        act = COMMANDS[command]
    except (ValueError, KeyError, TypeError):
        return {"ok": False, "error": f"unknown command, expected one of {', '.join(COMMANDS)}"}
    done = await act(running, halt, sentence)
    return {"ok": True, "command": command, **done, "restricted": dict(running.restriction.reasons)}


async def _halt(running: Running, halt: Halt, sentence: str) -> Mapping[str, Any]:
    known = OPERATOR in running.restriction.reasons
    kept = halt.write(sentence or "halted by hand")
    running.restriction.restrict(OPERATOR, sentence or "halted by hand")
    return {"changed": not known, "kept": kept}


async def _resume(running: Running, halt: Halt, _sentence: str) -> Mapping[str, Any]:
    known = OPERATOR in running.restriction.reasons
    halt.remove()
    running.restriction.lift(OPERATOR)
    return {"changed": known}


async def _flatten(running: Running, halt: Halt, sentence: str) -> Mapping[str, Any]:
    kept = halt.write(sentence or "flattened by hand")
    done = await flatten(
        running.node, FLATTEN_SECS, restriction=running.restriction, sentence=sentence or "flattened by hand"
    )
    return {
        "kept": kept,
        "flat": done.flat,
        "seconds": round(done.seconds, 3),
        "cancelled": done.cancelled,
        "closing": done.closing,
        "orders": list(done.orders),
        "positions": {name: str(net) for name, net in done.positions.items()},
        "offset": list(done.offset),
    }


async def _status(_running: Running, _halt: Halt, _sentence: str) -> Mapping[str, Any]:
    return {}


type Act = Callable[[Running, Halt, str], Awaitable[Mapping[str, Any]]]
COMMANDS: Mapping[str, Act] = {"halt": _halt, "resume": _resume, "flatten": _flatten, "status": _status}
