"""What venues answer: the facts of a key, and refusals as problems with a cure; never repeating a key or a signature."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from config.problems import Problem

if TYPE_CHECKING:
    from config.models import VenueName


@dataclass(frozen=True, slots=True)
class Answer:
    """What one answer means: the code of the problem, a sentence about the venue without its subject, and what to do."""

    code: str
    meaning: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """What a venue tells of a key and its account; None is what it does not tell.

    Parameters
    ----------
    account : str
        Which kind of account it is, in words.
    misfit : str
        Why that account cannot serve these settings, as a sentence without subject; empty if it can.
    may_trade : bool, optional
        Whether orders are taken; if not, ``barrier`` says what is in the way.
    barrier : str
        Which of the venue's answers says that it may not trade, as a sentence without subject.
    is_barred : bool
        Whether the account may be in the way, and not the key's rights alone.
    hedged : tuple of str, optional
        For what long and short are kept apart; empty for one-way mode.
    asked : tuple of str
        The symbols that were asked about; empty where the mode is the account's.
    hedge_matters : bool
        Whether orders are sure to meet that mode.
    may_withdraw, any_address : bool, optional
        Whether the key may withdraw, and whether it works from every address.
    expires : datetime, optional
        When the key ends.
    untold : mapping
        By the name of the fact, why the venue does not tell it.

    """

    account: str
    misfit: str = ""
    may_trade: bool | None = None
    barrier: str = ""
    is_barred: bool = False
    hedged: tuple[str, ...] | None = None
    asked: tuple[str, ...] = ()
    hedge_matters: bool = True
    may_withdraw: bool | None = None
    any_address: bool | None = None
    expires: datetime | None = None
    untold: Mapping[str, str] = field(default_factory=dict)


PAGE = "compare with the key's page at the exchange: which environment it is for, its addresses, its permissions"
CLOCK = (
    "`timedatectl` must say 'System clock synchronized: yes': run `timedatectl set-ntp true`, or install chrony; "
    "in a container mend the host's clock"
)
ONE_WAY = "then set position mode: one-way in the exchange's settings for derivatives"
PAIR = "copy key and secret again, both from the same key; Binance and Bybit show the secret once, when it is made"
WAIT = "wait before starting again, and look what else asks from this address: every try makes it longer"
LATER = "look at the exchange's status page, then start again"
PLACE = "run where the exchange serves; a proxy that goes around its rules can cost the account"

REFUSED = Answer(
    "TN505",
    "refuses the key: it is for another environment, does not allow this machine's address, lacks a right, or was deleted",
    PAGE,
)
NOT_A_KEY = Answer("TN505", "refuses the key: its text has not the form of a key", PAIR)
UNKNOWN_KEY = Answer("TN505", "does not know the key: it is for another environment, mistyped, or deleted", PAGE)
WRONG_SECRET = Answer("TN505", "refuses the signature: the secret does not belong to the key", PAIR)
WRONG_ADDRESS = Answer("TN505", "refuses the key from this machine's address", "add the address on the key's page")
LOCKED = Answer("TN505", "has locked the key", "unlock it at the exchange, or make a new one there")
EXPIRED = Answer("TN505", "says that the key has expired", "renew it at the exchange, or make a new one there")
NO_RIGHT = Answer("TN505", "refuses the key a right that is needed", "grant the right on the key's page")
READ_ONLY = Answer("TN509", "does not let the key or its account trade", "allow trading on the key's page")
HEDGED = Answer("TN510", "keeps long and short apart (hedge mode)", f"close all positions and orders, {ONE_WAY}")
OTHER_ACCOUNT = Answer("TN511", "does not serve this kind of account", "see which kind of account the key belongs to")
BAD_TIME = Answer("TN615", "refuses the time of the request: the clocks differ by more than it allows", CLOCK)
TOO_MANY = Answer("TN616", "has had too many requests from here", WAIT)
BANNED = Answer("TN616", "has banned this address for a while", WAIT)
BUSY = Answer("TN617", "is overloaded or under maintenance", LATER)
NOT_THERE = Answer("TN617", "does not know the path: that is no exchange, or another one", "see the base url")
BARRED = Answer("TN617", "does not serve the place of this address", PLACE)

# Binance: "Error codes" of its spot and futures documentation; Bybit: "Error codes" of v5.
ANSWERS: Mapping[str, Mapping[int, Answer]] = {
    "BINANCE": {
        -1000: BUSY,
        -1001: BUSY,
        -1002: REFUSED,
        -1003: TOO_MANY,
        -1004: BUSY,
        -1006: BUSY,
        -1007: BUSY,
        -1008: BUSY,
        -1011: WRONG_ADDRESS,
        -1015: TOO_MANY,
        -1016: BUSY,
        -1021: BAD_TIME,
        -1022: WRONG_SECRET,
        -2008: UNKNOWN_KEY,
        -2014: NOT_A_KEY,
        -2015: REFUSED,
        -2017: LOCKED,
        -4061: HEDGED,
        -5000: NOT_THERE,
    },
    "BYBIT": {
        10000: BUSY,
        10002: BAD_TIME,
        10003: UNKNOWN_KEY,
        10004: WRONG_SECRET,
        10005: NO_RIGHT,
        10006: TOO_MANY,
        10007: REFUSED,
        10008: LOCKED,
        10009: BANNED,
        10010: WRONG_ADDRESS,
        10016: BUSY,
        10017: NOT_THERE,
        10018: TOO_MANY,
        10024: OTHER_ACCOUNT,
        10027: READ_ONLY,
        10028: OTHER_ACCOUNT,
        10029: NO_RIGHT,
        10429: TOO_MANY,
        33004: EXPIRED,
    },
}
# Of a status without a code that is known. Binance: 451 is for a place that it does not serve, 403 from its firewall;
# Bybit: 403 is for too many requests from one address, or a place that it does not serve.
STATUSES: Mapping[str, Mapping[int, Answer]] = {
    "BINANCE": {
        401: REFUSED,
        403: Answer("TN616", "or its firewall refuses this address", WAIT),
        404: NOT_THERE,
        418: BANNED,
        429: TOO_MANY,
        451: BARRED,
    },
    "BYBIT": {
        401: REFUSED,
        403: Answer("TN616", "refuses this address: too many requests, or a place that it does not serve", WAIT),
        404: NOT_THERE,
        429: TOO_MANY,
    },
}
SERVER_FAILS = Answer("TN617", "fails to answer", LATER)
# What a connection fails of, in the words of the system and of Nautilus' HTTP client; the first that is found.
CONNECTIONS: tuple[tuple[re.Pattern[str], Answer], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), Answer("TN617", meaning, fix))
    for pattern, meaning, fix in (
        (r"proxy|tunnel|socks", "cannot be reached: the proxy does not do it", "see the proxy url, and the proxy"),
        (
            r"certificate|\btls\b|\bssl\b|handshake",
            "cannot be reached: no trusted TLS connection comes about",
            "is something between that reads the traffic? Is the base url's scheme right?",
        ),
        (
            r"dns error|failed to lookup|name resolution|name or service",
            "cannot be reached: its name is not found",
            "does DNS work here? Is the base url right?",
        ),
        (
            r"connection refused|connection reset|connection closed|unreachable|no route|tcp connect|error sending request"
            r"|incomplete",
            "cannot be reached: the connection fails",
            "is there a way out to the network, past the firewall? Is the base url right?",
        ),
    )
)
SILENT = Answer("TN617", "does not answer in time", "is the network slow, or the exchange under maintenance? Try again")
UNKNOWN = Answer("TN617", "gives an answer that cannot be used", "look the answer up in the exchange's documentation")
TIMED_OUT = re.compile(r"timed? ?out", re.IGNORECASE)

BINANCE_CODE = re.compile(r"(?<![\w.-])-\d{4}(?!\d)")
BYBIT_CODE = re.compile(r"(?:\berror|retCode\W{1,4})\s*(\d{5,6})\b", re.IGNORECASE)
HTTP_STATUS = re.compile(r"\b(?:status(?: code)?:?|HTTP) ([45]\d\d)\b", re.IGNORECASE)
SEEN_AS = re.compile(r"request ip:?\s*([0-9a-f.:]*[0-9a-f])", re.IGNORECASE)
BANNED_UNTIL = re.compile(r"banned until (\d{13})")

HIDDEN = "***"
LOGIN = re.compile(r"(?<=//)[^\s/@]+@")
QUERY = re.compile(r"\?[^\s)'\"]+")
PARAMETER = re.compile(
    r"\b(signature|sign|api[-_]?key|secret|X-[A-Z]+-[A-Z-]+)(['\"]?\s*[=:]\s*['\"]?)[^\s&,'\"})]+", re.I
)
# A text as long as a key or a signature that is no word: it has a digit, or small and capital letters.
TOKEN = re.compile(r"[A-Za-z0-9+/_=-]{16,}")
WORD = re.compile(r"(?:[a-z]+|[A-Z]+|[A-Z][a-z]+)(?:[-_/](?:[a-z]+|[A-Z]+|[A-Z][a-z]+))*")
LONGEST = 300


def scrubbed(text: str, secrets: Iterable[str] = ()) -> str:
    """Return ``text`` on one line without query strings, keys, signatures and ``secrets``; at most 300 characters."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN) if secret else text
    text = PARAMETER.sub(rf"\1\2{HIDDEN}", QUERY.sub("", LOGIN.sub("", text)))
    text = TOKEN.sub(lambda found: found[0] if WORD.fullmatch(found[0]) else HIDDEN, text)
    return " ".join(text.split())[:LONGEST]


