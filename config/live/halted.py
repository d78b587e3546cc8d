"""That an operator halted a node, kept in its state directory: a restart must not forget it."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

HALTED_FILE = "halted.json"
# The reason under which it restricts a node.
OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Halt:
    """The file that says so.

    Parameters
    ----------
    directory : Path
        The state directory.

    """

    directory: Path

    @property
    def path(self) -> Path:
        """The file."""
        return self.directory / HALTED_FILE

    def read(self) -> str | None:
        """Return since when and why the node is halted; None if it is not. A file that cannot be read halts, too."""
        try:
            found = json.loads(self.path.read_text("utf-8"))
            return f"{found['sentence']} ({found['since']})"
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return f"halted by hand; {self.path} cannot be read"

    def write(self, sentence: str) -> bool:
        """Keep ``sentence``, over a restart too; return whether that worked. The first halt counts until it is lifted."""
        part = self.directory / f".{HALTED_FILE}.{os.getpid()}"
        if self.read() is not None:
            return True
        record = {"since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", "sentence": sentence}
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(record, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
            return False
        return True

    def remove(self) -> bool:
        """Forget it; return whether there was something to forget."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True
