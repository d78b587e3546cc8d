"""Whether a node can keep its books in Redis, tried before the node is built: Nautilus itself would hang, or run without.

redis-py speaks, over a connection that is made here: by itself it trusts the system's authorities too, and waits for ever on a
port without TLS. It is imported where it is used, for that costs a tenth of a second.
"""

from __future__ import annotations

import re
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Any, NamedTuple

from config.models import RedisConfig, TradingNodeSettings, VenueName
from config.preflight.findings import Finding, Verdict, finding, unforeseen
from config.problems import Problem

# Prefixes of our own: Nautilus refuses keys that it does not know below `trader-<ID>:`.
BOOKS_KEY, PROBE_KEY = "tradingnode:books:{trader_id}", "tradingnode:probe:{trader_id}"
# Never made: what is done to them changes nothing.
MISSING_KEY, MISSING_LEASE_KEY = "trader-{trader_id}:tradingnode-probe", "tradingnode:lease:probe:{trader_id}"

CONNECTION = ("redis.reachable", "redis.encrypted", "redis.authenticated")
JUDGED = ("redis.loaded", "redis.version", "redis.primary", "redis.memory", "redis.eviction", "redis.persistence")
STEPS = (*CONNECTION, *JUDGED, "redis.rights", "redis.writes", "redis.books")
# Nautilus' crates/infrastructure/src/redis/mod.rs, REDIS_MIN_VERSION; an older server is only logged there.
MIN_VERSION = (6, 2)
PROBE_MILLIS = 10_000
# A TLS server answers a ClientHello in one round trip; a port without TLS waits for more, for ever.
QUIET_SECS = 0.3
# For the second look at what listens there, when the first was not understood.
SECOND_LOOK_SECS = 0.5
SERVER_SAVED_SECS = 2
NOT_REDIS = "what listens there is not Redis"
# What a person who trades would take for the exchange's order book is called by what it holds.
SAVED = "saved orders and positions"
# Tells which snapshots are planned, where it may be asked: managed servers forbid it.
SNAPSHOTS = ("CONFIG", "GET", "save")

# What Nautilus 1.231 sends (its cache.rs and queries.rs), with ourselves: each as it would be queued, on a key that is not there.
# The first would make the key if they ran, so they are tried inside MULTI only.
MAKING = "RPUSH {missing} -; SADD {missing} -; HSET {missing} - -; HSETNX {books} - -"
HARMLESS = (
    "SCAN 0 MATCH {missing} COUNT 1; MGET {missing}; GET {missing}; LRANGE {missing} 0 0; SMEMBERS {missing}; HGETALL {missing}; "
    "SET {missing} - XX; RPUSHX {missing} -; SREM {missing} -; HDEL {missing} -; DEL {missing}; HGET {books} -"
)
# What config/store/lease.py sends. The first cannot be queued and come before MULTI, where EXEC is an error and runs nothing.
LEASE_FIRST = "WATCH {lease}; UNWATCH; EXEC"
LEASE = "MGET {lease}; SET {lease} - XX; DEL {lease}"

type Command = Sequence[str]
type Reply = str | int | list[Reply] | _Refusal | None
type Ask = Callable[[Sequence[Command]], list[Reply]]


class _Refusal(NamedTuple):
    """An error that the server answered: its code, and the words that follow, for the code says nothing to a person."""

    code: str
    words: str


def check_redis(
    redis: RedisConfig, settings: TradingNodeSettings, *, claim: bool = True, roots: str | None = None
) -> list[Finding]:
    """Return what is well and what is not with the server that shall keep the books; one finding for each of ``STEPS``.

    The server is written to, as Nautilus will, and whose books it holds is kept there: one trader id's books of testnet, of
    paper and of real money have the same keys, and would be loaded into each other without a word.

    Parameters
    ----------
    redis : RedisConfig
        The server; user and password are really used. At most ``redis.timeout`` seconds for the connection and as long for
        all answers, and a second more to name a port that does not speak what was expected.
    settings : TradingNodeSettings
        Which trader runs where, and whether it holds a lease, for which the user needs more rights.
    claim : bool, optional
        Whether to mark unmarked books as this trader's. Never done where anything is in error.
    roots : str, optional
        File of the certificates to trust, by default the public ones (``certifi``). Nautilus has those compiled in and opens
        no other, so the system's are not asked either.

    """
    found: list[Finding] = []
    began = time.perf_counter()
    try:
        for step, verdict in _steps(redis, settings, found, claim, roots):
            ended = time.perf_counter()
            # The first answer may show that what seemed well was not: under TLS 1.3 a client is refused after the handshake.
            found[:] = [each for each in found if each.step != step or each.state == "error"]
            found.append(finding(step, verdict, ended - began))
            began = ended
    except Exception as error:
        found.append(unforeseen(STEPS[min(len(found), len(STEPS) - 1)], error))
    told = {each.step for each in found}
    skipped = _see(found[-1].step)
    found += [finding(step, skipped) for step in STEPS if step not in told]
    return sorted(found, key=lambda each: STEPS.index(each.step))


