"""Answers of the venues, by code, status and words: which problem they are, and that no key or signature is repeated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal

import pytest
from nautilus_trader.adapters.binance.http.error import BinanceClientError, BinanceServerError
from nautilus_trader.core.nautilus_pyo3 import HttpError, HttpTimeoutError

from config.clients.probe_binance import facts as binance_facts
from config.models import BinanceCredentials
from config.preflight.venue_answers import ANSWERS, STATUSES, KeyFacts, explained, scrubbed
from config.preflight.venues import judged_clock, judged_expiry
from config.problems import Problem
from tests.conftest import CANARIES
from tests.key_generators import alphanumeric

type Name = Literal["BINANCE", "BYBIT"]

# What the exchanges' documentation says of these codes decides the expected side, not the table.
BINANCE_CODES = {
    -1002: ("TN505", "right"),
    -1003: ("TN616", "too many requests"),
    -1015: ("TN616", "too many requests"),
    -1016: ("TN617", "maintenance"),
    -1021: ("TN615", "clocks differ"),
    -1022: ("TN505", "secret does not belong to the key"),
    -2014: ("TN505", "form of a key"),
    -2015: ("TN505", "another environment"),
    -4061: ("TN510", "hedge mode"),
}
BYBIT_CODES = {
    10002: ("TN615", "clocks differ"),
    10003: ("TN505", "another environment"),
    10004: ("TN505", "secret does not belong to the key"),
    10005: ("TN505", "right that is needed"),
    10006: ("TN616", "too many requests"),
    10010: ("TN505", "this machine's address"),
    10016: ("TN617", "maintenance"),
    10018: ("TN616", "too many requests"),
    10028: ("TN511", "kind of account"),
    33004: ("TN505", "has expired"),
}


def refusal(status: int, message: Any) -> BinanceClientError:
    return BinanceClientError(status=status, message=message, headers={})


@pytest.mark.parametrize("code, expected", BINANCE_CODES.items())
def test_a_code_of_binance_is_read_from_the_error_and_from_a_log_line(code: int, expected: tuple[str, str]) -> None:
    error = refusal(400, {"code": code, "msg": "in words that may change"})
    for told in (
        error,
        f"execution client BINANCE cannot connect: BinanceClientError: {error}",
        ExceptionGroup("", [error]),
    ):
        problem = explained("BINANCE", told)
        assert expected[0] == problem.code
        assert expected[1] in problem.message
        assert f"({code})" in problem.message
        assert problem.fix


@pytest.mark.parametrize("code, expected", BYBIT_CODES.items())
def test_a_code_of_bybit_is_read_from_the_error_and_from_json(code: int, expected: tuple[str, str]) -> None:
    for text in (f"Bybit error {code}: in words that may change", f'{{"retCode":{code},"retMsg":"in words"}}'):
        problem = explained("BYBIT", ValueError(text))
        assert expected[0] == problem.code
        assert expected[1] in problem.message
        assert f"({code})" in problem.message
        assert problem.fix


def test_a_code_of_one_venue_says_nothing_about_the_other() -> None:
    assert "TN617" == explained("BYBIT", "error -2015").code
    assert "TN617" == explained("BINANCE", "error 10003").code


def test_numbers_beside_a_code_are_not_taken_for_one() -> None:
    """A date, a port and a count look like codes and statuses."""
    for text in ("2026-1021", "127.0.0.1:10003 at 2026-11-21", "took 10003 ms, 429 of 500", "v1.2-1003"):
        for venue in ("BINANCE", "BYBIT"):
            problem = explained(venue, text)
            assert "TN617" == problem.code
            assert "(" not in problem.message


@pytest.mark.parametrize(
    "venue, error, code, words",
    [
        ("BINANCE", refusal(429, None), "TN616", "too many requests"),
        ("BINANCE", refusal(418, None), "TN616", "banned"),
        ("BINANCE", refusal(418, {"code": -1003, "msg": "Way too many requests"}), "TN616", "banned"),
        ("BINANCE", refusal(403, "<html>"), "TN616", "firewall"),
        ("BINANCE", refusal(451, {"code": 0, "msg": "restricted location"}), "TN617", "the place of this address"),
        ("BINANCE", refusal(404, "nothing here"), "TN617", "does not know the path"),
        ("BINANCE", BinanceServerError(502, "Bad Gateway", {}), "TN617", "fails to answer (HTTP 502): Bad Gateway"),
        ("BINANCE", BinanceServerError(200, "Non-JSON response (HTTP 200): hi", {}), "TN617", "cannot be used"),
        ("BINANCE", HttpTimeoutError("error sending request: operation timed out"), "TN617", "in time"),
        (
            "BINANCE",
            HttpError("error sending request: tcp connect error: Connection refused"),
            "TN617",
            "connection fails",
        ),
        ("BINANCE", HttpError("error sending request: dns error: failed to lookup"), "TN617", "name is not found"),
        ("BINANCE", HttpError("error sending request: invalid peer certificate: UnknownIssuer"), "TN617", "TLS"),
        ("BYBIT", ValueError("Unexpected HTTP status code 403: access too frequent"), "TN616", "too many requests"),
        ("BYBIT", ValueError("Unexpected HTTP status code 503: gone"), "TN617", "fails to answer (HTTP 503)"),
        ("BYBIT", ValueError("Network error: HTTP request timed out: operation timed out"), "TN617", "in time"),
        ("BYBIT", ValueError("Network error: proxy refused the tunnel"), "TN617", "the proxy"),
        ("BYBIT", TimeoutError(), "TN617", "in time"),
    ],
)
def test_without_a_known_code_status_and_words_decide(venue: Name, error: Exception, code: str, words: str) -> None:
    problem = explained(venue, error)
    assert code == problem.code
    assert words in problem.message
    assert problem.message.startswith(venue)


def test_an_unknown_code_is_told_with_the_venues_words() -> None:
    problem = explained("BINANCE", refusal(400, {"code": -7777, "msg": "The moon is in the way."}))
    assert "TN617" == problem.code
    assert "(-7777)" in problem.message
    assert "The moon is in the way." in problem.message


def test_what_a_venue_saw_and_until_when_it_is_deaf_are_told() -> None:
    seen = {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action, request ip: 192.0.2.7"}
    assert "it saw this machine as 192.0.2.7" in explained("BINANCE", refusal(401, seen)).message
    banned = {"code": -1003, "msg": "Way too many requests; IP 192.0.2.7 banned until 1767225600000."}
    assert "until 2026-01-01 00:00:00 UTC" in explained("BINANCE", refusal(418, banned)).message


def test_every_row_leads_somewhere() -> None:
    """Each answer is an error of the key, its account, the clock or the venue, and says what to do."""
    for venue in ("BINANCE", "BYBIT"):
        rows = [*ANSWERS[venue].values(), *STATUSES[venue].values()]
        assert {"TN505", "TN510", "TN511", "TN509", "TN615", "TN616", "TN617"} >= {row.code for row in rows}
        for row in rows:
            assert Problem(row.code, "", "", "").is_error
            assert row.fix
            assert row.meaning[0].islower()


# -- secrets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(50))
def test_an_answer_that_echoes_a_request_is_told_without_key_and_signature(seed: int) -> None:
    random = Random(seed)
    key = alphanumeric(random, random.choice((16, 18, 36, 64)))
    signature = f"{random.getrandbits(256):064x}"
    echoes = (
        f"bad request https://user:pa55@fapi.binance.com/fapi/v2/account?timestamp=1&signature={signature} by {key}",
        f"{{'apiKey': '{key}', 'sign': '{signature}'}}",
        f"X-MBX-APIKEY: {key} signature={signature[:20]}",
        f"origin_string[1700000000000{key}5000]",
    )
    for venue in ("BINANCE", "BYBIT"):
        for echo in echoes:
            for error in (BinanceServerError(500, echo, {}), ValueError(f"error 99999: {echo}"), echo):
                told = str(explained(venue, error))
                assert key not in told
                assert signature not in told
                assert signature[:20] not in told
                assert "pa55" not in told
                assert "timestamp" not in told


def test_a_secret_that_looks_like_a_word_is_hidden_when_it_is_named() -> None:
    assert "the secret is ***" == scrubbed("the secret is correcthorsebattery", ["correcthorsebattery"])
    assert "the secret is correcthorsebattery" == scrubbed("the secret is correcthorsebattery")


def test_ordinary_words_stay_and_long_answers_are_cut() -> None:
    words = "Parameter recv_window or X-BAPI-RECV-WINDOW is authenticated incomprehensibly"
    assert words == scrubbed(words)
    assert 300 == len(scrubbed("word " * 200))
    assert "one line" == scrubbed("one\n  line")


def test_no_canary_comes_through() -> None:
    for secret in CANARIES.values():
        assert secret not in scrubbed(f"you sent {secret}, which is wrong", [secret])


# -- judgements -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "offset_ms, trip_ms, code, words",
    [
        (0, 20, None, "give or take 10 ms"),
        (500, 0, None, "500 ms behind"),
        (501, 0, "TN324", "501 ms behind"),
        (-501, 0, "TN324", "501 ms ahead of"),
        (-999, 0, "TN324", "999 ms ahead of"),
        (-1000, 0, "TN615", "more than 1 s ahead"),
        (4499, 0, "TN324", "4.5 s behind"),
        (4500, 0, "TN615", "more than 5 s old"),
        (90_000, 100, "TN615", "90.0 s behind"),
        # A slow answer makes the offset uncertain by half of its time: no alarm that may be false.
        (900, 1000, None, "give or take 500 ms"),
        (-1200, 500, "TN324", "give or take 250 ms"),
    ],
)
def test_a_clock_is_judged_by_its_direction_and_by_what_is_sure(
    offset_ms: float, trip_ms: float, code: str | None, words: str
) -> None:
    verdict = judged_clock("BINANCE", offset_ms, trip_ms)
    if code is None:
        assert not isinstance(verdict, Problem)
        assert "ok" == verdict[0]
        assert words in verdict[1]
    else:
        assert isinstance(verdict, Problem)
        assert code == verdict.code
        assert words in verdict.message
        assert verdict.message.startswith("this machine's clock is ")
        assert "`timedatectl` must say 'System clock synchronized: yes'" in verdict.fix
        assert "in a container mend the host's clock" in verdict.fix


@pytest.mark.parametrize("days, warned", [(7.01, False), (6.99, True), (0.5, True), (-1, True)])
def test_a_key_that_ends_within_a_week_is_a_warning(days: float, warned: bool) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    verdict = judged_expiry("BYBIT", KeyFacts(account="", expires=now + timedelta(days=days)), now)
    assert warned == isinstance(verdict, Problem)
    if isinstance(verdict, Problem):
        assert "TN327" == verdict.code


def test_isolated_margin_does_not_fit_an_account_that_takes_all_assets_as_margin() -> None:
    account = {"canTrade": True, "multiAssetsMargin": True}
    for kind, fits in (("CROSS", True), ("ISOLATED", False)):
        credentials = BinanceCredentials.model_validate({"margin_types": {"BTCUSDT": kind}})
        assert fits == (not binance_facts(credentials, account, {"dualSidePosition": False}, "").misfit)


def test_what_an_answer_leaves_out_is_not_taken_for_granted() -> None:
    """Without canTrade, without a position mode and without rights nothing is known, and nothing is claimed."""
    facts = binance_facts(BinanceCredentials(), {}, {}, "not told")
    assert facts.may_trade is None
    assert facts.hedged is None
    assert facts.may_withdraw is None
    assert facts.any_address is None
    facts = binance_facts(BinanceCredentials(), {}, {}, {})
    assert facts.may_withdraw is None
    assert facts.any_address is None
