"""Every kind of problem: each code has its page, each example gives what the page says, and the document is up to date."""

from __future__ import annotations

import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.checks.placeholders import is_placeholder
from config.cli import main
from config.kinds import EXITS, Kind, all_pages, kinds, page, unknown_code
from config.problems import SEVERITIES, ExitCode
from config.settings.loading import validate_all
from config.settings.variables import is_key

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "config").rglob("*.py"))
WITH_ENV = [code for code, kind in kinds().items() if kind.env]
WITHOUT_ENV = [code for code, kind in kinds().items() if not kind.env]
# What no file can give: what the process finds outside, or while it runs.
OUTSIDE = ("TN1", "TN6", "TN7", "TN9")
# What all readable stand-ins for a key have in them.
STAND_IN = "donotuse"
LINE_MAX = 130


def texts(kind: Kind) -> str:
    return f"{kind.title}\n{kind.meaning}\n{kind.cure}\n{kind.env}\n{kind.prints}"


def prose(text: str) -> Iterator[str]:
    """Yield the lines of a Markdown document that are neither code nor rows of a table."""
    code = False
    for line in text.splitlines():
        if line.startswith("```"):
            code = not code
        elif not code and not line.startswith("|"):
            yield line


def assignments(env: str) -> list[tuple[str, str]]:
    return re.findall(r"^([A-Za-z_]+)=(.*)$", env, flags=re.MULTILINE)


def test_every_code_in_the_source_has_its_page_and_no_other_has() -> None:
    used = {code for path in SOURCES for code in re.findall(r'"(TN\d{3})"', path.read_text("utf-8"))}
    assert sorted(used) == list(kinds())


def test_every_code_that_a_text_mentions_has_its_page() -> None:
    told = [path.read_text("utf-8") for path in SOURCES] + [texts(kind) for kind in kinds().values()]
    assert set() == {code for text in told for code in re.findall(r"TN\d{3}", text)} - set(kinds())


def test_the_tables_stand_in_ascending_order() -> None:
    table = tomllib.loads((ROOT / "config" / "kinds.toml").read_text("utf-8"))
    assert sorted(table) == list(table)


@pytest.mark.parametrize("code", WITH_ENV)
def test_an_example_gives_what_its_page_says(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole text, with places and fixes, of all problems of that code."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / ".env"
    file.touch(mode=0o600)
    file.write_text(kinds()[code].env, "utf-8")
    problems = validate_all(env_file=".env", environ={"HOME": str(tmp_path)})
    assert kinds()[code].prints == "\n".join(str(problem) for problem in problems if problem.code == code)


@pytest.mark.parametrize("code", WITHOUT_ENV)
def test_what_no_file_can_give_is_told_in_the_one_shape(code: str) -> None:
    kind = kinds()[code]
    severity = SEVERITIES.get(kind.exit_code, "error")
    assert kind.prints.startswith(f"{severity}: ")
    assert (severity != "note") == ("\n  fix: " in kind.prints)
    shape = r"(error|warning|note): .+|   at: .+|  fix: .+"
    assert [] == [line for line in kind.prints.splitlines() if not re.fullmatch(shape, line)]


def test_only_what_a_file_can_give_has_an_example() -> None:
    assert [] == [code for code in WITH_ENV if code.startswith(OUTSIDE)]


@pytest.mark.parametrize("code", kinds())
def test_a_page_is_complete_and_says_nothing_of_this_machine(code: str) -> None:
    kind = kinds()[code]
    assert [] == [part for part in ("title", "meaning", "cure", "prints") if not getattr(kind, part).strip()]
    here = {str(path) for path in (ROOT, ROOT.parent, Path.home(), Path(tempfile.gettempdir())) if len(path.parts) > 1}
    assert [] == [path for path in here if re.search(rf"{re.escape(path)}(?![A-Za-z0-9])", texts(kind))]


def test_the_pages_fit_a_screen() -> None:
    examples = [line for kind in kinds().values() for line in kind.env.splitlines()]
    assert [] == [line for line in (*prose(all_pages()), *examples) if len(line) > LINE_MAX]


def test_no_example_holds_what_might_be_a_key() -> None:
    """Each is a text that a person can read, or a placeholder."""
    given = [(name, value) for kind in kinds().values() for name, value in assignments(kind.env) if is_key(name)]
    assert [] != given
    assert [] == [name for name, value in given if STAND_IN not in value and not is_placeholder(value)]


def test_the_document_is_up_to_date() -> None:
    command = "tradingnode schema --format problems > docs/problems.md"
    assert all_pages() == (ROOT / "docs" / "problems.md").read_text("utf-8"), f"kinds.toml was changed; run: {command}"


def test_a_page_holds_code_meaning_example_and_cure() -> None:
    kind = Kind("TN304", "a title", "What it\nmeans.", "What to do.", "warning: odd\n  fix: mend it", "REDIS_PORT=1")
    expected = (
        "## TN304: a title\n\n"
        "*a warning: it runs, and ends with exit code 3 under `--strict`*\n\n"
        "What it\nmeans.\n\n"
        "**Cure.** What to do.\n\n"
        "With this `.env`:\n\n"
        "```shell\nREDIS_PORT=1\n```\n\n"
        "it says:\n\n"
        "```text\nwarning: odd\n  fix: mend it\n```\n"
    )
    assert expected == page(kind)


def test_a_page_without_an_example_has_no_place_for_one() -> None:
    expected = (
        "## TN811: Redis would be wiped at start\n\n"
        "*exit code 8: refused for safety*\n\n"
        "The configuration that was built has `flush_on_start`, with which Nautilus empties the whole Redis database: the saved\n"
        "orders and positions of every trader in it, not only of this one. No setting can do that, so this is a defect of the\n"
        "program, found by the last look at what was built. Nothing was started, and nothing was deleted.\n\n"
        "**Cure.** Do not run it. Report it with the settings that `tradingnode show` prints; secrets are hidden there.\n\n"
        "it says:\n\n"
        "```text\n"
        "error: Redis would be flushed at start\n"
        "  fix: this was built against its preset: report it, and do not run it\n"
        "```\n"
    )
    assert expected == page(kinds()["TN811"])


def test_every_exit_code_of_a_kind_is_put_into_words() -> None:
    assert set() == {kind.exit_code for kind in kinds().values()} - set(EXITS)


def test_a_kind_in_json_has_its_parts_and_its_exit_code() -> None:
    kind = kinds()["TN503"]
    parts = {"code", "title", "meaning", "cure", "prints", "env"}
    assert {**{part: getattr(kind, part) for part in parts}, "exit_code": 5} == kind.to_dict()


def test_a_code_that_no_problem_has_is_a_usage_error() -> None:
    problem = unknown_code("TN999")
    assert ExitCode.USAGE is problem.exit_code
    assert "TN999 is not the code of a problem" == problem.message


@pytest.mark.parametrize("code, expected", [("TN811", 0), ("tn811", 0), ("TN999", 2)])
def test_the_command_explains_a_code(
    code: str, expected: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In any case of letters, from the same page; what is no code is told on stderr."""
    monkeypatch.setattr(sys, "argv", ["tradingnode", "explain", code])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert expected == ended.value.code
    assert (page(kinds()["TN811"]) if expected == 0 else "") == out
    assert (expected == 2) == ("TN999 is not the code of a problem" in err)
