"""Former names keep working wherever they stand, each with one warning and never against the current name; --fix renames them."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner, Result

from config.cli import cli
from config.models import TradingNodeSettings
from config.problems import ConfigError, Origin, Problem
from config.settings.former import modernise
from config.settings.gathering import Gathered, gather
from config.settings.judging import judge
from config.settings.layers import Merged
from config.settings.sources import Entry, Source
from config.settings.variables import KEY_NAMES, former_names, secret_names, variables
from tests.key_generators import binance_hmac_pair
from tests.said import Said

FORMER = former_names()
SECRET = sorted(name for name in FORMER if name in secret_names())
# Every secret here holds this, and no output may.
CANARY = "canary7f3a9"
KEY, API_SECRET = (CANARY + text[len(CANARY) :] for text in binance_hmac_pair(Random("former")))
PROXY = f"http://me:{CANARY}@proxy.internal:3128"
NODE = {"NAUTILUS_TRADER_ID": "TRADER-001", "HOME": "/home/trader", "REDIS_HOST": "localhost"}
# One name of each kind: a number, a word, a secret with two former names, a key, and a key of one environment alone.
EXAMPLES = {
    "NAUTILUS_TIMEOUT_CONNECTION": "77",
    "NAUTILUS_LOG_FILE_FORMAT": "json",
    "BINANCE_HTTP_PROXY_URL": PROXY,
    "BINANCE_FUTURES_API_KEY": KEY,
    "BINANCE_TESTNET_ED25519_API_SECRET": API_SECRET,
}
PLACES = ("file", "environment", "_FILE in the file", "_FILE in the environment", "secrets directory", "small letters")
OPEN_PLACES = PLACES[:2]


def gathered_of(said: Said) -> Gathered:
    return gather(**said.given())


def text_of(name: str) -> str:
    """Return what may stand in ``name``."""
    path = current(name).partition(".")[2]
    return {"api_key": KEY, "api_secret": API_SECRET, "proxy_url": PROXY, "log_format": "json"}.get(path, "77")


def current(name: str) -> str:
    """Return the path of what ``name`` once named, after the models and the adapters' names alone."""
    now = FORMER[name]
    keys = {key.name: f"{key.venue}.{key.part}" for key in KEY_NAMES}
    return keys.get(now) or variables()[now].path


def heard(gathered: Gathered) -> list[Any]:
    """Return what was understood, without the places; what every test says is left out."""
    merged = gathered.merged
    said_always = ("trader_id", "redis.host", "secrets_dir")
    values = [(path, value.value) for path, value in merged.values.items() if path not in said_always]
    keys = [(key.venue, key.part, key.environment, key.value, key.own, key.account_types) for key in merged.keys]
    return [*values, *keys]


def origins(merged: Merged, path: str) -> list[Origin]:
    """Return where the setting at ``path`` was heard; of keys, where each of them was."""
    return [merged.values[path].origin] if path in merged.values else [key.origin for key in merged.keys]


def told(gathered: Gathered) -> list[str]:
    return [f"{problem.code} {problem.key}" for problem in gathered.problems]


def test_there_are_former_names_and_none_is_a_current_one() -> None:
    assert set(EXAMPLES) <= FORMER.keys()
    assert set() == FORMER.keys() & set(FORMER.values())


@pytest.mark.parametrize(
    "name, place", [(name, place) for name in FORMER for place in (PLACES if name in SECRET else OPEN_PLACES)]
)
def test_a_former_name_is_heard_as_the_current_one_with_one_warning(tmp_path: Path, name: str, place: str) -> None:
    (tmp_path / "now").mkdir()
    said, said_now = Said(tmp_path, NODE), Said(tmp_path / "now", NODE)
    said.say(place, name, text_of(name))
    said_now.say(place, FORMER[name], text_of(name))
    former, now = gathered_of(said), gathered_of(said_now)
    assert 1 == len(heard(now))
    assert heard(now) == heard(former)
    assert [] == told(now)
    (problem,) = former.problems
    spelled = name.lower() if place == "small letters" else f"{name}_FILE" if place.startswith("_FILE") else name
    assert ("TN306", spelled) == (problem.code, problem.key)
    assert text_of(name) not in str(problem)


