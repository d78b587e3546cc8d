"""The clients of Nautilus ask a real exchange on loopback about clock, key and account, before any node is built."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from config.models import BinanceCredentials, BybitCredentials, TradingNodeSettings
from config.preflight.findings import Finding, State
from config.preflight.venues import JUDGES, KEY_STEPS, check_venues, venue_findings
from config.problems import ExitCode
from tests.conftest import CANARIES
from tests.forked import run_forked
from tests.redis_server import RedisServer, free_port
from tests.venue.handle import Venue

BINANCE = {name: CANARIES[f"BINANCE_FUTURES_TESTNET_{name.upper()}"] for name in ("api_key", "api_secret")}
BYBIT = {name: CANARIES[f"BYBIT_TESTNET_{name.upper()}"] for name in ("api_key", "api_secret")}
SECRETS = (*BINANCE.values(), *BYBIT.values())
STEPS = tuple(f"{venue}.{step}" for venue in ("binance", "bybit") for step in ("reachable", "clock", *KEY_STEPS))


@pytest.fixture(scope="module")
def _venue() -> Iterator[Venue]:
    with Venue.start(keys={pair["api_key"]: pair["api_secret"] for pair in (BINANCE, BYBIT)}) as venue:
        yield venue


@pytest.fixture
def venue(_venue: Venue) -> Iterator[Venue]:
    """An exchange that knows the two pairs; after each test it is seen that it was asked for nothing but reading."""
    yield _venue
    _venue.behave()
    asked = _venue.counts(reset=True)
    assert [] == [name for name in asked if not name.startswith("GET ") or "order" in name.lower()]


def settings(venue: Venue, environment: str = "TESTNET", **fields: Any) -> TradingNodeSettings:
    binance = {**BINANCE, "environment": environment, "base_url_http": venue.http, **fields.pop("binance", {})}
    bybit = {**BYBIT, "environment": environment, "base_url_http": venue.http, **fields.pop("bybit", {})}
    return TradingNodeSettings(
        trader_id="PROBE-001",
        binance=BinanceCredentials.model_validate(binance),
        bybit=BybitCredentials.model_validate(bybit),
        **{"venues": ("BINANCE", "BYBIT"), **fields},
    )


def asked(given: TradingNodeSettings, **options: float) -> dict[str, Finding]:
    """Return the findings by step; whatever was found, no secret is in it."""
    findings = check_venues(given, **options)
    assert [] == [secret for secret in SECRETS if secret in json.dumps([finding.to_dict() for finding in findings])]
    assert len(findings) == len({finding.step for finding in findings})
    return {finding.step: finding for finding in findings}


def problems(findings: Mapping[str, Finding]) -> dict[str, str]:
    return {step: finding.problem.code for step, finding in findings.items() if finding.problem is not None}


def states(findings: Mapping[str, Finding], venue: str) -> dict[str, str]:
    return {step.partition(".")[2]: one.state for step, one in findings.items() if step.startswith(f"{venue}.")}


@pytest.mark.parametrize(
    "environment, market",
    [
        *((environment, market) for environment in ("LIVE", "TESTNET", "DEMO") for market in ("USDT_FUTURES", "SPOT")),
        ("LIVE", "COIN_FUTURES"),  # the settings refuse it elsewhere
    ],
)
def test_a_good_pair_is_valid_everywhere_and_what_cannot_be_told_is_unknown(
    venue: Venue, environment: str, market: str
) -> None:
    """Nothing is asked more than twice, and a key's rights only where the exchange tells them."""
    product = "SPOT" if market == "SPOT" else "LINEAR"
    findings = asked(
        settings(venue, environment, binance={"account_type": market}, bybit={"product_types": (product,)})
    )
    assert STEPS == tuple(findings)
    assert {} == problems(findings)
    rights = "ok" if environment == "LIVE" else "unknown"
    assert {
        **dict.fromkeys(("reachable", "clock", "key", "trading", "account"), "ok"),
        "position_mode": "skipped" if market == "SPOT" else "ok",
        "withdrawals": rights,
        "addresses": rights,
        "expiry": "unknown",
    } == states(findings, "binance")
    assert {
        **dict.fromkeys(("reachable", "clock", "key", "trading", "account", "position_mode", "expiry"), "ok"),
        **dict.fromkeys(("withdrawals", "addresses"), "unknown"),
    } == states(findings, "bybit")
    assert findings["binance.key"].detail.startswith(f"the key is valid for {environment} at ")
    looked_at = {"LINEAR": "one-way mode (looked at BTCUSDT)", "SPOT": "one-way mode"}[product]
    assert looked_at == findings["bybit.position_mode"].detail
    counts = venue.counts()
    assert (environment == "LIVE") == ("GET /sapi/v1/account/apiRestrictions" in counts)
    assert max(counts.values()) <= 2


