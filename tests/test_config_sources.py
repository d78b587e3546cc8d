"""The only code that reads: process environment, .env files, secret files, each value with where it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings.sources import (
    ENVIRONMENT,
    Entry,
    Source,
    read_env_file,
    read_environ,
    read_secrets_dir,
    read_sources,
)

CANARY = "canary-7f3a9"


def written(tmp_path: Path, text: str | bytes, name: str = ".env") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(0o600)
    return path


def plain(entry: Entry) -> str:
    return entry.value.get_secret_value() if isinstance(entry.value, SecretStr) else entry.value


def env_file(tmp_path: Path, text: str | bytes) -> Source:
    return read_env_file(written(tmp_path, text), must_exist=True)


@pytest.mark.parametrize(
    "text, value, line",
    [
        ("REDIS_HOST=a", "a", 1),
        ("REDIS_HOST = a", "a", 1),
        ("export REDIS_HOST=a", "a", 1),
        ("\n\nREDIS_HOST=a", "a", 3),
        ("# a comment\nREDIS_HOST=a\n", "a", 2),
        ("# one\n# two\n\n# three\n\n\nREDIS_HOST=a\n", "a", 7),
        ("OTHER=1\n\n# c\nREDIS_HOST=a # why", "a", 4),
        ("REDIS_HOST='a b'", "a b", 1),
        ('REDIS_HOST="a#b"', "a#b", 1),
        ('REDIS_HOST="a\nb"\n', "a\nb", 1),
        ('OTHER="1\n2\n3"\nREDIS_HOST=a', "a", 4),
        ("REDIS_HOST=a\r\n", "a", 1),
        ("# c\r\n\r\nREDIS_HOST=a\r\nREDIS_PORT=1\r\n", "a", 3),
        ("\ufeffREDIS_HOST=a\n", "a", 1),
        ("REDIS_HOST=", None, 0),
        ("REDIS_HOST=''", None, 0),
        ("REDIS_HOST='  '", None, 0),
        ("#REDIS_HOST=a", None, 0),
        ("REDIS_HOST=${HOME}", "${HOME}", 1),
        ("REDIS_HOST=a$b${c}", "a$b${c}", 1),
        ("REDIS_HOST='pa${ss}word'", "pa${ss}word", 1),
        ('REDIS_HOST="pa${ss:-x}word"', "pa${ss:-x}word", 1),
    ],
)
def test_a_value_arrives_as_written_with_its_line(tmp_path: Path, text: str, value: str | None, line: int) -> None:
    source = env_file(tmp_path, text)
    entry = source.entries.get("REDIS_HOST")
    assert () == source.problems
    assert (value, line) == ((plain(entry), entry.origin.line) if entry else (None, 0))
    assert entry is None or (str(tmp_path / ".env"), "REDIS_HOST") == (entry.origin.source, entry.origin.key)


@pytest.mark.parametrize(
    "text, value, told",
    [
        (
            "REDIS_HOST=a\n\nREDIS_HOST=b\n",
            "b",
            "TN307 REDIS_HOST 3: REDIS_HOST is set twice in .env, on lines 1 and 3: the later one counts",
        ),
        (
            "REDIS_HOST=b\nREDIS_HOST=\n",
            None,
            "TN307 REDIS_HOST 2: REDIS_HOST is set twice in .env, on lines 1 and 2: the later one counts",
        ),
        ("\nREDIS_HOST", None, "TN404 .env 2: .env line 2 has no = after REDIS_HOST"),
        ("export REDIS_HOST\n", None, "TN404 .env 1: .env line 1 has no = after REDIS_HOST"),
        ("redis_host=a", None, "TN305 redis_host 1: redis_host is not read as REDIS_HOST: it is in lower case"),
        ("REDIS-HOST=a", None, "TN305 REDIS-HOST 1: REDIS-HOST is not read as REDIS_HOST: it has hyphens"),
        ("REDIS_HOST=a\u200b", "a", "TN415 REDIS_HOST 1: REDIS_HOST is not what it seems: it holds an invisible"),
    ],
)
def test_a_line_that_may_not_do_what_it_seems_to_is_told_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, value: str | None, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    source = read_env_file(written(Path(), text), must_exist=True)
    (problem,) = source.problems
    line = problem.origin.line if problem.origin is not None else None
    assert f"{problem.code} {problem.key} {line}: {problem.message}".startswith(told)
    assert problem.fix
    entry = source.entries.get("REDIS_HOST")
    assert value == (None if entry is None else plain(entry))


@pytest.mark.parametrize(
    "text, column",
    [("REDIS_HOST=a", 1), ("  REDIS_HOST=a", 3), ("export REDIS_HOST=a", 8), ("# c\n\n\texport  REDIS_HOST=a", 10)],
)
def test_a_value_has_the_column_of_its_name(tmp_path: Path, text: str, column: int) -> None:
    assert column == env_file(tmp_path, text).entries["REDIS_HOST"].origin.column


def test_a_secret_is_one_from_the_moment_it_is_read(tmp_path: Path) -> None:
    for source in (
        env_file(tmp_path, f"REDIS_PASSWORD={CANARY}\n"),
        read_environ({"REDIS_PASSWORD": CANARY}),
        read_environ({"REDIS_PASSWORD_FILE": str(written(tmp_path, CANARY, "password"))}),
    ):
        assert CANARY == plain(source.entries["REDIS_PASSWORD"])
        assert CANARY not in repr(source)


def test_unknown_names_are_not_kept() -> None:
    source = read_environ({"PATH": "/bin", "BINANCE_SECRET": CANARY, "REDIS_HOST": "a", "NAUTILUS_TRADER_ID_FILE": "b"})
    assert {"REDIS_HOST"} == set(source.entries)
    assert ENVIRONMENT == source.entries["REDIS_HOST"].origin.source
    assert source.entries["REDIS_HOST"].origin.line is None


@pytest.mark.parametrize("content", [CANARY, f"{CANARY}\n", f"\n {CANARY} \r\n"])
def test_a_secret_file_is_read_without_surrounding_white_space(tmp_path: Path, content: str) -> None:
    path = written(tmp_path, content, "password")
    in_environ = read_environ({"REDIS_PASSWORD_FILE": str(path)}).entries["REDIS_PASSWORD"]
    in_file = env_file(tmp_path, f"\nREDIS_PASSWORD_FILE={path}\n").entries["REDIS_PASSWORD"]
    assert (CANARY, CANARY) == (plain(in_environ), plain(in_file))
    assert (ENVIRONMENT, "REDIS_PASSWORD_FILE", None) == (
        in_environ.origin.source,
        in_environ.origin.key,
        in_environ.origin.line,
    )
    assert ("REDIS_PASSWORD_FILE", 2) == (in_file.origin.key, in_file.origin.line)


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe", "cannot be read: it is not UTF-8 text"),
        (None, "cannot be read: no such file or directory"),
    ],
)
def test_a_secret_file_that_gives_nothing_is_a_problem_that_names_its_variable(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    source = read_environ({"BYBIT_API_KEY_FILE": str(path)})
    (problem,) = source.problems
    assert {} == source.entries
    assert (4, "BYBIT_API_KEY_FILE") == (problem.exit_code, problem.key)
    assert f"BYBIT_API_KEY_FILE names {path}, which {reason}" == problem.message


def test_a_folder_as_secret_file_is_a_problem(tmp_path: Path) -> None:
    (problem,) = read_environ({"REDIS_PASSWORD_FILE": str(tmp_path)}).problems
    assert f"REDIS_PASSWORD_FILE names {tmp_path}, which cannot be read: is a directory" == problem.message


def test_a_secret_and_its_file_in_one_source_are_a_problem(tmp_path: Path) -> None:
    path = written(tmp_path, "other", "password")
    for source in (
        read_environ({"REDIS_PASSWORD": CANARY, "REDIS_PASSWORD_FILE": str(path)}),
        env_file(tmp_path, f"REDIS_PASSWORD_FILE={path}\nREDIS_PASSWORD={CANARY}\n"),
    ):
        (problem,) = source.problems
        assert (4, "REDIS_PASSWORD_FILE") == (problem.exit_code, problem.key)
        assert f"REDIS_PASSWORD and REDIS_PASSWORD_FILE are both set in {source.name}" == problem.message
        assert CANARY not in str(problem)


def test_an_empty_secret_beside_its_file_is_unset(tmp_path: Path) -> None:
    path = written(tmp_path, CANARY, "password")
    source = read_environ({"REDIS_PASSWORD": "", "REDIS_PASSWORD_FILE": str(path)})
    assert (CANARY, ()) == (plain(source.entries["REDIS_PASSWORD"]), source.problems)


def test_lines_that_are_no_assignment_are_told_with_their_lines_and_without_their_text(tmp_path: Path) -> None:
    source = env_file(tmp_path, f"REDIS_HOST=a\n\n# c\n{CANARY} {CANARY}\nREDIS_PORT=1\nREDIS_PASSWORD='{CANARY}\n")
    path = tmp_path / ".env"
    assert [
        f"{path} line 4 is not NAME=value",
        f"{path} line 6 has a quote after REDIS_PASSWORD= that is never closed",
    ] == [problem.message for problem in source.problems]
    assert {"REDIS_HOST", "REDIS_PORT"} == set(source.entries)
    assert {4} == {int(problem.exit_code) for problem in source.problems}
    assert CANARY not in "".join(map(str, source.problems))


@pytest.mark.parametrize(
    "content, code, reason",
    [
        (b"# " + b"x" * (64 * 1024 - 2), None, ""),
        (b"# " + b"x" * (64 * 1024 - 1), 4, "is larger than 64 KiB"),
        (b"REDIS_HOST=\xff", 4, "cannot be read: it is not UTF-8 text"),
        (None, 2, "does not exist"),
    ],
    ids=["64 KiB", "64 KiB and a byte", "not text", "missing"],
)
def test_a_file_that_cannot_be_used_is_one_problem(
    tmp_path: Path, content: bytes | None, code: int | None, reason: str
) -> None:
    path = tmp_path / ".env"
    if content is not None:
        path.write_bytes(content)
    source = read_env_file(path, must_exist=True)
    assert [(code, f"{path} {reason}")] * (code is not None) == [
        (int(problem.exit_code), problem.message) for problem in source.problems
    ]


def test_a_folder_as_env_file_is_a_problem(tmp_path: Path) -> None:
    (problem,) = read_env_file(tmp_path, must_exist=False).problems
    assert (4, f"{tmp_path} cannot be read: is a directory") == (problem.exit_code, problem.message)


def test_the_default_file_may_be_missing_and_a_named_one_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"NAUTILUS_SECRETS_DIR": str(tmp_path)}
    assert [] == [problem for source in read_sources(..., environ) for problem in source.problems]
    assert ["TN202"] == [problem.code for source in read_sources(".env", environ) for problem in source.problems]
    written(tmp_path, "REDIS_HOST=a\n")
    default, *_ = read_sources(..., environ)
    assert (".env", "a") == (default.name, plain(default.entries["REDIS_HOST"]))


def test_a_secrets_directory_is_read_in_upper_and_lower_case_and_nothing_else_of_it(tmp_path: Path) -> None:
    written(tmp_path, "one\n", "BINANCE_API_KEY")
    written(tmp_path, "two\n", "binance_api_secret")
    written(tmp_path, "three", "REDIS_HOST")
    written(tmp_path, b"\xff", "unrelated")
    (tmp_path / "folder").mkdir()
    source = read_secrets_dir(str(tmp_path), must_exist=True)
    assert {"BINANCE_API_KEY": "one", "BINANCE_API_SECRET": "two"} == {
        name: plain(entry) for name, entry in source.entries.items()
    }
    assert ["BINANCE_API_KEY", "binance_api_secret"] == [entry.origin.key for entry in source.entries.values()]
    assert f"secrets directory {tmp_path}" == source.name == source.entries["BINANCE_API_KEY"].origin.source
    (told,) = source.problems  # a setting that is no secret is not read there, and its owner hears of it
    assert ("REDIS_HOST", "warning") == (told.key, told.severity)


def test_an_empty_file_in_the_secrets_directory_is_a_problem(tmp_path: Path) -> None:
    written(tmp_path, "\n", "bybit_api_key")
    (problem,) = read_secrets_dir(str(tmp_path), must_exist=True).problems
    assert (4, "bybit_api_key") == (problem.exit_code, problem.key)
    assert f"{tmp_path}/bybit_api_key is empty" == problem.message


def test_only_a_secrets_directory_that_was_named_must_exist(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    assert () == read_secrets_dir(missing, must_exist=False).problems
    (problem,) = read_secrets_dir(missing, must_exist=True).problems
    assert f"NAUTILUS_SECRETS_DIR names {missing}, which cannot be listed: no such file or directory" == problem.message
    assert 4 == problem.exit_code


def test_the_secrets_directory_may_be_named_in_a_file_and_the_environment_wins(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        written(tmp_path / name, name, "REDIS_PASSWORD")
    path = written(tmp_path, f"NAUTILUS_SECRETS_DIR={tmp_path / 'a'}\n")
    _, from_file, _ = read_sources(path, {})
    _, from_environ, _ = read_sources(path, {"NAUTILUS_SECRETS_DIR": str(tmp_path / "b")})
    assert ("a", "b") == tuple(plain(source.entries["REDIS_PASSWORD"]) for source in (from_file, from_environ))


def test_sources_come_lowest_precedence_first(tmp_path: Path) -> None:
    files = [written(tmp_path, "REDIS_HOST=a\n", name) for name in ("one.env", "two.env")]
    names = [source.name for source in read_sources(files, {"NAUTILUS_SECRETS_DIR": str(tmp_path)})]
    assert [*map(str, files), f"secrets directory {tmp_path}", ENVIRONMENT] == names


def test_without_environment_and_files_nothing_but_the_secrets_directory_is_looked_at() -> None:
    """Told by the interpreter itself: every file opened and every folder listed while the settings are loaded."""
    program = """
