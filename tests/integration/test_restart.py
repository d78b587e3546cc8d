"""A node that held a position, was killed and started again has the books that the venue has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import CANARIES, Start
from tests.integration.books import holder, reported
from tests.venue.handle import Venue

PERPETUALS = [
    ("BINANCE", "BTCUSDT-PERP.BINANCE", "binance_futures"),
    ("BYBIT", "BTCUSDT-LINEAR.BYBIT", "bybit"),
]


@pytest.mark.parametrize("side, held", [("BUY", "LONG"), ("SELL", "SHORT")])
@pytest.mark.parametrize("name, instrument_id, market", PERPETUALS)
def test_position_survives_kill_and_restart(
    name: str, instrument_id: str, market: str, side: str, held: str, start: Start, testnet: dict[str, str], venue: Venue, tmp_path: Path
) -> None:
    """The same side, the same size, under the same strategy; a resting order is still its own; the strategy's state is back."""
    environ = {**testnet, "NAUTILUS_VENUES": name}
    strategy = holder(tmp_path, instrument_id, side=side, rest=True)
    first = start("run", "-p", "testnet", *strategy, environ=environ, folder="first")
    before = first.wait_for(reported(tmp_path, lambda books: books["positions"] and len(books["orders"]) == 2 and books["orders"][1][2] == "ACCEPTED"))
    venue_before = venue.positions(market)  # type: ignore[arg-type]  # a market's name, from the table above
    first.kill()
    (tmp_path / "report.json").unlink()

    second = start("run", "-p", "testnet", *strategy, environ=environ, folder="second")
    second.wait_for("ready ")
    after = second.wait_for(reported(tmp_path, lambda books: books["quotes"] > 3))

    assert [["Holder-000", held, "0.010"]] == [[*row[:2], f"{float(row[2]):.3f}"] for row in before["positions"]]
    assert before["positions"] == after["positions"]
    assert before["net"] == after["net"]
    assert before["orders"] == after["orders"]
    assert venue_before == venue.positions(market)  # type: ignore[arg-type]  # the restarted node traded nothing
    assert 0 == second.stop()


@pytest.mark.parametrize("name, instrument_id, market", PERPETUALS)
def test_state_is_loaded_after_a_clean_stop(
    name: str, instrument_id: str, market: str, start: Start, testnet: dict[str, str], venue: Venue, tmp_path: Path
) -> None:
    """What a strategy saved at the stop is there before it starts again."""
    environ = {**testnet, "NAUTILUS_VENUES": name}
    strategy = holder(tmp_path, instrument_id)
    first = start("run", "-p", "testnet", *strategy, environ=environ, folder="first")
    first.wait_for(reported(tmp_path, lambda books: books["positions"]))
    assert 0 == first.stop()
    (tmp_path / "report.json").unlink()

    second = start("run", "-p", "testnet", *strategy, environ=environ, folder="second")
    after = second.wait_for(reported(tmp_path, lambda books: True))
    assert after["loaded"]
    assert 1 == len(after["positions"])
    assert 1 == len(venue.positions(market))  # type: ignore[arg-type]  # a market's name, from the table above
    assert CANARIES["REDIS_PASSWORD"] not in second.stderr
