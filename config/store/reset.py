"""What ``tradingnode reset`` does: delete what one trader has stored in Redis, and nothing else.

Keys are found with SCAN below ``trader-<ID>:``, compared with that text once more, and deleted by name. Leases stay: what they
leave behind tells a node that was suspended meanwhile that somebody else has been here.

No right is needed beyond those of a node: SCAN, GET, SMEMBERS, HGETALL, DEL, and what the lease needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from redis.client import NEVER_DECODE
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from config.models import RedisConfig
from config.preflight.redis import BOOKS_KEY
from config.problems import ConfigError, Problem
from config.store.client import one_line, redis_client
from config.store.lease import COMMANDS, TIME_TO_LIVE_SECS, Holder, Lease, host_id, trader_name

# Keys that SCAN looks at in one call, as Nautilus itself asks for; and that one call deletes, which takes Redis 1 ms.
PAGE = 5000
BATCH = 1000


class Kind(NamedTuple):
    """What Nautilus calls such keys, after the trader's prefix, and what they hold."""

    names: tuple[str, ...]
    what: str


# Deleted in this order, so that a node starts with the venue's positions on whatever a reset that was cut short has left. With
# `index:order_position` and not its orders, Nautilus does not start; with filled orders and not their position it may take them
# for the difference to the venue, and stays flat. The mark is last: till then the rest is no other environment's.
KINDS: Mapping[str, Kind] = {
    "indexes": Kind(("index",), "what is open, and which order belongs to which position"),
    "orders": Kind(("orders",), "orders with all their events, open and closed"),
    "positions": Kind(("positions",), "positions, open and closed"),
    "accounts": Kind(("accounts",), "balances of the accounts"),
    "states": Kind(("strategies", "actors"), "what strategies and actors keep from one run to the next"),
    "snapshots": Kind(("snapshots",), "what positions were worth, minute by minute"),
    "streams": Kind(("stream",), "what was published on the message bus"),
    "instruments": Kind(("instruments", "synthetics"), "instruments"),
    "currencies": Kind(("currencies",), "currencies"),
    "others": Kind((), "what else stands below the trader's prefix"),
    "marks": Kind((), "of which environment these books are"),
}
_KIND_OF = {name: kind for kind, (names, _) in KINDS.items() for name in names}
_OPEN_ORDERS = ("orders_open", "orders_inflight")
_OPEN_POSITIONS = ("positions_open",)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a trader has in Redis.

    Parameters
    ----------
    trader_id, where : str
        Whose, and in which server.
    counts : mapping
        Number of keys by kind, each of :data:`KINDS`, zeros too.
    orders_open : int
        Orders that these books call open, or on their way to the venue.
    positions_open : int
        Positions that these books call open.

    """

    trader_id: str
    where: str
    counts: Mapping[str, int]
    orders_open: int
    positions_open: int

    @property
    def total(self) -> int:
        """Number of keys."""
        return sum(self.counts.values())

    @property
    def consequences(self) -> tuple[str, ...]:
        """What deleting it means for the next start, a sentence each."""
        held = [
            _counted(number, word)
            for number, word in ((self.orders_open, "order"), (self.positions_open, "position"))
            if number
        ]
        is_one = self.orders_open + self.positions_open == 1
        found = (
            f"{' and '.join(held)} {'is' if is_one else 'are'} open in these books. What is open at the venue is found by the "
            "next start as EXTERNAL: no strategy's own, unless one claims it (NAUTILUS_EXTERNAL_ORDER_CLAIMS)."
            if held
            else "",
            "Strategies and actors begin anew: what they kept is deleted too." if self.counts["states"] else "",
        )
        return tuple(sentence for sentence in found if sentence)

    def to_dict(self) -> dict[str, Any]:
        """Return the same as JSON primitives."""
        return {
            "trader_id": self.trader_id,
            "redis": self.where,
            "keys": self.total,
            "kinds": dict(self.counts),
            "orders_open": self.orders_open,
            "positions_open": self.positions_open,
        }


def trader_prefix(trader_id: str) -> str:
    """Return what each key of a trader begins with; that of ``T-1`` is none of ``T-10``'s."""
    return f"trader-{trader_id}:"