# -- refused keys -----------------------------------------------------------------------------------


def test_a_refused_key_is_told_for_both_venues_with_exit_code_5(venue: Venue) -> None:
    venue.misbehave("bad_key")
    findings = asked(settings(venue))
    assert {"binance.key": "TN505", "bybit.key": "TN505"} == problems(findings)
    for name in ("binance", "bybit"):
        problem = findings[f"{name}.key"].problem
        assert problem is not None
        assert ExitCode.CREDENTIALS == problem.exit_code
        assert "TESTNET" in problem.message
        assert "ok" == findings[f"{name}.clock"].state
        see = ("skipped", f"not looked at: see {name}.key")
        assert {see} == {(findings[f"{name}.{step}"].state, findings[f"{name}.{step}"].detail) for step in JUDGES}


def from_environment(venue: Venue, folder: Path) -> TradingNodeSettings:
    """Return settings that know where each of them stands."""
    environ = {
        "NAUTILUS_TRADER_ID": "PROBE-001",
        "NAUTILUS_STATE_DIR": str(folder),
        "NAUTILUS_VENUES": "BINANCE,BYBIT",
        "REDIS_HOST": "localhost",
        **venue.environ(),
        **{name: CANARIES[name] for name in CANARIES if not name.startswith("REDIS")},
    }
    return TradingNodeSettings.from_env(env_file=None, environ=environ, preset="testnet")


def test_a_key_of_another_environment_is_told_under_the_variable_that_holds_it(venue: Venue, tmp_path: Path) -> None:
    """The exchange knows other keys only, as a testnet does not know those of the live exchange."""
    venue.keys({"somebody-elses": "secret"})
    try:
        findings = asked(from_environment(venue, tmp_path))
    finally:
        venue.keys({pair["api_key"]: pair["api_secret"] for pair in (BINANCE, BYBIT)})
    for step, name in (("binance.key", "BINANCE_FUTURES_TESTNET_API_KEY"), ("bybit.key", "BYBIT_TESTNET_API_KEY")):
        problem = findings[step].problem
        assert problem is not None
        assert ("TN505", name) == (problem.code, problem.key)
        assert problem.origin is not None
        assert name == problem.origin.key
        assert "another environment" in problem.message
        host, exchange = venue.http.removeprefix("http://"), step.partition(".")[0].upper()
        where = f"; {name} was tried at {host} (TESTNET), which is not {exchange}'s own host"
        assert problem.message.endswith(where)


def test_a_fault_that_no_setting_has_is_told_without_a_place(venue: Venue, tmp_path: Path) -> None:
    venue.misbehave("hedge_mode")
    given = from_environment(venue, tmp_path)
    found = [asked(given)[f"{name}.position_mode"].problem for name in ("binance", "bybit")]
    venue.behave()
    venue.misbehave("hang")
    found += [asked(given, budget_secs=0.3)[f"{name}.reachable"].problem for name in ("binance", "bybit")]
    expected = ["TN510", "TN328", "TN617", "TN617"]
    assert [(code, None) for code in expected] == [(each.code, each.origin) for each in found if each is not None]


def test_a_host_that_is_not_the_exchanges_own_is_told_where_it_fails_and_the_exchanges_own_is_not(venue: Venue) -> None:
    """The own ones are asked through a proxy that is not there: nothing leaves this machine."""
    venue.misbehave("http_500")
    host = venue.http.removeprefix("http://")
    findings = asked(settings(venue))
    for name in ("BINANCE", "BYBIT"):
        problem = findings[f"{name.lower()}.reachable"].problem
        assert problem is not None
        assert problem.message.endswith(f"; asked at {host}, which is not {name}'s own host")
        assert f"see that {host} works and passes on to {name}, or remove {name}_BASE_URL_HTTP" in problem.fix
    own = {"base_url_http": None, "proxy_url": f"http://127.0.0.1:{free_port()}"}
    findings = asked(settings(venue, binance=own, bybit=own))
    for name in ("BINANCE", "BYBIT"):
        problem = findings[f"{name.lower()}.reachable"].problem
        assert problem is not None
        assert problem.message.endswith(":443")
        assert "the proxy" in problem.fix


def test_a_secret_of_another_key_is_told_as_such(venue: Venue) -> None:
    wrong = {"api_secret": "x" * 40 + "1A"}
    findings = asked(settings(venue, binance=wrong, bybit=wrong))
    assert {"binance.key": "TN505", "bybit.key": "TN505"} == problems(findings)
    for step in problems(findings):
        assert "secret does not belong to the key" in findings[step].detail


