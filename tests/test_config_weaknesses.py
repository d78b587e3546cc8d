"""Each rule about weak settings speaks of its weakness, to the letter and with its place, and of nothing beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from config.checks import weaknesses
from config.checks.key_shapes import oddities
from config.checks.placeholders import PLACEHOLDERS
from config.checks.weaknesses import ORDER_LIMITS, WHOLE, weak_whole
from config.factory import TradingNodeConfigFactory
from config.kinds import kinds
from config.models import TradingNodeSettings
from config.problems import ConfigError, Origin, Problem
from config.settings.judging import with_preset
from config.settings.loading import validate_all
from config.settings.sources import ENVIRONMENT
from config.settings.variables import variables_by_path
from config.show.reference import TEMPLATES, as_env
from tests.key_generators import alphanumeric, binance_hmac_pair, bybit_hmac_pair

RANDOM = Random("weaknesses")
PASSWORD = alphanumeric(RANDOM, 32)
BINANCE = dict(zip(("BINANCE_API_KEY", "BINANCE_API_SECRET"), binance_hmac_pair(RANDOM), strict=True))
BYBIT = dict(zip(("BYBIT_API_KEY", "BYBIT_API_SECRET"), bybit_hmac_pair(RANDOM), strict=True))
TESTNET = {
    f"BINANCE_FUTURES_TESTNET_API_{part}": text
    for part, text in zip(("KEY", "SECRET"), binance_hmac_pair(RANDOM), strict=True)
}
NODE = {
    "NAUTILUS_TRADER_ID": "TRADER-001",
    "NAUTILUS_SECRETS_DIR": "/",
    "HOME": "/home/trader",
    "REDIS_HOST": "localhost",
}
# Nothing is weak about any of these; every case below changes one thing in one of them.
WATCHES = {**NODE, "NAUTILUS_VENUES": "BINANCE"}
TRADES = {**NODE, **BINANCE, "NAUTILUS_ENVIRONMENT": "LIVE"}
TRADES_BYBIT = {**NODE, **BYBIT, "NAUTILUS_ENVIRONMENT": "LIVE", "NAUTILUS_MAX_ORDER_SUBMIT_RATE": "10/00:00:01"}
TRADES_BOTH = {**TRADES, **TRADES_BYBIT}
FAR = {**WATCHES, "REDIS_HOST": "redis.internal", "REDIS_PASSWORD": PASSWORD, "REDIS_SSL": "true"}
QUIET = {"watches": WATCHES, "trades": TRADES, "trades bybit": TRADES_BYBIT, "trades both": TRADES_BOTH, "far": FAR}
GATEWAY = "https://gateway.internal:8443"


def shell(key: str) -> Origin:
    return Origin(ENVIRONMENT, key)


def problems(environ: Mapping[str, str], **options: Any) -> tuple[Problem, ...]:
    return validate_all(**{"env_file": None, "environ": environ, **options})


def codes(environ: Mapping[str, str], **options: Any) -> list[str]:
    return [f"{problem.code} {problem.key}" for problem in problems(environ, **options)]


def odd(venue: str, part: str, text: str) -> tuple[str, str]:
    (found,) = oddities(venue, part, text)
    return found.reason, found.fix


@pytest.mark.parametrize("name", QUIET)
def test_nothing_is_weak_about_what_the_cases_begin_with(name: str) -> None:
    assert () == problems(QUIET[name])


# --- what each rule says ---------------------------------------------------------------------------------------------


class Weak(NamedTuple):
    """What is changed in which good environment, and all that is said then."""

    case: str
    good: Mapping[str, str]
    changes: Mapping[str, str]
    said: Sequence[Problem]


SHORT = BINANCE["BINANCE_API_KEY"][:-1]
SPACED = f"{BINANCE['BINANCE_API_SECRET'][:30]} {BINANCE['BINANCE_API_SECRET'][30:]}"
FILL_IN = "put the {} that the exchange gave you there; or leave {} out with NAUTILUS_VENUES"
SHARED = "put the TESTNET environment's own key there, or remove the pair that is wrong"
FAR_FIX = (
    "set REDIS_SSL=true (a publicly trusted certificate is needed), or reach it through a TLS proxy on this machine"
)
RANDOM_FIX = "give the server a random one, such as `openssl rand -hex 32` prints, and change both together"
MONEY_FIX = (
    "for real money set NAUTILUS_PRESET=production and NAUTILUS_ENVIRONMENT=LIVE; else take preset testnet or sandbox"
)
WEAK = [
    Weak(
        "a key of a template",
        TRADES,
        {"BINANCE_API_KEY": "your_api_key_here"},
        [
            Problem(
                "TN507",
                "BINANCE_API_KEY",
                "BINANCE_API_KEY is still a placeholder",
                FILL_IN.format("key", "BINANCE"),
                origin=shell("BINANCE_API_KEY"),
            )
        ],
    ),
    Weak(
        "a secret in the brackets of a template",
        TRADES_BYBIT,
        {"BYBIT_API_SECRET": "<your secret>"},
        [
            Problem(
                "TN507",
                "BYBIT_API_SECRET",
                "BYBIT_API_SECRET is still a placeholder",
                FILL_IN.format("secret", "BYBIT"),
                origin=shell("BYBIT_API_SECRET"),
            )
        ],
    ),
    Weak(
        "a secret that cannot be one",
        TRADES,
        {"BINANCE_API_SECRET": SPACED},
        [
            Problem(
                "TN506",
                "BINANCE_API_SECRET",
                f"BINANCE_API_SECRET: {odd('binance', 'api_secret', SPACED)[0]}",
                odd("binance", "api_secret", SPACED)[1],
                origin=shell("BINANCE_API_SECRET"),
            )
        ],
    ),
    Weak(
        "words with a space between them, which is surer than that they are words",
        TRADES,
        {"BINANCE_API_SECRET": "test secret"},
        [
            Problem(
                "TN506",
                "BINANCE_API_SECRET",
                f"BINANCE_API_SECRET: {odd('binance', 'api_secret', 'test secret')[0]}",
                odd("binance", "api_secret", "test secret")[1],
                origin=shell("BINANCE_API_SECRET"),
            )
        ],
    ),
    Weak(
        "a key that somebody may want to be just that",
        TRADES,
        {"BINANCE_API_KEY": "test-key"},
        [
            Problem(
                "TN319",
                "BINANCE_API_KEY",
                "BINANCE_API_KEY looks like a placeholder, not like a key of an exchange",
                f"{FILL_IN.format('key', 'BINANCE')}; a gateway that wants just this may have it",
                origin=shell("BINANCE_API_KEY"),
            )
        ],
    ),
    Weak(
        "a key that was cut off",
        TRADES,
        {"BINANCE_API_KEY": SHORT},
        [
            Problem(
                "TN308",
                "BINANCE_API_KEY",
                f"BINANCE_API_KEY: {odd('binance', 'api_key', SHORT)[0]}",
                odd("binance", "api_key", SHORT)[1],
                origin=shell("BINANCE_API_KEY"),
            )
        ],
    ),
    Weak(
        "the key where its secret belongs",
        TRADES,
        {"BINANCE_API_SECRET": BINANCE["BINANCE_API_KEY"]},
        [
            Problem(
                "TN508",
                "BINANCE_API_SECRET",
                "BINANCE_API_SECRET is the same text as BINANCE_API_KEY",
                "put the secret there, which the exchange showed once, when the key was made",
                origin=shell("BINANCE_API_SECRET"),
            )
        ],
    ),
    Weak(
        "a live key for the testnet too, though it is not used there",
        TRADES,
        {"BINANCE_FUTURES_TESTNET_API_KEY": BINANCE["BINANCE_API_KEY"]},
        [
            Problem(
                "TN508",
                "BINANCE_FUTURES_TESTNET_API_KEY",
                "BINANCE_FUTURES_TESTNET_API_KEY and BINANCE_API_KEY (process environment) are the same text, for TESTNET and"
                " LIVE: one of the two is wrong",
                SHARED,
                origin=shell("BINANCE_FUTURES_TESTNET_API_KEY"),
            )
        ],
    ),
    Weak(
        "a look back",
        WATCHES,
        {"NAUTILUS_RECONCILIATION_LOOKBACK_MINS": "60"},
        [
            Problem(
                "TN301",
                "NAUTILUS_RECONCILIATION_LOOKBACK_MINS",
                "NAUTILUS_RECONCILIATION_LOOKBACK_MINS is 60: orders older than that stay open in the books after a restart",
                "remove NAUTILUS_RECONCILIATION_LOOKBACK_MINS: all that the venue keeps is then reconciled",
                origin=shell("NAUTILUS_RECONCILIATION_LOOKBACK_MINS"),
            )
        ],
    ),
    Weak(
        "a live key while LIVE was not said",
        TRADES,
        {"NAUTILUS_ENVIRONMENT": ""},
        [
            Problem(
                "TN302",
                "NAUTILUS_ENVIRONMENT",
                "orders go to BINANCE with a live key, though NAUTILUS_ENVIRONMENT is not LIVE",
                MONEY_FIX,
                ("LIVE",),
                shell("BINANCE_API_KEY"),
            )
        ],
    ),
    Weak(
        "live keys of two venues while SANDBOX was said",
        TRADES_BOTH,
        {"NAUTILUS_ENVIRONMENT": "SANDBOX"},
        [
            Problem(
                "TN302",
                "NAUTILUS_ENVIRONMENT",
                "orders go to BINANCE and BYBIT with a live key, though NAUTILUS_ENVIRONMENT is not LIVE",
                MONEY_FIX,
                ("LIVE",),
                shell("BINANCE_API_KEY"),
            )
        ],
    ),
    Weak(
        "nothing to do",
        WATCHES,
        {"NAUTILUS_VENUES": ""},
        [
            Problem(
                "TN005",
                "NAUTILUS_VENUES",
                "no venue is on: no key is set and NAUTILUS_VENUES names none, so nothing would be traded or recorded",
                "set a venue's keys, or NAUTILUS_VENUES",
                ("BINANCE", "BYBIT"),
            )
        ],
    ),
    Weak(
        "no Redis",
        WATCHES,
        {"REDIS_HOST": ""},
        [
            Problem(
                "TN303",
                "REDIS_HOST",
                "no Redis is set: orders, positions and strategies' state are lost at every stop",
                "set REDIS_HOST",
            )
        ],
    ),
    Weak(
        "a Redis elsewhere without password",
        FAR,
        {"REDIS_PASSWORD": ""},
        [
            Problem(
                "TN311",
                "REDIS_PASSWORD",
                "REDIS_HOST is redis.internal, not this machine, and no password is set: whoever reaches it can change the"
                " books",
                "give the server a password, and set REDIS_PASSWORD",
                origin=shell("REDIS_HOST"),
            )
        ],
    ),
    Weak(
        "a Redis elsewhere without TLS",
        FAR,
        {"REDIS_SSL": ""},
        [
            Problem(
                "TN312",
                "REDIS_SSL",
                "REDIS_HOST is redis.internal, reached without TLS: password and books cross the network in clear",
                FAR_FIX,
                ("true",),
                shell("REDIS_HOST"),
            )
        ],
    ),
    Weak(
        "TLS switched off, at the place where that was said",
        FAR,
        {"REDIS_SSL": "no"},
        [
            Problem(
                "TN312",
                "REDIS_SSL",
                "REDIS_HOST is redis.internal, reached without TLS: password and books cross the network in clear",
                FAR_FIX,
                ("true",),
                shell("REDIS_SSL"),
            )
        ],
    ),
    Weak(
        "a url without TLS and password, told as the variable that somebody wrote",
        WATCHES,
        {"REDIS_HOST": "", "REDIS_URL": "redis://10.0.0.5:6379"},
        [
            Problem(
                "TN311",
                "REDIS_PASSWORD",
                "REDIS_URL is 10.0.0.5, not this machine, and no password is set: whoever reaches it can change the books",
                "give the server a password, and set REDIS_PASSWORD",
                origin=shell("REDIS_URL"),
            ),
            Problem(
                "TN312",
                "REDIS_SSL",
                "REDIS_URL is 10.0.0.5, reached without TLS: password and books cross the network in clear",
                FAR_FIX,
                ("true",),
                shell("REDIS_URL"),
            ),
        ],
    ),
    Weak(
        "a password that anybody guesses",
        WATCHES,
        {"REDIS_PASSWORD": "changeme"},
        [
            Problem(
                "TN316",
                "REDIS_PASSWORD",
                "the password in REDIS_PASSWORD is a placeholder, or one of the first that anybody tries",
                RANDOM_FIX,
                origin=shell("REDIS_PASSWORD"),
            )
        ],
    ),
    Weak(
        "such a password within a url",
        WATCHES,
        {"REDIS_HOST": "", "REDIS_URL": "redis://:password@localhost"},
        [
            Problem(
                "TN316",
                "REDIS_URL",
                "the password in REDIS_URL is a placeholder, or one of the first that anybody tries",
                RANDOM_FIX,
                origin=shell("REDIS_URL"),
            )
        ],
    ),
    Weak(
        "the trader of the template",
        WATCHES,
        {"NAUTILUS_TRADER_ID": "YOURNAME-001"},
        [
            Problem(
                "TN317",
                "NAUTILUS_TRADER_ID",
                "NAUTILUS_TRADER_ID is still the template's YOURNAME-001: two traders of one id share their books in Redis",
                "give this trader an id of its own",
                origin=shell("NAUTILUS_TRADER_ID"),
            )
        ],
    ),
    Weak(
        "the Redis of a document",
        FAR,
        {"REDIS_HOST": "Redis.Example.COM"},
        [
            Problem(
                "TN318",
                "REDIS_HOST",
                "REDIS_HOST is still that of an example: the host Redis.Example.COM belongs to nobody",
                "put your own there, or remove it",
                origin=shell("REDIS_HOST"),
            )
        ],
    ),
    Weak(
        "the gateway of a document, of which it is not told too that it is not the exchange's",
        WATCHES,
        {"BINANCE_BASE_URL_HTTP": "https://Gateway.example:8443/x"},
        [
            Problem(
                "TN318",
                "BINANCE_BASE_URL_HTTP",
                "BINANCE_BASE_URL_HTTP is still that of an example: the host gateway.example belongs to nobody",
                "put your own there, or remove it",
                origin=shell("BINANCE_BASE_URL_HTTP"),
            )
        ],
    ),
    Weak(
        "the proxy of a document, without its password",
        WATCHES,
        {"BINANCE_PROXY_URL": f"http://me:{PASSWORD}@proxy.example:3128"},
        [
            Problem(
                "TN318",
                "BINANCE_PROXY_URL",
                "BINANCE_PROXY_URL is still that of an example: the host proxy.example belongs to nobody",
                "put your own there, or remove it",
                origin=shell("BINANCE_PROXY_URL"),
            )
        ],
    ),
    Weak(
        "more orders than the exchange takes",
        TRADES_BYBIT,
        {"NAUTILUS_MAX_ORDER_SUBMIT_RATE": "11/00:00:01"},
        [
            Problem(
                "TN313",
                "NAUTILUS_MAX_ORDER_SUBMIT_RATE",
                "NAUTILUS_MAX_ORDER_SUBMIT_RATE is 11/00:00:01: more than the 10 orders in 1 s that BYBIT LINEAR takes;"
                " it rejects the rest, and may ban you if that continues",
                "set NAUTILUS_MAX_ORDER_SUBMIT_RATE=10/00:00:01",
                origin=shell("NAUTILUS_MAX_ORDER_SUBMIT_RATE"),
            )
        ],
    ),
    Weak(
        "a default rate above the exchange's",
        TRADES_BYBIT,
        {"NAUTILUS_MAX_ORDER_SUBMIT_RATE": ""},
        [
            Problem(
                "TN004",
                "NAUTILUS_MAX_ORDER_SUBMIT_RATE",
                "NAUTILUS_MAX_ORDER_SUBMIT_RATE is 20/00:00:01: more than the 10 orders in 1 s that BYBIT LINEAR takes;"
                " it rejects the rest, and may ban you if that continues",
                "set NAUTILUS_MAX_ORDER_SUBMIT_RATE=10/00:00:01",
            )
        ],
    ),
    Weak(
        "hosts that are not the exchange's, each once",
        WATCHES,
        {
            "BINANCE_BASE_URL_HTTP": f"{GATEWAY}/api",
            "BINANCE_BASE_URL_WS": "wss://GATEWAY.internal:8443",
            "BINANCE_BASE_URL_WS_API": "ws://127.0.0.1:8900",
        },
        [
            Problem(
                "TN001",
                "BINANCE_BASE_URL_HTTP",
                "gateway.internal:8443 is not the exchange's own host (BINANCE_BASE_URL_HTTP, BINANCE_BASE_URL_WS)",
                "",
                origin=shell("BINANCE_BASE_URL_HTTP"),
            ),
            Problem(
                "TN001",
                "BINANCE_BASE_URL_WS_API",
                "127.0.0.1:8900 is not the exchange's own host (BINANCE_BASE_URL_WS_API)",
                "",
                origin=shell("BINANCE_BASE_URL_WS_API"),
            ),
        ],
    ),
]


@pytest.mark.parametrize("case", WEAK, ids=[case.case for case in WEAK])
def test_a_weakness_is_told_to_the_letter_and_nothing_beside_it(case: Weak) -> None:
    found = problems({**case.good, **case.changes})
    assert sorted(case.said, key=str) == sorted(found, key=str)
    secret = {*BINANCE.values(), *BYBIT.values(), *TESTNET.values(), PASSWORD, SHORT, SPACED, "changeme"}
    assert [] == [text for text in secret if text in f"{found!r}"]


def test_every_code_of_the_module_has_its_weakness_above_and_its_page() -> None:
    """Directories need real modes and are below."""
    told = {problem.code for case in WEAK for problem in case.said} | {"TN310"}
    assert set(re.findall(r"\b(TN[0-9]{3})\b", Path(weaknesses.__file__).read_text())) == told
    assert told <= kinds().keys()


NEIGHBOURS = [
    # (case, good environment, what is changed in it)
    ("half a pair, and a placeholder, of a venue that is off", WATCHES, {"BYBIT_API_KEY": "your_api_key_here"}),
    ("one text for two venues' keys", TRADES_BOTH, {"BYBIT_TESTNET_API_KEY": BINANCE["BINANCE_API_KEY"]}),
    ("another key for the testnet", TRADES, TESTNET),
    (
        "one key for testnet and demo, which are not live",
        {**TRADES, **TESTNET},
        {"BINANCE_DEMO_API_KEY": TESTNET["BINANCE_FUTURES_TESTNET_API_KEY"]},
    ),
    (
        "placeholders for two environments that are not used",
        WATCHES | {"NAUTILUS_VENUES": "BYBIT"},
        {"BINANCE_API_KEY": "your_api_key_here", "BINANCE_FUTURES_TESTNET_API_KEY": "your_api_key_here"},
    ),
    ("a testnet key while LIVE was not said", NODE, {**BINANCE, "BINANCE_TESTNET": "1"}),
    ("a live key that executes nothing", TRADES, {"NAUTILUS_ENVIRONMENT": "", "NAUTILUS_EXECUTION": "SIMULATED"}),
    ("no Redis where nothing is executed", WATCHES, {"REDIS_HOST": "", "NAUTILUS_EXECUTION": "NONE"}),
    ("no Redis where execution is simulated", WATCHES, {"REDIS_HOST": "", "NAUTILUS_EXECUTION": "SIMULATED"}),
    ("a url with all that is needed", WATCHES, {"REDIS_HOST": "", "REDIS_URL": f"rediss://:{PASSWORD}@redis.internal"}),
    ("a container's name without TLS", FAR, {"REDIS_HOST": "redis", "REDIS_SSL": ""}),
    ("a long password with a word in it", WATCHES, {"REDIS_PASSWORD": f"password-{PASSWORD}"}),
    ("a trader called nearly as in the template", WATCHES, {"NAUTILUS_TRADER_ID": "YOURNAME-002"}),
    ("a host that only begins with example", FAR, {"REDIS_HOST": "example.com.internal"}),
    ("a container called example", FAR, {"REDIS_HOST": "example"}),
    ("an example for a venue that is off", WATCHES, {"BYBIT_BASE_URL_HTTP": "https://gateway.example:8443"}),
    ("an unknown host for a venue that is off", WATCHES, {"BYBIT_BASE_URL_HTTP": GATEWAY}),
    ("a proxy of one's own", WATCHES, {"BINANCE_PROXY_URL": f"http://me:{PASSWORD}@proxy.internal:3128"}),
    ("the exchange's own host", WATCHES, {"BINANCE_BASE_URL_HTTP": "https://fapi.binance.com"}),
    ("the rate that the exchange takes", TRADES_BYBIT, {"NAUTILUS_MAX_ORDER_SUBMIT_RATE": "10/00:00:01"}),
]


@pytest.mark.parametrize(
    "good, changes", [row[1:] for row in NEIGHBOURS], ids=[f"{case} is fine" for case, *_ in NEIGHBOURS]
)
def test_a_neighbour_of_a_weakness_is_fine(good: Mapping[str, str], changes: Mapping[str, str]) -> None:
    assert () == problems({**good, **changes})


def test_a_weakness_is_told_with_the_line_and_the_name_under_which_it_stands(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    lines = [f"{name}={text}" for name, text in {**NODE, **TESTNET, "BINANCE_ENVIRONMENT": "TESTNET"}.items()]
    secret = next(index for index, line in enumerate(lines) if "API_SECRET" in line)
    lines[secret] = "BINANCE_FUTURES_TESTNET_API_SECRET=your_api_secret_here"
    path.write_text("\n".join(lines))
    path.chmod(0o600)
    (problem,) = problems({}, env_file=path)
    assert ("TN507", Origin(str(path), "BINANCE_FUTURES_TESTNET_API_SECRET", secret + 1)) == (
        problem.code,
        problem.origin,
    )
    assert problem.key in problem.message


@pytest.mark.parametrize("whole, code", [("changeme", "TN507"), ("test-key", "TN319"), ("n/a", "TN319")])
def test_a_placeholder_is_an_error_only_if_it_asks_to_be_replaced(whole: str, code: str) -> None:
    """The others may be what a gateway on this machine wants to see."""
    assert [f"{code} BINANCE_API_KEY"] == codes({**TRADES, "BINANCE_API_KEY": whole})


def test_where_nothing_is_on_no_books_can_be_lost() -> None:
    assert ["TN005 NAUTILUS_VENUES"] == codes({**WATCHES, "NAUTILUS_VENUES": "", "REDIS_HOST": ""})


def test_two_placeholders_are_not_told_to_be_the_same_text() -> None:
    changes = {"BINANCE_API_KEY": "changeme", "BINANCE_API_SECRET": "changeme"}
    assert ["TN507 BINANCE_API_KEY", "TN507 BINANCE_API_SECRET"] == codes({**TRADES, **changes})


@pytest.mark.parametrize("own", ["BINANCE_FUTURES_TESTNET", "BINANCE_TESTNET", "BINANCE_DEMO"])
@pytest.mark.parametrize("part", ["KEY", "SECRET"])
def test_one_key_for_two_environments_is_told_under_whatever_name_it_lies_unused(
    tmp_path: Path, own: str, part: str
) -> None:
    """It stands in two sources: the higher one is told as the one to compare with, and its place."""
    text = BINANCE[f"BINANCE_API_{part}"]
    path = tmp_path / ".env"
    path.write_text(f"{own}_API_{part}={text}\n")
    path.chmod(0o600)
    (problem,) = problems(TRADES, env_file=path)
    environment = "DEMO" if own.endswith("DEMO") else "TESTNET"
    assert ("TN508", 5, f"{own}_API_{part}") == (problem.code, problem.exit_code, problem.key)
    assert Origin(str(path), f"{own}_API_{part}", 1) == problem.origin
    expected = (
        f"{own}_API_{part} and BINANCE_API_{part} (process environment) are the same text, for {environment} and LIVE"
    )
    assert problem.message.startswith(expected)
    assert text not in str(problem)


def test_one_bare_key_in_two_files_that_say_two_environments_is_told(tmp_path: Path) -> None:
    """The same name stands for two environments: only the places tell the two apart."""
    files = [tmp_path / "live.env", tmp_path / "testnet.env"]
    files[0].write_text("".join(f"{name}={text}\n" for name, text in TRADES.items()))
    files[1].write_text("".join(f"{name}={text}\n" for name, text in {**BINANCE, "BINANCE_TESTNET": "1"}.items()))
    for path in files:
        path.chmod(0o600)
    told = [problem for problem in problems({}, env_file=files) if problem.code == "TN508"]
    assert ["BINANCE_API_KEY", "BINANCE_API_SECRET"] == [problem.key for problem in told]
    assert all(f"({files[1]} line " in problem.message for problem in told)
    assert [str(files[0])] * 2 == [problem.origin.source for problem in told if problem.origin]


# --- Redis on this machine -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.8.9.10", "::1", "0:0::1"])
def test_a_redis_on_this_machine_needs_neither_password_nor_tls(host: str) -> None:
    assert () == problems({**WATCHES, "REDIS_HOST": host})


@pytest.mark.parametrize(
    "host, expected",
    [
        ("redis", ["TN311"]),
        ("redis.internal", ["TN311", "TN312"]),
        ("10.0.0.5", ["TN311", "TN312"]),
        ("fd00::5", ["TN311", "TN312"]),
        ("127.0.0.1.internal", ["TN311", "TN312"]),
        ("localhost.internal", ["TN311", "TN312"]),
        ("localhosts", ["TN311"]),
        ("0.0.0.0", ["TN311", "TN312"]),
        ("128.0.0.1", ["TN311", "TN312"]),
    ],
)
def test_a_redis_elsewhere_needs_both_and_a_name_without_a_dot_a_password_only(host: str, expected: list[str]) -> None:
    assert expected == [problem.code for problem in problems({**WATCHES, "REDIS_HOST": host})]
    guarded = {"REDIS_HOST": host, "REDIS_PASSWORD": PASSWORD, "REDIS_SSL": "1"}
    assert () == problems({**WATCHES, **guarded})


# --- rates -----------------------------------------------------------------------------------------------------------

BINANCE_TRADES: Mapping[str, Mapping[str, str]] = {
    "SPOT": {"BINANCE_ACCOUNT_TYPE": "SPOT"},
    "USDT_FUTURES": {},
    "COIN_FUTURES": {"BINANCE_ACCOUNT_TYPE": "COIN_FUTURES"},
}
RATES = [
    # (venue, market, rate, the limit that it exceeds)
    ("BINANCE", "SPOT", "10/00:00:01", None),
    ("BINANCE", "SPOT", "11/00:00:01", (100, 10)),
    ("BINANCE", "SPOT", "100/00:00:10", None),
    ("BINANCE", "SPOT", "101/00:00:10", (100, 10)),
    ("BINANCE", "SPOT", "100/01:00:00", None),
    ("BINANCE", "SPOT", "101/23:59:59", (100, 10)),  # all of them may come at once
    ("BINANCE", "SPOT", "25/00:00:03", None),  # four spans begin within 10 s
    ("BINANCE", "SPOT", "26/00:00:03", (100, 10)),
    ("BINANCE", "SPOT", "50/00:00:09", None),  # and two of these
    ("BINANCE", "SPOT", "51/00:00:09", (100, 10)),
    ("BINANCE", "USDT_FUTURES", "20/00:00:01", None),
    ("BINANCE", "USDT_FUTURES", "21/00:00:01", (1200, 60)),
    ("BINANCE", "USDT_FUTURES", "31/00:00:01", (300, 10)),
    ("BINANCE", "USDT_FUTURES", "300/00:00:15", None),
    ("BINANCE", "USDT_FUTURES", "300/00:00:14", (1200, 60)),
    ("BINANCE", "USDT_FUTURES", "301/00:01:00", (300, 10)),
    ("BINANCE", "USDT_FUTURES", "300/00:01:00", None),
    ("BINANCE", "COIN_FUTURES", "1200/00:01:00", None),
    ("BINANCE", "COIN_FUTURES", "1201/00:01:00", (1200, 60)),
    ("BINANCE", "COIN_FUTURES", "20/00:00:01", None),
    ("BINANCE", "COIN_FUTURES", "21/00:00:01", (1200, 60)),
    ("BYBIT", "SPOT", "20/00:00:01", None),
    ("BYBIT", "SPOT", "21/00:00:01", (20, 1)),
    ("BYBIT", "LINEAR", "10/00:01:00", None),
    ("BYBIT", "LINEAR", "11/00:01:00", (10, 1)),
    ("BYBIT", "INVERSE", "11/00:00:01", (10, 1)),
    ("BYBIT", "OPTION", "11/00:00:01", (10, 1)),
    ("BYBIT", "OPTION", "010/00:00:01", None),
]


def trades(venue: str, market: str) -> dict[str, str]:
    if venue == "BINANCE":
        return {**TRADES, **BINANCE_TRADES[market]}
    return {**NODE, **BYBIT, "NAUTILUS_ENVIRONMENT": "LIVE", "BYBIT_PRODUCT_TYPES": market}


@pytest.mark.parametrize("name", ["SUBMIT", "MODIFY"])
@pytest.mark.parametrize("venue, market, rate, limit", RATES, ids=[f"{v} {m} {r}" for v, m, r, _ in RATES])
def test_a_rate_is_held_against_each_limit_with_all_that_may_come_in_its_span(
    venue: str, market: str, rate: str, limit: tuple[int, int] | None, name: str
) -> None:
    key = f"NAUTILUS_MAX_ORDER_{name}_RATE"
    said = {"NAUTILUS_MAX_ORDER_SUBMIT_RATE": "1/00:00:01", key: rate}
    found = problems({**trades(venue, market), **said})
    if limit is None:
        assert () == found
        return
    (problem,) = found
    most, span = limit
    assert ("TN313", key, shell(key)) == (problem.code, problem.key, problem.origin)
    assert problem.message.startswith(f"{key} is {rate}: more than the {most} orders in {span} s that {venue} {market}")


@pytest.mark.parametrize("venue, market", sorted((venue.upper(), market) for venue, market in ORDER_LIMITS))
def test_the_rate_that_the_fix_names_is_one_that_the_market_takes(venue: str, market: str) -> None:
    (problem,) = problems({**trades(venue, market), "NAUTILUS_MAX_ORDER_SUBMIT_RATE": "9999/00:00:01"})
    assert problem.fix.startswith("set NAUTILUS_MAX_ORDER_SUBMIT_RATE=")
    name, _, rate = problem.fix.removeprefix("set ").partition("=")
    assert () == problems({**trades(venue, market), name: rate})
    one_more = f"{int(rate.partition('/')[0]) + 1}/{rate.partition('/')[2]}"
    assert ["TN313"] == [one.code for one in problems({**trades(venue, market), name: one_more})]


def test_of_several_markets_the_first_is_told_and_the_fix_fits_all_of_them() -> None:
    """One throttle counts the whole node."""
    both = {**TRADES_BOTH, "BYBIT_PRODUCT_TYPES": "LINEAR,INVERSE", "NAUTILUS_MAX_ORDER_SUBMIT_RATE": "40/00:00:01"}
    (problem,) = problems(both)
    assert "300 orders in 10 s that BINANCE USDT_FUTURES takes" in problem.message
    assert "set NAUTILUS_MAX_ORDER_SUBMIT_RATE=10/00:00:01" == problem.fix
    (problem,) = problems({**both, "NAUTILUS_MAX_ORDER_SUBMIT_RATE": "15/00:00:01"})
    assert "10 orders in 1 s that BYBIT LINEAR takes" in problem.message


def test_each_rate_that_was_said_is_told() -> None:
    said = {f"NAUTILUS_MAX_ORDER_{name}_RATE": "50/00:00:01" for name in ("SUBMIT", "MODIFY")}
    assert [f"TN313 {key}" for key in said] == codes({**TRADES_BYBIT, **said})


@pytest.mark.parametrize(
    "changes",
    [
        {"NAUTILUS_EXECUTION": "SIMULATED"},
        {"NAUTILUS_EXECUTION": "NONE"},
        {"BYBIT_API_KEY": "", "BYBIT_API_SECRET": "", "NAUTILUS_VENUES": "BYBIT"},
        {"NAUTILUS_VENUES": "BINANCE"},
    ],
)
@pytest.mark.parametrize("rate", ["", "9999/00:00:01"])
def test_where_no_order_goes_to_the_exchange_no_rate_is_too_high(changes: dict[str, str], rate: str) -> None:
    assert () == problems({**TRADES_BYBIT, **changes, "NAUTILUS_MAX_ORDER_SUBMIT_RATE": rate})


def test_a_rate_that_a_call_gave_counts_as_said_and_a_default_only_as_a_note() -> None:
    environ = {**TRADES_BYBIT, "NAUTILUS_MAX_ORDER_SUBMIT_RATE": ""}
    said = TradingNodeSettings.from_env(None, environ, max_order_submit_rate="20/00:00:01")
    assert (["TN313"], []) == ([one.code for one in said.warnings], [one.code for one in said.notes])
    unsaid = TradingNodeSettings.from_env(None, environ)
    assert ([], ["TN004"]) == ([one.code for one in unsaid.warnings], [one.code for one in unsaid.notes])


def test_a_default_rate_is_noted_whatever_is_said_of_the_other_one() -> None:
    environ = {**TRADES_BYBIT, "NAUTILUS_MAX_ORDER_SUBMIT_RATE": "", "NAUTILUS_MAX_ORDER_MODIFY_RATE": "5/00:00:01"}
    assert ["TN004 NAUTILUS_MAX_ORDER_SUBMIT_RATE"] == codes(environ)


# --- directories -----------------------------------------------------------------------------------------------------

OPEN, STICKY, PRIVATE = 0o777, 0o1777, 0o755


def made(path: Path, mode: int) -> Path:
    path.mkdir()
    path.chmod(mode)  # whatever the umask is
    return path


DIRECTORIES = ("NAUTILUS_STATE_DIR", "NAUTILUS_LOG_DIRECTORY", "NAUTILUS_CATALOG_PATH")


@pytest.mark.parametrize("name", DIRECTORIES)
@pytest.mark.parametrize("mode", [OPEN, STICKY, 0o702, 0o773])
def test_a_directory_that_everybody_may_write_is_told_sticky_or_not(tmp_path: Path, name: str, mode: int) -> None:
    """Who may put files into it may put a log, a record or market data there before the node does."""
    folder = made(tmp_path / "it", mode)
    environ = {**WATCHES, "NAUTILUS_STATE_DIR": str(tmp_path), name: str(folder)}
    assert (
        Problem(
            "TN310",
            name,
            f"{folder} ({name}) is writable for every user of this machine",
            f"chmod o-w {folder}, or set {name} to a directory of this user's own",
            origin=shell(name),
        ),
    ) == problems(environ)


@pytest.mark.parametrize("name", DIRECTORIES)
@pytest.mark.parametrize("mode", [PRIVATE, 0o700, 0o775, 0o770, 0o1775, 0o2775])
def test_a_directory_that_only_its_owner_and_group_may_write_is_fine(tmp_path: Path, name: str, mode: int) -> None:
    folder = made(tmp_path / "it", mode)
    assert () == problems({**WATCHES, "NAUTILUS_STATE_DIR": str(tmp_path), name: str(folder)})


@pytest.mark.parametrize("name", DIRECTORIES)
@pytest.mark.parametrize("below", ["it", "it/is/deep/below"])
def test_what_is_below_a_directory_where_everybody_can_replace_it_is_told(
    tmp_path: Path, name: str, below: str
) -> None:
    above = made(tmp_path / "above", OPEN)
    environ = {**WATCHES, "NAUTILUS_STATE_DIR": str(tmp_path), name: str(above / below)}
    assert (
        Problem(
            "TN310",
            name,
            f"{above / below} ({name}) is below {above}, where every user of this machine can replace it",
            f"set {name} to a directory of this user's own",
            origin=shell(name),
        ),
    ) == problems(environ)


@pytest.mark.parametrize("name", DIRECTORIES)
def test_what_is_below_a_sticky_directory_is_fine(tmp_path: Path, name: str) -> None:
    """Such as /tmp: nobody else can remove or rename there what is this user's."""
    above = made(tmp_path / "above", STICKY)
    assert () == problems({**WATCHES, "NAUTILUS_STATE_DIR": str(tmp_path), name: str(above / "it")})


