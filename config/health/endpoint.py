"""``/live``, ``/ready`` and ``/metrics`` of a running node over HTTP, on loopback, answered by threads of its own.

They answer from what the node said last, so they answer while its event loop is stuck; only an extension that keeps the
interpreter's lock silences them. No word of a request is ever repeated: prometheus_client's own server copies the version that
a client accepts into its answer, and Python's names the path and the method that it refuses.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Any, NamedTuple, Self

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import CollectorRegistry

from config.health.pulse import Pulse
from config.live.threads import start_unsignalled
from config.problems import ConfigError, Problem

HOST = "127.0.0.1"
KEY = "NAUTILUS_HTTP_PORT"
# Names that a client on this machine calls it by. A page whose name was made to lead here (DNS rebinding) has another one.
HOST_NAMES = ("127.0.0.1", "localhost", "[::1]")
METHODS = "GET, HEAD"
TEXT = "text/plain; charset=utf-8"
HINTS = {
    HTTPStatus.FORBIDDEN: f": ask for {HOST}, with the port that it listens on",
    HTTPStatus.NOT_FOUND: ": there are /live, /ready and /metrics",
    HTTPStatus.METHOD_NOT_ALLOWED: f": {METHODS}",
}
# Requests at a time; more wait in the kernel's queue.
HANDLERS = 8
# From the connection to the end of the request, and as long again for the answer.
TIMEOUT_SECS = 3.0
# A browser's, with cookies of everything else on localhost, has some 2 KB.
HEAD_MAX = 8_192
# Before the next try, where the process has no descriptor left for a connection.
PAUSE_SECS = 0.5


class Answer(NamedTuple):
    """What is sent: the status, the text, and its kind."""

    status: int
    body: bytes
    kind: str = TEXT


class Endpoint:
    """Serves the three paths from :meth:`start` to :meth:`stop`, once; a context manager.

    ``/ready`` is 200 while the node is ready and its event loop turns, ``/live`` while that turns, else 503 with the reason in
    one line; ``/metrics`` is Prometheus' text format. Anything else is 404, what is neither GET nor HEAD 405, and a request whose
    Host is not a name of loopback with this port 403.

    Parameters
    ----------
    port : int
        On 127.0.0.1; 0 takes a free one.
    pulse : Pulse
        What the node is doing.
    registry : CollectorRegistry
        Its metrics, of :func:`config.health.metrics.metrics_of`.
    timeout : float
        Seconds that a request may take to arrive, and its answer to leave.

    """

    def __init__(self, port: int, pulse: Pulse, registry: CollectorRegistry, *, timeout: float = TIMEOUT_SECS) -> None:
        answers: Mapping[str, Callable[[], Answer]] = {
            "/live": lambda: _said("live", *pulse.live()),
            "/ready": lambda: _said("ready", *pulse.ready()),
            "/metrics": lambda: Answer(HTTPStatus.OK, generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4),
        }
        self._server = _Server(port, answers, timeout)
        self._thread = threading.Thread(target=self._server.serve, name="endpoint", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.port

    def start(self) -> Self:
        """Take the port and answer from now on.

        Raises
        ------
        ConfigError
            TN618 if the port cannot be had; ``exit_code`` 6.

        """
        try:
            self._server.open()
        except OSError as error:
            self._server.server_close()
            raise ConfigError([_not_opened(self._server.port, error)]) from error
        start_unsignalled(self._thread)
        return self

    def stop(self) -> None:
        """Free the port; requests that are being answered get their answers, as long as the process lives."""
        if self._thread.is_alive():
            self._server.wake_to_stop()
            self._thread.join(self._server.timeout_secs)
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _said(word: str, fine: bool, sentence: str) -> Answer:
    status = HTTPStatus.OK if fine else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, f"{word if fine else f'not {word}'}: {sentence}\n".encode(errors="replace"))


def _not_opened(port: int, error: OSError) -> Problem:
    reason = "cannot be opened: " + (error.strerror or type(error).__name__).lower()
    taken = "is taken: another process listens there"
    return Problem(
        "TN618",
        KEY,
        f"port {port} on {HOST} {taken if error.errno == errno.EADDRINUSE else reason}",
        f"choose another {KEY}, one for each node of this machine, or leave it out for none",
    )


class _Server(ThreadingTCPServer):
    """At most ``HANDLERS`` threads, each for one request and a few seconds. Not an HTTPServer: that asks DNS for its name."""

    # After a restart the port may be taken again at once; one that somebody listens on is refused all the same.
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 16

    def __init__(self, port: int, answers: Mapping[str, Callable[[], Answer]], timeout: float) -> None:
        super().__init__((HOST, port), _Handler, bind_and_activate=False)
        self.answers, self.timeout_secs = answers, timeout
        self._slots = threading.BoundedSemaphore(HANDLERS)
        self._stopping = False

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def open(self) -> None:
        self.server_bind()
        self.server_activate()

    def serve(self) -> None:
        """Take one connection after the other; `serve_forever` would wake twice a second to see whether it should stop."""
        while not self._stopping:
            self.handle_request()

    def wake_to_stop(self) -> None:
        self._stopping = True
        with suppress(OSError):
            socket.create_connection((HOST, self.port), self.timeout_secs).close()

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError:
            time.sleep(PAUSE_SECS)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        # Every slot is free again in this time: a request, the head of its answer, and the rest of it.
        if self._stopping or not self._slots.acquire(timeout=3 * self.timeout_secs):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._slots.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that went away is no event of the node."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    # What is no request at all gets a status line too.
    default_request_version = "HTTP/1.0"

    def handle(self) -> None:
        """Read the request whole, in bounded time and size, and answer it."""
        head = _head(self.connection, self.server.timeout_secs)
        self.connection.settimeout(self.server.timeout_secs)
        self.request_version, self.command = self.default_request_version, ""
        if head is None:
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            self.rfile.close()
            self.rfile = BytesIO(head)
            self.handle_one_request()

    def do_GET(self) -> None:
        hosts = [host.strip().lower() for host in self.headers.get_all("Host", [])]
        if len(hosts) != 1 or hosts[0] not in {f"{name}:{self.server.port}" for name in HOST_NAMES}:
            self.send_error(HTTPStatus.FORBIDDEN)
        elif (answer := self.server.answers.get(self.path.partition("?")[0])) is None:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            self._send(_answered(answer))

    do_HEAD = do_GET  # noqa: N815  the name that Python calls

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Refuse without a word of what was asked, which the original repeats."""
        # Python answers 501 to a method that it finds no function for.
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        hint = HINTS.get(status, "")
        self._send(Answer(status, f"{status.phrase.lower()}{hint}\n".encode()))

    def _send(self, answer: Answer) -> None:
        self.close_connection = True
        self.send_response_only(answer.status)
        self.send_header("Date", self.date_time_string())
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", METHODS)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name that Python gave it
        """Say nothing: a probe every few seconds is no event of the node."""


def _answered(answer: Callable[[], Answer]) -> Answer:
    try:
        return answer()
    except Exception as error:
        # Its text may hold anything, so only its kind is told.
        return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, f"cannot be told: {type(error).__name__}\n".encode())


def _head(connection: socket.socket, timeout: float) -> bytes | None:
    """Return what the client asks, up to the blank line; nothing if that does not come in time, None if it is too much.

    The time is for all of it: a client that sends a byte now and then gets no more.
    """
    deadline = time.monotonic() + timeout
    head = b""
    while b"\r\n\r\n" not in head and b"\n\n" not in head:
        if len(head) >= HEAD_MAX:
            return None
        left = deadline - time.monotonic()
        if left <= 0:
            return b""
        connection.settimeout(left)
        try:
            more = connection.recv(HEAD_MAX - len(head))
        except TimeoutError:
            return b""
        if not more:
            return b""
        head += more
    return head
