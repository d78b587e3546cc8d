"""What each preset guarantees: a built configuration that breaks it is refused, whatever made it so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from nautilus_trader.adapters.binance.common.enums import BinanceEnvironment
from nautilus_trader.adapters.bybit.config import BybitDataClientConfig
from nautilus_trader.common import Environment
from nautilus_trader.config import CacheConfig, LiveExecClientConfig, TradingNodeConfig
from nautilus_trader.core.nautilus_pyo3 import BybitEnvironment

from config.checks.guarantees import broken_guarantees
from config.factory import TradingNodeConfigFactory
from config.models import TradingNodeSettings
from config.problems import ConfigError, exit_code_of

NODE = {"NAUTILUS_TRADER_ID": "TRADER-001", "NAUTILUS_VENUES": "BINANCE,BYBIT"}
ENVIRONS: dict[str, dict[str, str]] = {
    "production": {
        **NODE,
        "NAUTILUS_ENVIRONMENT": "LIVE",
        "REDIS_HOST": "127.0.0.1",
        "BINANCE_API_KEY": "key",
        "BINANCE_API_SECRET": "secret",
        "BYBIT_API_KEY": "key",
        "BYBIT_API_SECRET": "secret",
    },
    "testnet": {
        **NODE,
        "BINANCE_FUTURES_TESTNET_API_KEY": "key",
        "BINANCE_FUTURES_TESTNET_API_SECRET": "secret",
        "BYBIT_TESTNET_API_KEY": "key",
        "BYBIT_TESTNET_API_SECRET": "secret",
    },
    "sandbox": NODE,
}
# What makes a recorder of each of them.
RECORDER = {
    "NAUTILUS_ROLE": "recorder",
    "NAUTILUS_CATALOG_PATH": "/catalog",
    "BINANCE_INSTRUMENT_IDS": "BTCUSDT-PERP.BINANCE",
    "BYBIT_INSTRUMENT_IDS": "BTCUSDT-LINEAR.BYBIT",
}
GATEWAY = "https://gateway.example:8443"

type Change = Callable[[TradingNodeConfig], TradingNodeConfig]


def settings_of(preset: str, **more: str) -> TradingNodeSettings:
    return TradingNodeSettings.from_env(None, {**ENVIRONS[preset], **more}, preset=preset)


def node(**values: Any) -> Change:
    return lambda config: msgspec.structs.replace(config, **values)


def part(name: str, **values: Any) -> Change:
    return lambda config: node(**{name: msgspec.structs.replace(getattr(config, name), **values)})(config)


def client(kind: str, name: str, **values: Any) -> Change:
    def change(config: TradingNodeConfig) -> TradingNodeConfig:
        clients = getattr(config, f"{kind}_clients")
        return node(**{f"{kind}_clients": {**clients, name: msgspec.structs.replace(clients[name], **values)}})(config)

    return change


def without_execution(config: TradingNodeConfig) -> TradingNodeConfig:
    return node(exec_clients={"BYBIT": config.exec_clients["BYBIT"]})(config)


def with_real_execution(config: TradingNodeConfig) -> TradingNodeConfig:
    real = TradingNodeConfigFactory.from_settings(settings_of("production")).exec_clients["BYBIT"]
    return node(exec_clients={**config.exec_clients, "BYBIT": real})(config)


LIVE, TESTNET, DEMO = BinanceEnvironment.LIVE, BinanceEnvironment.TESTNET, BinanceEnvironment.DEMO
BREAKS: list[tuple[str, str, Change, str, int]] = [
    ("production", "environment", node(environment=Environment.SANDBOX), "TN801", 8),
    ("production", "data client on testnet", client("data", "BINANCE", environment=TESTNET), "TN803", 8),
    ("production", "execution on demo", client("exec", "BINANCE", environment=DEMO), "TN803", 8),
    ("production", "bybit on demo", client("exec", "BYBIT", environment=BybitEnvironment.DEMO), "TN803", 8),
    ("production", "bybit on testnet", client("data", "BYBIT", environment=BybitEnvironment.TESTNET), "TN803", 8),
    (
        "production",
        "test url",
        client("exec", "BINANCE", base_url_http="https://testnet.binancefuture.com"),
        "TN807",
        8,
    ),
    ("production", "unknown http url", client("data", "BINANCE", base_url_http=GATEWAY), "TN807", 8),
    ("production", "unknown stream url", client("data", "BINANCE", base_url_ws="ws://127.0.0.1:9"), "TN807", 8),
    ("production", "unknown api url", client("exec", "BINANCE", base_url_ws="ws://127.0.0.1:9"), "TN807", 8),
    ("production", "unknown private url", client("exec", "BINANCE", base_url_ws_stream="ws://[::1]:9"), "TN807", 8),
    ("production", "unknown bybit http url", client("data", "BYBIT", base_url_http=GATEWAY), "TN807", 8),
    ("production", "unknown bybit stream", client("data", "BYBIT", base_url_ws_public="ws://[::1]:9"), "TN807", 8),
    ("production", "unknown bybit private", client("exec", "BYBIT", base_url_ws_private="ws://[::1]:9"), "TN807", 8),
    ("production", "unknown bybit trade", client("exec", "BYBIT", base_url_ws_trade="ws://[::1]:9"), "TN807", 8),
    ("production", "no key", client("exec", "BINANCE", api_key=None), "TN501", 5),
    ("production", "no secret", client("exec", "BYBIT", api_secret=None), "TN501", 5),
    ("production", "no execution client", without_execution, "TN501", 5),
    ("production", "risk engine bypassed", part("risk_engine", bypass=True), "TN809", 8),
    ("production", "no reconciliation", part("exec_engine", reconciliation=False), "TN810", 8),
    ("production", "no cache", node(cache=None), "TN804", 8),
    ("production", "no redis", node(cache=CacheConfig()), "TN804", 8),
    ("production", "flush", part("cache", flush_on_start=True), "TN811", 8),
    ("testnet", "environment", node(environment=Environment.LIVE), "TN801", 8),
    ("testnet", "data client on live", client("data", "BINANCE", environment=LIVE), "TN803", 8),
    ("testnet", "execution on live", client("exec", "BINANCE", environment=LIVE), "TN803", 8),
    ("testnet", "no environment, which is live", client("exec", "BINANCE", environment=None), "TN803", 8),
    ("testnet", "text, which nautilus takes for live", client("exec", "BINANCE", environment="TESTNET"), "TN803", 8),
    ("testnet", "bybit on live", client("exec", "BYBIT", environment=BybitEnvironment.MAINNET), "TN803", 8),
    ("testnet", "live url", client("exec", "BINANCE", base_url_http="https://fapi.binance.com"), "TN807", 8),
    ("testnet", "live stream", client("data", "BYBIT", base_url_ws_public="wss://stream.bybit.com"), "TN807", 8),
    ("testnet", "no key", client("exec", "BYBIT", api_key=None), "TN501", 5),
    ("testnet", "no execution client", without_execution, "TN501", 5),
    ("testnet", "risk engine bypassed", part("risk_engine", bypass=True), "TN809", 8),
    ("sandbox", "environment", node(environment=Environment.LIVE), "TN801", 8),
    ("sandbox", "data of the testnet", client("data", "BINANCE", environment=TESTNET), "TN803", 8),
    ("sandbox", "test url", client("data", "BYBIT", base_url_http="https://api-testnet.bybit.com"), "TN807", 8),
    ("sandbox", "execution at the venue", with_real_execution, "TN812", 8),
    ("sandbox", "risk engine bypassed", part("risk_engine", bypass=True), "TN809", 8),
    ("sandbox", "a key", client("data", "BINANCE", api_key="key"), "TN812", 8),
    ("sandbox", "a secret", client("data", "BYBIT", api_secret="secret"), "TN812", 8),
]
BREAKS_OF_A_RECORDER: list[tuple[str, str, Change, str, int]] = [
    *(
        (preset, what, change, code, number)
        for preset in ENVIRONS
        for what, change, code, number in (
            ("a key", client("data", "BINANCE", api_key="key"), "TN812", 8),
            ("execution at the venue", with_real_execution, "TN812", 8),
            ("no catalog", node(streaming=None), "TN418", 4),
        )
    ),
    ("production", "environment", node(environment=Environment.SANDBOX), "TN801", 8),
    ("production", "data client on testnet", client("data", "BINANCE", environment=TESTNET), "TN803", 8),
    ("production", "unknown stream url", client("data", "BINANCE", base_url_ws="ws://127.0.0.1:9"), "TN807", 8),
    ("testnet", "environment", node(environment=Environment.LIVE), "TN801", 8),
    ("testnet", "live stream", client("data", "BYBIT", base_url_ws_public="wss://stream.bybit.com"), "TN807", 8),
    ("sandbox", "data of the testnet", client("data", "BINANCE", environment=TESTNET), "TN803", 8),
]


@pytest.mark.parametrize("preset", ENVIRONS)
def test_what_the_factory_builds_keeps_every_guarantee(preset: str) -> None:
    settings = settings_of(preset)
    config = TradingNodeConfigFactory.from_settings(settings)
    assert () == broken_guarantees(config, settings)
    assert ["BINANCE", "BYBIT"] == sorted(config.exec_clients)


@pytest.mark.parametrize(
    "preset, change, code, exit_code",
    [
        pytest.param(preset, change, code, number, id=f"{preset}, {what}")
        for preset, what, change, code, number in BREAKS
    ],
)
def test_a_configuration_that_breaks_a_guarantee_is_refused(
    preset: str, change: Change, code: str, exit_code: int
) -> None:
    settings = settings_of(preset)
    broken = change(TradingNodeConfigFactory.from_settings(settings))
    problems = broken_guarantees(broken, settings)
    assert code in {problem.code for problem in problems}
    assert exit_code == exit_code_of(problems)


@pytest.mark.parametrize("preset", ENVIRONS)
def test_what_the_factory_builds_of_a_recorder_keeps_every_guarantee(preset: str) -> None:
    """Without keys, Redis, execution and a strategy: what a trader's preset asks for is not asked of it."""
    settings = settings_of(preset, **RECORDER)
    config = TradingNodeConfigFactory.from_settings(settings)
    assert () == broken_guarantees(config, settings)
    assert (["BINANCE", "BYBIT"], {}) == (sorted(config.data_clients), config.exec_clients)