def _steps(
    redis: RedisConfig, settings: TradingNodeSettings, found: Sequence[Finding], claim: bool, roots: str | None
) -> Iterator[tuple[str, Verdict]]:
    deadline = time.monotonic() + redis.timeout
    try:
        sock = _within(redis.timeout, lambda: _connected(redis, redis.timeout))
    except (OSError, UnicodeError) as error:
        yield "redis.reachable", _unreachable(error, redis)
        return
    yield "redis.reachable", ("ok", f"connected to {redis.host}:{redis.port}")
    if redis.ssl:
        try:
            sock = tls = _encrypted(sock, redis, roots, deadline)
        except OSError as error:
            yield "redis.encrypted", _broken(error, redis, roots)[1]
            return
        yield "redis.encrypted", ("ok", f"{tls.version() or 'TLS'}, the certificate is publicly trusted")
    line = _line(sock, redis.timeout)
    ends = time.monotonic() + redis.timeout

    def ask(commands: Sequence[Command]) -> list[Reply]:
        return _within(ends - time.monotonic(), lambda: _answers(line, commands))

    try:
        yield from _asked(ask, redis, settings, found, claim)
    except OSError as error:
        at_first = found[-1].step in CONNECTION[:2]
        step, problem = _broken(error, redis, roots)
        yield step if at_first else "redis.writes", problem
    finally:
        # Wakes the thread that may still read, which a plain close would not.
        line.disconnect()


def _asked(
    ask: Ask, redis: RedisConfig, settings: TradingNodeSettings, found: Sequence[Finding], claim: bool
) -> Iterator[tuple[str, Verdict]]:
    """Ask the server for all that the steps after the connection judge."""
    password = [] if redis.password is None else [redis.password.get_secret_value()]
    auth = [("AUTH", *([redis.username] if redis.username else []), *password)] if password else []
    is_leased = settings.lease and settings.role != "recorder"
    first = [*_commands(LEASE_FIRST if is_leased else "", settings.trader_id), ("MULTI",)]
    # MULTI with the rest saves a round trip; a connection that is closed inside it has done nothing.
    replies = ask([*auth, ("INFO",), *first])
    info, begun = replies[len(auth)], replies[len(auth) + 1 :]
    if not isinstance(info, str | _Refusal):
        raise OSError(NOT_REDIS)
    if not redis.ssl:
        yield "redis.encrypted", ("ok", "no TLS, as asked (REDIS_SSL=false)")
    for command, reply in zip([*auth, ("INFO",)], replies, strict=False):
        if isinstance(reply, _Refusal) and (problem := _not_let_in(reply, redis, to_auth=command in auth)):
            yield "redis.authenticated", problem
            return
    yield "redis.authenticated", ("ok", _user(redis) if auth else f"{_user(redis)}, no password is asked for")
    if isinstance(info, _Refusal) and info.code == "NOPERM":
        # Without it nothing else is tried, so the line grants all that a node needs.
        yield "redis.rights", _forbidden(redis, "may not run INFO", *_needed(settings.trader_id, is_leased))
        return
    if isinstance(info, _Refusal):
        yield "redis.loaded" if info.code == "LOADING" else "redis.authenticated", _refused(info, redis)
        return
    facts = dict(line.split(":", 1) for line in info.splitlines() if ":" in line and not line.startswith("#"))
    for step, judge in zip(JUDGED, JUDGES, strict=True):
        verdict = judge(facts, redis)
        yield step, verdict
        if isinstance(verdict, Problem) and verdict.code == "TN609":
            return
    tried = list(zip(first, begun, strict=True)) if is_leased else []
    yield from _tried(ask, redis, settings, found, tried, queued=begun[-1] == "OK", claim=claim)


