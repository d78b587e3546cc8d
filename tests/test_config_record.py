"""The record that a run leaves: what applies, where from, and no secret."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from config.models import RedisConfig, TradingNodeSettings
from config.record import as_text, other_endpoints, redacted, rows, write_record

CANARY = "canary-7f3a9"
ENVIRON = {
    "NAUTILUS_TRADER_ID": "TRADER-001",
    "NAUTILUS_SECRETS_DIR": "/",
    "BINANCE_FUTURES_TESTNET_API_KEY": f"{CANARY}-key",
    "BINANCE_FUTURES_TESTNET_API_SECRET": f"{CANARY}-secret",
    "BINANCE_PROXY_URL": f"http://me:{CANARY}-proxy@proxy.example:3128",
    "REDIS_HOST": "redis",
    "REDIS_PASSWORD": f"{CANARY}-password",
}


@pytest.fixture
def settings(tmp_path: Path) -> TradingNodeSettings:
    environ = {**ENVIRON, "NAUTILUS_STATE_DIR": str(tmp_path / "state" / "below")}
    return TradingNodeSettings.from_env(env_file=None, environ=environ, preset="testnet")


def test_rows_show_what_applies_and_where_it_came_from(settings: TradingNodeSettings) -> None:
    found = {row.variable.name: (row.value, row.where) for row in rows(settings)}
    expected = {
        "NAUTILUS_TRADER_ID": ("TRADER-001", "process environment"),
        "BINANCE_API_KEY": ("***", "process environment"),
        "BINANCE_API_SECRET": ("***", "process environment"),
        "BINANCE_PROXY_URL": ("***", "process environment"),
        "BINANCE_ENVIRONMENT": ("TESTNET", "preset testnet"),
        "REDIS_HOST": ("redis", "process environment"),
        "REDIS_PASSWORD": ("***", "process environment"),
        "REDIS_PORT": ("6379", "default"),
        "NAUTILUS_STOP_TIMEOUT": ("30", "default"),
    }
    assert expected == {name: found[name] for name in expected}


def test_rows_show_the_name_under_which_a_key_was_found(settings: TradingNodeSettings) -> None:
    keys = {row.variable.name: row.origin.key for row in rows(settings) if row.origin is not None}
    assert "BINANCE_FUTURES_TESTNET_API_KEY" == keys["BINANCE_API_KEY"]


def test_rows_show_what_a_default_comes_to(settings: TradingNodeSettings, tmp_path: Path) -> None:
    found = {row.variable.path: row.value for row in rows(settings)}
    state = tmp_path / "state" / "below"
    expected = {
        "venues": "BINANCE",
        "state_dir": str(state),
        "logging.log_directory": str(state / "logs"),
        "load_state": "true",
        "save_state": "true",
        "ready_timeout": "70",
    }
    assert expected == {path: found[path] for path in expected}


def test_rows_leave_out_what_is_off(settings: TradingNodeSettings) -> None:
    sections = {row.variable.path.partition(".")[0] for row in rows(settings)}
    assert {"bybit", "streaming"}.isdisjoint(sections)
    assert {"binance", "redis", "logging"} <= sections


def test_the_record_holds_every_row_and_no_secret(settings: TradingNodeSettings) -> None:
    path = write_record(settings)
    text = path.read_text()
    record = json.loads(text)
    assert ("TRADER-001", "testnet") == (record["trader_id"], record["preset"])
    assert {row.variable.path for row in rows(settings)} == set(record["settings"])
    assert {"value": "***", "key": "REDIS_PASSWORD", "source": "process environment"} == (
        record["settings"]["redis.password"]
    )
    assert CANARY not in text


def test_the_record_is_for_its_owner_only_whatever_the_umask(settings: TradingNodeSettings) -> None:
    old = os.umask(0)
    try:
        path = write_record(settings)
    finally:
        os.umask(old)
    assert (0o600, 0o700) == (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777)


def test_the_record_is_replaced_at_once_and_leaves_nothing_beside_it(settings: TradingNodeSettings) -> None:
    """Who has the old record open reads it to its end: a new file took its name."""
    path = write_record(settings)
    before = path.read_text()
    with path.open() as reader:
        changed = TradingNodeSettings(trader_id="OTHER-002", state_dir=settings.state_dir)
        assert path == write_record(changed)
        assert before == reader.read()
    assert "OTHER-002" == json.loads(path.read_text())["trader_id"]
    assert [path.name] == [file.name for file in path.parent.iterdir()]


def test_a_state_directory_that_cannot_be_made_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_record(TradingNodeSettings(trader_id="TRADER-001", state_dir=tmp_path / "file" / "below"))


@pytest.mark.parametrize(
    "expected, value",
    [
        ("", None),
        ("***", SecretStr(CANARY)),
        ("true", True),
        ("false", False),
        ("30", 30.0),
        ("0.5", 0.5),
        ("6379", 6379),
        ("BINANCE,BYBIT", ("BINANCE", "BYBIT")),
        ("", ()),
        ("A=5,B=***", {"A": 5, "B": SecretStr(CANARY)}),
        ("/var/log", Path("/var/log")),
    ],
)
def test_a_value_is_shown_as_it_would_be_written(expected: str, value: object) -> None:
    assert expected == as_text(value)


def test_other_hosts_are_listed_with_the_variables_that_name_them() -> None:
    gateway: Any = {
        "base_url_http": "https://gateway.example:8443",
        "base_url_ws": "wss://gateway.example:8443/ws",
        "base_url_ws_api": "wss://ws-fapi.binance.com",
    }
    settings = TradingNodeSettings(
        trader_id="TRADER-001",
        venues=("BINANCE",),
        binance=gateway,
        bybit={"base_url_http": "http://127.0.0.1:1"},  # type: ignore[arg-type]  # a mapping, as from_env gives it
    )
    assert {"gateway.example:8443": ["BINANCE_BASE_URL_HTTP", "BINANCE_BASE_URL_WS"]} == other_endpoints(settings)


def test_the_words_of_others_are_cleared_of_every_secret(settings: TradingNodeSettings) -> None:
    words = f"refused {CANARY}-password and {CANARY}-key with {CANARY}-secret via http://me:{CANARY}-proxy@proxy.example:3128"
    assert "refused *** and *** with *** via ***" == redacted(words, settings)
    plain = TradingNodeSettings(trader_id="TRADER-001", redis=RedisConfig())
    assert "as it was" == redacted("as it was", plain)
