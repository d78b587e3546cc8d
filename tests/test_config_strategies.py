"""Loading a strategy by ``PATH:CLASS`` and checking its configuration before the node is built."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.config import ImportableStrategyConfig, StrategyFactory
from nautilus_trader.model.identifiers import InstrumentId

from config.live.strategies import load_strategy
from config.problems import ConfigError

DATA = Path(__file__).parent / "data" / "strategies"
FILE = str(DATA / "quiet_strategy.py")
DOTTED = "tests.data.strategies.quiet_strategy"

type Write = Callable[[str, str], str]


@pytest.fixture(autouse=True)
def imports_undone(tmp_path: Path) -> Iterator[None]:
    """A strategy file becomes a module of the process: the next test begins without it."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if file.startswith((str(DATA), str(tmp_path))):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file and return its path as text."""

    def write_file(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write_file


def refusal(*args: Any) -> tuple[int, str, str]:
    """Return exit code, key and message of what ``load_strategy`` refuses."""
    with pytest.raises(ConfigError) as caught:
        load_strategy(*args)
    (problem,) = caught.value.problems
    return int(caught.value.exit_code), problem.key, problem.message


@pytest.mark.parametrize("path, module", [(FILE, "quiet_strategy"), (DOTTED, DOTTED)], ids=["file", "module"])
def test_a_strategy_becomes_what_nautilus_imports(path: str, module: str) -> None:
    expected = ImportableStrategyConfig(strategy_path=f"{module}:Quiet", config_path=f"{module}:QuietConfig", config={})
    assert expected == load_strategy(f"{path}:Quiet")


@pytest.mark.parametrize("path", [FILE, DOTTED], ids=["file", "module"])
@pytest.mark.parametrize(
    "name, text",
    [
        ("quiet.json", '{"instrument_id": "BTCUSDT-PERP.BINANCE", "size": 3, "order_id_tag": "007"}'),
        ("quiet.toml", 'instrument_id = "BTCUSDT-PERP.BINANCE"\nsize = 3\norder_id_tag = "007"\n'),
    ],
    ids=["json", "toml"],
)
def test_nautilus_makes_the_strategy_with_the_configuration_of_the_file(
    path: str, name: str, text: str, write: Write
) -> None:
    made = StrategyFactory.create(load_strategy(f"{path}:Quiet", write(name, text)))
    assert "Quiet" == type(made).__name__
    expected = (InstrumentId.from_str("BTCUSDT-PERP.BINANCE"), 3, "007")
    assert expected == (made.config.instrument_id, made.config.size, made.config.order_id_tag)


def test_the_class_of_the_configuration_may_be_named(write: Write) -> None:
    file = write("loud.json", '{"instrument_id": "BTCUSDT-PERP.BINANCE"}')
    assert f"{DOTTED}:LoudConfig" == load_strategy(f"{DOTTED}:Bare", file, "LoudConfig").config_path


def test_a_file_is_imported_once_however_often_it_is_named() -> None:
    first = load_strategy(f"{FILE}:Quiet")
    module = sys.modules["quiet_strategy"]
    assert first == load_strategy(f"{FILE}:Quiet")
    assert module is sys.modules["quiet_strategy"]


def test_the_folder_of_a_strategy_comes_last_on_the_path_so_that_it_shadows_nothing(write: Write) -> None:
    file = write("lonely_strategy.py", Path(FILE).read_text())
    load_strategy(f"{file}:Quiet")
    assert str(Path(file).parent) == sys.path[-1]


def test_a_strategy_may_import_what_lies_beside_it(write: Write) -> None:
    write("neighbour_of_it.py", "NAME = 'Quiet'\n")
    text = Path(FILE).read_text() + "\nfrom neighbour_of_it import NAME\n"
    assert "beside_it:Quiet" == load_strategy(f"{write('beside_it.py', text)}:Quiet").strategy_path


def test_a_module_in_the_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.joinpath("strategy_here.py").write_text(Path(FILE).read_text())
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    assert "strategy_here:Quiet" == load_strategy("strategy_here:Quiet").strategy_path


@pytest.mark.parametrize("spec", ["", "Quiet", "quiet_strategy.py", ":Quiet", f"{DOTTED}:", ":"])
def test_a_spec_that_is_not_path_and_class_is_a_usage_error(spec: str) -> None:
    assert (2, "--strategy", f"--strategy is '{spec}', expected PATH:CLASS") == refusal(spec)


@pytest.mark.parametrize(
    "args, expected",
    [
        (("nowhere/missing.py:Quiet",), (2, "--strategy", "nowhere/missing.py does not exist")),
        (
            (f"{DATA / 'broken_strategy.py'}:Quiet",),
            (2, "--strategy", f"{DATA / 'broken_strategy.py'} cannot be imported: ValueError: this module is broken"),
        ),
        (
            ("tests.data.strategies.broken_strategy:Quiet",),
            (
                2,
                "--strategy",
                "module tests.data.strategies.broken_strategy cannot be imported: ValueError: this module is broken",
            ),
        ),
        (
            ("no_such_module_at_all:Quiet",),
            (
                2,
                "--strategy",
                "module no_such_module_at_all cannot be imported: "
                "ModuleNotFoundError: No module named 'no_such_module_at_all'",
            ),
        ),
        ((f"{DOTTED}:Missing",), (2, "--strategy", f"{DOTTED} has no Strategy called Missing")),
        ((f"{DOTTED}:NOT_A_STRATEGY",), (2, "--strategy", f"{DOTTED} has no Strategy called NOT_A_STRATEGY")),
        ((f"{DOTTED}:QuietConfig",), (2, "--strategy", f"{DOTTED} has no Strategy called QuietConfig")),
        (
            (f"{DOTTED}:Bare",),
            (2, "--strategy-config-class", f"{DOTTED} has no StrategyConfig called BareConfig"),
        ),
        (
            (f"{DOTTED}:Quiet", None, "Quiet"),
            (2, "--strategy-config-class", f"{DOTTED} has no StrategyConfig called Quiet"),
        ),
        (
            (f"{DOTTED}:Quiet", "missing.json"),
            (2, "--strategy-config", "missing.json cannot be read: No such file or directory"),
        ),
        (
            (f"{DOTTED}:Quiet", "quiet.yaml"),
            (2, "--strategy-config", "quiet.yaml is neither .json nor .toml"),
        ),
    ],
)
def test_what_cannot_be_found_or_imported_is_a_usage_error(args: Any, expected: tuple[int, str, str]) -> None:
    assert expected == refusal(*args)


def test_a_refused_class_is_answered_with_those_that_are_there() -> None:
    with pytest.raises(ConfigError) as caught:
        load_strategy(f"{DOTTED}:Missing")
    assert "choose one of: Bare, Quiet, Strategy" == caught.value.problems[0].fix


@pytest.mark.parametrize("name", ["json", "config"])
def test_a_file_with_the_name_of_another_module_is_refused(name: str, write: Write) -> None:
    """Imported under its name, it would either replace that module or not be imported at all."""
    file = write(f"{name}.py", "")
    assert (2, "--strategy", f"{file} has the name of another module, {name}") == refusal(f"{file}:Quiet")


def test_a_broken_file_leaves_no_half_made_module_behind() -> None:
    refusal(f"{DATA / 'broken_strategy.py'}:Quiet")
    assert "broken_strategy" not in sys.modules


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("q.json", '{"size": "three"}', ["Quiet does not fit QuietConfig", "$.size"]),
        ("q.json", '{"sise": 3}', ["Quiet does not fit QuietConfig", "sise"]),
        ("q.toml", 'instrument_id = "BTCUSDT"', ["Quiet does not fit QuietConfig"]),
        ("q.toml", "size = 2024-01-01", ["Quiet does not fit QuietConfig"]),
        ("q.json", '{"size": 3', ["is not valid"]),
        ("q.toml", "size =", ["is not valid"]),
        ("q.json", "[1, 2]", ["holds no table of fields"]),
        ("q.json", "3", ["holds no table of fields"]),
    ],
)
def test_a_configuration_that_does_not_fit_is_a_problem_with_settings(
    name: str, text: str, words: list[str], write: Write
) -> None:
    code, key, message = refusal(f"{DOTTED}:Quiet", write(name, text))
    assert (4, "--strategy-config") == (code, key)
    assert [] == [word for word in words if word not in message]


