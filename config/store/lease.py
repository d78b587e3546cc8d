"""One trader only: a lease in Redis per trader id and per venue account, renewed while the process lives.

A lease makes a second node wait and give up; it is no proof. What remains:

- Between :meth:`Lease.may_trade` and the order's arrival at the venue nothing is checked. It says no from half the time to live
  on, and nobody else gets in before all of it has passed, so a pause of more than half of it has to fall just there. A venue
  that refuses old requests (``recv_window``, 5 s, counted from the signature) closes what comes after the signature.
- Redis decides. If it comes back empty, or from a replica that had not heard of the lease, another node can be first. This one
  finds that out at its next renewal: until then, at most half the time to live, both trade.
- Two keys of one account are two accounts here, two Redis servers are two worlds, and a virtual machine that is copied while it
  runs is one holder twice.
- An extension that keeps the interpreter's lock keeps the renewal from running too; a blocked event loop alone does not.

``redis.lock.Lock`` holds one name, knows no holder to take over from, and needs Lua. WATCH and EXEC, Redis' own compare-and-set,
take all names or none, on servers without scripting as well.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from redis.exceptions import AuthenticationError, RedisError, ResponseError

from config.live.threads import start_unsignalled
from config.models import RedisConfig, TradingNodeSettings
from config.problems import ConfigError, Problem
from config.store.client import one_line, redis_client

type State = Literal["held", "failing", "lost"]

PREFIX = "tradingnode:lease"
TIME_TO_LIVE_SECS = 15.0
# What an ACL user needs beside a login, on the keys `tradingnode:lease:*`.
COMMANDS = ("watch", "unwatch", "mget", "multi", "exec", "set", "del")

# Parts of the time to live: when to renew, when to stop trading, how often to look, how long to wait for one answer.
_RENEWED_AFTER, _TRADED_UNTIL, _LOOKED_EVERY, _ANSWERED_WITHIN = 1 / 3, 1 / 2, 1 / 30, 1 / 6
_DOMAIN = b"tradingnode lease of an account 1\0"
# 64 bits: two keys have the same digits once in 1.8e19.
_DIGITS = 16
# 0.07 s for each guess: 8 unknown of an 18-character key are 2.2e14 guesses, half a million years of one core.
_ROUNDS = 200_000
# A clock that goes on while the machine sleeps; on macOS that is the monotonic one.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_NEVER = (-inf, -inf)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease, as it stands in Redis; nothing of a key.

    Parameters
    ----------
    token : str
        Random; tells this holder from any other, also of the same process.
    trader_id, host : str
        For people: the trader and the host's name.
    host_id : str, optional
        The same for all processes whose ids can be compared: machine, boot, and namespace of process ids (two containers of
        one host have different ones). A hash: systemd asks not to show a machine's id. None where the system tells none.
    pid : int
        Process id there.
    process_start : int, optional
        When that process started, in the kernel's ticks: a process id is given again, this is not.
    since : str
        When it took the lease, UTC.

    """

    token: str
    trader_id: str
    host: str
    host_id: str | None
    pid: int
    process_start: int | None
    since: str

    def __str__(self) -> str:
        return f"trader {self.trader_id}, process {self.pid} on {self.host}, since {self.since}"

    @property
    def text(self) -> str:
        """What is written to Redis."""
        return json.dumps(asdict(self))

    @classmethod
    def of_this_process(cls, trader_id: str) -> Holder:
        """Return a new holder: this process, now."""
        pid = os.getpid()
        start, since = _process(pid).start, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        return cls(secrets.token_hex(16), trader_id, socket.gethostname(), host_id(), pid, start, since)

    @classmethod
    def from_text(cls, text: str) -> Holder | None:
        """Return the holder that ``text`` tells of, None if it is none."""
        try:
            found = json.loads(text)
            holder = cls(**{field.name: found[field.name] for field in fields(cls)})
        except (ValueError, TypeError, KeyError):
            return None
        shown = [found[name] for name in ("token", "trader_id", "host", "since")]
        fine = isinstance(found["pid"], int) and all(isinstance(part, str) and part.isprintable() for part in shown)
        return holder if fine else None

    def is_dead(self) -> bool:
        """Return whether this process certainly ended: of a process elsewhere, nobody here can tell."""
        if self.host_id is None or self.host_id != host_id():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (PermissionError, OverflowError):
            pass  # somebody else's process is one, too
        found = _process(self.pid)
        known = found.start is not None and self.process_start is not None
        return (known and found.start != self.process_start) or found.state in {"Z", "X"}


