"""The command line: exit codes, one JSON object, results on stdout and all else on stderr, and no secret anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from config.cli import cli
from config.reference import as_env, as_json_schema, as_markdown

CANARY = "canary-7f3a9"
ROOT = Path(__file__).parents[1]
KEYS = {
    "BINANCE_FUTURES_TESTNET_API_KEY": f"{CANARY}-key",
    "BINANCE_FUTURES_TESTNET_API_SECRET": f"{CANARY}-secret",
    "REDIS_PASSWORD": f"{CANARY}-password",
    "BINANCE_PROXY_URL": f"http://me:{CANARY}@proxy.example:3128",
}
TESTNET = {"NAUTILUS_TRADER_ID": "TRADER-001", "NAUTILUS_PRESET": "testnet", **KEYS}
BAD = {**TESTNET, "NAUTILUS_LOG_LEVEL": "CRITICAL", "REDIS_PORT": "0", "BINANCE_TESTNET": "maybe"}


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only what a test sets is in the environment; the working directory and the home are empty."""
    for name in list(os.environ):
        if name.startswith(("NAUTILUS_", "BINANCE_", "BYBIT_", "REDIS_", "NO_COLOR", "FORCE_COLOR", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def call(*arguments: str, **environ: str) -> Result:
    result = CliRunner().invoke(cli, arguments, env=environ)
    assert CANARY not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def process(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m config`` with nothing else in its environment."""
    command = [sys.executable, "-m", "config", *arguments]
    env = {"PATH": os.environ["PATH"], "HOME": str(Path.cwd()), "PYTHONPATH": str(ROOT), **environ}
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert CANARY not in ran.stdout + ran.stderr
    return ran


def heads(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("error: ", "warning: "))]


# --- check -----------------------------------------------------------------------------------------------------------


def test_check_says_in_one_line_on_stdout_what_would_run() -> None:
    result = call("check", **TESTNET)
    assert (0, "ok: TRADER-001, preset testnet: BINANCE TESTNET, Redis localhost:6379\n", "") == (
        result.exit_code,
        result.stdout,
        result.stderr,
    )


@pytest.mark.parametrize(
    "arguments, environ, line",
    [
        (
            ("-p", "sandbox"),
            {"NAUTILUS_VENUES": "BYBIT"},
            "ok: T-1, preset sandbox: BYBIT LIVE, simulated execution, no Redis",
        ),
        ((), {"NAUTILUS_VENUES": "BYBIT"}, "ok: T-1, preset none: BYBIT LIVE (data only), no Redis"),
        ((), {}, "ok: T-1, preset none: no venue, no Redis"),
    ],
)
def test_check_tells_simulation_and_data_only_apart(
    arguments: tuple[str, ...], environ: dict[str, str], line: str
) -> None:
    result = call("check", *arguments, NAUTILUS_TRADER_ID="T-1", **environ)
    assert (0, line) == (result.exit_code, result.stdout.strip())


@pytest.mark.parametrize(
    "arguments, environ, code",
    [
        ((), {}, 4),
        (("-p", "production"), {"NAUTILUS_TRADER_ID": "T-1"}, 8),
        (("--preset", "testnet"), {"NAUTILUS_TRADER_ID": "T-1"}, 5),
        (("--preset", "testnett"), {"NAUTILUS_TRADER_ID": "T-1"}, 2),
        (("--env-file", "missing.env"), {"NAUTILUS_TRADER_ID": "T-1"}, 2),
        (("--unknown",), {}, 2),
        ((), {"NAUTILUS_TRADER_ID": "T-1", "NAUTILUS_PRESET": "sandbox"}, 4),
        (("--strict",), {"NAUTILUS_TRADER_ID": "T-1", "NAUTILUS_VENUES": "BYBIT"}, 3),
        (("--strict",), {"NAUTILUS_TRADER_ID": "T-1"}, 0),
    ],
)
@pytest.mark.parametrize("command", ["check", "show"])
def test_exit_codes(command: str, arguments: tuple[str, ...], environ: dict[str, str], code: int) -> None:
    assert code == call(command, *arguments, **environ).exit_code


@pytest.mark.parametrize("command", ["check", "show"])
def test_problems_go_to_stderr_all_at_once_and_nothing_to_stdout(command: str) -> None:
    result = call(command, **BAD)
    assert (4, "") == (result.exit_code, result.stdout)
    assert [
        "error: BINANCE_TESTNET is 'maybe', expected true or false",
        "error: REDIS_PORT is '0', expected a whole number from 1 to 65535",
        "error: NAUTILUS_LOG_LEVEL is 'CRITICAL', expected one of TRACE, DEBUG, INFO, WARN, WARNING, ERROR, OFF",
    ] == heads(result.stderr)
    assert result.stderr.endswith("3 errors, exit 4\n")


def test_a_warning_is_told_and_does_not_count_unless_strict() -> None:
    environ = {"NAUTILUS_TRADER_ID": "T-1", "NAUTILUS_VENUES": "BYBIT"}
    lax, strict = call("check", **environ), call("check", "--strict", **environ)
    assert (0, 3) == (lax.exit_code, strict.exit_code)
    assert 1 == len(heads(lax.stderr)) == len(heads(strict.stderr))
    assert lax.stdout.startswith("ok: ")
    assert "" == strict.stdout


@pytest.mark.parametrize("command", ["check", "show"])
@pytest.mark.parametrize(
    "arguments, environ, ok, code, keys",
    [
        ((), TESTNET, True, 0, []),
        ((), BAD, False, 4, ["BINANCE_TESTNET", "REDIS_PORT", "NAUTILUS_LOG_LEVEL"]),
        ((), {"NAUTILUS_TRADER_ID": "T-1", "NAUTILUS_VENUES": "BYBIT"}, True, 0, ["REDIS_HOST"]),
        (("--strict",), {"NAUTILUS_TRADER_ID": "T-1", "NAUTILUS_VENUES": "BYBIT"}, False, 3, ["REDIS_HOST"]),
        (("-p", "x"), TESTNET, False, 2, ["--preset"]),
    ],
)
def test_json_is_one_object_on_stdout_with_the_same_exit_code(
    command: str, arguments: tuple[str, ...], environ: dict[str, str], ok: bool, code: int, keys: list[str]
) -> None:
    result = call(command, "--json", *arguments, **environ)
    told: dict[str, Any] = json.loads(result.stdout)
    assert (code, code, ok, "") == (result.exit_code, told["exit_code"], told["ok"], result.stderr)
    assert keys == [problem["key"] for problem in told["problems"]]


def test_env_files_may_be_repeated_and_the_later_wins() -> None:
    Path("a.env").write_text("NAUTILUS_TRADER_ID=A-1\nNAUTILUS_PRESET=sandbox\n")
    Path("b.env").write_text("NAUTILUS_TRADER_ID=B-2\nNAUTILUS_VENUES=BYBIT\n")
    result = call("check", "--env-file", "a.env", "--env-file", "b.env")
    assert (0, "ok: B-2, preset sandbox") == (result.exit_code, result.stdout.partition(":")[0] + result.stdout[2:23])


def test_the_env_file_beside_you_is_read_by_default_and_only_then() -> None:
    Path(".env").write_text("NAUTILUS_TRADER_ID=A-1\n")
    Path("other.env").write_text("REDIS_HOST=redis\n")
    assert 0 == call("show").exit_code
    assert 4 == call("show", "--env-file", "other.env").exit_code


# --- show ------------------------------------------------------------------------------------------------------------


def shown(result: Result) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line.split()}


def test_show_says_what_applies_and_where_it_came_from() -> None:
    Path(".env").write_text("\nNAUTILUS_TRADER_ID=TRADER-001\nREDIS_HOST=redis.internal\n")
    table = shown(call("show", **{**TESTNET, "NAUTILUS_TRADER_ID": ""}))
    expected = {
        "NAUTILUS_TRADER_ID": "TRADER-001 .env line 2",
        "REDIS_HOST": "redis.internal .env line 3",
        "REDIS_PASSWORD": "*** process environment",
        "REDIS_PORT": "6379 default",
        "BINANCE_ENVIRONMENT": "TESTNET preset testnet",
        "BINANCE_API_KEY": "*** process environment as BINANCE_FUTURES_TESTNET_API_KEY",
    }
    assert expected == {name: " ".join(table[name]) for name in expected}


def test_show_lists_hosts_that_are_not_the_exchanges_own() -> None:
    result = call("show", **TESTNET, BINANCE_BASE_URL_HTTP="http://127.0.0.1:8900")
    assert "note: 127.0.0.1:8900 is not the exchange's own host (BINANCE_BASE_URL_HTTP)" in result.stdout
    assert "note:" not in call("show", **TESTNET).stdout


def test_show_json_has_value_tier_and_origin_of_each_setting() -> None:
    told = json.loads(call("show", "--json", **TESTNET).stdout)
    assert "testnet" == told["preset"]
    assert {
        "path": "redis.password",
        "value": "***",
        "tier": "essential",
        "origin": {"source": "process environment", "key": "REDIS_PASSWORD", "line": None},
    } == told["settings"]["REDIS_PASSWORD"]
    assert {"path": "redis.port", "value": "6379", "tier": "essential", "origin": None} == told["settings"][
        "REDIS_PORT"
    ]


# --- schema ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ((), as_env()),
        (("--format", "env"), as_env()),
        (("-p", "production"), as_env("production")),
        (("--preset", "sandbox", "--format", "env"), as_env("sandbox")),
        (("--format", "md"), as_markdown()),
        (("--format", "json"), as_json_schema()),
    ],
)
def test_schema_prints_the_reference(arguments: tuple[str, ...], expected: str) -> None:
    result = call("schema", *arguments)
    assert (0, expected, "") == (result.exit_code, result.stdout, result.stderr)


def test_help_lists_the_commands_and_an_unknown_one_is_a_usage_error() -> None:
    text = call("--help").stdout
    assert ["check", "run", "schema", "show"] == [name for name in ("check", "run", "schema", "show") if name in text]
    assert 2 == call("chekc").exit_code


def test_version_is_that_of_the_package() -> None:
    try:
        installed = version("tradingnode-config")
    except PackageNotFoundError:
        pytest.skip("run from a checkout whose package is not installed")
    assert f"tradingnode, version {installed}\n" == call("--version").stdout


# --- real processes --------------------------------------------------------------------------------------------------


def test_a_process_with_bad_settings_ends_with_its_code_before_it_imports_nautilus() -> None:
    ran = process("check", PYTHONPROFILEIMPORTTIME="1", **BAD)
    imported = [line.rpartition("|")[2].strip() for line in ran.stderr.splitlines() if line.startswith("import time:")]
    assert (4, "") == (ran.returncode, ran.stdout)
    assert 3 == len(heads(ran.stderr))
    assert "pydantic" in imported
    assert [] == [
        name for name in imported if name.partition(".")[0] in ("nautilus_trader", "redis", "rich", "msgspec")
    ]


def test_a_process_prints_json_and_no_traceback() -> None:
    ran = process("check", "--json", "-p", "production", **{**TESTNET, "NAUTILUS_ENVIRONMENT": "LIVE"})
    assert (8, 8, "") == (ran.returncode, json.loads(ran.stdout)["exit_code"], ran.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is needed")
@pytest.mark.parametrize("no_color, coloured", [(None, True), ("1", False), ("", True)])
def test_colour_on_a_terminal_only_and_never_with_no_color(no_color: str | None, coloured: bool) -> None:
    import pty

    parent, child = pty.openpty()
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm", "NAUTILUS_TRADER_ID": "PROD"}
    if no_color is not None:
        environ["NO_COLOR"] = no_color
    command = [sys.executable, "-m", "config", "check"]
    ran = subprocess.run(command, env=environ, stdout=subprocess.PIPE, stderr=child, timeout=60, check=False)
    os.close(child)
    told = os.read(parent, 4096).decode()
    os.close(parent)
    assert (4, b"") == (ran.returncode, ran.stdout)
    assert coloured == ("\x1b[" in told)
    assert "NAUTILUS_TRADER_ID is 'PROD'" in told


def test_there_is_no_colour_where_there_is_no_terminal() -> None:
    for command in ("check", "show"):
        result = call(command, **{**TESTNET, "NAUTILUS_RECONCILIATION_LOOKBACK_MINS": "60"})
        assert "\x1b[" not in result.output
        assert "warning: " in result.stderr