@pytest.mark.parametrize(
    "preset, change, code, exit_code",
    [
        pytest.param(preset, change, code, number, id=f"{preset}, {what}")
        for preset, what, change, code, number in BREAKS_OF_A_RECORDER
    ],
)
def test_a_recorder_that_breaks_a_guarantee_is_refused(preset: str, change: Change, code: str, exit_code: int) -> None:
    settings = settings_of(preset, **RECORDER)
    problems = broken_guarantees(change(TradingNodeConfigFactory.from_settings(settings)), settings)
    assert code in {problem.code for problem in problems}
    assert exit_code == exit_code_of(problems)


@pytest.mark.parametrize("change", [pytest.param(change, id=f"{p}, {what}") for p, what, change, _, _ in BREAKS[:22]])
def test_without_a_preset_nothing_is_guaranteed(change: Change) -> None:
    settings = TradingNodeSettings.from_env(None, ENVIRONS["production"])
    assert () == broken_guarantees(change(TradingNodeConfigFactory.from_settings(settings)), settings)


def test_production_takes_a_foreign_host_that_is_trusted_and_only_on_that_port() -> None:
    settings = settings_of("production", NAUTILUS_TRUSTED_ENDPOINTS="gateway.example:8443")
    config = TradingNodeConfigFactory.from_settings(settings)
    trusted = client("exec", "BINANCE", base_url_http=GATEWAY)(config)
    other_port = client("exec", "BINANCE", base_url_http="https://gateway.example:9443")(config)
    assert () == broken_guarantees(trusted, settings)
    assert ["TN807"] == [problem.code for problem in broken_guarantees(other_port, settings)]


