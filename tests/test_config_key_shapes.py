"""The shape of keys: not one good key is found odd, every broken one is, and nothing that is said of it repeats any of it."""

from __future__ import annotations

import base64
import re
import timeit
import warnings
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from random import Random
from typing import NamedTuple

import pytest
from nautilus_trader.adapters.binance.common.credentials import extract_ed25519_private_key, is_ed25519_private_key

from config.checks.fingerprints import fingerprint
from config.checks.key_shapes import SHAPES, VENUE_NAMES, Oddity, oddities
from config.checks.placeholders import is_placeholder
from tests.key_generators import (
    ALPHANUMERIC,
    BIT_STRING,
    ED25519,
    INTEGER,
    NULL,
    OCTET_STRING,
    OID,
    SEQUENCE,
    alphanumeric,
    binance_ed25519_pair,
    binance_hexadecimal_pair,
    binance_hmac_pair,
    bybit_hmac_pair,
    der,
    ed25519_pem,
    pem,
    pkcs8,
)

KINDS: dict[str, tuple[str, Callable[[Random], tuple[str, str]]]] = {
    "Binance HMAC": ("binance", binance_hmac_pair),
    "Binance HMAC in hexadecimal": ("binance", binance_hexadecimal_pair),
    "Binance Ed25519": ("binance", binance_ed25519_pair),
    "Bybit HMAC": ("bybit", bybit_hmac_pair),
}
RANDOM = Random("canaries")
KEY = alphanumeric(RANDOM, 64)
BYBIT_KEY = alphanumeric(RANDOM, 18)
BYBIT_SECRET = alphanumeric(RANDOM, 36)
SEED = RANDOM.randbytes(32)
PEM = ed25519_pem(SEED)
BARE = PEM.splitlines()[1]
OTHER = RANDOM.randbytes(300)

# RFC 8017 appendix A.1, RFC 5480 section 2.1.1, RFC 8410 section 3 (X25519) and section 10.3 (version 2, with its public key).
RSA = der(SEQUENCE, der(OID, bytes.fromhex("2a864886f70d010101")), der(NULL))
EC = der(SEQUENCE, der(OID, bytes.fromhex("2a8648ce3d0201")), der(OID, bytes.fromhex("2a8648ce3d030107")))
X25519 = der(SEQUENCE, der(OID, bytes.fromhex("2b656e")))
RSA_KEY = der(SEQUENCE, der(INTEGER, b"\0"), der(INTEGER, OTHER))
RSA_PEM = pem("PRIVATE KEY", pkcs8(RSA, RSA_KEY))
EC_PEM = pem("PRIVATE KEY", pkcs8(EC, OTHER[:120]))
PUBLIC = der(SEQUENCE, ED25519, der(BIT_STRING, b"\0", OTHER[:32]))
PUBLIC_PEM = pem("PUBLIC KEY", PUBLIC)
VERSION_2 = der(
    SEQUENCE,
    der(INTEGER, b"\1"),
    ED25519,
    der(OCTET_STRING, der(OCTET_STRING, SEED)),
    der(0x81, b"\0", OTHER[:32]),
)
TRADITIONAL = pem("RSA PRIVATE KEY", RSA_KEY)
LOCKED = TRADITIONAL.replace("KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n", 1)


# What may get into a key: one of these at any place makes it odd.
WRONG = (
    *(" ", "\n", "\t", "\0", '"', "'", "=", ":", "-", "{", "\\n", "://"),
    *("\u200b", "\u00e9", "-----", "-----BEGIN ", "ENCRYPTED"),
)


class Row(NamedTuple):
    """A key that is odd, and how the reason has to read."""

    venue: str
    part: str
    text: str
    reason: str


def binance_key(text: str, reason: str) -> Row:
    return Row("binance", "api_key", text, reason)


def binance_secret(text: str, reason: str) -> Row:
    return Row("binance", "api_secret", text, reason)


