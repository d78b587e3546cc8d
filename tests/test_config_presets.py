"""The presets' guards: each guarantee of the design, violation by violation, from every layer, with its exit code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from config.models import TradingNodeSettings
from config.presets import PRESETS, guard
from config.problems import ConfigError
from config.settings.judging import with_preset
from tests.key_generators import alphanumeric, binance_hmac_pair, bybit_hmac_pair

BINANCE = dict(zip(("BINANCE_API_KEY", "BINANCE_API_SECRET"), binance_hmac_pair(Random("presets")), strict=True))
BYBIT = dict(zip(("BYBIT_API_KEY", "BYBIT_API_SECRET"), bybit_hmac_pair(Random("presets")), strict=True))
REDIS = {"REDIS_HOST": "redis", "REDIS_PASSWORD": alphanumeric(Random("redis"), 32)}
# What each preset accepts; every case below changes one thing in it.
GOOD = {
    "production": {"NAUTILUS_ENVIRONMENT": "LIVE", "NAUTILUS_VENUES": "BINANCE", **REDIS, **BINANCE},
    "testnet": {**BINANCE, "BINANCE_TESTNET": "true", **REDIS},
    "sandbox": {"NAUTILUS_VENUES": "BINANCE"},
}
# What makes a recorder of each of them.
RECORDER = {
    "NAUTILUS_ROLE": "recorder",
    "NAUTILUS_CATALOG_PATH": "/catalog",
    "BINANCE_INSTRUMENT_IDS": "BTCUSDT-PERP.BINANCE",
    "NAUTILUS_VENUES": "BINANCE",
}
KEYLESS = {"BINANCE_API_KEY": "", "BINANCE_API_SECRET": "", "REDIS_HOST": "", "REDIS_PASSWORD": ""}


def load(preset: str, changes: Mapping[str, str], **options: Any) -> TradingNodeSettings:
    environ = {"NAUTILUS_TRADER_ID": "TRADER-001", "NAUTILUS_SECRETS_DIR": "/", "HOME": "/home/trader"}
    environ |= {**GOOD[preset], **changes}
    return TradingNodeSettings.from_env(**{"env_file": None, "environ": environ, "preset": preset, **options})


def refused(preset: str, changes: Mapping[str, str], **options: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(preset, changes, **options)
    return caught.value


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_good_passes_without_a_warning(preset: str) -> None:
    settings = load(preset, {})
    assert (preset, (), (), ("BINANCE",)) == (
        settings.preset,
        settings.warnings,
        settings.notes,
        settings.active_venues,
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_a_recorder_needs_no_key_and_no_redis_under_any_preset(preset: str) -> None:
    """It takes none either, and no setting of them can be wrong."""
    bare, beside = load(preset, {**RECORDER, **KEYLESS}), load(preset, {**RECORDER, **BYBIT, "REDIS_PORT": "0"})
    for settings in (bare, beside):
        found = (settings.preset, settings.role, settings.execution, settings.redis, settings.active_venues)
        assert (preset, "recorder", "NONE", None, ("BINANCE",)) == found
        assert not settings.credentials("BINANCE").has_key
        assert () == settings.warnings


@pytest.mark.parametrize(
    "preset, environment, execution, venue_environment",
    [
        ("production", "LIVE", "VENUE", "LIVE"),
        ("testnet", "SANDBOX", "VENUE", "TESTNET"),
        ("sandbox", "SANDBOX", "SIMULATED", "LIVE"),
    ],
)
def test_what_a_preset_comes_to(preset: str, environment: str, execution: str, venue_environment: str) -> None:
    settings = load(preset, {})
    found = (settings.environment, settings.execution, settings.credentials("BINANCE").environment)
    assert (environment, execution, venue_environment) == found


VIOLATIONS: list[tuple[str, dict[str, str], int, str, str]] = [
    # production: LIVE said out loud
    ("production", {"NAUTILUS_ENVIRONMENT": ""}, 8, "NAUTILUS_ENVIRONMENT", "is not set"),
    ("production", {"NAUTILUS_ENVIRONMENT": "SANDBOX"}, 8, "NAUTILUS_ENVIRONMENT", "is SANDBOX"),
    # production: the venues named
    ("production", {"NAUTILUS_VENUES": ""}, 8, "NAUTILUS_VENUES", "is not set"),
    # production: no active venue on testnet or demo
    ("production", {"BINANCE_TESTNET": "1"}, 8, "BINANCE_TESTNET", "puts BINANCE on TESTNET; production is LIVE only"),
    ("production", {"BINANCE_ENVIRONMENT": "DEMO"}, 8, "BINANCE_ENVIRONMENT", "puts BINANCE on DEMO"),
    (
        "production",
        {**BYBIT, "NAUTILUS_VENUES": "BINANCE,BYBIT", "BYBIT_DEMO": "yes"},
        8,
        "BYBIT_DEMO",
        "puts BYBIT on DEMO",
    ),
    # production: live credentials
    ("production", {"NAUTILUS_VENUES": "BINANCE,BYBIT"}, 5, "BYBIT_API_KEY", "BYBIT has no key for LIVE"),
    ("production", {"BINANCE_API_SECRET": ""}, 5, "BINANCE_API_SECRET", "missing or empty"),
    # production: Redis named
    ("production", {"REDIS_HOST": ""}, 8, "REDIS_HOST", "is not set"),
    # production: orders go to the venue
    ("production", {"NAUTILUS_EXECUTION": "SIMULATED"}, 8, "NAUTILUS_EXECUTION", "is SIMULATED"),
    # production: hosts
    (
        "production",
        {"BINANCE_BASE_URL_HTTP": "https://testnet.binancefuture.com"},
        8,
        "BINANCE_BASE_URL_HTTP",
        "a testnet or demo host",
    ),
    (
        "production",
        {"BINANCE_BASE_URL_WS": "wss://gateway.example:8443"},
        8,
        "BINANCE_BASE_URL_WS",
        "which is not the exchange's own host",
    ),
    (
        "production",
        {"BINANCE_BASE_URL_WS_API": "ws://127.0.0.1:8900"},
        8,
        "BINANCE_BASE_URL_WS_API",
        "which is not the exchange's own host",
    ),
    (
        "production",
        {
            "BINANCE_BASE_URL_HTTP": "https://gateway.example:8444",
            "NAUTILUS_TRUSTED_ENDPOINTS": "gateway.example:8443,other.example:8444",
        },
        8,
        "BINANCE_BASE_URL_HTTP",
        "which is not the exchange's own host",
    ),
    # production: bounds of its own
    (
        "production",
        {"NAUTILUS_RECONCILIATION_STARTUP_DELAY_SECS": "9.5"},
        4,
        "NAUTILUS_RECONCILIATION_STARTUP_DELAY_SECS",
        "is 9.5, expected a number from 10 to 60 in production",
    ),
    # testnet: LIVE contradicts it
    ("testnet", {"NAUTILUS_ENVIRONMENT": "LIVE"}, 8, "NAUTILUS_ENVIRONMENT", "contradicts preset {preset}"),
    # testnet: every client on TESTNET or DEMO, with credentials meant for it
    ("testnet", {"BINANCE_TESTNET": "false"}, 8, "BINANCE_TESTNET", "puts BINANCE on LIVE; testnet is TESTNET or DEMO"),
    (
        "testnet",
        {"BINANCE_TESTNET": "", "BINANCE_ENVIRONMENT": "LIVE"},
        8,
        "BINANCE_ENVIRONMENT",
        "puts BINANCE on LIVE",
    ),
    ("testnet", {"BINANCE_TESTNET": ""}, 5, "BINANCE_API_KEY", "BINANCE_API_KEY is a LIVE key"),
    ("testnet", {**BYBIT}, 5, "BYBIT_API_KEY", "BYBIT_API_KEY is a LIVE key"),
    ("testnet", {**BYBIT, "BYBIT_ENVIRONMENT": "MAINNET"}, 8, "BYBIT_ENVIRONMENT", "puts BYBIT on LIVE"),
    (
        "testnet",
        {"BINANCE_API_KEY": "", "BINANCE_API_SECRET": ""},
        5,
        "BINANCE_FUTURES_TESTNET_API_KEY",
        "no testnet or demo key is set",
    ),
    # testnet: orders go to the venue, and no live host is dialled
    ("testnet", {"NAUTILUS_EXECUTION": "simulated"}, 8, "NAUTILUS_EXECUTION", "is SIMULATED"),
    ("testnet", {"BINANCE_BASE_URL_HTTP": "https://fapi.binance.com"}, 8, "BINANCE_BASE_URL_HTTP", "a live host"),
    ("testnet", {"BINANCE_BASE_URL_WS_STREAM": "wss://fstream.binance.com"}, 8, "BINANCE_BASE_URL_WS_STREAM", "a live"),
    # sandbox
    ("sandbox", {"NAUTILUS_ENVIRONMENT": "LIVE"}, 8, "NAUTILUS_ENVIRONMENT", "contradicts preset {preset}"),
    ("sandbox", {"NAUTILUS_EXECUTION": "VENUE"}, 8, "NAUTILUS_EXECUTION", "never sends an order to a venue"),
    ("sandbox", {"BINANCE_TESTNET": "on"}, 8, "BINANCE_TESTNET", "sandbox is LIVE only"),
    ("sandbox", {"BINANCE_BASE_URL_HTTP": "https://demo-fapi.binance.com"}, 8, "BINANCE_BASE_URL_HTTP", "demo host"),
    ("sandbox", {"NAUTILUS_VENUES": ""}, 4, "NAUTILUS_VENUES", "no venue is on"),
    # a recorder: a catalog to write to and something to write, under each preset
    *(
        (preset, {**RECORDER, name: ""}, 4, name, "is not set; a recorder writes")
        for preset in ("production", "testnet", "sandbox")
        for name in ("NAUTILUS_CATALOG_PATH", "BINANCE_INSTRUMENT_IDS")
    ),
    # a recorder: what the presets say of environments, venues and hosts
    ("production", {**RECORDER, "NAUTILUS_ENVIRONMENT": ""}, 8, "NAUTILUS_ENVIRONMENT", "is not set"),
    ("production", {**RECORDER, **KEYLESS, "NAUTILUS_VENUES": ""}, 8, "NAUTILUS_VENUES", "is not set"),
    ("production", {**RECORDER, "BINANCE_DEMO": "1"}, 8, "BINANCE_DEMO", "puts BINANCE on DEMO"),
    (
        "production",
        {**RECORDER, "BINANCE_BASE_URL_WS": "ws://127.0.0.1:8900"},
        8,
        "BINANCE_BASE_URL_WS",
        "which is not the exchange's own host",
    ),
    ("testnet", {**RECORDER, "NAUTILUS_ENVIRONMENT": "LIVE"}, 8, "NAUTILUS_ENVIRONMENT", "contradicts preset {preset}"),
    ("testnet", {**RECORDER, "BINANCE_TESTNET": "false"}, 8, "BINANCE_TESTNET", "testnet is TESTNET or DEMO"),
    (
        "testnet",
        {**RECORDER, "BINANCE_BASE_URL_WS": "wss://fstream.binance.com"},
        8,
        "BINANCE_BASE_URL_WS",
        "a live host",
    ),
    ("testnet", {**RECORDER, **KEYLESS, "NAUTILUS_VENUES": ""}, 4, "NAUTILUS_VENUES", "no venue is on"),
    ("sandbox", {**RECORDER, "BINANCE_TESTNET": "1"}, 8, "BINANCE_TESTNET", "sandbox is LIVE only"),
    ("sandbox", {**RECORDER, "NAUTILUS_VENUES": ""}, 4, "NAUTILUS_VENUES", "no venue is on"),
]
IDS = [f"{preset} {changes}" for preset, changes, *_ in VIOLATIONS]


@pytest.mark.parametrize("preset, changes, code, key, message", VIOLATIONS, ids=IDS)
def test_a_violation_is_refused_with_its_code(
    preset: str, changes: dict[str, str], code: int, key: str, message: str
) -> None:
    error = refused(preset, changes)
    (problem,) = [problem for problem in error.problems if problem.is_error]
    assert (code, code, key) == (error.exit_code, problem.exit_code, problem.key)
    assert message.format(preset=preset) in problem.message
    assert problem.fix


@pytest.mark.parametrize("layer", ["first file", "second file", "process environment", "arguments"])
@pytest.mark.parametrize(
    "preset, changes, code",
    [
        ("production", {"NAUTILUS_ENVIRONMENT": "SANDBOX"}, 8),
        ("production", {"NAUTILUS_EXECUTION": "SIMULATED"}, 8),
        ("production", {"BINANCE_ENVIRONMENT": "TESTNET"}, 8),
        ("production", {"BINANCE_BASE_URL_HTTP": "http://127.0.0.1:1"}, 8),
        ("testnet", {"NAUTILUS_ENVIRONMENT": "LIVE"}, 8),
        ("testnet", {"NAUTILUS_EXECUTION": "SIMULATED"}, 8),
        ("testnet", {"BINANCE_BASE_URL_HTTP": "https://fapi.binance.com"}, 8),
        ("sandbox", {"NAUTILUS_ENVIRONMENT": "LIVE"}, 8),
        ("sandbox", {"NAUTILUS_EXECUTION": "VENUE"}, 8),
        ("sandbox", {"BINANCE_ENVIRONMENT": "TESTNET"}, 8),
    ],
)
def test_no_layer_overrides_a_guarantee(
    tmp_path: Path, preset: str, changes: dict[str, str], code: int, layer: str
) -> None:
    from config.settings.variables import variables

    good = {"NAUTILUS_TRADER_ID": "TRADER-001", "NAUTILUS_SECRETS_DIR": str(tmp_path / "none"), **GOOD[preset]}
    (tmp_path / "none").mkdir()
    rest = {name: text for name, text in good.items() if name not in changes}
    texts = {"first file": "", "second file": "", layer: "\n".join(f"{k}={v}" for k, v in changes.items())}
    files = []
    for name in ("first file", "second file"):
        path = tmp_path / f"{name}.env"
        path.write_text(texts[name])
        files.append(path)
    values: dict[str, Any] = {}
    for name, text in changes.items() if layer == "arguments" else ():
        section, _, field = variables()[name].path.rpartition(".")
        values |= {section: {field: text}} if section else {field: text}
    environ = {**rest, **(changes if layer == "process environment" else {})}
    with pytest.raises(ConfigError) as caught:
        TradingNodeSettings.from_env(env_file=files, environ=environ, preset=preset, **values)
    assert code == caught.value.exit_code


@pytest.mark.parametrize(
    "preset, changes",
    [
        ("production", {"NAUTILUS_RECONCILIATION_STARTUP_DELAY_SECS": "10"}),
        ("production", {"BINANCE_BASE_URL_HTTP": "https://fapi.binance.com"}),
        (
            "production",
            {
                "BINANCE_BASE_URL_HTTP": "https://Gateway.example",
                "BINANCE_BASE_URL_WS": "ws://127.0.0.1:8900/ws",
                "NAUTILUS_TRUSTED_ENDPOINTS": "gateway.example:443, 127.0.0.1:8900",
            },
        ),
        # A venue that is off may be set up in any way.
        ("production", {**BYBIT, "BYBIT_TESTNET": "1", "BYBIT_BASE_URL_HTTP": "http://127.0.0.1:1"}),
        ("testnet", {"NAUTILUS_RECONCILIATION_STARTUP_DELAY_SECS": "0"}),
        ("testnet", {"BINANCE_BASE_URL_HTTP": "http://127.0.0.1:8900"}),
        ("testnet", {"NAUTILUS_ENVIRONMENT": "sandbox"}),
        ("testnet", {**BYBIT, "BYBIT_DEMO": "1"}),
        ("sandbox", {"BINANCE_BASE_URL_HTTP": "https://fapi.binance.com"}),
        ("sandbox", {"BINANCE_BASE_URL_HTTP": "http://127.0.0.1:8900"}),
        ("sandbox", {"REDIS_HOST": "redis"}),
        ("production", {"REDIS_HOST": "", "REDIS_PASSWORD": "", "REDIS_URL": "rediss://me:pw@redis.internal"}),
        ("testnet", {"BINANCE_TESTNET": "", "BINANCE_DEMO": "1"}),
        # A recorder sends no order: what only they need may be as it likes.
        ("production", {**RECORDER, "NAUTILUS_EXECUTION": "SIMULATED", "BINANCE_API_SECRET": ""}),
        ("production", {**RECORDER, "NAUTILUS_RECONCILIATION_STARTUP_DELAY_SECS": "1"}),
        ("sandbox", {**RECORDER, "NAUTILUS_EXECUTION": "VENUE"}),
        ("sandbox", {**BINANCE, **BYBIT}),
    ],
)
def test_neighbours_of_the_violations_pass(preset: str, changes: dict[str, str]) -> None:
    assert preset == load(preset, changes).preset


def test_the_fix_for_a_host_names_what_to_trust() -> None:
    (problem,) = refused("production", {"BINANCE_BASE_URL_HTTP": "https://gateway.example"}).problems
    assert "add gateway.example:443 to NAUTILUS_TRUSTED_ENDPOINTS" in problem.fix


def test_every_violation_is_told_at_once_and_the_gravest_decides() -> None:
    changes = {"NAUTILUS_ENVIRONMENT": "", "REDIS_HOST": "", "BINANCE_API_SECRET": "", "NAUTILUS_STOP_TIMEOUT": "1"}
    error = refused("production", changes)
    codes = {problem.key: int(problem.exit_code) for problem in error.problems}
    assert {
        "NAUTILUS_ENVIRONMENT": 8,
        "REDIS_HOST": 8,
        "BINANCE_API_SECRET": 5,
        "NAUTILUS_STOP_TIMEOUT": 4,
    } == codes
    assert 8 == error.exit_code


def test_simulated_fills_have_a_catalog_folder_of_their_own() -> None:
    settings = load("sandbox", {"NAUTILUS_CATALOG_PATH": "/catalog"})
    assert Path("/catalog/simulated") == settings.catalog_path
    assert Path("/catalog") == load("testnet", {"NAUTILUS_CATALOG_PATH": "/catalog"}).catalog_path


def test_nothing_is_guarded_without_a_preset() -> None:
    assert () == guard(TradingNodeSettings(trader_id="TRADER-001"), None)


# --- given settings --------------------------------------------------------------------------------------------------


def given(**values: Any) -> TradingNodeSettings:
    return TradingNodeSettings(**{"trader_id": "TRADER-001", **values})


PAIR = dict(zip(("api_key", "api_secret"), BINANCE.values(), strict=True))
GIVEN: dict[str, dict[str, Any]] = {
    "production": {"environment": "LIVE", "venues": ("BINANCE",), "binance": PAIR, "redis": {}},
    "testnet": {"binance": {**PAIR, "testnet": True}},
    "sandbox": {"venues": ("BINANCE",)},
}


@pytest.fixture
def loud_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Everything that a preset lacks stands in the environment, in .env, and in the secrets directory."""
    other = {"NAUTILUS_PRESET": "production", "NAUTILUS_TRADER_ID": "OTHER-9", "NAUTILUS_ROLE": "recorder"}
    for name, text in {**GOOD["production"], **other}.items():
        monkeypatch.setenv(name, text)
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("BINANCE_TESTNET=true\nBINANCE_API_KEY=k\nBINANCE_API_SECRET=s\nREDIS_HOST=redis\n")
    Path("BYBIT_API_KEY").write_text("k")
    monkeypatch.setenv("NAUTILUS_SECRETS_DIR", str(tmp_path))