def test_one_place_is_told_once_for_all_that_is_below_it(tmp_path: Path) -> None:
    above = made(tmp_path / "above", OPEN)
    said = {name: str(above / name.lower()) for name in DIRECTORIES}
    assert ["TN310 NAUTILUS_STATE_DIR"] == codes({**WATCHES, **said})
    # The logs, below it, and the catalog by their defaults too.
    state = {"NAUTILUS_STATE_DIR": str(above / "state"), "NAUTILUS_ROTATION_MODE": "SIZE"}
    assert ["TN310 NAUTILUS_STATE_DIR"] == codes({**WATCHES, **state})


def test_two_places_are_told_each_with_its_setting(tmp_path: Path) -> None:
    folders = {name: str(made(tmp_path / name, OPEN)) for name in DIRECTORIES}
    assert [f"TN310 {name}" for name in DIRECTORIES] == codes({**WATCHES, **folders})


def test_a_log_directory_without_a_log_file_and_a_catalog_without_streaming_are_not_looked_at(tmp_path: Path) -> None:
    state = made(tmp_path / "state", PRIVATE)
    for name in ("logs", "catalog"):
        made(state / name, OPEN)
    environ = {**WATCHES, "NAUTILUS_STATE_DIR": str(state)}
    assert ["TN310 NAUTILUS_LOG_DIRECTORY"] == codes(environ)
    assert () == problems({**environ, "NAUTILUS_LOG_LEVEL_FILE": "OFF"})
    assert ["TN310 NAUTILUS_LOG_DIRECTORY", "TN310 NAUTILUS_CATALOG_PATH"] == codes(
        {**environ, "NAUTILUS_FLUSH_INTERVAL_MS": "100"}
    )


