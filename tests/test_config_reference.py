"""The generated reference: what lies in the repository is what the generator prints, and it is complete and true."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from config.checks.placeholders import PLACEHOLDERS, asks_to_be_replaced
from config.kinds import all_pages
from config.models import TradingNodeSettings
from config.problems import ConfigError
from config.settings.sources import read_env_file
from config.settings.variables import current_names, former_names, known_names, secret_names, variables
from config.show.reference import as_env, as_json_schema, as_markdown
from tests.key_generators import alphanumeric, binance_hmac_pair, bybit_hmac_pair

ROOT = Path(__file__).parents[1]
FILES: dict[str, tuple[Callable[[], str], str]] = {
    ".env.example": (as_env, "tradingnode schema > .env.example"),
    ".env.production.example": (
        lambda: as_env("production"),
        "tradingnode schema --preset production > .env.production.example",
    ),
    "docs/reference.md": (as_markdown, "tradingnode schema --format md > docs/reference.md"),
    "docs/problems.md": (all_pages, "tradingnode schema --format problems > docs/problems.md"),
    "docs/settings.schema.json": (as_json_schema, "tradingnode schema --format json > docs/settings.schema.json"),
}
PRESETS = (None, "production", "testnet", "sandbox")
TESTNET_KEYS = (
    "BINANCE_FUTURES_TESTNET_API_KEY",
    "BINANCE_FUTURES_TESTNET_API_SECRET",
    "BYBIT_TESTNET_API_KEY",
    "BYBIT_TESTNET_API_SECRET",
)
# The secrets that the template of each preset asks for.
ASKED: dict[str | None, tuple[str, ...]] = {
    None: TESTNET_KEYS,
    "production": ("BINANCE_API_KEY", "BINANCE_API_SECRET", "REDIS_PASSWORD"),
    "testnet": TESTNET_KEYS,
    "sandbox": (),
}


@pytest.mark.parametrize("name", FILES)
def test_a_generated_file_is_up_to_date(name: str) -> None:
    generate, command = FILES[name]
    assert generate() == (ROOT / name).read_text(), f"{name} has drifted from the models; run: {command}"


def names_in(text: str) -> list[str]:
    return re.findall(r"^#?([A-Z][A-Z0-9_]+)=", text, flags=re.MULTILINE)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_name_that_is_read_stands_in_the_template_once_and_no_other(preset: str | None) -> None:
    files = {f"{name}_FILE" for name in secret_names()}
    assert sorted(current_names() - files) == sorted(names_in(as_env(preset)))


def test_every_name_that_is_read_stands_in_the_documentation() -> None:
    files = {f"{name}_FILE" for name in secret_names()}
    assert set() == known_names() - files - set(re.findall(r"[A-Z]+_[A-Z0-9_]+", as_markdown()))


def test_the_documentation_has_the_current_name_of_each_former_one() -> None:
    _, _, table = as_markdown().partition("\n## Former names\n")
    assert former_names() == dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|$", table, re.MULTILINE))


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
    assert "# True is BINANCE_ENVIRONMENT=DEMO.\n#BINANCE_DEMO=true\n" in text
    assert "# True is BYBIT_ENVIRONMENT=DEMO.\n#BYBIT_DEMO=true\n" in text


@pytest.mark.parametrize("preset", PRESETS)
def test_no_template_holds_a_value_for_a_secret_but_a_placeholder_where_one_is_needed(preset: str | None) -> None:
    """What the template asks for is a placeholder of ours that ``check`` refuses; all other secrets are empty comments."""
    lines = re.findall(r"^(#?)([A-Z0-9_]+)=(.*)$", as_env(preset), flags=re.MULTILINE)
    given = {name: (sign, value) for sign, name, value in lines if name in secret_names()}
    asked = {name: value for name, (sign, value) in given.items() if not sign}
    assert sorted(ASKED[preset]) == sorted(asked)
    assert {("#", "")} == {given[name] for name in given.keys() - asked.keys()}
    assert set() == set(asked.values()) - set(PLACEHOLDERS.values())
    assert all(asks_to_be_replaced(value) for value in asked.values())


def loaded(tmp_path: Path, text: str, more: dict[str, str]) -> TradingNodeSettings:
    path = tmp_path / ".env"
    path.write_text(text)
    path.chmod(0o600)
    environ = {"NAUTILUS_SECRETS_DIR": str(tmp_path), "HOME": "/home/trader", **more}
    return TradingNodeSettings.from_env(env_file=path, environ=environ)


def filled_in(text: str) -> str:
    """Return a template with something real for each of its placeholders."""
    random = Random("templates")
    pairs = {"BINANCE": binance_hmac_pair(random), "BYBIT": bybit_hmac_pair(random)}

    def real(found: re.Match[str]) -> str:
        name, placeholder = found.groups()
        key, secret = pairs.get(name.partition("_")[0], ("", ""))
        values = {
            PLACEHOLDERS["api_key"]: key,
            PLACEHOLDERS["api_secret"]: secret,
            PLACEHOLDERS["password"]: alphanumeric(random, 32),
            PLACEHOLDERS["trader_id"]: "MINE-007",
        }
        return f"{name}={values.get(placeholder, placeholder)}"

    return re.sub(r"^([A-Z0-9_]+)=(.*)$", real, text, flags=re.MULTILINE)


def test_the_sandbox_template_works_as_it_stands_and_asks_for_a_name(tmp_path: Path) -> None:
    settings = loaded(tmp_path, as_env("sandbox"), {})
    assert ("sandbox", ("BINANCE", "BYBIT")) == (settings.preset, settings.active_venues)
    assert [("TN317", "NAUTILUS_TRADER_ID")] == [(problem.code, problem.key) for problem in settings.warnings]


@pytest.mark.parametrize("preset", [None, "production", "testnet"])
def test_the_other_templates_lack_nothing_but_keys(tmp_path: Path, preset: str | None) -> None:
    """Each placeholder of a key is told by its name; a template with keys alone runs and asks for the rest."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, as_env(preset), {})
    keys = [name for name in ASKED[preset] if "_API_" in name]
    assert [("TN507", name) for name in keys] == [
        (problem.code, problem.key) for problem in caught.value.problems if problem.is_error
    ]
    assert 5 == caught.value.exit_code

    binance, bybit = binance_hmac_pair(Random(1)), bybit_hmac_pair(Random(2))
    real = dict(zip(keys, (*binance, *bybit), strict=False))
    with_keys = "".join(
        f"{name}={real[name]}\n" if (name := line.partition("=")[0]) in real else line
        for line in as_env(preset).splitlines(keepends=True)
    )
    settings = loaded(tmp_path, with_keys, {})
    assert (preset or "testnet") == settings.preset
    rest = {"TN317": "NAUTILUS_TRADER_ID"} | ({"TN316": "REDIS_PASSWORD"} if preset == "production" else {})
    rest |= {"TN303": "REDIS_HOST"} if settings.redis is None else {}
    assert rest == {problem.code: problem.key for problem in settings.warnings}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_template_that_was_filled_in_has_nothing_wrong_or_odd(tmp_path: Path, preset: str | None) -> None:
    books = {"REDIS_HOST": "localhost"} if preset in (None, "testnet") else {}
    settings = loaded(tmp_path, filled_in(as_env(preset)), books)
    assert ("MINE-007", preset or "testnet") == (settings.trader_id, settings.preset)
    # Bybit takes fewer orders than the default rate lets through.
    notes = ["TN004"] if "BYBIT" in settings.active_venues and settings.execution == "VENUE" else []
    assert ((), notes) == (settings.warnings, [note.code for note in settings.notes])