@pytest.mark.parametrize(
    "name, place, expected",
    [
        (
            "NAUTILUS_TIMEOUT_CONNECTION",
            "file",
            "NAUTILUS_TIMEOUT_CONNECTION is the former name of NAUTILUS_CONNECTION_TIMEOUT"
            " -> rename it to NAUTILUS_CONNECTION_TIMEOUT; `tradingnode check --fix` does that",
        ),
        (
            "NAUTILUS_TIMEOUT_CONNECTION",
            "environment",
            "NAUTILUS_TIMEOUT_CONNECTION is the former name of NAUTILUS_CONNECTION_TIMEOUT"
            " -> rename it to NAUTILUS_CONNECTION_TIMEOUT",
        ),
        (
            "BINANCE_WS_PROXY_URL",
            "_FILE in the file",
            "BINANCE_WS_PROXY_URL_FILE is the former name of BINANCE_PROXY_URL_FILE"
            " -> rename it to BINANCE_PROXY_URL_FILE; `tradingnode check --fix` does that",
        ),
        (
            "BINANCE_WS_PROXY_URL",
            "_FILE in the environment",
            "BINANCE_WS_PROXY_URL_FILE is the former name of BINANCE_PROXY_URL_FILE"
            " -> rename it to BINANCE_PROXY_URL_FILE",
        ),
        (
            "BINANCE_ED25519_API_KEY",
            "secrets directory",
            "BINANCE_ED25519_API_KEY is the former name of BINANCE_API_KEY -> rename it to BINANCE_API_KEY",
        ),
        (
            "BINANCE_ED25519_API_KEY",
            "small letters",
            "binance_ed25519_api_key is the former name of binance_api_key -> rename it to binance_api_key",
        ),
    ],
)
def test_the_warning_names_the_current_name_as_that_place_would_spell_it(
    tmp_path: Path, name: str, place: str, expected: str
) -> None:
    said = Said(tmp_path, NODE)
    origin = said.say(place, name, text_of(name))
    (problem,) = gathered_of(said).problems
    message, _, fix = expected.partition(" -> ")
    new = message.rpartition(" ")[2]
    assert Problem("TN306", origin.key, message, fix, (new,), origin) == problem


def test_sources_without_a_former_name_stay_the_very_same() -> None:
    sources = (Source("a", {"REDIS_HOST": Entry("redis", Origin("a", "REDIS_HOST"))}), Source("b"))
    assert (sources, ()) == modernise(sources)


def test_what_else_stands_in_a_source_stays_there(tmp_path: Path) -> None:
    said = Said(tmp_path, NODE)
    said.say("file", "NAUTILUS_TIMEOUT_CONNECTION", "77")
    said.say("file", "REDIS_PORT", "0")
    said.say("file", "REDIS_PROT", "0")
    settings, problems = judge(TradingNodeSettings, gathered_of(said))
    assert settings is not None
    assert 77 == settings.connection_timeout
    assert ["TN306", "TN401", "TN305"] == [problem.code for problem in problems]


# --- beside the current name -----------------------------------------------------------------------------------------

EVERYWHERE = ("file", "secrets directory", "environment")


def pairs(name: str) -> list[tuple[str, str]]:
    places = EVERYWHERE if name in SECRET else OPEN_PLACES
    return [(old, new) for old in places for new in places]


BOTH = [(name, old, new) for name in EXAMPLES for old, new in pairs(name)]


