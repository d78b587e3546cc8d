"""A node that is killed in every phase finds the exchange's books again; and the soak's own eyes see what is wrong."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.soak import Exchange, Soak, plan, sent_twice, summary, violations

# Kills in all four phases within a few seconds; `python -m tests.soak` draws any number of them.
SEED = 11313
PERPETUAL = "BTCUSDT-PERP.BINANCE"


def test_books_are_found_again_after_kills_in_every_phase(tmp_path: Path) -> None:
    """Six kills; at each start that becomes ready, orders, fills and positions are those of the exchange."""
    kills = plan(6, SEED)
    with Soak(tmp_path, seed=SEED) as soak:
        restarts = list(soak.run(kills))
    assert Counter(trading=2, starting=2, stopping=1, waiting=1) == Counter(kill.phase for kill in kills)
    assert 0 == restarts[-1].exit_code
    assert 5 <= sum(one.exit_code == -signal.SIGKILL for one in restarts)  # one may have stopped before
    compared = [one for one in restarts if one.settled]
    assert len(compared) == 4  # all but the two that were killed before, and the one that was killed at once
    assert compared[-1].held > 0
    assert restarts[-1].sent > 10
    assert ("orders at the exchange", f"{restarts[-1].sent}, none twice") in summary(restarts)


ROW = {"instrument": PERPETUAL, "quantity": "0.003", "price": "45000", "filled": "0"}
EXCHANGE = Exchange(
    open={"A": ROW},
    closed={"B": "FILLED"},
    filled={PERPETUAL: Decimal("0.003")},
    positions={PERPETUAL: Decimal("0.003")},
    dust={PERPETUAL: Decimal(0)},
    asked=[("A", 1), ("B", 2)],
)


def books() -> dict[str, Any]:
    """Return books that agree with `EXCHANGE`."""
    order = {
        "strategy": "Churn-000",
        "status": "ACCEPTED",
        "open": True,
        **ROW,
        "quantity": "0.0030",
        "filled": "0.000",
    }
    amounts = {PERPETUAL: "0.003"}
    known = {"A": "Churn-000", "B": "Churn-000"}
    return {"orders": {"A": order}, "known": known, "filled": amounts, "positions": amounts, "portfolio": amounts}


def changed(**fields: str | bool) -> Callable[[dict[str, Any]], None]:
    return lambda books: books["orders"]["A"].update(fields)


def closed_at_the_exchange(books: dict[str, Any]) -> None:
    books["orders"]["B"] = {**books["orders"]["A"]}


def never_sent(books: dict[str, Any]) -> None:
    books["orders"]["C"] = {**books["orders"]["A"]}


@pytest.mark.parametrize(
    "spoil, told",
    [
        (lambda books: books["orders"].clear(), "A is open at the exchange, closed (Churn-000) in the cache"),
        (lambda books: (books["orders"].clear(), books["known"].clear()), "A is open at the exchange, unknown"),
        (changed(status="SUBMITTED", open=False), "A is open at the exchange, SUBMITTED in the cache"),
        (changed(price="44000"), "'price': '45000'"),
        (changed(filled="0.001"), "'filled': '0.001'"),
        (closed_at_the_exchange, "B is ACCEPTED in the cache (Churn-000), FILLED at the exchange"),
        (never_sent, "C is ACCEPTED in the cache (Churn-000), unknown at the exchange"),
        (lambda books: books.update(filled={PERPETUAL: "0.006"}), "0.003 at the exchange, 0.006 in the books (filled)"),
        (lambda books: books.update(positions={PERPETUAL: "0"}), "0.003 at the exchange, 0 in the books (positions)"),
        (lambda books: books.update(portfolio={PERPETUAL: "-1"}), "0.003 at the exchange, -1 in the books (portfolio)"),
    ],
)
def test_each_difference_is_seen(spoil: Callable[[dict[str, Any]], object], told: str) -> None:
    spoilt = books()
    assert [] == violations(EXCHANGE, spoilt)
    spoil(spoilt)
    (found,) = violations(EXCHANGE, spoilt)
    assert told in found


def test_an_order_that_was_never_sent_is_none_of_the_exchange() -> None:
    """It was in flight at the kill: the engine asks for it and gives it up."""
    found = books()
    found["orders"]["C"] = {**found["orders"]["A"], "status": "SUBMITTED", "open": False}
    assert [] == violations(EXCHANGE, found)


def test_an_id_that_was_sent_twice_is_seen() -> None:
    assert [] == sent_twice(EXCHANGE)
    assert ["A was sent 2 times, at [1, 3]"] == sent_twice(replace(EXCHANGE, asked=[*EXCHANGE.asked, ("A", 3)]))


def test_the_plan_follows_from_its_seed() -> None:
    assert plan(20, 1) == plan(20, 1) != plan(20, 2)
