"""Whatever an environment holds: settings, or problems that a person can read; a documented exit code; never a secret."""

from __future__ import annotations

import io
import json
import os
import pwd
import socket
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple, NoReturn
from unittest.mock import patch

import pytest

from config.cli import main, summary
from config.kinds import kinds
from config.models import TradingNodeSettings
from config.problems import ConfigError, Problem, exit_code_of
from config.settings.loading import load
from config.settings.variables import former_names, known_names, secret_names, variables_by_path
from config.show.record import rows
from tests.environments import MARK, ODD_TEXTS, VALUES, Environment, Odd, control_characters, spoilt
from tests.forked import run_forked

# What all environments, or all runs, are told by is found once, in whichever test comes first.
pytestmark = pytest.mark.timeout(400)

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = 20_000
# Of so many one goes through a command, as a process calls it.
COMMAND_EVERY = 20
RUNS = 300
RUN_SECONDS = 20
# What hangs takes longer, on the most loaded of machines.
SECONDS_EACH = 60
# Half of it is told too much, in any case of letters.
TOLD = MARK[: len(MARK) // 2].lower()
EXAMPLES = 4
DOCUMENTED = {0, 2, 3, 4, 5, 8}
# Exit code -> of so many environments at least; `check` alone gives 3, under `--strict`.
AT_LEAST = {0: 2_000, 2: 400, 3: 400, 4: 4_000, 5: 500, 8: 400}
COMMANDS: Sequence[tuple[str, ...]] = (
    ("check",),
    ("check",),
    ("check", "--json"),
    ("check", "--strict"),
    ("show",),
    ("show", "--json"),
    ("explain",),
    ("explain", "--json"),
)
# What `explain` is asked for, beside what the environment holds: a word that is none is told to be none.
EXPLAINED = (*sorted(known_names()), *variables_by_path(), *kinds(), *ODD_TEXTS, "redis.prot", "REDIS_PROT")


class Judged(NamedTuple):
    """What became of an environment, and every text that was made of it."""

    errors: tuple[Problem, ...]
    others: tuple[Problem, ...]
    texts: tuple[str, ...]

    def code(self, *, strict: bool) -> int:
        return int(exit_code_of([*self.errors, *(self.others if strict else ())]))


@dataclass
class Campaign:
    """What was found: how many environments had each exit code, and what was wrong, by kind, with some examples."""

    codes: Counter[int] = field(default_factory=Counter)
    command_codes: Counter[int] = field(default_factory=Counter)
    flaws: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    slowest: float = 0.0

    def note(self, kind: str, words: object, environment: Environment) -> None:
        self.flaws[kind] += 1
        if self.flaws[kind] <= EXAMPLES:
            self.examples.setdefault(kind, []).append(f"{words}\n  {environment}")

    def add(self, other: Campaign) -> None:
        self.codes += other.codes
        self.command_codes += other.command_codes
        self.flaws += other.flaws
        self.slowest = max(self.slowest, other.slowest)
        for kind, examples in other.examples.items():
            self.examples.setdefault(kind, []).extend(examples)

    def told(self, kind: str) -> str:
        return f"{self.flaws[kind]} environments, such as\n" + "\n".join(self.examples.get(kind, ()))


def test_the_table_of_values_has_every_variable() -> None:
    """A new variable has to be in the table, else nothing here would ever say it."""
    files = {f"{name}_FILE" for name in secret_names()}
    assert sorted(VALUES) == sorted(known_names() - files - secret_names() - former_names().keys())


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """Judge every environment, in two processes that take every other one: what ends a process ends neither of them unseen."""
    folders = [tmp_path_factory.mktemp(f"every-{start}") for start in range(2)]
    with ThreadPoolExecutor(2) as pool:
        halves = [
            pool.submit(run_forked, _judge_all, folder, range(start, ENVIRONMENTS, 2), timeout=280)
            for start, folder in enumerate(folders)
        ]
    found = Campaign()
    for half in halves:
        found.add(half.result())
    return found


def _judge_all(folder: Path, numbers: Sequence[int]) -> Campaign:
    found = Campaign()
    with chdir(folder):
        for number in numbers:
            environment = spoilt(str(number))
            environment.lay_out(folder)
            began = time.perf_counter()
            judged = _judged(environment, found)
            if judged is not None and number // 2 % COMMAND_EVERY == 0:
                _command(environment, judged, found)
            found.slowest = max(found.slowest, time.perf_counter() - began)
            environment.clear(folder)
    return found


def _judged(environment: Environment, found: Campaign) -> Judged | None:
    """Load the settings as every command does, and note what is wrong with the answer."""
    try:
        settings = load(
            TradingNodeSettings,
            env_file=environment.asked_files or ...,
            environ=environment.environ,
            preset=environment.preset,
            values={"role": environment.role} if environment.role is not None else {},
        )
    except ConfigError as error:
        problems, texts = error.problems, [str(error), repr(error)]
    except Exception:
        found.note("raised", traceback.format_exc(limit=-4), environment)
        return None
    else:
        problems = (*settings.warnings, *settings.notes)
        texts = [summary(settings), repr(settings), *(f"{row.value} {row.where}" for row in rows(settings))]
    judged = Judged(
        tuple(problem for problem in problems if problem.is_error),
        tuple(problem for problem in problems if not problem.is_error),
        (*texts, *map(str, problems), *(repr(problem.to_dict()) for problem in problems)),
    )
    found.codes[judged.code(strict=environment.seed.endswith("7"))] += 1
    if judged.errors and not environment.how:
        found.note("refused", judged.errors, environment)
    for text in () if judged.errors else texts:
        if odd := control_characters(text):
            found.note("control characters", f"{sorted(odd)} in {text!r}", environment)
    for problem in problems:
        _look_at(problem, environment, found)
    _look_through(judged.texts, environment, found)
    return judged


def _look_at(problem: Problem, environment: Environment, found: Campaign) -> None:
    needed = (problem.code in kinds(), problem.key, problem.message, problem.fix or not problem.is_error)
    if not all(needed):
        found.note("incomplete", repr(problem), environment)
    # A line end in it would let a value write lines of its own, such as `error:` or `ready`.
    for part in (problem.key, problem.message, problem.fix, str(problem.origin), str(problem.overrides)):
        if odd := control_characters(part) | ({"\n"} & set(part)):
            found.note("control characters", f"{problem.code} {sorted(odd)} in {part!r}", environment)


def _look_through(texts: Iterable[str], environment: Environment, found: Campaign) -> None:
    for text in texts:
        if TOLD in text.lower():
            at = text.lower().index(TOLD)
            found.note("secrets", f"{text[max(0, at - 150) : at + 80]!r}", environment)


def _command(environment: Environment, judged: Judged, found: Campaign) -> None:
    """Call a command the way a process does, and note what is wrong with its exit code and its output."""
    random = Random(f"command {environment.seed}")
    command = random.choice(COMMANDS)
    keys = [*environment.environ, *random.sample(EXPLAINED, 3)]
    words = ["--", *random.sample(keys, min(4, len(keys)))] if "explain" in command else []
    code, stdout, stderr = _called([*command, *environment.arguments, *words], environment)
    found.command_codes[code] += 1
    told = f"{command} {words} gave {code}"
    if code not in DOCUMENTED:
        found.note("exit codes", f"{told}: {stderr[-300:]}", environment)
    elif "explain" not in command and code != judged.code(strict="--strict" in command):
        found.note(
            "exit codes", f"{told}, expected {judged.code(strict='--strict' in command)}: {stderr[-600:]}", environment
        )
    elif "explain" in command and (code not in (0, 2, 4) or (code == 0 and not stdout)):
        found.note("exit codes", f"{told}: {stderr[-300:]}", environment)
    _look_through((stdout, stderr), environment, found)
    for name, text in (("stdout", stdout), ("stderr", stderr)):
        if odd := control_characters(text):
            found.note("control characters", f"{told}, {name} holds {sorted(odd)}", environment)
    if "--json" not in command:
        return
    try:
        problems = json.loads(stdout)["problems"]
    except (ValueError, KeyError, TypeError) as error:
        found.note("JSON", f"{told}: {error}: {stdout[:300]}", environment)
        return
    said = [problem.to_dict() for problem in (*judged.errors, *judged.others)]
    if "explain" not in command and sorted(map(repr, said)) != sorted(map(repr, problems)):
        found.note("JSON", f"{told}: {problems} are not {said}", environment)


def _called(arguments: Sequence[str], environment: Environment) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of ``tradingnode ARGUMENTS``: streams that take text as those of a process do."""
    ascii_only = Random(environment.seed).random() < 0.1
    stdout = io.TextIOWrapper(io.BytesIO(), "ascii" if ascii_only else "utf-8", "strict")
    stderr = io.TextIOWrapper(io.BytesIO(), "ascii" if ascii_only else "utf-8", "backslashreplace")
    code: object = 0
    with (
        patch.dict(os.environ, environment.environ, clear=True),
        patch.object(sys, "argv", ["tradingnode", *arguments]),
        redirect_stdout(stdout),
        redirect_stderr(stderr),
    ):
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        except Exception:
            code = 1
            stderr.write(traceback.format_exc(limit=-4))
    written = []
    for stream in (stdout, stderr):
        stream.flush()
        written.append(stream.buffer.getvalue().decode())
    assert isinstance(code, int)
    return code, written[0], written[1]


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("raised", id="nothing but a ConfigError is raised"),
        pytest.param("refused", id="what is good is taken"),
        pytest.param("incomplete", id="every problem has a known code, a key, a message and a fix"),
        pytest.param("control characters", id="nothing is printed that acts on a terminal or does not show there"),
        pytest.param("secrets", id="no secret is told, wherever it stands, not even half of it in capitals"),
        pytest.param("exit codes", id="a command ends with the documented exit code of what is wrong"),
        pytest.param("JSON", id="--json is one object with the same problems"),
    ],
)
def test_in_any_environment(kind: str, campaign: Campaign) -> None:
    assert 0 == campaign.flaws[kind], campaign.told(kind)


def test_no_environment_takes_long(campaign: Campaign) -> None:
    assert campaign.slowest < SECONDS_EACH


def test_the_environments_are_of_every_kind(campaign: Campaign) -> None:
    """Otherwise the tests above would prove nothing."""
    assert ENVIRONMENTS == campaign.codes.total()
    assert campaign.codes.keys() == DOCUMENTED
    assert {} == {code: campaign.codes[code] for code, least in AT_LEAST.items() if campaign.codes[code] < least}
    assert ENVIRONMENTS // COMMAND_EVERY == campaign.command_codes.total()
    assert campaign.command_codes.keys() == DOCUMENTED


def test_a_user_without_a_home_and_without_a_name_hears_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in a container that runs under a number that its image does not know."""

    def unknown(number: int) -> NoReturn:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    environ = {"NAUTILUS_TRADER_ID": "TRADER-001", "NAUTILUS_VENUES": "BYBIT", "NAUTILUS_SECRETS_DIR": str(tmp_path)}
    with pytest.raises(ConfigError) as caught:
        load(TradingNodeSettings, env_file=None, environ=environ, preset="sandbox")
    assert (4, ["NAUTILUS_STATE_DIR"]) == (caught.value.exit_code, [one.key for one in caught.value.problems])
    settings = load(
        TradingNodeSettings, env_file=None, environ={**environ, "NAUTILUS_STATE_DIR": "state"}, preset="sandbox"
    )
    assert Path("state") == settings.state_directory


def test_a_recorder_without_a_venue_hears_of_it(tmp_path: Path) -> None:
    """With or without a preset: a recorder of nothing cannot be built."""
    environ = {"NAUTILUS_TRADER_ID": "TRADER-001", "HOME": str(tmp_path), "NAUTILUS_SECRETS_DIR": str(tmp_path)}
    environ |= {"NAUTILUS_ROLE": "recorder", "NAUTILUS_CATALOG_PATH": "catalog"}
    with pytest.raises(ConfigError) as caught:
        load(TradingNodeSettings, env_file=None, environ=environ)
    assert (4, ["NAUTILUS_VENUES"]) == (caught.value.exit_code, [one.key for one in caught.value.problems])


# --- run -------------------------------------------------------------------------------------------------------------


class Run(NamedTuple):
    """How ``tradingnode run`` ended."""

    code: int
    output: str
    seconds: float
    environment: Environment


@pytest.fixture(scope="module")
def closed_port() -> Iterator[int]:
    """A port of loopback that nobody else can take and on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


def _for_run(seed: str, port: int) -> Environment:
    """Return an environment of a trader whose Redis, if its settings are good, is the closed port: no node is ever made."""
    environment = spoilt(seed)
    environment.preset = environment.preset or Random(seed).choice(("production", "testnet", "sandbox"))
    environment.role = None
    forced = {"NAUTILUS_ROLE": "trader", "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(port)}
    # An operating system refuses longer ones.
    environ = {name: text for name, text in environment.environ.items() if len(name) + len(text) < 30_000}
    environment.environ = {**environ, **forced, "NAUTILUS_STATE_DIR": "state"}
    return environment


def _run(environment: Environment, folder: Path) -> Run:
    folder.mkdir(mode=0o700)
    environment.lay_out(folder)
    strict = ["--strict"] if environment.seed.endswith("7") else []
    command = [sys.executable, "-m", "config", "run", *strict, *environment.arguments]
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment.environ, "PYTHONPATH": str(ROOT)}
    began = time.monotonic()
    ran = subprocess.run(
        command,
        env=environ,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=2 * RUN_SECONDS,
        check=False,
    )
    output = (ran.stdout + ran.stderr).decode(errors="surrogateescape")
    return Run(ran.returncode, output, time.monotonic() - began, environment)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, closed_port: int) -> list[Run]:
    """Run nodes, two at a time: two thirds with settings that are good, the rest with bad ones."""
    folder, tried = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("tried")
    wanted = {True: RUNS * 2 // 3, False: RUNS - RUNS * 2 // 3}
    chosen: list[Environment] = []
    for number in range(100 * RUNS):
        environment = _for_run(f"run{number}", closed_port)
        with chdir(tried):
            environment.lay_out(tried)
            judged = _judged(environment, Campaign())
            environment.clear(tried)
        good = judged is not None and not judged.errors
        if wanted[good]:
            wanted[good] -= 1
            chosen.append(environment)
        if not any(wanted.values()):
            break
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda pair: _run(pair[1], folder / str(pair[0])), enumerate(chosen)))


def test_run_ends_with_a_documented_exit_code_whatever_the_environment(runs: list[Run]) -> None:
    """Never by a signal, which is what a panic of Nautilus' would be, and never with a traceback; a good one misses its Redis."""
    assert RUNS == len(runs)
    strange = [run for run in runs if run.code not in {2, 3, 4, 5, 6, 8} or "Traceback" in run.output]
    assert not strange, [f"{run.code}: {run.output[-400:]}\n  {run.environment}" for run in strange[:EXAMPLES]]
    codes = Counter(run.code for run in runs)
    assert codes.keys() >= {3, 4, 5, 6, 8}
    assert codes[6] >= RUNS // 2


def test_run_tells_no_secret_and_prints_nothing_that_acts_on_a_terminal(runs: list[Run]) -> None:
    telling = [run for run in runs if TOLD in run.output.lower() or control_characters(run.output)]
    assert not telling, [f"{run.output!r}\n  {run.environment}" for run in telling[:EXAMPLES]]
    assert all(run.output.startswith(("error: ", "warning: ", "note: ", "starting ")) for run in runs)


def test_run_gives_up_in_time(runs: list[Run]) -> None:
    assert max(run.seconds for run in runs) < RUN_SECONDS


def test_every_odd_thing_that_may_stand_for_a_file_is_among_the_environments() -> None:
    environments = [spoilt(str(number)) for number in range(2_000)]
    contents = [*(one.files.get("odd") for one in environments), *(one.env_files.get(".env") for one in environments)]
    assert set(Odd) <= {content for content in contents if isinstance(content, Odd)}
