"""The generated reference: what lies in the repository is what the generator prints, and it is complete and true."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.models import TradingNodeSettings
from config.problems import ConfigError
from config.reference import as_env, as_json_schema, as_markdown
from config.sources import read_env_file
from config.variables import known_names, secret_names, variables

ROOT = Path(__file__).parents[1]
FILES: dict[str, tuple[Callable[[], str], str]] = {
    ".env.example": (as_env, "tradingnode schema > .env.example"),
    ".env.production.example": (
        lambda: as_env("production"),
        "tradingnode schema --preset production > .env.production.example",
    ),
    "docs/reference.md": (as_markdown, "tradingnode schema --format md > docs/reference.md"),
}
PRESETS = (None, "production", "testnet", "sandbox")


@pytest.mark.parametrize("name", FILES)
def test_a_generated_file_is_up_to_date(name: str) -> None:
    generate, command = FILES[name]
    assert generate() == (ROOT / name).read_text(), f"{name} has drifted from the models; run: {command}"


def names_in(text: str) -> list[str]:
    return re.findall(r"^#?([A-Z][A-Z_]+)=", text, flags=re.MULTILINE)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_name_that_is_read_stands_in_the_template_once_and_no_other(preset: str | None) -> None:
    files = {f"{name}_FILE" for name in secret_names()}
    assert sorted(known_names() - files) == sorted(names_in(as_env(preset)))


def test_every_name_that_is_read_stands_in_the_documentation() -> None:
    files = {f"{name}_FILE" for name in secret_names()}
    assert set() == known_names() - files - set(re.findall(r"[A-Z]+_[A-Z_]+", as_markdown()))


def test_every_name_in_the_repositorys_template_is_read(tmp_path: Path) -> None:
    """Each of them, given a value, arrives as an entry of its source."""
    names = names_in((ROOT / ".env.example").read_text())
    path = tmp_path / ".env"
    path.write_text("".join(f"{name}=x\n" for name in names))
    assert set(names) == set(read_env_file(path, must_exist=True).entries)


def test_a_template_names_the_essentials_of_a_variable() -> None:
    text = as_env()
    assert "# Port of the Redis server. Accepted: a whole number from 1 to 65535.\n#REDIS_PORT=6379\n" in text
    assert "# True is BINANCE_ENVIRONMENT=TESTNET.\n#BINANCE_TESTNET=true\n" in text
    assert "# True is BYBIT_ENVIRONMENT=DEMO.\n#BYBIT_DEMO=true\n" in text


@pytest.mark.parametrize("preset", PRESETS)
def test_no_template_holds_a_value_for_a_secret(preset: str | None) -> None:
    given = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", as_env(preset), flags=re.MULTILINE))
    assert {""} == {given[name] for name in secret_names()}


def loaded(tmp_path: Path, text: str, more: dict[str, str]) -> TradingNodeSettings:
    path = tmp_path / ".env"
    path.write_text(text)
    return TradingNodeSettings.from_env(env_file=path, environ={"NAUTILUS_SECRETS_DIR": str(tmp_path), **more})


def test_the_sandbox_template_works_as_it_stands(tmp_path: Path) -> None:
    settings = loaded(tmp_path, as_env("sandbox"), {})
    assert ("sandbox", ("BINANCE", "BYBIT")) == (settings.preset, settings.active_venues)


@pytest.mark.parametrize("preset, flag", [("production", {}), ("testnet", {"BINANCE_TESTNET": "true"})])
def test_the_other_templates_lack_nothing_but_keys(tmp_path: Path, preset: str, flag: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, as_env(preset), {})
    assert {5, 3} >= {int(problem.exit_code) for problem in caught.value.problems}
    keys = {"BINANCE_API_KEY": "k", "BINANCE_API_SECRET": "s", **flag}
    assert preset == loaded(tmp_path, as_env(preset), keys).preset


@pytest.mark.parametrize("preset", PRESETS)
def test_what_stands_in_comments_is_accepted_as_it_stands(tmp_path: Path, preset: str | None) -> None:
    """Every commented default and example, one at a time, beside what makes the preset complete."""
    alone = {"BINANCE_BASE_URL_WS_STREAM", "BINANCE_LEVERAGES", "BINANCE_MARGIN_TYPES"}
    for name, text in re.findall(r"^#([A-Z_]+)=(.+)$", as_env(preset), flags=re.MULTILINE):
        if name in alone or name in ("NAUTILUS_SECRETS_DIR", "NAUTILUS_PRESET"):
            continue
        environ = {"NAUTILUS_TRADER_ID": "TRADER-001", "NAUTILUS_SECRETS_DIR": str(tmp_path), name: text}
        TradingNodeSettings.from_env(env_file=None, environ=environ)


def test_the_table_shows_variable_setting_accepted_default_and_meaning() -> None:
    table = as_markdown()
    assert (
        "| **`REDIS_PORT`** | `redis.port` | a whole number from 1 to 65535 | `6379` | Port of the Redis server. |\n"
        in table
    )
    assert re.search(
        r"^\| \*\*`NAUTILUS_TRADER_ID`\*\* \| `trader_id` \| NAME-TAG .* \| required \|", table, re.MULTILINE
    )
    assert "`BYBIT_TESTNET=true` (TESTNET), `BYBIT_DEMO=true` (DEMO)" in table


def test_no_row_of_the_table_is_broken_by_its_own_text() -> None:
    for line in as_markdown().splitlines():
        if line.startswith("| ") and "`" in line:
            assert len(re.findall(r"(?<!\\)\|", line)) in (3, 6), line


def test_the_json_schema_is_that_of_the_tree() -> None:
    schema: dict[str, Any] = json.loads(as_json_schema())
    assert set(TradingNodeSettings.model_fields) == set(schema["properties"])
    assert ["trader_id"] == schema["required"]
    redis = schema["properties"]["redis"]["anyOf"][0]["properties"]
    assert (1, 65535, 6379) == (redis["port"]["minimum"], redis["port"]["maximum"], redis["port"]["default"])
    assert "password" == redis["password"]["anyOf"][0]["format"]
    assert len(variables()) > 50