BROKEN = {
    "a space before it": binance_key(f" {KEY}", "a space in it"),
    "a tab after it": binance_key(f"{KEY}\t", "a space in it"),
    "a space within": binance_secret(f"{KEY[:30]} {KEY[30:]}", "a space in it"),
    "a line break after it": binance_secret(f"{KEY}\n", "a line break in it"),
    "a line break within": binance_secret(f"{KEY[:30]}\r\n{KEY[30:]}", "a line break in it"),
    "two lines": Row("bybit", "api_key", f"{BYBIT_KEY}\n{BYBIT_SECRET}", "a line break in it"),
    "double quotes": binance_key(f'"{KEY}"', "quotation marks"),
    "single quotes": Row("bybit", "api_secret", f"'{BYBIT_SECRET}'", "quotation marks"),
    "one quote": binance_key(f"{KEY}'", "quotation marks"),
    "curly quotes": binance_key(f"\u201c{KEY}\u201d", "quotation marks"),
    "low quotes": binance_key(f"\u201e{KEY}\u201c", "quotation marks"),
    "back quotes": binance_key(f"`{KEY}`", "quotation marks"),
    "a zero-width space": binance_key(f"{KEY[:9]}\u200b{KEY[9:]}", "cannot be seen"),
    "a byte order mark": binance_secret(f"\ufeff{KEY}", "cannot be seen"),
    "a no-break space": Row("bybit", "api_key", f"{BYBIT_KEY}\u00a0", "cannot be seen"),
    "a Cyrillic letter": binance_secret(f"{KEY[:63]}\u0430", "not ASCII"),
    "full-width digits": Row("bybit", "api_key", f"{BYBIT_KEY[:17]}\uff11", "not ASCII"),
    "a zero byte": binance_key(f"{KEY}\0", "control character"),
    "an escape": binance_key(f"\x1b[0m{KEY}", "control character"),
    "a name and an equals sign": binance_key(f"BINANCE_API_KEY={KEY}", "begins with a name"),
    "a name with spaces": binance_key(f"BINANCE_API_KEY = {KEY}", "begins with a name"),
    "an export": binance_secret(f"export BINANCE_API_SECRET={KEY}", "begins with a name"),
    "a bare export": binance_secret(f"export {KEY}", "begins with a name"),
    "a line of PowerShell": binance_key(f'$env:BINANCE_API_KEY="{KEY}"', "begins with a name"),
    "a line of a batch file": Row("bybit", "api_key", f"set BYBIT_API_KEY={BYBIT_KEY}", "begins with a name"),
    "a line of YAML": Row("bybit", "api_secret", f"api_secret: {BYBIT_SECRET}", "begins with a name"),
    "an HTTP header": binance_key(f"X-MBX-APIKEY: {KEY}", "begins with a name"),
    "a line with a PEM": binance_secret(f"BINANCE_API_SECRET={PEM}", "begins with a name"),
    "JSON": binance_key(f'{{"apiKey": "{KEY}", "secretKey": "{KEY[::-1]}"}}', "JSON"),
    "JSON in a list": Row("bybit", "api_key", f'[{{"apiKey": "{BYBIT_KEY}"}}]', "JSON"),
    "a URL": binance_key(f"https://api.binance.com/?apiKey={KEY}", "address"),
    "a path in the home": binance_secret("~/keys/binance", "path of a file"),
    "a path of a secret": binance_secret("/run/secrets/binance_api_secret", "path of a file"),
    "a path on Windows": binance_secret("C:\\keys\\binance.pem", "path of a file"),
    "the name of a PEM": binance_secret("binance_ed25519.pem", "path of a file"),
    "PEM with spaces for line breaks": binance_secret(PEM.strip().replace("\n", " "), "line breaks were lost"),
    "PEM without line breaks": binance_secret(PEM.replace("\n", ""), "line breaks were lost"),
    "PEM with one line break": binance_secret(PEM.strip().replace("\n", "", 1), "line breaks were lost"),
    "PEM with two characters for each": binance_secret(PEM.replace("\n", "\\n"), r"two characters \n"),
    "PEM with four characters for each": binance_secret(PEM.replace("\n", "\\r\\n"), r"two characters \n"),
    "PEM in quotes": binance_secret(f'"{PEM}"', "quotation marks"),
    "PEM after a byte order mark": binance_secret(f"\ufeff{PEM}", "cannot be seen"),
    "PEM that is indented": binance_secret(PEM.replace("\n", "\n    "), "with spaces"),
    "PEM with a space at the end of its line": binance_secret(PEM.replace("\n-----END", " \n-----END"), "with spaces"),
    "PEM with lines before it": binance_secret(f"Bag Attributes\n    friendlyName: x\n{PEM}", "with spaces"),
    "PEM without its END line": binance_secret(PEM[: PEM.index("-----END")], "without its END line"),
    "PEM without its BEGIN line": binance_secret(PEM[PEM.index("\n") + 1 :], "without its BEGIN line"),
    "PEM with dashes missing": binance_secret(PEM[1:], "without its BEGIN line"),
    "PEM that lost the first character": binance_secret(PEM.replace(BARE, BARE[1:]), "missing or changed"),
    "PEM that lost the last four": binance_secret(PEM.replace(BARE, BARE[:-4]), "missing or changed"),
    "PEM that lost all but the border": binance_secret(PEM.replace(BARE, ""), "missing or changed"),
    "PEM with a character too many": binance_secret(PEM.replace(BARE, f"{BARE}*"), "missing or changed"),
    "PEM with two keys": binance_secret(PEM + PUBLIC_PEM, "more than one"),
    "PEM that is encrypted": binance_secret(pem("ENCRYPTED PRIVATE KEY", OTHER[:150]), "encrypted"),
    "PEM that is encrypted the old way": binance_secret(LOCKED, "encrypted"),
    "PEM of a public key": binance_secret(PUBLIC_PEM, "public half"),
    "PEM of an RSA key": binance_secret(RSA_PEM, "RSA key"),
    "PEM of an RSA key, the old way": binance_secret(TRADITIONAL, "RSA key"),
    "PEM of an EC key": binance_secret(EC_PEM, "EC (ECDSA) key"),
    "PEM of an EC key, the old way": binance_secret(pem("EC PRIVATE KEY", OTHER[:121]), "EC (ECDSA) key"),
    "PEM of an X25519 key": binance_secret(
        pem("PRIVATE KEY", pkcs8(X25519, der(OCTET_STRING, SEED))), "no Ed25519 private key"
    ),
    "PEM of something else": binance_secret(pem("CERTIFICATE", OTHER), "no Ed25519 private key"),
    "PEM with the public key in it": binance_secret(pem("PRIVATE KEY", VERSION_2), "key of 83 bytes"),
    "a key of OpenSSH": binance_secret(pem("OPENSSH PRIVATE KEY", OTHER), "SSH program"),
    "a public key of OpenSSH": binance_secret(f"ssh-ed25519 {base64.b64encode(OTHER[:51]).decode()}", "SSH program"),
    "a key of PuTTY": binance_secret("PuTTY-User-Key-File-3: ssh-ed25519\n", "SSH program"),
    "bare base64 cut off": binance_secret(BARE[:-4], "missing or changed"),
    "bare base64 without its last character": binance_secret(BARE[:-1], "missing or changed"),
    "bare base64 of a public key": binance_secret(base64.b64encode(PUBLIC).decode(), "public half"),
    "bare base64 of an RSA key": binance_secret("".join(RSA_PEM.splitlines()[1:-1]), "RSA key"),
    "bare base64 with a space": binance_secret(f"{BARE[:40]} {BARE[40:]}", "with spaces"),
    "a PEM for the API key": binance_key(PEM, "not an API key"),
    "a public PEM for the API key": binance_key(PUBLIC_PEM, "not an API key"),
    "bare base64 for the API key": binance_key(BARE, "not an API key"),
    "an RSA key for Bybit": Row("bybit", "api_secret", RSA_PEM, "HMAC secrets only"),
    "an Ed25519 key for Bybit": Row("bybit", "api_secret", PEM, "HMAC secrets only"),
    "bare base64 for Bybit": Row("bybit", "api_secret", BARE, "HMAC secrets only"),
    "a PEM for Bybit's API key": Row("bybit", "api_key", RSA_PEM, "not an API key"),
}
UNUSUAL = {
    "one character short": binance_key(
        KEY[:63], "it has 63 characters, Binance's API keys have 64: it may have been cut off when it was copied"
    ),
    "one character": Row(
        "bybit", "api_key", "k", "it has 1 character, Bybit's API keys have 18: it may have been cut off"
    ),
    "one character more": binance_secret(
        f"{KEY}k", "it has 65 characters, Binance's HMAC secrets have 64: something may have been copied along with it"
    ),
    "twice": Row(
        "bybit", "api_key", BYBIT_KEY * 2, "it has 36 characters, Bybit's API keys have 18: that is the length of"
    ),
    "twice, and longer": binance_secret(KEY * 2, "it was pasted twice"),
    "Bybit's key for Binance": binance_key(BYBIT_KEY, "that is the length of Bybit's API keys"),
    "Binance's secret for Bybit": Row("bybit", "api_secret", KEY, "that is the length of Binance's HMAC secrets"),
    "key and secret swapped": Row("bybit", "api_secret", BYBIT_KEY, "that is the length of Bybit's API keys"),
    "a hyphen": binance_key(f"{KEY[:63]}-", "it has characters other than letters and digits"),
    "base64": Row(
        "bybit", "api_secret", f"{BYBIT_SECRET}+/==", "it has 40 characters, not all of them letters or digits"
    ),
    "a bare seed": binance_secret(base64.b64encode(SEED).decode(), "the bare bytes of an Ed25519 key"),
    "a few words": binance_secret("canary-binance-secret", "it has 21 characters, not all of them letters or digits"),
}
GOOD = {
    "a Binance key": ("binance", "api_key", KEY),
    "a Binance secret": ("binance", "api_secret", KEY),
    "a Bybit key": ("bybit", "api_key", BYBIT_KEY),
    "a Bybit secret": ("bybit", "api_secret", BYBIT_SECRET),
}
ED25519_GOOD = {
    "as OpenSSL writes it": PEM,
    "without the last line break": PEM.rstrip("\n"),
    "with empty lines": f"\n{PEM.replace(BARE, f'{BARE}\n')}\n",
    "with line breaks of Windows": PEM.replace("\n", "\r\n"),
    "with line breaks of Windows, without the last": PEM.replace("\n", "\r\n").rstrip(),
    "with shorter lines": PEM.replace(BARE, f"{BARE[:40]}\n{BARE[40:]}"),
    "bare": BARE,
    "bare, with a line break": f"{BARE}\n",
}


