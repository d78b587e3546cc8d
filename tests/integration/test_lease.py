"""One trader only, against a real Redis: who holds a lease, who takes it over and when, and what the loser is told."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import threading
import time
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from redis import Redis

from config.models import BinanceCredentials, BybitCredentials, RedisConfig, TradingNodeSettings
from config.problems import ConfigError, Problem
from config.store.lease import COMMANDS, Holder, Lease, State, account_name, host_id, lease_names, trader_name
from tests.conftest import CANARIES
from tests.redis_server import RedisServer

SHORT = 1.2
KEYS = {name: CANARIES[name] for name in ("BINANCE_FUTURES_TESTNET_API_KEY", "BYBIT_TESTNET_API_KEY")}
_context = multiprocessing.get_context("forkserver")


@dataclass
class Told:
    """What a lease told, with the time."""

    states: list[tuple[State, str, float]] = field(default_factory=list)

    def __call__(self, state: State, why: str) -> None:
        self.states.append((state, why, time.monotonic()))

    @property
    def names(self) -> list[State]:
        return [state for state, _, _ in self.states]

    def wait_for(self, state: State, timeout: float = 10) -> tuple[str, float]:
        until(lambda: state in self.names, timeout)
        return next((why, when) for found, why, when in reversed(self.states) if found == state)


def until(true: Callable[[], object], timeout: float = 10) -> None:
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.005)


def server_of(redis: RedisServer) -> RedisConfig:
    return RedisConfig(host="127.0.0.1", port=redis.port, password=SecretStr(CANARIES["REDIS_PASSWORD"]), timeout=1)


@pytest.fixture
def config(redis: RedisServer) -> RedisConfig:
    return server_of(redis)


@pytest.fixture
def client(redis: RedisServer) -> Iterator[Any]:
    # Nodes of other tests keep bytes there that are no text.
    password = CANARIES["REDIS_PASSWORD"]
    with Redis(port=redis.port, password=password, decode_responses=True, encoding_errors="replace") as found:
        yield found


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return trader_name(f"L{abs(hash(request.node.nodeid)) % 10**8}-001")


def _hold(config: RedisConfig, names: tuple[str, ...], time_to_live: float, pipe: Connection) -> None:
    """Hold a lease until told otherwise, and tell what :meth:`may_trade` says first after any pause."""
    lock = threading.Lock()

    def tell(*message: object) -> None:
        with lock:
            pipe.send(message)

    lease = Lease(config, names, "OTHER-001", on_trouble=tell, time_to_live=time_to_live)
    try:
        lease.acquire()
    except ConfigError as error:
        tell("refused", error.problems)
        return
    last = time.monotonic()
    tell("acquired", os.getpid())
    while not pipe.poll(0.002):
        now = time.monotonic()
        if now - last > time_to_live / 2:
            tell("after a pause", lease.may_trade())
        last = now
    lease.release()
    tell("released", lease.may_trade())


class Node:
    """Another process that holds, or wants, a lease."""

    def __init__(self, config: RedisConfig, *names: str, time_to_live: float = SHORT) -> None:
        self._heard: list[Any] = []
        self._pipe, theirs = _context.Pipe()
        self._process = _context.Process(target=_hold, args=(config, names, time_to_live, theirs))
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def says(self, what: str, timeout: float = 30) -> Any:
        """Wait for a message and return what belongs to it; others are kept, since two threads of it speak."""
        deadline = time.monotonic() + timeout
        while True:
            for message in self._heard:
                if message[0] == what:
                    self._heard.remove(message)
                    return message[1]
            if not self._pipe.poll(max(0.0, deadline - time.monotonic())):
                raise AssertionError(f"it did not say {what!r}, but {self._heard}")
            self._heard.append(self._pipe.recv())

    def first_word(self) -> str:
        return str(self._pipe.recv()[0])

    def release(self) -> Any:
        self._pipe.send("release")
        return self.says("released")

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        if self._process.is_alive():
            self._process.kill()
        self._process.join()


@pytest.fixture
def node(config: RedisConfig) -> Iterator[Callable[..., Node]]:
    started: list[Node] = []

    def start(*names: str, **options: float) -> Node:
        started.append(Node(config, *names, **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()


@contextmanager
def paused(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def refused(lease: Lease) -> tuple[tuple[Problem, ...], float]:
    """Return why it gives up, and after how many seconds."""
    began = time.monotonic()
    with pytest.raises(ConfigError) as raised:
        lease.acquire()
    assert not lease.may_trade()
    return raised.value.problems, time.monotonic() - began


def test_lease_is_held_from_acquire_to_release_and_renewed_between(config: RedisConfig, client: Any, name: str) -> None:
    told = Told()
    lease = Lease(config, [name], "MINE-001", on_trouble=told, time_to_live=SHORT)
    assert not lease.may_trade()
    with lease:
        end = time.monotonic() + 3 * SHORT
        while time.monotonic() < end:
            assert lease.may_trade()
            assert 0 < client.pttl(name) <= SHORT * 1000
            time.sleep(0.01)
        holder = Holder.from_text(client.get(name))
        assert holder is not None
        assert ("MINE-001", os.getpid(), host_id()) == (holder.trader_id, holder.pid, holder.host_id)
    assert not lease.may_trade()
    assert not client.exists(name)
    assert [] == told.states


def test_busy_main_thread_does_not_lose_the_lease(config: RedisConfig, client: Any, name: str) -> None:
    """An event loop that is blocked by Python code: the renewal has a thread of its own."""
    with Lease(config, [name], "MINE-001", time_to_live=SHORT) as lease:
        end = time.monotonic() + 2 * SHORT
        while time.monotonic() < end:
            sum(range(10_000))
        assert lease.may_trade()
        assert client.exists(name)


def test_second_node_waits_for_the_time_to_live_and_says_who_is_in_the_way(
    config: RedisConfig, node: Callable[..., Node], name: str
) -> None:
    other = node(name)
    pid = other.says("acquired")
    waits: list[str] = []
    (problem,), took = refused(Lease(config, [name], "MINE-001", on_wait=waits.append, time_to_live=SHORT))
    assert SHORT <= took < SHORT + 1
    assert ("TN614", 6, "NAUTILUS_TRADER_ID") == (problem.code, problem.exit_code, problem.key)
    for part in (f"process {pid} on {os.uname().nodename}", "trader OTHER-001", f"since {time.gmtime().tm_year}-"):
        assert part in problem.message
    assert f"kill {pid}" in problem.fix
    assert 1 == len(waits)
    assert problem.message in waits[0]
    other.release()


def test_node_that_waits_gets_the_lease_when_the_other_one_stops(
    config: RedisConfig, node: Callable[..., Node], name: str
) -> None:
    other = node(name, time_to_live=15.0)
    other.says("acquired")
    threading.Timer(0.3, other.release).start()
    began = time.monotonic()
    with Lease(config, [name], "MINE-001", time_to_live=15.0) as lease:
        assert 0.2 < time.monotonic() - began < 14  # not the time to live
        assert lease.may_trade()


def test_dead_process_of_this_host_is_taken_over_at_once(
    config: RedisConfig, client: Any, node: Callable[..., Node], name: str
) -> None:
    other = node(name, time_to_live=60.0)
    other.says("acquired")
    other.kill()
    assert client.exists(name)
    began = time.monotonic()
    with Lease(config, [name], "MINE-001", time_to_live=60.0) as lease:
        assert time.monotonic() - began < 30  # not the time to live
        assert lease.may_trade()


def test_process_id_that_was_given_again_is_no_holder(config: RedisConfig, client: Any, name: str) -> None:
    here = Holder.of_this_process("OTHER-001")
    assert here.process_start is not None
    for holder, is_dead in (
        (here, False),
        (replace(here, process_start=here.process_start - 1), True),
        (replace(here, process_start=None), False),
        (replace(here, process_start=here.process_start - 1, host_id=None), False),
        (replace(here, process_start=here.process_start - 1, host_id="0" * 16), False),
        (replace(here, pid=2**22 + 1), True),
        (replace(here, pid=2**70), False),
    ):
        assert is_dead is holder.is_dead(), holder
        client.set(name, holder.text, px=60_000)
        lease = Lease(config, [name], "MINE-001", time_to_live=0.6)
        if is_dead:
            lease.acquire().release()
        else:
            assert "TN614" == refused(lease)[0][0].code


def test_process_that_nobody_has_waited_for_is_dead(name: str) -> None:
    with subprocess.Popen(["true"]) as process:
        until(lambda: replace(Holder.of_this_process(name), pid=process.pid, process_start=None).is_dead())
        os.kill(process.pid, 0)


def test_holder_elsewhere_is_taken_over_only_after_its_time_to_live(
    config: RedisConfig, client: Any, node: Callable[..., Node], name: str
) -> None:
    other = node(name)
    other.says("acquired")
    other.kill()
    elsewhere = {**json.loads(client.get(name)), "host_id": "0" * 16}
    client.set(name, json.dumps(elsewhere), px=round(SHORT * 1000))
    began = time.monotonic()
    with Lease(config, [name], "MINE-001", time_to_live=SHORT):
        assert time.monotonic() - began > SHORT - 0.1


def test_node_that_was_stopped_finds_itself_replaced_and_may_not_trade_from_the_first_moment(
    config: RedisConfig, node: Callable[..., Node], name: str
) -> None:
    other = node(name)
    other.says("acquired")
    with paused(other.pid), Lease(config, [name], "MINE-001", time_to_live=SHORT) as lease:
        time.sleep(SHORT / 2)
        other.send(signal.SIGCONT)
        assert other.says("after a pause") is False
        assert "trader MINE-001" in other.says("lost")
        assert other.release() is False
        assert lease.may_trade()


def test_node_that_was_stopped_may_not_trade_even_before_it_can_ask_redis(name: str) -> None:
    with RedisServer(password=CANARIES["REDIS_PASSWORD"]) as server:
        other = Node(server_of(server), name)
        try:
            other.says("acquired")
            with paused(server.pid):
                with paused(other.pid):
                    time.sleep(SHORT)
                assert other.says("after a pause") is False
        finally:
            other.kill()


def test_node_that_was_stopped_while_another_one_came_and_went_has_lost_too(
    config: RedisConfig, node: Callable[..., Node], name: str
) -> None:
    """The lease is free again, but its books know nothing of what the other one did."""
    other = node(name)
    other.says("acquired")
    with paused(other.pid), Lease(config, [name], "MINE-001", time_to_live=SHORT):
        pass
    assert other.says("after a pause") is False
    assert "taken by another node meanwhile" in other.says("lost")


def test_node_that_was_stopped_and_not_replaced_goes_on(node: Callable[..., Node], name: str) -> None:
    other = node(name)
    other.says("acquired")
    with paused(other.pid):
        time.sleep(2 * SHORT)
    assert "nobody else had it: taken again" in other.says("held")


def test_frozen_redis_is_told_after_half_the_time_to_live_and_again_when_it_answers(name: str) -> None:
    with RedisServer(password=CANARIES["REDIS_PASSWORD"]) as server:
        told = Told()
        with Lease(server_of(server), [name], "MINE-001", on_trouble=told, time_to_live=2.0) as lease:
            with paused(server.pid):
                began = time.monotonic()
                _, when = told.wait_for("failing")
                # The last renewal was up to a third of it before.
                assert when - began > 1.0 - 2 / 3 - 0.2
                assert not lease.may_trade()
            told.wait_for("held")
            assert lease.may_trade()
        assert ["failing", "held"] == told.names


def test_killed_redis_is_told_and_an_empty_one_in_its_place_gives_the_lease_back(name: str) -> None:
    with RedisServer(password=CANARIES["REDIS_PASSWORD"]) as server:
        told = Told()
        with Lease(server_of(server), [name], "MINE-001", on_trouble=told, time_to_live=SHORT) as lease:
            folder = _end(server)
            why, _ = told.wait_for("failing")
            assert "refused" in why.lower() or "closed" in why.lower() or "reset" in why.lower()
            assert not lease.may_trade()
            _start_again_empty(server, folder)
            why, _ = told.wait_for("held")
            assert "nobody else had it: taken again" in why
            assert lease.may_trade()


def test_empty_redis_in_which_another_node_was_quicker_means_lost(name: str) -> None:
    with RedisServer(password=CANARIES["REDIS_PASSWORD"]) as server:
        config = server_of(server)
        other = Node(config, name)
        try:
            other.says("acquired")
            folder = _end(server)
            other.says("failing")
            with paused(other.pid):
                _start_again_empty(server, folder)
                quick = Lease(config, [name], "QUICK-001", time_to_live=SHORT).acquire()
            assert "trader QUICK-001" in other.says("lost")
            assert other.release() is False
            assert quick.may_trade()
            quick.release()
        finally:
            other.kill()


def _end(server: RedisServer) -> Path:
    """End the server as a crash does, and return the folder of what it kept."""
    with Redis(port=server.port, password=CANARIES["REDIS_PASSWORD"], decode_responses=True) as admin:
        folder = Path(admin.config_get("dir")["dir"])
    os.kill(server.pid, signal.SIGKILL)
    os.waitpid(server.pid, 0)
    return folder


def _start_again_empty(server: RedisServer, folder: Path) -> None:
    """Start a server on the same port, as a supervisor does, without what the last one kept."""
    for kept in folder.iterdir():
        shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
    server.start()


def test_release_leaves_what_is_somebody_elses(config: RedisConfig, client: Any, name: str) -> None:
    lease = Lease(config, [name, f"{name}x"], "MINE-001", time_to_live=60.0).acquire()
    text = replace(Holder.of_this_process("OTHER-001"), host_id="0" * 16).text
    client.set(name, text)
    lease.release()
    assert text == client.get(name)
    assert not client.exists(f"{name}x")


def test_all_names_are_taken_or_none(config: RedisConfig, client: Any, node: Callable[..., Node], name: str) -> None:
    account = account_name("BYBIT", "TESTNET", f"{name}-key")
    other = node(account)
    other.says("acquired")
    problems: list[tuple[Problem, ...]] = []
    lease = Lease(config, [name, account], "MINE-001", time_to_live=SHORT)
    waiting = threading.Thread(target=lambda: problems.append(refused(lease)[0]))
    waiting.start()
    while waiting.is_alive():
        assert not client.exists(name)
        time.sleep(0.01)
    ((problem,),) = problems
    assert ("TN614", "BYBIT_API_KEY") == (problem.code, problem.key)
    assert "the account of this API key at BYBIT TESTNET is held by another node: trader OTHER-001" in problem.message
    other.release()
    with Lease(config, [name, account], "MINE-001", time_to_live=SHORT):
        assert 2 == client.exists(name, account)


def test_of_nodes_that_start_at_once_exactly_one_gets_in(node: Callable[..., Node], name: str) -> None:
    nodes = [node(name, f"{name}x") for _ in range(4)]
    answers = [each.first_word() for each in nodes]
    assert ["acquired", "refused", "refused", "refused"] == sorted(answers)


def settings(trader_id: str = "MINE-001", **fields: Any) -> TradingNodeSettings:
    venues = {
        "binance": BinanceCredentials(
            api_key=SecretStr(KEYS["BINANCE_FUTURES_TESTNET_API_KEY"]),
            api_secret=SecretStr("s" * 64),
            environment="TESTNET",
        ),
        "bybit": BybitCredentials(
            api_key=SecretStr(KEYS["BYBIT_TESTNET_API_KEY"]), api_secret=SecretStr("s" * 36), environment="TESTNET"
        ),
    }
    return TradingNodeSettings.model_validate({"trader_id": trader_id, **venues, **fields})


def test_names_are_the_trader_and_each_account_that_orders_go_to() -> None:
    trader, binance, bybit = lease_names(settings())
    assert "tradingnode:lease:trader:MINE-001" == trader
    assert "tradingnode:lease:account:BINANCE:TESTNET" == binance.rpartition(":")[0]
    assert "tradingnode:lease:account:BYBIT:TESTNET" == bybit.rpartition(":")[0]
    assert (trader,) == lease_names(settings(execution="SIMULATED"))
    assert () == lease_names(settings(role="recorder"))
    assert (binance, bybit) == lease_names(settings("OTHER-001"))[1:]
    assert binance != account_name("BINANCE", "TESTNET", KEYS["BINANCE_FUTURES_TESTNET_API_KEY"] + "x")


def test_nothing_of_a_key_is_in_redis_nor_told(config: RedisConfig, client: Any) -> None:
    names = lease_names(settings("SEEN-001"))
    with Lease(config, names, "SEEN-001", time_to_live=1.0):
        (problem, *_), _ = refused(Lease(config, names, "SEEN-001", time_to_live=1.0))
        keys = list(client.scan_iter("*"))
        assert set(names) <= set(keys)
        seen = "\n".join(
            [*keys, *(client.get(key) or "" for key in keys if client.type(key) == "string"), str(problem)]
        )
    for secret in CANARIES.values():
        parts = {secret[start : start + 6] for start in range(len(secret) - 5)}
        assert not [part for part in parts if part in seen]


def test_user_with_the_documented_rights_and_no_other_can_hold_a_lease(
    config: RedisConfig, client: Any, name: str
) -> None:
    """No scripting among them, which managed servers may forbid."""
    rights = [f"+{command}" for command in COMMANDS]
    user = "lease-user"
    limited = RedisConfig(host="127.0.0.1", port=config.port, username=user, password=SecretStr("pw"))
    client.execute_command("ACL", "SETUSER", user, "reset", "on", ">pw", "~tradingnode:lease:*", "-@all", *rights)
    try:
        with Lease(limited, [name], "MINE-001", time_to_live=SHORT) as lease:
            time.sleep(SHORT)
            assert lease.may_trade()
        assert not client.exists(name)
        client.execute_command("ACL", "SETUSER", user, "-set")
        (problem,), _ = refused(Lease(limited, [name], "MINE-001", time_to_live=SHORT))
        assert ("TN603", 6) == (problem.code, problem.exit_code)
        assert ", ".join(COMMANDS) in problem.fix
    finally:
        client.execute_command("ACL", "DELUSER", user)


def test_signal_ends_the_wait_at_once_and_nothing_is_held(
    config: RedisConfig, client: Any, node: Callable[..., Node], name: str
) -> None:
    other = node(name, time_to_live=30.0)
    other.says("acquired")

    def asked(*_: object) -> None:
        raise InterruptedError("stop")

    before = signal.signal(signal.SIGALRM, asked)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    began = time.monotonic()
    try:
        with pytest.raises(InterruptedError):
            Lease(config, [name, f"{name}x"], "MINE-001", time_to_live=30.0).acquire()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 25  # not the time to live
    assert not client.exists(f"{name}x")
    assert other.release() is False


def test_redis_that_is_down_is_told_at_once(name: str) -> None:
    with RedisServer() as server:
        config = RedisConfig(host="127.0.0.1", port=server.port)
    (problem,), took = refused(Lease(config, [name], "MINE-001", time_to_live=15.0))
    assert "TN601" == problem.code
    assert took < 2


def test_what_no_node_wrote_is_in_the_way_and_named(config: RedisConfig, client: Any, name: str) -> None:
    for text in ("", "held", b"\xff", "[]", "{}", '{"token": 1}', Holder.of_this_process("A\x1b[2J").text):
        client.set(name, text)
        (problem,), _ = refused(Lease(config, [name], "MINE-001", time_to_live=0.1))
        assert "TN614" == problem.code
        assert f"delete {name}" in problem.fix
        assert "\x1b" not in str(problem)
    client.delete(name)


def test_callback_that_raises_does_not_end_the_renewal(name: str) -> None:
    with RedisServer(password=CANARIES["REDIS_PASSWORD"]) as server:
        told = Told()

        def fragile(state: State, why: str) -> None:
            told(state, why)
            raise RuntimeError("Event loop is closed")

        with Lease(server_of(server), [name], "MINE-001", on_trouble=fragile, time_to_live=SHORT):
            with paused(server.pid):
                told.wait_for("failing")
            told.wait_for("held")


def test_asking_before_every_order_costs_next_to_nothing(config: RedisConfig, name: str) -> None:
    with Lease(config, [name], "MINE-001") as lease:
        assert lease.may_trade()
        best = min(timeit.repeat(lease.may_trade, number=10_000, repeat=5)) / 10_000
    assert best < 5e-6  # 0.2 us where it was measured; no call to Redis, which takes 50 us and more, fits in
