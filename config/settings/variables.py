"""Every variable that is read, in one table: derived from the models, with the few names that are no field of theirs."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Literal, TypeAliasType, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from config.models import Setting, TradingNodeSettings


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable.

    Parameters
    ----------
    name : str
        As it is spelled in the environment.
    path : str
        Dotted path of the setting that it sets, such as ``redis.port``.
    accepted : str
        What is accepted, in words.
    choices : tuple of str
        The accepted values, where they are a short list.
    secret : bool
        Whether the value is a secret; then ``<NAME>_FILE`` and a file in the secrets directory are read too.

    """

    name: str
    path: str
    accepted: str
    description: str
    choices: tuple[str, ...] = ()
    secret: bool = False
    tier: Literal["essential", "advanced"] = "advanced"
    default: Any = None
    required: bool = False
    example: str | None = None
    former: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Flag:
    """A yes-or-no variable that says which environment of a venue is meant."""

    name: str
    path: str
    means: Literal["TESTNET", "DEMO"]


@dataclass(frozen=True, slots=True)
class KeyName:
    """A credential under a name of its own for one environment, as Nautilus' adapters read it."""

    name: str
    venue: Literal["binance", "bybit"]
    part: Literal["api_key", "api_secret"]
    environment: Literal["TESTNET", "DEMO"]
    account_types: tuple[str, ...] = ()
    former: tuple[str, ...] = ()


FLAGS = (
    Flag("BINANCE_TESTNET", "binance.environment", "TESTNET"),
    Flag("BINANCE_DEMO", "binance.environment", "DEMO"),
    Flag("BYBIT_TESTNET", "bybit.environment", "TESTNET"),
    Flag("BYBIT_DEMO", "bybit.environment", "DEMO"),
)
# Prefix, venue, environment, account types, former prefix: the adapters' names (Nautilus dropped those with ED25519).
_KEY_PREFIXES: tuple[tuple[str, Any, Any, tuple[str, ...], str | None], ...] = (
    ("BINANCE_TESTNET", "binance", "TESTNET", ("SPOT",), "BINANCE_TESTNET_ED25519"),
    (
        "BINANCE_FUTURES_TESTNET",
        "binance",
        "TESTNET",
        ("USDT_FUTURES", "COIN_FUTURES"),
        "BINANCE_FUTURES_TESTNET_ED25519",
    ),
    ("BINANCE_DEMO", "binance", "DEMO", (), None),
    ("BYBIT_TESTNET", "bybit", "TESTNET", (), None),
    ("BYBIT_DEMO", "bybit", "DEMO", (), None),
)
KEY_NAMES = tuple(
    KeyName(
        f"{prefix}_{part.upper()}",
        venue,
        part,
        environment,
        account_types,
        (f"{former}_{part.upper()}",) if former is not None else (),
    )
    for prefix, venue, environment, account_types, former in _KEY_PREFIXES
    for part in ("api_key", "api_secret")
)
# Read before there are settings: they say how the settings are found.
PRESET_VARIABLE = "NAUTILUS_PRESET"
SECRETS_DIR_VARIABLE = "NAUTILUS_SECRETS_DIR"
# Read as what it says of the fields of `redis`, all of them.
REDIS_URL_VARIABLE = "REDIS_URL"
SECRETS_DIR_DEFAULT = "/run/secrets"
SECRETS_DIR_PATH = "secrets_dir"
# Where an error may concern any setting: a line that is none, and a folder whose secrets nobody saw.
ANYWHERE = frozenset({"", SECRETS_DIR_PATH})
# Names that are read and are no field by themselves; they have paths all the same, so that layers and problems speak of them.
SPECIAL: Mapping[str, Variable] = {
    variable.name: variable
    for variable in (
        Variable(
            PRESET_VARIABLE,
            "preset",
            "one of production, testnet, sandbox",
            "Preset of the commands and of `from_env`.",
            ("production", "testnet", "sandbox"),
            tier="essential",
        ),
        Variable(
            SECRETS_DIR_VARIABLE,
            SECRETS_DIR_PATH,
            "a directory",
            "Folder with secrets as files named as the variables.",
            default=SECRETS_DIR_DEFAULT,
        ),
        Variable(
            REDIS_URL_VARIABLE,
            "redis.url",
            "redis://USER:PASSWORD@HOST:PORT, or rediss:// for TLS",
            "All of Redis' settings in one, as hosting platforms give it; it says host, port, user, password and TLS.",
            secret=True,
        ),
    )
}
SPECIAL_BY_PATH: Mapping[str, Variable] = {variable.path: variable for variable in SPECIAL.values()}


