"""What still waits to be replaced is told from what is a key, a password or a host."""

from __future__ import annotations

import timeit
from random import Random

import pytest

from config.checks.placeholders import PLACEHOLDERS, asks_to_be_replaced, is_example_host, is_placeholder
from tests.key_generators import alphanumeric

WAITING = [
    *("your_api_key_here", "YOUR-API-KEY", "yourApiKey", "YourAPIKeyHere", "YOURAPIKEYHERE", "your api key"),
    *("changeme", "ChangeMe", "change_me_please", "change-this", "replace_me", "fill.me.in", "insert-key-here"),
    *("put your own API Key here", "paste_your_testnet_api_key_here", "enter your secret", "your_actual_testnet_key"),
    *(
        "<your key>",
        "<API_KEY>",
        "<>",
        "${BINANCE_API_KEY}",
        "${BINANCE_API_KEY:-}",
        "$BINANCE_API_KEY",
        "$(cat /run/key)",
    ),
    *("{{ key }}", "{{key}}", "{% key %}", "#{key}", "{key}", "[your key]", "[API-KEY]", "%KEY%", "@KEY@", "__KEY__"),
    *(
        "$env:BINANCE_API_KEY",
        "xxxxxxxx",
        "XXXX-XXXX-XXXX",
        "000000",
        "...",
        "\u2026",
        "***",
        "********",
        "----",
        "?",
        "x",
    ),
    *(
        "TODO",
        "TODO: add key",
        "FIXME",
        "tbd",
        "none",
        "None",
        "null",
        "undefined",
        "n/a",
        "N/A",
        "unset",
        "nan",
        "missing",
    ),
    *(
        "my_secret",
        "mysecret",
        "api_key",
        "apikey",
        "API_SECRET",
        "secret",
        "password",
        "secretKey",
        "some-key",
        "key1",
    ),
    *("test", "testing", "dummy", "example", "placeholder", "sample", "fake-key", "foobar", "test_key_123", "secret42"),
    *("binance_api_key", "bybit-testnet-secret", "BINANCE_TESTNET_API_SECRET", "bybitdemokey", "redis-password"),
    *(
        "1234567890",
        "12345",
        "0987654321",
        "12345678901234567890",
        "abcdef123456",
        "abcdefgh",
        "zyxwvu",
        "qwerty",
        "asdf",
    ),
    *(
        "qwertz123",
        "test1234",
        "password123456",
        "api_key_xxxxxxxx",
        "KEY_XXXX",
        "abcabcabc",
        "0101010101",
        "ababab-ab",
    ),
    *("your-256-bit-secret", "my-ed25519-key", "your_hmac_secret", "  your_api_key_here\n"),
    "-----BEGIN PRIVATE KEY-----\nyour private key here\n-----END PRIVATE KEY-----\n",
    "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n",
]
REAL = [
    *("", " ", "\n"),
    # A name with a number, words beside what may be a password, and what nobody would call a placeholder.
    *(
        "ALPHA-001",
        "canary-api-key",
        "correct horse battery staple",
        "hunter2",
        "key-8391027465",
        "secret-a8f3-11",
        "p4ssw0rd",
    ),
    *("2024", "20240611", "31415926", "s3cr3t", "r2d2c3po", "redis-7f3a", "test-9-key-4", "deadbeefcafe", "ключ"),
    *("5%off100%", "a<b>c", "$5", "50%", "[1, 2]", "{1}", "x=1"),
]


@pytest.mark.parametrize("text", WAITING)
def test_what_was_meant_to_be_replaced_is_a_placeholder(text: str) -> None:
    assert is_placeholder(text)


@pytest.mark.parametrize("text", REAL)
def test_what_may_be_meant_is_none(text: str) -> None:
    assert not is_placeholder(text)


@pytest.mark.parametrize(
    "alphabet", ["0123456789abcdef", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"]
)
@pytest.mark.parametrize("length", [16, 32, 64])
def test_no_random_text_of_a_smaller_alphabet_is_a_placeholder(alphabet: str, length: int) -> None:
    random = Random(f"{alphabet} {length}")
    for _ in range(10_000):
        text = "".join(random.choices(alphabet, k=length))
        assert not is_placeholder(text)


def test_hardly_any_random_password_is_a_placeholder() -> None:
    random = Random("passwords")
    assert sum(is_placeholder(alphanumeric(random, 8)) for _ in range(200_000)) <= 2
    assert sum(is_placeholder(alphanumeric(random, 12)) for _ in range(200_000)) == 0


def test_what_the_templates_put_for_a_secret_is_a_placeholder() -> None:
    assert {"api_key", "api_secret", "password", "trader_id"} == set(PLACEHOLDERS)
    assert all(is_placeholder(text) for name, text in PLACEHOLDERS.items() if name != "trader_id")


def test_a_placeholder_text_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        PLACEHOLDERS["api_key"] = ""  # type: ignore[index]


def test_a_whole_file_put_there_by_mistake_takes_no_time() -> None:
    for text in ("password" * 100_000 + "?", "abcdefghijklmnopqrstuvwxyz" * 10_000, "{{" * 100_000, "a1" * 100_000):
        assert timeit.timeit(lambda text=text: is_placeholder(text), number=1) < 1  # type: ignore[misc]


@pytest.mark.parametrize(
    "host",
    [
        *("redis.example", "cache.prod.EXAMPLE", "redis.example.", "example.com", "redis.example.com", "EXAMPLE.org"),
        *("a.b.example.net", "redis.test", "nothing.invalid", " redis.example "),
    ],
)
def test_a_name_reserved_for_documents_is_an_example(host: str) -> None:
    assert is_example_host(host)


@pytest.mark.parametrize(
    "host",
    [
        *("", ".", "redis", "localhost", "redis.localhost", "127.0.0.1", "::1", "cache.internal", "myexample.com"),
        *(
            "example.com.au",
            "example.io",
            "redis.example.co",
            "test.binance.com",
            "testnet.binance.vision",
            "notexample.org",
        ),
        *("test", "example", "redis-test", "redis.example-host"),
    ],
)
def test_a_name_that_may_be_a_host_is_none(host: str) -> None:
    assert not is_example_host(host)


@pytest.mark.parametrize(
    "text",
    [
        "your_api_key_here",
        "changeme",
        "CHANGE-ME",
        "<key>",
        "${KEY}",
        "{{ key }}",
        "xxxxxxxx",
        "...",
        "***",
        "TODO",
        "insert-key",
    ],
)
def test_what_asks_to_be_replaced_cannot_be_meant(text: str) -> None:
    assert asks_to_be_replaced(text)


@pytest.mark.parametrize("text", ["key", "test-key", "dummy", "k", "aaaaaaaa", "live_secret", "1234567890", "vN3xQ8pT"])
def test_a_dummy_may_be_meant(text: str) -> None:
    assert not asks_to_be_replaced(text)
