"""Every broken input of ``tests/data`` is told in full, to the letter, and stays broken under every preset."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from config.kinds import kinds
from config.presets import PRESETS
from tests.bad_inputs import DATA, laid_out, names, problems_of, said

# Of values: the names of some rules speak of keys, too.
CANARY = re.compile(r"canary[A-Za-z0-9-]{2,}")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def expected(name: str) -> str:
    return (DATA / f"{name}.bad.txt").read_text()


def test_there_are_inputs_enough_and_each_has_what_is_expected_of_it() -> None:
    assert 60 <= len(names())
    assert names() == sorted(path.name.removesuffix(".bad.txt") for path in DATA.glob("*.bad.txt"))


@pytest.mark.parametrize("name", names())
def test_a_broken_input_is_told_in_full(here: Path, name: str) -> None:
    problems = problems_of(name, here)
    assert expected(name) == said(problems)
    assert any(problem.is_error for problem in problems)
    assert {problem.code for problem in problems} <= kinds().keys()
    assert all(problem.fix for problem in problems if problem.severity != "note")


@pytest.mark.parametrize("name", names())
def test_no_secret_of_an_input_is_told(here: Path, name: str) -> None:
    problems = problems_of(name, here)
    assert not CANARY.search(f"{said(problems)}{problems!r}{[problem.to_dict() for problem in problems]}")
    # The inputs do hold some: a search that finds nothing anywhere proves nothing.
    if name in ("many", "key_rsa", "secrets_directory", "quotes_of_docker"):
        given = [path.read_text() for path in here.rglob("*") if path.is_file()] + list(
            laid_out_again(name, here).values()
        )
        assert any(CANARY.search(text) for text in given)


def laid_out_again(name: str, folder: Path) -> dict[str, str]:
    again = folder / "again"
    again.mkdir()
    return laid_out(name, again)


@pytest.mark.parametrize("name", names())
def test_what_is_broken_stays_so_under_every_preset(here: Path, name: str) -> None:
    for preset in PRESETS:
        folder = here / preset
        folder.mkdir()
        os.chdir(folder)
        problems = problems_of(name, folder, preset)
        # Where execution is simulated nobody looks at keys; what only they made wrong is then right.
        if preset == "sandbox" and "NAUTILUS_TRADER_ID" in expected(name):
            assert any(problem.is_error for problem in problems)
        elif preset != "sandbox" and name not in (
            "preset_unknown",
            "sandbox_without_venue",
            "recorder_without_catalog",
        ):
            assert any(problem.is_error for problem in problems), preset


@pytest.mark.parametrize("name", ["many", "flush_on_start", "kubernetes_service_links", "key_rsa", "secrets_directory"])
def test_the_command_says_the_same_and_ends_with_that_code(here: Path, name: str) -> None:
    environ = laid_out(name, here)
    done = subprocess.run(
        [sys.executable, "-m", "config", "check"],
        env=environ,
        cwd=here,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    code = int(re.findall(r", exit (\d+); more", expected(name))[-1])
    assert (code, "", expected(name)) == (done.returncode, done.stdout, done.stderr)