@pytest.mark.parametrize("name, old, new", BOTH)
def test_the_current_name_wins_wherever_each_stands_if_both_say_the_same(
    tmp_path: Path, name: str, old: str, new: str
) -> None:
    said = Said(tmp_path, NODE)
    former = said.say(old, name, EXAMPLES[name])
    now = said.say(new, FORMER[name], EXAMPLES[name])
    gathered = gathered_of(said)
    merged = gathered.merged
    assert [now] == origins(merged, current(name))
    assert {} == merged.overridden
    (problem,) = gathered.problems
    assert ("TN306", former) == (problem.code, problem.origin)


@pytest.mark.parametrize("name, old, new", BOTH)
def test_two_values_are_an_error_wherever_each_stands_and_the_current_name_is_heard(
    tmp_path: Path, name: str, old: str, new: str
) -> None:
    said = Said(tmp_path, NODE)
    other = {"NAUTILUS_LOG_FILE_FORMAT": "text", "NAUTILUS_TIMEOUT_CONNECTION": "78"}.get(name, f"{CANARY}other")
    former = said.say(old, name, other)
    now = said.say(new, FORMER[name], EXAMPLES[name])
    gathered = gathered_of(said)
    message = f"{name} and {FORMER[name]} ({now}) name the same setting and have different values"
    fix = f"set {FORMER[name]} to the value that you mean, and remove the former name"
    assert (Problem("TN416", name, message, fix, origin=former),) == gathered.problems
    assert 4 == gathered.problems[0].exit_code
    merged = gathered.merged
    assert [now] == origins(merged, current(name))
    assert CANARY not in str(gathered.problems)


def test_a_contradiction_ends_the_loading_of_settings_with_4(tmp_path: Path) -> None:
    said = Said(tmp_path, NODE)
    said.say("file", "NAUTILUS_TIMEOUT_CONNECTION", "77")
    said.say("environment", "NAUTILUS_CONNECTION_TIMEOUT", "78")
    with pytest.raises(ConfigError) as caught:
        TradingNodeSettings.from_env(**said.given())
    assert (4, ["TN416"]) == (caught.value.exit_code, [one.code for one in caught.value.problems if one.is_error])


def test_an_empty_current_name_is_unset_and_so_is_an_empty_former_one(tmp_path: Path) -> None:
    said = Said(tmp_path, NODE)
    said.say("file", "NAUTILUS_TIMEOUT_CONNECTION", "77")
    said.say("environment", "NAUTILUS_CONNECTION_TIMEOUT", "")
    said.say("environment", "NAUTILUS_TIMEOUT_RECONCILIATION", "")
    gathered = gathered_of(said)
    assert "77" == gathered.merged.values["connection_timeout"].value
    assert ["TN306 NAUTILUS_TIMEOUT_CONNECTION"] == told(gathered)


def test_a_former_name_keeps_its_place_among_the_layers(tmp_path: Path) -> None:
    """Two sources that both have the former name: the higher one wins, and each is told."""
    said = Said(tmp_path, NODE)
    low = said.say("file", "NAUTILUS_TIMEOUT_CONNECTION", "77")
    high = said.say("environment", "NAUTILUS_TIMEOUT_CONNECTION", "77")
    merged = gathered_of(said).merged
    assert high == merged.values["connection_timeout"].origin
    assert [low] == [value.origin for value in merged.overridden["connection_timeout"]]
    assert ["TN306 NAUTILUS_TIMEOUT_CONNECTION"] * 2 == told(gathered_of(said))


def test_a_key_takes_the_environment_of_the_source_where_the_current_name_stands(tmp_path: Path) -> None:
    """The former name in the shell says the same key; the flag beside the current one says that it is for the testnet."""
    said = Said(tmp_path, NODE)
    said.say("environment", "BINANCE_FUTURES_API_KEY", KEY)
    said.say("file", "BINANCE_API_KEY", KEY)
    said.say("file", "BINANCE_TESTNET", "true")
    assert ["TESTNET"] == [key.environment for key in gathered_of(said).merged.keys]


