"""The same fields on pydantic-settings' own sources: one flat ``BaseSettings``, an alias a field, no provenance, no presets."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, SecretStr, create_model
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from benchmarks.inputs import SECRETS
from config.models import Setting, TradingNodeSettings
from config.settings.variables import KEY_NAMES


def _fields(model: Any) -> dict[str, Any]:
    """Return our own fields, with types, bounds and defaults, under the variable's name."""
    found: dict[str, Any] = {}
    annotated: Any = Annotated  # made while running, which mypy does not follow
    for field in model.model_fields.values():
        setting = next((item for item in field.metadata if isinstance(item, Setting)), None)
        if setting is None:
            kinds = [kind for kind in getattr(field.annotation, "__args__", (field.annotation,)) if _is_model(kind)]
            found |= {name: value for kind in kinds for name, value in _fields(kind).items()}
            continue
        default = {"default_factory": field.default_factory} if field.default_factory else {"default": field.default}
        kind = annotated[(field.annotation, *field.metadata, NoDecode)]
        found[setting.variable.lower()] = (kind, Field(**default, validation_alias=setting.variable))
    return found


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


class _Stock(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)


class _Tuned(_Stock):
    """Without the default's comparison of every line of a ``.env`` with every field."""

    model_config = SettingsConfigDict(dotenv_filtering="only_existing")


def stock_settings(*, tuned: bool = False) -> Any:
    """Return the class; ``tuned`` avoids the default's most expensive step."""
    fields = _fields(TradingNodeSettings)
    for key in KEY_NAMES:
        if key.name in SECRETS:
            fields[key.name.lower()] = (SecretStr | None, Field(default=None, validation_alias=key.name))
    return create_model("Stock", __base__=_Tuned if tuned else _Stock, **fields)