def test_a_default_directory_is_told_under_the_variable_that_would_change_it(tmp_path: Path) -> None:
    made(tmp_path / ".local", OPEN)
    (problem,) = problems({**WATCHES, "HOME": str(tmp_path)})
    assert "NAUTILUS_STATE_DIR" == problem.key
    expected = f"{tmp_path}/.local/state/tradingnode/TRADER-001 (NAUTILUS_STATE_DIR) is below {tmp_path}/.local,"
    assert problem.message.startswith(expected)
    assert "set NAUTILUS_STATE_DIR to a directory of this user's own" == problem.fix


def test_a_directory_that_a_call_gave_is_told_as_the_argument_that_it_is(tmp_path: Path) -> None:
    folder = made(tmp_path / "logs", OPEN)
    settings = TradingNodeSettings.from_env(None, WATCHES, logging={"log_directory": str(folder)})
    (problem,) = settings.warnings
    assert f"{folder} (logging.log_directory) is writable for every user of this machine" == problem.message
    assert "logging.log_directory" == problem.key


def test_a_link_is_judged_by_where_it_leads(tmp_path: Path) -> None:
    made(tmp_path / "open", OPEN)
    made(tmp_path / "private", PRIVATE)
    for name in ("open", "private"):
        (tmp_path / f"to-{name}").symlink_to(tmp_path / name)
    environ = {**WATCHES, "NAUTILUS_STATE_DIR": str(tmp_path / "to-open")}
    assert ["TN310 NAUTILUS_STATE_DIR"] == codes(environ)
    assert () == problems({**environ, "NAUTILUS_STATE_DIR": str(tmp_path / "to-private")})


