"""``from_env`` alone, beside the same fields on pydantic-settings' own sources."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import SecretStr

from benchmarks.inputs import SECRETS, environ, write_env_file, write_secrets
from benchmarks.measure import Part, Row, Target, warm
from benchmarks.stock import stock_settings
from config.models import TradingNodeSettings

MOST_PARSES = 1.5
LEAST_PER_SECOND = 1000


@contextmanager
def process_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Add ``values`` to this process' environment for a while: stock sources read no other."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def measure(rounds: int) -> Part:
    from_env, stock, tuned = TradingNodeSettings.from_env, stock_settings(), stock_settings(tuned=True)
    with tempfile.TemporaryDirectory(prefix="tradingnode-bench-") as name:
        folder = Path(name)
        values = environ(folder)
        secrets = write_secrets(folder, {})
        file = write_env_file(folder, values)
        lines = len(file.read_text().splitlines())
        in_file = f"{len(values)} variables in a .env of {lines} lines"
        plain = environ(folder, secrets=False)

        def from_mapping() -> TradingNodeSettings:
            return from_env(env_file=None, environ=values, preset="testnet")

        def from_file() -> TradingNodeSettings:
            return from_env(env_file=file, environ={}, preset="testnet")

        def from_secrets() -> TradingNodeSettings:
            return from_env(env_file=None, environ=plain, preset="testnet")

        def theirs(cls: Any, **sources: Any) -> Callable[[], Any]:
            return lambda: cls(**sources)

        _assert_same(from_file(), theirs(stock, _env_file=file)())
        with process_environment(values):
            ours, other = warm((from_mapping, theirs(stock)), rounds)
        file_ours, file_parsed, file_stock, file_tuned = warm(
            (from_file, lambda: dotenv_values(file), theirs(stock, _env_file=file), theirs(tuned, _env_file=file)),
            rounds,
        )
        write_secrets(folder)
        with process_environment(plain):
            _assert_same(from_secrets(), theirs(stock, _secrets_dir=secrets)())
            secret_ours, secret_stock = warm((from_secrets, theirs(stock, _secrets_dir=secrets)), rounds)
    rows = (
        Row(f"{len(values)} variables in the environment", ours, other, "pydantic-settings"),
        Row(in_file, file_ours, file_parsed, "dotenv_values of it"),
        Row(in_file, file_ours, file_stock, "pydantic-settings"),
        Row(in_file, file_ours, file_tuned, "the same, only_existing"),
        Row(
            f"{len(plain)} in the environment, {len(SECRETS)} secret files",
            secret_ours,
            secret_stock,
            "pydantic-settings",
        ),
    )
    ratio, per_second = file_ours.median / file_parsed.median, 1000 / ours.median
    targets = (
        Target(
            f"settings from a .env: at most {MOST_PARSES} times dotenv_values of it",
            f"{ratio:.2f}",
            ratio <= MOST_PARSES,
        ),
        Target(
            f"settings from a mapping: {LEAST_PER_SECOND:,} a second",
            f"{per_second:,.0f}",
            per_second >= LEAST_PER_SECOND,
        ),
    )
    title = "Settings alone: from_env against BaseSettings with its own sources, no provenance"
    return Part("settings", title, rows, targets)


def _assert_same(ours: TradingNodeSettings, theirs: Any) -> None:
    """Both read the same values: numbers, texts and secrets from the far ends of the table."""
    assert ours.redis is not None
    assert ours.bybit is not None
    assert isinstance(ours.bybit.api_secret, SecretStr)
    assert (
        ours.trader_id,
        ours.redis.port,
        ours.redis.password,
        ours.bybit.product_types,
        ours.bybit.api_secret,
        ours.logging.max_size_mb,
    ) == (
        theirs.nautilus_trader_id,
        theirs.redis_port,
        theirs.redis_password,
        theirs.bybit_product_types,
        theirs.bybit_testnet_api_secret,
        theirs.nautilus_log_max_size_mb,
    )
