"""Whether a node can keep its books in Redis, tried before the node is built: Nautilus itself would hang, or run without.

One connection and the standard library only: redis-py costs 170 ms to import, and hides the server's words and the TLS layer.
"""

from __future__ import annotations

import queue
import re
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from config.findings import Finding, Verdict, finding, unforeseen
from config.models import RedisConfig, TradingNodeSettings, VenueName
from config.problems import Problem

# Prefixes of our own: Nautilus refuses keys that it does not know below `trader-<ID>:`.
BOOKS_KEY = "tradingnode:books:{trader_id}"
PROBE_KEY = "tradingnode:probe:{trader_id}"
# Never made: what is done to it changes nothing.
MISSING_KEY = "trader-{trader_id}:tradingnode-probe"

STEPS = (
    "redis.reachable",
    "redis.encrypted",
    "redis.authenticated",
    "redis.loaded",
    "redis.version",
    "redis.primary",
    "redis.memory",
    "redis.eviction",
    "redis.persistence",
    "redis.rights",
    "redis.writes",
    "redis.books",
)
# Nautilus' crates/infrastructure/src/redis/mod.rs, REDIS_MIN_VERSION; an older server is only logged there.
MIN_VERSION = (6, 2)
PROBE_MILLIS = 10_000
# A TLS server answers a ClientHello in one round trip; a port without TLS waits for more, for ever.
QUIET_SECS = 0.3
# For the second look at what listens there, when the first was not understood.
SECOND_LOOK_SECS = 0.5
SERVER_SAVED_SECS = 2

# What Nautilus 1.231 sends (its cache.rs and queries.rs), with ourselves: each as it would be queued, on a key that is not there.
# Those marked True would make the key if they ran, so they are tried inside MULTI only.
RIGHTS: tuple[tuple[bool, tuple[str, ...]], ...] = (
    (False, ("SCAN", "0", "MATCH", "{missing}", "COUNT", "1")),
    (False, ("MGET", "{missing}")),
    (False, ("GET", "{missing}")),
    (False, ("LRANGE", "{missing}", "0", "0")),
    (False, ("SMEMBERS", "{missing}")),
    (False, ("HGETALL", "{missing}")),
    (False, ("SET", "{missing}", "", "XX")),
    (False, ("RPUSHX", "{missing}", "")),
    (True, ("RPUSH", "{missing}", "")),
    (True, ("SADD", "{missing}", "")),
    (True, ("HSET", "{missing}", "", "")),
    (False, ("SREM", "{missing}", "")),
    (False, ("HDEL", "{missing}", "")),
    (False, ("DEL", "{missing}")),
    (True, ("HSETNX", "{books}", "", "")),
    (False, ("HGET", "{books}", "")),
)

type Reply = str | int | list[Reply] | None


class _Refusal(str):
    """An error that the server answered; its first word is a code."""

    __slots__ = ()

    @property
    def code(self) -> str:
        return self.split(" ", 1)[0]

    @property
    def words(self) -> str:
        """What follows the code, which says nothing to a person."""
        code, _, rest = self.partition(" ")
        return " ".join((rest if code.isupper() and rest else self).split())


class _NotRedisError(Exception):
    """The other side answered with bytes that are no RESP."""

    def __init__(self, first: bytes) -> None:
        super().__init__()
        self.is_tls_alert = first == b"\x15"


class _EndedError(ConnectionError):
    """The other side closed the connection in place of an answer."""