@pytest.mark.parametrize("preset", ["testnet", "sandbox"])
def test_elsewhere_a_foreign_host_is_allowed(preset: str) -> None:
    settings = settings_of(preset)
    changed = client("data", "BINANCE", base_url_http="http://127.0.0.1:9")(
        TradingNodeConfigFactory.from_settings(settings)
    )
    assert () == broken_guarantees(changed, settings)


def test_a_live_url_is_named_with_its_client_and_its_purpose() -> None:
    settings = settings_of("testnet")
    changed = client("exec", "BINANCE", base_url_http="https://fapi.binance.com")(
        TradingNodeConfigFactory.from_settings(settings)
    )
    (problem,) = broken_guarantees(changed, settings)
    expected = "execution client BINANCE would dial https://fapi.binance.com as base_url_http, a live host"
    assert expected == problem.message


def test_a_client_that_someone_wrote_by_hand_is_looked_at_too() -> None:
    settings = settings_of("testnet")
    config = TradingNodeConfigFactory.from_settings(settings)
    by_hand = node(data_clients={**config.data_clients, "BYBIT": BybitDataClientConfig()})(config)
    assert {"TN803", "TN807"} == {problem.code for problem in broken_guarantees(by_hand, settings)}


def test_an_adapter_that_is_not_known_is_left_to_build_node_and_has_no_key_here() -> None:
    settings = settings_of("production")
    config = node(exec_clients={"BINANCE": LiveExecClientConfig(), "BYBIT": LiveExecClientConfig()})(
        TradingNodeConfigFactory.from_settings(settings)
    )
    assert ["TN501", "TN501"] == [problem.code for problem in broken_guarantees(config, settings)]


@pytest.mark.parametrize(
    "change, code, exit_code",
    [({"redis": None}, "TN804", 8), ({"binance": None}, "TN501", 5), ({"execution": "SIMULATED"}, "TN810", 8)],
)
def test_the_factory_refuses_what_it_built_against_the_preset(
    change: dict[str, Any], code: str, exit_code: int
) -> None:
    """Settings that passed the guards and were changed afterwards meet the second line of defence."""
    changed = settings_of("production").model_copy(update=change)
    with pytest.raises(ConfigError) as caught:
        TradingNodeConfigFactory.from_settings(changed)
    assert code in {problem.code for problem in caught.value.problems}
    assert exit_code == caught.value.exit_code
