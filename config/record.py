"""The record that a run leaves: the effective settings, each with where it came from, without secrets."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, SecretStr

from config.endpoints import address, classify
from config.models import VENUE_FIELDS, TradingNodeSettings
from config.problems import Origin
from config.variables import Variable, variables

MASK = "***"
RECORD = "settings.json"


@dataclass(frozen=True, slots=True)
class Row:
    """One setting that applies: its variable, its value as text (a secret as ``***``), and where it stands."""

    variable: Variable
    value: str
    origin: Origin | None

    @property
    def where(self) -> str:
        """Where it stands, in words."""
        return "default" if self.origin is None else str(self.origin)


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
            yield Row(variable, as_text(value), settings.origins.get(variable.path))


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


def other_endpoints(settings: TradingNodeSettings) -> dict[str, list[str]]:
    """Return the hosts of active venues that are not the exchange's own, as ``host:port``, and the variables that name each."""
    names = {variable.path: variable.name for variable in variables().values()}
    found: dict[str, list[str]] = {}
    for venue in settings.active_venues:
        for name, url in settings.credentials(venue).base_urls.items():
            if classify(url) == "other":
                found.setdefault(address(url), []).append(names[f"{venue.lower()}.{name}"])
    return found


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
