"""What a person does to a running node from outside: one question through the socket in its state directory."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from config.live.halted import OPERATOR, Halt
from config.problems import Problem

SOCKET = "control.sock"
ANSWER_MAX = 1_000_000
# The address of a Unix socket has room for 108 bytes with the final null (unix(7)).
ADDRESS_MAX = 100
# Of a node that is well the answer takes milliseconds; `flatten` may wait for the venue.
ANSWERED_WITHIN_SECS = 10.0
FLATTENED_WITHIN_SECS = 40.0


class NobodyAnswers(Exception):  # noqa: N818 - an answer: there is no node, or it does not turn
    """No node can be asked.

    Attributes
    ----------
    is_absent : bool
        Whether no node runs; otherwise one does and does not answer.

    """

    def __init__(self, message: str, *, is_absent: bool) -> None:
        self.is_absent = is_absent
        super().__init__(message)


@contextlib.contextmanager
def reachable(directory: str) -> Iterator[str]:
    """Give a path of ``directory`` that is short enough for a socket in it."""
    if len(os.fsencode(directory)) + len(SOCKET) < ADDRESS_MAX:
        yield directory
        return
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}"
    finally:
        os.close(folder)


def answers(directory: str) -> bool:
    """Return whether somebody listens at the socket in this state directory."""
    try:
        with reachable(directory) as folder, socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(1)
            asking.connect(f"{folder}/{SOCKET}")
            return True
    except OSError:
        return False


def ask(directory: str, command: str, *, sentence: str = "", timeout: float) -> dict[str, Any]:
    """Have the node whose state directory this is do ``command``, and return what it answers.

    Parameters
    ----------
    directory : str
        The state directory.
    command : {'halt', 'resume', 'flatten', 'status'}
        What to do.
    sentence : str
        Why, for the log and for whoever asks later.
    timeout : float
        Seconds to wait for the answer.

    Raises
    ------
    NobodyAnswers
        If there is no node, or none that answers in time.

    """
    try:
        with reachable(directory) as folder, socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(timeout)
            asking.connect(f"{folder}/{SOCKET}")
            asking.sendall(json.dumps({"command": command, "sentence": sentence}).encode() + b"\n")
            return _answer(asking)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise NobodyAnswers(f"no node runs with the state directory {directory}", is_absent=True) from None
    except TimeoutError:
        message = f"the node of {directory} did not answer within {timeout:g} s: its event loop stands still"
        raise NobodyAnswers(message, is_absent=False) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "what it said was no answer"
        raise NobodyAnswers(f"the node of {directory} cannot be asked: {reason.lower()}", is_absent=False) from None


def done(
    directory: str, command: str, sentence: str, timeout: float | None = None
) -> tuple[list[Problem], dict[str, Any] | None, str]:
    """Have the node do ``command``; return what is wrong, its answer, and a line for a person.

    Without a node ``halt`` and ``resume`` still count: the next one starts halted, or not.
    """
    seconds = timeout or (FLATTENED_WITHIN_SECS if command == "flatten" else ANSWERED_WITHIN_SECS)
    try:
        answer = ask(directory, command, sentence=sentence, timeout=seconds)
    except NobodyAnswers as error:
        if error.is_absent and command in OFFLINE:
            return _offline(directory, command, sentence)
        if error.is_absent:
            return [Problem("TN702", command, str(error), "`tradingnode run` starts it")], None, ""
        fix = "look at its log for what holds it; SIGTERM stops it, and a halted node starts halted again"
        return [Problem("TN703", command, str(error), fix)], None, ""
    if not answer.get("ok"):
        return [Problem("TN703", command, str(answer.get("error")), "are node and command of one version?")], answer, ""
    problems = [] if answer.get("kept", True) else [_not_kept(directory)]
    if command == "flatten" and not answer["flat"]:
        problems.append(_not_flat(answer))
    return problems, answer, _line(command, answer)


OFFLINE = ("halt", "resume")


def _offline(directory: str, command: str, sentence: str) -> tuple[list[Problem], dict[str, Any], str]:
    mark = Halt(Path(directory))
    if command == "halt":
        kept = mark.write(sentence or "halted by hand")
        return [] if kept else [_not_kept(directory)], {"ok": kept}, "no node runs; the next one starts halted"
    known = mark.remove()
    return [], {"ok": True}, f"no node runs; the next one starts {'without the halt' if known else 'as it would have'}"


def _not_kept(directory: str) -> Problem:
    message = f"that the node is halted could not be written to {directory}: a restart would forget it"
    return Problem("TN604", "NAUTILUS_STATE_DIR", message, "make room there, or make it writable; then halt once more")


def _not_flat(answer: dict[str, Any]) -> Problem:
    left = [f"{name} {net}" for name, net in answer["positions"].items()] + [
        f"order {name}" for name in answer["orders"]
    ]
    message = f"not flat after {answer['seconds']:.1f} s; still open: {', '.join(left)}"
    return Problem("TN904", "flatten", message, "close them at the exchange, or call it again; the node stays halted")


def _line(command: str, answer: dict[str, Any]) -> str:
    """Return in one line what was done, and what still holds."""
    if command == "flatten":
        line = (
            f"flat after {answer['seconds']:.1f} s: " if answer["flat"] else "not flat: "
        ) + f"{answer['cancelled']} cancels, {answer['closing']} closing orders; halted"
    elif command == "halt":
        line = "halted" if answer["changed"] else "was halted already"
    else:
        line = "resumed" if answer["changed"] else "was not halted"
    others = [f"{name} ({why})" for name, why in answer["restricted"].items() if name != OPERATOR]
    return line + (f"; still restricted: {', '.join(others)}" if others else "")


def _answer(asking: socket.socket) -> dict[str, Any]:
    data = b""
    while not data.endswith(b"\n") and len(data) < ANSWER_MAX:
        part = asking.recv(65_536)
        if not part:
            break
        data += part
    found: dict[str, Any] = json.loads(data)
    return found