@pytest.mark.parametrize("preset", PRESETS)
def test_what_stands_in_comments_is_accepted_as_it_stands(tmp_path: Path, preset: str | None) -> None:
    """Every commented default and example, one at a time, beside what makes the preset complete."""
    alone = {"BINANCE_BASE_URL_WS_STREAM", "BINANCE_LEVERAGES", "BINANCE_MARGIN_TYPES"}
    for name, text in re.findall(r"^#([A-Z0-9_]+)=(.+)$", as_env(preset), flags=re.MULTILINE):
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


def test_the_json_schema_has_every_name_that_is_read() -> None:
    """Of a former name not its file too: an editor is not to propose either."""
    schema: dict[str, Any] = json.loads(as_json_schema())
    assert known_names() - {f"{name}_FILE" for name in former_names()} == set(schema["properties"])
    assert set(former_names()) == {name for name, found in schema["properties"].items() if found.get("deprecated")}
    assert ["NAUTILUS_TRADER_ID"] == schema["required"]
    assert len(variables()) > 50


def test_the_json_schema_says_what_each_variable_takes() -> None:
    found: dict[str, Any] = json.loads(as_json_schema())["properties"]
    assert [] == [name for name, text in found.items() if not text["description"].endswith(".") or not text["type"]]
    assert "Port of the Redis server. Accepted: a whole number from 1 to 65535." == found["REDIS_PORT"]["description"]
    assert "6379" == found["REDIS_PORT"]["default"]
    choices = {
        "NAUTILUS_PRESET": ["production", "testnet", "sandbox"],
        "NAUTILUS_ROLE": ["trader", "recorder"],
        "BINANCE_ACCOUNT_TYPE": ["SPOT", "USDT_FUTURES", "COIN_FUTURES"],
    }
    # Null is a variable that is passed through.
    assert {name: [*texts, None] for name, texts in choices.items()} == {name: found[name]["enum"] for name in choices}
    # A list of choices is not one of them.
    assert "enum" not in found["NAUTILUS_VENUES"]
    assert "True is BINANCE_ENVIRONMENT=DEMO." in found["BINANCE_DEMO"]["description"]
    assert "holds REDIS_PASSWORD" in found["REDIS_PASSWORD_FILE"]["description"]
    assert "Former name of NAUTILUS_LOG_FORMAT." in found["NAUTILUS_LOG_FILE_FORMAT"]["description"]


def test_the_json_schema_holds_nothing_for_a_secret() -> None:
    found: dict[str, Any] = json.loads(as_json_schema())["properties"]
    secrets = [found[name] for name in secret_names()]
    assert [] == [text for text in secrets if "default" in text or text.get("examples", [""])[0].count("@")]
    assert all(found[name]["writeOnly"] for name, known in variables().items() if known.secret)