def test_a_private_directory_that_everybody_can_rename_and_replace_is_told(tmp_path: Path) -> None:
    above = made(tmp_path / "above", OPEN)
    made(above / "state", 0o700)
    assert ["TN310 NAUTILUS_STATE_DIR"] == codes({**WATCHES, "NAUTILUS_STATE_DIR": str(above / "state")})


# --- templates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", TEMPLATES)
def test_every_generated_template_is_recognised_by_each_thing_to_fill_in(tmp_path: Path, preset: str | None) -> None:
    path = tmp_path / ".env"
    path.write_text(as_env(preset))
    path.chmod(0o600)
    text = path.read_text().splitlines()
    to_fill_in = {name: value for name, value in TEMPLATES[preset].items() if value in PLACEHOLDERS.values()}
    codes_of = {"your_api_key_here": "TN507", "your_api_secret_here": "TN507", "your_redis_password_here": "TN316"}
    expected = {
        (codes_of.get(value, "TN317"), name, text.index(f"{name}={value}") + 1) for name, value in to_fill_in.items()
    }
    found = problems({"HOME": "/home/trader", "NAUTILUS_SECRETS_DIR": "/"}, env_file=path)
    assert expected == {(one.code, one.key, one.origin.line if one.origin else 0) for one in found}
    assert len(expected) == len(found)
    assert "NAUTILUS_TRADER_ID" in to_fill_in
    assert (preset == "sandbox") == (len(to_fill_in) == 1)


