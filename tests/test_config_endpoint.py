"""The endpoint answers while the event loop is stuck, tells nothing that it was told, and is not to be worn down."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from config.health.endpoint import HANDLERS, HEAD_MAX, Endpoint
from config.health.heartbeat import Condition, keep_beating
from config.health.pulse import Pulse
from config.health.readiness_file import MAX_AGE_SECS, ReadinessFile
from config.live.changes import Changes
from config.problems import ConfigError, ExitCode

READY = Condition("ready", ("BINANCE", "BYBIT"))
CANARY = "canary-7c1e"
# A bound on hanging, never waited for.
HANG_SECS = 20
# 21 November 2026, 06:00.
NOW = 1_795_240_800.0


class Answered(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


class Clock:
    """Seconds that pass when a test says so."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pulse(clock: Clock) -> Pulse:
    return Pulse(Changes(), clock=lambda: NOW, monotonic=clock)


@pytest.fixture
def endpoint(pulse: Pulse) -> Iterator[Endpoint]:
    with Endpoint(0, pulse, CollectorRegistry(), timeout=HANG_SECS) as started:
        yield started


def ask(port: int, path: str, method: str = "GET", **headers: str) -> Answered:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HANG_SECS)
    with contextlib.closing(connection):
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return Answered(response.status, dict(response.getheaders()), response.read().decode())


