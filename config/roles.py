"""What a process is for, and which settings it therefore never looks at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TRADER: Final = "trader"
RECORDER: Final = "recorder"
# Beginnings of the dotted paths of settings that a role has no use for: they are not read, so nothing about them can be wrong.
NOT_USED: Mapping[str, tuple[str, ...]] = {
    TRADER: (),
    # Public market data to the catalog: no key, no order, no books.
    RECORDER: (
        "redis.",
        "execution",
        "binance.api_",
        "binance.base_url_ws_api",
        "binance.base_url_ws_stream",
        "binance.leverages",
        "binance.margin_types",
        "bybit.api_",
        "bybit.base_url_ws_private",
        "bybit.base_url_ws_trade",
        "bybit.leverages",
        "bybit.margin_mode",
        "sandbox_starting_balances",
        "reconciliation_",
        "max_",
        "load_state",
        "save_state",
        "external_order_claims",
        "lease",
        "on_redis_loss",
        "snapshot_retention_days",
        "cancel_on_stop",
        "halt_on_shutdown",
    ),
}


def uses(role: str, path: str) -> bool:
    """Return whether a process of ``role`` looks at the setting at the dotted ``path``."""
    return not path.startswith(NOT_USED[role])