def _tried(
    ask: Ask,
    redis: RedisConfig,
    settings: TradingNodeSettings,
    found: Sequence[Finding],
    tried: Sequence[tuple[Command, Reply]],
    *,
    queued: bool,
    claim: bool,
) -> Iterator[tuple[str, Verdict]]:
    """Try what Nautilus will do: inside MULTI the server judges each command and runs none, for DISCARD follows."""
    trader_id, venues = settings.trader_id, settings.active_venues
    books, probe = (template.format(trader_id=trader_id) for template in (BOOKS_KEY, PROBE_KEY))
    wanted = "; ".join([*([MAKING] if queued else []), HARMLESS, *([LEASE] if tried else [])])
    rights = [*_commands(wanted, trader_id), *([("DISCARD",)] if queued else [])]
    nonce = secrets.token_hex(8)
    write = [("SET", probe, nonce, "PX", str(PROBE_MILLIS)), ("GET", probe), ("DEL", probe)]
    read = [("HGET", books, venue) for venue in venues]
    # Only where it decides what to say, for a user who may not ask leaves a line in the server's log of refusals.
    more = [SNAPSHOTS] if any(each.problem and each.problem.code == "TN322" for each in found) else []
    replies = ask([*rights, *write, *read, *more])
    if queued and isinstance(end := replies[len(rights) - 1], _Refusal):
        # The rest was queued too, and none of it answered.
        replies[len(rights) :] = [end] * (len(write) + len(read) + len(more))
    rest = iter(replies[len(rights) :])
    written, marks, planned = (list(islice(rest, len(part))) for part in (write, read, more))
    if planned:
        yield "redis.persistence", _in_memory(redis, planned[0])
    yield "redis.rights", _rights([*tried, *zip([*rights, *write], replies, strict=False)], redis, trader_id, queued)

    refusals = [reply for reply in written if isinstance(reply, _Refusal)]
    if refusal := next((each for each in refusals if each.code != "NOPERM"), None):
        again = _refused(refusal, redis)
        # INFO told of a replica, a full memory or a failing disk already.
        told = (each.step for each in found if each.problem and each.problem.code == again.code)
        yield "redis.writes", next((_see(step) for step in told), again)
    elif refusals:
        yield "redis.writes", _see("redis.rights")
    elif written[:2] == ["OK", nonce]:
        yield "redis.writes", ("ok", f"wrote, read and deleted {probe}")
    else:
        words = "answers, but cannot be used: what was written is not what is read"
        yield "redis.writes", _problem("TN603", redis, words, "look for a proxy between this node and Redis")

    if claim and marks and not any(each.state == "error" for each in found):
        # Read after the claim: of two nodes that start at once one finds the other's mark.
        marks = ask([*(("HSETNX", books, venue, _mine(settings, venue)) for venue in venues), *read])[len(venues) :]
    is_replica = any(each.step == "redis.primary" and each.state == "error" for each in found)
    for verdict in _books(marks, redis, settings):
        # Another environment's are told all the same: the primary has them too.
        yield "redis.books", _see("redis.primary") if is_replica and not isinstance(verdict, Problem) else verdict


def _see(step: str) -> Verdict:
    return "skipped", f"not looked at: see {step}"


def _commands(text: str, trader_id: str) -> list[Command]:
    """Return the commands of one of the lists above, with the names of their keys."""
    keys = {"missing": MISSING_KEY, "books": BOOKS_KEY, "lease": MISSING_LEASE_KEY}
    names = {word: template.format(trader_id=trader_id) for word, template in keys.items()}
    return [each.format_map(names).split() for each in text.split("; ") if each]


def _mine(settings: TradingNodeSettings, venue: VenueName) -> str:
    return "SIMULATED" if settings.execution == "SIMULATED" else settings.credentials(venue).environment


def _books(marks: Sequence[Reply], redis: RedisConfig, settings: TradingNodeSettings) -> Iterator[Verdict]:
    """Return whose books the server holds: a problem for each venue whose books are another environment's, else one word."""
    well = []
    for venue, mark in zip(settings.active_venues, marks, strict=True):
        mine = _mine(settings, venue)
        if isinstance(mark, _Refusal):
            if mark.code != "NOPERM":
                yield _refused(mark, redis)
        elif mark not in (None, mine):
            key = BOOKS_KEY.format(trader_id=settings.trader_id)
            words = f"holds {SAVED} of {settings.trader_id} on {venue} {mark}; this node would run on {mine}"
            fix = "give each its own trader id (NAUTILUS_TRADER_ID); if what is saved there is no longer wanted, "
            fix += f"delete {key} and trader-{settings.trader_id}:*"
            yield _problem("TN813", redis, words, fix, "NAUTILUS_TRADER_ID")
        else:
            well.append(f"{venue} {mine}" if mark else f"{venue} none yet")
    if len(well) == len(marks):
        yield "ok", f"{SAVED} of {settings.trader_id}: {', '.join(well) or 'no venue is on'}"


