"""What lies outside the process, tried before a node is built: Nautilus itself would hang on it."""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from config.models import RedisConfig, TradingNodeSettings
from config.problems import Problem

# A prefix of our own: Nautilus refuses keys that it does not know below `trader-<ID>:`.
BOOKS_KEY = "tradingnode:books:{trader_id}"


def check_redis(redis: RedisConfig, settings: TradingNodeSettings) -> tuple[Problem, ...]:
    """Return what keeps a node from using Redis; takes at most ``redis.timeout`` seconds for each of connection and answer.

    The server is written to, as Nautilus will, and whose books it holds is kept there: one trader id's books of testnet, of
    paper and of real money have the same keys, and would be loaded into each other without a word.

    Parameters
    ----------
    redis : RedisConfig
        The server; user and password are really used.
    settings : TradingNodeSettings
        Which trader runs where.

    """
    where = f"{redis.host}:{redis.port}"
    client = Redis(
        host=redis.host,
        port=redis.port,
        username=redis.username,
        password=None if redis.password is None else redis.password.get_secret_value(),
        ssl=redis.ssl,
        socket_connect_timeout=redis.timeout,
        socket_timeout=redis.timeout,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )
    try:
        client.ping()
        return _claim_books(client, where, settings)
    except AuthenticationError as error:
        user = f"user {redis.username}" if redis.username is not None else "the default user"
        key = "REDIS_USERNAME and REDIS_PASSWORD" if redis.username is not None else "REDIS_PASSWORD"
        message = f"Redis at {where} refuses {user}: {_kind(error)}"
        return (Problem("TN602", "REDIS_PASSWORD", message, f"set {key} to what that server expects"),)
    except ResponseError as error:
        message = f"Redis at {where} answers, but cannot be used: {_kind(error)}"
        return (Problem("TN603", "REDIS_HOST", message, "mend what it names, then run again"),)
    except (RedisError, OSError) as error:
        tls = " with TLS" if redis.ssl else ""
        message = f"Redis at {where} cannot be reached{tls}: {_reason(error, redis.timeout)}"
        fix = f"start Redis at {where}, or set REDIS_HOST and REDIS_PORT"
        fix += "; if that port speaks no TLS, set REDIS_SSL=false" if redis.ssl else ""
        return (Problem("TN601", "REDIS_HOST", message, fix),)
    finally:
        client.close()


def _claim_books(client: Any, where: str, settings: TradingNodeSettings) -> tuple[Problem, ...]:
    """Mark the books of each active venue as those of its environment, and return a problem where they are another one's."""
    key = BOOKS_KEY.format(trader_id=settings.trader_id)
    problems = []
    for venue in settings.active_venues:
        mine = "SIMULATED" if settings.execution == "SIMULATED" else settings.credentials(venue).environment
        client.hsetnx(key, venue, mine)
        found = str(client.hget(key, venue))
        if found != mine:
            holds = f"Redis at {where} holds the books of {settings.trader_id} on {venue} {found}"
            message = f"{holds}; this node would run on {mine}"
            fix = f"give each its own trader id (NAUTILUS_TRADER_ID); if those books are no longer wanted, delete {key} and them"
            problems.append(Problem("TN813", "NAUTILUS_TRADER_ID", message, fix))
    return tuple(problems)


def _reason(error: Exception, timeout: int) -> str:
    """Return what the system says of a connection that failed, without the address that the caller tells."""
    if isinstance(error, RedisTimeoutError | TimeoutError):
        return f"no answer within {timeout} s"
    cause = error.__context__ or error
    return (cause.strerror or _kind(cause)).lower() if isinstance(cause, OSError) else _kind(error)


def _kind(error: Exception) -> str:
    """Return the server's or the system's own words, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