TWO = [("BINANCE_HTTP_PROXY_URL", "BINANCE_WS_PROXY_URL"), ("BINANCE_ED25519_API_KEY", "BINANCE_FUTURES_API_KEY")]


@pytest.mark.parametrize("one, other", TWO)
@pytest.mark.parametrize("place", EVERYWHERE)
@pytest.mark.parametrize("other_place", EVERYWHERE)
def test_two_former_names_of_one_setting_may_say_the_same(
    tmp_path: Path, one: str, other: str, place: str, other_place: str
) -> None:
    assert FORMER[one] == FORMER[other]
    said = Said(tmp_path, NODE)
    said.say(place, one, text_of(one))
    said.say(other_place, other, text_of(one))
    gathered = gathered_of(said)
    assert sorted([f"TN306 {one}", f"TN306 {other}"]) == sorted(told(gathered))
    assert {text_of(one)} == {value.get_secret_value() for _, value, *_ in _secrets(gathered)}


def _secrets(gathered: Gathered) -> list[tuple[str, Any]]:
    merged = gathered.merged
    values = [(path, value.value) for path, value in merged.values.items() if path.endswith("proxy_url")]
    return [*values, *((key.part, key.value) for key in merged.keys)]


@pytest.mark.parametrize("one, other", TWO)
@pytest.mark.parametrize("place", EVERYWHERE)
@pytest.mark.parametrize("other_place", EVERYWHERE)
def test_two_former_names_of_one_setting_that_differ_are_an_error(
    tmp_path: Path, one: str, other: str, place: str, other_place: str
) -> None:
    said = Said(tmp_path, NODE)
    places = {said.say(place, one, f"{CANARY}one"), said.say(other_place, other, f"{CANARY}other")}
    found = gathered_of(said).problems
    assert {"TN416"} == {problem.code for problem in found}
    assert places == {problem.origin for problem in found}
    assert all(one in problem.message and other in problem.message for problem in found)
    assert CANARY not in str(found)


@pytest.mark.parametrize("one, other", TWO)
def test_of_two_former_names_that_differ_the_fix_names_the_current_one(tmp_path: Path, one: str, other: str) -> None:
    said = Said(tmp_path, NODE)
    said.say("file", one, f"{CANARY}one")
    said.say("file", other, f"{CANARY}other")
    assert all(FORMER[one] in problem.fix for problem in gathered_of(said).problems)


def test_both_former_names_are_held_against_the_current_one(tmp_path: Path) -> None:
    said = Said(tmp_path, NODE)
    said.say("file", "BYBIT_HTTP_PROXY_URL", PROXY)
    said.say("file", "BYBIT_WS_PROXY_URL", f"{PROXY}0")
    said.say("file", "BYBIT_PROXY_URL", PROXY)
    assert ["TN306 BYBIT_HTTP_PROXY_URL", "TN416 BYBIT_WS_PROXY_URL"] == told(gathered_of(said))


# --- the warning of a script -----------------------------------------------------------------------------------------