# -- what a valid key may do ------------------------------------------------------------------------


@pytest.mark.parametrize("market", ["USDT_FUTURES", "SPOT"])
def test_a_key_that_may_only_read_is_an_error_with_exit_code_5(venue: Venue, market: str) -> None:
    venue.misbehave("no_trading")
    findings = asked(settings(venue, binance={"account_type": market}))
    assert {"binance.trading": "TN509", "bybit.trading": "TN509"} == problems(findings)
    binance, bybit = (findings[f"{name}.trading"].problem for name in ("binance", "bybit"))
    assert binance is not None
    assert bybit is not None
    barred = "BINANCE says that this account may not trade (canTrade is false): the key lacks the right, or the account"
    assert (True, True) == (binance.message.startswith(barred), "support" in binance.fix)
    assert "BYBIT lets the key read only (readOnly is 1)" == bybit.message
    assert (True, False) == ("the key's page" in bybit.fix, "support" in bybit.fix)
    assert ["ok", "ok"] == [findings[f"{name}.key"].state for name in ("binance", "bybit")]


def test_hedge_mode_is_an_error_where_orders_are_sure_to_meet_it(venue: Venue) -> None:
    """Bybit has the mode by symbol: an error for one that is traded, a warning for one that may not be."""
    venue.misbehave("hedge_mode")
    findings = asked(settings(venue))
    assert {"binance.position_mode": "TN510", "bybit.position_mode": "TN328"} == problems(findings)
    problem = findings["bybit.position_mode"].problem
    assert problem is not None
    told = "BTCUSDT is in hedge mode at BYBIT; this node works in one-way mode, and BYBIT refuses its orders; looked at BTCUSDT"
    assert told == problem.message
    assert problem.fix.startswith("close all positions and orders of BTCUSDT, then set position mode: one-way")
    named = settings(venue, bybit={"instrument_ids": ("ETHUSDT-LINEAR.BYBIT", "BTCUSDT-LINEAR.BYBIT")})
    findings = asked(named)
    assert {"binance.position_mode": "TN510", "bybit.position_mode": "TN510"} == problems(findings)
    assert "ETHUSDT, BTCUSDT" in findings["bybit.position_mode"].detail


def test_a_symbol_that_bybit_does_not_have_leaves_the_position_mode_unknown(venue: Venue) -> None:
    findings = asked(settings(venue, bybit={"instrument_ids": ("NOSUCH-LINEAR.BYBIT",)}))
    assert "unknown" == findings["bybit.position_mode"].state
    assert "NOSUCH" in findings["bybit.position_mode"].detail
    assert {} == problems(findings)


@pytest.mark.parametrize(
    "market, right, expected",
    [
        ("USDT_FUTURES", {"withdraw": True}, {"binance.withdrawals": "TN325"}),
        ("USDT_FUTURES", {"any_address": True}, {"binance.addresses": "TN326"}),
        ("USDT_FUTURES", {"futures": False}, {"binance.account": "TN511"}),
        ("COIN_FUTURES", {"futures": False}, {"binance.account": "TN511"}),
        ("SPOT", {"spot": False}, {"binance.trading": "TN509"}),
        ("SPOT", {"futures": False}, {}),
        ("USDT_FUTURES", {"spot": False}, {}),
    ],
)
def test_the_rights_of_a_live_key_are_weighed_against_the_market(
    venue: Venue, market: str, right: dict[str, bool], expected: dict[str, str]
) -> None:
    venue.misbehave("key_rights", "BINANCE", **right)
    given = settings(venue, "LIVE", binance={"account_type": market}, venues=("BINANCE",))
    assert expected == problems(asked(given))


def test_rights_that_cannot_be_had_are_unknown_and_stop_nothing(venue: Venue) -> None:
    venue.misbehave("http_500", "BINANCE", path="/sapi/")
    findings = asked(settings(venue, "LIVE", venues=("BINANCE",)))
    assert {} == problems(findings)
    assert "ok" == findings["binance.trading"].state
    for step in ("binance.withdrawals", "binance.addresses"):
        assert "unknown" == findings[step].state
        assert "HTTP 500" in findings[step].detail


def test_a_key_that_ends_soon_is_a_warning(venue: Venue) -> None:
    venue.misbehave("key_expires", "BYBIT", days=3)
    findings = asked(settings(venue))
    assert {"bybit.expiry": "TN327"} == problems(findings)
    venue.misbehave("key_expires", "BYBIT", days=30)
    assert {} == problems(asked(settings(venue)))