import sys
from config.models import TradingNodeSettings
TradingNodeSettings.from_env(env_file=None, environ={}, trader_id="TRADER-001")
seen = []
sys.addaudithook(lambda event, args: event in {"open", "os.listdir", "os.scandir"} and seen.append((event, args[0])))
TradingNodeSettings.from_env(env_file=None, environ={}, trader_id="TRADER-001")
sys.stdout.write(repr(seen))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "[('os.listdir', '/run/secrets')]" == ran.stdout


@pytest.mark.parametrize(
    "name, near",
    [
        ("BINANCE_TESTENT", "BINANCE_TESTNET"),
        ("REDIS_PASWORD", "REDIS_PASSWORD"),
        ("NAUTILUS_LOGLEVEL", "NAUTILUS_LOG_LEVEL"),
        ("BYBIT_NONSENSE_OF_ALL_KINDS", None),
    ],
)
def test_name_in_a_file_that_nothing_reads_is_a_warning_with_the_nearest_name(
    name: str, near: str | None, tmp_path: Path
) -> None:
    path = tmp_path / ".env"
    path.write_text(f"{name}=canary-value\n")
    (problem,) = read_env_file(path, must_exist=True).problems
    assert ("TN305", name, 1) == (problem.code, problem.key, problem.origin.line if problem.origin else None)
    assert problem.is_warning
    assert ((near,) if near else ()) == problem.accepted
    assert "canary" not in str(problem)


@pytest.mark.parametrize("name", ["BINANCE_WITHDRAW_URL", "REDIS_SERVICE_HOST", "NAUTILUS_PATH", "UNRELATED"])
def test_names_of_other_tools_in_the_environment_are_no_false_alarm(name: str) -> None:
    assert () == read_environ({name: "value"}).problems


@pytest.mark.parametrize("name", ["NAUTILUS_TRADERID", "NAUTILUS_WHATEVER", "BINANCE_TESTENT", "REDIS_PASSWORDS"])
def test_names_in_the_environment_that_are_surely_meant_for_us_are_told(name: str) -> None:
    (problem,) = read_environ({name: "value"}).problems
    assert "TN305" == problem.code


def test_secret_file_that_is_a_pipe_is_told_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    (problem,) = read_environ({"REDIS_PASSWORD_FILE": str(path)}).problems
    assert "TN405" == problem.code
    assert "not a regular file" in problem.message
