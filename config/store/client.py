"""One way to reach Redis beside Nautilus' own: bounded, without retries, against the roots that Nautilus trusts."""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.models import RedisConfig


def redis_client(redis: RedisConfig, *, timeout: float | None = None) -> Any:
    """Return a client that has not connected yet.

    Parameters
    ----------
    redis : RedisConfig
        The server.
    timeout : float, optional
        Seconds for each answer, and for connecting; ``redis.timeout`` by default.

    """
    seconds = redis.timeout if timeout is None else timeout
    tls: dict[str, Any] = {}
    if redis.ssl:
        from certifi import where

        tls = {"ssl": True, "ssl_ca_certs": where()}
    return Redis(
        host=redis.host,
        port=redis.port,
        username=redis.username,
        password=None if redis.password is None else redis.password.get_secret_value(),
        socket_connect_timeout=seconds,
        socket_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
        encoding_errors="replace",
        **tls,
    )


def one_line(error: BaseException) -> str:
    """Return what an error of Redis says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
