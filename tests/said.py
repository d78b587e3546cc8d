"""What stands in a ``.env``, in a secrets directory and in the process environment, laid out in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.problems import Origin
from config.settings.sources import ENVIRONMENT

# Every place in which a secret may stand.
PLACES = ("file", "environment", "_FILE in the file", "_FILE in the environment", "secrets directory", "small letters")


class Said:
    """Begins with an environment; ``say`` adds to it, ``given`` is what to load."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        folder.mkdir(exist_ok=True)
        self.file = folder / ".env"
        self.lines: list[str] = []
        self.secrets = folder / "secrets"
        self.secrets.mkdir()
        self.environ = {**environ, "NAUTILUS_SECRETS_DIR": str(self.secrets)}

    def say(self, place: str, name: str, text: str) -> Origin:
        """Put it there, and return where it is."""
        match place:
            case "file":
                self.lines.append(f"{name}={text}")
                return Origin(str(self.file), name, len(self.lines))
            case "environment":
                self.environ[name] = text
                return Origin(ENVIRONMENT, name)
            case "secrets directory" | "small letters":
                file = self.secrets / (name if place == "secrets directory" else name.lower())
                file.write_text(text)
                return Origin(f"secrets directory {self.secrets}", file.name)
            case _:
                file = self.file.with_name(f"{name}.txt")
                file.write_text(f"{text}\n")
                file.chmod(0o600)
                return self.say(place.removeprefix("_FILE in the "), f"{name}_FILE", str(file))

    def given(self) -> dict[str, Any]:
        self.file.write_text("".join(f"{line}\n" for line in self.lines))
        self.file.chmod(0o600)
        return {"env_file": self.file, "environ": self.environ}
