"""``tradingnode explain``: a setting under every name it has, each layer that speaks of it, and no secret."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner, Result

from config.cli import cli
from config.kinds import kinds, page
from config.problems import Origin, Problem
from config.settings.gathering import gather
from config.settings.sources import ENVIRONMENT
from config.settings.variables import (
    FLAGS,
    KEY_NAMES,
    SPECIAL,
    former_names,
    known_names,
    secret_names,
    variables,
    variables_by_path,
)
from config.show.explain import Explanation, explain
from tests.key_generators import alphanumeric

ROOT = Path(__file__).parents[1]
# It begins each secret and fits into the shape of a key, so a part of one is found too.
CANARY = "canary7f3a9"


def secret(what: str, length: int) -> str:
    return CANARY + alphanumeric(Random(what), length - len(CANARY))


KEY, API_SECRET, OTHER = (secret(what, 64) for what in ("key", "secret", "other"))
BYBIT_KEY, BYBIT_SECRET = secret("bybit key", 18), secret("bybit secret", 36)
NODE = {"NAUTILUS_TRADER_ID": "TRADER-001"}
BINANCE = {"BINANCE_API_KEY": KEY, "BINANCE_API_SECRET": API_SECRET}


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Only what a test sets is in the environment; working directory, home and secrets directory are empty."""
    for name in list(os.environ):
        if name.startswith(("NAUTILUS_", "BINANCE_", "BYBIT_", "REDIS_", "NO_COLOR", "FORCE_COLOR", "XDG_")):
            monkeypatch.delenv(name)
    for folder in ("here", "home", "secrets"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def call(*arguments: str, **environ: str) -> Result:
    result = CliRunner().invoke(cli, ["explain", *arguments], env=environ)
    assert CANARY not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def explained(key: str, environ: Mapping[str, str], **options: Any) -> Explanation:
    given = {"env_file": None, "environ": {"NAUTILUS_SECRETS_DIR": "/", **environ}, **options}
    found = explain(key, gather(**given))
    assert isinstance(found, Explanation), found
    assert CANARY not in repr(found.voices) + json.dumps(found.to_dict())
    return found


def voices(key: str, environ: Mapping[str, str], **options: Any) -> list[tuple[str, str, bool]]:
    """Return what each layer says, where, and whether it applies."""
    return [
        (voice.value, "default" if voice.origin is None else f"{voice.origin} {voice.origin.key}", voice.applies)
        for voice in explained(key, environ, **options).voices
    ]


def digest(text: str) -> str:
    return hashlib.sha256(b"tradingnode-config secret fingerprint 1\0" + text.encode()).hexdigest()[:8]


def written(name: str, text: str) -> Path:
    path = Path(name)
    path.write_text(text)
    path.chmod(0o600)
    return path


# --- under which name ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(variables_by_path()))
def test_every_setting_is_found_by_path_and_by_variable_in_any_case(path: str) -> None:
    variable = variables_by_path()[path]
    keys = (path, path.upper(), path.title(), variable.name, variable.name.lower(), variable.name.title())
    assert [variable] * len(keys) == [explained(key, {}).variable for key in keys]


@pytest.mark.parametrize("name", sorted(known_names() - SPECIAL.keys()))
def test_every_name_that_is_read_leads_to_its_setting(name: str) -> None:
    """Flags, keys of one environment, former names, and the variables that name a file."""
    alone = name if name in variables() else name.removesuffix("_FILE")
    now = former_names().get(alone, alone)
    flags = {flag.name: flag.path for flag in FLAGS}
    keys = {key.name: f"{key.venue}.{key.part}" for key in KEY_NAMES}
    if now in SPECIAL:
        return
    expected = flags.get(now) or keys.get(now) or variables()[now].path
    for key in (name, name.lower()):
        assert expected == explained(key, {}).variable.path


@pytest.mark.parametrize("name", SPECIAL)
def test_the_names_that_are_no_field_are_explained_too(name: str) -> None:
    for key in (name, name.lower()):
        assert SPECIAL[name] is explained(key, {}).variable


def test_the_file_of_a_url_is_explained_as_the_url() -> None:
    assert "REDIS_URL" == explained("REDIS_URL_FILE", {}).variable.name


@pytest.mark.parametrize(
    "key, names",
    [
        ("redis.port", ("REDIS_URL",)),
        ("redis.timeout", ()),
        ("redis.password", ("REDIS_URL", "REDIS_PASSWORD_FILE")),
        ("binance.environment", ("BINANCE_TESTNET", "BINANCE_DEMO")),
        (
            "bybit.api_secret",
            (
                "BYBIT_TESTNET_API_SECRET",
                "BYBIT_DEMO_API_SECRET",
                "BYBIT_API_SECRET_FILE",
                "BYBIT_TESTNET_API_SECRET_FILE",
                "BYBIT_DEMO_API_SECRET_FILE",
            ),
        ),
        ("trader_id", ()),
        ("REDIS_URL", ("REDIS_URL_FILE",)),
    ],
)
def test_it_tells_the_other_names_under_which_it_may_be_given(key: str, names: tuple[str, ...]) -> None:
    found = explained(key, {})
    assert names == found.names
    assert set(names) <= known_names()


@pytest.mark.parametrize("name", sorted(former_names().values()))
def test_it_tells_the_former_names_and_does_not_recommend_them(name: str) -> None:
    found = explained(name, {})
    former = {old for old, new in former_names().items() if new == name}
    assert former <= set(found.former)
    assert set() == set(found.names) & former_names().keys()


def test_it_tells_who_has_no_use_for_the_setting() -> None:
    assert (("recorder",), ()) == (explained("redis.port", {}).unused_by, explained("trader_id", {}).unused_by)
    assert "not used by  recorder" in call("redis.port").stdout
    assert "not used by" not in call("trader_id").stdout


@pytest.mark.parametrize(
    "key, near",
    [
        ("REDIS_PROT", "REDIS_PORT"),
        ("redis.prot", "REDIS_PORT"),
        ("bybit.margn_mod", "bybit.margin_mode"),
        ("NAUTILUS_LOGLEVEL", "NAUTILUS_LOG_LEVEL"),
        ("traderid", "trader_id"),
        ("BINANCE_TESNET_API_KEY", "BINANCE_TESTNET_API_KEY"),
    ],
)
def test_a_name_that_is_none_is_a_usage_error_with_the_nearest_one(key: str, near: str) -> None:
    expected = Problem("TN203", "KEY", f"{key} is no setting", f"did you mean {near}?", (near,))
    assert expected == explain(key, gather(env_file=None, environ={}))
    assert 2 == call(key).exit_code


@pytest.mark.parametrize("key", ["everything", "redis", "binance.api", "", "PATH", "redis.port.number"])
def test_what_is_far_from_every_name_leads_to_the_lists(key: str) -> None:
    found = explain(key, gather(env_file=None, environ={}))
    assert isinstance(found, Problem)
    assert ("TN203", ()) == (found.code, found.accepted)
    assert "`tradingnode show` lists the settings that apply, `tradingnode schema` all of them" == found.fix


def test_a_name_that_would_act_on_a_terminal_is_shown_escaped() -> None:
    result = call("redis\x1b[31m\nport")
    assert "error: redis\\x1b[31m\\nport is no setting" == result.stderr.splitlines()[0]


# --- every layer that speaks of it -----------------------------------------------------------------------------------


def test_each_of_six_layers_speaks_highest_first_and_the_highest_applies() -> None:
    files = [
        written("a.env", "\nBINANCE_ENVIRONMENT=DEMO\n"),
        written("b.env", "# why\n\n  export BINANCE_TESTNET=true\n"),
    ]
    environ = {**NODE, "BINANCE_ENVIRONMENT": "testnet"}
    call_says = {"binance": {"environment": "LIVE"}}
    assert [
        ("LIVE", "arguments of the call binance.environment", True),
        ("TESTNET", "process environment BINANCE_ENVIRONMENT", False),
        ("TESTNET", "b.env line 3 BINANCE_TESTNET", False),
        ("DEMO", "a.env line 2 BINANCE_ENVIRONMENT", False),
        ("TESTNET", "preset testnet BINANCE_ENVIRONMENT", False),
        ("LIVE", "default", False),
    ] == voices("binance.environment", environ, env_file=files, preset="testnet", values=call_says)


def test_the_command_shows_five_of_them_with_a_star_at_the_one_that_applies() -> None:
    written("a.env", "\nBINANCE_ENVIRONMENT=DEMO\n")
    written("b.env", "BINANCE_TESTNET=true\n")
    arguments = ("-p", "testnet", "--env-file", "a.env", "--env-file", "b.env", "BINANCE_DEMO")
    result = call(*arguments, **NODE, BINANCE_DEMO="1")
    assert (0, "") == (result.exit_code, result.stderr)
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "BINANCE_ENVIRONMENT binance.environment" == lines[0]
    assert [
        "Layers, highest first; * applies",
        "layer says",
        "* process environment as BINANCE_DEMO DEMO",
        "b.env line 1 as BINANCE_TESTNET TESTNET",
        "a.env line 2 DEMO",
        "preset testnet TESTNET",
        "default LIVE",
    ] == lines[-7:]


def test_a_secret_speaks_from_each_source_and_is_just_set() -> None:
    file = written("a.env", f"REDIS_PASSWORD={OTHER}\n")
    other = written("b.env", f"REDIS_URL=redis://:{OTHER}@redis\n")
    folder = Path.cwd().parent / "secrets"
    (folder / "redis_password").write_text(OTHER)
    path = written("password", OTHER)
    environ = {**NODE, "NAUTILUS_SECRETS_DIR": str(folder), "REDIS_PASSWORD_FILE": str(path.absolute())}
    assert [
        ("*** (set)", "process environment REDIS_PASSWORD_FILE", True),
        ("*** (set)", f"secrets directory {folder} redis_password", False),
        ("*** (set)", "b.env line 1 REDIS_URL", False),
        ("*** (set)", "a.env line 1 REDIS_PASSWORD", False),
        ("", "default", False),
    ] == voices("redis.password", environ, env_file=[file, other])


def test_what_nobody_said_is_the_default_which_applies() -> None:
    assert [("6379", "default", True)] == voices("redis.port", NODE)
    assert [("", "default", True)] == voices("BINANCE_PROXY_URL", NODE)


def test_a_setting_that_must_be_said_has_no_default() -> None:
    assert [] == voices("trader_id", {})
    assert [("TRADER-001", "process environment NAUTILUS_TRADER_ID", True)] == voices("trader_id", NODE)
    result = call("trader_id")
    assert "default   none: it must be set" in result.stdout
    assert "no layer speaks of it" in result.stdout


def test_a_default_that_follows_from_other_settings_is_told_as_what_it_comes_to() -> None:
    environ = {**NODE, "NAUTILUS_STATE_DIR": "/state", "REDIS_HOST": "localhost", "NAUTILUS_CONNECTION_TIMEOUT": "50"}
    assert [("/state/logs", "default", True)] == voices("NAUTILUS_LOG_DIRECTORY", environ)
    assert [("true", "default", True)] == voices("load_state", environ)
    assert [("90", "default", True)] == voices("ready_timeout", environ)


def test_a_url_speaks_of_every_field_that_it_decides() -> None:
    environ = {**NODE, "REDIS_URL": f"rediss://:{OTHER}@redis.internal:6390"}
    origin = "process environment REDIS_URL"
    said = {"redis.host": "redis.internal", "redis.port": "6390", "redis.ssl": "true", "redis.password": "*** (set)"}
    for path, text in said.items():
        assert (text, origin, True) == voices(path, environ)[0]
    assert ("", origin, True) == voices("redis.username", environ)[0]
    assert [("2", "default", True)] == voices("redis.timeout", environ)


def test_a_former_name_is_shown_where_it_stands() -> None:
    environ = {**NODE, "NAUTILUS_TIMEOUT_CONNECTION": "50"}
    expected = [("50", "process environment NAUTILUS_TIMEOUT_CONNECTION", True), ("30", "default", False)]
    for key in ("NAUTILUS_TIMEOUT_CONNECTION", "connection_timeout"):
        assert expected == voices(key, environ)


def test_what_a_recorder_does_not_use_is_its_role_s_and_not_what_was_said() -> None:
    environ = {**NODE, "NAUTILUS_ROLE": "recorder", "NAUTILUS_EXECUTION": "VENUE"}
    assert ("NONE", "process environment NAUTILUS_ROLE", True) == voices("execution", environ)[0]


@pytest.mark.parametrize(
    "name, text, shown",
    [
        ("NAUTILUS_PRESET", "testnet", "testnet"),
        ("NAUTILUS_SECRETS_DIR", "/", "/"),
        ("REDIS_URL", f"redis://:{OTHER}@redis", "*** (set)"),
    ],
)
def test_a_name_that_is_no_field_is_told_with_the_layer_that_says_it(name: str, text: str, shown: str) -> None:
    assert (shown, f"process environment {name}", True) == voices(name, {**NODE, name: text})[0]


def test_the_state_directory_that_nobody_named_is_told_as_show_tells_it() -> None:
    home = str(Path.cwd().parent / "home")
    (voice,) = [one for one in explained("state_dir", {**NODE, "HOME": home}).voices if one.applies]
    assert f"{home}/.local/state/tradingnode/TRADER-001" == voice.value


# --- keys ------------------------------------------------------------------------------------------------------------


def test_of_keys_all_are_listed_with_whose_they_are_and_the_one_that_is_used() -> None:
    written(".env", f"BINANCE_API_KEY={OTHER}\nBINANCE_DEMO=1\n")
    environ = {**NODE, "BINANCE_FUTURES_TESTNET_API_KEY": KEY, "BINANCE_FUTURES_TESTNET_API_SECRET": API_SECRET}
    environ |= {"BINANCE_API_KEY": OTHER, "NAUTILUS_SECRETS_DIR": "/"}
    expected = [
        (f"*** (sha256:{digest(KEY)}) for TESTNET", "process environment BINANCE_FUTURES_TESTNET_API_KEY", True),
        (f"*** (sha256:{digest(OTHER)}) for LIVE", "process environment BINANCE_API_KEY", False),
        (f"*** (sha256:{digest(OTHER)}) for DEMO", ".env line 1 BINANCE_API_KEY", False),
    ]
    for key in ("binance.api_key", "BINANCE_API_KEY", "BINANCE_FUTURES_TESTNET_API_KEY", "BINANCE_DEMO_API_KEY_FILE"):
        given = {"env_file": Path(".env"), "preset": "testnet", "values": {"binance": {"environment": "TESTNET"}}}
        assert expected == voices(key, environ, **given)


@pytest.mark.parametrize(
    "changes", [{"NAUTILUS_VENUES": "BYBIT"}, {"NAUTILUS_EXECUTION": "SIMULATED"}, {"NAUTILUS_ROLE": "recorder"}]
)
def test_a_key_that_is_not_used_does_not_apply(changes: dict[str, str]) -> None:
    assert [True] == [applies for *_, applies in voices("binance.api_key", {**NODE, **BINANCE})]
    assert [False] == [applies for *_, applies in voices("binance.api_key", {**NODE, **BINANCE, **changes})]


def test_half_a_pair_does_not_apply() -> None:
    assert [False] == [applies for *_, applies in voices("binance.api_key", {**NODE, "BINANCE_API_KEY": KEY})]


@pytest.mark.parametrize(
    "key, name, text, shown",
    [
        ("binance.api_key", "BINANCE_API_KEY", KEY, f"*** (sha256:{digest(KEY)}) for LIVE"),
        ("bybit.api_secret", "BYBIT_API_SECRET", BYBIT_SECRET, f"*** (sha256:{digest(BYBIT_SECRET)}) for LIVE"),
        # Too short for a fingerprint that nobody can try guesses against, and passwords whatever their length.
        ("bybit.api_key", "BYBIT_API_KEY", BYBIT_KEY, "*** (set) for LIVE"),
        ("binance.api_key", "BINANCE_API_KEY", KEY[:31], "*** (set) for LIVE"),
        ("redis.password", "REDIS_PASSWORD", KEY, "*** (set)"),
        ("binance.proxy_url", "BINANCE_PROXY_URL", f"http://me:{KEY}@proxy.internal:1", "*** (set)"),
    ],
)
def test_a_secret_is_masked_and_told_apart_only_where_that_is_safe(key: str, name: str, text: str, shown: str) -> None:
    assert shown == voices(key, {**NODE, name: text})[0][0]
    assert shown in call(key, **NODE, **{name: text}).stdout


@pytest.mark.parametrize("name", sorted(secret_names()))
def test_no_secret_is_shown_under_whatever_name_it_stands(name: str) -> None:
    environ = {**NODE, name: KEY}
    for key in (name, f"{name}_FILE"):
        explained(key, environ)
        call(key, "--json", **environ)
        call(key, **environ)


def test_a_secret_that_a_call_gave_as_text_is_masked_too() -> None:
    given = {
        "redis": {"password": OTHER},
        "binance": {"api_key": KEY, "proxy_url": f"http://me:{OTHER}@proxy.internal"},
    }
    for key, shown in (
        ("redis.password", "*** (set)"),
        ("binance.proxy_url", "*** (set)"),
        ("binance.api_key", f"*** (sha256:{digest(KEY)}) for LIVE"),
    ):
        assert (shown, f"arguments of the call {key}") == voices(key, NODE, values=given)[0][:2]


@pytest.mark.parametrize(
    "name, text",
    [
        ("BINANCE_BASE_URL_HTTP", f"https://me:{CANARY}@gateway.internal"),
        ("BINANCE_BASE_URL_WS", f"wss://gateway.internal?token={CANARY}"),
        ("REDIS_HOST", KEY),
        ("NAUTILUS_LOG_FILE_NAME", KEY),
        ("NAUTILUS_LOG_LEVEL", KEY),
    ],
)
def test_a_secret_in_the_wrong_variable_is_not_shown_either(name: str, text: str) -> None:
    (said, default) = voices(name, {**NODE, name: text})
    assert ("*** (not shown: it might be a secret)", True) == (said[0], said[2])
    assert "default" == default[1]
    assert "not shown" in call(name, **NODE, **{name: text}).stdout


def test_a_value_that_would_act_on_a_terminal_does_not() -> None:
    """Where it may stand the escape is gone from what was understood, and where it may not it is told."""
    environ = {**NODE, "NAUTILUS_LOG_FILE_NAME": "a\x1b[31mb"}
    result = call("NAUTILUS_LOG_FILE_NAME", **environ)
    assert "\x1b" not in result.output
    assert "a[31mb" == voices("NAUTILUS_LOG_FILE_NAME", environ)[0][0]
    assert "error: NAUTILUS_LOG_FILE_NAME is not what it seems" in result.stderr


# --- beside what is wrong --------------------------------------------------------------------------------------------

BROKEN = {"REDIS_PORT": "0", "REDIS_PROT": "1", "NAUTILUS_LOG_LEVEL": "LOUD", "BINANCE_TESTNET": "maybe"}


def test_it_works_while_settings_are_wrong_and_tells_what_is_wrong_with_that_one() -> None:
    result = call("redis.port", "redis.timeout", "BINANCE_DEMO", **BROKEN)
    assert 0 == result.exit_code
    assert [
        "error: REDIS_PORT is '0', expected a whole number from 1 to 65535",
        "   at: process environment",
        "  fix: give a whole number from 1 to 65535, or leave it out for 6379",
        "error: BINANCE_TESTNET is 'maybe', expected true or false",
        "   at: process environment",
        "  fix: write BINANCE_TESTNET=true or BINANCE_TESTNET=false",
    ] == result.stderr.splitlines()
    assert ("0", "process environment REDIS_PORT", True) == voices("redis.port", BROKEN)[0]


def test_a_warning_about_a_setting_is_told_with_it() -> None:
    environ = {**NODE, "NAUTILUS_RECONCILIATION_LOOKBACK_MINS": "60", "NAUTILUS_VENUES": "BYBIT"}
    found = explained("reconciliation_lookback_mins", environ)
    assert ["TN301"] == [problem.code for problem in found.problems]
    assert ["TN303"] == [problem.code for problem in explained("REDIS_HOST", environ).problems]
    assert () == explained("stop_timeout", environ).problems


@pytest.mark.parametrize("name, text", [("NAUTILUS_SECRETS_DIR", "/nonexistent"), ("REDIS_URL", "http://x")])
def test_what_is_wrong_with_a_name_that_is_no_field_is_told_with_it(name: str, text: str) -> None:
    assert [name] == [problem.key for problem in explained(name, {**NODE, name: text}).problems]


def test_a_preset_with_a_slip_is_told_and_all_else_holds_under_the_one_that_was_meant() -> None:
    result = call("execution", NAUTILUS_PRESET="sandbx")
    assert 2 == result.exit_code
    assert "*  preset sandbox  SIMULATED" in result.stdout
    assert "error: NAUTILUS_PRESET is 'sandbx', expected one of production, testnet, sandbox" in result.stderr


def test_a_preset_that_nobody_can_guess_ends_with_2_as_the_layers_are_not_known() -> None:
    result = call("redis.port", NAUTILUS_PRESET="x")
    assert (2, "") == (result.exit_code, result.stdout)
    assert "error: NAUTILUS_PRESET is 'x', expected one of production, testnet, sandbox" in result.stderr


# --- the command -----------------------------------------------------------------------------------------------------


def test_several_settings_are_told_in_the_order_in_which_they_were_asked_for() -> None:
    result = call("redis.timeout", "NAUTILUS_TRADER_ID", "BYBIT_DEMO", **NODE)
    heads = ("REDIS_TIMEOUT  redis.timeout", "NAUTILUS_TRADER_ID  trader_id", "BYBIT_ENVIRONMENT  bybit.environment")
    places = [result.stdout.index(head) for head in heads]
    assert sorted(places) == places
    assert 0 == result.exit_code


def test_one_name_that_is_none_does_not_hide_the_others() -> None:
    result = call("REDIS_PROT", "redis.timeout", "nothing.at.all", **NODE)
    assert 2 == result.exit_code
    assert "REDIS_TIMEOUT  redis.timeout" in result.stdout
    assert "error: REDIS_PROT is no setting" == result.stderr.splitlines()[0]
    assert "2 errors, exit 2; more: tradingnode explain TN203" == result.stderr.splitlines()[-1]


def test_all_that_there_is_to_say_of_a_setting_is_printed() -> None:
    text = call("bybit.proxy_url", **NODE).stdout
    variable = variables()["BYBIT_PROXY_URL"]
    assert text.startswith(f"BYBIT_PROXY_URL  bybit.proxy_url\n{variable.description}\n\naccepted ")
    for fact in (
        f"accepted      {variable.accepted}",
        "default       unset",
        f"example       BYBIT_PROXY_URL={variable.example}",
        "also as       BYBIT_PROXY_URL_FILE",
        "former names  BYBIT_HTTP_PROXY_URL, BYBIT_WS_PROXY_URL",
    ):
        assert fact in text.splitlines()


def test_json_has_all_of_it_and_no_secret() -> None:
    environ = {**NODE, **BINANCE, "REDIS_PORT": "0", "NAUTILUS_ENVIRONMENT": "LIVE"}
    result = call("--json", "redis.port", "binance.api_secret", **environ)
    told = json.loads(result.stdout)
    assert (0, True, [], "") == (told["exit_code"], told["ok"], told["problems"], result.stderr)
    assert ["REDIS_PORT", "BINANCE_API_SECRET"] == list(told["explained"])
    port, key = told["explained"].values()
    (problem,) = port.pop("problems")
    assert ("TN401", "REDIS_PORT") == (problem["code"], problem["key"])
    place = {"source": ENVIRONMENT, "key": "REDIS_PORT", "file": None, "line": None, "column": None}
    assert {
        "key": "REDIS_PORT",
        "path": "redis.port",
        "description": "Port of the Redis server.",
        "accepted": "a whole number from 1 to 65535",
        "choices": [],
        "default": "6379",
        "required": False,
        "secret": False,
        "tier": "essential",
        "example": None,
        "names": ["REDIS_URL"],
        "former_names": [],
        "unused_by": ["recorder"],
        "layers": [
            {"value": "0", "origin": place, "applies": True},
            {"value": "6379", "origin": None, "applies": False},
        ],
    } == port
    assert (True, [f"*** (sha256:{digest(API_SECRET)}) for LIVE"]) == (
        key["secret"],
        [layer["value"] for layer in key["layers"]],
    )
    assert {"BINANCE_ED25519_API_SECRET", "BINANCE_FUTURES_API_SECRET"} <= set(key["former_names"])


@pytest.mark.parametrize(
    "key, default, required, example",
    [
        ("trader_id", None, True, "TRADER-001"),
        ("redis.port", "6379", False, None),
        ("bybit.proxy_url", "", False, "http://proxy.example:3128"),
        ("binance.api_key", "", False, None),  # no example of a secret
    ],
)
def test_json_tells_no_default_from_an_empty_one(key: str, default: str | None, required: bool, example: str) -> None:
    found = explained(key, {}).to_dict()
    assert (default, required, example) == (found["default"], found["required"], found["example"])


def test_json_of_a_setting_has_choices_default_and_place_in_a_file() -> None:
    written(".env", "\n  NAUTILUS_ROTATION_MODE=time\n")
    told = json.loads(call("--json", "rotation_mode", "streaming.rotation_mode", **NODE).stdout)
    assert (2, False, ["TN203"]) == (told["exit_code"], told["ok"], [one["code"] for one in told["problems"]])
    found = told["explained"]["NAUTILUS_ROTATION_MODE"]
    assert (["NONE", "SIZE", "TIME"], "SIZE") == (found["choices"], found["default"])
    place = {"source": ".env", "key": "NAUTILUS_ROTATION_MODE", "file": ".env", "line": 2, "column": 3}
    assert {"value": "time", "origin": place, "applies": True} == found["layers"][0]


@pytest.mark.parametrize("code", kinds())
def test_the_page_of_each_kind_of_problem_is_printed_by_its_code_in_any_form(code: str) -> None:
    expected = (0, page(kinds()[code]), "")
    for key in (code, code.lower(), code[2:]):
        result = call(key)
        assert expected == (result.exit_code, result.stdout, result.stderr)


def test_a_page_needs_no_settings_whatever_the_environment_says() -> None:
    code = next(iter(kinds()))
    assert 0 == call(code, NAUTILUS_PRESET="testnett", NAUTILUS_SECRETS_DIR="/nonexistent").exit_code


@pytest.mark.parametrize("code", ["TN999", "tn000", "999"])
def test_a_code_that_no_problem_has_is_a_usage_error(code: str) -> None:
    assert f"TN{code[-3:]}" not in kinds()
    result, as_json = call(code), call("--json", code)
    (problem,) = json.loads(as_json.stdout)["problems"]
    assert (2, "", 2) == (result.exit_code, result.stdout, as_json.exit_code)
    assert ("TN203", "CODE", f"TN{code[-3:]} is not the code of a problem") == (
        problem["code"],
        problem["key"],
        problem["message"],
    )
    assert "`tradingnode check`" in problem["fix"]
    assert problem["message"] in result.stderr


def test_codes_and_settings_may_be_asked_for_together() -> None:
    code = next(iter(kinds()))
    told = json.loads(call("--json", "redis.port", code.lower(), **NODE).stdout)
    assert {"REDIS_PORT", code} == told["explained"].keys()
    assert kinds()[code].to_dict() == told["explained"][code]


@pytest.mark.parametrize("key", ["redis.port", "BINANCE_API_KEY", "NAUTILUS_PRESET"])
def test_explain_imports_no_nautilus(key: str) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(Path.cwd()), "PYTHONPATH": str(ROOT), **NODE, **BINANCE}
    ran = subprocess.run(
        [sys.executable, "-m", "config", "explain", key],
        env={**environ, "PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in ran.stderr.splitlines()}
    assert 0 == ran.returncode
    assert "pydantic" in imported
    assert set() == imported & {"nautilus_trader", "redis", "msgspec"}
    assert CANARY not in ran.stdout + ran.stderr


def test_an_origin_is_compared_without_its_column() -> None:
    """By its place a key is found again among the settings."""
    assert Origin("a", "b", 1, 1) == Origin("a", "b", 1, 5)