@pytest.mark.usefixtures("loud_environment")
@pytest.mark.parametrize(
    "preset, environment, execution",
    [("production", "LIVE", "VENUE"), ("testnet", "SANDBOX", "VENUE"), ("sandbox", "SANDBOX", "SIMULATED")],
)
def test_a_preset_is_laid_below_given_settings(preset: str, environment: str, execution: str) -> None:
    laid = with_preset(given(**GIVEN[preset]), preset)
    assert "trader" == laid.role
    assert (preset, "TRADER-001", environment, execution) == (
        laid.preset,
        laid.trader_id,
        laid.environment,
        laid.execution,
    )
    assert (preset == "production") == (laid.redis is not None)
    assert laid.bybit is None


@pytest.mark.usefixtures("loud_environment")
@pytest.mark.parametrize(
    "preset, changes, code",
    [
        ("production", {"environment": "SANDBOX"}, 8),
        ("production", {"venues": None}, 8),
        ("production", {"redis": None}, 8),
        ("production", {"binance": None}, 5),
        ("production", {"binance": {**PAIR, "testnet": True}}, 8),
        ("production", {"binance": {**PAIR, "base_url_http": "http://127.0.0.1:1"}}, 8),
        ("production", {"execution": "SIMULATED"}, 8),
        ("production", {"reconciliation_startup_delay_secs": 1}, 4),
        ("testnet", {"environment": "LIVE"}, 8),
        ("testnet", {"binance": PAIR}, 5),
        ("testnet", {"binance": {**PAIR, "environment": "LIVE"}}, 8),
        ("testnet", {"binance": None}, 5),
        ("testnet", {"binance": {**PAIR, "testnet": True, "base_url_http": "https://fapi.binance.com"}}, 8),
        ("sandbox", {"environment": "LIVE"}, 8),
        ("sandbox", {"execution": "VENUE"}, 8),
        ("sandbox", {"venues": None}, 4),
        ("sandbox", {"binance": {"demo": True}}, 8),
        ("sandbox", {"role": "recorder", "execution": "NONE"}, 4),
    ],
)
def test_the_guards_hold_for_given_settings_whatever_the_environment_says(
    preset: str, changes: dict[str, Any], code: int
) -> None:
    with pytest.raises(ConfigError) as caught:
        with_preset(given(**{**GIVEN[preset], **changes}), preset)
    assert code == caught.value.exit_code
    assert all(problem.message and problem.fix for problem in caught.value.problems)


def test_given_settings_are_not_changed() -> None:
    settings = given(**GIVEN["sandbox"])
    with_preset(settings, "sandbox")
    assert ("VENUE", None) == (settings.execution, settings.preset)


def test_where_given_settings_came_from_is_kept() -> None:
    settings = load("production", {})
    laid = with_preset(settings, "production")
    assert settings.origins == laid.origins
    assert "process environment" == laid.origins["environment"].source


def test_settings_loaded_under_one_preset_are_refused_under_another() -> None:
    for preset, other in (("production", "testnet"), ("production", "sandbox"), ("testnet", "production")):
        with pytest.raises(ConfigError) as caught:
            with_preset(load(preset, {}), other)
        assert 8 == caught.value.exit_code
