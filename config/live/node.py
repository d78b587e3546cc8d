"""From a TradingNodeConfig to a TradingNode that is what was asked for."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from nautilus_trader.config import TradingNodeConfig
from nautilus_trader.live.node import TradingNode
from nautilus_trader.trading.strategy import Strategy

from config.checks.order_ids import too_long
from config.clients import DATA_FACTORIES, EXEC_FACTORIES
from config.problems import ConfigError, Problem, raise_errors

# Where Nautilus speaks to Redis. Its errors are plain RuntimeErrors with the words of the server or of the system.
CACHE_DATABASE = "cache/database.pyx"


def build_node(
    config: TradingNodeConfig, strategies: Sequence[Strategy] = (), *, loop: asyncio.AbstractEventLoop | None = None
) -> TradingNode:
    """Return a built node with every client that ``config`` asks for, and the strategies.

    Parameters
    ----------
    config : TradingNodeConfig
        From the factory, or written by hand.
    strategies : sequence of Strategy, optional
        Instances; their state is loaded if ``config`` keeps state. Importable ones belong in ``config``.
    loop : asyncio.AbstractEventLoop, optional
        The loop to run on; the current one by default.

    Raises
    ------
    ConfigError
        ``exit_code`` 4 for clients that no adapter is known for and order ids that are too long, 6 if Redis cannot be reached,
        9 if Nautilus cannot build what was asked for. Nothing is left running.

    """
    tag = str(config.trader_id).rpartition("-")[2]
    raise_errors(
        [
            *_unknown(config.data_clients, DATA_FACTORIES, "data"),
            *_unknown(config.exec_clients, EXEC_FACTORIES, "execution"),
            *(
                problem
                for strategy in strategies
                for problem in too_long(tag, type(strategy).__name__, strategy.config.dict())
            ),
        ]
    )
    try:
        node = TradingNode(config=config, loop=loop)
    except Exception as error:
        raise ConfigError([_failed(error, config)]) from error
    try:
        for name, factory in _factories(config.data_clients, DATA_FACTORIES).items():
            node.add_data_client_factory(name, factory)
        for name, factory in _factories(config.exec_clients, EXEC_FACTORIES).items():
            node.add_exec_client_factory(name, factory)
        for strategy in strategies:
            node.trader.add_strategy(strategy)
            if config.load_state:
                # The kernel loads state in its constructor, before this strategy was there.
                node.cache.load_strategy(strategy)
        node.build()
        raise_errors(_not_built(node, config, len(strategies)))
    except Exception as error:
        node.dispose()
        raise error if isinstance(error, ConfigError) else ConfigError([_failed(error, config)]) from error
    return node


def _factory(client: object, table: Mapping[type, type]) -> type | None:
    return next((factory for kind, factory in table.items() if isinstance(client, kind)), None)


def _factories(clients: Mapping[str, Any], table: Mapping[type, type]) -> dict[str, Any]:
    """Return the factory of each client under the name that Nautilus looks for: what stands before the first hyphen."""
    return {name.partition("-")[0]: _factory(client, table) for name, client in clients.items()}


def _unknown(clients: Mapping[str, Any], table: Mapping[type, type], kind: str) -> list[Problem]:
    """Return a problem for each client that Nautilus would leave out with one line in its log."""
    accepted = tuple(known.__name__ for known in table)
    problems = [
        Problem(
            "TN411",
            name,
            f"{kind} client {name} is a {type(client).__name__}, for which no factory is known",
            f"give one of {', '.join(accepted)}",
            accepted,
        )
        for name, client in clients.items()
        if _factory(client, table) is None
    ]
    # Nautilus takes the name of an environment for LIVE, key and all.
    problems += [
        Problem(
            "TN413",
            name,
            f"{kind} client {name} has the environment {client.environment!r}, a text; Nautilus would go to the live urls",
            f"give the enum of its adapter, such as BinanceEnvironment.{client.environment}",
        )
        for name, client in clients.items()
        if isinstance(getattr(client, "environment", None), str)
    ]
    names = [name.partition("-")[0] for name in clients]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems += [
        Problem("TN412", name, f"two {kind} clients are called {name} before their first hyphen", "name them apart")
        for name in twice
    ]
    return problems


def _failed(error: Exception, config: TradingNodeConfig) -> Problem:
    """Return why Nautilus could not build; what its cache database raised is Redis' fault, whatever the words."""
    database = config.cache.database if config.cache is not None else None
    text = f"{type(error).__name__}: {error}"
    raised_in = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    if database is not None and any(name.endswith(CACHE_DATABASE) for name in raised_in):
        where = f"{database.host}:{database.port}"
        message = f"Redis at {where} cannot be used: {text}"
        fix = f"see that Redis runs at {where} and takes REDIS_USERNAME and REDIS_PASSWORD, then run again"
        return Problem("TN601", "REDIS_HOST", message, fix)
    return Problem(
        "TN902", "TradingNode", f"Nautilus cannot build the node: {text}", "mend what it names, then run again"
    )


def _not_built(node: TradingNode, config: TradingNodeConfig, instances: int) -> list[Problem]:
    """Return what was asked for and is not there."""
    kernel = node.kernel
    pairs = (
        (
            "data clients",
            _names(config.data_clients),
            {str(client) for client in kernel.data_engine.registered_clients},
        ),
        (
            "execution clients",
            _names(config.exec_clients),
            {str(client) for client in kernel.exec_engine.registered_clients},
        ),
    )
    problems = [
        Problem(
            "TN902", kind, f"{kind} asked for {sorted(asked)}, built {sorted(built)}", "look for ERROR lines in the log"
        )
        for kind, asked, built in pairs
        if asked != built
    ]
    asked, built = len(config.strategies) + instances, len(node.trader.strategies())
    if asked != built:
        problems.append(
            Problem("TN902", "strategies", f"{asked} strategies asked for, {built} built", "look at the log")
        )
    return problems


def _names(clients: Mapping[str, Any]) -> set[str]:
    return {name.partition("-")[0] for name in clients}
