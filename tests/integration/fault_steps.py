"""What happens in the rows of the fault matrix, one step each; a step acts on the row's `Stage`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from redis.exceptions import ResponseError

from config.health.readiness_file import Unreadable, read
from config.live.hands import SOCKET, done
from config.state_dir import READINESS_FILE
from config.store.lease import Holder, trader_name
from tests.integration.books import STRATEGIES, holder
from tests.integration.fault_stage import COMES_WITHIN_SECS, ROOT, Commanded, Stage, own
from tests.integration.stand_ins import answering, answers, info, under_tls
from tests.redis_server import free_port
from tests.venue.handle import MarketName

type Step = Callable[[Stage], object]

MISFIT = "tests.integration.fault_strategies:Misfit"
SENT_WHILE_BUILT = "tests.integration.fault_strategies:SentWhileBuilt"
INSTRUMENTS = {"BINANCE": "BTCUSDT-PERP.BINANCE", "BYBIT": "BTCUSDT-LINEAR.BYBIT"}
BOOKS: dict[str, MarketName] = {"BINANCE": "binance_futures", "BYBIT": "bybit"}
OPEN = ("NEW", "PARTIALLY_FILLED")
TERM, INT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP


# -- the node ------------------------------------------------------------------------------------------------------


def given(**environ: str) -> Step:
    """Set environment variables of the nodes that are started from now on."""
    return lambda stage: stage.environ.update(environ)


def on(*venues: str) -> Step:
    """Choose the node's venues."""
    return given(NAUTILUS_VENUES=",".join(venues))


def start(stage: Stage) -> None:
    """Start the node, forked."""
    stage.start()


def start_by_command(stage: Stage) -> None:
    """Start the node as its user does."""
    stage.start(Commanded)


def says(text: str) -> Step:
    """Wait for a text on stderr or in the log."""
    return lambda stage: stage.until(text)


ready = says("\nready ")


def sent(number: signal.Signals) -> Step:
    """Send the node a signal that is to end it."""
    return lambda stage: stage.send(number)


def insisted(number: signal.Signals) -> Step:
    """Send the node a signal, and again until it has gone: two that it has not looked at yet are one."""

    def step(stage: Stage) -> None:
        stage.send(number)
        began = time.monotonic()
        while stage.node.code is None and time.monotonic() - began < COMES_WITHIN_SECS:
            time.sleep(0.3)
            with suppress(ProcessLookupError):
                os.kill(stage.node.pid, number)

    return step


def never_ready(stage: Stage) -> None:
    """See that the node ends without having been ready."""
    stage.until(lambda: stage.node.code is not None or "\nready " in stage.node.stderr)
    assert "\nready " not in stage.node.stderr, stage.node.stderr


def taken_over(stage: Stage) -> None:
    """Suspend the node until another one has taken its place, and let it go on: it is the one whose end counts."""
    first = stage.node
    os.kill(first.pid, signal.SIGSTOP)
    before = dict(stage.environ)
    stage.environ["NAUTILUS_STATE_DIR"] = str(stage.folder / "other")
    stage.start()
    ready(stage)
    stage.environ = before
    stage.nodes.remove(first)
    stage.nodes.append(first)
    os.kill(first.pid, signal.SIGCONT)


def killed(stage: Stage) -> None:
    """End the node as a crash does."""
    stage.send(signal.SIGKILL)
    stage.end(10)


def stopped(stage: Stage) -> None:
    """Stop the node, which ends well, before another one is started."""
    stage.send(TERM)
    code, _ = stage.end(30)
    assert code == 0, stage.node.stderr