# ---- the connection


def _within[T](seconds: float, call: Callable[[], T]) -> T:
    """Return what ``call`` returns, or raise TimeoutError; a silent name server has no timeout, redis-py one for each byte."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    if seconds <= 0:
        raise TimeoutError
    threading.Thread(target=run, daemon=True, name="redis").start()
    return outcome.result(seconds)


def _connected(redis: RedisConfig, timeout: float) -> socket.socket:
    """Return a connection to the first address of the host that takes one; the addresses share the time."""
    count = len(socket.getaddrinfo(redis.host, redis.port, type=socket.SOCK_STREAM))
    return socket.create_connection((redis.host, redis.port), timeout / count)


def _encrypted(sock: socket.socket, redis: RedisConfig, roots: str | None, deadline: float) -> ssl.SSLSocket:
    """Return the connection under TLS; a port that speaks none is told as soon as it stays quiet."""
    from certifi import where  # the list that Mozilla trusts, from which Nautilus' webpki-roots is compiled

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # As rustls does: a name stands in subjectAltName, or the certificate is not for it.
    context.hostname_checks_common_name = False
    context.load_verify_locations(roots or where())
    tls = context.wrap_socket(sock, server_hostname=redis.host, do_handshake_on_connect=False)
    try:
        tls.settimeout(min(QUIET_SECS, redis.timeout))
        try:
            tls.do_handshake()
        except TimeoutError:
            if _first_byte(redis) in (b"+", b"-"):
                raise ConnectionError("it speaks no TLS") from None
            tls.settimeout(max(deadline - time.monotonic(), 0.01))
            tls.do_handshake()
    except BaseException:
        tls.close()
        raise
    return tls


def _line(sock: socket.socket, timeout: float) -> Any:
    """Return redis-py's connection over one that stands; it sends what it is told to, and nothing before."""
    from redis.connection import Connection

    class Line(Connection):
        def _connect(self) -> socket.socket:
            sock.settimeout(timeout)
            return sock

    # RESP 3 would begin with HELLO, a driver with its name.
    make: Any = Line
    line = make(protocol=2, driver_info=None, socket_timeout=timeout, decode_responses=True, encoding_errors="replace")
    line.connect()
    return line


def _answers(line: Any, commands: Sequence[Command]) -> list[Reply]:
    """Send the commands at once and return the reply to each; what is raised says nothing of what was sent or received."""
    from redis import exceptions

    replies: list[Reply] = []
    try:
        line.send_packed_command(line.pack_commands(commands))
        while len(replies) < len(commands):
            try:
                replies.append(line.read_response(disconnect_on_error=False))
            except exceptions.ResponseError as error:
                replies.append(_refusal(error))
    except exceptions.ConnectionError as error:
        # Refusals such as WRONGPASS are of this kind, and redis-py reads nothing after them; a server that takes no more
        # clients, or none from afar, says so once and closes.
        last = _refusal(error) if getattr(error, "status_code", None) else replies[0] if len(replies) == 1 else None
        if isinstance(last, _Refusal):
            return [*replies, *[last] * (len(commands) - len(replies))]
        ended = ConnectionError("it closed the connection without an answer")
        raise (error.__context__ if isinstance(error.__context__, OSError) else ended) from None
    except exceptions.TimeoutError:
        raise TimeoutError from None
    except (exceptions.RedisError, ValueError, OverflowError, RecursionError):
        raise OSError(NOT_REDIS) from None
    return replies


def _refusal(error: Any) -> _Refusal:
    # redis-py takes off the codes that it knows; EXECABORT is followed by that of its cause.
    known, text = error.status_code, " ".join(str(error).split())
    if known == "EXECABORT" and ": " in text:
        known, text = None, text.partition(": ")[2]
    code, _, rest = text.partition(" ")
    return _Refusal(known or code, rest if not known and code.isupper() and rest else text)


