"""Secrets inside Nautilus' structs: in no text that they make, and whole for whoever needs them."""

from __future__ import annotations

import hashlib
import hmac
import pickle
from typing import Any

import msgspec
import pytest
from nautilus_trader.common.config import msgspec_encoding_hook, pyo3_config_json
from nautilus_trader.config import CacheConfig, DatabaseConfig, NautilusConfig, TradingNodeConfig
from nautilus_trader.core import nautilus_pyo3
from pydantic import SecretStr

from config.cache import build_cache_config
from config.clients.binance import build_binance_data_client_config, build_binance_exec_client_config
from config.clients.bybit import build_bybit_data_client_config, build_bybit_exec_client_config
from config.factory import TradingNodeConfigFactory
from config.masking import MASK, ClientSecret, RedisDatabaseConfig, client_secret, with_plain_keys
from config.models import BinanceCredentials, BybitCredentials, RedisConfig, StreamingSettings, TradingNodeSettings

CANARIES = ("canary-api-key", "canary-api-secret", "canary-proxy-password", "canary-redis-password")
PROXY = "http://user:canary-proxy-password@proxy.example:3128"
KEYS: dict[str, Any] = {"api_key": "canary-api-key", "api_secret": "canary-api-secret", "proxy_url": PROXY}
BINANCE = BinanceCredentials(**KEYS)
BYBIT = BybitCredentials(**KEYS)
REDIS = RedisConfig(password=SecretStr("canary-redis-password"))
SETTINGS = TradingNodeSettings(
    trader_id="TRADER-001", binance=BINANCE, bybit=BYBIT, redis=REDIS, streaming=StreamingSettings()
)

CLIENTS: dict[str, Any] = {
    "binance data": build_binance_data_client_config(BINANCE),
    "binance execution": build_binance_exec_client_config(BINANCE),
    "bybit data": build_bybit_data_client_config(BYBIT),
    "bybit execution": build_bybit_exec_client_config(BYBIT),
}
HOLDERS: dict[str, Any] = {
    **CLIENTS,
    "cache": build_cache_config(REDIS),
    "database": build_cache_config(REDIS).database,
    "whole": TradingNodeConfigFactory.from_settings(SETTINGS),
}
TEXTS: dict[str, Any] = {
    "repr": repr,
    "str": str,
    "format": "{}".format,
    "json": lambda config: config.json().decode(),
    "json_primitives": lambda config: str(config.json_primitives()),
    "repr of its fields": lambda config: repr(config.dict()),
}


# The one exception: the fields of the database alone, in a plain mapping, which nothing prints.
CASES = [(holder, text) for holder in HOLDERS for text in TEXTS if (holder, text) != ("database", "repr of its fields")]


@pytest.mark.parametrize("holder, text", CASES)
def test_no_text_of_a_built_config_holds_a_secret(holder: str, text: str) -> None:
    shown = TEXTS[text](HOLDERS[holder])
    assert MASK in shown
    assert [] == [canary for canary in CANARIES if canary in shown]


@pytest.mark.parametrize("client", CLIENTS)
def test_what_nautilus_itself_encodes_of_a_client_holds_no_secret(client: str) -> None:
    """The kernel and the streaming writer do not call ``json()`` of a nested config; they pass it to Nautilus' hook."""
    encoded = msgspec.json.encode({"client": CLIENTS[client]}, enc_hook=msgspec_encoding_hook).decode()
    assert f'"api_secret":"{MASK}"' in encoded
    assert [] == [canary for canary in CANARIES if canary in encoded]


@pytest.mark.parametrize("client", CLIENTS)
def test_adapters_get_the_real_text(client: str) -> None:
    config = CLIENTS[client]
    assert ("canary-api-key", "canary-api-secret", PROXY) == (config.api_key, config.api_secret, config.proxy_url)
    assert all(isinstance(text, str) for text in (config.api_key, config.api_secret, config.proxy_url))


def test_hmac_signs_with_the_real_secret() -> None:
    secret = CLIENTS["binance execution"].api_secret
    expected = hmac.new(b"canary-api-secret", b"symbol=BTCUSDT", hashlib.sha256).hexdigest()
    assert expected == hmac.new(secret.encode(), b"symbol=BTCUSDT", hashlib.sha256).hexdigest()


def test_rust_takes_the_real_key() -> None:
    config = CLIENTS["bybit execution"]
    client = nautilus_pyo3.BybitHttpClient(api_key=config.api_key, api_secret=config.api_secret)
    assert "canary-api-key" == client.api_key


def test_rust_gets_the_real_redis_password() -> None:
    """The kernel hands the cache to Rust in this form: masked there, every authentication would fail."""
    assert b'"password":"canary-redis-password"' in pyo3_config_json(HOLDERS["cache"])


def test_masking_changes_neither_the_config_nor_its_equality() -> None:
    config = HOLDERS["whole"]
    config.json()
    assert "canary-redis-password" == config.cache.database.password
    assert TradingNodeConfigFactory.from_settings(SETTINGS) == config


def test_a_secret_stays_masked_through_pickle_and_copies() -> None:
    copy = pickle.loads(pickle.dumps(ClientSecret("canary-api-key")))  # noqa: S301  our own bytes
    assert ("canary-api-key", MASK) == (copy, repr(copy))


def test_a_client_that_encodes_its_key_into_messages_gets_plain_text_that_msgspec_takes() -> None:
    made = with_plain_keys(CLIENTS["binance execution"])
    assert b'["canary-api-key","canary-api-secret"]' == msgspec.json.encode([made.api_key, made.api_secret])
    assert (MASK, CLIENTS["binance execution"].instrument_provider) == (repr(made.proxy_url), made.instrument_provider)
    with pytest.raises(TypeError, match="ClientSecret is unsupported"):
        msgspec.json.encode(CLIENTS["binance execution"].api_key)


def test_plain_keys_of_a_client_without_keys_are_none() -> None:
    made = with_plain_keys(build_binance_data_client_config(BinanceCredentials()))
    assert (None, None) == (made.api_key, made.api_secret)


def test_an_absent_secret_stays_absent() -> None:
    assert client_secret(None) is None


def test_json_shows_that_there_is_no_password() -> None:
    database: Any = RedisDatabaseConfig()
    cache: Any = build_cache_config(RedisConfig())
    assert database.json_primitives()["password"] is None
    assert cache.json_primitives()["database"]["password"] is None


@pytest.mark.parametrize(
    "stock",
    [
        pytest.param(DatabaseConfig(password="canary"), id="database"),
        pytest.param(CacheConfig(database=DatabaseConfig(password="canary")), id="cache"),
        pytest.param(TradingNodeConfig(cache=CacheConfig(database=DatabaseConfig(password="canary"))), id="whole"),
    ],
)
def test_nautilus_own_json_still_prints_the_redis_password(stock: NautilusConfig) -> None:
    """The day this fails, our subclasses can go."""
    assert b"canary" in stock.json()
