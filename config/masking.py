"""Secrets inside Nautilus' own structs: the real text for the adapters, ``***`` for repr, JSON and the streamed config.json."""

from __future__ import annotations

from typing import Any

import msgspec
from nautilus_trader.common.config import register_config_encoding
from nautilus_trader.config import CacheConfig, DatabaseConfig, NautilusConfig, TradingNodeConfig
from pydantic import SecretStr

MASK = "***"


class ClientSecret(str):
    """Text that shows as ``***``. The adapters, HMAC and the Rust clients take it as the ``str`` that it is.

    msgspec does not encode subclasses of str itself; it asks Nautilus' encoding hook, where the mask is registered.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK


def client_secret(value: SecretStr | None) -> ClientSecret | None:
    """Return ``value`` for a client config of Nautilus, None if there is none."""
    if value is None:
        return None
    register_config_encoding(ClientSecret, lambda _: MASK)
    return ClientSecret(value.get_secret_value())


def with_plain_keys[C: NautilusConfig](config: C) -> C:
    """Return a client's ``config`` with its key pair as plain ``str``, for a client that encodes it into its messages.

    Binance's WebSocket API does, with msgspec and without the encoding hook, which then refuses a subclass of str.
    """
    plain = {name: str(value) for name in ("api_key", "api_secret") if (value := getattr(config, name)) is not None}
    return msgspec.structs.replace(config, **plain)


# The kernel hands the database to Rust through the very hook that masks ClientSecret, so the Redis password is masked in `json()`
# instead: Rust does not call it, people and `config.json` do.
class RedisDatabaseConfig(DatabaseConfig, frozen=True):
    """A ``DatabaseConfig`` whose ``json()`` masks its password, as its repr does."""

    def json(self) -> bytes:
        """Return the JSON encoded bytes, the password masked."""
        return DatabaseConfig.json(msgspec.structs.replace(self, password=MASK) if self.password is not None else self)


class RedisCacheConfig(CacheConfig, frozen=True):
    """A ``CacheConfig`` whose ``json()`` masks the password of its database."""

    def json(self) -> bytes:
        """Return the JSON encoded bytes, the password masked."""
        return CacheConfig.json(_masked(self))


class MaskedTradingNodeConfig(TradingNodeConfig, frozen=True):
    """A ``TradingNodeConfig`` whose ``json()``, and so the streamed ``config.json``, holds no secret."""

    def json(self) -> bytes:
        """Return the JSON encoded bytes, every secret masked."""
        shown: Any = self if self.cache is None else msgspec.structs.replace(self, cache=_masked(self.cache))
        return TradingNodeConfig.json(shown)


def _masked(cache: CacheConfig) -> CacheConfig:
    database = cache.database
    if database is None or database.password is None:
        return cache
    return msgspec.structs.replace(cache, database=msgspec.structs.replace(database, password=MASK))