def _first_byte(redis: RedisConfig) -> bytes:
    """Return how a second connection is answered without TLS: ``+PONG``, ``-NOAUTH``, an alert of TLS (0x15), or not at all."""

    def look() -> bytes:
        with _connected(redis, SECOND_LOOK_SECS) as sock:
            sock.sendall(b"PING\r\n")
            return sock.recv(1)

    try:
        return _within(SECOND_LOOK_SECS, look)
    except OSError:
        return b""


def _speaks_tls(redis: RedisConfig) -> bool:
    """Return whether a second connection is answered with TLS, be it with an alert; whose certificate it is does not matter."""
    address = (redis.host, redis.port)
    try:
        _within(SECOND_LOOK_SECS, lambda: ssl.get_server_certificate(address, timeout=SECOND_LOOK_SECS))
    except OSError as error:
        return "ALERT" in _reason(error)
    return True


def _wants_client(redis: RedisConfig, roots: str | None) -> bool:
    """Return whether a second connection is refused after the handshake for want of a certificate of ours.

    It sends nothing: what a server leaves unread makes the system discard the refusal.
    """

    def look() -> None:
        deadline = time.monotonic() + SECOND_LOOK_SECS
        with _encrypted(_connected(redis, SECOND_LOOK_SECS), redis, roots, deadline) as tls:
            tls.recv(1)

    try:
        _within(SECOND_LOOK_SECS, look)
    except OSError as error:
        return "CERTIFICATE_REQUIRED" in _reason(error)
    return False


def _reason(error: OSError) -> str:
    """Return OpenSSL's name for what went wrong."""
    return error.reason or "" if isinstance(error, ssl.SSLError) else ""


# ---- what the connection says


def _problem(code: str, redis: RedisConfig, words: str, fix: str, key: str = "REDIS_HOST") -> Problem:
    return Problem(code, key, f"Redis at {redis.host}:{redis.port} {words}", fix)


def _unreachable(error: OSError | UnicodeError, redis: RedisConfig) -> Problem:
    """Return that there is no Redis, with what the system says of it, without the address, which is told once."""
    if isinstance(error, TimeoutError):
        reason = f"no answer within {redis.timeout:g} s"
    elif isinstance(error, UnicodeError):  # a name that IDNA cannot encode is a name that does not exist
        reason = "name or service not known"
    else:
        reason = (error.strerror or "").lower() or str(error)
    fix = f"start Redis at {redis.host}:{redis.port}, or set REDIS_HOST and REDIS_PORT"
    fix += "; if that port speaks no TLS, set REDIS_SSL=false" if redis.ssl else ""
    return _problem("TN601", redis, f"cannot be reached{' with TLS' if redis.ssl else ''}: {reason}", fix)


# OpenSSL's X509_V_ERR_* by number: what is wrong with the certificate, and what to do about it.
PRIVATE = (
    "its certificate comes from no public authority, and Nautilus knows no other, whatever this system trusts",
    "give that server a publicly trusted certificate, or put a TLS proxy beside the node and set REDIS_SSL=false",
)
CERTIFICATES: Mapping[int, tuple[str, str]] = {
    9: ("its certificate is not valid yet", "look at this machine's clock and at the certificate"),
    10: ("its certificate has expired", "renew that server's certificate; look at this machine's clock too"),
    **dict.fromkeys((18, 19, 20, 21), PRIVATE),
    62: ("its certificate is for another name", "set REDIS_HOST to a name that stands in the certificate"),
    64: ("its certificate is not for this address", "set REDIS_HOST to a name that stands in the certificate"),
}


def _broken(error: OSError, redis: RedisConfig, roots: str | None) -> tuple[str, Problem]:
    """Return the step at fault and what is wrong, where a connection that stood gave no answer."""
    ended = isinstance(error, ConnectionError | ssl.SSLEOFError)
    first = _first_byte(redis) if ended else b""
    trouble = _tls_trouble(error, redis, roots, first) if redis.ssl else None
    if not redis.ssl and ended and first in (b"", b"\x15") and _speaks_tls(redis):
        trouble = "speaks TLS, and REDIS_SSL is false", "set REDIS_SSL=true"
    if trouble is not None:
        return "redis.encrypted", _problem("TN606", redis, *trouble, "REDIS_SSL")
    is_foreign = not redis.ssl and first not in (b"", b"+", b"-")
    return "redis.reachable", _unreachable(OSError(NOT_REDIS) if is_foreign else error, redis)


