"""What stands where a Redis server is expected: servers that answer as a test wants, and TLS before a plain one."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def answering(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """Stand for a foreign server: each connection is handed to ``handle`` in a thread of its own."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            handle(self.request)

    class Listener(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that leaves is no news."""

    with Listener(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield int(server.server_address[1])
        server.shutdown()


def answers(reply: Callable[[list[str]], bytes]) -> Callable[[socket.socket], None]:
    """Return what answers each command of a client with ``reply(command)``."""

    def handle(sock: socket.socket) -> None:
        with sock.makefile("rb") as lines:
            while head := lines.readline():
                words = [lines.read(int(lines.readline()[1:]) + 2)[:-2].decode() for _ in range(int(head[1:]))]
                sock.sendall(reply(words))

    return handle


def info(**facts: object) -> bytes:
    text = "\r\n".join(f"{name}:{value}" for name, value in facts.items())
    return f"${len(text)}\r\n{text}\r\n".encode()


@contextmanager
def under_tls(backend: int, papers: Path, name: str = "good", *, wants_client: bool = False) -> Iterator[int]:
    """Terminate TLS before a plain server, as a proxy does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers / f"{name}.pem", papers / "key.pem")
    if wants_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(papers / "ca.pem")

    def handle(sock: socket.socket) -> None:
        with (
            context.wrap_socket(sock, server_side=True) as outer,
            socket.create_connection(("127.0.0.1", backend)) as inner,
        ):

            def back() -> None:
                with suppress(OSError):
                    while got := inner.recv(65536):
                        outer.sendall(got)

            threading.Thread(target=back, daemon=True).start()
            while got := outer.recv(65536):
                inner.sendall(got)

    with answering(handle) as port:
        yield port