def test_a_configuration_file_that_is_no_text_is_a_problem_with_settings(tmp_path: Path) -> None:
    file = tmp_path / "q.json"
    file.write_bytes(b'{"size": "\xff"}')
    assert (4, "--strategy-config") == refusal(f"{DOTTED}:Quiet", str(file))[:2]


def test_a_configuration_without_what_it_needs_is_a_problem_with_settings() -> None:
    code, _, message = refusal(f"{DOTTED}:Quiet", None, "LoudConfig")
    assert 4 == code
    assert "missing required field `instrument_id`" in message


def test_a_directory_given_as_configuration_cannot_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "q.json"
    folder.mkdir()
    assert (2, "--strategy-config", f"{folder} cannot be read: Is a directory") == refusal(
        f"{DOTTED}:Quiet", str(folder)
    )


def test_a_field_that_there_is_not_is_told_with_those_that_there_are(write: Write) -> None:
    with pytest.raises(ConfigError) as caught:
        load_strategy(f"{DOTTED}:Quiet", write("q.json", '{"sise": 3}'))
    (problem,) = caught.value.problems
    assert problem.fix.startswith("give its fields in a JSON or TOML file with --strategy-config: ")
    assert "size" in problem.fix
    assert "order_id_tag" not in problem.fix  # of every strategy