def found(row: Row) -> Oddity:
    (oddity,) = oddities(row.venue, row.part, row.text)
    return oddity


def told(oddity: Oddity) -> str:
    return f"{oddity.reason}\n{oddity.fix}"


def leaked(text: str, oddity: Oddity) -> set[str]:
    """Return every four characters running of any secret in ``text`` that the oddity repeats."""
    secrets = [KEY, KEY[::-1], BYBIT_KEY, BYBIT_SECRET, BARE, *re.findall(r"(?m)^[A-Za-z0-9+/=]{20,}\r?$", text)]
    pieces = {secret[start : start + 4] for secret in secrets for start in range(len(secret) - 3)}
    return {piece for piece in pieces if piece in told(oddity)}


@pytest.mark.parametrize("kind", KINDS)
def test_none_of_100_000_good_pairs_is_odd_or_a_placeholder_and_all_that_are_long_enough_have_a_fingerprint(
    kind: str,
) -> None:
    venue, generate = KINDS[kind]
    random = Random(kind)
    for _ in range(100_000):
        for part, text in zip(("api_key", "api_secret"), generate(random), strict=True):
            assert not [*oddities(venue, part, text)]
            assert not is_placeholder(text)
            assert (len(text) >= 32) == (fingerprint(text) is not None)


