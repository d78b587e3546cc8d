"""Whose a url is: an exchange's live host, its testnet or demo, or something else such as a gateway or loopback."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal
from urllib.parse import urlsplit

type EndpointClass = Literal["live", "testnet", "other"]

# Registered domains of the exchanges; every host below them is theirs.
EXCHANGE_DOMAINS = (
    "binance.com",
    "binance.us",
    "binance.vision",
    "bybit.com",
    "bytick.com",
    "bybit.eu",
    "bybit.nl",
    "bybit.kz",
    "bybit-tr.com",
    "bybitgeorgia.ge",
)
# Binance's futures test environment has a domain of its own.
TESTNET_DOMAINS = ("binancefuture.com",)
TESTNET_MARKS = ("testnet", "demo")

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def _below(host: str, domains: tuple[str, ...]) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


@lru_cache(maxsize=128)
def classify(url: str) -> EndpointClass:
    """Return whether ``url`` is an exchange's ``live`` host, its ``testnet`` (or demo) host, or an ``other`` one.

    Examples
    --------
    >>> classify("https://fapi.binance.com"), classify("wss://stream-demo.bybit.com/v5/private")
    ('live', 'testnet')
    >>> classify("http://127.0.0.1:8900")
    'other'

    """
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    if _below(host, TESTNET_DOMAINS):
        return "testnet"
    if _below(host, EXCHANGE_DOMAINS):
        return "testnet" if any(mark in host for mark in TESTNET_MARKS) else "live"
    return "other"


@lru_cache(maxsize=128)
def address(url: str) -> str:
    """Return ``host:port`` of ``url``, the port its scheme's default where none is given."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{parts.port or DEFAULT_PORTS.get(parts.scheme, 443)}"