def as_pattern(prefix: str) -> str:
    """Return the pattern of SCAN for keys that begin with ``prefix``, in which nothing stands for anything else."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + "*"


def pages(client: Any, prefix: str) -> Iterator[list[bytes]]:
    """Yield the keys that begin with ``prefix`` as they are found, a page at a time; one may come twice."""
    begin, cursor = prefix.encode(), 0
    while True:
        command = "SCAN", cursor, "MATCH", as_pattern(prefix), "COUNT", PAGE
        # As bytes: a name that is no text has to be deleted under just that name.
        cursor, found = client.execute_command(*command, **{NEVER_DECODE: []})
        yield [key for key in found if key.startswith(begin)]
        if cursor == 0:
            return


def stored(redis: RedisConfig, trader_id: str) -> Stored:
    """Return what a trader has in Redis; changes nothing.

    Raises
    ------
    ConfigError
        ``exit_code`` 6: TN601, TN602 and TN603 say why Redis cannot be used.

    """
    with _answering(redis) as client:
        return _summed(client, redis, trader_id, _keys(client, trader_id))


def refuse_if_held(redis: RedisConfig, trader_id: str) -> None:
    """Return if no node runs as this trader, as far as its lease tells; it is looked at, not waited for.

    Raises
    ------
    ConfigError
        ``exit_code`` 6: TN614 names the node, TN601, TN602 and TN603 say why Redis cannot be used.

    """
    name = trader_name(trader_id)
    with _answering(redis) as client:
        text = client.get(name)
    holder = None if text is None else Holder.from_text(text)
    if text is None or (holder is not None and holder.is_dead()):
        return
    message = f"trader {trader_id} is running, so nothing was deleted: {holder}"
    if holder is None:
        message = f"nothing was deleted: {name} holds what no node wrote"
        fix = f"see what it is, delete {name}, and reset again"
    elif holder.host_id is not None and holder.host_id == host_id():
        fix = f"stop it (kill {holder.pid}) and reset again"
    else:
        fix = f"stop it on {holder.host} and reset again; if it died there, wait {TIME_TO_LIVE_SECS:g} s"
    raise ConfigError([Problem("TN614", "NAUTILUS_TRADER_ID", message, fix)])


def delete(
    redis: RedisConfig,
    trader_id: str,
    *,
    on_progress: Callable[[int, int], object] = lambda _done, _total: None,
    on_wait: Callable[[str], object] = lambda _why: None,
    time_to_live: float = TIME_TO_LIVE_SECS,
) -> Stored:
    """Delete what a trader has in Redis and return what that was; no node can start as this trader meanwhile.

    A run that is cut short leaves the rest as it was: run it again.

    Parameters
    ----------
    redis : RedisConfig
        The server.
    trader_id : str
        Whose books.
    on_progress : callable, optional
        Called with the number of keys that are deleted, and of all, after each batch.
    on_wait : callable, optional
        Called once with a sentence if a node took the lease since it was looked at, and has to be waited for.
    time_to_live : float
        Seconds; of the lease that is held meanwhile.

    Raises
    ------
    ConfigError
        ``exit_code`` 6: TN614 if a node runs as this trader, TN601, TN602 and TN603 if Redis cannot be used. What was
        begun and not ended says how many keys are deleted.

    """
    refuse_if_held(redis, trader_id)
    found, done = None, 0
    with Lease(redis, (trader_name(trader_id),), trader_id, on_wait=on_wait, time_to_live=time_to_live) as lease:
        try:
            with _answering(redis) as client:
                keys = _keys(client, trader_id)
                found = _summed(client, redis, trader_id, keys)
                command = "UNLINK"
                for batch in _batches([key for kind in keys.values() for key in kind]):
                    if not lease.may_trade():
                        raise ConfigError([_lost(trader_id)])
                    command = _remove(client, batch, command)
                    done += len(batch)
                    on_progress(done, found.total)
                again = sum(map(len, _keys(client, trader_id).values()))
        except ConfigError as error:
            if found is None:
                raise
            raise ConfigError(_cut_short(error.problems, done, found.total)) from error
    if again:
        message = f"{_counted(again, 'key')} of trader {trader_id} came while its books were deleted: a node runs without a lease"
        fix = "stop that node (NAUTILUS_LEASE=false), and reset again"
        raise ConfigError([Problem("TN614", "NAUTILUS_TRADER_ID", message, fix)])
    return found


def unusable(error: RedisError, redis: RedisConfig) -> Problem:
    """Return why Redis cannot be used for this."""
    where, secret = f"{redis.host}:{redis.port}", redis.password
    words = one_line(error)
    if secret is not None:
        # A server that does not know AUTH repeats what stood behind it.
        words = words.replace(secret.get_secret_value(), "***")
    if isinstance(error, AuthenticationError):
        user = "the default user" if redis.username is None else f"user {redis.username}"
        key = "REDIS_PASSWORD" if redis.username is None else "REDIS_USERNAME and REDIS_PASSWORD"
        message = f"Redis at {where} refuses {user}: {words}"
        return Problem("TN602", "REDIS_PASSWORD", message, f"set {key} to what that server expects")
    if isinstance(error, ResponseError):
        message = f"Redis at {where} answers, but cannot be used: {words}"
        fix = "mend what it names, then run again"
        if isinstance(error, NoPermissionError):
            commands = ", ".join(("scan", "get", "smembers", "hgetall", *COMMANDS))
            fix = f"give the user the keys trader-* and tradingnode:*, and the commands {commands}"
        return Problem("TN603", "REDIS_HOST", message, fix)
    message = f"Redis at {where} cannot be reached: {words}"
    return Problem("TN601", "REDIS_HOST", message, f"start Redis at {where}, or set REDIS_HOST and REDIS_PORT")


@contextmanager
def _answering(redis: RedisConfig) -> Iterator[Any]:
    """Give a client, and tell what Redis refuses as a problem."""
    try:
        with redis_client(redis) as client:
            yield client
    except RedisError as error:
        raise ConfigError([unusable(error, redis)]) from error


def _keys(client: Any, trader_id: str) -> dict[str, list[bytes]]:
    """Return each key of a trader once, by kind."""
    prefix = trader_prefix(trader_id)
    found: dict[str, list[bytes]] = {kind: [] for kind in KINDS}
    for key in {key for page in pages(client, prefix) for key in page}:
        name = key[len(prefix.encode()) :].split(b":")[0].decode("ascii", "replace")
        found[_KIND_OF.get(name, "others")].append(key)
    mark = BOOKS_KEY.format(trader_id=trader_id)
    if client.hgetall(mark):
        found["marks"].append(mark.encode())
    return found


def _summed(client: Any, redis: RedisConfig, trader_id: str, keys: Mapping[str, Sequence[bytes]]) -> Stored:
    def members(names: Sequence[str]) -> int:
        index = f"{trader_prefix(trader_id)}index:"
        return len(set[str]().union(*(client.smembers(f"{index}{name}") for name in names)))

    counts = {kind: len(found) for kind, found in keys.items()}
    return Stored(trader_id, f"{redis.host}:{redis.port}", counts, members(_OPEN_ORDERS), members(_OPEN_POSITIONS))


def _batches(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (keys[begin : begin + BATCH] for begin in range(0, len(keys), BATCH))


def _remove(client: Any, keys: Sequence[bytes], command: str) -> str:
    """Delete the keys, and return the command that this server and its user take: UNLINK does not make the others wait."""
    try:
        client.execute_command(command, *keys)
    except ResponseError:
        if command == "DEL":
            raise
        command = "DEL"
        client.execute_command(command, *keys)
    return command


def _lost(trader_id: str) -> Problem:
    message = f"the lease of trader {trader_id} was not renewed in time, so that a node may have started"
    return Problem("TN614", "NAUTILUS_TRADER_ID", message, "stop that node")


def _cut_short(problems: Sequence[Problem], done: int, total: int) -> list[Problem]:
    # Of the batch whose answer never came nobody knows.
    told = f"of {_counted(total, 'key')} {done:,} {'is' if done == 1 else 'are'} certainly deleted"
    return [
        replace(problem, message=f"{problem.message}; {told}", fix=f"{problem.fix}; then reset again")
        for problem in problems
    ]


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