@pytest.mark.parametrize("name", GOOD)
def test_a_good_key_has_no_oddity(name: str) -> None:
    assert [] == [*oddities(*GOOD[name])]


@pytest.mark.parametrize("name", ED25519_GOOD)
def test_every_form_of_an_ed25519_key_that_nautilus_takes_has_no_oddity(name: str) -> None:
    text = ED25519_GOOD[name]
    assert is_ed25519_private_key(text)
    assert SEED == extract_ed25519_private_key(text)
    assert [] == [*oddities("binance", "api_secret", text)]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_key_is_an_error_that_says_why_and_what_to_do(name: str) -> None:
    oddity = found(BROKEN[name])
    assert oddity.broken
    assert BROKEN[name].reason in oddity.reason
    assert oddity.fix


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_key_is_only_a_warning(name: str) -> None:
    oddity = found(UNUSUAL[name])
    assert not oddity.broken
    assert UNUSUAL[name].reason in oddity.reason
    assert oddity.fix


def test_nautilus_cannot_sign_with_any_broken_key_file_that_has_both_its_borders() -> None:
    """It takes the text for an HMAC secret, or signs with other bytes than those of the private key."""
    for name, row in BROKEN.items():
        if row[:2] != ("binance", "api_secret") or "END line" in row.reason or "BEGIN line" in row.reason:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            taken = is_ed25519_private_key(row.text)
        assert not taken or SEED != extract_ed25519_private_key(row.text), name