def paused(seconds: float) -> Step:
    """Suspend the process of the node for a while, as a hypervisor does."""

    def step(stage: Stage) -> None:
        os.kill(stage.node.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(stage.node.pid, signal.SIGCONT)

    return step


def asleep(seconds: float) -> Step:
    """Wait."""
    return lambda _stage: time.sleep(seconds)


def hand(command: str, line: str) -> Step:
    """Lay hands on the node; ``line`` is what a person is told."""

    def step(stage: Stage) -> None:
        problems, _, told = done(str(stage.state), command, "by the matrix")
        assert not problems, problems
        assert line in told, told

    return step


def unhealthy(text: str, *options: str) -> Step:
    """Wait until ``tradingnode health`` says no, and why."""

    def look(stage: Stage) -> bool:
        time.sleep(0.2)
        code, told = _health(stage, *options)
        return code == 7 and text in told

    return lambda stage: stage.until(lambda: look(stage))


def _health(stage: Stage, *options: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "config", "health", "--state-dir", str(stage.state), *options]
    ran = subprocess.run(command, cwd=ROOT, env=own(), capture_output=True, text=True, timeout=60, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def standing(state: str, text: str = "", timeout: float = COMES_WITHIN_SECS) -> Step:
    """Wait until the readiness file says ``state``, and why."""

    def step(stage: Stage) -> None:
        def look() -> bool:
            with suppress(Unreadable):
                record, _ = read(stage.state / READINESS_FILE)
                return bool(record["state"] == state and text in (record["reason"] or ""))
            return False

        stage.until(look, timeout)

    return step


# -- strategies ----------------------------------------------------------------------------------------------------


def strategy(name: str, **config: Any) -> Step:
    """Load a strategy."""

    def step(stage: Stage) -> None:
        file = stage.given / "strategy.json"
        file.write_text(json.dumps(config))
        stage.args = ["--strategy", name, "--strategy-config", str(file)]

    return step


def misfit(does: str, venue: str = "BINANCE") -> Step:
    return strategy(MISFIT, does=does, instrument_id=INSTRUMENTS[venue])


def raising(where: str) -> Step:
    """Load a strategy that raises."""
    return strategy(f"{STRATEGIES}:Raises", where=where, text="as the matrix asked")


def raising_secrets(where: str) -> Step:
    """Load a strategy that raises with a secret in its words."""

    def step(stage: Stage) -> None:
        text = f"leaked {stage.secrets['BINANCE_FUTURES_TESTNET_API_SECRET']}, as the matrix asked"
        strategy(f"{STRATEGIES}:Raises", where=where, text=text)(stage)

    return step


def signalled_while_built(number: signal.Signals) -> Step:
    """Load a strategy that sends its process a signal when it is made, which is while the node is built."""
    return strategy(SENT_WHILE_BUILT, number=int(number))


def holding(venue: str, *, rest: bool = True, cancel: bool = False) -> Step:
    """Load a strategy that buys once, rests an order below, and may cancel it when it stops."""

    def step(stage: Stage) -> None:
        stage.environ["NAUTILUS_VENUES"] = venue
        stage.args = [*holder(stage.given, INSTRUMENTS[venue], rest=rest, cancel=cancel)]

    return step


def reported(good: Callable[[dict[str, Any]], object]) -> Step:
    """Wait until that strategy reports books that ``good`` likes."""

    def look(stage: Stage) -> object:
        path = stage.given / "report.json"
        return path.exists() and good(json.loads(path.read_text()))

    return lambda stage: stage.until(lambda: look(stage))


settled = reported(lambda books: books["positions"] and ["FILLED", "ACCEPTED"] == [row[2] for row in books["orders"]])

holds_a_position = reported(lambda books: books["positions"])


def quotes_go_on(stage: Stage) -> None:
    """See that quotes come in: three more than there were."""
    seen = json.loads((stage.given / "report.json").read_text())["quotes"]
    reported(lambda books: books["quotes"] > seen + 3)(stage)


def open_at(venue: str, count: int) -> Step:
    """See that the venue has so many open orders of this account."""

    def step(stage: Stage) -> None:
        rows = [row for row in stage.orders(BOOKS[venue]) if row["status"] in OPEN]
        assert count == len(rows), rows

    return step


def flat_at(venue: str) -> Step:
    """See that the venue has no position of this account."""

    def step(stage: Stage) -> None:
        rows = stage.positions(BOOKS[venue])
        assert not rows, rows

    return step


def ended(code: int) -> Step:
    """Wait for the end, so that what it left behind can be looked at."""

    def step(stage: Stage) -> None:
        found, _ = stage.end(40)
        assert code == found, stage.node.stderr

    return step


# -- the venue -----------------------------------------------------------------------------------------------------


def misbehaves(fault: str, **options: Any) -> Step:
    """Have the exchange misbehave until the row is over, or `behaves`."""
    return lambda stage: stage.venue.misbehave(fault, **options)


def behaves(stage: Stage) -> None:
    """End every fault of the exchange."""
    stage.venue.behave()


def asked(path: str) -> Step:
    """Wait until the exchange was asked for something whose name begins so."""
    return lambda stage: stage.until(lambda: any(name.startswith(path) for name in stage.venue.counts()))


def gone(stage: Stage) -> None:
    """Have the exchange drop every socket, and take no new ones."""
    stage.venue.misbehave("http_500")
    stage.venue.misbehave("disconnect")


def forgets_orders(venue: str) -> Step:
    """Have the exchange know nothing of the account's open orders, and tell nobody."""

    def step(stage: Stage) -> None:
        for row in stage.orders(BOOKS[venue]):
            if row["status"] in OPEN:
                stage.venue.forget(row["client_order_id"])

    return step


def knows_other_keys(stage: Stage) -> None:
    """Have the exchange know other keys only, as a testnet does not know those of the live exchange."""
    stage.venue.keys({"k" * 64: "s" * 64})


def moved_to_a_closed_port(stage: Stage) -> None:
    """Point the node at an exchange that is not there."""
    port = free_port()
    old = f"127.0.0.1:{stage.venue.port}"
    moved = {name: url.replace(old, f"127.0.0.1:{port}") for name, url in stage.venue.environ().items()}
    stage.environ.update(moved)


def without_venue_preflight(stage: Stage) -> None:
    """Let the node itself meet the exchange's fault, and give up soon."""
    skip = {"NAUTILUS_PREFLIGHT_SKIP": "venues", "NAUTILUS_CONNECTION_TIMEOUT": "2", "NAUTILUS_READY_TIMEOUT": "3"}
    stage.environ.update(skip)


def unknown_instrument(venue: str) -> Step:
    """Name an instrument that the exchange does not have."""

    def step(stage: Stage) -> None:
        without_venue_preflight(stage)
        name = f"NOPE-{'PERP' if venue == 'BINANCE' else 'LINEAR'}.{venue}"
        stage.environ |= {"NAUTILUS_VENUES": venue, f"{venue}_INSTRUMENT_IDS": name}

    return step


# -- Redis ---------------------------------------------------------------------------------------------------------


def redis_with(*options: str) -> Step:
    """Start a server with more options."""
    return lambda stage: stage.serve(*options)


def redis_closed(stage: Stage) -> None:
    """Point the node at a port on which nobody listens."""
    stage.environ["REDIS_PORT"] = str(free_port())


def redis_user(rules: str) -> Step:
    """Log in as a user with these rights."""

    def step(stage: Stage) -> None:
        stage.serve(f"user limited on >{stage.secrets['REDIS_PASSWORD']} {rules}")
        stage.environ["REDIS_USERNAME"] = "limited"

    return step


def redis_is(handle: Callable[[socket.socket], None]) -> Step:
    """Put something in the place of the server."""

    def step(stage: Stage) -> None:
        stage.environ["REDIS_PORT"] = str(stage.keep(answering(handle)))

    return step


def _never(sock: socket.socket) -> None:
    """Read, and never answer."""
    while sock.recv(65536):
        pass


def _old(words: list[str]) -> bytes:
    """Answer as Redis 5.0.7 does."""
    facts = {"redis_version": "5.0.7", "role": "master", "used_memory": 1, "maxmemory": 0, "aof_enabled": 1}
    return info(**facts, maxmemory_policy="noeviction") if words[0] == "INFO" else b"$-1\r\n"


redis_silent = redis_is(_never)
redis_old = redis_is(answers(_old))


def redis_silent_asked(stage: Stage) -> None:
    """Start the node and wait until it has asked a server that never answers."""
    seen = threading.Event()

    def handle(sock: socket.socket) -> None:
        seen.set()
        _never(sock)

    stage.environ["REDIS_TIMEOUT"] = "30"
    redis_is(handle)(stage)
    stage.start()
    stage.until(seen.is_set)


def redis_under_tls(stage: Stage) -> None:
    """Put TLS with a certificate of no public authority before the server."""
    papers = stage.given
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout key.pem -out good.pem"
        " -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(command.split(), cwd=papers, env=own(), check=True, capture_output=True)
    stage.environ["REDIS_PORT"] = str(stage.keep(under_tls(stage.redis.port, papers)))


def redis_loading(stage: Stage) -> None:
    """Start a server that needs a while to load what it holds."""
    server = stage.serve("appendonly no", "key-load-delay 5000", "loading-process-events-interval-bytes 1024")
    with stage.admin() as admin:
        for number in range(1000):
            admin.set(f"key:{number}", "x" * 64)
        admin.save()
    server.kill()
    server.start()
    stage.after(server.kill)  # it would finish loading first


def redis_holds(*command: str) -> Step:
    """Write something into the server; ``{trader_id}`` is the node's."""

    def step(stage: Stage) -> None:
        with stage.admin() as admin:
            admin.execute_command(*(word.format(trader_id=stage.trader_id) for word in command))

    return step


def redis_full(stage: Stage) -> None:
    """Fill the server's memory until it refuses the smallest value."""
    with stage.admin() as admin:
        admin.config_set("maxmemory-policy", "noeviction")
        admin.config_set("maxmemory", "1mb")
        for number in range(100_000):
            try:
                admin.set(f"key:{number}", "x" * 4096 if number < 500 else "x")
            except ResponseError:
                if number >= 500:
                    return
    raise AssertionError("the server refuses nothing")


def redis_disk_fails(stage: Stage) -> None:
    """Take the server's disk away and let it notice: it refuses every write."""
    with stage.admin() as admin:
        admin.config_set("appendonly", "no")
        admin.config_set("save", "3600 1")
        shutil.rmtree(stage.redis.folder)
        stage.after(stage.redis.kill)  # it would not end by itself: it cannot save
        admin.bgsave()
        deadline = time.monotonic() + 10
        while admin.info()["rdb_last_bgsave_status"] == "ok":
            assert time.monotonic() < deadline, "the snapshot did not fail"
            time.sleep(0.01)


def redis_log_on_full_disk(stage: Stage) -> None:
    """Start a server whose append-only file is on a full disk, and let it notice."""

    def before(folder: Path) -> None:
        (folder / "appendonlydir").mkdir()
        (folder / "appendonlydir" / "appendonly.aof.1.incr.aof").symlink_to("/dev/full")

    server = stage.serve("appendfsync everysec", before=before)
    stage.after(server.kill)
    with stage.admin() as admin:
        deadline = time.monotonic() + 10
        while admin.info()["aof_last_write_status"] == "ok":
            assert time.monotonic() < deadline, "the append-only file did not fail"
            with suppress(ResponseError):
                admin.set("key", "value")
            time.sleep(0.05)


def redis_taken(stage: Stage) -> None:
    """Take the server's only place."""
    deadline = time.monotonic() + 10
    while True:
        # That with which the start was awaited may still count.
        assert time.monotonic() < deadline, "the server takes nobody"
        sock = stage.keep(socket.create_connection(("127.0.0.1", stage.redis.port)))
        sock.sendall(b"PING\r\n")
        if b"max number" not in sock.recv(64):
            return


def redis_demoted(stage: Stage) -> None:
    """Make the server a read-only replica, as a failover does."""
    with stage.admin() as admin:
        admin.replicaof("127.0.0.1", str(free_port()))


def redis_drops_clients(stage: Stage) -> None:
    """Have the server end every connection."""
    with stage.admin() as admin:
        admin.client_kill_filter(_type="normal", skipme=True)


def redis_killed(stage: Stage) -> None:
    """End the server as a crash does."""
    stage.redis.kill()


def redis_back(stage: Stage) -> None:
    """Start the server again."""
    stage.redis.start()


def redis_paused(seconds: float) -> Step:
    """Freeze the server for a while."""

    def step(stage: Stage) -> None:
        stage.redis.pause()
        time.sleep(seconds)
        stage.redis.resume()

    return step


# -- the lease -----------------------------------------------------------------------------------------------------


def lease_elsewhere(stage: Stage) -> None:
    """Have a node of another host hold the lease."""
    there = replace(Holder.of_this_process("OTHER-001"), host="elsewhere", host_id="0" * 16)
    with stage.admin() as admin:
        admin.set(trader_name(stage.trader_id), there.text, px=60_000)


def lease_elsewhere_ends(stage: Stage) -> None:
    """Let the time to live of that lease pass."""
    with stage.admin() as admin:
        admin.pexpire(trader_name(stage.trader_id), 1)


def other_node(stage: Stage) -> None:
    """Have another trader with the same key run, and wait until it is ready."""
    before = dict(stage.environ)
    stage.environ |= {"NAUTILUS_TRADER_ID": "OTHER-001", "NAUTILUS_STATE_DIR": str(stage.folder / "other")}
    stage.start()
    ready(stage)
    stage.environ = before


def other_trader(venue: str, instrument_id: str) -> Step:
    """Have the next node be another trader, on the same account, with one instrument and no strategy."""

    def step(stage: Stage) -> None:
        stage.environ |= {"NAUTILUS_TRADER_ID": "OTHER-001", f"{venue}_INSTRUMENT_IDS": instrument_id}
        stage.args = []

    return step


# -- disks ---------------------------------------------------------------------------------------------------------


def below_a_file(name: str) -> Step:
    """Put a file where a directory is to be; root may write where modes forbid it."""

    def step(stage: Stage) -> None:
        (stage.folder / "file").write_text("")
        stage.environ[name] = str(stage.folder / "file" / "below")

    return step


def socket_in_the_way(stage: Stage) -> None:
    """Put a directory where the control socket is to be."""
    (stage.state / SOCKET).mkdir(parents=True)


def http_port_taken(stage: Stage) -> None:
    """Listen on the port that the node is to serve its metrics on."""
    taken = stage.keep(socket.create_server(("127.0.0.1", 0)))
    stage.environ["NAUTILUS_HTTP_PORT"] = str(taken.getsockname()[1])


def state_directory_gone(stage: Stage) -> None:
    """Remove the state directory under the node."""
    shutil.rmtree(stage.state)
