"""The command line: exit codes, one JSON object, results on stdout and all else on stderr, and no secret anywhere."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner, Result

from config.checks.fingerprints import fingerprint
from config.cli import cli
from config.kinds import all_pages, kinds, page
from config.show.reference import as_env, as_json_schema, as_markdown
from tests.key_generators import alphanumeric

# It begins each secret, so that a part of one is found too, and it fits into the shape of a key.
CANARY = "canary7f3a9"
ROOT = Path(__file__).parents[1]
API_KEY, API_SECRET = (CANARY + alphanumeric(Random(part), 64 - len(CANARY)) for part in ("key", "secret"))
KEYS = {
    "BINANCE_FUTURES_TESTNET_API_KEY": API_KEY,
    "BINANCE_FUTURES_TESTNET_API_SECRET": API_SECRET,
    "REDIS_PASSWORD": f"{CANARY}-password",
    "BINANCE_PROXY_URL": f"http://me:{CANARY}@proxy.internal:3128",
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
    return [line for line in text.splitlines() if line.startswith(("error: ", "warning: ", "note: "))]


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
        (
            ("--role", "recorder", "-p", "testnet"),
            {
                "NAUTILUS_VENUES": "BYBIT",
                "NAUTILUS_CATALOG_PATH": "/catalog",
                "BYBIT_INSTRUMENT_IDS": "BTCUSDT-LINEAR.BYBIT",
                "REDIS_HOST": "redis",
            },
            "ok: T-1, recorder, preset testnet: BYBIT TESTNET, no execution, no Redis",
        ),
    ],
)
def test_check_tells_simulation_recording_and_data_only_apart(
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
        (("--preset", "testnett"), {"NAUTILUS_TRADER_ID": "T-1"}, 5),
        (("--preset", "sandbx"), {"NAUTILUS_TRADER_ID": "T-1", "NAUTILUS_VENUES": "BYBIT"}, 2),
        (("--env-file", "missing.env"), {"NAUTILUS_TRADER_ID": "T-1"}, 2),
        (("--unknown",), {}, 2),
        ((), {"NAUTILUS_TRADER_ID": "T-1", "NAUTILUS_PRESET": "sandbox"}, 4),
        (("--strict",), {"NAUTILUS_TRADER_ID": "T-1", "NAUTILUS_VENUES": "BYBIT"}, 3),
        (("--strict",), {"NAUTILUS_TRADER_ID": "T-1"}, 0),
        (("--strict",), {**TESTNET, "BINANCE_BASE_URL_HTTP": "http://127.0.0.1:8900"}, 0),
        (("--role", "recorder"), {"NAUTILUS_TRADER_ID": "T-1", "NAUTILUS_VENUES": "BYBIT"}, 4),
        (("--role", "watcher"), {"NAUTILUS_TRADER_ID": "T-1"}, 2),
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
    assert result.stderr.endswith("\n3 errors, exit 4; more: tradingnode explain TN401\n")


@pytest.mark.parametrize("command", ["check", "show"])
def test_the_last_line_counts_the_problems_and_names_what_explains_them(command: str) -> None:
    environ = {**TESTNET, "REDIS_PORT": "0", "NAUTILUS_LOG_LEVELS": "INFO", "NAUTILUS_LOGLEVEL": "INFO"}
    lines = call(command, **environ, BINANCE_US="1", REDIS_DB="0").stderr.splitlines()
    assert "2 errors, 2 warnings, 1 note, exit 4; more: tradingnode explain " in lines[-1]
    assert {"TN401", "TN305", "TN003", "TN406"} == set(lines[-1].rpartition("explain ")[2].split())
    assert [1] == [number for number, line in enumerate(lines[::-1], 1) if "more: tradingnode explain" in line]


def test_a_warning_is_told_and_does_not_count_unless_strict() -> None:
    environ = {"NAUTILUS_TRADER_ID": "T-1", "NAUTILUS_VENUES": "BYBIT"}
    lax, strict = call("check", **environ), call("check", "--strict", **environ)
    assert (0, 3) == (lax.exit_code, strict.exit_code)
    assert 1 == len(heads(lax.stderr)) == len(heads(strict.stderr))
    assert lax.stdout.startswith("ok: ")
    assert "" == strict.stdout
    assert "1 warning, exit 0; more: tradingnode explain TN303" == lax.stderr.splitlines()[-1]
    assert "1 warning, exit 3; more: tradingnode explain TN303" == strict.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", ["check", "show"])
@pytest.mark.parametrize(
    "arguments, environ, ok, code, keys",
    [
        ((), TESTNET, True, 0, []),
        ((), BAD, False, 4, ["BINANCE_TESTNET", "REDIS_PORT", "NAUTILUS_LOG_LEVEL"]),
        ((), {"NAUTILUS_TRADER_ID": "T-1", "NAUTILUS_VENUES": "BYBIT"}, True, 0, ["REDIS_HOST"]),
        (("--strict",), {"NAUTILUS_TRADER_ID": "T-1", "NAUTILUS_VENUES": "BYBIT"}, False, 3, ["REDIS_HOST"]),
        (("-p", "x"), TESTNET, False, 2, ["--preset"]),
        ((), {**TESTNET, "BINANCE_BASE_URL_WS": "ws://127.0.0.1:8900"}, True, 0, ["BINANCE_BASE_URL_WS"]),
    ],
)
def test_json_is_one_object_on_stdout_with_the_same_exit_code(
    command: str, arguments: tuple[str, ...], environ: dict[str, str], ok: bool, code: int, keys: list[str]
) -> None:
    result = call(command, "--json", *arguments, **environ)
    told: dict[str, Any] = json.loads(result.stdout)
    assert (code, code, ok, "") == (result.exit_code, told["exit_code"], told["ok"], result.stderr)
    assert keys == [problem["key"] for problem in told["problems"]]
    parts = {"code", "key", "severity", "message", "accepted", "fix", "origin", "overrides"}
    assert [] == [problem for problem in told["problems"] if parts != problem.keys()]


def test_check_can_rename_former_names_and_tells_each_line_and_the_backup() -> None:
    Path(".env").write_text(
        f"# mine\nNAUTILUS_TRADER_ID=A-1\nBINANCE_HTTP_PROXY_URL=http://u:{CANARY}@p.internal:1\n"
        "NAUTILUS_PRESET=sandbox\nNAUTILUS_VENUES=BINANCE\n"
    )
    Path(".env").chmod(0o600)
    assert ["TN306"] == [problem["code"] for problem in json.loads(call("check", "--json").stdout)["problems"]]
    result = call("check", "--fix")
    renamed, backup = result.stderr.splitlines()
    assert (0, ".env line 3: BINANCE_HTTP_PROXY_URL renamed to BINANCE_PROXY_URL") == (result.exit_code, renamed)
    assert ["# mine", "NAUTILUS_TRADER_ID=A-1", "BINANCE_PROXY_URL"] == [
        line.partition("=http")[0] for line in Path(".env").read_text().splitlines()[:3]
    ]
    assert "BINANCE_HTTP_PROXY_URL" in Path(backup.removeprefix(".env as it was: ")).read_text()
    again = call("check", "--fix")
    assert (0, "") == (again.exit_code, again.stderr)


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
        "REDIS_PASSWORD": "*** (set) process environment",
        "REDIS_PORT": "6379 default",
        "BINANCE_ENVIRONMENT": "TESTNET preset testnet",
        "BINANCE_API_KEY": f"*** (sha256:{fingerprint(API_KEY)}) process environment as BINANCE_FUTURES_TESTNET_API_KEY",
    }
    assert expected == {name: " ".join(table[name]) for name in expected}


def test_show_says_first_who_runs_and_what_its_columns_are() -> None:
    first, blank, titles, *_ = call("show", **TESTNET).stdout.splitlines()
    assert ("TRADER-001, preset testnet, role trader", "") == (first, blank)
    assert ["setting", "value", "from", "overrides"] == titles.split()


def test_show_says_what_a_value_overrides() -> None:
    Path(".env").write_text("# c\nREDIS_TIMEOUT=3\nBINANCE_ENVIRONMENT=DEMO\n")
    result = call("show", **TESTNET, REDIS_TIMEOUT="5", BINANCE_ENVIRONMENT="TESTNET")
    table = shown(result)
    assert "5 process environment .env line 2" == " ".join(table["REDIS_TIMEOUT"])
    assert "TESTNET process environment .env line 3, preset testnet" == " ".join(table["BINANCE_ENVIRONMENT"])


@pytest.mark.parametrize("command", ["check", "show"])
def test_hosts_that_are_not_the_exchanges_own_are_noted(command: str) -> None:
    result = call(command, **TESTNET, BINANCE_BASE_URL_HTTP="http://127.0.0.1:8900")
    expected = "note: 127.0.0.1:8900 is not the exchange's own host (BINANCE_BASE_URL_HTTP)"
    assert ([expected], 0) == (heads(result.stderr), result.exit_code)
    assert "1 note, exit 0; more: tradingnode explain TN001" == result.stderr.splitlines()[-1]
    assert "" == call(command, **TESTNET).stderr


def test_show_json_has_value_tier_origin_and_what_each_setting_overrides() -> None:
    Path(".env").write_text("\n  REDIS_PASSWORD=another\n")
    Path(".env").chmod(0o600)
    told = json.loads(call("show", "--json", **TESTNET).stdout)
    assert ("testnet", "trader") == (told["preset"], told["role"])
    assert {
        "path": "redis.password",
        "value": "*** (set)",
        "tier": "essential",
        "origin": {
            "source": "process environment",
            "key": "REDIS_PASSWORD",
            "file": None,
            "line": None,
            "column": None,
        },
        "overrides": [{"source": ".env", "key": "REDIS_PASSWORD", "file": ".env", "line": 2, "column": 3}],
    } == told["settings"]["REDIS_PASSWORD"]
    assert {"path": "redis.port", "value": "6379", "tier": "essential", "origin": None, "overrides": []} == (
        told["settings"]["REDIS_PORT"]
    )


# --- explain ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["REDIS_TIMEOUT", "redis.timeout", "redis_timeout"])
def test_explain_tells_what_a_setting_means_and_every_layer_that_speaks_of_it(key: str) -> None:
    Path(".env").write_text("REDIS_TIMEOUT=3\n")
    result = call("explain", key, **TESTNET, REDIS_TIMEOUT="5")
    assert (0, "") == (result.exit_code, result.stderr)
    lines = [" ".join(line.split()) for line in result.stdout.splitlines() if line.strip()]
    assert "REDIS_TIMEOUT redis.timeout" == lines[0]
    assert "accepted a whole number from 1 to 30" in lines
    assert ["* process environment 5", ".env line 1 3", "default 2"] == lines[-3:]


def test_explain_shows_no_secret_and_tells_what_is_wrong_with_the_setting_alone() -> None:
    environ = {**TESTNET, "REDIS_PORT": "0", "NAUTILUS_LOG_LEVEL": "LOUD"}
    result = call("explain", "binance.api_secret", "REDIS_PORT", "redis.password", **environ)
    assert f"*** (sha256:{fingerprint(API_SECRET)}) for TESTNET" in result.stdout
    assert "*** (set)" in result.stdout
    assert ["error: REDIS_PORT is '0', expected a whole number from 1 to 65535"] == heads(result.stderr)


def test_explain_prints_the_page_of_a_kind_of_problem() -> None:
    result = call("explain", "tn401")
    assert (0, page(kinds()["TN401"]), "") == (result.exit_code, result.stdout, result.stderr)


def test_explain_json_is_one_object_with_all_that_was_asked() -> None:
    told = json.loads(call("explain", "--json", "TN303", "trader_id", "BYBIT_MARGIN_MODE", **TESTNET).stdout)
    assert ["TN303", "NAUTILUS_TRADER_ID", "BYBIT_MARGIN_MODE"] == list(told["explained"])
    assert (True, 0, []) == (told["ok"], told["exit_code"], told["problems"])
    trader = told["explained"]["NAUTILUS_TRADER_ID"]
    assert ("trader_id", True, "TRADER-001") == (trader["path"], trader["required"], trader["layers"][0]["value"])
    assert kinds()["TN303"].to_dict() == told["explained"]["TN303"]


@pytest.mark.parametrize(
    "key, fix", [("REDIS_PROT", "did you mean REDIS_PORT?"), ("TN999", "the last line of `tradingnode check` names")]
)
def test_explain_of_what_there_is_not_is_a_usage_error(key: str, fix: str) -> None:
    result = call("explain", key, "NAUTILUS_STOP_TIMEOUT", **TESTNET)
    assert 2 == result.exit_code
    assert f"  fix: {fix}" in result.stderr
    assert "1 error, exit 2; more: tradingnode explain TN203" == result.stderr.splitlines()[-1]
    assert "NAUTILUS_STOP_TIMEOUT" in result.stdout


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
        (("--format", "problems"), all_pages()),
    ],
)
def test_schema_prints_the_reference(arguments: tuple[str, ...], expected: str) -> None:
    result = call("schema", *arguments)
    assert (0, expected, "") == (result.exit_code, result.stdout, result.stderr)


def test_help_lists_the_commands_and_an_unknown_one_is_a_usage_error() -> None:
    text = call("--help").stdout
    commands = re.findall(r"^  (\w+)  ", text.partition("Commands:")[2], re.MULTILINE)
    assert [
        "check",
        "doctor",
        "explain",
        "flatten",
        "halt",
        "health",
        "reset",
        "resume",
        "run",
        "schema",
        "show",
    ] == commands
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


@pytest.mark.parametrize(
    "arguments, command, told",
    [
        (("check", "--unknown"), "python -m config check", "No such option '--unknown'"),
        (("check", f"--unknown={CANARY}"), "python -m config check", "No such option '--unknown'"),
        (("check", "--role", CANARY), "python -m config check", "--role has a value that it does not take"),
        (("check", f"--strict={CANARY}"), "tradingnode", "that is not how the command is called"),
        (("explain",), "python -m config explain", "Missing argument 'KEY...'"),
        (("show", CANARY), "python -m config show", "that is not how the command is called"),
        ((CANARY,), "python -m config", "that is not how the command is called"),
    ],
)
def test_a_usage_error_has_the_one_shape_and_repeats_no_value(
    arguments: tuple[str, ...], command: str, told: str
) -> None:
    """A key may be pasted anywhere: nothing that was given but the name of an option is repeated."""
    plain, as_json = process(*arguments), process(*arguments, "--json")
    head, fix, last = plain.stderr.splitlines()
    assert (2, "", 2, "") == (plain.returncode, plain.stdout, as_json.returncode, as_json.stderr)
    assert f"error: {told}" == head.partition(" (")[0]
    assert f"  fix: `{command} --help` tells how" == fix
    assert "1 error, exit 2; more: tradingnode explain TN204" == last
    found = json.loads(as_json.stdout)
    (problem,) = found["problems"]
    assert (2, False, "TN204", command) == (found["exit_code"], found["ok"], problem["code"], problem["key"])
    assert told == problem["message"].partition(" (")[0]


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
    assert "1 error, exit 4; more: tradingnode explain TN401" in told


def test_there_is_no_colour_where_there_is_no_terminal() -> None:
    for command in ("check", "show"):
        result = call(command, **{**TESTNET, "NAUTILUS_RECONCILIATION_LOOKBACK_MINS": "60"})
        assert "\x1b[" not in result.output
        assert "warning: " in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_in_the_middle_of_the_imports_ends_the_command_in_peace(number: signal.Signals) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(Path.cwd()), "PYTHONPATH": str(ROOT), **TESTNET}
    # The interpreter tells each import when it is done; click is one of the first.
    command = [sys.executable, "-X", "importtime", "-m", "config", "run"]
    # In a shell's background job SIGINT is ignored, and what is ignored stays so.
    hears = partial(signal.signal, number, signal.SIG_DFL)
    with subprocess.Popen(
        command, env=environ, preexec_fn=hears, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as ran:
        assert ran.stderr is not None
        assert any("click" in line for line in ran.stderr)
        ran.send_signal(number)
        output, told = ran.communicate(timeout=60)
    assert 0 == ran.returncode, told
    assert "Traceback" not in told
    assert "" == output
