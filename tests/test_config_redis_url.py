"""REDIS_URL says everything about Redis at once, from any source, and no part of it is ever told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import SecretStr

from config.models import RedisConfig, TradingNodeSettings
from config.problems import ConfigError, Origin, Problem
from config.settings.loading import validate_all
from config.settings.redis_url import REDIS_DEFAULTS, REDIS_URL_FORM, redis_parts
from config.settings.sources import ENVIRONMENT
from config.settings.variables import variables_by_path
from tests.key_generators import alphanumeric
from tests.said import PLACES, Said

# Each part of a bad url holds this, and nothing that is told may.
CANARY = "canary7f3a9"
PASSWORD = alphanumeric(Random("redis url"), 32)
NODE = {"NAUTILUS_TRADER_ID": "TRADER-001", "NAUTILUS_VENUES": "BYBIT", "HOME": "/home/trader"}
FIELDS = ("host", "port", "username", "password", "ssl")


def plain(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


# --- what a url says -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url, expected",
    [
        ("redis://redis", {"host": "redis"}),
        ("redis://redis:6380", {"host": "redis", "port": "6380"}),
        ("redis://redis:6380/", {"host": "redis", "port": "6380"}),
        ("redis://redis/0", {"host": "redis"}),
        ("redis://redis:6380/0", {"host": "redis", "port": "6380"}),
        ("REDIS://Redis.Internal", {"host": "redis.internal"}),
        ("rediss://redis", {"host": "redis", "ssl": "true"}),
        ("redis://10.0.0.5", {"host": "10.0.0.5"}),
        ("redis://[::1]", {"host": "::1"}),
        ("redis://[fd00::5]:6380/0", {"host": "fd00::5", "port": "6380"}),
        ("redis://trader@redis", {"host": "redis", "username": "trader"}),
        ("redis://:word@redis", {"host": "redis", "password": "word"}),
        ("redis://trader:word@redis", {"host": "redis", "username": "trader", "password": "word"}),
        ("redis://trader:@redis", {"host": "redis", "username": "trader"}),
        ("redis://@redis", {"host": "redis"}),
        # What has a meaning in a url is percent-encoded; what has none may stand as it is.
        ("redis://:a%40b%3Ac%2Fd%23e%3Ff%25g@redis", {"host": "redis", "password": "a@b:c/d#e?f%g"}),
        ("redis://na%3Ame:w%C3%B6rd@redis", {"host": "redis", "username": "na:me", "password": "wörd"}),
        ("redis://:a+b&c=d!e$f@redis", {"host": "redis", "password": "a+b&c=d!e$f"}),
        ("redis://:a:b:c@redis", {"host": "redis", "password": "a:b:c"}),
        ("redis://:a@b@redis", {"host": "redis", "password": "a@b"}),
        (
            "rediss://default:word@x-1.cache.internal:26379/0",
            {"host": "x-1.cache.internal", "port": "26379", "username": "default", "password": "word", "ssl": "true"},
        ),
    ],
)
def test_a_url_is_understood_part_by_part(url: str, expected: dict[str, str]) -> None:
    said = redis_parts(url)
    assert isinstance(said, dict)
    assert {"ssl": "false", **expected} == {name: plain(value) for name, value in said.items()}


def test_only_the_password_is_a_secret_and_no_form_of_what_was_said_shows_it() -> None:
    said = redis_parts(f"redis://trader:{CANARY}@redis")
    assert isinstance(said, dict)
    assert ["password"] == [name for name, value in said.items() if isinstance(value, SecretStr)]
    assert CANARY not in repr(said)


FORM = f"is not valid, expected {REDIS_URL_FORM}"
DATABASE = "names a database other than 0: Nautilus' cache knows no database number and would use 0"
OPTIONS = f"has options behind the address, which nothing reads; expected {REDIS_URL_FORM}"
REFUSED = [
    (f"http://{CANARY}", FORM),
    (f"unix:///run/{CANARY}.sock", FORM),
    (f"redis+sentinel://:{CANARY}@redis", FORM),
    (f"valkey://:{CANARY}@redis", FORM),
    (f"//:{CANARY}@redis", FORM),
    (f"{CANARY}", FORM),
    (f"{CANARY}:6379", FORM),
    (f":{CANARY}@redis:6379", FORM),
    ("", FORM),
    ("redis://", FORM),
    ("redis://:6379", FORM),
    (f"redis://:{CANARY}@", FORM),
    (f"redis://:{CANARY}@:6379", FORM),
    (f"redis://redis:{CANARY}", FORM),
    (f"redis://:{CANARY}@redis:65536", FORM),
    (f"redis://:{CANARY}@redis:-1", FORM),
    (f"redis://:{CANARY}@[::1", FORM),
    (f"redis://:{CANARY}@[redis]", FORM),
    # A password with a slash or a number sign that was not percent-encoded: the password is taken for a port.
    (f"redis://:{CANARY}/b@redis", FORM),
    (f"redis://:{CANARY}#b@redis", FORM),
    (f"redis://:{CANARY}@redis/1", DATABASE),
    (f"redis://:{CANARY}@redis/01", DATABASE),
    (f"redis://:{CANARY}@redis/{CANARY}", DATABASE),
    (f"redis://:{CANARY}@redis/0/1", DATABASE),
    (f"redis://:{CANARY}@redis?db=0", OPTIONS),
    (f"redis://:{CANARY}@redis/0?token={CANARY}", OPTIONS),
    (f"redis://:{CANARY}@redis#{CANARY}", OPTIONS),
    (f"rediss://redis?ssl_cert_reqs={CANARY}", OPTIONS),
]


@pytest.mark.parametrize("url, reason", REFUSED)
def test_a_url_that_cannot_be_used_is_refused_with_the_reason_and_no_part_of_it(url: str, reason: str) -> None:
    assert reason == redis_parts(url)


@pytest.mark.parametrize("url, reason", [row for row in REFUSED if row[0]])
def test_the_reason_reaches_the_user_as_one_problem_without_any_part_of_the_url(url: str, reason: str) -> None:
    found = problems({"REDIS_URL": url})
    fix = f"give {REDIS_URL_FORM}, or REDIS_HOST and its like"
    expected = Problem("TN401", "REDIS_URL", f"REDIS_URL {reason}", fix, origin=Origin(ENVIRONMENT, "REDIS_URL"))
    assert (expected,) == tuple(problem for problem in found if problem.is_error)
    assert 4 == expected.exit_code
    assert CANARY not in f"{found!r}{[problem.to_dict() for problem in found]}"


@pytest.mark.parametrize("url", ["redis://redis:0", "redis://re dis"])
def test_a_part_that_no_setting_takes_is_refused_under_the_name_of_the_url(url: str) -> None:
    (error,) = [problem for problem in problems({"REDIS_URL": url}) if problem.is_error]
    assert (4, "REDIS_URL") == (error.exit_code, error.key)


def test_not_even_a_host_that_is_none_is_repeated() -> None:
    """It may be a password that stands where the host belongs."""
    assert CANARY not in str(problems({"REDIS_URL": f"redis://{CANARY} x"}))


def test_a_password_with_a_bare_slash_is_not_told_as_a_database() -> None:
    assert DATABASE != redis_parts("redis://trader:1234/5678@redis:6379")


def problems(environ: Mapping[str, str], **options: Any) -> tuple[Problem, ...]:
    return validate_all(**{"env_file": None, "environ": {**NODE, "NAUTILUS_SECRETS_DIR": "/", **environ}, **options})


# --- in each source --------------------------------------------------------------------------------------------------

URL = f"rediss://trader:{PASSWORD}@redis.internal:6380"
SAID = ("redis.internal", 6380, "trader", PASSWORD, True)


@pytest.fixture
def sources(tmp_path: Path) -> Said:
    return Said(tmp_path, NODE)


def loaded(said: Said) -> TradingNodeSettings:
    return TradingNodeSettings.from_env(**said.given())


def redis_of(settings: TradingNodeSettings) -> tuple[Any, ...]:
    assert settings.redis is not None
    return tuple(plain(getattr(settings.redis, name)) for name in FIELDS)


def places_of(settings: TradingNodeSettings) -> list[Origin]:
    return [settings.origins[f"redis.{name}"] for name in FIELDS]


@pytest.mark.parametrize("place", PLACES)
def test_a_url_is_read_from_every_place_of_a_secret_and_told_as_where_each_part_came_from(
    sources: Said, place: str
) -> None:
    origin = sources.say(place, "REDIS_URL", URL)
    settings = loaded(sources)
    assert SAID == redis_of(settings)
    assert [origin] * len(FIELDS) == places_of(settings)
    assert ((), ()) == (settings.warnings, settings.notes)
    assert "redis.timeout" not in settings.origins
    assert PASSWORD not in repr(settings)


@pytest.mark.parametrize("place", PLACES)
def test_a_bad_url_is_told_with_its_place(sources: Said, place: str) -> None:
    origin = sources.say(place, "REDIS_URL", f"http://{CANARY}")
    with pytest.raises(ConfigError) as caught:
        loaded(sources)
    (problem,) = [one for one in caught.value.problems if one.is_error]
    assert ("TN401", origin.key, origin) == (problem.code, problem.key, problem.origin)
    assert problem.message.startswith(f"{origin.key} is not valid")
    assert CANARY not in str(caught.value)


def test_a_file_that_is_not_there_is_told_under_the_variable_that_names_it(sources: Said) -> None:
    sources.environ["REDIS_URL_FILE"] = "/nonexistent/redis-url"
    with pytest.raises(ConfigError) as caught:
        loaded(sources)
    assert ["TN405 REDIS_URL_FILE"] == [f"{one.code} {one.key}" for one in caught.value.problems if one.is_error]


def test_the_redis_section_alone_is_read_from_a_url(sources: Said) -> None:
    sources.say("secrets directory", "REDIS_URL", URL)
    redis = RedisConfig.from_env(**sources.given())
    assert SAID == tuple(plain(getattr(redis, name)) for name in FIELDS)


def test_a_url_alone_turns_redis_on_and_production_takes_it_as_named(sources: Said) -> None:
    sources.say("environment", "REDIS_URL", URL)
    found = {problem.code for problem in validate_all(**sources.given(), preset="production")}
    assert "TN804" not in found
    del sources.environ["REDIS_URL"]
    assert "TN804" in {problem.code for problem in validate_all(**sources.given(), preset="production")}


def test_an_empty_url_is_unset(sources: Said) -> None:
    sources.say("environment", "REDIS_URL", " ")
    assert loaded(sources).redis is None


# --- beside the single variables, in one source ----------------------------------------------------------------------

BARE = "redis://redis.internal"


@pytest.mark.parametrize(
    "name, text, field, value",
    [
        ("REDIS_PORT", "6390", "port", 6390),
        ("REDIS_USERNAME", "somebody", "username", "somebody"),
        ("REDIS_PASSWORD", PASSWORD, "password", PASSWORD),
        ("REDIS_TIMEOUT", "9", "timeout", 9),
    ],
)
def test_a_variable_beside_a_url_adds_what_the_url_does_not_say(
    sources: Said, name: str, text: str, field: str, value: Any
) -> None:
    url, added = sources.say("file", "REDIS_URL", BARE), sources.say("file", name, text)
    settings = loaded(sources)
    assert value == plain(getattr(settings.redis, field))
    assert (url, added) == (settings.origins["redis.host"], settings.origins[f"redis.{field}"])


@pytest.mark.parametrize(
    "name, text",
    [
        ("REDIS_HOST", "redis.internal"),
        ("REDIS_PORT", "6380"),
        ("REDIS_USERNAME", "trader"),
        ("REDIS_PASSWORD", PASSWORD),
        ("REDIS_SSL", "true"),
        ("REDIS_SSL", "1"),
        ("REDIS_SSL", "Yes"),
    ],
)
def test_a_variable_beside_a_url_may_say_the_same(sources: Said, name: str, text: str) -> None:
    sources.say("file", "REDIS_URL", URL)
    sources.say("file", name, text)
    settings = loaded(sources)
    assert (SAID, ()) == (redis_of(settings), settings.warnings)


@pytest.mark.parametrize("place", ["file", "environment"])
@pytest.mark.parametrize(
    "name, text",
    [
        ("REDIS_HOST", "elsewhere.internal"),
        ("REDIS_PORT", "6379"),
        ("REDIS_USERNAME", "default"),
        ("REDIS_PASSWORD", f"{CANARY}other"),
        ("REDIS_SSL", "false"),
        ("REDIS_SSL", "0"),
    ],
)
def test_a_variable_beside_a_url_that_says_something_else_is_an_error(
    sources: Said, place: str, name: str, text: str
) -> None:
    sources.say(place, "REDIS_URL", URL)
    origin = sources.say(place, name, text)
    found = validate_all(**sources.given())
    message = f"{name} and REDIS_URL contradict each other in {origin.source}"
    assert (Problem("TN403", name, message, "keep the one that you mean", origin=origin),) == found
    assert 4 == found[0].exit_code
    assert not {CANARY, PASSWORD} & set(repr(found).replace("'", " ").split())


def test_tls_beside_a_url_without_it_is_an_error_too(sources: Said) -> None:
    """Of TLS a url always says something."""
    sources.say("file", "REDIS_URL", BARE)
    sources.say("file", "REDIS_SSL", "true")
    assert ["TN403 REDIS_SSL"] == [f"{one.code} {one.key}" for one in validate_all(**sources.given()) if one.is_error]


def test_everything_that_contradicts_a_url_is_told_at_once(sources: Said) -> None:
    sources.say("file", "REDIS_URL", URL)
    others = {"REDIS_HOST": "a", "REDIS_PORT": "1", "REDIS_USERNAME": "b", "REDIS_PASSWORD": "c", "REDIS_SSL": "no"}
    for name, text in others.items():
        sources.say("file", name, text)
    assert [f"TN403 {name}" for name in others] == [f"{one.code} {one.key}" for one in validate_all(**sources.given())]


# --- between sources -------------------------------------------------------------------------------------------------

LOWER = {
    "REDIS_HOST": "old.internal",
    "REDIS_PORT": "7000",
    "REDIS_USERNAME": "old",
    "REDIS_PASSWORD": PASSWORD,
    "REDIS_SSL": "true",
    "REDIS_TIMEOUT": "9",
}


@pytest.mark.parametrize("place", ["secrets directory", "environment", "_FILE in the environment"])
def test_what_a_url_leaves_out_is_decided_too_and_no_lower_layer_fills_it(sources: Said, place: str) -> None:
    """The server that the url names would otherwise get the password of another one."""
    for name, text in LOWER.items():
        sources.say("file", name, text)
    origin = sources.say(place, "REDIS_URL", "redis://localhost")
    settings = loaded(sources)
    assert ("localhost", 6379, None, None, False) == redis_of(settings)
    assert [origin] * len(FIELDS) == places_of(settings)
    assert settings.redis is not None
    assert 9 == settings.redis.timeout, "of which a url says nothing"


def test_a_lower_url_is_overridden_by_a_higher_one_in_whole(sources: Said) -> None:
    low = sources.say("file", "REDIS_URL", URL)
    high = sources.say("environment", "REDIS_URL", "redis://localhost")
    settings = loaded(sources)
    assert ("localhost", 6379, None, None, False) == redis_of(settings)
    assert {high} == set(places_of(settings))
    assert [low] * len(FIELDS) == [settings.overridden[f"redis.{name}"][0].origin for name in FIELDS]


@pytest.mark.parametrize("name, field, value", [("REDIS_PORT", "port", 7000), ("REDIS_TIMEOUT", "timeout", 9)])
def test_a_higher_variable_overrides_that_part_of_a_lower_url(sources: Said, name: str, field: str, value: int) -> None:
    low, high = sources.say("file", "REDIS_URL", URL), sources.say("environment", name, LOWER[name])
    settings = loaded(sources)
    assert value == getattr(settings.redis, field)
    assert (low, high) == (settings.origins["redis.host"], settings.origins[f"redis.{field}"])
    assert () == settings.warnings


def test_the_defaults_of_a_url_are_those_of_the_variables() -> None:
    """A default is written once; these are here since they are decided where a url is read."""
    for name in FIELDS:
        default = variables_by_path()[f"redis.{name}"].default
        written = REDIS_DEFAULTS[name]
        assert (None if default is None else str(default).lower()) == written
    assert set(FIELDS) == REDIS_DEFAULTS.keys()
