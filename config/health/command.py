"""``tradingnode health``: whether the running node is ready. Probes call it every few seconds, so it imports next to nothing."""

from __future__ import annotations

import contextlib
import json
import os
import time

from config.health.readiness_file import MAX_AGE_SECS, Unreadable, judge, printable, read
from config.state_dir import FOLDERS, READINESS_FILE, NoStateDir, asked_trader_id, state_dir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# As in config.problems.ExitCode, which would cost as much as all of this.
OK, USAGE, NOT_READY = 0, 2, 7
HELP = """\
Usage: tradingnode health [OPTIONS]

  Tell in one line whether the running node is ready: exit 0 if it is, 7 if not.
  Reads NAUTILUS_STATE_DIR, NAUTILUS_TRADER_ID and NAUTILUS_ROLE; no .env file.

Options:
  --trader-id ID       Which node, where there are several.
  --role ROLE          trader or recorder, where there are both.
  --state-dir DIR      Its state directory.
  --max-age SECONDS    A node without a sign of life for longer is stuck.  Default: 10.
  --live               For liveness probes: 0 while it lives, ready or not.
  --json               One object on stdout, problems included.
  -h, --help           Show this message and exit.
"""
# Each option, and whether a value follows.
OPTIONS = {
    "--trader-id": True,
    "--role": True,
    "--state-dir": True,
    "--max-age": True,
    "--live": False,
    "--json": False,
}
COMMAND = "tradingnode health"
HOW = "`tradingnode health --help` tells how"
NOT_READY_FIX = "`tradingnode run` starts it; of a node that runs, its log tells more"


class _Usage(Exception):  # noqa: N818 - not a defect, an answer to the caller
    """The command was called wrongly; the text says in what. Of what was typed it repeats only the options that there are."""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Judge the node that is meant, print one line, and return the exit code: 0, 7, or 2 for wrong usage.

    Parameters
    ----------
    argv : sequence of str
        What follows ``health`` on the command line.
    environ : mapping
        As :func:`config.state_dir.state_dir` reads it.

    """
    if "-h" in argv or "--help" in argv:
        _write(1, HELP)
        return OK
    try:
        asked = _parse(argv)
        max_age = _seconds(asked.get("--max-age"))
    except _Usage as error:
        return _refuse("TN204", COMMAND, str(error), HOW, as_json="--json" in argv)
    live, as_json = "--live" in asked, "--json" in asked
    trader_id = asked_trader_id(environ, asked.get("--trader-id"))
    directory, path = asked.get("--state-dir"), None
    try:
        folder = state_dir(environ, directory=directory, trader_id=trader_id, role=asked.get("--role"))
        path = f"{folder}/{READINESS_FILE}"
        fine, sentence = judge(path, time.time(), time.monotonic(), trader_id=trader_id, max_age=max_age, live=live)
        fix = NOT_READY_FIX
    except NoStateDir as error:
        if error.is_usage:
            return _refuse("TN205", "--state-dir", printable(error.message), error.fix, as_json=as_json)
        fine, sentence, fix = False, printable(f"{error.message}; {error.fix}"), error.fix
    word = "live" if live else "ready"
    line = f"{word} {sentence}" if fine else f"not {word}: {sentence}"
    if not as_json:
        _write(1, f"{line}\n")
    else:
        problems = [] if fine else [_problem("TN702", trader_id or "tradingnode", line, fix)]
        _write(1, _object(fine, OK if fine else NOT_READY, problems, **{word: fine}, message=line, node=_record(path)))
    return OK if fine else NOT_READY


def _parse(argv: Sequence[str]) -> dict[str, str]:
    """Return the options that were given with their values; a later one wins, as with the other commands."""
    asked: dict[str, str] = {}
    words = iter(argv)
    for word in words:
        name, has_value, value = word.partition("=")
        if name not in OPTIONS:
            raise _Usage(f"{COMMAND} has no such option" if word.startswith("-") else f"{COMMAND} takes options only")
        if not OPTIONS[name]:
            if has_value:
                raise _Usage(f"{name} takes no value")
        elif not (value := value if has_value else next(words, "")) or (not has_value and value in OPTIONS):
            raise _Usage(f"{name} needs a value")
        asked[name] = value
    if asked.get("--role", "trader") not in FOLDERS:
        raise _Usage(f"--role has a value that it does not take, expected one of {', '.join(FOLDERS)}")
    return asked


def _seconds(text: str | None) -> float:
    try:
        seconds = MAX_AGE_SECS if text is None else float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise _Usage("--max-age has a value that it does not take, expected seconds above 0")
    return seconds


def _record(path: str | None) -> dict[str, object] | None:
    """Return the readiness file as it stands."""
    try:
        return read(path)[0] if path is not None else None
    except Unreadable:
        return None


def _refuse(code: str, key: str, message: str, fix: str, *, as_json: bool) -> int:
    if as_json:
        _write(1, _object(False, USAGE, [_problem(code, key, message, fix)]))
    else:
        _write(2, f"error: {message}\n  fix: {fix}\n")
    return USAGE


def _problem(code: str, key: str, message: str, fix: str) -> dict[str, object]:
    """Return what config.problems.Problem.to_dict would."""
    told = {"code": code, "key": key, "severity": "error", "message": message, "accepted": [], "fix": fix}
    return {**told, "origin": None, "overrides": None}


def _object(fine: bool, code: int, problems: list[dict[str, object]], **fields: object) -> str:
    return json.dumps({"ok": fine, "exit_code": code, **fields, "problems": problems}, indent=2) + "\n"


def _write(descriptor: int, text: str) -> None:
    """Write past Python's own streams: where nobody listens, its exit code would become 120."""
    with contextlib.suppress(OSError):
        os.write(descriptor, text.encode(errors="replace"))


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:], os.environ))