@pytest.mark.parametrize("preset", TEMPLATES)
def test_a_template_that_was_filled_in_is_good(tmp_path: Path, preset: str | None) -> None:
    text = as_env(preset).replace("YOURNAME-001", "TRADER-001").replace("your_redis_password_here", PASSWORD)
    for venue, pair in (("BINANCE", binance_hmac_pair(RANDOM)), ("BYBIT", bybit_hmac_pair(RANDOM))):
        lines = text.splitlines()
        for part, value in zip(("key", "secret"), pair, strict=True):
            lines = [line.replace(f"your_api_{part}_here", value) if line.startswith(venue) else line for line in lines]
        text = "\n".join(lines)
    path = tmp_path / ".env"
    path.write_text(text)
    path.chmod(0o600)
    environ = {"HOME": "/home/trader", "NAUTILUS_SECRETS_DIR": "/", "REDIS_HOST": "localhost"}
    rates = {"NAUTILUS_MAX_ORDER_SUBMIT_RATE": "10/00:00:01"}
    assert () == problems({**environ, **rates}, env_file=path)


# --- beside errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong, silent",
    [
        # What cannot be read might have said anything.
        ({"env_file": "bad line"}, ["TN301", "TN302", "TN303", "TN317"]),
        ({"REDIS_PORT": "0"}, ["TN303"]),
        ({"NAUTILUS_VENUES": "KRAKEN"}, ["TN302", "TN303"]),
        ({"NAUTILUS_EXECUTION": "NOBODY"}, ["TN302", "TN303"]),
        ({"NAUTILUS_ENVIRONMENT": "TEST"}, ["TN302"]),
        ({"BINANCE_ACCOUNT_TYPE": "NONE"}, ["TN302", "TN303"]),
        ({"NAUTILUS_RECONCILIATION_LOOKBACK_MINS": "1"}, ["TN301"]),
        ({"NAUTILUS_LOG_LEVEL": "LOUD"}, []),
    ],
    ids=str,
)
def test_a_rule_keeps_silent_where_what_it_rests_on_is_wrong(
    tmp_path: Path, wrong: dict[str, str], silent: list[str]
) -> None:
    path = tmp_path / ".env"
    path.write_text(wrong.pop("env_file", "") + "\n")
    weak = {"NAUTILUS_TRADER_ID": "YOURNAME-001", "NAUTILUS_RECONCILIATION_LOOKBACK_MINS": "60", **BINANCE}
    environ = {**{name: text for name, text in NODE.items() if name != "REDIS_HOST"}, **weak}
    every = ["TN301", "TN302", "TN303", "TN317"]
    assert every == sorted(one.code for one in problems(environ))
    found = problems({**environ, **wrong}, env_file=path)
    assert sorted(set(every) - set(silent)) == sorted(one.code for one in found if not one.is_error)
    assert 1 == len([one for one in found if one.is_error])


