"""A fingerprint tells two secrets apart, is the same for two copies of one, and is refused to what could be guessed from it."""

from __future__ import annotations

import hashlib
from random import Random

import pytest

from config.checks.fingerprints import fingerprint
from tests.key_generators import alphanumeric, binance_ed25519_pair, binance_hexadecimal_pair, ed25519_pem, pem

RANDOM = Random("fingerprints")
SECRET = alphanumeric(RANDOM, 64)
PEM = ed25519_pem(RANDOM.randbytes(32))
BARE = PEM.splitlines()[1]

GUESSABLE = {
    "nothing": "",
    "an API key of Bybit": alphanumeric(RANDOM, 18),
    "one character too few": SECRET[:31],
    "a password": "Tr0ub4dor&3",
    "a long password": "Tr0ub4dor&3-Tr0ub4dor&3-Tr0ub4dor&3",
    "a sentence": "the quick brown fox jumps over the lazy dog",
    "a sentence without spaces": "thequickbrownfoxjumpsoverthelazydog",
    "a sentence with hyphens": "The-Quick-Brown-Fox-Jumps-Over-The-Lazy-Dog",
    "a secret with a space": f"{SECRET[:40]} {SECRET[40:]}",
    "a secret with a line break": f"{SECRET}\n",
    "a secret in quotes": f'"{SECRET}"',
    "one character": "a" * 64,
    "few characters": "aB3dE6gH" * 8,
    "few hexadecimal digits": "deadbeef" * 8,
    "a placeholder": "your_very_own_binance_api_secret_here",
    "a placeholder in both cases": "YourOwnBinanceTestnetApiSecretMustBePasteHere",
    "rows of the keyboard": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "a PEM with a placeholder": "-----BEGIN PRIVATE KEY-----\nyour private key here\n-----END PRIVATE KEY-----",
    "a PEM without a key": "-----BEGIN PRIVATE KEY-----\n\n-----END PRIVATE KEY-----",
    "a PEM of one character": f"-----BEGIN PRIVATE KEY-----\n{'A' * 64}\n-----END PRIVATE KEY-----",
    "a public key": pem("PUBLIC KEY", RANDOM.randbytes(44)),
    "letters that are not ASCII": "\u00e4\u00f6\u00fc" * 20,
}


def test_it_is_eight_hexadecimal_digits_that_no_release_may_change() -> None:
    """People compare them across machines and days."""
    expected = hashlib.sha256(b"tradingnode-config secret fingerprint 1\0" + SECRET.encode()).hexdigest()[:8]
    assert expected == fingerprint(SECRET)
    assert "42918890" == fingerprint("vN5nkzZ8JqXTeR4UyG2pLbW7cDmA1sHfK9oQ3iEwYtBr6xCjVuPgS0dFhMlIaOz2")


def test_it_is_not_what_others_hash() -> None:
    assert fingerprint(SECRET) != hashlib.sha256(SECRET.encode()).hexdigest()[:8]


def test_two_secrets_that_differ_in_one_character_have_two_fingerprints() -> None:
    seen = {
        fingerprint(SECRET[:place] + ("a" if SECRET[place] != "a" else "b") + SECRET[place + 1 :])
        for place in range(64)
    }
    assert 64 == len(seen)
    assert fingerprint(SECRET) not in seen


def test_the_line_breaks_of_a_pem_make_no_difference() -> None:
    forms = [PEM, PEM.rstrip(), PEM.replace("\n", "\r\n"), PEM.replace(BARE, f"{BARE[:32]}\n{BARE[32:]}")]
    (one,) = {fingerprint(form) for form in forms}
    assert one is not None
    assert one != fingerprint(ed25519_pem(RANDOM.randbytes(32)))


def test_it_holds_nothing_of_the_secret() -> None:
    """Eight digits of 64 hexadecimal ones could be the start or the end of them by chance only."""
    for _ in range(1_000):
        for secret in (*binance_hexadecimal_pair(RANDOM), *binance_ed25519_pair(RANDOM)):
            digits = fingerprint(secret)
            assert digits is not None
            assert digits not in secret


def test_every_form_of_a_secret_that_an_exchange_makes_has_one() -> None:
    for secret in (SECRET, alphanumeric(RANDOM, 36), RANDOM.randbytes(32).hex(), PEM, BARE, f"{SECRET[:42]}w="):
        digits = fingerprint(secret)
        assert digits is not None
        assert 8 == len(digits)
        assert set(digits) <= set("0123456789abcdef")


@pytest.mark.parametrize("name", GUESSABLE)
def test_what_could_be_guessed_has_none(name: str) -> None:
    assert fingerprint(GUESSABLE[name]) is None
