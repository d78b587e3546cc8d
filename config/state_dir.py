"""Where the files of a run are, found with the standard library alone: a health check must not pay for the settings."""
# ruff: noqa: PTH111 -- importing pathlib costs as much again as starting the interpreter

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

READINESS_FILE = "ready.json"
TRADER = "trader"
# The folder of a role below that of its trader; config.models.TradingNodeSettings.state_directory makes the same.
FOLDERS = {TRADER: "", "recorder": "/recorder"}


class NoStateDir(Exception):  # noqa: N818 - it is an answer: there is none, or there are several
    """Which run is meant cannot be told.

    Attributes
    ----------
    message : str
        What was found.
    fix : str
        What to do about it.
    is_usage : bool
        Whether the question has to be put better; otherwise there is no run at all.

    """

    def __init__(self, message: str, fix: str, *, is_usage: bool) -> None:
        self.message = message
        self.fix = fix
        self.is_usage = is_usage
        super().__init__(message)


def state_home(environ: Mapping[str, str]) -> str | None:
    """Return the user's state directory after the XDG base directory specification; None for a user without a home."""
    if (given := environ.get("XDG_STATE_HOME", "")).startswith("/"):
        return given.rstrip("/") or "/"
    home = environ.get("HOME") or _home_of_user()
    return f"{home.rstrip('/')}/.local/state" if home else None


def _home_of_user() -> str | None:
    """Return what the list of users says, which a container's made-up user number is not in."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return None


def asked_trader_id(environ: Mapping[str, str], given: str | None = None) -> str | None:
    """Return the trader id that is asked for, ``given`` before ``NAUTILUS_TRADER_ID``; None if any will do."""
    return given or environ.get("NAUTILUS_TRADER_ID", "").strip() or None


def state_dir(
    environ: Mapping[str, str], *, directory: str | None = None, trader_id: str | None = None, role: str | None = None
) -> str:
    """Return the state directory of the run that is meant, whether or not its files are there.

    Parameters
    ----------
    environ : mapping
        ``NAUTILUS_STATE_DIR``, ``NAUTILUS_TRADER_ID``, ``NAUTILUS_ROLE``, ``XDG_STATE_HOME`` and ``HOME`` are read; what is
        empty is unset. A ``.env`` file is not read.
    directory, trader_id, role : str, optional
        Override the first three. Without any directory the one below the user's state directory is taken that has a readiness
        file; without a role the one that has, of the trader and its recorder. ``directory`` itself comes before its recorder.

    Raises
    ------
    NoStateDir
        If there is none or several.

    """
    if directory:
        directory = os.path.expanduser(directory)
        return next(_with_file(directory, role), directory + FOLDERS[role or TRADER])
    role = (role or environ.get("NAUTILUS_ROLE", "").strip()).lower() or None
    if role is not None and role not in FOLDERS:
        raise NoStateDir(f"NAUTILUS_ROLE is none of {', '.join(FOLDERS)}", "set it to one of them", is_usage=True)
    if given := environ.get("NAUTILUS_STATE_DIR", "").strip():
        given = os.path.expanduser(given)
        return _the_only(list(_with_file(given, role)), given + FOLDERS[role or TRADER])
    home = state_home(environ)
    if home is None:
        fix = "set NAUTILUS_STATE_DIR as it is set for the node, or give --state-dir"
        raise NoStateDir("this user has no home directory below which a state directory could be", fix, is_usage=True)
    root = f"{home}/tradingnode"
    if trader := asked_trader_id(environ, trader_id):
        folder = f"{root}/{trader}"
        return _the_only(list(_with_file(folder, role)), folder + FOLDERS[role or TRADER])
    found = [path for folder in _folders(root) for path in _with_file(folder, role)]
    if not found:
        fix = "start the node; if its state directory is elsewhere (see its .env), give --state-dir"
        raise NoStateDir(f"no run has left a readiness file below {root}", fix, is_usage=False)
    return _the_only(found, root)


def _with_file(folder: str, role: str | None) -> Iterator[str]:
    """Yield the directories of a trader, of one role or of any, that have a readiness file."""
    for name, below in FOLDERS.items():
        if role in (None, name) and os.access(f"{folder}{below}/{READINESS_FILE}", os.F_OK):
            yield folder + below


def _folders(root: str) -> list[str]:
    try:
        with os.scandir(root) as entries:
            return sorted(entry.path for entry in entries if entry.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        fix = "run this as the user that runs the node, or give --state-dir"
        raise NoStateDir(f"{root} cannot be read: {reason}", fix, is_usage=True) from None


def _the_only(found: list[str], otherwise: str) -> str:
    if len(found) > 1:
        fix = "say which one is meant: --trader-id or --role, or --state-dir with one of these"
        raise NoStateDir(f"there are {len(found)} readiness files, in {', '.join(found)}", fix, is_usage=True)
    return found[0] if found else otherwise
