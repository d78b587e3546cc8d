"""What is said of the books when a node is ready: what it holds, and what became of what it held."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

import pytest
from nautilus_trader.cache.cache import Cache
from nautilus_trader.model.enums import OmsType, OrderSide
from nautilus_trader.model.identifiers import PositionId
from nautilus_trader.model.position import Position
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.test_kit.stubs.events import TestEventStubs
from nautilus_trader.test_kit.stubs.execution import TestExecStubs

from config.show.banner import found_rows

INSTRUMENT = TestInstrumentProvider.btcusdt_perp_binance()
NAME = str(INSTRUMENT.id)


def cache_of(*quantities: str) -> Cache:
    """Return books with a position of each quantity, negative when short."""
    cache = Cache()
    for number, text in enumerate(quantities):
        amount = Decimal(text)
        order = TestExecStubs.market_order(
            instrument=INSTRUMENT,
            order_side=OrderSide.BUY if amount > 0 else OrderSide.SELL,
            quantity=INSTRUMENT.make_qty(abs(amount)),
        )
        fill = TestEventStubs.order_filled(order, INSTRUMENT, position_id=PositionId(f"P-{number}"))
        cache.add_position(Position(INSTRUMENT, fill), OmsType.HEDGING)
    return cache


@pytest.mark.parametrize(
    "before, held, expected",
    [
        ({}, (), []),
        ({NAME: "0.010"}, ("0.010",), [("found", f"position {NAME} 0.010")]),
        (
            {},
            ("0.010",),
            [
                ("found", f"position {NAME} 0.010"),
                ("changed", f"position {NAME} was 0 in the books and is 0.010, as the exchange has it"),
            ],
        ),
        (
            {NAME: "0.010"},
            (),
            [("changed", f"position {NAME} was 0.010 in the books and is 0, as the exchange has it")],
        ),
        (
            {NAME: "0.010"},
            ("0.010", "-0.010"),
            [("changed", f"position {NAME} was 0.010 in the books and is 0.000, as the exchange has it")],
        ),
    ],
    ids=["nothing", "the same", "new", "gone", "closed by its opposite"],
)
def test_position_that_reconciliation_changed_is_told_and_a_net_of_zero_is_none(
    before: dict[str, str], held: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    node = SimpleNamespace(cache=cache_of(*held))
    assert expected == list(found_rows(node, {name: Decimal(text) for name, text in before.items()}))