def test_an_account_of_another_kind_is_an_error(venue: Venue) -> None:
    venue.misbehave("other_account")
    findings = asked(settings(venue, binance={"account_type": "SPOT"}))
    assert {"binance.account": "TN511", "bybit.account": "TN511"} == problems(findings)
    isolated = settings(venue, binance={"margin_types": {"BTCUSDT": "ISOLATED"}}, venues=("BINANCE",))
    assert {"binance.account": "TN511"} == problems(asked(isolated))


# -- clocks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "skew_ms, code, words",
    [
        (60_000, "TN615", "60.0 s behind"),
        (-60_000, "TN615", "60.0 s ahead of"),
        (-3_000, "TN615", "3.0 s ahead of"),
        (2_000, "TN324", "2.0 s behind"),
    ],
)
def test_a_clock_that_is_off_is_told_with_direction_and_amount(
    venue: Venue, skew_ms: int, code: str, words: str
) -> None:
    """With a clock for which every signed request is refused, none is sent."""
    venue.misbehave("clock_skew", ms=skew_ms)
    findings = asked(settings(venue))
    assert {"binance.clock": code, "bybit.clock": code} == problems(findings)
    for name in ("binance", "bybit"):
        assert words in findings[f"{name}.clock"].detail
        assert ("ok" if code == "TN324" else "skipped") == findings[f"{name}.key"].state
        assert (code == "TN615") == (f"not looked at: see {name}.clock" == findings[f"{name}.key"].detail)
    assert (code == "TN324") == ("GET /fapi/v2/account" in venue.counts())


# -- venues that do not answer ----------------------------------------------------------------------


def test_a_venue_that_fails_is_unreachable_and_the_other_one_is_not(venue: Venue) -> None:
    venue.misbehave("http_500", "BINANCE")
    findings = asked(settings(venue))
    assert {"binance.reachable": "TN617"} == problems(findings)
    assert {("skipped", "not looked at: see binance.reachable")} == {
        (findings[f"binance.{step}"].state, findings[f"binance.{step}"].detail) for step in ("clock", *KEY_STEPS)
    }
    assert "ok" == findings["bybit.key"].state


@pytest.mark.parametrize("banned", [False, True])
def test_a_rate_limit_and_a_ban_are_told_with_exit_code_6(venue: Venue, banned: bool) -> None:
    venue.misbehave("rate_limit", banned=banned)
    findings = asked(settings(venue))
    assert {"binance.reachable": "TN616", "bybit.reachable": "TN616"} == problems(findings)
    problem = findings["binance.reachable"].problem
    assert problem is not None
    assert ExitCode.DEPENDENCY == problem.exit_code
    assert banned == ("banned" in problem.message)
    assert banned == ("2100-01-01" in problem.message)
    assert {"GET /fapi/v1/time": 1, "GET /v5/market/time": 1} == venue.counts()


def test_a_venue_that_hangs_costs_no_more_than_the_budget(venue: Venue) -> None:
    venue.misbehave("hang")
    began = time.monotonic()
    findings = asked(settings(venue), budget_secs=0.5)
    assert 0.4 < time.monotonic() - began < 10  # a hang takes longer, on the most loaded of machines
    assert {"binance.reachable": "TN617", "bybit.reachable": "TN617"} == problems(findings)
    assert "BYBIT does not answer in time (nothing within 0.5 s); asked at" in findings["bybit.reachable"].detail


def test_a_venue_that_hangs_at_the_key_costs_no_more_than_the_budget(venue: Venue) -> None:
    venue.misbehave("hang", "BINANCE", path="/fapi/v2/account")
    venue.misbehave("hang", "BYBIT", path="/v5/user/query-api")
    began = time.monotonic()
    findings = asked(settings(venue), budget_secs=0.5)
    assert time.monotonic() - began < 10
    assert {"binance.key": "TN617", "bybit.key": "TN617"} == problems(findings)
    assert "s, though it told its clock)" in findings["bybit.key"].detail
    assert ["ok", "ok"] == [findings[f"{name}.clock"].state for name in ("binance", "bybit")]


def test_a_closed_port_is_told_at_once_with_host_and_port(venue: Venue) -> None:
    closed = {"base_url_http": f"http://127.0.0.1:{free_port()}"}
    began = time.monotonic()
    findings = asked(settings(venue, binance=closed, bybit=closed))
    assert time.monotonic() - began < 10
    assert {"binance.reachable": "TN617", "bybit.reachable": "TN617"} == problems(findings)
    for name in ("binance", "bybit"):
        assert closed["base_url_http"].removeprefix("http://") in findings[f"{name}.reachable"].detail
    assert {} == venue.counts()


