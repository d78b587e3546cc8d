"""Whose a url is: real hosts of both exchanges, look-alikes, loopback."""

from __future__ import annotations

import pytest

from config.checks.endpoints import address, classify

LIVE = (
    "https://api.binance.com",
    "https://api1.binance.com",
    "https://fapi.binance.com",
    "https://dapi.binance.com",
    "https://api.binance.us",
    "https://data-api.binance.vision",
    "wss://stream.binance.com:9443/ws",
    "wss://fstream.binance.com",
    "wss://dstream.binance.com",
    "wss://ws-api.binance.com:443/ws-api/v3",
    "wss://ws-fapi.binance.com/ws-fapi/v1",
    "https://api.bybit.com",
    "https://api.bytick.com",
    "https://api.bybit.nl",
    "https://api.bybit-tr.com",
    "https://api.bybit.kz",
    "https://api.bybitgeorgia.ge",
    "https://api.bybit.eu",
    "wss://stream.bybit.com/v5/public/linear",
    "wss://stream.bybit.com/v5/trade",
    "HTTPS://FAPI.BINANCE.COM",
    "https://fapi.binance.com.",  # the same host, written with the root's dot
    "https://user:password@fapi.binance.com/",
)
TESTNET = (
    "https://testnet.binance.vision",
    "wss://stream.testnet.binance.vision",
    "wss://ws-api.testnet.binance.vision/ws-api/v3",
    "https://testnet.binancefuture.com",
    "wss://fstream.binancefuture.com",
    "wss://stream.binancefuture.com",
    "https://demo-fapi.binance.com",
    "https://demo-api.binance.com",
    "wss://demo-stream.binance.com",
    "https://api-testnet.bybit.com",
    "wss://stream-testnet.bybit.com/v5/public/linear",
    "https://api-demo.bybit.com",
    "wss://stream-demo.bybit.com/v5/private",
)
OTHER = (
    "https://binance.com.evil.example",
    "https://fapi.binance.com.evil.example",
    "https://evilbinance.com",
    "https://evil.example/fapi.binance.com",
    "https://evil.example/?host=api.bybit.com",
    "https://fapi.binance.com@evil.example",
    "https://api-bybit.com",
    "https://evilbinancefuture.com",
    "https://testnet.example",
    "http://127.0.0.1:8900",
    "ws://localhost:8900/ws",
    "http://[::1]:8900",
    "https://gateway.example:8443",
    "not a url",
    "",
)


@pytest.mark.parametrize(
    "expected, url",
    [
        *(("live", url) for url in LIVE),
        *(("testnet", url) for url in TESTNET),
        *(("other", url) for url in OTHER),
    ],
)
def test_the_host_alone_decides_whose_a_url_is(expected: str, url: str) -> None:
    assert expected == classify(url)


@pytest.mark.parametrize(
    "expected, url",
    [
        ("gateway.example:8443", "https://Gateway.Example:8443/path"),
        ("gateway.example:443", "https://gateway.example"),
        ("gateway.example:80", "http://gateway.example"),
        ("gateway.example:443", "wss://gateway.example/ws"),
        ("gateway.example:80", "ws://gateway.example/ws"),
        ("[::1]:8900", "http://[::1]:8900"),
    ],
)
def test_an_address_always_has_a_port(expected: str, url: str) -> None:
    assert expected == address(url)