def _tls_trouble(error: OSError, redis: RedisConfig, roots: str | None, first: bytes) -> tuple[str, str] | None:
    """Return what is wrong with TLS and what to do, None where it is not TLS."""
    reason, ended = _reason(error), isinstance(error, ConnectionError | ssl.SSLEOFError)
    if first in (b"+", b"-") or "WRONG_VERSION" in reason:
        fix = "for a Redis on this machine set REDIS_SSL=false; over a network set REDIS_PORT to the server's TLS port"
        return "speaks no TLS, and REDIS_SSL is true", fix
    if isinstance(error, ssl.SSLCertVerificationError):
        other = f"its certificate is refused: {error.verify_message}"
        words, fix = CERTIFICATES.get(error.verify_code, (other, PRIVATE[1]))
    elif "CERTIFICATE_REQUIRED" in reason or (ended and _wants_client(redis, roots)):
        words = "it wants a certificate of the client, and Nautilus has none"
        fix = "set tls-auth-clients no on that server"
    elif isinstance(error, ssl.SSLError) and not ended:
        words = reason.replace("_", " ").lower() or "the handshake failed"
        fix = "see that the server takes TLS 1.2 or 1.3"
    else:
        return None
    return f"cannot be used with TLS: {words}", fix


# ---- what the server says


def _user(redis: RedisConfig) -> str:
    return f"user '{redis.username}'" if redis.username is not None else "the default user"


def _not_let_in(refusal: _Refusal, redis: RedisConfig, *, to_auth: bool) -> Problem | None:
    """Return why the server does not take the user, None where what it refused is not the user."""
    words, key = refusal.words, "REDIS_PASSWORD"
    fix = "set REDIS_PASSWORD to that user's password, or REDIS_USERNAME to the user whose password it is"
    who = _user(redis)
    if refusal.code == "WRONGPASS":
        who += f"{'' if redis.username is not None else ' (REDIS_USERNAME is not set)'} with REDIS_PASSWORD"
    if refusal.code == "NOAUTH":
        words = "it wants a password, and none is set"
        fix = "set REDIS_PASSWORD, and REDIS_USERNAME if the server has named users"
    elif "without any password configured" in words or "no password is set" in words:
        words = "it has no password, and REDIS_PASSWORD is set"
        fix = "remove REDIS_PASSWORD, or give that server a password (requirepass)"
    elif "wrong number of arguments for 'auth'" in words:
        words, key = "it knows no user names, which came with Redis 6", "REDIS_USERNAME"
        fix = "remove REDIS_USERNAME, or upgrade that server"
    elif not to_auth or refusal.code in ("DENIED", *REFUSALS) or "max number of clients" in words:
        return None
    elif "unknown command" in words:
        words = "unknown command AUTH ***"  # what follows is what was sent, and may be cut
    elif redis.password is not None:
        words = words.replace(redis.password.get_secret_value(), "***")
    return _problem("TN602", redis, f"refuses {who}: {words}", fix, key)


# From then on it is time to make room: closed orders stay for ever.
NEARLY_FULL = 0.8

# What a refusal's code means: our code, what is wrong, what to do.
REFUSALS: Mapping[str, tuple[str, str, str]] = {
    "READONLY": ("TN608", "is a read-only replica", "set REDIS_HOST and REDIS_PORT to its primary"),
    "MASTERDOWN": (
        "TN608",
        "is a replica that has lost its primary",
        "set REDIS_HOST and REDIS_PORT to the primary that works",
    ),
    "LOADING": ("TN609", "is still loading its data", "wait until it has loaded them, then run again"),
    "OOM": (
        "TN610",
        "is out of memory and refuses writes",
        "raise maxmemory on that server, or delete what is no longer wanted",
    ),
    "MISCONF": (
        "TN611",
        "cannot write to its own disk and refuses writes",
        "look at that server's disk and its log: it is full, or may not be written",
    ),
}


def _refused(refusal: _Refusal, redis: RedisConfig) -> Problem:
    """Return what a refusal means."""
    other = "TN603", f"answers, but cannot be used: {refusal.words}", "mend what it names, then run again"
    code, words, fix = REFUSALS.get(refusal.code, other)
    return _problem(code, redis, words, fix)


