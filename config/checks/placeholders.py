"""Texts that somebody was meant to replace: what our own templates put there, and what people put there by habit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

# What the generated templates hold where a user has to fill something in.
PLACEHOLDERS: Mapping[str, str] = MappingProxyType(
    {
        "api_key": "your_api_key_here",
        "api_secret": "your_api_secret_here",
        "password": "your_redis_password_here",
        "trader_id": "YOURNAME-001",
    }
)

_WORDS = frozenset(
    word
    for line in (
        # asking for something
        "your yours my our the this that some any an own actual real valid new here there of for from to in at is it be and",
        "not put insert enter paste add set fill replace replaced change changed update provide copy use get must me please",
        "with",
        # what it is
        "api key keys secret secrets password passwords passphrase passwd pass pwd pw token tokens credential credentials",
        "cred creds auth login user username name account trader trading bot id uid value values string text number bit bits",
        "char chars character characters long random strong safe secure private public access signing signature hmac rsa",
        "ed25519 pem begin end file",
        # whose
        "binance bybit redis nautilus exchange venue testnet test tests tester testing tested demo sandbox paper live",
        "mainnet prod production dev development staging local futures future spot usdt usd coin main default trade",
        # standing for something
        "dummy fake mock stub sample samples example examples placeholder placeholders template todo tbd tbc tba fixme xxx",
        "none null nil nan undefined unset unknown empty blank missing void hidden redacted masked censored removed deleted",
        "foo bar baz qux foobar lorem ipsum hello world letmein abc xyz",
    )
    for word in line.split()
)
_LONGEST = max(map(len, _WORDS))

# Rows of the alphabet, of the digits and of the keyboards, each as often as it takes to fill a key with it.
_ROWS = tuple(
    row[::step] * 8
    for row in (
        "abcdefghijklmnopqrstuvwxyz",
        "0123456789",
        "qwertyuiop",
        "asdfghjkl",
        "zxcvbnm",
        "qwertzuiop",
        "azertyuiop",
    )
    for step in (1, -1)
)
_RUN_MIN = 4
# How a run may begin, to be quick with a text that is none.
_RUN_STARTS = frozenset(row[start : start + _RUN_MIN] for row in _ROWS for start in range(len(row) - _RUN_MIN + 1))
# `secret42` and `test_2024` are no less a placeholder for their number; longer or more numbers may be what makes a password.
_NUMBER_MAX = 4

# A whole value in one of the marks by which templates are told what to fill in.
_TEMPLATE = re.compile(
    r"""
      <[^<>]*> | \$\{[^{}]*\} | \$\([^()]*\) | \{\{.*\}\} | \{%.*%\} | \#\{[^{}]*\}
    | \$[A-Z][A-Z_]{2,} | \$env:\w+
    | %[A-Z_]{3,}% | %[a-z_]{3,}% | @[A-Za-z_]\w*@ | __[A-Za-z]\w*__
    | \{[A-Za-z][\w .-]*\} | \[[A-Za-z][\w .-]*\]
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_TOKEN = re.compile(r"ed25519|[a-z]+|[0-9]+")
_FEW = 4
_MANY = 8
# Nobody writes more words than these to say that something is missing; it bounds the work on a whole file put here by mistake.
_LENGTH_MAX = 256

# RFC 2606 section 3, RFC 6761 sections 6.2, 6.4 and 6.5. A host without a dot may well be a container that is named so.
_EXAMPLE_TOPS = frozenset({"example", "invalid", "test"})
_EXAMPLE_DOMAINS = frozenset({"example.com", "example.net", "example.org"})


def is_placeholder(text: str) -> bool:
    """Return whether ``text`` is one that somebody was meant to replace, such as ``your_api_key_here`` or ``${API_KEY}``.

    It is, if it consists of words that describe a value rather than being one, of rows of the alphabet or the keyboard, or of
    fewer than four different characters, or if it stands in the brackets of a template. No random key is.
    """
    text = text.strip()
    if text.startswith("-----") and "\n" not in text:  # the first line of a key file, the others lost
        return False
    distinct = len(set(text))
    if distinct <= 1 or (distinct < _FEW and len(text) >= _MANY):
        return distinct > 0
    if len(text) > _LENGTH_MAX:
        return False
    small = text.lower()
    return small == "n/a" or _reads_as_words(small) or _TEMPLATE.fullmatch(text) is not None


def is_example_host(host: str) -> bool:
    """Return whether ``host`` is a name that is reserved for documents and tests: no server ever answers there.

    Parameters
    ----------
    host : str
        A host name without a port, in any case.

    """
    labels = host.strip().lower().removesuffix(".").split(".")
    return len(labels) > 1 and (labels[-1] in _EXAMPLE_TOPS or ".".join(labels[-2:]) in _EXAMPLE_DOMAINS)


def _reads_as_words(text: str) -> bool:
    speaks = False
    numbers = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if not token.isdigit():
            if not _is_chain(token):
                return False
            speaks = True
        elif _is_run(token):
            speaks = True
        else:
            numbers += 1
            if numbers > 1 or len(token) > _NUMBER_MAX:
                return False
    return speaks


def _is_chain(letters: str) -> bool:
    """Return whether ``letters`` can be cut into words and runs: ``changeme``, ``yourapikey``, ``secretabcdef``."""
    if letters in _WORDS:
        return True
    ends = {0}
    for start in range(len(letters)):
        if start in ends:
            for end in range(start + 2, min(start + _LONGEST, len(letters)) + 1):
                if letters[start:end] in _WORDS:
                    ends.add(end)
            ends.update(_run_ends(letters, start))
    return len(letters) in ends


def _run_ends(letters: str, start: int) -> list[int]:
    found = []
    for end in range(start + _RUN_MIN, len(letters) + 1):
        if not _is_run(letters[start:end]):
            break
        found.append(end)
    return found


def _is_run(token: str) -> bool:
    if token[:_RUN_MIN] in _RUN_STARTS:
        return any(token in row for row in _ROWS)
    return len(token) >= _RUN_MIN and token == token[0] * len(token)


# What says by itself that something is to be put in its place; `test-key` may be what a gateway on this machine wants to see.
_ASKS = re.compile(
    r"your|change|replace|insert|enter|paste|\bput|fill|todo|fixme|tbd|place_?-?holder|here|[<>{}$%@\[\]]|[x*.?_-]{3}"
)


def asks_to_be_replaced(text: str) -> bool:
    """Return whether ``text`` is a placeholder that cannot be meant, such as those of templates, ``xxxxxxxx`` or ``...``."""
    return is_placeholder(text) and _ASKS.search(text.lower()) is not None