def explained(venue: VenueName, error: str | BaseException, secrets: Iterable[str] = ()) -> Problem:
    """Return what ``error`` means and what to do about it.

    Parameters
    ----------
    venue : {'BINANCE', 'BYBIT'}
        Whose answer it is.
    error : str or BaseException
        What Nautilus' clients raised, or its text; of a group, the first.
    secrets : iterable of str, optional
        Texts that must not be repeated, whatever they look like.

    Returns
    -------
    Problem
        ``TN505``, ``TN509`` to ``TN511`` for the key and its account, ``TN615`` for the clock, ``TN616`` for too many requests,
        ``TN617`` for everything that keeps the venue from answering, and for answers that are not known.

    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = " ".join(str(error).split())
    code, status = _code(venue, error, text), _status(error, text)
    answer = _answer(venue, error, text, code, status)
    sign = f" ({code or f'HTTP {status}'})" if code or status else ""
    message = f"{venue} {answer.meaning}{sign}{_particulars(text)}"
    if answer in (UNKNOWN, SERVER_FAILS) and (said := scrubbed(text, secrets)):
        message += f": {said}"
    return Problem(answer.code, problem_key(venue, answer.code), message, answer.fix)


def problem_key(venue: str, code: str) -> str:
    """Return the setting that a problem with the venue is told under."""
    if code.startswith("TN5"):
        return f"{venue}_API_KEY"
    return f"{venue}_BASE_URL_HTTP" if code == "TN617" else venue


def _answer(venue: str, error: str | BaseException, text: str, code: int | None, status: int | None) -> Answer:
    if code == -1003 and (status == 418 or "banned" in text):
        return BANNED
    if code is not None and (known := ANSWERS[venue].get(code)):
        return known
    if status is not None and (known := STATUSES[venue].get(status)):
        return known
    if status is not None and status >= 500:
        return SERVER_FAILS
    if code is not None or status is not None:
        return UNKNOWN
    if isinstance(error, TimeoutError) or TIMED_OUT.search(text):
        return SILENT
    return next((answer for pattern, answer in CONNECTIONS if pattern.search(text)), UNKNOWN)


def _code(venue: str, error: str | BaseException, text: str) -> int | None:
    """Return the venue's own code: from the answer that a Binance error carries, else from the text."""
    answer = getattr(error, "message", None)
    told: Any = answer.get("code") if isinstance(answer, Mapping) else None
    if isinstance(told, int):
        return told
    found = BINANCE_CODE.search(text) if venue == "BINANCE" else BYBIT_CODE.search(text)
    return int(found[found.re.groups]) if found else None


def _status(error: str | BaseException, text: str) -> int | None:
    told: Any = getattr(error, "status", None)
    if isinstance(told, int):
        return told if told >= 400 else None
    found = HTTP_STATUS.search(text)
    return int(found[1]) if found else None


def _particulars(text: str) -> str:
    """Return what an answer tells beyond its code: the address that the venue saw, and until when it does not listen."""
    told = []
    if seen := SEEN_AS.search(text):
        told.append(f"it saw this machine as {seen[1]}")
    if until := BANNED_UNTIL.search(text):
        told.append(f"until {datetime.fromtimestamp(int(until[1]) / 1_000, UTC):%Y-%m-%d %H:%M:%S} UTC")
    return "".join(f"; {one}" for one in told)