class Held(NamedTuple):
    """A name that is somebody else's; ``holder`` is None if what stands there is not ours to understand, or was removed."""

    name: str
    holder: Holder | None


def lease_names(settings: TradingNodeSettings) -> tuple[str, ...]:
    """Return the names that a node has to hold: its trader id, and each account at a venue that it sends orders to.

    None for a recorder, which trades nothing and runs beside its trader. Takes 0.07 s for each account.
    """
    if settings.role == "recorder":
        return ()
    credentials = {venue: settings.credentials(venue) for venue in settings.active_venues}
    accounts = (
        account_name(venue, section.environment, section.api_key.get_secret_value())
        for venue, section in credentials.items()
        if section.api_key is not None
    )
    return trader_name(settings.trader_id), *accounts


def trader_name(trader_id: str) -> str:
    """Return the name of the lease of a trader id."""
    return f"{PREFIX}:trader:{trader_id}"


def account_name(venue: str, environment: str, api_key: str) -> str:
    """Return the name of the lease of an account, which is the same for every trader with this key.

    The key's fingerprint is 16 hexadecimal digits of a slow hash (PBKDF2, SHA-256). :mod:`config.checks.fingerprints` has none
    for a key of 18 characters, since a person may have seen half of it; here each guess costs 0.07 s, and two nodes with such a
    key have to meet.
    """
    digest = hashlib.pbkdf2_hmac("sha256", api_key.encode(), _DOMAIN, _ROUNDS).hex()[:_DIGITS]
    return f"{PREFIX}:account:{venue}:{environment}:{digest}"


