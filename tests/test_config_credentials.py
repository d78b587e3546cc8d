"""Which key is whose: a key reaches only the environment that it was said to be for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from config.models import TradingNodeSettings
from config.problems import ConfigError
from config.settings.credentials import own_names

BINANCE = {"BINANCE_API_KEY": "live-key", "BINANCE_API_SECRET": "live-secret"}
BYBIT = {"BYBIT_API_KEY": "live-key", "BYBIT_API_SECRET": "live-secret"}
PRODUCTION = {"NAUTILUS_ENVIRONMENT": "LIVE", "REDIS_HOST": "redis"}


def own(prefix: str, word: str = "own") -> dict[str, str]:
    return {f"{prefix}_API_KEY": f"{word}-key", f"{prefix}_API_SECRET": f"{word}-secret"}


@dataclass(frozen=True)
class Given:
    """What stands in the sources of one case, lowest first."""

    environ: dict[str, str] = field(default_factory=dict)
    file: dict[str, str] = field(default_factory=dict)
    later_file: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)


def load(tmp_path: Path, given: Given, preset: str | None = None) -> TradingNodeSettings:
    files = []
    for number, pairs in enumerate((given.file, given.later_file)):
        path = tmp_path / f"{number}.env"
        path.write_text("".join(f"{name}={text}\n" for name, text in pairs.items()))
        files.append(path)
    directory = tmp_path / "secrets"
    directory.mkdir()
    for name, text in given.secrets.items():
        (directory / name).write_text(text)
    environ = {"NAUTILUS_TRADER_ID": "TRADER-001", "NAUTILUS_SECRETS_DIR": str(directory), **given.environ}
    return TradingNodeSettings.from_env(env_file=files, environ=environ, preset=preset)


def refused(tmp_path: Path, given: Given, preset: str | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, given, preset)
    return caught.value


def key_of(section: Any) -> tuple[str, str, str]:
    return (section.environment, section.api_key.get_secret_value(), section.api_secret.get_secret_value())


LIVE_KEY, OWN_KEY = ("live-key", "live-secret"), ("own-key", "own-secret")
BINANCE_ACCEPTED = [
    # (case, what stands where, preset, environment and key that apply)
    ("a bare key is live", Given(BINANCE), None, ("LIVE", *LIVE_KEY)),
    ("flag beside it", Given({**BINANCE, "BINANCE_TESTNET": "true"}), "testnet", ("TESTNET", *LIVE_KEY)),
    ("flag beside it in a file", Given(file={**BINANCE, "BINANCE_TESTNET": "1"}), "testnet", ("TESTNET", *LIVE_KEY)),
    ("environment beside it", Given({**BINANCE, "BINANCE_ENVIRONMENT": "DEMO"}), "testnet", ("DEMO", *LIVE_KEY)),
    ("flag without preset", Given({**BINANCE, "BINANCE_TESTNET": "on"}), None, ("TESTNET", *LIVE_KEY)),
    (
        "futures testnet name",
        Given(own("BINANCE_FUTURES_TESTNET")),
        "testnet",
        ("TESTNET", *OWN_KEY),
    ),
    (
        "spot testnet name",
        Given({**own("BINANCE_TESTNET"), "BINANCE_ACCOUNT_TYPE": "SPOT"}),
        "testnet",
        ("TESTNET", *OWN_KEY),
    ),
    (
        "each account type takes its own name",
        Given({**own("BINANCE_TESTNET", "spot"), **own("BINANCE_FUTURES_TESTNET")}),
        "testnet",
        ("TESTNET", *OWN_KEY),
    ),
    ("demo name", Given({**own("BINANCE_DEMO"), "BINANCE_ENVIRONMENT": "DEMO"}), "testnet", ("DEMO", *OWN_KEY)),
    (
        "own name wins over a bare key with a flag in the same source",
        Given({**BINANCE, "BINANCE_TESTNET": "true", **own("BINANCE_FUTURES_TESTNET")}),
        "testnet",
        ("TESTNET", *OWN_KEY),
    ),
    (
        "own name in a file wins over a bare key with a flag in the shell",
        Given({**BINANCE, "BINANCE_TESTNET": "true"}, own("BINANCE_FUTURES_TESTNET")),
        "testnet",
        ("TESTNET", *OWN_KEY),
    ),
    (
        "own name wins beside a live key that lies unused",
        Given({**BINANCE, **own("BINANCE_FUTURES_TESTNET")}),
        "testnet",
        ("TESTNET", *OWN_KEY),
    ),
    (
        "testnet and demo keys lie unused beside a live one",
        Given({**BINANCE, **own("BINANCE_TESTNET"), **own("BINANCE_FUTURES_TESTNET"), **own("BINANCE_DEMO")}),
        None,
        ("LIVE", *LIVE_KEY),
    ),
    (
        "key in a file, flag in the shell too, but the flag beside it decides",
        Given({"BINANCE_TESTNET": "1"}, {**BINANCE, "BINANCE_TESTNET": "1"}),
        "testnet",
        ("TESTNET", *LIVE_KEY),
    ),
    (
        "key and secret of one environment from two sources",
        Given(
            {"BINANCE_FUTURES_TESTNET_API_KEY": "own-key"},
            secrets={"BINANCE_FUTURES_TESTNET_API_SECRET": "own-secret"},
        ),
        "testnet",
        ("TESTNET", *OWN_KEY),
    ),
    ("secrets directory, bare", Given(secrets=BINANCE), None, ("LIVE", *LIVE_KEY)),
    (
        "secrets directory, own",
        Given(secrets=own("binance_futures_testnet".upper())),
        "testnet",
        ("TESTNET", *OWN_KEY),
    ),
    ("the shell's key wins over the file's", Given(BINANCE, own("BINANCE", "file")), None, ("LIVE", *LIVE_KEY)),
    (
        "the later file's key wins",
        Given(file=own("BINANCE", "first"), later_file=BINANCE),
        None,
        ("LIVE", *LIVE_KEY),
    ),
    (
        "a live key in the shell does not hide the file's testnet key",
        Given(own("BINANCE", "shell"), {**BINANCE, "BINANCE_TESTNET": "true"}),
        "testnet",
        ("TESTNET", *LIVE_KEY),
    ),
    (
        "production takes the live key and leaves the testnet's",
        Given({**PRODUCTION, **BINANCE, **own("BINANCE_FUTURES_TESTNET"), "NAUTILUS_VENUES": "BINANCE"}),
        "production",
        ("LIVE", *LIVE_KEY),
    ),
]


@pytest.mark.parametrize(
    "given, preset, expected", [row[1:] for row in BINANCE_ACCEPTED], ids=[row[0] for row in BINANCE_ACCEPTED]
)
def test_binance_gets_the_key_that_is_its(
    tmp_path: Path, given: Given, preset: str | None, expected: tuple[str, str, str]
) -> None:
    assert expected == key_of(load(tmp_path, given, preset).binance)


BYBIT_ACCEPTED = [
    ("a bare key is live", Given(BYBIT), None, ("LIVE", *LIVE_KEY)),
    ("testnet name", Given(own("BYBIT_TESTNET")), "testnet", ("TESTNET", *OWN_KEY)),
    ("demo name", Given({**own("BYBIT_DEMO"), "BYBIT_DEMO": "yes"}), "testnet", ("DEMO", *OWN_KEY)),
    ("testnet flag", Given(file={**BYBIT, "BYBIT_TESTNET": "TRUE"}), "testnet", ("TESTNET", *LIVE_KEY)),
    ("demo flag", Given(secrets={}, environ={**BYBIT, "BYBIT_DEMO": "1"}), "testnet", ("DEMO", *LIVE_KEY)),
    ("mainnet is live", Given({**BYBIT, "BYBIT_ENVIRONMENT": "mainnet"}), None, ("LIVE", *LIVE_KEY)),
    (
        "own wins",
        Given({**BYBIT, "BYBIT_TESTNET": "1", **own("BYBIT_TESTNET")}),
        "testnet",
        ("TESTNET", *OWN_KEY),
    ),
    (
        "others lie unused",
        Given({**BYBIT, **own("BYBIT_TESTNET", "other"), **own("BYBIT_DEMO", "other")}),
        None,
        ("LIVE", *LIVE_KEY),
    ),
]


@pytest.mark.parametrize(
    "given, preset, expected", [row[1:] for row in BYBIT_ACCEPTED], ids=[row[0] for row in BYBIT_ACCEPTED]
)
def test_bybit_gets_the_key_that_is_its(
    tmp_path: Path, given: Given, preset: str | None, expected: tuple[str, str, str]
) -> None:
    assert expected == key_of(load(tmp_path, given, preset).bybit)


WRONG = [
    # (case, what stands where, preset, the key that is told, words of the message)
    (
        "bare key under testnet",
        Given(BINANCE),
        "testnet",
        "BINANCE_API_KEY",
        "BINANCE is to run on TESTNET (preset testnet), but BINANCE_API_KEY is a LIVE key",
    ),
    (
        "bare Bybit key under testnet",
        Given(BYBIT),
        "testnet",
        "BYBIT_API_KEY",
        "BYBIT is to run on TESTNET (preset testnet), but BYBIT_API_KEY is a LIVE key",
    ),
    (
        "key in the shell, flag in the file",
        Given(BINANCE, {"BINANCE_TESTNET": "true"}),
        "testnet",
        "BINANCE_API_KEY",
        "BINANCE_API_KEY is a LIVE key",
    ),
    (
        "the same without preset",
        Given(BINANCE, {"BINANCE_TESTNET": "true"}),
        None,
        "BINANCE_API_KEY",
        "BINANCE_API_KEY is a LIVE key",
    ),
    (
        "key in one file, flag in another",
        Given(file=BINANCE, later_file={"BINANCE_TESTNET": "true"}),
        "testnet",
        "BINANCE_API_KEY",
        "BINANCE_API_KEY is a LIVE key",
    ),
    (
        "key in the secrets directory, flag in the shell",
        Given({"BINANCE_TESTNET": "true"}, secrets=BINANCE),
        "testnet",
        "BINANCE_API_KEY",
        "BINANCE_API_KEY is a LIVE key",
    ),
    (
        "Bybit key in the secrets directory, flag in a file",
        Given(file={"BYBIT_DEMO": "true"}, secrets=BYBIT),
        "testnet",
        "BYBIT_API_KEY",
        "BYBIT_API_KEY is a LIVE key",
    ),
    (
        "testnet key in a file, the shell says live",
        Given({"BINANCE_TESTNET": "false"}, {**BINANCE, "BINANCE_TESTNET": "true"}),
        None,
        "BINANCE_API_KEY",
        "BINANCE is to run on LIVE (BINANCE_TESTNET, process environment), but BINANCE_API_KEY is a TESTNET key",
    ),
    (
        "only a testnet key, no preset",
        Given(own("BINANCE_FUTURES_TESTNET")),
        None,
        "BINANCE_FUTURES_TESTNET_API_KEY",
        "BINANCE is to run on LIVE, but BINANCE_FUTURES_TESTNET_API_KEY is a TESTNET key",
    ),
    (
        "only a demo key, no preset",
        Given(own("BYBIT_DEMO")),
        None,
        "BYBIT_DEMO_API_KEY",
        "BYBIT is to run on LIVE, but BYBIT_DEMO_API_KEY is a DEMO key",
    ),
    (
        "only a demo key under testnet",
        Given(own("BYBIT_DEMO")),
        "testnet",
        "BYBIT_DEMO_API_KEY",
        "BYBIT is to run on TESTNET (preset testnet), but BYBIT_DEMO_API_KEY is a DEMO key",
    ),
    (
        "spot testnet key for futures",
        Given(own("BINANCE_TESTNET")),
        "testnet",
        "BINANCE_TESTNET_API_KEY",
        "BINANCE is to trade USDT_FUTURES, but BINANCE_TESTNET_API_KEY is for SPOT",
    ),
    (
        "futures testnet key for spot",
        Given({**own("BINANCE_FUTURES_TESTNET"), "BINANCE_ACCOUNT_TYPE": "spot"}),
        "testnet",
        "BINANCE_FUTURES_TESTNET_API_KEY",
        "BINANCE is to trade SPOT, but BINANCE_FUTURES_TESTNET_API_KEY is for USDT_FUTURES, COIN_FUTURES",
    ),
    (
        "only a testnet key in production",
        Given({**PRODUCTION, **own("BINANCE_FUTURES_TESTNET"), "NAUTILUS_VENUES": "BINANCE"}),
        "production",
        "BINANCE_FUTURES_TESTNET_API_KEY",
        "BINANCE is to run on LIVE",
    ),
]


@pytest.mark.parametrize("given, preset, key, message", [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_key_of_another_environment_is_refused(
    tmp_path: Path, given: Given, preset: str | None, key: str, message: str
) -> None:
    error = refused(tmp_path, given, preset)
    (problem,) = [problem for problem in error.problems if not problem.is_warning]
    assert (5, 5, key) == (error.exit_code, problem.exit_code, problem.key)
    assert message in problem.message
    assert problem.origin is not None
    assert not {"live-key", "live-secret", "own-key", "own-secret"} & set(str(error).replace("'", " ").split())


@pytest.mark.parametrize(
    "given, preset, ways",
    [
        (
            Given(BINANCE),
            "testnet",
            ["BINANCE_FUTURES_TESTNET_API_KEY", "BINANCE_ENVIRONMENT=TESTNET where that is set", "NAUTILUS_VENUES"],
        ),
        (
            Given({**BINANCE, "BINANCE_ACCOUNT_TYPE": "SPOT"}),
            "testnet",
            ["set BINANCE_TESTNET_API_KEY and BINANCE_TESTNET_API_SECRET"],
        ),
        (Given(BYBIT), "testnet", ["BYBIT_TESTNET_API_KEY", "BYBIT_ENVIRONMENT=TESTNET where that is set"]),
        (Given(own("BYBIT_DEMO")), "testnet", ["to run on DEMO, set BYBIT_ENVIRONMENT=DEMO"]),
        (Given(own("BINANCE_TESTNET")), "testnet", ["to trade there, set BINANCE_ACCOUNT_TYPE=SPOT"]),
        (Given(own("BINANCE_DEMO")), None, ["set BINANCE_API_KEY", "to run on DEMO, set BINANCE_ENVIRONMENT=DEMO"]),
    ],
)
def test_the_fix_names_the_ways_out(tmp_path: Path, given: Given, preset: str | None, ways: list[str]) -> None:
    fix = refused(tmp_path, given, preset).problems[0].fix
    assert ways == [way for way in ways if way in fix]


@pytest.mark.parametrize("given_by", ["environ", "file"])
def test_a_secret_file_counts_where_its_variable_stands(tmp_path: Path, given_by: str) -> None:
    """The flag stands in the process environment: only keys whose *_FILE stands there too are for testnet."""
    for name in BINANCE:
        (tmp_path / name).write_text("live-" + name.rpartition("_")[2].lower())
    files = {f"{name}_FILE": str(tmp_path / name) for name in BINANCE}
    flag = {"BINANCE_TESTNET": "true"}
    if given_by == "environ":
        settings = load(tmp_path, Given({**files, **flag}), "testnet")
        assert ("TESTNET", *LIVE_KEY) == key_of(settings.binance)
        assert "BINANCE_API_KEY_FILE" == settings.origins["binance.api_key"].key
    else:
        error = refused(tmp_path, Given(flag, files), "testnet")
        assert (5, "BINANCE_API_KEY_FILE") == (error.exit_code, error.problems[0].key)


@pytest.mark.parametrize(
    "given, preset, missing",
    [
        (Given({"BINANCE_API_KEY": "k"}), None, "BINANCE_API_SECRET"),
        (Given({"BINANCE_API_SECRET": "s"}), None, "BINANCE_API_KEY"),
        (Given({"BINANCE_API_KEY": "k", "BINANCE_API_SECRET": ""}), None, "BINANCE_API_SECRET"),
        (Given({"BINANCE_API_KEY": "k", "BINANCE_API_SECRET": "  "}), None, "BINANCE_API_SECRET"),
        (Given({"BYBIT_DEMO_API_KEY": "k", "BYBIT_DEMO": "1"}), "testnet", "BYBIT_DEMO_API_SECRET"),
        (
            Given({**BINANCE, "BINANCE_TESTNET": "1", "BINANCE_FUTURES_TESTNET_API_SECRET": "s"}),
            "testnet",
            "BINANCE_FUTURES_TESTNET_API_KEY",
        ),
        # A key of one environment never pairs with the secret of another one.
        (Given({"BINANCE_API_KEY": "k"}, {"BINANCE_API_SECRET": "s", "BINANCE_TESTNET": "0"}), None, None),
        (
            Given(
                {"BINANCE_API_KEY": "k", "BINANCE_ENVIRONMENT": "LIVE"},
                {"BINANCE_API_SECRET": "s", "BINANCE_TESTNET": "1"},
            ),
            None,
            "BINANCE_API_SECRET",
        ),
    ],
)
def test_half_a_pair_is_told_with_the_name_of_the_other_half(
    tmp_path: Path, given: Given, preset: str | None, missing: str | None
) -> None:
    if missing is None:
        assert ("LIVE", "k", "s") == key_of(load(tmp_path, given, preset).binance)
        return
    error = refused(tmp_path, given, preset)
    (problem,) = [problem for problem in error.problems if not problem.is_warning]
    assert (5, missing) == (error.exit_code, problem.key)
    assert f"{missing} is missing or empty" in problem.message


@pytest.mark.parametrize(
    "venue, environment, account_type, expected",
    [
        ("binance", "LIVE", "SPOT", ("BINANCE_API_KEY", "BINANCE_API_SECRET")),
        ("binance", "TESTNET", "SPOT", ("BINANCE_TESTNET_API_KEY", "BINANCE_TESTNET_API_SECRET")),
        (
            "binance",
            "TESTNET",
            "COIN_FUTURES",
            ("BINANCE_FUTURES_TESTNET_API_KEY", "BINANCE_FUTURES_TESTNET_API_SECRET"),
        ),
        ("binance", "DEMO", "SPOT", ("BINANCE_DEMO_API_KEY", "BINANCE_DEMO_API_SECRET")),
        ("bybit", "TESTNET", "", ("BYBIT_TESTNET_API_KEY", "BYBIT_TESTNET_API_SECRET")),
        ("bybit", "LIVE", "", ("BYBIT_API_KEY", "BYBIT_API_SECRET")),
    ],
)
def test_own_names_are_those_of_the_adapters(
    venue: str, environment: str, account_type: str, expected: tuple[str, str]
) -> None:
    assert expected == own_names(venue, environment, account_type)


def problems_by_key(error: ConfigError) -> dict[str, int]:
    return {problem.key: int(problem.exit_code) for problem in error.problems if not problem.is_warning}


@pytest.mark.parametrize(
    "preset, environ, expected",
    [
        ("testnet", {"NAUTILUS_VENUES": "BYBIT"}, {"BYBIT_TESTNET_API_KEY": 5}),
        (
            "testnet",
            {"NAUTILUS_VENUES": "BINANCE,BYBIT"},
            {"BINANCE_FUTURES_TESTNET_API_KEY": 5, "BYBIT_TESTNET_API_KEY": 5},
        ),
        ("testnet", {}, {"BINANCE_FUTURES_TESTNET_API_KEY": 5}),
        ("production", {**PRODUCTION, "NAUTILUS_VENUES": "BINANCE"}, {"BINANCE_API_KEY": 5}),
        ("sandbox", {}, {"NAUTILUS_VENUES": 4}),
    ],
)
def test_a_venue_that_is_named_without_a_key_is_refused_where_orders_go_out(
    tmp_path: Path, preset: str, environ: dict[str, str], expected: dict[str, int]
) -> None:
    assert expected == problems_by_key(refused(tmp_path, Given(environ), preset))


@pytest.mark.parametrize("preset", [None, "sandbox"])
def test_elsewhere_a_venue_that_is_named_without_a_key_is_data_only(tmp_path: Path, preset: str | None) -> None:
    settings = load(tmp_path, Given({"NAUTILUS_VENUES": "BYBIT,BINANCE"}), preset)
    assert ("BYBIT", "BINANCE") == settings.active_venues
    assert [False, False] == [settings.credentials(venue).has_key for venue in settings.active_venues]


def test_venues_are_the_exact_list_that_was_named(tmp_path: Path) -> None:
    """A half pair, and a live key under testnet, of a venue that was left out are no problem."""
    given = Given({**own("BYBIT_TESTNET"), "BINANCE_API_KEY": "k", "NAUTILUS_VENUES": "bybit"})
    settings = load(tmp_path, given, "testnet")
    assert ("BYBIT",) == settings.active_venues
    assert settings.binance is None or not settings.binance.has_key


def test_without_venues_those_with_a_key_are_on(tmp_path: Path) -> None:
    assert ("BINANCE", "BYBIT") == load(tmp_path, Given({**BINANCE, **BYBIT})).active_venues


def test_paper_trading_takes_no_key_even_if_one_is_there(tmp_path: Path) -> None:
    settings = load(tmp_path, Given({**BINANCE, **own("BYBIT_DEMO")}), "sandbox")
    assert ("BINANCE", "BYBIT") == settings.active_venues
    assert [False, False] == [settings.credentials(venue).has_key for venue in settings.active_venues]
