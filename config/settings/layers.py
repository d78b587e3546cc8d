"""From sources to one tree of values: which setting each variable means, whose each key is, and who wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import SecretStr

from config.problems import Origin, Problem
from config.settings.hiding import found
from config.settings.redis_url import REDIS_DEFAULTS, REDIS_URL_FORM, redis_parts
from config.settings.sources import Entry, Source
from config.settings.spelling import as_bool
from config.settings.variables import FLAGS, KEY_NAMES, REDIS_URL_VARIABLE, SPECIAL, variables

_ENVIRONMENT_PATHS = {flag.path: tuple(other for other in FLAGS if other.path == flag.path) for flag in FLAGS}
_KEY_NAMES = {key.name: key for key in KEY_NAMES}


@dataclass(frozen=True, slots=True)
class Value:
    """One value of one layer; ``value`` is text from a source, or what a call or a preset gave."""

    value: Any
    origin: Origin


@dataclass(frozen=True, slots=True)
class Key:
    """A credential and the environment that it is for.

    ``own`` tells a name that belongs to one environment (``BINANCE_DEMO_API_KEY``) from one that takes it from its source.
    """

    venue: str
    part: Literal["api_key", "api_secret"]
    environment: str
    value: SecretStr
    origin: Origin
    own: bool = False
    account_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """A name and plain values by dotted path; credentials apart, since whose they are depends on their layer."""

    name: str
    values: Mapping[str, Value] = field(default_factory=dict)
    keys: tuple[Key, ...] = ()


def _environment(path: str, entries: Mapping[str, Entry], problems: list[Problem]) -> Value | None:
    """Return what one source says of a venue's environment: the variable itself and its flags, which must agree."""
    said: dict[str, Entry] = {}
    denied: Entry | None = None
    name = f"{path.partition('.')[0].upper()}_ENVIRONMENT"
    if (entry := entries.get(name)) is not None:
        text = str(entry.value).upper()
        said["LIVE" if text == "MAINNET" else text] = entry
    for flag in _ENVIRONMENT_PATHS[path]:
        if (entry := entries.get(flag.name)) is None:
            continue
        match as_bool(str(entry.value)):
            case True:
                said.setdefault(flag.means, entry)
            case False:
                denied = entry
            case None:
                message = f"{found(flag.name, str(entry.value))}, expected true or false"
                fix = f"write {flag.name}=true or {flag.name}=false"
                problems.append(Problem("TN401", flag.name, message, fix, ("true", "false"), entry.origin))
    if len(said) > 1:
        first, second = (entry.origin for entry in list(said.values())[:2])
        message = f"{first.key} and {second.key} contradict each other in {first.source}"
        problems.append(Problem("TN403", second.key, message, "keep the one that you mean", origin=second))
    if said:
        environment, entry = next(iter(said.items()))
        return Value(environment, entry.origin)
    return None if denied is None else Value("LIVE", denied.origin)


def layer_of(source: Source) -> tuple[Layer, tuple[Problem, ...]]:
    """Return ``source`` as a layer, with what contradicts itself in it."""
    problems: list[Problem] = []
    table = {**variables(), **SPECIAL}
    values = {
        table[name].path: Value(entry.value, entry.origin) for name, entry in source.entries.items() if name in table
    }
    for path in _ENVIRONMENT_PATHS:
        if (said := _environment(path, source.entries, problems)) is not None:
            values[path] = said
    if (url := source.entries.get(REDIS_URL_VARIABLE)) is not None:
        problems += _read_redis_url(url, values)
    keys = []
    for name, entry in source.entries.items():
        if not isinstance(entry.value, SecretStr):
            continue
        if (own := _KEY_NAMES.get(name)) is not None:
            keys.append(Key(own.venue, own.part, own.environment, entry.value, entry.origin, True, own.account_types))
        else:
            keys += _generic_key(table[name].path, values, entry.value, entry.origin)
    return Layer(source.name, _without_keys(values), tuple(keys)), tuple(problems)


