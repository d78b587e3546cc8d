"""The same fields on pydantic-settings' own sources: one flat ``BaseSettings`` with an alias a field, no provenance, no presets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, SecretStr, create_model
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from benchmarks.inputs import SECRETS
from config.models import Setting, TradingNodeSettings
from config.variables import KEY_NAMES


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    """Return our own fields, with types, bounds and defaults, under the variable's name."""
    found: dict[str, Any] = {}
    for field in model.model_fields.values():
        setting = next((item for item in field.metadata if isinstance(item, Setting)), None)
        if setting is None:
            sections = [kind for kind in getattr(field.annotation, "__args__", (field.annotation,)) if _is_model(kind)]
            found |= {name: value for section in sections for name, value in _fields(section).items()}
            continue
        kind: Any = Annotated[(field.annotation, *field.metadata, NoDecode)]  # type: ignore[misc]  # made while running
        given = {"default_factory": field.default_factory} if field.default_factory else {"default": field.default}
        name = setting.variable
        found[name.lower()] = (kind, Field(**given, validation_alias=name))  # type: ignore[call-overload]  # one of two
    return found


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


class _Stock(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)


class _Tuned(_Stock):
    """Without the default's comparison of every line of a ``.env`` with every field."""

    model_config = SettingsConfigDict(dotenv_filtering="only_existing")


def stock_settings(*, tuned: bool = False) -> type[BaseSettings]:
    keys = {
        key.name.lower(): (SecretStr | None, Field(default=None, validation_alias=key.name))
        for key in KEY_NAMES
        if key.name in SECRETS
    }
    made: Any = create_model("Stock", __base__=_Tuned if tuned else _Stock, **_fields(TradingNodeSettings), **keys)
    return made  # type: ignore[no-any-return]  # create_model with made fields is Any
