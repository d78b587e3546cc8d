"""The record that a run leaves: what applies, where from, what that overrode, and no secret."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from random import Random

import pytest
from pydantic import SecretStr

from config.models import RedisConfig, TradingNodeSettings
from config.problems import Origin
from config.show.record import as_text, redacted, rows, shown, write_record
from tests.key_generators import alphanumeric, binance_hmac_pair

CANARY = "canary-7f3a9"
KEY, SECRET = binance_hmac_pair(Random(CANARY))
PROXY = f"http://me:{CANARY}-proxy@proxy.internal:3128"
ENVIRON = {
    "NAUTILUS_TRADER_ID": "TRADER-001",
    "NAUTILUS_SECRETS_DIR": "/",
    "BINANCE_FUTURES_TESTNET_API_KEY": KEY,
    "BINANCE_FUTURES_TESTNET_API_SECRET": SECRET,
    "BINANCE_PROXY_URL": PROXY,
    "REDIS_HOST": "redis",
    "REDIS_PASSWORD": f"{CANARY}-password",
}


def digest(secret: str) -> str:
    """Return what tells ``secret`` from another one."""
    return hashlib.sha256(b"tradingnode-config secret fingerprint 1\0" + secret.encode()).hexdigest()[:8]


@pytest.fixture
def settings(tmp_path: Path) -> TradingNodeSettings:
    environ = {**ENVIRON, "NAUTILUS_STATE_DIR": str(tmp_path / "state" / "below")}
    return TradingNodeSettings.from_env(env_file=None, environ=environ, preset="testnet")


def test_rows_show_what_applies_and_where_it_came_from(settings: TradingNodeSettings) -> None:
    found = {row.variable.name: (row.value, row.where) for row in rows(settings)}
    expected = {
        "NAUTILUS_TRADER_ID": ("TRADER-001", "process environment"),
        "BINANCE_API_KEY": (
            f"*** (sha256:{digest(KEY)})",
            "process environment as BINANCE_FUTURES_TESTNET_API_KEY",
        ),
        "BINANCE_API_SECRET": (
            f"*** (sha256:{digest(SECRET)})",
            "process environment as BINANCE_FUTURES_TESTNET_API_SECRET",
        ),
        "BINANCE_PROXY_URL": ("*** (set)", "process environment"),
        "BINANCE_ENVIRONMENT": ("TESTNET", "preset testnet"),
        "REDIS_HOST": ("redis", "process environment"),
        "REDIS_PASSWORD": ("*** (set)", "process environment"),
        "REDIS_PORT": ("6379", "default"),
        "NAUTILUS_STOP_TIMEOUT": ("30", "default"),
    }
    assert expected == {name: found[name] for name in expected}


def test_rows_show_the_name_under_which_a_key_was_found(settings: TradingNodeSettings) -> None:
    keys = {row.variable.name: row.origin.key for row in rows(settings) if row.origin is not None}
    assert "BINANCE_FUTURES_TESTNET_API_KEY" == keys["BINANCE_API_KEY"]


def test_rows_show_what_each_value_overrode_highest_first(tmp_path: Path) -> None:
    files = []
    for name, port in (("a.env", 6380), ("b.env", 6381)):
        files.append(tmp_path / name)
        files[-1].write_text(f"\nREDIS_PORT={port}\nBINANCE_ENVIRONMENT=DEMO\n")
    environ = {**ENVIRON, "REDIS_PORT": "6382", "BINANCE_ENVIRONMENT": "TESTNET"}
    settings = TradingNodeSettings.from_env(env_file=files, environ=environ, preset="testnet")
    overrides = {row.variable.name: [(value.value, value.origin) for value in row.overrides] for row in rows(settings)}
    a, b = map(str, files)
    assert [("6381", Origin(b, "REDIS_PORT", 2)), ("6380", Origin(a, "REDIS_PORT", 2))] == overrides["REDIS_PORT"]
    assert ["DEMO", "DEMO", "TESTNET"] == [value for value, _ in overrides["BINANCE_ENVIRONMENT"]]
    assert "preset testnet" == overrides["BINANCE_ENVIRONMENT"][-1][1].source
    assert ([], []) == (overrides["REDIS_HOST"], overrides["REDIS_TIMEOUT"])


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
    assert {"value": "*** (set)", "key": "REDIS_PASSWORD", "source": "process environment"} == (
        record["settings"]["redis.password"]
    )
    assert [] == [secret for secret in (CANARY, KEY, SECRET) if secret in text]


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


@pytest.mark.parametrize(
    "expected, path, value",
    [
        (f"*** (sha256:{digest(KEY)})", "binance.api_key", SecretStr(KEY)),
        (f"*** (sha256:{digest(SECRET)})", "bybit.api_secret", SecretStr(SECRET)),
        ("*** (set)", "binance.api_secret", SecretStr(alphanumeric(Random(31), 31))),
        ("*** (set)", "redis.password", SecretStr(CANARY)),
        # A password may be one of few, however long it is.
        ("*** (set)", "redis.password", SecretStr(SECRET)),
        ("*** (set)", "binance.proxy_url", SecretStr(SECRET)),
        ("", "redis.password", None),
        ("6379", "redis.port", 6379),
        ("BINANCE,BYBIT", "venues", ("BINANCE", "BYBIT")),
    ],
)
def test_a_person_sees_of_a_secret_that_it_is_set_and_which_one_if_that_is_safe(
    expected: str, path: str, value: object
) -> None:
    assert expected == shown(path, value)


def test_the_words_of_others_are_cleared_of_every_secret(settings: TradingNodeSettings) -> None:
    words = f"refused {CANARY}-password and {KEY} with {SECRET} via {PROXY}"
    assert "refused *** and *** with *** via ***" == redacted(words, settings)
    plain = TradingNodeSettings(trader_id="TRADER-001", redis=RedisConfig())
    assert "as it was" == redacted("as it was", plain)