class _Line:
    """One connection that speaks RESP; all answers together must be there ``timeout`` seconds from now."""

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        self._sock = sock
        self._deadline = time.monotonic() + timeout
        self._rest = b""

    def ask(self, commands: Sequence[Sequence[str]]) -> list[Reply]:
        """Send the commands at once and return the reply to each."""
        self._wait()
        self._sock.sendall(b"".join(map(_packed, commands)))
        replies: list[Reply] = []
        try:
            while len(replies) < len(commands):
                replies.append(self._reply())
        except ConnectionError:
            # A server that takes no more clients, or none from afar, says so once and closes.
            if not replies or not isinstance(replies[-1], _Refusal):
                raise
            replies += replies[-1:] * (len(commands) - len(replies))
        return replies

    def _wait(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)

    def _more(self) -> None:
        self._wait()
        got = self._sock.recv(65536)
        if not got:
            raise _EndedError
        self._rest += got

    def _line(self) -> str:
        while (end := self._rest.find(b"\r\n")) < 0:
            if self._rest and self._rest[:1] not in b"+-:$*":
                raise _NotRedisError(self._rest[:1])
            self._more()
        line, self._rest = self._rest[:end], self._rest[end + 2 :]
        return line.decode("utf-8", "replace")

    def _reply(self) -> Reply:
        line = self._line()
        kind, text = line[:1], line[1:]
        if kind == "+":
            return text
        if kind == "-":
            return _Refusal(text)
        if kind not in (":", "$", "*"):
            raise _NotRedisError(line[:1].encode())
        number = int(text)
        if kind == ":":
            return number
        if number < 0:
            return None
        if kind == "*":
            return [self._reply() for _ in range(number)]
        while len(self._rest) < number + 2:
            self._more()
        value, self._rest = self._rest[:number], self._rest[number + 2 :]
        return value.decode("utf-8", "replace")


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
        Which trader runs where.
    claim : bool, optional
        Whether to mark unmarked books as this trader's. Never done where anything is in error.
    roots : str, optional
        File of the certificates to trust, by default the public ones (``certifi``). Nautilus has those compiled in and opens
        no other, so the system's are not asked either.

    """
    found: list[Finding] = []
    began = time.perf_counter()
    try:
        for step, verdict in _steps(redis, settings, found, claim=claim, roots=roots):
            ended = time.perf_counter()
            # The first answer may show that what seemed well was not: under TLS 1.3 a client is refused after the handshake.
            found[:] = [each for each in found if each.step != step or each.state == "error"]
            found.append(finding(step, verdict, ended - began))
            began = ended
    except Exception as error:
        found.append(unforeseen(STEPS[min(len(found), len(STEPS) - 1)], error))
    told = {each.step for each in found}
    skipped: Verdict = ("skipped", f"not looked at: see {found[-1].step}")
    found += [finding(step, skipped) for step in STEPS if step not in told]
    return sorted(found, key=lambda each: STEPS.index(each.step))


def _steps(
    redis: RedisConfig, settings: TradingNodeSettings, found: Sequence[Finding], *, claim: bool, roots: str | None
) -> Iterator[tuple[str, Verdict]]:
    where = f"{redis.host}:{redis.port}"
    deadline = time.monotonic() + redis.timeout
    try:
        sock = _connected(redis.host, redis.port, redis.timeout)
    except OSError as error:
        yield "redis.reachable", _unreachable(redis, _reason(error, redis.timeout))
        return
    yield "redis.reachable", ("ok", f"connected to {where}")
    try:
        if redis.ssl:
            try:
                sock = _encrypted(sock, redis, roots, deadline)
            except (OSError, _NotRedisError) as error:
                yield "redis.encrypted", _no_tls(error, redis)
                return
            yield "redis.encrypted", ("ok", f"{_tls_version(sock)}, the certificate is publicly trusted")
        yield from _asked(sock, redis, settings, found, claim=claim)
    finally:
        sock.close()


def _asked(
    sock: socket.socket, redis: RedisConfig, settings: TradingNodeSettings, found: Sequence[Finding], *, claim: bool
) -> Iterator[tuple[str, Verdict]]:
    """Ask the server for all that the steps after the connection judge."""
    where = f"{redis.host}:{redis.port}"
    password = None if redis.password is None else redis.password.get_secret_value()
    line = _Line(sock, redis.timeout)
    names = () if redis.username is None else (redis.username,)
    auth = [] if password is None else [("AUTH", *names, password)]
    try:
        # MULTI with the rest saves a round trip; a connection that is closed inside it has done nothing.
        *answers, info, multi = line.ask([*auth, ("INFO",), ("MULTI",)])
    except (OSError, _NotRedisError) as error:
        yield _broken(error, redis)
        return
    if not redis.ssl:
        yield "redis.encrypted", ("ok", "no TLS, as asked (REDIS_SSL=false)")
    for reply in (*answers, info):
        if isinstance(reply, _Refusal) and (problem := _not_let_in(reply, redis, to_auth=reply is not info)):
            yield "redis.authenticated", problem
            return
    yield "redis.authenticated", ("ok", _user(redis) if auth else f"{_user(redis)}, no password is asked for")
    if isinstance(info, _Refusal):
        step = {"LOADING": "redis.loaded", "NOPERM": "redis.rights"}.get(info.code, "redis.authenticated")
        yield step, _refused(info, redis, missing=["INFO"])
        return
    facts = _facts(str(info))
    for step, judge in JUDGES:
        verdict = judge(facts, where)
        yield step, verdict
        if isinstance(verdict, Problem) and verdict.code == "TN609":
            return
    try:
        yield from _tried(line, redis, settings, found, queued=multi == "OK", claim=claim)
    except (OSError, _NotRedisError) as error:
        yield "redis.writes", _broken(error, redis)[1]


def _tried(
    line: _Line,
    redis: RedisConfig,
    settings: TradingNodeSettings,
    found: Sequence[Finding],
    *,
    queued: bool,
    claim: bool,
) -> Iterator[tuple[str, Verdict]]:
    """Try what Nautilus will do: inside MULTI the server judges each command and runs none, for DISCARD follows."""
    trader_id = settings.trader_id
    names = {template: template.format(trader_id=trader_id) for template in (MISSING_KEY, BOOKS_KEY, PROBE_KEY)}
    books, probe = names[BOOKS_KEY], names[PROBE_KEY]
    rights = [
        [word.format(missing=names[MISSING_KEY], books=books) for word in command]
        for writes, command in RIGHTS
        if queued or not writes
    ]
    nonce = secrets.token_hex(8)
    end = [["DISCARD"]] if queued else []
    write = [["SET", probe, nonce, "PX", str(PROBE_MILLIS)], ["GET", probe], ["DEL", probe]]
    read = [["HGET", books, venue] for venue in settings.active_venues]
    replies = line.ask([*rights, *end, *write, *read])
    count = len(rights) + len(end)
    yield "redis.rights", _rights([*rights, *end, *write], replies, redis, trader_id, queued=queued)

    written = replies[count : count + len(write)]
    refusal = next((reply for reply in written if isinstance(reply, _Refusal) and reply.code != "NOPERM"), None)
    if refusal is not None:
        again = _refused(refusal, redis)
        # A read-only replica was told by INFO already: the same problem, not a second one in other words.
        yield (
            "redis.writes",
            next((each.problem for each in found if each.problem and each.problem.code == again.code), again),
        )
    elif any(isinstance(reply, _Refusal) for reply in written):
        yield "redis.writes", ("skipped", "not looked at: see redis.rights")
    elif written[:2] == ["OK", nonce]:
        yield "redis.writes", ("ok", f"wrote, read and deleted {probe}")
    else:
        message = (
            f"Redis at {redis.host}:{redis.port} answers, but cannot be used: what was written is not what is read"
        )
        yield "redis.writes", Problem("TN603", "REDIS_HOST", message, "look for a proxy between this node and Redis")

    marks = replies[count + len(write) :]
    if claim and marks and not any(each.state == "error" for each in found):
        # Read after the claim: of two nodes that start at once one finds the other's mark.
        claims = [["HSETNX", books, venue, _mine(settings, venue)] for venue in settings.active_venues]
        marks = line.ask([*claims, *read])[len(claims) :]
    yield from (("redis.books", verdict) for verdict in _books(marks, redis, settings))


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
            holds = f"Redis at {redis.host}:{redis.port} holds the books of {settings.trader_id} on {venue} {mark}"
            key = BOOKS_KEY.format(trader_id=settings.trader_id)
            message = f"{holds}; this node would run on {mine}"
            fix = f"give each its own trader id (NAUTILUS_TRADER_ID); if those books are no longer wanted, delete {key} and them"
            yield Problem("TN813", "NAUTILUS_TRADER_ID", message, fix)
        else:
            well.append(f"{venue} {mine}" if mark else f"{venue} none yet")
    if len(well) == len(marks):
        yield "ok", f"books of {settings.trader_id}: {', '.join(well) or 'no venue is on'}"


# ---- the connection


def _connected(host: str, port: int, timeout: float) -> socket.socket:
    """Return a connection to the first address of ``host`` that takes one; the addresses share the time."""
    deadline = time.monotonic() + timeout
    addresses = _addresses(host, port, timeout)
    failure: OSError | None = None
    for place, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(deadline - time.monotonic(), 0.01) / (len(addresses) - place))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            failure = failure or error
        else:
            return sock
    raise failure or TimeoutError


def _addresses(host: str, port: int, timeout: float) -> list[tuple[int, int, int, str, tuple[str | int, ...]]]:
    """Return what the system knows of ``host``; asked in a thread, because a name server that is silent has no timeout."""
    answer: queue.SimpleQueue[object] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:
            answer.put(error)

    threading.Thread(target=ask, daemon=True, name="resolve").start()
    try:
        got = answer.get(timeout=timeout)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(got, Exception):
        # A name that IDNA cannot encode is a name that does not exist.
        raise got if isinstance(got, OSError) else socket.gaierror(socket.EAI_NONAME, "name or service not known")
    return got  # type: ignore[return-value]


def _encrypted(sock: socket.socket, redis: RedisConfig, roots: str | None, deadline: float) -> ssl.SSLSocket:
    """Return the connection under TLS; a port that speaks none is told as soon as it stays quiet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # As rustls does: a name stands in subjectAltName, or the certificate is not for it.
    context.hostname_checks_common_name = False
    context.load_verify_locations(roots or _public_roots())
    tls = context.wrap_socket(sock, server_hostname=redis.host, do_handshake_on_connect=False)
    try:
        tls.settimeout(min(QUIET_SECS, redis.timeout))
        try:
            tls.do_handshake()
        except TimeoutError:
            if _speaks_plain(redis):
                raise _NotRedisError(b"+") from None
            tls.settimeout(max(deadline - time.monotonic(), 0.01))
            tls.do_handshake()
    except BaseException:
        tls.close()
        raise
    return tls