def connect(port: int, host: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((host, port), HANG_SECS)


def send(port: int, request: str) -> bytes:
    """Send ``request`` as it is and return everything that comes back."""
    with connect(port) as sender:
        sender.sendall(request.encode("latin-1"))
        return rest(sender)


def rest(receiver: socket.socket) -> bytes:
    """Return what comes until the other side closes; a reset is how it closes on what it did not read."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while more := receiver.recv(65_536):
            data += more
    return data


class _Calls(Collector):
    """Calls a function when metrics are asked for, in the thread that answers."""

    def __init__(self, function: Callable[[], object], *metrics: Metric) -> None:
        self.function, self.metrics = function, metrics
        self.returned: list[object] = []

    def collect(self) -> Iterator[Metric]:
        self.returned.append(self.function())
        yield from self.metrics


@pytest.mark.parametrize(
    "condition, status, sentence",
    [
        (READY, 200, "ready: since 2026-11-21T06:00:00Z: BINANCE, BYBIT\n"),
        (Condition("ready"), 200, "ready: since 2026-11-21T06:00:00Z: no client\n"),
        (Condition("starting"), 503, "not ready: starting since 2026-11-21T06:00:00Z\n"),
        (
            Condition("restricted", ("BINANCE",), "redis: it is gone\r\nHTTP/1.1 200 OK"),
            503,
            "not ready: restricted since 2026-11-21T06:00:00Z: redis: it is gone HTTP/1.1 200 OK\n",
        ),
        (Condition("stopping", ("BINANCE",)), 503, "not ready: stopping since 2026-11-21T06:00:00Z\n"),
    ],
    ids=lambda value: str(value).partition("\n")[0],
)
def test_ready_is_what_the_node_said_last_and_live_that_it_said_something(
    condition: Condition, status: int, sentence: str, endpoint: Endpoint, pulse: Pulse
) -> None:
    pulse.tell(READY)
    pulse.tell(condition)
    ready, live = ask(endpoint.port, "/ready"), ask(endpoint.port, "/live")
    assert (status, sentence) == (ready.status, ready.text)
    assert (200, f"live: its event loop turns, {condition.state}\n") == (live.status, live.text)
    assert "no-store" == ready.headers["Cache-Control"]


def test_a_node_that_never_said_anything_is_starting(endpoint: Endpoint) -> None:
    assert (503, 200) == (ask(endpoint.port, "/ready").status, ask(endpoint.port, "/live").status)


def test_a_reason_without_end_is_cut(endpoint: Endpoint, pulse: Pulse) -> None:
    pulse.tell(Condition("restricted", (), "x" * 100_000))
    assert len(ask(endpoint.port, "/ready").text) < 600


def test_a_stuck_event_loop_is_neither_live_nor_ready_until_it_turns_again(
    endpoint: Endpoint, pulse: Pulse, clock: Clock, tmp_path: Path
) -> None:
    async def node() -> None:
        def look() -> Condition:
            pulse.tell(READY)
            return READY

        beats = asyncio.create_task(keep_beating(_file(tmp_path), look, {}, every=0.01))
        await asyncio.sleep(0.03)
        # These calls block the loop themselves: what answers is not on it.
        assert (200, 200) == (ask(endpoint.port, "/live").status, ask(endpoint.port, "/ready").status)
        clock.now += MAX_AGE_SECS
        assert 200 == ask(endpoint.port, "/ready").status
        clock.now += 2.5
        for path in ("/live", "/ready"):
            stuck = ask(endpoint.port, path)
            assert 503 == stuck.status
            told = "its last sign of life is 12.5 s old (more than 10 s): its event loop is stuck"
            assert f"not {path[1:]}: {told}\n" == stuck.text
        while pulse.age:
            await asyncio.sleep(0.01)
        assert (200, 200) == (ask(endpoint.port, "/live").status, ask(endpoint.port, "/ready").status)
        beats.cancel()

    asyncio.run(asyncio.wait_for(node(), HANG_SECS))


def _file(folder: Path) -> ReadinessFile:
    return ReadinessFile(folder / "ready.json", trader_id="T-001", preset="testnet")


def test_every_change_of_state_is_counted_once_and_begins_a_new_since() -> None:
    times = iter(range(100))
    changes = Changes()
    pulse = Pulse(changes, clock=lambda: next(times))
    for condition in (
        Condition("starting", (), "execution client BYBIT is not connected"),
        READY,
        READY,
        Condition("ready", ("BINANCE",)),
        Condition("restricted", (), "redis: gone"),
        READY,
    ):
        pulse.tell(condition)
    assert {("state", "ready"): 2, ("state", "restricted"): 1} == changes.totals
    assert (READY, 3.0) == pulse.last[:2]


@pytest.mark.parametrize("path", ["/", "/readyz", "/ready/", "/Ready", "/metrics/..", "*", f"/{CANARY}"])
def test_any_other_path_is_not_found(path: str, endpoint: Endpoint) -> None:
    answer = ask(endpoint.port, path)
    assert (404, "not found: there are /live, /ready and /metrics\n") == (answer.status, answer.text)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", CANARY.upper()])
def test_any_other_method_is_refused(method: str, endpoint: Endpoint) -> None:
    answer = ask(endpoint.port, "/ready", method)
    assert (405, "GET, HEAD") == (answer.status, answer.headers["Allow"])
    assert CANARY.upper() not in str(answer)


@pytest.mark.parametrize("path", ["/live", "/ready", "/metrics", "/else"])
def test_head_is_get_without_the_text(path: str, endpoint: Endpoint) -> None:
    def asked(method: str) -> tuple[list[str], str]:
        request = f"{method} {path} HTTP/1.1\r\nHost: localhost:{endpoint.port}\r\n\r\n"
        head, _, text = send(endpoint.port, request).decode().partition("\r\n\r\n")
        return [line for line in head.splitlines() if not line.startswith("Date: ")], text

    (head, text), (head_alone, nothing) = asked("GET"), asked("HEAD")
    assert "" == nothing
    assert head == head_alone
    assert f"Content-Length: {len(text)}" in head


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "LocalHost"])
def test_names_of_loopback_are_served(name: str, endpoint: Endpoint) -> None:
    assert 200 == ask(endpoint.port, "/live", Host=f"{name}:{endpoint.port}").status


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:{port}",
        "127.0.0.1.evil.example:{port}",
        "localhost.evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "0.0.0.0:{port}",
        "{port}",
        "",
        "localhost:{port}\r\nHost: evil.example:{port}",
        "localhost:{port}, evil.example",
    ],
)
def test_a_page_whose_name_was_made_to_lead_here_is_refused(host: str, endpoint: Endpoint) -> None:
    text = send(endpoint.port, f"GET /ready HTTP/1.1\r\nHost: {host.format(port=endpoint.port)}\r\n\r\n").decode()
    assert text.startswith("HTTP/1.0 403 ")
    assert "evil" not in text


@pytest.mark.parametrize("line", ["GET /live", "GET /live HTTP/1.0", "GET /live HTTP/1.1"])
def test_a_request_without_a_host_is_refused(line: str, endpoint: Endpoint) -> None:
    assert send(endpoint.port, f"{line}\r\n\r\n").startswith(b"HTTP/1.0 403 ")


@pytest.mark.parametrize(
    "request_text",
    [
        f"{CANARY}\r\n\r\n",
        f"GET /{CANARY} HTTP/{CANARY}\r\n\r\n",
        f"GET /{CANARY} HTTP/9.9\r\n\r\n",
        f"GET {CANARY} {CANARY} HTTP/1.1\r\n\r\n",
        f"{CANARY} / HTTP/1.1\r\nHost: {CANARY}\r\n\r\n",
        f"GET /ready?{CANARY} HTTP/1.1\r\nHost: {CANARY}\r\n\r\n",
        f"GET http://{CANARY}/ready HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n",
        f"GET /ready HTTP/1.1\r\n{CANARY}\r\n\r\n",
        "GET /ready HTTP/1.1\r\n" + f"X: {CANARY}\r\n" * 200 + "\r\n",
        f"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nAccept: application/openmetrics-text; version=1.0.0{CANARY}\r\n\r\n",
        f"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nAccept: text/plain;version=2.0.0{CANARY}\r\n\r\n",
    ],
)
def test_nothing_of_a_request_is_repeated(
    request_text: str, endpoint: Endpoint, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = send(endpoint.port, request_text.replace("PORT", str(endpoint.port)))
    assert answer.startswith(b"HTTP/1.0 ")
    assert CANARY.encode() not in answer
    assert ("", "") == capfd.readouterr()


def test_a_request_without_end_is_refused_after_some_kilobytes(endpoint: Endpoint) -> None:
    start = "GET /live HTTP/1.1\r\nX: "
    answer = send(endpoint.port, start + "x" * (HEAD_MAX - len(start)))
    assert answer.startswith(b"HTTP/1.0 431 ")
    # More than it reads: whether the answer arrives before the reset is chance, but it ends.
    assert not send(endpoint.port, "x" * 1_000_000).startswith(b"HTTP/1.0 200")
    assert 200 == ask(endpoint.port, "/live").status


def test_there_are_no_more_threads_than_slots(endpoint: Endpoint) -> None:
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connect(endpoint.port)) for _ in range(HANDLERS)]
        waiting = stack.enter_context(connect(endpoint.port))
        waiting.sendall(f"GET /live HTTP/1.1\r\nHost: localhost:{endpoint.port}\r\n\r\n".encode())
        deadline = time.monotonic() + HANG_SECS
        while threading.active_count() < before + HANDLERS and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not select.select([waiting], [], [], 0.1)[0]
        assert before + HANDLERS == threading.active_count()
        silent.pop().close()
        assert rest(waiting).startswith(b"HTTP/1.0 200 ")


def test_answers_that_never_end_do_not_pile_up_either(pulse: Pulse) -> None:
    registry, goes_on = CollectorRegistry(), threading.Event()
    registry.register(_Calls(lambda: goes_on.wait(HANG_SECS)))
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(Endpoint(0, pulse, registry, timeout=0.25)).port
        clients = []
        for _ in range(HANDLERS + 1):
            clients.append(stack.enter_context(connect(port)))
            clients[-1].sendall(f"GET /metrics HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
        assert b"" == rest(clients.pop())
        goes_on.set()
        assert all(rest(client).startswith(b"HTTP/1.0 200 ") for client in clients)


def test_clients_that_never_finish_do_not_keep_others_out(pulse: Pulse) -> None:
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(Endpoint(0, pulse, CollectorRegistry(), timeout=0.25)).port
        clients = [stack.enter_context(connect(port)) for _ in range(2 * HANDLERS)]
        for client in clients[::2]:
            client.sendall(b"GET /live HTTP/1.1\r\n")
        assert 200 == ask(port, "/live").status
        # Each was let go without an answer.
        assert [b""] * len(clients) == [rest(client) for client in clients]


def test_a_client_that_sends_a_byte_now_and_then_gets_no_more_time(pulse: Pulse) -> None:
    with Endpoint(0, pulse, CollectorRegistry(), timeout=0.1) as endpoint, connect(endpoint.port) as client:
        deadline = time.monotonic() + HANG_SECS
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < deadline:
                client.sendall(b"x")
                time.sleep(0.02)
        assert time.monotonic() < deadline


@contextlib.contextmanager
def all_threads_ended() -> Iterator[None]:
    """Wait at the end until every thread that began within has ended, and so has said what it has to say."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(HANG_SECS)
        assert not thread.is_alive()


def test_a_client_that_goes_away_is_no_event(pulse: Pulse, capfd: pytest.CaptureFixture[str]) -> None:
    registry, asked, gone = CollectorRegistry(), threading.Event(), threading.Event()

    def wait() -> None:
        asked.set()
        gone.wait(HANG_SECS)

    registry.register(_Calls(wait))
    with all_threads_ended(), Endpoint(0, pulse, registry, timeout=HANG_SECS) as endpoint:
        with connect(endpoint.port) as client:
            client.sendall(f"GET /metrics HTTP/1.1\r\nHost: localhost:{endpoint.port}\r\n\r\n".encode())
            assert asked.wait(HANG_SECS)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
        gone.set()
    assert ("", "") == capfd.readouterr()


def test_a_client_that_does_not_read_is_let_go_without_a_word(pulse: Pulse, capfd: pytest.CaptureFixture[str]) -> None:
    registry = CollectorRegistry()
    registry.register(_Calls(lambda: None, Metric("large", "x" * 20_000_000, "gauge")))
    with all_threads_ended(), contextlib.ExitStack() as stack:
        port = stack.enter_context(Endpoint(0, pulse, registry, timeout=0.25)).port
        client = stack.enter_context(connect(port))
        client.sendall(f"GET /metrics HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
        client.recv(1)
        for thread in threading.enumerate():
            if "process_request" in thread.name:
                thread.join(HANG_SECS)
        assert len(rest(client)) < 20_000_000
    assert ("", "") == capfd.readouterr()


def test_a_port_that_is_taken_is_told_with_its_cure(pulse: Pulse) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError) as raised:
            Endpoint(port, pulse, CollectorRegistry()).start()
    (problem,) = raised.value.problems
    assert ("TN618", "NAUTILUS_HTTP_PORT", ExitCode.DEPENDENCY) == (problem.code, problem.key, problem.exit_code)
    assert f"port {port} on 127.0.0.1 is taken: another process listens there" == problem.message
    assert "NAUTILUS_HTTP_PORT" in problem.fix
    # The port is not kept either.
    with Endpoint(port, pulse, CollectorRegistry()) as endpoint:
        assert 200 == ask(endpoint.port, "/live").status


def test_a_stop_frees_the_port_and_leaves_no_thread(pulse: Pulse) -> None:
    with all_threads_ended():
        endpoint = Endpoint(0, pulse, CollectorRegistry(), timeout=HANG_SECS).start()
        port = endpoint.port
        assert 200 == ask(port, "/live").status
        endpoint.stop()
    with pytest.raises(ConnectionRefusedError):
        connect(port)
    endpoint.stop()
    with Endpoint(port, pulse, CollectorRegistry()) as again:
        assert 200 == ask(again.port, "/live").status


def test_one_that_was_never_started_can_be_stopped(pulse: Pulse) -> None:
    Endpoint(0, pulse, CollectorRegistry()).stop()


def test_nobody_else_on_the_network_reaches_it(endpoint: Endpoint) -> None:
    # Also an address of this machine; a server on all addresses would answer there.
    with pytest.raises(OSError):  # noqa: PT011 refused on Linux, no such address on macOS
        connect(endpoint.port, "127.0.0.2")


def serve(pulse: Pulse, function: Callable[[], object]) -> tuple[Answered, list[object]]:
    registry, calls = CollectorRegistry(), _Calls(function)
    registry.register(calls)
    with Endpoint(0, pulse, registry, timeout=HANG_SECS) as endpoint:
        return ask(endpoint.port, "/metrics"), calls.returned


def test_its_threads_take_no_signal_from_the_node(pulse: Pulse) -> None:
    mine = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    _, blocked = serve(pulse, lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGHUP} <= blocked[0]  # type: ignore[operator]  # a set of signals
    assert mine == signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_metric_that_fails_is_an_error_whose_text_is_not_told(
    pulse: Pulse, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ValueError(CANARY)

    answer, _ = serve(pulse, fail)
    assert (500, "cannot be told: ValueError\n") == (answer.status, answer.text)
    assert ("", "") == capfd.readouterr()
