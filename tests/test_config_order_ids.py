"""Client order ids: what Binance would reject for its length is refused before the first order."""

from __future__ import annotations

from typing import Any

import pytest
from nautilus_trader.common.component import TestClock
from nautilus_trader.common.generators import ClientOrderIdGenerator
from nautilus_trader.config import ImportableStrategyConfig
from nautilus_trader.model.identifiers import StrategyId, TraderId

from config.checks.order_ids import long_order_ids, too_long
from config.models import TAGS_LENGTH_MAX

BINANCE_LENGTH_MAX = 36
COUNT_DIGITS = 5


@pytest.mark.parametrize(
    "trader_tag, config, fits",
    [
        ("001", {}, True),
        ("12345678", {}, True),
        ("123456789", {}, False),
        ("001", {"order_id_tag": "12345678"}, True),
        ("001", {"order_id_tag": "123456789"}, False),
        ("001", {"strategy_id": "EMACross-12345678"}, True),
        ("001", {"strategy_id": "EMACross-123456789"}, False),
        ("001", {"strategy_id": "EMACross-123456789", "order_id_tag": "1"}, True),
        ("001", {"order_id_tag": "123456789", "use_uuid_client_order_ids": True}, True),
        ("001", {"order_id_tag": "123456789", "use_uuid_client_order_ids": False}, False),
        ("001", {"order_id_tag": None, "strategy_id": None}, True),
        ("12345678901", {"order_id_tag": "1"}, False),
        ("1234567890", {"order_id_tag": "1"}, True),
    ],
)
def test_the_tags_of_trader_and_strategy_fit_together(trader_tag: str, config: dict[str, Any], fits: bool) -> None:
    assert fits == (too_long(trader_tag, "EMACross", config) == [])


@pytest.mark.parametrize("strategy_tag, fits", [("12345678", True), ("123456789", False)])
def test_the_bound_is_the_one_that_nautilus_own_ids_have(strategy_tag: str, fits: bool) -> None:
    """The longest tags that are let pass make ids of 36 characters with five digits for the count; one more does not."""
    generator = ClientOrderIdGenerator(TraderId("TRADER-001"), StrategyId(f"S-{strategy_tag}"), TestClock())
    generator.set_count(10**COUNT_DIGITS - 2)
    assert fits == (len(generator.generate().value) <= BINANCE_LENGTH_MAX)
    assert fits == (too_long("001", "S", {"order_id_tag": strategy_tag}) == [])
    assert fits == (len("001" + strategy_tag) <= TAGS_LENGTH_MAX)


def test_the_problem_names_both_tags_their_length_and_the_way_out() -> None:
    (problem,) = too_long("001", "EMACross", {"order_id_tag": "123456789"})
    expected = (
        "the tags '001' of the trader id and '123456789' of EMACross have 12 characters together; "
        "Binance rejects orders when they have more than 11"
    )
    assert (4, expected) == (problem.exit_code, problem.message)
    assert "use_uuid_client_order_ids" in problem.fix


def test_each_importable_strategy_with_long_ids_is_named() -> None:
    def strategy(name: str, tag: str) -> ImportableStrategyConfig:
        return ImportableStrategyConfig(strategy_path=f"m:{name}", config_path="m:C", config={"order_id_tag": tag})

    given = [strategy("Good", "1"), strategy("Bad", "123456789"), strategy("Worse", "1234567890"), object()]
    found = long_order_ids("MY-TRADER-001", given)
    assert ["Bad", "Worse"] == [name for problem in found for name in ("Bad", "Worse") if name in problem.message]
    assert 2 == len(found)