def test_a_key_that_was_not_filled_in_is_told_beside_any_other_error() -> None:
    environ = {**TRADES, "BINANCE_API_KEY": "your_api_key_here", "REDIS_PORT": "0", "NAUTILUS_STOP_TIMEOUT": "1"}
    assert ["TN401 NAUTILUS_STOP_TIMEOUT", "TN401 REDIS_PORT", "TN507 BINANCE_API_KEY"] == sorted(codes(environ))


def test_notes_wait_until_there_is_no_error() -> None:
    environ = {**WATCHES, "BINANCE_BASE_URL_HTTP": GATEWAY}
    assert ["TN001 BINANCE_BASE_URL_HTTP"] == codes(environ)
    assert ["TN401 NAUTILUS_STOP_TIMEOUT"] == codes({**environ, "NAUTILUS_STOP_TIMEOUT": "1"})


def test_each_rule_rests_on_settings_that_there_are() -> None:
    """Otherwise a rule would speak of what was left out."""
    for rule, rests_on in WHOLE:
        assert rests_on, rule
        assert [] == [one for one in rests_on if not any(path.startswith(one) for path in variables_by_path())]


# --- given settings --------------------------------------------------------------------------------------------------


def given(**changes: Any) -> TradingNodeSettings:
    pair = {"api_key": BINANCE["BINANCE_API_KEY"], "api_secret": BINANCE["BINANCE_API_SECRET"], "testnet": True}
    values = {"trader_id": "TRADER-001", "state_dir": "/home/trader/state", "redis": {}, "binance": pair}
    if "binance" in changes:
        changes["binance"] = {**pair, **changes["binance"]}
    return TradingNodeSettings(**{**values, **changes})