def _rights(tried: Sequence[tuple[Command, Reply]], redis: RedisConfig, trader_id: str, queued: bool) -> Verdict:
    """Return which commands and keys the user lacks."""
    refused = [(each, reply.words) for each, reply in tried if isinstance(reply, _Refusal) and reply.code == "NOPERM"]
    # Redis 6.2 "access one of the keys", 7 "access a key"; a right to the command itself is about "to run".
    missing = dict.fromkeys(command[0] for command, words in refused if " to run the '" in words)
    keys = [command[1] for command, words in refused if " to run the '" not in words and len(command) > 1]
    if refused:
        patterns = [each for each in _patterns(trader_id) if any(key.startswith(each[:-1]) for key in keys)]
        lacks = [f"may not run {', '.join(missing)}"] if missing else []
        lacks += [f"may not use the keys {', '.join(patterns)}"] if patterns else []
        return _forbidden(redis, " and ".join(lacks), patterns, missing)
    if not queued:
        return "unknown", "the server offers no MULTI, so that the rights to RPUSH, SADD and HSET were not tried"
    return "ok", f"{_user(redis)} may do all that Nautilus needs"


def _patterns(trader_id: str) -> list[str]:
    return [f"trader-{trader_id}:*", "tradingnode:*"]


def _needed(trader_id: str, is_leased: bool) -> tuple[Iterable[str], Iterable[str]]:
    """Return the patterns of the keys and the commands that a user needs rights to."""
    tried = "; ".join([MAKING, HARMLESS, *([LEASE_FIRST, LEASE] if is_leased else [])])
    return _patterns(trader_id), dict.fromkeys(
        ["INFO", *(each[0] for each in _commands(tried, trader_id)), "MULTI", "DISCARD"]
    )


def _forbidden(redis: RedisConfig, lacks: str, patterns: Iterable[str], commands: Iterable[str]) -> Problem:
    rules = " ".join([*(f"~{pattern}" for pattern in patterns), *(f"+{name.lower()}" for name in commands)])
    line = f"ACL SETUSER {redis.username or 'default'} {rules}"
    fix = f"have its administrator run: {line}; then ACL SAVE (or CONFIG REWRITE), which keeps it"
    return _problem("TN612", redis, f"lets {_user(redis)} in, who {lacks}", fix, "REDIS_USERNAME")


# ---- what INFO says


def _number(facts: Mapping[str, str], name: str) -> int | None:
    text = facts.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None


def _loaded(facts: Mapping[str, str], redis: RedisConfig) -> Verdict:
    if facts.get("loading", "0") == "0":
        return "ok", "its data are loaded"
    seconds = _number(facts, "loading_eta_seconds")
    code, words, fix = REFUSALS["LOADING"]
    return _problem(code, redis, words if seconds is None else f"{words}, about {seconds} s more", fix)


def _version(facts: Mapping[str, str], redis: RedisConfig) -> Verdict:
    """Judge the version that it is compatible with, as Nautilus reads it: ``redis_version``, of Valkey too."""
    text, wanted = facts.get("redis_version", ""), ".".join(map(str, MIN_VERSION))
    fix = f"upgrade it, or set REDIS_HOST to a server of version {wanted} or newer"
    if not re.fullmatch(r"\d+(\.\d+)*", text, re.ASCII):
        words = "does not tell its version as numbers, without which Nautilus does not connect"
        return _problem("TN607", redis, words, fix)
    if tuple(map(int, text.split("."))) < MIN_VERSION:
        return _problem("TN607", redis, f"is version {text}; Nautilus needs {wanted} or newer", fix)
    valkey = facts.get("valkey_version")
    return "ok", f"Redis {text}" if valkey is None else f"Valkey {valkey}, compatible with Redis {text}"


def _primary(facts: Mapping[str, str], redis: RedisConfig) -> Verdict:
    role = facts.get("role")
    if role != "slave":
        return ("ok", "a primary") if role else ("unknown", "it does not tell whether it is a replica")
    primary = f"{facts.get('master_host', '?')}:{facts.get('master_port', '?')}"
    reads = facts.get("slave_read_only", "1") == "1"
    kind = "a read-only replica" if reads else "a replica, which forgets what it is given,"
    fix = f"set REDIS_HOST and REDIS_PORT to its primary, {primary} (as the replica calls it; from here its address may differ)"
    return _problem("TN608", redis, f"is {kind} of {primary}", fix)