class Lease:
    """The right to trade, held by this process alone from :meth:`acquire` to :meth:`release`, once; a context manager.

    Two threads of its own keep it, so that a blocked event loop does not lose it and a dead process does: one renews, the other
    one looks at the clock and tells.

    Parameters
    ----------
    redis : RedisConfig
        The server; each call to it takes at most ``redis.timeout``, and a sixth of the time to live.
    names : sequence of str
        From :func:`lease_names`, at least one. All are held, or none.
    trader_id : str
        Told to those who find the lease held.
    on_trouble : callable, optional
        Called from a thread with a state and a sentence for the log. ``failing``: not renewed for half the time to live, send no
        new orders. ``held``: renewed again; a lease that was gone from Redis, because it expired or Redis came back empty, is
        taken again only if nobody else had it meanwhile. ``lost``: somebody else has or had it; stop. Nothing comes after that.
    on_wait : callable, optional
        Called once with a sentence if :meth:`acquire` has to wait.
    time_to_live : float
        Seconds after which a holder that is not heard of has lost it; renewed every third of it.

    """

    def __init__(
        self,
        redis: RedisConfig,
        names: Sequence[str],
        trader_id: str,
        *,
        on_trouble: Callable[[State, str], object] = lambda _state, _why: None,
        on_wait: Callable[[str], object] = lambda _why: None,
        time_to_live: float = TIME_TO_LIVE_SECS,
    ) -> None:
        if not names:
            raise ValueError("a lease needs at least one name")
        self._where = f"{redis.host}:{redis.port}"
        self._client: Any = redis_client(redis, timeout=min(redis.timeout, time_to_live * _ANSWERED_WITHIN))
        self._names = tuple(names)
        self._holder = Holder.of_this_process(trader_id)
        self._on_trouble, self._on_wait = on_trouble, on_wait
        self._time_to_live, self._half = time_to_live, time_to_live * _TRADED_UNTIL
        # Two clocks: of a machine that somebody else suspended, the first may know nothing, and the second is put right after.
        self._renewed = _NEVER
        self._error, self._lost, self._retaken = "", "", 0
        self._done = threading.Event()
        self._threads: tuple[threading.Thread, ...] = ()

    def may_trade(self) -> bool:
        """Return whether the lease was renewed less than half its time to live ago; no I/O, 0.2 us, from any thread.

        Ask before every order. False at once after a suspension, and for good after ``lost`` and :meth:`release`.
        """
        since, since_wall = self._renewed
        return time.clock_gettime(_CLOCK) - since <= self._half and time.time() - since_wall <= self._half

    def acquire(self) -> Self:
        """Take every name, at once from a dead process of this host; else wait for the time to live, then give up.

        Raises
        ------
        ConfigError
            ``exit_code`` 6: TN614 names who holds it, TN601 and TN603 say why Redis cannot be used.

        """
        deadline = time.monotonic() + self._time_to_live * (1 + _LOOKED_EVERY)
        told = False
        try:
            while others := self._take(_is_taken):
                if time.monotonic() > deadline:
                    raise ConfigError(_held_problems(others, self._time_to_live))
                if not told:
                    self._on_wait(f"waiting up to {self._time_to_live:g} s: {_sentence(others[0])}")
                    told = True
                time.sleep(self._time_to_live * _LOOKED_EVERY)
        except RedisError as error:
            self._give_back()  # it may be the answer alone that is missing
            raise ConfigError([_unusable(error, self._where)]) from error
        except BaseException:
            self._give_back()
            raise
        self._threads = tuple(
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in ((self._keep, "lease"), (self._watch, "lease-watch"))
        )
        start_unsignalled(*self._threads)
        return self

    def release(self) -> None:
        """Stop renewing and remove what is still ours; if Redis cannot be reached, it expires by itself."""
        self._done.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        if error := self._give_back():
            text = "the lease could not be given back (%s); it ends by itself within %g s"
            logging.getLogger("config").warning(text, one_line(error), self._time_to_live)

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _take(self, is_taken: Callable[[str | None, str | None, Holder], bool]) -> tuple[Held, ...]:
        """Write the holder under every name, unless some are taken: then return those and write nothing."""
        # Redis counts from when it hears of it, which is later.
        before = time.clock_gettime(_CLOCK), time.time()
        lasts = [_last(name) for name in self._names]
        others: tuple[Held, ...] = ()
        gone = False

        def compare_and_set(pipe: Any) -> None:
            nonlocal others, gone
            found = pipe.mget(*self._names, *lasts)
            values, tokens = found[: len(lasts)], found[len(lasts) :]
            gone = None in values
            others = tuple(
                Held(name, None if value is None else Holder.from_text(value))
                for name, value, token in zip(self._names, values, tokens, strict=True)
                if is_taken(value, token, self._holder)
            )
            pipe.multi()
            if not others:
                for name, last in zip(self._names, lasts, strict=True):
                    pipe.set(name, self._holder.text, px=round(self._time_to_live * 1000))
                    pipe.set(last, self._holder.token)

        self._client.transaction(compare_and_set, *self._names, *lasts)
        if not others:
            self._retaken += gone and self._renewed is not _NEVER
            self._renewed = before
        return others

    def _give_back(self) -> RedisError | None:
        """Remove what is ours, and return what kept us from it."""
        self._renewed = _NEVER

        def compare_and_delete(pipe: Any) -> None:
            found = zip(self._names, pipe.mget(*self._names), strict=True)
            mine = [name for name, value in found if value == self._holder.text]
            pipe.multi()
            if mine:
                pipe.delete(*mine)

        try:
            self._client.transaction(compare_and_delete, *self._names)
        except RedisError as error:
            return error
        finally:
            self._client.close()
        return None

    def _keep(self) -> None:
        """Renew after each third of the time to live, and after a failure as often as we look."""
        while not self._done.wait(self._time_to_live * _LOOKED_EVERY):
            if self._age() < self._time_to_live * _RENEWED_AFTER:
                continue
            try:
                others = self._take(_was_taken)
            except Exception as error:  # nothing may end this thread without a word
                self._error = one_line(error)
                continue
            self._error = ""
            if others:
                self._renewed = _NEVER
                self._lost = _sentence(others[0])
                return

    def _watch(self) -> None:
        """Tell each change of the state; only this thread does, and it never waits for Redis."""
        told: tuple[State, int] = "held", 0
        while not self._done.wait(self._time_to_live * _LOOKED_EVERY) and told[0] != "lost":
            state: State = "lost" if self._lost else "held" if self.may_trade() else "failing"
            now = state, self._retaken
            if now == told or (state == "failing" and self._renewed is _NEVER):  # lost, and about to say so
                continue
            try:
                self._on_trouble(state, self._why(state, is_retaken=now[1] != told[1]))
            except Exception:
                logging.getLogger("config").exception("on_trouble raised on %r", state)
            told = now

    def _why(self, state: State, *, is_retaken: bool) -> str:
        if state == "failing":
            cause = self._error or "this process was suspended"
            return f"the lease was not renewed for {self._age():.1f} s: {cause}"
        if state == "lost":
            return self._lost
        return (
            "the lease was gone from Redis and nobody else had it: taken again"
            if is_retaken
            else "the lease was renewed again"
        )

    def _age(self) -> float:
        """Return the seconds since the last renewal, by whichever clock says more."""
        since, since_wall = self._renewed
        return max(time.clock_gettime(_CLOCK) - since, time.time() - since_wall)