def _parts(annotation: Any) -> tuple[Any, ...]:
    """Return the alternatives of a type without None, aliases and annotations resolved."""
    if isinstance(annotation, TypeAliasType):
        return _parts(annotation.__value__)
    if hasattr(annotation, "__metadata__"):
        return _parts(annotation.__origin__)
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(part for alternative in get_args(annotation) for part in _parts(alternative))
    return () if annotation is type(None) else (annotation,)


def _choices(annotation: Any) -> tuple[str, ...]:
    (kind,) = _parts(annotation)
    if get_origin(kind) is Literal:
        return tuple(map(str, get_args(kind)))
    return tuple(str(member) for member in kind) if isinstance(kind, type) and issubclass(kind, StrEnum) else ()


def _accepted(field: FieldInfo, choices: tuple[str, ...]) -> str:
    (kind,) = _parts(field.annotation)
    if choices:
        return "one of " + ", ".join(choices)
    if kind is bool:
        return "true or false"
    low = next((item.ge for item in field.metadata if isinstance(item, Ge)), None)
    high = next((item.le for item in field.metadata if isinstance(item, Le)), None)
    noun = "a whole number" if kind is int else "a number"
    return f"{noun} from {low} to {high}"


def _variable(path: str, field: FieldInfo, setting: Setting) -> Variable:
    choices = _choices(field.annotation)
    required = field.is_required()
    return Variable(
        name=setting.variable,
        path=path,
        accepted=setting.accepted or _accepted(field, choices),
        description=field.description or "",
        choices=choices,
        secret=SecretStr in _parts(field.annotation),
        tier=setting.tier,
        default=None if required else field.get_default(call_default_factory=True, validated_data={}),
        required=required,
        example=setting.example,
        former=setting.former,
    )


def _walk(model: type[BaseModel], prefix: str = "") -> list[Variable]:
    found = []
    for name, field in model.model_fields.items():
        (kind, *_) = _parts(field.annotation)
        setting = next((item for item in field.metadata if isinstance(item, Setting)), None)
        if setting is not None:
            found.append(_variable(prefix + name, field, setting))
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            found += _walk(kind, f"{prefix}{name}.")
    return found


@cache
def variables() -> Mapping[str, Variable]:
    """Return the variables of all fields by name, in the order of the models."""
    return {variable.name: variable for variable in _walk(TradingNodeSettings)}


@cache
def variables_by_path() -> Mapping[str, Variable]:
    """Return the variables of all fields by dotted path."""
    return {variable.path: variable for variable in variables().values()}


@cache
def former_names() -> Mapping[str, str]:
    """Return the names that keep working under their former spelling: former name -> current name."""
    current: list[Variable | KeyName] = [*variables().values(), *KEY_NAMES]
    return {former: variable.name for variable in current for former in variable.former}


@cache
def secret_names() -> frozenset[str]:
    """Return the names whose values are secrets, former ones too; each may also come from a file."""
    secrets = {
        *(name for name, variable in variables().items() if variable.secret),
        *(key.name for key in KEY_NAMES),
        REDIS_URL_VARIABLE,
    }
    return frozenset([*secrets, *(former for former, name in former_names().items() if name in secrets)])


@cache
def paths() -> Mapping[str, str]:
    """Return the dotted path of the setting that each name speaks of, for every name that sets one."""
    found = {
        **{name: variable.path for name, variable in variables().items()},
        **{flag.name: flag.path for flag in FLAGS},
        **{key.name: f"{key.venue}.{key.part}" for key in KEY_NAMES},
        **{name: variable.path for name, variable in SPECIAL.items()},
    }
    found |= {former: found[name] for former, name in former_names().items()}
    return {**found, **{f"{name}_FILE": found[name] for name in secret_names()}}


@cache
def known_names() -> frozenset[str]:
    """Return every name that is read from an environment or a ``.env`` file, former ones too."""
    return frozenset(paths())


@cache
def current_names() -> frozenset[str]:
    """Return the names to recommend: those that are read, without the former ones."""
    former = former_names()
    return frozenset(name for name in known_names() if name.removesuffix("_FILE") not in former)


def is_key(name: str) -> bool:
    """Return whether ``name`` holds an exchange's key or secret, which has a shape of its own."""
    return paths().get(name, "").endswith((".api_key", ".api_secret"))


def path_of(key: str) -> str:
    """Return the dotted path of the setting that ``key`` speaks of, however it is spelled; empty if it is none."""
    return key if key in variables_by_path() or key in SPECIAL_BY_PATH else paths().get(key.upper(), "")


@cache
def sections() -> Mapping[str, type[BaseModel]]:
    """Return the models of the sections by name."""
    kinds = {name: _parts(field.annotation)[0] for name, field in TradingNodeSettings.model_fields.items()}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, BaseModel)}
