"""How much an order may trade while the node takes no new risk, and what of which position flattening closes."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

import pytest
from nautilus_trader.adapters.binance.common.enums import BinanceAccountType
from nautilus_trader.adapters.binance.config import BinanceExecClientConfig
from nautilus_trader.adapters.bybit.config import BybitExecClientConfig
from nautilus_trader.adapters.sandbox.config import SandboxExecutionClientConfig
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId

from config.clients import EXEC_FACTORIES
from config.live.restriction import EVERYTHING, SENDS_REDUCE_ONLY, room, shares

BUY, SELL = OrderSide.BUY, OrderSide.SELL
PAPER = partial(SandboxExecutionClientConfig, venue="BINANCE", starting_balances=["1 USDT"])


@pytest.mark.parametrize(
    "net, side, claimed, expected",
    [
        ("0", BUY, "0", "0"),
        ("0", SELL, "0", "0"),
        ("2", BUY, "0", "0"),
        ("2", SELL, "0", "2"),
        ("-2", SELL, "0", "0"),
        ("-2", BUY, "0", "2"),
        ("2", SELL, "0.5", "1.5"),
        ("-2", BUY, "2", "0"),
        ("2", SELL, "3", "0"),
        ("2", SELL, str(EVERYTHING), "0"),
    ],
)
def test_room_is_what_is_open_against_the_order_less_what_others_claim(
    net: str, side: OrderSide, claimed: str, expected: str
) -> None:
    assert Decimal(expected) == room(Decimal(net), side, Decimal(claimed))


@pytest.mark.parametrize(
    "legs, expected",
    [
        (["2"], ["2"]),
        (["-2"], ["2"]),
        (["2", "1"], ["2", "1"]),
        (["2", "-0.5"], ["1.5", "0"]),
        (["1", "1", "-1.5"], ["0.5", "0", "0"]),
        (["1", "-3", "-1"], ["0", "3", "0"]),
        (["1", "-1"], ["0", "0"]),
        ([], []),
    ],
)
def test_legs_are_closed_on_the_side_of_their_sum_and_no_further(legs: list[str], expected: list[str]) -> None:
    signed = [Decimal(leg) for leg in legs]
    net = sum(signed, Decimal(0))
    parts = shares(net, signed)
    assert [Decimal(part) for part in expected] == list(parts)
    assert abs(net) == sum(parts)


@pytest.mark.parametrize(
    "config, instrument_id, expected",
    [
        (BinanceExecClientConfig(account_type=BinanceAccountType.USDT_FUTURES), "BTCUSDT-PERP.BINANCE", True),
        (
            BinanceExecClientConfig(account_type=BinanceAccountType.USDT_FUTURES, use_reduce_only=False),
            "BTCUSDT-PERP.BINANCE",
            False,
        ),
        (BinanceExecClientConfig(account_type=BinanceAccountType.SPOT), "BTCUSDT.BINANCE", False),
        (BybitExecClientConfig(), "BTCUSDT-LINEAR.BYBIT", True),
        (BybitExecClientConfig(), "BTCUSD-INVERSE.BYBIT", True),
        (BybitExecClientConfig(), "BTCUSDT-SPOT.BYBIT", False),
        (PAPER(), "BTCUSDT-PERP.BINANCE", True),
        (PAPER(use_reduce_only=False), "BTCUSDT-PERP.BINANCE", False),
    ],
)
def test_reduce_only_is_trusted_only_where_the_client_sends_it(
    config: object, instrument_id: str, expected: bool
) -> None:
    (sends,) = (sends for kind, sends in SENDS_REDUCE_ONLY.items() if isinstance(config, kind))
    assert expected is sends(config, InstrumentId.from_str(instrument_id))


def test_every_execution_client_we_build_has_a_rule() -> None:
    assert all(any(issubclass(client, kind) for kind in SENDS_REDUCE_ONLY) for client in EXEC_FACTORIES)