def host_id() -> str | None:
    """Return what tells this host, boot and namespace of process ids from all others; None where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
        spaces = [str(Path("/proc/self/ns", name).readlink()) for name in ("pid", "time")]
    except OSError:
        return None
    try:
        machine = Path("/etc/machine-id").read_text("ascii")
    except OSError:
        machine = ""
    return hashlib.sha256("\n".join((machine, boot, *spaces)).encode()).hexdigest()[:_DIGITS]


class _Process(NamedTuple):
    state: str = ""
    start: int | None = None


def _process(pid: int) -> _Process:
    """Return state and start of a process as ``/proc`` tells them (proc_pid_stat(5), fields 3 and 22)."""
    try:
        # The name before may hold spaces and parentheses.
        parts = Path("/proc", str(pid), "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return _Process(parts[0], int(parts[19]))
    except (OSError, IndexError, ValueError):
        return _Process()


def _last(name: str) -> str:
    """Return the key that tells, also after the lease has ended, who had it last."""
    return f"{PREFIX}:last{name.removeprefix(PREFIX)}"


def _is_taken(value: str | None, _last_token: str | None, mine: Holder) -> bool:
    if value is None or value == mine.text:
        return False
    holder = Holder.from_text(value)
    return holder is None or not holder.is_dead()


def _was_taken(value: str | None, last_token: str | None, mine: Holder) -> bool:
    return value != mine.text if value is not None else last_token not in (None, mine.token)


def _words(name: str) -> str:
    """Return in words what a name stands for."""
    kind, _, rest = name.removeprefix(f"{PREFIX}:").partition(":")
    if kind == "trader":
        return f"trader {rest}"
    venue, environment, _ = rest.split(":")
    return f"the account of this API key at {venue} {environment}"


def _sentence(held: Held) -> str:
    what = _words(held.name)
    if held.holder is None:
        return f"{what} was taken by another node meanwhile, or {held.name} holds what no node wrote"
    return f"{what} is held by another node: {held.holder}"


def _held_problems(others: Sequence[Held], time_to_live: float) -> list[Problem]:
    """Return one problem for each node that is in the way."""
    by_holder = {held.holder.token if held.holder else held.name: held for held in reversed(others)}
    return [_held_problem(held, time_to_live) for held in reversed(by_holder.values())]


def _held_problem(held: Held, time_to_live: float) -> Problem:
    if ":trader:" in held.name:
        key, way_out = "NAUTILUS_TRADER_ID", "give this node its own trader id and account"
    else:
        key, way_out = f"{held.name.split(':')[3]}_API_KEY", "give this node a key of another account"
    if held.holder is None:
        return Problem("TN614", key, _sentence(held), f"see what it is, then delete {held.name}; or {way_out}")
    here = held.holder.host_id is not None and held.holder.host_id == host_id()
    stop = f"stop it (kill {held.holder.pid})" if here else f"stop it on {held.holder.host}"
    fix = f"{stop} and run again, or {way_out}; a node that died elsewhere is in the way for {time_to_live:g} s at most"
    return Problem("TN614", key, _sentence(held), fix)


def _unusable(error: BaseException, where: str) -> Problem:
    if isinstance(error, ResponseError | AuthenticationError):
        message = f"Redis at {where} answers, but keeps no lease: {one_line(error)}"
        fix = f"give the user the keys `{PREFIX}:*` and the commands {', '.join(COMMANDS)}"
        return Problem("TN603", "REDIS_HOST", message, fix)
    message = f"Redis at {where} cannot be reached to take the lease: {one_line(error)}"
    return Problem("TN601", "REDIS_HOST", message, f"start Redis at {where}, or set REDIS_HOST and REDIS_PORT")
