"""The benchmarks compare like with like, and run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from nautilus_trader.config import TradingNodeConfig

from benchmarks.by_hand import build_config
from benchmarks.equality import differences
from benchmarks.inputs import SECRETS, environ, write_secrets
from config import TradingNodeConfigFactory, TradingNodeSettings


def ours(values: dict[str, str]) -> TradingNodeConfig:
    settings = TradingNodeSettings.from_env(env_file=None, environ=values, preset="testnet")
    return TradingNodeConfigFactory.from_settings(settings)


def test_the_config_by_hand_equals_ours(tmp_path: Path) -> None:
    """Every field of every part, secrets included."""
    write_secrets(tmp_path)
    values = environ(tmp_path)
    assert [] == list(differences(ours(values), build_config(values)))


def test_a_difference_is_seen(tmp_path: Path) -> None:
    """A secret, a number deep down, a missing client: the comparison finds each."""
    write_secrets(tmp_path)
    values = environ(tmp_path)
    changed = build_config({**values, "REDIS_PORT": "1", "BYBIT_TESTNET_API_SECRET": "other"})
    changed.exec_clients.pop("BINANCE")
    expected = {
        "config.cache.database.port",
        "config.data_clients.BYBIT.api_secret",
        "config.exec_clients.BYBIT.api_secret",
        "config.exec_clients.BINANCE",
    }
    assert expected == set(differences(ours(values), changed))


def test_it_runs_and_prints_json() -> None:
    """`--only config --rounds small --json` prints one object with the documented keys, and no secret."""
    command = [sys.executable, "-m", "benchmarks", "--only", "config", "--rounds", "small", "--json"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=60)
    assert 0 == done.returncode, done.stderr
    told = json.loads(done.stdout)
    assert {"machine", "seconds", "parts", "targets"} == told.keys()
    (part,) = told["parts"]
    assert "config" == part["name"]
    for row in part["rows"]:
        assert {"name", "unit", "runs", "ours", "other", "against", "ratio"} == row.keys()
        assert {"median", "min", "max"} == row["ours"].keys()
        assert 0 < row["ours"]["min"] <= row["ours"]["median"] <= row["ours"]["max"]
    assert all({"name", "found", "ok"} == target.keys() for target in told["targets"])
    assert not any(secret in done.stdout + done.stderr for secret in SECRETS.values())
