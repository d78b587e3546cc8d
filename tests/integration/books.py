"""What a node's strategy says of its books, and how to ask for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

STRATEGIES = "tests.integration.strategies"


def holder(folder: Path, instrument_id: str, **fields: Any) -> tuple[str, ...]:
    """Return the arguments of ``tradingnode run`` that load Holder for one instrument, reporting into ``folder``."""
    config = folder / "holder.json"
    values = {"instrument_id": instrument_id, "quantity": "0.01", "report": str(folder / "report.json"), **fields}
    config.write_text(json.dumps(values))
    return "--strategy", f"{STRATEGIES}:Holder", "--strategy-config", str(config)


def reported(folder: Path, good: Callable[[dict[str, Any]], object]) -> Callable[[], dict[str, Any] | None]:
    """Return a function that returns the newest report if ``good`` likes it."""

    def look() -> dict[str, Any] | None:
        path = folder / "report.json"
        if not path.exists():
            return None
        books: dict[str, Any] = json.loads(path.read_text())
        return books if good(books) else None

    return look
