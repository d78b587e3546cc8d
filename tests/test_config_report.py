"""How things look: colour on a terminal alone, aligned in a file, one object as JSON, and no error if nobody reads any more."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import TextIO

import pytest

from config.kinds import kinds, page
from config.models import TradingNodeSettings
from config.preflight.findings import Verdict, finding
from config.problems import ExitCode, Origin, Problem
from config.settings.gathering import gather
from config.show.explain import Explanation, explain
from config.show.report import (
    COLOURS,
    FILE_WIDTH,
    finish_json,
    print_explanation,
    print_findings,
    print_kind,
    print_settings,
    say,
    settings_as_json,
    tally,
    tell,
)

ROOT = Path(__file__).parents[1]
ESCAPE = "\x1b["
ERROR = Problem("TN401", "REDIS_PORT", "REDIS_PORT is '0': no port", "give one", (), Origin(".env", "REDIS_PORT", 3))
WARNING = Problem("TN303", "REDIS_HOST", "no Redis is set: all is lost", "set REDIS_HOST")
NOTE = Problem("TN002", "REDIS_PORT", "REDIS_PORT is ignored", "")
TOLD = """\
error: REDIS_PORT is '0': no port
   at: .env line 3
  fix: give one
warning: no Redis is set: all is lost
  fix: set REDIS_HOST
note: REDIS_PORT is ignored
"""


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that says what a terminal can do, but what a test sets."""
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLORTERM", "COLUMNS", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def be_a_terminal(monkeypatch: pytest.MonkeyPatch, stream: TextIO, *, is_one: bool = True) -> None:
    monkeypatch.setattr(stream, "isatty", lambda: is_one)


# --- problems --------------------------------------------------------------------------------------------------------


def test_problems_are_told_on_stderr_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    tell([ERROR, WARNING, NOTE])
    assert ("", TOLD) == capsys.readouterr()


def test_on_a_terminal_the_first_word_has_the_colour_of_how_grave_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be_a_terminal(monkeypatch, sys.stderr)
    tell([ERROR, WARNING, NOTE])
    told = capsys.readouterr().err
    for number, word in ((31, "error"), (33, "warning"), (36, "note")):
        assert f"{ESCAPE}{number}m{ESCAPE}1m{word}{ESCAPE}0m: " in told
    assert re.sub(r"\x1b\[[0-9]+m", "", told) == TOLD
    # Nothing but the word: a message is copied and searched for.
    assert 3 * 3 == told.count(ESCAPE)


@pytest.mark.parametrize(
    "is_terminal, no_color, coloured",
    [(True, None, True), (True, "", True), (True, "1", False), (True, "0", False), (False, None, False)],
)
def test_colour_needs_a_terminal_and_no_color_ends_it_whatever_it_says(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_terminal: bool,
    no_color: str | None,
    coloured: bool,
) -> None:
    be_a_terminal(monkeypatch, sys.stderr, is_one=is_terminal)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    tell([ERROR])
    told = capsys.readouterr().err
    assert coloured == (ESCAPE in told)
    assert coloured or told == TOLD.partition("warning")[0]


def test_whether_stdout_is_a_terminal_makes_no_difference_to_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be_a_terminal(monkeypatch, sys.stdout)
    tell([ERROR, WARNING, NOTE])
    assert TOLD == capsys.readouterr().err


def test_a_line_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("ready TRADER-001")
    assert ("", "ready TRADER-001\n") == capsys.readouterr()


def test_every_severity_has_its_colour() -> None:
    assert {problem.severity for problem in (ERROR, WARNING, NOTE)} == COLOURS.keys()
    assert len(COLOURS) == len(set(COLOURS.values()))


