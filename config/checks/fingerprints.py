"""Eight digits by which two copies of one secret are known to be the same, and from which nobody can tell the secret."""

from __future__ import annotations

import hashlib
import re

from config.checks.placeholders import is_placeholder

# A hash that is like no other of the same text, so that nothing can be looked up in tables made for another purpose.
_DOMAIN = b"tradingnode-config secret fingerprint 1\0"
_DIGITS = 8
_LENGTH_MIN = 32

_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----\s+([A-Za-z0-9+/=\s]+)-----END [A-Z0-9 ]*PRIVATE KEY-----\s*")
# What exchanges make keys of, and how many different characters of it one has at least: 64 random hexadecimal digits, or 36
# random letters and digits, have fewer less often than once in a million. A sentence in small letters is neither.
_ALPHABETS: tuple[tuple[re.Pattern[str], int], ...] = (
    (re.compile(r"[0-9a-f]+"), 10),
    (re.compile(r"(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9+/]+={0,2}"), 16),
)


def fingerprint(secret: str) -> str | None:
    """Return the fingerprint of ``secret``, None if it could be guessed from one.

    It is the start of a SHA-256. Thirty-two random characters are 128 bits if they are hexadecimal digits, and 190 if they are
    letters and digits: 32 bits of their hash leave at least 2**96 candidates, too many to try, with nothing to tell the right
    one among them. A password that a person thought up is one of far fewer, and the hash would point at it; and an API key of
    18 characters of which some have been seen has little left to guess. Those have no fingerprint. Two different secrets have
    the same one with a chance of 1 in 4,294,967,296.

    Parameters
    ----------
    secret : str
        A key or secret of an exchange. Line breaks in a PEM make no difference: a file and a variable may hold different ones.

    Returns
    -------
    str or None
        8 hexadecimal digits. None for less than 32 characters, for a placeholder, and for what does not look random: too few
        different characters, or others than letters, digits and those of base64.

    """
    text = "".join(secret.split()) if (pem := _PEM.fullmatch(secret)) else secret
    body = "".join(pem[1].split()) if pem else secret
    if len(body) < _LENGTH_MIN or not _looks_random(body) or is_placeholder(secret):
        return None
    return hashlib.sha256(_DOMAIN + text.encode()).hexdigest()[:_DIGITS]


def _looks_random(body: str) -> bool:
    return any(pattern.fullmatch(body) and len(set(body)) >= distinct for pattern, distinct in _ALPHABETS)
