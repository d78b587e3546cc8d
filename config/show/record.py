"""The record that a run leaves: the effective settings, each with where it came from, without secrets."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, SecretStr

from config.checks.fingerprints import fingerprint
from config.models import VENUE_FIELDS, TradingNodeSettings
from config.problems import Origin
from config.settings.layers import Value
from config.settings.variables import Variable, variables

MASK = "***"
RECORD = "settings.json"


@dataclass(frozen=True, slots=True)
class Row:
    """One setting that applies: its variable, its value as text (a secret as ``***``), where it stands, what it overrode."""

    variable: Variable
    value: str
    origin: Origin | None
    overrides: tuple[Value, ...] = ()

    @property
    def where(self) -> str:
        """Where it stands, in words, and under which name if that is another one."""
        if self.origin is None:
            return "default"
        spelled = "" if self.origin.key == self.variable.name else f" as {self.origin.key}"
        return f"{self.origin}{spelled}"


def rows(settings: TradingNodeSettings) -> Iterator[Row]:
    """Yield every setting that applies, in the order of the models; sections that are off are left out."""
    for variable in variables().values():
        section, _, name = variable.path.rpartition(".")
        holder = getattr(settings, section) if section else settings
        if section in VENUE_FIELDS and section.upper() not in settings.active_venues:
            continue
        if isinstance(holder, BaseModel):
            effective = EFFECTIVE.get(variable.path)
            value = getattr(holder, name) if effective is None else getattr(settings, effective)
            path = variable.path
            origin = settings.origins.get(path)
            yield Row(variable, shown(path, value), origin, tuple(settings.overridden.get(path, ())) if origin else ())


# Where the default follows from other settings, the property that tells what applies.
EFFECTIVE = {
    "venues": "active_venues",
    "state_dir": "state_directory",
    "logging.log_directory": "log_directory",
    "streaming.catalog_path": "catalog_path",
    "load_state": "loads_state",
    "save_state": "saves_state",
    "ready_timeout": "seconds_to_ready",
}


def shown(path: str, value: object) -> str:
    """Return the value at ``path`` for a person: like :func:`as_text`, an exchange's long secret with its fingerprint.

    Of a password not even that: it may be guessed, and a guess be compared.
    """
    if not isinstance(value, SecretStr):
        return as_text(value)
    digest = fingerprint(value.get_secret_value()) if path.endswith((".api_key", ".api_secret")) else None
    return f"{MASK} (set)" if digest is None else f"{MASK} (sha256:{digest})"


def as_text(value: object) -> str:
    """Return ``value`` as it would be written in a ``.env`` file, a secret as ``***``, nothing as the empty text."""
    match value:
        case None:
            return ""
        case SecretStr():
            return MASK
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case tuple() | list():
            return ",".join(map(as_text, value))
        case dict():
            return ",".join(f"{name}={as_text(given)}" for name, given in value.items())
        case _:
            return str(value)


def redacted(text: str, settings: TradingNodeSettings) -> str:
    """Return ``text`` with every secret of ``settings`` as ``***``: the words of others may repeat one."""
    sections = (getattr(settings, name) for name in type(settings).model_fields)
    for section in sections:
        for value in section.__dict__.values() if isinstance(section, BaseModel) else ():
            if isinstance(value, SecretStr):
                text = text.replace(value.get_secret_value(), MASK)
    return text


def write_record(settings: TradingNodeSettings) -> Path:
    """Write the record into the state directory, atomically and readable by its owner only, and return its path.

    Raises
    ------
    OSError
        If the directory cannot be made or written.

    """
    directory = settings.state_directory
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    record = {
        "trader_id": settings.trader_id,
        "preset": settings.preset,
        "settings": {
            row.variable.path: {"value": row.value, "key": row.variable.name, "source": row.where}
            for row in rows(settings)
        },
    }
    path = directory / RECORD
    part = directory / f".{RECORD}.{os.getpid()}"
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(record, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return path