def _memory(facts: Mapping[str, str], redis: RedisConfig) -> Verdict:
    used, limit = _number(facts, "used_memory"), _number(facts, "maxmemory")
    if used is None or limit is None:
        return "unknown", "it does not tell how much memory it has"
    if limit == 0:
        return "ok", f"{used / 2**20:.1f} MiB used, no limit is set"
    # What Redis itself leaves out when it compares: buffers of replicas and of the append-only file.
    counted = used - (_number(facts, "mem_not_counted_for_evict") or 0)
    if counted > limit and facts.get("maxmemory_policy") == "noeviction":
        return _refused(_Refusal("OOM", ""), redis)
    if counted > NEARLY_FULL * limit and facts.get("maxmemory_policy") == "noeviction":
        words = f"has {counted / 2**20:.0f} of {limit / 2**20:.0f} MiB in use, and refuses writes when all are"
        return _problem("TN329", redis, words, REFUSALS["OOM"][2])
    return "ok", f"{counted / 2**20:.1f} MiB of {limit / 2**20:.1f} MiB used"


def _eviction(facts: Mapping[str, str], redis: RedisConfig) -> Verdict:
    policy = facts.get("maxmemory_policy")
    if policy is None:
        return "unknown", "it does not tell what it does when its memory is full"
    if policy == "noeviction":
        return "ok", "it deletes nothing when its memory is full"
    what = f"keys, {SAVED} among them," if policy.startswith("allkeys") else "keys that expire"
    words = f"deletes {what} when its memory is full"
    if _number(facts, "maxmemory") == 0:
        words = f"would delete {what} if a memory limit were set; none is set now"
    fix = _configure(redis, "maxmemory-policy noeviction")
    return _problem("TN321", redis, f"{words} (maxmemory-policy is {policy})", fix)


def _persistence(facts: Mapping[str, str], redis: RedisConfig) -> Verdict:
    """Judge what a crash of the server would lose."""
    if "aof_enabled" not in facts:
        return "unknown", "it does not tell whether it writes to disk"
    kept = {"aof_last_write_status": "the append-only file", "rdb_last_bgsave_status": "the last snapshot"}
    if broken := [what for fact, what in kept.items() if facts.get(fact, "ok") != "ok"]:
        code, _, fix = REFUSALS["MISCONF"]
        return _problem(code, redis, f"could not write {' and '.join(broken)} to its own disk", fix)
    if facts["aof_enabled"] == "1":
        return "ok", "it writes every change to disk (AOF)"
    if _has_saved(facts):
        return (
            "ok",
            "it writes snapshots; a crash loses what came after the last one (`CONFIG SET appendonly yes` keeps that too)",
        )
    return _in_memory(redis)


def _in_memory(redis: RedisConfig, planned: Reply = None) -> Problem:
    """Return that a crash of the server would lose what it holds; ``planned`` is its answer to ``SNAPSHOTS``."""
    fix = f"{_configure(redis, 'appendonly yes')}; do not restart that server before, it would come back empty"
    save = planned[1] if isinstance(planned, list) and len(planned) > 1 else None
    if save == "":
        words = "keeps its data in memory only: AOF and snapshots are off"
    elif isinstance(save, str):
        words = "loses in a crash what came after its last snapshot: AOF is off, and none was written since it started"
        words += f" (snapshots are on: save {save})"
    else:
        words = "keeps its data in memory only: AOF is off, and no snapshot was written since it started"
        words += " (whether snapshots are on, it does not tell)"
    return _problem("TN322", redis, words, fix)


def _configure(redis: RedisConfig, setting: str) -> str:
    """Return how a running server is given a setting that outlives it, with its address: another one may be on this machine."""
    cli = f"redis-cli -h {redis.host} -p {redis.port}"
    return f"run `{cli} CONFIG SET {setting}`, then `{cli} CONFIG REWRITE`"


def _has_saved(facts: Mapping[str, str]) -> bool:
    """Return whether a snapshot was written since the server started; ``rdb_saves`` came with Redis 7."""
    if (saves := _number(facts, "rdb_saves")) is not None:
        return saves > 0 or facts.get("rdb_bgsave_in_progress") == "1"
    now, up, saved = (_number(facts, name) for name in ("server_time_usec", "uptime_in_seconds", "rdb_last_save_time"))
    if now is None or up is None or saved is None:
        return False
    # Redis calls its start a save.
    return saved > now // 1_000_000 - up + SERVER_SAVED_SECS


JUDGES = (_loaded, _version, _primary, _memory, _eviction, _persistence)
