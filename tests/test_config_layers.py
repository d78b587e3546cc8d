"""From sources to one tree: what each variable means, whose each key is, who wins."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from config.problems import Origin
from config.settings.layers import Layer, Value, layer_of, layer_of_call, merge
from config.settings.sources import read_environ

PAIR = {"BINANCE_API_KEY": "key", "BINANCE_API_SECRET": "secret"}


def layer(name: str, **values: Any) -> Layer:
    return Layer(name, {path: Value(value, Origin(name, path)) for path, value in values.items()})


@pytest.mark.parametrize(
    "environ, expected",
    [
        ({}, None),
        ({"BINANCE_ENVIRONMENT": "testnet"}, ("TESTNET", "BINANCE_ENVIRONMENT")),
        ({"BINANCE_ENVIRONMENT": "MAINNET"}, ("LIVE", "BINANCE_ENVIRONMENT")),
        ({"BINANCE_TESTNET": "1"}, ("TESTNET", "BINANCE_TESTNET")),
        ({"BINANCE_TESTNET": "on"}, ("TESTNET", "BINANCE_TESTNET")),
        ({"BINANCE_TESTNET": "off"}, ("LIVE", "BINANCE_TESTNET")),
        ({"BINANCE_TESTNET": ""}, None),
        ({"BINANCE_TESTNET": "TRUE", "BINANCE_ENVIRONMENT": "TESTNET"}, ("TESTNET", "BINANCE_ENVIRONMENT")),
        ({"BINANCE_TESTNET": "no", "BINANCE_ENVIRONMENT": "DEMO"}, ("DEMO", "BINANCE_ENVIRONMENT")),
    ],
)
def test_what_one_source_says_of_a_venues_environment(
    environ: dict[str, str], expected: tuple[str, str] | None
) -> None:
    found, problems = layer_of(read_environ(environ))
    said = found.values.get("binance.environment")
    assert expected == (None if said is None else (said.value, said.origin.key))
    assert () == problems


@pytest.mark.parametrize(
    "environ, expected",
    [
        ({"BYBIT_DEMO": "true"}, "DEMO"),
        ({"BYBIT_TESTNET": "true", "BYBIT_DEMO": "false"}, "TESTNET"),
        ({"BYBIT_TESTNET": "false", "BYBIT_DEMO": "false"}, "LIVE"),
    ],
)
@pytest.mark.parametrize("venue", ["bybit", "binance"])
def test_each_venue_has_two_flags(environ: dict[str, str], expected: str, venue: str) -> None:
    environ = {name.replace("BYBIT", venue.upper()): text for name, text in environ.items()}
    found, problems = layer_of(read_environ(environ))
    assert (expected, ()) == (found.values[f"{venue}.environment"].value, problems)


@pytest.mark.parametrize(
    "environ, key, message",
    [
        ({"BINANCE_TESTNET": "maybe"}, "BINANCE_TESTNET", "BINANCE_TESTNET is 'maybe', expected true or false"),
        ({"BYBIT_DEMO": "2"}, "BYBIT_DEMO", "BYBIT_DEMO is '2', expected true or false"),
        (
            {"BINANCE_TESTNET": "yes", "BINANCE_ENVIRONMENT": "LIVE"},
            "BINANCE_TESTNET",
            "BINANCE_ENVIRONMENT and BINANCE_TESTNET contradict each other in process environment",
        ),
        (
            {"BYBIT_TESTNET": "yes", "BYBIT_DEMO": "1"},
            "BYBIT_DEMO",
            "BYBIT_TESTNET and BYBIT_DEMO contradict each other in process environment",
        ),
        (
            {"BINANCE_TESTNET": "yes", "BINANCE_DEMO": "1"},
            "BINANCE_DEMO",
            "BINANCE_TESTNET and BINANCE_DEMO contradict each other in process environment",
        ),
        (
            {"REDIS_URL": "redis://redis.internal", "REDIS_HOST": "other"},
            "REDIS_HOST",
            "REDIS_HOST and REDIS_URL contradict each other in process environment",
        ),
        (
            {"REDIS_URL": "rediss://redis.internal", "REDIS_SSL": "no"},
            "REDIS_SSL",
            "REDIS_SSL and REDIS_URL contradict each other in process environment",
        ),
    ],
)
def test_a_flag_that_says_nothing_or_the_contrary_is_a_problem(environ: dict[str, str], key: str, message: str) -> None:
    _, (problem,) = layer_of(read_environ(environ))
    assert (4, key, message) == (problem.exit_code, problem.key, problem.message)


@pytest.mark.parametrize(
    "said, environment",
    [
        ({}, "LIVE"),
        ({"BINANCE_TESTNET": "true"}, "TESTNET"),
        ({"BINANCE_TESTNET": "false"}, "LIVE"),
        ({"BINANCE_ENVIRONMENT": "DEMO"}, "DEMO"),
        ({"BYBIT_TESTNET": "true"}, "LIVE"),
    ],
)
def test_a_bare_key_is_for_what_its_own_source_says(said: dict[str, str], environment: str) -> None:
    found, _ = layer_of(read_environ({**PAIR, **said}))
    assert [("api_key", environment, False), ("api_secret", environment, False)] == [
        (key.part, key.environment, key.own) for key in found.keys
    ]
    assert {"binance.api_key", "binance.api_secret"}.isdisjoint(found.values)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("BINANCE_TESTNET_API_KEY", ("binance", "api_key", "TESTNET", ("SPOT",))),
        (
            "BINANCE_FUTURES_TESTNET_API_SECRET",
            ("binance", "api_secret", "TESTNET", ("USDT_FUTURES", "COIN_FUTURES")),
        ),
        ("BINANCE_DEMO_API_KEY", ("binance", "api_key", "DEMO", ())),
        ("BYBIT_TESTNET_API_KEY", ("bybit", "api_key", "TESTNET", ())),
        ("BYBIT_DEMO_API_SECRET", ("bybit", "api_secret", "DEMO", ())),
    ],
)
def test_a_name_of_one_environments_own_is_for_it_whatever_else_is_said(
    name: str, expected: tuple[str, str, str, tuple[str, ...]]
) -> None:
    found, _ = layer_of(read_environ({name: "key", "BINANCE_ENVIRONMENT": "LIVE", "BYBIT_ENVIRONMENT": "LIVE"}))
    (key,) = found.keys
    assert expected == (key.venue, key.part, key.environment, key.account_types)
    assert key.own


@pytest.mark.parametrize(
    "given, environment",
    [
        ({"api_key": "k", "api_secret": "s"}, "LIVE"),
        ({"api_key": "k", "api_secret": "s", "environment": "demo"}, "DEMO"),
        ({"api_key": "k", "api_secret": SecretStr("s"), "testnet": True}, "TESTNET"),
        ({"api_key": "k", "api_secret": "s", "testnet": False, "demo": True}, "DEMO"),
    ],
)
def test_keys_among_the_arguments_of_a_call_are_for_what_the_call_says(given: dict[str, Any], environment: str) -> None:
    found = layer_of_call("arguments of the call", {"binance": given, "trader_id": "TRADER-001"})
    assert [("k", environment), ("s", environment)] == [
        (key.value.get_secret_value(), key.environment) for key in found.keys
    ]
    assert "TRADER-001" == found.values["trader_id"].value


def test_an_argument_of_none_is_no_key() -> None:
    assert () == layer_of_call("arguments of the call", {"binance": {"api_key": None, "api_secret": None}}).keys


def test_flags_that_contradict_each_other_are_left_for_the_model_to_refuse() -> None:
    found = layer_of_call("call", {"binance": {"testnet": True, "demo": True}})
    assert {"binance.testnet", "binance.demo"} == set(found.values)


REDIS = {"host": "localhost", "port": "6379", "username": None, "password": None, "ssl": "false"}


@pytest.mark.parametrize(
    "environ, expected",
    [
        ({"REDIS_URL": "redis://redis.internal"}, {**REDIS, "host": "redis.internal"}),
        (
            {"REDIS_URL": "rediss://me:p%40ss@redis.internal:6380/0"},
            {"host": "redis.internal", "port": "6380", "username": "me", "password": "p@ss", "ssl": "true"},
        ),
        ({"REDIS_URL": "redis://:pass@[::1]:6380"}, {**REDIS, "host": "::1", "port": "6380", "password": "pass"}),
        # Beside it a variable may add to it, and say the same in other words.
        (
            {"REDIS_URL": "rediss://redis.internal", "REDIS_PORT": "6380", "REDIS_SSL": "YES", "REDIS_TIMEOUT": "5"},
            {**REDIS, "host": "redis.internal", "port": "6380", "ssl": "YES", "timeout": "5"},
        ),
    ],
)
def test_a_redis_url_says_every_field_so_that_no_other_layer_adds_to_it(
    environ: dict[str, str], expected: dict[str, str | None]
) -> None:
    found, problems = layer_of(read_environ(environ))
    said = {path: value.value for path, value in found.values.items() if path != "redis.url"}
    plain = {path: value.get_secret_value() if isinstance(value, SecretStr) else value for path, value in said.items()}
    assert ({f"redis.{name}": value for name, value in expected.items()}, ()) == (plain, problems)
    assert said["redis.password"] is None or isinstance(said["redis.password"], SecretStr)
    assert "REDIS_URL" == found.values["redis.host"].origin.key


@pytest.mark.parametrize(
    "url, reason",
    [
        ("http://redis.internal", "is not valid, expected redis://"),
        ("redis://", "is not valid, expected redis://"),
        ("redis://redis.internal:no", "is not valid, expected redis://"),
        ("redis.internal:6379", "is not valid, expected redis://"),
        ("redis://:canary@redis.internal/1", "names a database other than 0"),
        ("redis://:canary@redis.internal/?timeout=canary", "has options behind the address"),
    ],
)
def test_a_redis_url_that_cannot_be_used_says_nothing_and_is_not_repeated(url: str, reason: str) -> None:
    found, (problem,) = layer_of(read_environ({"REDIS_URL": url}))
    assert ("TN401", "REDIS_URL", {"redis.url"}) == (problem.code, problem.key, set(found.values))
    assert problem.message.startswith(f"REDIS_URL {reason}")
    assert problem.fix
    assert "canary" not in str(problem)


def test_the_highest_layer_wins_and_what_it_overrode_is_kept_highest_first() -> None:
    merged = merge([layer("low", a=1, b=1), layer("middle", a=2), layer("high", a=3, c=3)])
    assert {"a": 3, "b": 1, "c": 3} == {path: value.value for path, value in merged.values.items()}
    assert {"a": [2, 1]} == {path: [value.value for value in values] for path, values in merged.overridden.items()}
    assert "high" == merged.values["a"].origin.source


def test_keys_of_all_layers_are_kept_highest_first() -> None:
    low, _ = layer_of(read_environ({**PAIR, "BINANCE_TESTNET": "1"}))
    high, _ = layer_of(read_environ(PAIR))
    assert ["LIVE", "LIVE", "TESTNET", "TESTNET"] == [key.environment for key in merge([low, high]).keys]


def test_merging_nothing_gives_nothing() -> None:
    merged = merge([])
    assert ({}, {}, ()) == (merged.values, merged.overridden, merged.keys)
    assert "LIVE" == merged.text("binance.environment", "LIVE")


def test_text_is_upper_case_without_surrounding_white_space() -> None:
    assert "SPOT" == merge([layer("a", **{"binance.account_type": " spot "})]).text("binance.account_type", "X")