WORDS = {
    (1, 0, 0): "1 error, exit 4; more: tradingnode explain TN401",
    (2, 0, 0): "2 errors, exit 4; more: tradingnode explain TN401",
    (0, 1, 0): "1 warning, exit 4; more: tradingnode explain TN303",
    (0, 2, 0): "2 warnings, exit 4; more: tradingnode explain TN303",
    (0, 0, 1): "1 note, exit 4; more: tradingnode explain TN002",
    (0, 0, 2): "2 notes, exit 4; more: tradingnode explain TN002",
    (1, 1, 0): "1 error, 1 warning, exit 4; more: tradingnode explain TN401 TN303",
    (2, 1, 0): "2 errors, 1 warning, exit 4; more: tradingnode explain TN401 TN303",
    (1, 2, 0): "1 error, 2 warnings, exit 4; more: tradingnode explain TN401 TN303",
    (2, 2, 0): "2 errors, 2 warnings, exit 4; more: tradingnode explain TN401 TN303",
    (1, 0, 1): "1 error, 1 note, exit 4; more: tradingnode explain TN401 TN002",
    (2, 0, 1): "2 errors, 1 note, exit 4; more: tradingnode explain TN401 TN002",
    (1, 0, 2): "1 error, 2 notes, exit 4; more: tradingnode explain TN401 TN002",
    (2, 0, 2): "2 errors, 2 notes, exit 4; more: tradingnode explain TN401 TN002",
    (0, 1, 1): "1 warning, 1 note, exit 4; more: tradingnode explain TN303 TN002",
    (0, 2, 1): "2 warnings, 1 note, exit 4; more: tradingnode explain TN303 TN002",
    (0, 1, 2): "1 warning, 2 notes, exit 4; more: tradingnode explain TN303 TN002",
    (0, 2, 2): "2 warnings, 2 notes, exit 4; more: tradingnode explain TN303 TN002",
    (1, 1, 1): "1 error, 1 warning, 1 note, exit 4; more: tradingnode explain TN401 TN303 TN002",
    (2, 1, 1): "2 errors, 1 warning, 1 note, exit 4; more: tradingnode explain TN401 TN303 TN002",
    (1, 2, 1): "1 error, 2 warnings, 1 note, exit 4; more: tradingnode explain TN401 TN303 TN002",
    (1, 1, 2): "1 error, 1 warning, 2 notes, exit 4; more: tradingnode explain TN401 TN303 TN002",
    (2, 2, 1): "2 errors, 2 warnings, 1 note, exit 4; more: tradingnode explain TN401 TN303 TN002",
    (2, 1, 2): "2 errors, 1 warning, 2 notes, exit 4; more: tradingnode explain TN401 TN303 TN002",
    (1, 2, 2): "1 error, 2 warnings, 2 notes, exit 4; more: tradingnode explain TN401 TN303 TN002",
    (2, 2, 2): "2 errors, 2 warnings, 2 notes, exit 4; more: tradingnode explain TN401 TN303 TN002",
    (0, 0, 0): "",
}


@pytest.mark.parametrize("counts", list(product(range(3), repeat=3)), ids=str)
def test_the_tally_counts_each_severity_in_one_line(counts: tuple[int, int, int]) -> None:
    errors, warnings, notes = counts
    assert WORDS[counts] == tally([ERROR] * errors + [WARNING] * warnings + [NOTE] * notes, ExitCode.SETTINGS)


@pytest.mark.parametrize("code", ExitCode)
def test_the_tally_names_the_exit_code_that_is_given(code: ExitCode) -> None:
    """Of a warning that is 0, and 3 under --strict: the tally does not decide."""
    assert f"1 warning, exit {int(code)}; more: tradingnode explain TN303" == tally([WARNING], code)


def test_the_tally_names_each_code_once_in_the_order_of_the_problems() -> None:
    assert tally([NOTE, ERROR, NOTE, WARNING, ERROR], ExitCode.SETTINGS).endswith("explain TN002 TN401 TN303")