def _read_redis_url(url: Entry, values: dict[str, Value]) -> list[Problem]:
    """Put what ``url`` says of the fields of ``redis`` into ``values``; a variable beside it may only add to it.

    What neither says is decided too: the server that a url names must not get the password of a lower layer.
    """
    key = url.origin.key
    said = redis_parts(url.value.get_secret_value() if isinstance(url.value, SecretStr) else url.value)
    if isinstance(said, str):
        message = f"{key} {said}"
        return [Problem("TN401", key, message, f"give {REDIS_URL_FORM}, or REDIS_HOST and its like", origin=url.origin)]
    problems = []
    for name, default in REDIS_DEFAULTS.items():
        path = f"redis.{name}"
        beside = values.get(path)
        if beside is None:
            values[path] = Value(said.get(name, default), url.origin)
        elif name in said and _plain(beside.value) != _plain(said[name]):
            other = beside.origin.key
            message = f"{other} and {key} contradict each other in {url.origin.source}"
            problems.append(Problem("TN403", other, message, "keep the one that you mean", origin=beside.origin))
    return problems


def _plain(value: Any) -> str:
    """Return a value for comparison, true and false in one spelling."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return text if (yes := as_bool(text)) is None else str(yes)


def layer_of_call(name: str, tree: Mapping[str, Any]) -> Layer:
    """Return the arguments of a call, sections as mappings, as a layer."""
    values: dict[str, Value] = {}
    for field_name, given in tree.items():
        if isinstance(given, Mapping) and field_name in SECTIONS:
            values |= {
                f"{field_name}.{key}": Value(value, Origin(name, f"{field_name}.{key}"))
                for key, value in _environment_said(given).items()
            }
        else:
            values[field_name] = Value(given, Origin(name, field_name))
    keys = [
        key
        for path, value in values.items()
        if value.value is not None
        for key in _generic_key(
            path,
            values,
            value.value if isinstance(value.value, SecretStr) else SecretStr(str(value.value)),
            value.origin,
        )
    ]
    return Layer(name, _without_keys(values), tuple(keys))


def _environment_said(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read ``testnet=True`` or ``demo=True`` as the environment; what contradicts itself is left to the model."""
    flags = [flag for flag in ("testnet", "demo") if given.get(flag) is True]
    if len(flags) != 1 or "environment" in given:
        return given
    rest = {key: value for key, value in given.items() if key not in ("testnet", "demo")}
    return {**rest, "environment": flags[0].upper()}


SECTIONS = frozenset(variable.path.partition(".")[0] for variable in variables().values() if "." in variable.path)


def _generic_key(path: str, values: Mapping[str, Value], value: SecretStr, origin: Origin) -> list[Key]:
    """Return the key at ``path``, if one stands there: it is for the environment that its own layer says, else LIVE."""
    venue, _, part = path.partition(".")
    if part not in ("api_key", "api_secret"):
        return []
    said = values.get(f"{venue}.environment")
    environment = "LIVE" if said is None else str(said.value).upper()
    return [Key(venue, "api_key" if part == "api_key" else "api_secret", environment, value, origin)]


def _without_keys(values: Mapping[str, Value]) -> dict[str, Value]:
    return {path: value for path, value in values.items() if path.rpartition(".")[2] not in ("api_key", "api_secret")}


@dataclass(frozen=True, slots=True)
class Merged:
    """The values that won, by dotted path, and what each of them overrode, highest first."""

    values: Mapping[str, Value]
    overridden: Mapping[str, tuple[Value, ...]]
    keys: tuple[Key, ...]

    def text(self, path: str, default: str) -> str:
        """Return the upper-case text at ``path``."""
        found = self.values.get(path)
        return default if found is None else str(found.value).strip().upper()


def merge(layers: Iterable[Layer]) -> Merged:
    """Return the merged layers, lowest precedence first in ``layers``; keys in the order highest first."""
    stacks: dict[str, list[Value]] = {}
    keys: list[Key] = []
    for layer in layers:
        for path, value in layer.values.items():
            stacks.setdefault(path, []).append(value)
        keys[:0] = layer.keys
    return Merged(
        {path: stack[-1] for path, stack in stacks.items()},
        {path: tuple(reversed(stack[:-1])) for path, stack in stacks.items() if len(stack) > 1},
        tuple(keys),
    )