GIVEN: list[tuple[dict[str, Any], str]] = [
    ({"reconciliation_lookback_mins": 60}, "TN301 NAUTILUS_RECONCILIATION_LOOKBACK_MINS"),
    ({"redis": None}, "TN303 REDIS_HOST"),
    ({"redis": {"host": "redis"}}, "TN311 REDIS_PASSWORD"),
    ({"redis": {"host": "10.0.0.5", "password": PASSWORD}}, "TN312 REDIS_SSL"),
    ({"redis": {"password": "hello"}}, "TN316 REDIS_PASSWORD"),
    ({"trader_id": "YOURNAME-001"}, "TN317 NAUTILUS_TRADER_ID"),
    ({"binance": {"proxy_url": "http://proxy.example:1"}}, "TN318 BINANCE_PROXY_URL"),
    ({"binance": {"api_key": "test-key"}}, "TN319 BINANCE_API_KEY"),
    ({"binance": {"api_key": SHORT}}, "TN308 BINANCE_API_KEY"),
    ({"max_order_modify_rate": "21/00:00:01"}, "TN313 NAUTILUS_MAX_ORDER_MODIFY_RATE"),
    ({"binance": {"base_url_http": GATEWAY}}, "TN001 BINANCE_BASE_URL_HTTP"),
]


