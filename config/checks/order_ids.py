"""Client order ids that the venue will take: Nautilus makes them from the trader's and the strategy's tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nautilus_trader.config import ImportableStrategyConfig

from config.models import STRATEGY_TAG_LENGTH, TAGS_LENGTH_MAX
from config.problems import Problem


def long_order_ids(trader_id: str, strategies: Iterable[object]) -> list[Problem]:
    """Return a problem for each strategy whose orders Binance would reject for the length of their ids (36 characters)."""
    tag = trader_id.rpartition("-")[2]
    return [
        problem
        for strategy in strategies
        if isinstance(strategy, ImportableStrategyConfig)
        for problem in too_long(tag, strategy.strategy_path.rpartition(":")[2], strategy.config)
    ]


def too_long(trader_tag: str, name: str, config: Mapping[str, Any]) -> list[Problem]:
    """Return the problem with one strategy's tag, if there is one.

    Parameters
    ----------
    trader_tag : str
        What follows the last hyphen of the trader id.
    name : str
        The strategy's class, for the message.
    config : mapping
        Its configuration; ids made of UUIDs hold no tags.

    """
    if config.get("use_uuid_client_order_ids"):
        return []
    strategy_id = str(config.get("strategy_id") or "")
    strategy_tag = str(config.get("order_id_tag") or strategy_id.rpartition("-")[2] or "0" * STRATEGY_TAG_LENGTH)
    if len(trader_tag) + len(strategy_tag) <= TAGS_LENGTH_MAX:
        return []
    message = (
        f"the tags '{trader_tag}' of the trader id and '{strategy_tag}' of {name} have {len(trader_tag) + len(strategy_tag)} "
        f"characters together; Binance rejects orders when they have more than {TAGS_LENGTH_MAX}"
    )
    return [Problem("TN408", "order_id_tag", message, "shorten one of them, or set use_uuid_client_order_ids")]
