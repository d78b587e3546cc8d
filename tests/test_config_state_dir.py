"""Which state directory is meant: the one that is named, else the only one with a readiness file, else a refusal."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from config.models import TradingNodeSettings
from config.state_dir import FOLDERS, NoStateDir, state_dir, state_home


def left(*folders: Path) -> None:
    """Make a readiness file in each folder."""
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ready.json").write_text("{}")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the folder of all state directories of the user whose home is ``tmp_path``."""
    return tmp_path / ".local" / "state" / "tradingnode"


@pytest.mark.parametrize("role", FOLDERS)
@pytest.mark.parametrize("named", [{}, {"NAUTILUS_STATE_DIR": "~/here"}, {"XDG_STATE_HOME": "XDG"}])
def test_it_is_the_directory_that_the_settings_give_the_node(
    named: dict[str, str], role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    environ = {name: value.replace("XDG", str(tmp_path / "xdg")) for name, value in named.items()}
    environ |= {"HOME": str(tmp_path), "NAUTILUS_TRADER_ID": "T-001", "NAUTILUS_ROLE": role}
    others = {
        "NAUTILUS_VENUES": "BINANCE",
        "BINANCE_INSTRUMENT_IDS": "BTCUSDT-PERP.BINANCE",
        "NAUTILUS_CATALOG_PATH": "/c",
    }
    settings = TradingNodeSettings.from_env(env_file=None, environ={**environ, **others}, preset="sandbox")
    assert str(settings.state_directory) == state_dir(environ)


def test_the_directory_that_is_named_comes_before_all_others(tmp_path: Path, home: Path) -> None:
    left(home / "T-001")
    environ = {"HOME": str(tmp_path), "NAUTILUS_STATE_DIR": "/environ"}
    assert "/environ" == state_dir(environ)
    assert "/option" == state_dir(environ, directory="/option")


def test_an_empty_variable_is_unset(tmp_path: Path, home: Path) -> None:
    left(home / "T-001")
    environ = dict.fromkeys(("NAUTILUS_STATE_DIR", "NAUTILUS_TRADER_ID", "NAUTILUS_ROLE", "XDG_STATE_HOME"), "")
    assert str(home / "T-001") == state_dir({**environ, "HOME": str(tmp_path)})


def test_only_a_directory_with_a_readiness_file_counts(tmp_path: Path, home: Path) -> None:
    (home / "OLD-001").mkdir(parents=True)
    left(home / "NEW-002" / "recorder")
    assert str(home / "NEW-002" / "recorder") == state_dir({"HOME": str(tmp_path)})


def test_of_several_the_trader_id_decides(tmp_path: Path, home: Path) -> None:
    left(home / "A-001", home / "B-001")
    assert str(home / "B-001") == state_dir({"HOME": str(tmp_path)}, trader_id="B-001")
    assert str(home / "B-001") == state_dir({"HOME": str(tmp_path), "NAUTILUS_TRADER_ID": "B-001"})
    with pytest.raises(NoStateDir) as refused:
        state_dir({"HOME": str(tmp_path)})
    assert refused.value.is_usage
    assert f"there are 2 readiness files, in {home / 'A-001'}, {home / 'B-001'}" == refused.value.message
    assert "--trader-id" in refused.value.fix


@pytest.mark.parametrize("environ", [{"NAUTILUS_STATE_DIR": "HOME/T-001"}, {"NAUTILUS_TRADER_ID": "T-001"}])
def test_of_a_trader_and_its_recorder_the_role_decides(environ: dict[str, str], tmp_path: Path, home: Path) -> None:
    left(home / "T-001", home / "T-001" / "recorder")
    environ = {name: value.replace("HOME", str(home)) for name, value in environ.items()} | {"HOME": str(tmp_path)}
    assert str(home / "T-001") == state_dir(environ, role="trader")
    assert str(home / "T-001" / "recorder") == state_dir({**environ, "NAUTILUS_ROLE": "RECORDER"})
    assert str(home / "T-001") == state_dir(environ, directory=str(home / "T-001"))
    assert str(home / "T-001" / "recorder") == state_dir(environ, directory=str(home / "T-001" / "recorder"))
    with pytest.raises(NoStateDir, match="there are 2 readiness files"):
        state_dir(environ)


def test_without_any_run_there_is_none(tmp_path: Path, home: Path) -> None:
    with pytest.raises(NoStateDir) as refused:
        state_dir({"HOME": str(tmp_path)})
    assert not refused.value.is_usage
    assert f"no run has left a readiness file below {home}" == refused.value.message


def test_a_folder_that_cannot_be_listed_is_told_as_that(tmp_path: Path, home: Path) -> None:
    home.parent.mkdir(parents=True)
    home.write_text("a file")
    with pytest.raises(NoStateDir, match="cannot be read: not a directory"):
        state_dir({"HOME": str(tmp_path)})


def test_an_unknown_role_is_refused_without_repeating_it(tmp_path: Path) -> None:
    with pytest.raises(NoStateDir, match=r"^NAUTILUS_ROLE is none of trader, recorder$"):
        state_dir({"HOME": str(tmp_path), "NAUTILUS_ROLE": "canary"})


@pytest.mark.parametrize(
    "environ, expected",
    [
        ({"XDG_STATE_HOME": "/xdg", "HOME": "/home/me"}, "/xdg"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/home/me"}, "/home/me/.local/state"),
        ({"HOME": "/"}, "/.local/state"),
    ],
)
def test_the_users_state_directory_follows_the_xdg_specification(environ: dict[str, str], expected: str) -> None:
    assert expected == state_home(environ)


def test_without_a_variable_the_list_of_users_tells_the_home() -> None:
    assert f"{pwd.getpwuid(os.getuid()).pw_dir.rstrip('/')}/.local/state" == state_home({})