# --- JSON ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ExitCode)
def test_json_is_one_object_on_stdout_with_the_code_the_problems_and_what_else_is_given(
    code: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    finish_json([ERROR, NOTE], code, summary="so", settings={"a": None})
    out, err = capsys.readouterr()
    assert {
        "ok": code == 0,
        "exit_code": int(code),
        "summary": "so",
        "settings": {"a": None},
        "problems": [ERROR.to_dict(), NOTE.to_dict()],
    } == json.loads(out)
    assert ("", "}\n") == (err, out[-2:])


def test_json_has_no_colour_on_a_terminal_either(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be_a_terminal(monkeypatch, sys.stdout)
    finish_json([ERROR], ExitCode.SETTINGS)
    assert ESCAPE not in capsys.readouterr().out


# --- settings --------------------------------------------------------------------------------------------------------

DEEP = f"/var/lib/{'deep/' * 15}state"
GIVEN = {
    "NAUTILUS_TRADER_ID": "TRADER-001",
    "NAUTILUS_VENUES": "BYBIT",
    "NAUTILUS_SECRETS_DIR": "/",
    "NAUTILUS_STATE_DIR": DEEP,
    "REDIS_HOST": "localhost",
    "REDIS_PASSWORD": "canary-7f3a9",
    "REDIS_PORT": "6390",
}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TradingNodeSettings:
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        Path(f"{number}.env").write_text(f"REDIS_PORT={number}\nREDIS_HOST=redis\n")
    return TradingNodeSettings.from_env(["1.env", "2.env"], GIVEN, preset="sandbox")


def printed(settings: TradingNodeSettings, capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_settings(settings)
    out, err = capsys.readouterr()
    assert "" == err
    assert "canary" not in out
    return out.splitlines()


def test_settings_in_a_file_are_an_aligned_table_without_colours_and_trailing_spaces(
    settings: TradingNodeSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    head, empty, titles, *lines = printed(settings, capsys)
    assert ("TRADER-001, preset sandbox, role trader", "") == (head, empty)
    assert ["setting", "value", "from", "overrides"] == titles.split()
    columns = [titles.index(title) for title in titles.split()]
    assert 40 < len(lines)
    for line in (titles, *lines):
        assert line.rstrip() == line
        assert line.isprintable()
        # Whatever stands in a column begins where its title does.
        assert all(line[place - 1 : place] in ("", " ") for place in columns[1:])
        assert line[0] != " "
    cells = {line[: columns[1]].strip(): line for line in lines}

    def cell(name: str, column: int) -> str:
        return cells[name][columns[column] : [*columns, None][column + 1]].strip()

    assert ("6390", "process environment") == (cell("REDIS_PORT", 1), cell("REDIS_PORT", 2))
    assert "2.env line 1, 1.env line 1" == cell("REDIS_PORT", 3)
    assert ("*** (set)", "process environment", "") == tuple(cell("REDIS_PASSWORD", column) for column in (1, 2, 3))
    assert ("SIMULATED", "preset sandbox") == (cell("NAUTILUS_EXECUTION", 1), cell("NAUTILUS_EXECUTION", 2))
    assert ("30", "default") == (cell("NAUTILUS_STOP_TIMEOUT", 1), cell("NAUTILUS_STOP_TIMEOUT", 2))
    # Wide enough for a long path.
    assert DEEP == cell("NAUTILUS_STATE_DIR", 1)


@pytest.mark.parametrize(
    "name, value",
    [
        ("COLUMNS", "20"),
        ("TERM", "dumb"),
        ("NO_COLOR", "1"),
        ("FORCE_COLOR", "1"),
    ],
)
def test_what_is_in_a_file_does_not_depend_on_the_terminal_beside_it(
    settings: TradingNodeSettings,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
) -> None:
    before = printed(settings, capsys)
    monkeypatch.setenv(name, value)
    assert before == printed(settings, capsys)


def test_nothing_is_lost_of_what_is_wider_than_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ",".join(f"SYMBOL{number}-LINEAR.BYBIT" for number in range(40))
    given = {**GIVEN, "BYBIT_INSTRUMENT_IDS": names}
    lines = printed(TradingNodeSettings.from_env(None, given), capsys)
    assert len(names) > FILE_WIDTH
    assert max(map(len, lines)) <= FILE_WIDTH
    assert names in re.sub(r"\s|process environment", "", "".join(lines))


@pytest.mark.parametrize("no_color, coloured", [(None, True), ("1", False)])
def test_settings_on_a_terminal_have_weights_and_fit_its_width(
    settings: TradingNodeSettings,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    no_color: str | None,
    coloured: bool,
) -> None:
    """Bold and dim are no colours; of those there are none with NO_COLOR, and none needed without it."""
    be_a_terminal(monkeypatch, sys.stdout)
    monkeypatch.setenv("COLUMNS", "90")
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    lines = printed(settings, capsys)
    text = "\n".join(lines)
    weights = set(re.findall(r"\x1b\[([0-9;]+)m", text))
    assert {"0", "1", "2"} == weights if coloured else weights <= {"0", "1", "2"}
    plain = re.sub(r"\x1b\[[0-9;]+m", "", text).splitlines()
    assert 90 >= max(map(len, plain))
    assert plain[0].startswith("TRADER-001, preset sandbox, role trader")


def test_on_a_terminal_the_defaults_are_dim_and_what_somebody_said_is_not(
    settings: TradingNodeSettings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    be_a_terminal(monkeypatch, sys.stdout)
    monkeypatch.setenv("COLUMNS", "200")
    lines = printed(settings, capsys)
    assert lines[0].startswith(f"{ESCAPE}1m")
    rows = {name: line for line in lines for name in ("REDIS_PORT", "REDIS_TIMEOUT") if name in line}
    assert [False, True] == [f"{ESCAPE}2m" in rows[name] for name in ("REDIS_PORT", "REDIS_TIMEOUT")]


def test_the_head_says_that_there_is_no_preset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "TRADER-001, preset none, role trader" == printed(TradingNodeSettings.from_env(None, GIVEN), capsys)[0]


def test_settings_as_json_are_primitives_by_variable(settings: TradingNodeSettings) -> None:
    found = json.loads(json.dumps(settings_as_json(settings)))
    shell = {"source": "process environment", "key": "REDIS_PORT", "file": None, "line": None, "column": None}
    files = [
        {"source": f"{number}.env", "key": "REDIS_PORT", "file": f"{number}.env", "line": 1, "column": 1}
        for number in (2, 1)
    ]
    assert {
        "path": "redis.port",
        "value": "6390",
        "tier": "essential",
        "origin": shell,
        "overrides": files,
    } == found["REDIS_PORT"]
    assert (None, []) == (found["REDIS_TIMEOUT"]["origin"], found["REDIS_TIMEOUT"]["overrides"])
    assert "canary" not in json.dumps(found)


# --- findings --------------------------------------------------------------------------------------------------------


def test_steps_skipped_one_after_the_other_for_one_reason_are_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Of another reason, of another part, or with something between them they are rows of their own."""
    see: Verdict = ("skipped", "not looked at: see redis.rights")
    found = [
        finding("redis.reachable", ("ok", "connected"), 0.0015),
        finding("redis.loaded", see),
        finding("redis.version", see, 0.0001),
        finding("redis.rights", ERROR),
        finding("redis.writes", see),
        finding("disk.logs", ("skipped", "NAUTILUS_LOG_LEVEL_FILE is OFF")),
        finding("disk.catalog", ("skipped", "NAUTILUS_CATALOG_PATH is not set")),
        finding("venues", ("skipped", "left out")),
        finding("redis", ("skipped", "left out")),
        finding("bybit.trading", ("ok", "may trade")),
        finding("bybit.account", ("ok", "may trade")),
    ]
    print_findings(found)
    _, _, table = capsys.readouterr().out.partition("\n\n")
    expected = """\
step                    state    ms   found
redis.reachable         ok       1.5  connected
redis, 2 further steps  skipped       not looked at: see redis.rights
redis.rights            error         REDIS_PORT is '0': no port
redis.writes            skipped       not looked at: see redis.rights
disk.logs               skipped       NAUTILUS_LOG_LEVEL_FILE is OFF
disk.catalog            skipped       NAUTILUS_CATALOG_PATH is not set
venues                  skipped       left out
redis                   skipped       left out
bybit.trading           ok            may trade
bybit.account           ok            may trade
"""
    assert expected == table


# --- explanations and pages ------------------------------------------------------------------------------------------


def explanation(key: str) -> Explanation:
    found = explain(key, gather(env_file=None, environ=GIVEN, preset="sandbox"))
    assert isinstance(found, Explanation)
    return found


def test_an_explanation_in_a_file_is_aligned_and_has_no_trailing_spaces(capsys: pytest.CaptureFixture[str]) -> None:
    print_explanation(explanation("redis.port"))
    expected = """\
REDIS_PORT  redis.port
Port of the Redis server.

accepted     a whole number from 1 to 65535
default      6379
also as      REDIS_URL
not used by  recorder

Layers, highest first; * applies
   layer                says
*  process environment  6390
   default              6379
"""
    assert (expected, "") == capsys.readouterr()


EXPLAINED = {
    # What must be set has no default; it has an example.
    "trader_id": """\
accepted  {accepted}
default   none: it must be set
example   NAUTILUS_TRADER_ID=TRADER-001

Layers, highest first; * applies
   layer                says
*  process environment  TRADER-001
""",
    # Other names, former ones, and a default that is nothing.
    "bybit.proxy_url": """\
accepted      {accepted}
default       unset
example       BYBIT_PROXY_URL=http://proxy.example:3128
also as       BYBIT_PROXY_URL_FILE
former names  BYBIT_HTTP_PROXY_URL, BYBIT_WS_PROXY_URL

Layers, highest first; * applies
   layer    says
*  default  unset
""",
    # The name under which it stands, where that is another one.
    "binance.environment": """\
accepted  {accepted}
default   LIVE
example   BINANCE_ENVIRONMENT=TESTNET
also as   BINANCE_TESTNET, BINANCE_DEMO

Layers, highest first; * applies
   layer                                says
*  process environment as BINANCE_DEMO  DEMO
   default                              LIVE
""",
    # Nobody said any of it.
    "bybit.api_secret": """\
accepted     {accepted}
default      unset
also as      BYBIT_TESTNET_API_SECRET, BYBIT_DEMO_API_SECRET, {files}
not used by  recorder

Layers, highest first; * applies
no layer speaks of it
""",
}


@pytest.mark.parametrize("key", EXPLAINED)
def test_an_explanation_has_a_line_for_each_fact_that_there_is(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = explain(key, gather(env_file=None, environ={**GIVEN, "BINANCE_DEMO": "1"}))
    assert isinstance(found, Explanation)
    print_explanation(found)
    out = capsys.readouterr().out
    head, _, rest = out.partition("\n\n")
    assert f"{found.variable.name}  {key}\n{found.variable.description}" == head
    files = ", ".join(name for name in found.names if name.endswith("_FILE"))
    assert EXPLAINED[key].format(accepted=found.variable.accepted, files=files) == rest


def test_an_explanation_on_a_terminal_is_told_apart_by_weights(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be_a_terminal(monkeypatch, sys.stdout)
    monkeypatch.setenv("COLUMNS", "100")
    print_explanation(explanation("redis.port"))
    out = capsys.readouterr().out
    assert f"{ESCAPE}1mREDIS_PORT  redis.port{ESCAPE}0m" in out
    # What does not apply is dim, what applies is not.
    assert f"{ESCAPE}2m6379" in out
    assert f"{ESCAPE}2m6390" not in out


@pytest.mark.parametrize("code", list(kinds())[:3])
def test_a_page_is_markdown_in_a_file_and_laid_out_on_a_terminal(
    code: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = kinds()[code]
    print_kind(kind)
    assert page(kind) == capsys.readouterr().out
    be_a_terminal(monkeypatch, sys.stdout)
    monkeypatch.setenv("COLUMNS", "100")
    print_kind(kind)
    shown = capsys.readouterr().out
    assert ESCAPE in shown
    assert f"{code}: {kind.title}" in re.sub(r"\x1b\[[0-9;]+m", "", shown)
    assert "## " not in shown


# --- a reader that has gone ------------------------------------------------------------------------------------------


@pytest.fixture
def gone() -> Iterator[TextIO]:
    """The writing end of a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    yield stream
    with suppress(OSError):
        stream.close()


def test_a_reader_of_stderr_that_has_gone_breaks_nothing(gone: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BrokenPipeError):
        print("x", file=gone, flush=True)
    monkeypatch.setattr(sys, "stderr", gone)
    say("ready TRADER-001")
    tell([ERROR, WARNING, NOTE])
    say("stopped TRADER-001")


def ended(stream: str, *arguments: str, **environ: str) -> int:
    """Return the exit code of ``tradingnode`` whose ``stream`` nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(ROOT), **GIVEN, **environ}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writing}
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "config", *arguments],
            env=env,
            timeout=60,
            check=False,
            stdout=streams["stdout"],
            stderr=streams["stderr"],
        )
    finally:
        os.close(writing)
    assert b"Traceback" not in (ran.stdout or b"") + (ran.stderr or b"")
    return ran.returncode


@pytest.mark.parametrize("command", [("show",), ("show", "--json"), ("schema",), ("explain", "REDIS_PORT"), ("check",)])
def test_a_reader_of_stdout_that_has_gone_is_no_error(command: tuple[str, ...]) -> None:
    """As in ``tradingnode show | head -1``."""
    assert 0 == ended("stdout", *command)


def test_the_exit_code_tells_the_truth_though_nobody_reads_the_json() -> None:
    assert 4 == ended("stdout", "check", "--json", REDIS_PORT="0")


@pytest.mark.parametrize(
    "code, command, changes",
    [
        (4, ("check",), {"REDIS_PORT": "0"}),
        (0, ("check",), {"NAUTILUS_RECONCILIATION_LOOKBACK_MINS": "60"}),
        (2, ("explain", "REDIS_PROT"), {}),
        (8, ("check", "-p", "production"), {}),
    ],
)
def test_the_exit_code_tells_the_truth_though_nobody_reads_stderr(
    code: int, command: tuple[str, ...], changes: dict[str, str]
) -> None:
    assert code == ended("stderr", *command, **changes)
