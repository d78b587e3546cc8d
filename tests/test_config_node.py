"""From a configuration to a built node: everything that was asked for is there, or the reason why not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from nautilus_trader.adapters.binance.config import BinanceDataClientConfig
from nautilus_trader.config import (
    ImportableStrategyConfig,
    LiveDataClientConfig,
    LiveExecClientConfig,
    LiveRiskEngineConfig,
    StrategyConfig,
    TradingNodeConfig,
)
from nautilus_trader.trading.strategy import Strategy

from config.factory import TradingNodeConfigFactory
from config.live.node import build_node
from config.models import BinanceCredentials, BybitCredentials, RedisConfig, TradingNodeSettings
from config.problems import ConfigError
from tests.forked import run_forked
from tests.redis_server import RedisServer, free_port

KEYS: dict[str, Any] = {"api_key": "key", "api_secret": "secret"}
IMPORTABLE = ImportableStrategyConfig(
    strategy_path="tests.data.strategies.quiet_strategy:Quiet",
    config_path="tests.data.strategies.quiet_strategy:QuietConfig",
    config={"order_id_tag": "007"},
)


def config_of(**values: Any) -> TradingNodeConfig:
    """Return the configuration of a node that writes no log file and says nothing."""
    quiet = {"log_level": "OFF", "log_level_file": "OFF"}
    settings = TradingNodeSettings(**{"trader_id": "TRADER-001", "logging": quiet, **values})
    return TradingNodeConfigFactory.from_settings(settings)


def problems_of(action: Callable[[], Any]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        action()
    return caught.value


# --- refused before Nautilus begins ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, client, sentence",
    [
        ("data", LiveDataClientConfig(), "data client OTHER is a LiveDataClientConfig, for which no factory is known"),
        (
            "exec",
            LiveExecClientConfig(),
            "execution client OTHER is a LiveExecClientConfig, for which no factory is known",
        ),
    ],
)
def test_a_client_that_no_adapter_is_known_for_is_refused(kind: str, client: Any, sentence: str) -> None:
    """Nautilus would leave it out with one line in its log, and the strategies would run without it."""
    clients: dict[str, Any] = {f"{kind}_clients": {"OTHER": client}}
    error = problems_of(lambda: build_node(TradingNodeConfig(**clients)))
    (problem,) = error.problems
    assert (4, "TN411", sentence) == (error.exit_code, problem.code, problem.message)
    assert any(name.startswith("Binance") for name in problem.accepted)


def test_two_clients_with_one_name_before_the_hyphen_are_refused() -> None:
    """Nautilus finds factories by that name: the second client would raise KeyError, or take the place of the first."""
    clients: dict[str, Any] = {f"BINANCE-{kind}": BinanceDataClientConfig() for kind in ("SPOT", "FUTURES")}
    error = problems_of(lambda: build_node(TradingNodeConfig(data_clients=clients)))
    expected = (4, ["two data clients are called BINANCE before their first hyphen"])
    assert expected == (error.exit_code, [problem.message for problem in error.problems])


@pytest.mark.parametrize(
    "fields",
    [
        {"order_id_tag": "123456789"},
        {"strategy_id": "Quiet-123456789"},
    ],
)
def test_a_strategy_instance_whose_orders_binance_would_reject_is_refused(fields: dict[str, Any]) -> None:
    strategy = Strategy(StrategyConfig(**fields))
    error = problems_of(lambda: build_node(TradingNodeConfig(trader_id="TRADER-001"), [strategy]))
    assert (4, ["TN408"]) == (error.exit_code, [problem.code for problem in error.problems])


def test_everything_that_is_wrong_is_told_at_once() -> None:
    config = TradingNodeConfig(
        trader_id="TRADER-001", data_clients={"A": LiveDataClientConfig()}, exec_clients={"B": LiveExecClientConfig()}
    )
    error = problems_of(lambda: build_node(config, [Strategy(StrategyConfig(order_id_tag="123456789"))]))
    assert ["TN411", "TN411", "TN408"] == [problem.code for problem in error.problems]


# --- in a process of its own: Nautilus sets up its logging once a process ----------------------------------------


def _outcome(config: TradingNodeConfig, strategies: list[Strategy]) -> dict[str, Any]:
    """Build a node in this process and return what is in it, or what was wrong."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    began = time.monotonic()
    try:
        node = build_node(config, strategies, loop=loop)
    except ConfigError as error:
        return {
            "exit_code": int(error.exit_code),
            "codes": [problem.code for problem in error.problems],
            "text": str(error),
            "seconds": time.monotonic() - began,
        }
    kernel: Any = node.kernel
    engines = {"data": kernel.data_engine, "exec": kernel.exec_engine}
    found: dict[str, Any] = {
        kind: {str(client.id): type(client).__name__ for client in engine._clients.values()}
        for kind, engine in engines.items()
    }
    found["strategies"] = sorted(str(strategy.id) for strategy in node.trader.strategies())
    node.dispose()
    return found


