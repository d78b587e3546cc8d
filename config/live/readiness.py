"""Whether a node is ready, and what it still lacks; Nautilus' own ``is_running`` is true for a node without any connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from nautilus_trader.live.node import TradingNode

# How long the other clients get to fail too, so that all are told at once.
FAILED_FOR_SECS = 1.0


class Connections:
    """Why clients failed to connect. Nautilus writes that into its log, tries no more, and goes on as if it were running.

    Parameters
    ----------
    node : TradingNode
        Built and not started: each client's ``_connect``, the method that an adapter implements, is watched.

    """

    def __init__(self, node: TradingNode) -> None:
        self._failed: dict[str, str] = {}
        self._since: float | None = None
        kernel = node.kernel
        for kind, engine in (("data", kernel.data_engine), ("execution", kernel.exec_engine)):
            for client in engine._clients.values():
                client._connect = self._watched(f"{kind} client {client.id}", client._connect)

    def _watched(self, name: str, connect: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        async def watched() -> None:
            try:
                await connect()
            except Exception as error:
                self._failed[name] = " ".join(f"{type(error).__name__}: {error}".split())
                raise

        return watched

    def failures(self) -> tuple[tuple[str, str], ...]:
        """Return the clients that failed, each with the error in one line."""
        return tuple(self._failed.items())

    def hopeless(self, now: float) -> bool:
        """Return whether some client failed, and the others have had time to; ``now`` in seconds of the loop's clock."""
        if self._failed and self._since is None:
            self._since = now
        return self._since is not None and now - self._since > FAILED_FOR_SECS


def is_ready(node: TradingNode) -> bool:
    """Return whether strategies run, every client is connected and the portfolio is initialised."""
    kernel = node.kernel
    return bool(
        node.trader.is_running
        and kernel.data_engine.check_connected()
        and kernel.exec_engine.check_connected()
        and kernel.portfolio.initialized
    )


def lacking(node: TradingNode) -> tuple[str, ...]:
    """Return in words what keeps ``node`` from being ready, the cause before its consequences."""
    kernel = node.kernel
    clients = [*_disconnected("data", kernel.data_engine), *_disconnected("execution", kernel.exec_engine)]
    if clients:
        return tuple(clients)
    if not kernel.portfolio.initialized:
        return ("reconciliation or the portfolio is not finished",)
    return () if node.trader.is_running else ("strategies are not running",)


def _disconnected(kind: str, engine: Any) -> Iterable[str]:
    for client in engine._clients.values():
        if not client.is_connected:
            yield f"{kind} client {client.id} is not connected"


def connected_clients(node: TradingNode) -> Iterable[str]:
    """Return the names of the venues whose clients are connected, data and execution alike, each once."""
    kernel = node.kernel
    clients = [client for engine in (kernel.data_engine, kernel.exec_engine) for client in engine._clients.values()]
    return sorted({str(client.id) for client in clients if client.is_connected})