def test_a_script_hears_the_warning_once_through_logging(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    said = Said(tmp_path, NODE)
    said.say("file", "BYBIT_WS_PROXY_URL", PROXY)
    said.say("file", "NAUTILUS_VENUES", "BYBIT")
    with caplog.at_level(logging.DEBUG):
        settings = TradingNodeSettings.from_env(**said.given())
    assert settings.bybit is not None
    assert settings.bybit.proxy_url is not None
    assert PROXY == settings.bybit.proxy_url.get_secret_value()
    assert [
        (
            "config",
            logging.WARNING,
            "BYBIT_WS_PROXY_URL is the former name of BYBIT_PROXY_URL; rename it to BYBIT_PROXY_URL;"
            " `tradingnode check --fix` does that",
        )
    ] == caplog.record_tuples
    assert ["TN306"] == [problem.code for problem in settings.warnings]


# --- check --fix -----------------------------------------------------------------------------------------------------


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder as working directory and home, nothing of ours in the environment, and no secrets directory."""
    for name in list(os.environ):
        if name.startswith(("NAUTILUS_", "BINANCE_", "BYBIT_", "REDIS_", "XDG_")):
            monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    (tmp_path / "none").mkdir()
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NAUTILUS_SECRETS_DIR", str(tmp_path / "none"))
    monkeypatch.chdir(folder)
    return folder


def call(*arguments: str, **environ: str) -> Result:
    result = CliRunner().invoke(cli, arguments, env=environ)
    assert CANARY not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def content(folder: Path) -> dict[str, str]:
    # Not read_text, which would hide the line ends.
    return {path.name: path.read_bytes().decode() for path in folder.iterdir()}


BEFORE = f"""# My node. BINANCE_WS_PROXY_URL was once two.
NAUTILUS_TRADER_ID=TRADER-001

  export NAUTILUS_TIMEOUT_CONNECTION = "77"  # NAUTILUS_TIMEOUT_CONNECTION, as ever\r
BINANCE_WS_PROXY_URL='{PROXY}'
#NAUTILUS_LOG_FILE_FORMAT=json
NAUTILUS_LOG_FILE_FORMAT=json
BINANCE_TESTNET_ED25519_API_SECRET_FILE=secret.pem
REDIS_HOST=localhost
NAUTILUS_LOG_FILE_NAME=NAUTILUS_TIMEOUT_CONNECTION
NAUTILUS_VENUES=BYBIT"""
AFTER = f"""# My node. BINANCE_WS_PROXY_URL was once two.
NAUTILUS_TRADER_ID=TRADER-001

  export NAUTILUS_CONNECTION_TIMEOUT = "77"  # NAUTILUS_TIMEOUT_CONNECTION, as ever\r
BINANCE_PROXY_URL='{PROXY}'
#NAUTILUS_LOG_FILE_FORMAT=json
NAUTILUS_LOG_FORMAT=json
BINANCE_TESTNET_API_SECRET_FILE=secret.pem
REDIS_HOST=localhost
NAUTILUS_LOG_FILE_NAME=NAUTILUS_TIMEOUT_CONNECTION
NAUTILUS_VENUES=BYBIT"""
OLD_NAMES = {4: "NAUTILUS_TIMEOUT_CONNECTION", 5: "BINANCE_WS_PROXY_URL", 7: "NAUTILUS_LOG_FILE_FORMAT"}
OK = "ok: TRADER-001, preset none: BYBIT LIVE (data only), Redis localhost:6379\n"


@pytest.fixture
def env(here: Path) -> Path:
    """A ``.env`` with former names in it, for its owner only."""
    path = here / ".env"
    path.touch(0o600)
    secret = here.parent / "home" / "secret.pem"
    secret.write_text(API_SECRET)
    secret.chmod(0o600)
    path.write_bytes(BEFORE.replace("secret.pem", str(secret)).encode())
    return path


def expected(env: Path) -> tuple[str, str]:
    """Return the text before and after."""
    secret = str(env.parents[1] / "home" / "secret.pem")
    return BEFORE.replace("secret.pem", secret), AFTER.replace("secret.pem", secret)


def test_without_fix_the_file_is_left_alone(env: Path) -> None:
    result = call("check")
    before, _ = expected(env)
    assert (0, OK, {".env": before}) == (result.exit_code, result.stdout, content(env.parent))
    assert 4 == result.stderr.count("warning: ")
    assert 4 == result.stderr.count("`tradingnode check --fix` does that")


def test_fix_renames_in_place_and_keeps_what_was_for_its_owner(env: Path) -> None:
    old = os.umask(0)
    try:
        result = call("check", "--fix")
    finally:
        os.umask(old)
    before, after = expected(env)
    assert (0, OK) == (result.exit_code, result.stdout)
    assert {".env": after, ".env.bak": before} == content(env.parent)
    assert [0o600, 0o600] == [path.stat().st_mode & 0o777 for path in (env, env.with_name(".env.bak"))]
    assert [
        *(f".env line {line}: {name} renamed to {FORMER[name]}" for line, name in OLD_NAMES.items()),
        ".env line 8: BINANCE_TESTNET_ED25519_API_SECRET_FILE renamed to BINANCE_TESTNET_API_SECRET_FILE",
        ".env as it was: .env.bak",
    ] == result.stderr.splitlines()


def test_a_second_fix_changes_nothing(env: Path) -> None:
    call("check", "--fix")
    once, status = content(env.parent), env.stat()
    again = call("check", "--fix")
    assert (0, OK, "") == (again.exit_code, again.stdout, again.stderr)
    assert once == content(env.parent)
    assert (status.st_ino, status.st_mtime_ns) == (env.stat().st_ino, env.stat().st_mtime_ns)


@pytest.mark.parametrize(
    "line, arguments, before, after",
    [
        ("", ("--strict",), 3, 0),
        ("", ("--strict", "--json"), 3, 0),
        ("REDIS_PORT=0", ("--strict",), 4, 4),
        ("NAUTILUS_PRESET=testnet", (), 5, 5),
        ("NAUTILUS_PRESET=testnett", (), 5, 5),
        ("NAUTILUS_RECONCILIATION_LOOKBACK_MINS=60", ("--strict",), 3, 3),
    ],
)
def test_the_exit_code_is_that_of_the_file_as_it_is_now(
    env: Path, line: str, arguments: tuple[str, ...], before: int, after: int
) -> None:
    env.write_bytes(env.read_bytes() + f"\n{line}\n".encode())
    assert before == call("check", *arguments).exit_code
    assert after == call("check", "--fix", *arguments).exit_code
    assert after == call("check", *arguments).exit_code


def test_json_stays_one_object_on_stdout_and_what_was_renamed_goes_to_stderr(env: Path) -> None:
    result = call("check", "--fix", "--json")
    found = json.loads(result.stdout)
    assert (0, True, []) == (found["exit_code"], found["ok"], found["problems"])
    assert 5 == len(result.stderr.splitlines())
    assert expected(env)[1] == content(env.parent)[".env"]


def test_a_former_name_beside_the_current_one_goes_if_it_says_the_same(here: Path) -> None:
    path = here / ".env"
    rest = (
        "NAUTILUS_TRADER_ID=TRADER-001\nNAUTILUS_CONNECTION_TIMEOUT=77\nNAUTILUS_VENUES=BYBIT\nREDIS_HOST=localhost\n"
    )
    path.write_text(f"NAUTILUS_TIMEOUT_CONNECTION=77\n{rest}")
    result = call("check", "--fix")
    assert (0, OK, rest) == (result.exit_code, result.stdout, path.read_text())
    line = ".env line 1: NAUTILUS_TIMEOUT_CONNECTION removed: NAUTILUS_CONNECTION_TIMEOUT has the same value"
    assert [line, ".env as it was: .env.bak"] == result.stderr.splitlines()


def test_a_former_name_that_contradicts_the_current_one_stays_and_is_told(here: Path) -> None:
    path = here / ".env"
    text = "NAUTILUS_TRADER_ID=T-1\nNAUTILUS_TIMEOUT_CONNECTION=77\nNAUTILUS_CONNECTION_TIMEOUT=78\n"
    path.write_text(text)
    result = call("check", "--fix")
    assert (4, "", {".env": text}) == (result.exit_code, result.stdout, content(here))
    assert result.stderr.startswith(
        "error: NAUTILUS_TIMEOUT_CONNECTION and NAUTILUS_CONNECTION_TIMEOUT (.env line 3) name the same setting"
    )


def test_every_file_that_is_named_is_renamed_in_and_one_that_is_missing_is_a_usage_error(here: Path) -> None:
    for number, name in enumerate(("NAUTILUS_TIMEOUT_CONNECTION", "NAUTILUS_TIMEOUT_RECONCILIATION")):
        (here / f"{number}.env").write_text(f"{name}=77\n")
    (here / ".env").write_text("NAUTILUS_LOG_FILE_FORMAT=json\n")
    result = call("check", "--fix", "--env-file", "0.env", "--env-file", "1.env", "--env-file", "missing.env")
    assert 2 == result.exit_code
    assert "error: missing.env does not exist" in result.stderr
    found = content(here)
    assert ("NAUTILUS_CONNECTION_TIMEOUT=77\n", "NAUTILUS_RECONCILIATION_TIMEOUT=77\n") == (
        found["0.env"],
        found["1.env"],
    )
    assert "NAUTILUS_LOG_FILE_FORMAT=json\n" == found[".env"], "nobody named it"
    assert {"0.env", "0.env.bak", "1.env", "1.env.bak", ".env"} == found.keys()


def test_a_default_file_that_is_not_there_needs_no_fix(here: Path) -> None:
    result = call("check", "--fix", **{**NODE, "NAUTILUS_VENUES": "BYBIT"})
    assert (0, OK, "", {}) == (result.exit_code, result.stdout, result.stderr, content(here))


def test_a_former_name_in_the_process_environment_is_told_and_cannot_be_fixed(env: Path) -> None:
    result = call("check", "--fix", NAUTILUS_TIMEOUT_CONNECTION="77")
    assert 0 == result.exit_code
    assert ["warning: NAUTILUS_TIMEOUT_CONNECTION is the former name of NAUTILUS_CONNECTION_TIMEOUT"] == [
        line for line in result.stderr.splitlines() if line.startswith("warning: ")
    ]
    assert "--fix" not in result.stderr
    assert expected(env)[1] == content(env.parent)[".env"]


def refuse_to_create(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer as the system does in a folder that may not be written; root may write everywhere."""
    real = os.open

    def refuse(path: Any, flags: int, *mode: int, **more: Any) -> int:
        if flags & os.O_CREAT and ".env." in str(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, flags, *mode, **more)

    monkeypatch.setattr(os, "open", refuse)


def not_utf_8(env: Path) -> None:
    env.write_bytes(b"# \xe9\n" + env.read_bytes())


def too_large(env: Path) -> None:
    env.write_bytes(env.read_bytes() + b"\n#" * 40_000)


def a_loop(env: Path) -> None:
    env.unlink()
    env.symlink_to(".env")


@pytest.mark.parametrize(
    "spoil, reason",
    [(None, "permission denied"), (not_utf_8, "it is not UTF-8 text"), (too_large, "it is larger than 64 KiB")],
)
def test_a_file_that_cannot_be_rewritten_is_told_and_is_as_it_was(
    env: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None] | None, reason: str
) -> None:
    if spoil is not None:
        spoil(env)
    before = env.read_bytes()
    with monkeypatch.context() as patched:
        if spoil is None:
            refuse_to_create(patched)
        plain, as_json = call("check", "--fix"), call("check", "--fix", "--json")
    assert (4, 4, "", "") == (plain.exit_code, as_json.exit_code, plain.stdout, as_json.stderr)
    (problem,) = json.loads(as_json.stdout)["problems"]
    assert ("TN404", ".env") == (problem["code"], problem["key"])
    assert f".env cannot be rewritten: {reason}" == problem["message"].replace("Permission", "permission")
    assert "mend that, or rename by hand; the file is as it was" == problem["fix"]
    assert problem["message"] in plain.stderr
    assert [".env"] == [path.name for path in env.parent.iterdir()]
    assert before == env.read_bytes()


def test_a_link_to_itself_is_told_like_any_file_that_cannot_be_rewritten(env: Path) -> None:
    a_loop(env)
    result = call("check", "--fix", "--env-file", ".env")
    assert 4 == result.exit_code
    assert result.stderr.startswith("error: .env cannot be rewritten: ")