def _both_venues(execution: str) -> dict[str, Any]:
    config = config_of(execution=execution, binance=BinanceCredentials(**KEYS), bybit=BybitCredentials(**KEYS))
    config = msgspec.structs.replace(config, strategies=[IMPORTABLE])
    instances = [Strategy(StrategyConfig(order_id_tag=tag)) for tag in ("001", "002")]
    return _outcome(config, instances)


@pytest.mark.parametrize(
    "execution, clients",
    [
        ("VENUE", {"BINANCE": "OneNameFuturesExecutionClient", "BYBIT": "AcceptingExecutionClient"}),
        ("SIMULATED", {"BINANCE": "SandboxExecutionClient", "BYBIT": "SandboxExecutionClient"}),
    ],
)
def test_a_node_has_every_client_and_every_strategy_that_was_asked_for(execution: str, clients: dict[str, str]) -> None:
    found = run_forked(_both_venues, execution)
    expected = {
        "data": {"BINANCE": "BinanceFuturesDataClient", "BYBIT": "BybitPublicDataClient"},
        "exec": clients,
        "strategies": ["Quiet-007", "Strategy-001", "Strategy-002"],
    }
    assert expected == found


def _on_redis(redis: dict[str, Any], strategies: list[ImportableStrategyConfig]) -> dict[str, Any]:
    config = config_of(redis=RedisConfig(**{"timeout": 1, **redis}))
    return _outcome(msgspec.structs.replace(config, strategies=strategies), [])


def test_a_dead_redis_is_told_within_seconds_with_where_it_should_be() -> None:
    port = free_port()
    found = run_forked(_on_redis, {"port": port}, [])
    assert (6, ["TN601"]) == (found["exit_code"], found["codes"])
    assert f"Redis at localhost:{port} cannot be used" in found["text"]
    assert found["seconds"] < 10


@pytest.mark.parametrize(
    "redis", [{"password": "canary-password"}, {"password": "canary-password", "username": "a"}, {}]
)
def test_a_redis_that_refuses_the_password_is_told_without_the_password(redis: dict[str, Any]) -> None:
    with RedisServer(password="another") as server:
        found = run_forked(_on_redis, {"port": server.port, **redis}, [])
    assert (6, ["TN601"]) == (found["exit_code"], found["codes"])
    assert "canary-password" not in found["text"]


def test_a_redis_whose_name_nobody_knows_is_told() -> None:
    found = run_forked(_on_redis, {"host": "redis.invalid"}, [])
    assert (6, ["TN601"]) == (found["exit_code"], found["codes"])


def test_what_fails_beside_a_healthy_redis_is_not_blamed_on_it() -> None:
    with RedisServer() as server:
        found = run_forked(_on_redis, {"port": server.port}, [IMPORTABLE, IMPORTABLE])
    assert (9, ["TN902"]) == (found["exit_code"], found["codes"])
    assert "Quiet-007" in found["text"]


def _two_strategies_with_one_tag() -> dict[str, Any]:
    return _outcome(config_of(), [Strategy(StrategyConfig(order_id_tag="001")) for _ in range(2)])


def _a_rate_that_nautilus_cannot_read() -> dict[str, Any]:
    wrong = LiveRiskEngineConfig(max_order_submit_rate="abc")
    return _outcome(msgspec.structs.replace(config_of(), risk_engine=wrong), [])


@pytest.mark.parametrize("function", [_two_strategies_with_one_tag, _a_rate_that_nautilus_cannot_read])
def test_what_nautilus_itself_refuses_is_a_problem_and_no_traceback(function: Callable[[], Any]) -> None:
    found = run_forked(function)
    assert (9, ["TN902"]) == (found["exit_code"], found["codes"])
    assert "Nautilus cannot build the node" in found["text"]


def _built_after_a_failure() -> dict[str, Any]:
    first = _two_strategies_with_one_tag()
    return {"first": first["codes"], "second": _outcome(config_of(), [Strategy()])["strategies"]}


def test_a_build_that_failed_leaves_nothing_running() -> None:
    """A second node in the same process can be built, which a kernel that was left behind would not allow."""
    assert {"first": ["TN902"], "second": ["Strategy-000"]} == run_forked(_built_after_a_failure)


def _bybit_spot_twice() -> list[dict[str, str]]:
    config = config_of(bybit=BybitCredentials(**KEYS, product_types=("SPOT",)))
    return [_outcome(config, []).get("exec", {}) for _ in range(2)]


def test_a_script_can_build_a_spot_node_of_bybit_again() -> None:
    assert [{"BYBIT": "SpotExecutionClient"}] * 2 == run_forked(_bybit_spot_twice)