# -- what is not asked ------------------------------------------------------------------------------


@pytest.mark.parametrize("execution", ["SIMULATED", "NONE"])
def test_without_execution_at_the_venue_a_key_is_never_sent(
    venue: Venue, execution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither one of the settings, nor one that Nautilus' Rust client would find in the environment by itself."""
    monkeypatch.setenv("BYBIT_API_KEY", BYBIT["api_key"])
    monkeypatch.setenv("BYBIT_API_SECRET", BYBIT["api_secret"])
    findings = asked(settings(venue, "LIVE", execution=execution))
    assert {} == problems(findings)
    for name in ("binance", "bybit"):
        assert {"skipped"} == {findings[f"{name}.{step}"].state for step in KEY_STEPS}
        assert ["ok", "ok"] == [findings[f"{name}.{step}"].state for step in ("reachable", "clock")]
    assert {"GET /fapi/v1/time": 2, "GET /v5/market/time": 2} == venue.counts()
    assert BYBIT["api_key"] == os.environ["BYBIT_API_KEY"]


def test_a_venue_that_is_off_is_not_asked(venue: Venue) -> None:
    findings = asked(settings(venue, venues=("BYBIT",)))
    assert {"bybit"} == {step.partition(".")[0] for step in findings}
    assert [] == [name for name in venue.counts() if "/v5/" not in name]


# -- what is left behind ----------------------------------------------------------------------------


def test_nothing_is_left_running_in_the_loop(venue: Venue) -> None:
    """Neither after answers nor after a refusal that gives up the other reads, nor after one that never comes."""

    async def tasks_left() -> list[set[Any]]:
        left = []
        for fault, path in (("hang", "/nowhere"), ("http_500", "/fapi/v2"), ("hang", "/fapi/v2"), ("hang", "/v5/user")):
            venue.behave()
            venue.misbehave(fault, path=path)
            await venue_findings(settings(venue, "LIVE"), budget_secs=0.3)
            left.append(asyncio.all_tasks() - {asyncio.current_task()})
        return left

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert [set()] * 4 == asyncio.run(tasks_left(), debug=True)
        gc.collect()
    assert [] == [str(warning.message) for warning in warned if "await" in str(warning.message)]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts in /proc")
def test_no_connection_and_no_thread_is_left(venue: Venue) -> None:
    def counted() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), len(list(Path("/proc/self/task").iterdir()))

    given = settings(venue, "LIVE")
    for _ in range(3):
        check_venues(given)
    before = _settled(counted)
    for _ in range(20):
        check_venues(given)
    venue.misbehave("hang", path="/fapi/v2")
    check_venues(given, budget_secs=0.3)
    after = _settled(counted)
    assert after[0] <= before[0]
    # Lookups of names have threads of their own for some seconds, in a pool of the process.
    assert after[1] <= before[1] + 2


def _settled(counted: Callable[[], tuple[int, int]], patience: float = 3.0) -> tuple[int, int]:
    """Return the counts once they have not changed for a moment: connections are closed by another thread.

    What the traceback of a read that was given up still holds goes with the garbage.
    """
    gc.collect()
    deadline = time.monotonic() + patience
    last, since = counted(), time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < 0.3:
        time.sleep(0.05)
        if (now := counted()) != last:
            last, since = now, time.monotonic()
    return last


def _asked_then_run(environ: dict[str, str]) -> tuple[list[State], bool]:
    from config.factory import TradingNodeConfigFactory
    from config.live.runner import Deadlines, run_node

    given = TradingNodeSettings.from_env(env_file=None, environ=environ, preset="testnet")
    found = [finding.state for finding in check_venues(given)]
    ready = []

    def on_ready(_node: Any, _seconds: float) -> None:
        ready.append(True)
        os.kill(os.getpid(), signal.SIGTERM)

    run_node(TradingNodeConfigFactory.from_settings(given), Deadlines(ready=30, stop=10), on_ready=on_ready)
    return found, bool(ready)


def test_a_node_becomes_ready_after_the_questions_in_the_same_process(
    venue: Venue, redis: RedisServer, tmp_path: Path
) -> None:
    environ = {
        "NAUTILUS_TRADER_ID": "PROBED-001",
        "NAUTILUS_STATE_DIR": str(tmp_path / "state"),
        **redis.environ,
        **venue.environ(),
        **CANARIES,
    }
    found, ready = run_forked(_asked_then_run, environ)
    assert 18 == len(found)
    assert {"ok", "unknown"} == set(found)
    assert ready
    venue.counts(reset=True)  # the node's own requests, which are not all for reading