def _public_roots() -> str:
    """Return the file of the roots that Mozilla trusts: the list that Nautilus' webpki-roots is compiled from."""
    from certifi import where

    return where()


def _tls_version(sock: socket.socket) -> str:
    return (sock.version() if isinstance(sock, ssl.SSLSocket) else None) or "TLS"


def _speaks_plain(redis: RedisConfig) -> bool:
    """Return whether a second connection without TLS is answered as Redis answers."""
    try:
        with _connected(redis.host, redis.port, SECOND_LOOK_SECS) as sock:
            sock.settimeout(SECOND_LOOK_SECS)
            sock.sendall(b"PING\r\n")
            return sock.recv(1) in (b"+", b"-")
    except OSError:
        return False


def _tls_answer(redis: RedisConfig, *, listen: bool) -> str | None:
    """Return how a second connection takes TLS: "" where it does, the reason of its refusal, None where it speaks none.

    Whose certificate it is does not matter here. With ``listen`` it waits for a refusal after the handshake too, and sends
    nothing meanwhile: what a server leaves unread makes the system discard the refusal.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    answer = None
    try:
        with _connected(redis.host, redis.port, SECOND_LOOK_SECS) as sock:
            sock.settimeout(SECOND_LOOK_SECS)
            with context.wrap_socket(sock, server_hostname=redis.host) as tls:
                answer = ""
                if listen:
                    tls.recv(1)
    except ssl.SSLError as error:
        return error.reason if "ALERT" in (error.reason or "") else answer
    except OSError:
        return answer
    return answer


def _packed(command: Sequence[str]) -> bytes:
    words = [word.encode() for word in command]
    return b"".join((b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)))


# ---- what the connection says


def _unreachable(redis: RedisConfig, reason: str) -> Problem:
    where = f"{redis.host}:{redis.port}"
    tls = " with TLS" if redis.ssl else ""
    fix = f"start Redis at {where}, or set REDIS_HOST and REDIS_PORT"
    fix += "; if that port speaks no TLS, set REDIS_SSL=false" if redis.ssl else ""
    return Problem("TN601", "REDIS_HOST", f"Redis at {where} cannot be reached{tls}: {reason}", fix)


def _reason(error: Exception, timeout: float) -> str:
    """Return what the system says of a connection that failed, without the address, which the caller tells."""
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, _EndedError):
        return "it closed the connection without an answer"
    if isinstance(error, _NotRedisError):
        return "what listens there is not Redis"
    text = error.strerror if isinstance(error, OSError) else None
    return (text or " ".join(str(error).split()) or type(error).__name__).lower()


def _broken(error: Exception, redis: RedisConfig) -> tuple[str, Problem]:
    """Return the step at fault and what is wrong, where a connection that stood gave no answer."""
    where = f"{redis.host}:{redis.port}"
    ended = isinstance(error, ConnectionError | ssl.SSLEOFError)
    if redis.ssl and ended and "CERTIFICATE_REQUIRED" in (_tls_answer(redis, listen=True) or ""):
        return "redis.encrypted", _wants_client(redis)
    if isinstance(error, ssl.SSLError):
        return "redis.encrypted", _no_tls(error, redis)
    spoke = isinstance(error, _NotRedisError) and error.is_tls_alert
    if not redis.ssl and (spoke or (ended and _tls_answer(redis, listen=False) is not None)):
        message = f"Redis at {where} speaks TLS, and REDIS_SSL is false"
        return "redis.encrypted", Problem("TN606", "REDIS_SSL", message, "set REDIS_SSL=true")
    return "redis.reachable", _unreachable(redis, _reason(error, redis.timeout))


# OpenSSL's X509_V_ERR_* by number: what is wrong with the certificate, and what to do about it.
PRIVATE = (
    "its certificate comes from no public authority, and Nautilus knows no other, whatever this system trusts",
    "give that server a publicly trusted certificate, or put a TLS proxy beside the node and set REDIS_SSL=false",
)
CERTIFICATES: Mapping[int, tuple[str, str]] = {
    9: ("its certificate is not valid yet", "look at this machine's clock and at the certificate"),
    10: ("its certificate has expired", "renew that server's certificate; look at this machine's clock too"),
    18: PRIVATE,
    19: PRIVATE,
    20: PRIVATE,
    21: PRIVATE,
    62: ("its certificate is for another name", "set REDIS_HOST to a name that stands in the certificate"),
    64: ("its certificate is not for this address", "set REDIS_HOST to a name that stands in the certificate"),
}


def _no_tls(error: Exception, redis: RedisConfig) -> Problem:
    """Return what is wrong with TLS to a server that took the connection."""
    where = f"{redis.host}:{redis.port}"
    reason = error.reason or "" if isinstance(error, ssl.SSLError) else ""
    if isinstance(error, ssl.SSLCertVerificationError):
        other = f"its certificate is refused: {error.verify_message}"
        words, fix = CERTIFICATES.get(error.verify_code, (other, PRIVATE[1]))
        return Problem("TN606", "REDIS_SSL", f"Redis at {where} cannot be used with TLS: {words}", fix)
    if "CERTIFICATE_REQUIRED" in reason:
        return _wants_client(redis)
    ended = isinstance(error, ConnectionError | ssl.SSLEOFError)
    if isinstance(error, _NotRedisError) or "WRONG_VERSION" in reason or (ended and _speaks_plain(redis)):
        message = f"Redis at {where} speaks no TLS, and REDIS_SSL is true"
        return Problem("TN606", "REDIS_SSL", message, "set REDIS_SSL=false, or REDIS_PORT to the port that speaks TLS")
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        message = (
            f"Redis at {where} cannot be used with TLS: {reason.replace('_', ' ').lower() or 'the handshake failed'}"
        )
        return Problem("TN606", "REDIS_SSL", message, "see that the server takes TLS 1.2 or 1.3")
    return _unreachable(redis, _reason(error, redis.timeout))


def _wants_client(redis: RedisConfig) -> Problem:
    where = f"{redis.host}:{redis.port}"
    message = f"Redis at {where} cannot be used with TLS: it wants a certificate of the client, and Nautilus has none"
    return Problem("TN606", "REDIS_SSL", message, "set tls-auth-clients no on that server")


# ---- what the server says


def _user(redis: RedisConfig) -> str:
    return f"user {redis.username}" if redis.username is not None else "the default user"


def _not_let_in(refusal: _Refusal, redis: RedisConfig, *, to_auth: bool) -> Problem | None:
    """Return why the server does not take the user, None where what it refused is not the user."""
    refuses = f"Redis at {redis.host}:{redis.port} refuses {_user(redis)}"
    named = redis.username is not None
    expected = f"set {'REDIS_USERNAME and ' if named else ''}REDIS_PASSWORD to what that server expects"
    if refusal.code == "NOAUTH":
        return Problem("TN602", "REDIS_PASSWORD", f"{refuses}: it wants a password, and none is set", expected)
    if "without any password configured" in refusal or "no password is set" in refusal:
        fix = "remove REDIS_PASSWORD, or give that server a password (requirepass)"
        return Problem("TN602", "REDIS_PASSWORD", f"{refuses}: it has no password, and REDIS_PASSWORD is set", fix)
    if "wrong number of arguments for 'auth'" in refusal:
        message = f"{refuses}: it knows no user names, which came with Redis 6"
        return Problem("TN602", "REDIS_USERNAME", message, "remove REDIS_USERNAME, or upgrade that server")
    if not to_auth or refusal.code == "DENIED" or "max number of clients" in refusal:
        return None
    # A server that does not know AUTH repeats what stood behind it.
    secret = "" if redis.password is None else redis.password.get_secret_value()
    words = refusal.words.replace(secret, "***") if "unknown command" in refusal else refusal.words
    return Problem("TN602", "REDIS_PASSWORD", f"{refuses}: {words}", expected)


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


def _refused(refusal: _Refusal, redis: RedisConfig, missing: Sequence[str] = ()) -> Problem:
    """Return what a refusal means; ``missing`` are the commands that the user may not run."""
    where = f"Redis at {redis.host}:{redis.port}"
    if refusal.code == "NOPERM":
        return _forbidden(redis, missing, patterns=())
    if refusal.code in REFUSALS:
        code, words, fix = REFUSALS[refusal.code]
        return Problem(code, "REDIS_HOST", f"{where} {words}", fix)
    message = f"{where} answers, but cannot be used: {refusal.words}"
    return Problem("TN603", "REDIS_HOST", message, "mend what it names, then run again")


def _rights(
    commands: Sequence[Sequence[str]], replies: Sequence[Reply], redis: RedisConfig, trader_id: str, *, queued: bool
) -> Verdict:
    """Return which commands and keys the user lacks."""
    pairs = zip(commands, replies, strict=False)
    refused = [(command, reply) for command, reply in pairs if isinstance(reply, _Refusal) and reply.code == "NOPERM"]
    # Redis 6.2 "access one of the keys", 7 "access a key"; a right to the command itself is about "to run".
    keys = {command[1] if command[0] != "SCAN" else "" for command, reply in refused if " key" in reply} - {""}
    missing = list(dict.fromkeys(command[0] for command, reply in refused if " key" not in reply))
    if refused:
        patterns = [
            f"{prefix}*"
            for prefix in (f"trader-{trader_id}:", "tradingnode:")
            if any(key.startswith(prefix) for key in keys)
        ]
        return _forbidden(redis, missing, patterns)
    if not queued:
        return "unknown", "the server offers no MULTI, so that the rights to RPUSH, SADD and HSET were not tried"
    return "ok", f"{_user(redis)} may do all that Nautilus needs"


def _forbidden(redis: RedisConfig, missing: Sequence[str], patterns: Sequence[str]) -> Problem:
    lacks = " and ".join(
        part
        for part in (
            f"may not run {', '.join(missing)}" if missing else "",
            f"may not use the keys {', '.join(patterns)}" if patterns else "",
        )
        if part
    )
    rules = " ".join([*(f"~{pattern}" for pattern in patterns), *(f"+{name.lower()}" for name in missing)])
    message = f"Redis at {redis.host}:{redis.port} lets {_user(redis)} in, who {lacks}"
    fix = f"have its administrator run: ACL SETUSER {redis.username or 'default'} {rules}"
    return Problem("TN612", "REDIS_USERNAME", message, fix)


# ---- what INFO says


def _facts(info: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in info.splitlines() if ":" in line and not line.startswith("#"))


def _number(facts: Mapping[str, str], name: str) -> int | None:
    text = facts.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None


def _loaded(facts: Mapping[str, str], where: str) -> Verdict:
    if facts.get("loading", "0") == "0":
        return "ok", "its data are loaded"
    seconds = _number(facts, "loading_eta_seconds")
    _, words, fix = REFUSALS["LOADING"]
    left = "" if seconds is None else f", about {seconds} s more"
    return Problem("TN609", "REDIS_HOST", f"Redis at {where} {words}{left}", fix)


def _version(facts: Mapping[str, str], where: str) -> Verdict:
    """Judge the version that it is compatible with, as Nautilus reads it: ``redis_version``, of Valkey too."""
    text = facts.get("redis_version", "")
    wanted = ".".join(map(str, MIN_VERSION))
    fix = f"upgrade it, or set REDIS_HOST to a server of version {wanted} or newer"
    if not re.fullmatch(r"\d+(\.\d+)*", text, re.ASCII):
        message = f"Redis at {where} does not tell its version as numbers, without which Nautilus does not connect"
        return Problem("TN607", "REDIS_HOST", message, fix)
    if tuple(map(int, text.split("."))) < MIN_VERSION:
        message = f"Redis at {where} is version {text}; Nautilus needs {wanted} or newer"
        return Problem("TN607", "REDIS_HOST", message, fix)
    valkey = facts.get("valkey_version")
    return "ok", f"Redis {text}" if valkey is None else f"Valkey {valkey}, compatible with Redis {text}"


def _primary(facts: Mapping[str, str], where: str) -> Verdict:
    role = facts.get("role")
    if role is None:
        return "unknown", "it does not tell whether it is a replica"
    if role != "slave":
        return "ok", "a primary"
    primary = f"{facts.get('master_host', '?')}:{facts.get('master_port', '?')}"
    kind = (
        "a read-only replica"
        if facts.get("slave_read_only", "1") == "1"
        else "a replica, which forgets what it is given,"
    )
    fix = f"set REDIS_HOST and REDIS_PORT to its primary, which it calls {primary}"
    return Problem("TN608", "REDIS_HOST", f"Redis at {where} is {kind} of {primary}", fix)


def _memory(facts: Mapping[str, str], where: str) -> Verdict:
    used, limit = _number(facts, "used_memory"), _number(facts, "maxmemory")
    if used is None or limit is None:
        return "unknown", "it does not tell how much memory it has"
    if limit == 0:
        return "ok", f"{_mebibytes(used)} used, no limit is set"
    # What Redis itself leaves out when it compares: buffers of replicas and of the append-only file.
    counted = used - (_number(facts, "mem_not_counted_for_evict") or 0)
    if counted > limit and facts.get("maxmemory_policy") == "noeviction":
        code, words, fix = REFUSALS["OOM"]
        return Problem(code, "REDIS_HOST", f"Redis at {where} {words}", fix)
    return "ok", f"{_mebibytes(counted)} of {_mebibytes(limit)} used"


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"


def _eviction(facts: Mapping[str, str], where: str) -> Verdict:
    policy = facts.get("maxmemory_policy")
    if policy is None:
        return "unknown", "it does not tell what it does when its memory is full"
    if policy == "noeviction":
        return "ok", "it deletes nothing when its memory is full"
    what = "keys, the books among them," if policy.startswith("allkeys") else "keys that expire"
    message = f"Redis at {where} deletes {what} when its memory is full: maxmemory-policy is {policy}"
    return Problem("TN321", "REDIS_HOST", message, "set maxmemory-policy noeviction on that server")


def _persistence(facts: Mapping[str, str], where: str) -> Verdict:
    """Judge what a crash of the server would lose; its configuration is not asked, for managed servers forbid that."""
    if "aof_enabled" not in facts:
        return "unknown", "it does not tell whether it writes to disk"
    broken = [
        name
        for name, fact in (
            ("the append-only file", "aof_last_write_status"),
            ("the last snapshot", "rdb_last_bgsave_status"),
        )
        if facts.get(fact, "ok") != "ok"
    ]
    if broken:
        code, _, fix = REFUSALS["MISCONF"]
        message = f"Redis at {where} could not write {' and '.join(broken)} to its own disk"
        return Problem(code, "REDIS_HOST", message, fix)
    if facts["aof_enabled"] == "1":
        return "ok", "it writes every change to disk (AOF)"
    if _has_saved(facts):
        return "ok", "it writes snapshots; a crash loses what came after the last one (appendonly yes keeps that too)"
    message = (
        f"Redis at {where} keeps its data in memory only: AOF is off, and no snapshot was written since it started"
    )
    return Problem("TN322", "REDIS_HOST", message, "set appendonly yes on that server")


def _has_saved(facts: Mapping[str, str]) -> bool:
    """Return whether a snapshot was written since the server started; ``rdb_saves`` came with Redis 7."""
    if (saves := _number(facts, "rdb_saves")) is not None:
        return saves > 0 or facts.get("rdb_bgsave_in_progress") == "1"
    now, up, saved = (_number(facts, name) for name in ("server_time_usec", "uptime_in_seconds", "rdb_last_save_time"))
    if now is None or up is None or saved is None:
        return False
    # Redis calls its start a save.
    return saved > now // 1_000_000 - up + SERVER_SAVED_SECS


JUDGES: tuple[tuple[str, Callable[[Mapping[str, str], str], Verdict]], ...] = (
    ("redis.loaded", _loaded),
    ("redis.version", _version),
    ("redis.primary", _primary),
    ("redis.memory", _memory),
    ("redis.eviction", _eviction),
    ("redis.persistence", _persistence),
)
