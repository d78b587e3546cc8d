"""What every measurement reads: the variables of a testnet node on both venues, as a mapping, a ``.env`` and secret files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from string import ascii_letters, digits


def _random(seed: int, length: int) -> str:
    """Return a text in the shape of an exchange's key, the same in every run."""
    return "".join(Random(seed).choices(ascii_letters + digits, k=length))  # noqa: S311  it opens nothing


SECRETS = {
    "REDIS_PASSWORD": "benchmark-redis-password",
    "BINANCE_FUTURES_TESTNET_API_KEY": _random(1, 64),
    "BINANCE_FUTURES_TESTNET_API_SECRET": _random(2, 64),
    "BYBIT_TESTNET_API_KEY": _random(3, 18),
    "BYBIT_TESTNET_API_SECRET": _random(4, 36),
}
# A .env as it is found in the field: the essential settings, and a third of the advanced ones.
TUNING = {
    "NAUTILUS_LOG_LEVEL": "ERROR",
    "NAUTILUS_LOG_LEVEL_FILE": "INFO",
    "NAUTILUS_LOG_MAX_SIZE_MB": "50",
    "NAUTILUS_LOG_MAX_BACKUP_COUNT": "5",
    "NAUTILUS_MAX_ORDER_SUBMIT_RATE": "10/00:00:01",
    "NAUTILUS_MAX_ORDER_MODIFY_RATE": "10/00:00:01",
    "NAUTILUS_RECONCILIATION_STARTUP_DELAY_SECS": "10",
    "NAUTILUS_STOP_TIMEOUT": "6",
    "NAUTILUS_CONNECTION_TIMEOUT": "20",
    "NAUTILUS_RECONCILIATION_TIMEOUT": "20",
    "REDIS_TIMEOUT": "2",
    "BINANCE_ACCOUNT_TYPE": "USDT_FUTURES",
    "BYBIT_PRODUCT_TYPES": "LINEAR",
}


def environ(folder: Path, *, port: int = 8900, redis_port: int = 6379, secrets: bool = True) -> dict[str, str]:
    """Return the variables of a testnet node whose exchange listens on ``port`` of loopback, secrets included or not."""
    http, ws = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
    return {
        "NAUTILUS_TRADER_ID": "BENCH-001",
        "NAUTILUS_STATE_DIR": str(folder / "state"),
        "NAUTILUS_SECRETS_DIR": str(folder / "secrets"),
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(redis_port),
        **TUNING,
        "BINANCE_BASE_URL_HTTP": http,
        "BINANCE_BASE_URL_WS": ws,
        "BINANCE_BASE_URL_WS_API": f"{ws}/ws-api",
        "BINANCE_BASE_URL_WS_STREAM": ws,
        "BYBIT_BASE_URL_HTTP": http,
        "BYBIT_BASE_URL_WS_PUBLIC": f"{ws}/v5/public",
        "BYBIT_BASE_URL_WS_PRIVATE": f"{ws}/v5/private",
        "BYBIT_BASE_URL_WS_TRADE": f"{ws}/v5/trade",
        **(SECRETS if secrets else {}),
    }


def write_secrets(folder: Path, secrets: Mapping[str, str] = SECRETS) -> Path:
    """Write each secret into a file named as its variable, in lower case as container secrets are; return the folder."""
    directory = folder / "secrets"
    directory.mkdir(exist_ok=True)
    for name, text in secrets.items():
        path = directory / name.lower()
        path.write_text(text)
        path.chmod(0o600)
    return directory


def write_env_file(folder: Path, values: Mapping[str, str]) -> Path:
    """Write a ``.env`` with a comment above each variable, as people keep them, and return its path."""
    path = folder / "settings.env"
    path.write_text("".join(f"# {name}: see the reference\n{name}={value}\n\n" for name, value in values.items()))
    path.chmod(0o600)
    return path
