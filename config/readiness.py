"""Whether a node is ready, and what it still lacks; Nautilus' own ``is_running`` is true for a node without any connection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nautilus_trader.live.node import TradingNode


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