@pytest.mark.parametrize("name", [*BROKEN, *UNUSUAL])
def test_nothing_that_is_said_repeats_four_characters_of_the_key(name: str) -> None:
    row = (BROKEN | UNUSUAL)[name]
    assert set() == leaked(row.text, found(row))


def test_the_search_for_leaks_finds_one() -> None:
    assert {KEY[7:11]} == leaked(KEY, Oddity(broken=False, reason=f"it has {KEY[7:11]}", fix=""))


def test_a_key_with_something_wrong_anywhere_is_odd_once_and_what_is_said_does_not_depend_on_the_key() -> None:
    random = Random("mutations")
    said: set[str] = set()
    for kind, (venue, generate) in KINDS.items():
        for _ in range(2_000):
            part, text = random.choice([*zip(("api_key", "api_secret"), generate(random), strict=True)])
            place = random.randrange(len(text) + 1)
            mutant = text[:place] + random.choice(WRONG) + text[place:]
            odd = [*oddities(venue, part, mutant)]
            said.update(map(told, odd))
            # An empty line, or a space after a border, does a PEM no harm.
            assert len(odd) == 1 or (odd == [] and is_ed25519_private_key(mutant)), (kind, mutant)
    assert len(said) < 50


def test_any_text_at_all_has_at_most_one_oddity() -> None:
    random = Random("any text")
    alphabet = [
        *ALPHANUMERIC.decode(),
        *" \n\r\t\0\"'=:-_/\\{}[]$<>%+.,\u00a0\u200b\u20ac\U0001f511",
        "-----BEGIN ",
        "-----END ",
        "KEY-----",
    ]
    for venue, part in SHAPES:
        for _ in range(2_000):
            text = "".join(random.choices(alphabet, k=random.randrange(90)))
            assert len([*oddities(venue, part, text)]) <= 1


@pytest.mark.parametrize("venue, part", SHAPES)
def test_a_whole_file_put_there_by_mistake_takes_no_time(venue: str, part: str) -> None:
    for text in (KEY * 10_000, f"{PEM}\n" * 1_000, "-----BEGIN " * 20_000, "A" * 500_000 + ".pe", " " * 100_000 + "x"):
        assert timeit.timeit(lambda text=text: [*oddities(venue, part, text)], number=1) < 1  # type: ignore[misc]


def test_a_plain_key_takes_less_than_five_microseconds() -> None:
    runs = timeit.repeat(lambda: [*oddities("binance", "api_secret", KEY)], number=10_000, repeat=5)
    assert min(runs) / 10_000 < 5e-6


def test_every_venue_of_a_shape_has_a_name() -> None:
    assert {venue for venue, _ in SHAPES} == set(VENUE_NAMES)


def test_an_oddity_cannot_be_changed() -> None:
    oddity = found(UNUSUAL["a hyphen"])
    with pytest.raises(FrozenInstanceError):
        oddity.broken = True  # type: ignore[misc]


def test_an_unknown_venue_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(KeyError):
        next(oddities("kraken", "api_key", KEY))