@pytest.mark.parametrize("changes, told", GIVEN, ids=[told for _, told in GIVEN])
def test_the_same_rules_judge_settings_that_are_given(changes: dict[str, Any], told: str) -> None:
    laid = with_preset(given(**changes), "testnet")
    assert [told] == [f"{one.code} {one.key}" for one in (*laid.warnings, *laid.notes)]
    clean = with_preset(given(), "testnet")
    assert ((), ()) == (clean.warnings, clean.notes)


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"binance": {"api_key": "your_api_key_here"}}, "TN507 BINANCE_API_KEY"),
        ({"binance": {"api_secret": SPACED}}, "TN506 BINANCE_API_SECRET"),
        ({"binance": {"api_secret": BINANCE["BINANCE_API_KEY"]}}, "TN508 BINANCE_API_SECRET"),
    ],
)
def test_the_factory_refuses_given_settings_with_a_text_that_is_no_key(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TradingNodeConfigFactory.create_testnet(settings=given(**changes))
    assert (5, [told]) == (caught.value.exit_code, [f"{one.code} {one.key}" for one in caught.value.problems])


def test_the_factory_takes_given_settings_that_are_only_weak() -> None:
    weak = given(redis={"host": "redis"}, reconciliation_lookback_mins=60)
    assert TradingNodeConfigFactory.create_testnet(settings=weak).exec_clients.keys() == {"BINANCE"}


def test_what_is_wrong_elsewhere_silences_every_rule_that_might_rest_on_it() -> None:
    weak = given(redis={"host": "redis"}, trader_id="YOURNAME-001")
    assert {"TN311", "TN317"} <= {one.code for one in weak_whole(weak)}
    assert () == weak_whole(weak, {""})
    assert {"TN317"} == {one.code for one in weak_whole(weak, {"redis.port", "streaming.catalog_path"})}
