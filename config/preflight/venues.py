"""Are the keys what the settings say? Each active venue is asked before a node is built: clock, key, account, never an order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from config.checks.endpoints import address, classify
from config.clients.binance import RECV_WINDOW_MS
from config.clients.probe_binance import BinanceProbe
from config.clients.probe_bybit import BybitProbe
from config.models import ExchangeCredentials, TradingNodeSettings, VenueName
from config.preflight.findings import Finding, Verdict, finding
from config.preflight.venue_answers import CLOCK, ONE_WAY, KeyFacts, explained, problem_key
from config.problems import Problem

BUDGET_SECS = 5.0
# How long one step may take: a distant exchange needs some 0.6 s for a connection with TLS and an answer.
STEP_SECS = 2.5
# Half a second is what an unattended clock loses in days; NTP keeps it within some 10 ms.
OFF_MS = 500
# A request is refused when it is older than its receive window, or more than a second ahead of the exchange's clock (Binance,
# "Timing security"; Bybit v5, "Integration Guidance"). The margin is for the way there, which makes it older.
BEHIND_MAX_MS = RECV_WINDOW_MS - 500
AHEAD_MAX_MS = 1_000
EXPIRES_SOON = timedelta(days=7)

KEY_STEPS = ("key", "trading", "account", "position_mode", "withdrawals", "addresses", "expiry")


class Probe(Protocol):
    """What can be asked of a venue."""

    url: str

    async def time_ms(self) -> float:
        """Return the exchange's clock in UNIX milliseconds."""
        ...

    async def key_facts(self) -> KeyFacts:
        """Return what the exchange tells of the key."""
        ...

    def close(self) -> None:
        """Let go of the connections."""
        ...


PROBES: Mapping[VenueName, Callable[[Any, float], Probe]] = {"BINANCE": BinanceProbe, "BYBIT": BybitProbe}


def check_venues(settings: TradingNodeSettings, *, budget_secs: float = BUDGET_SECS) -> list[Finding]:
    """Return what each active venue tells of itself and of the key; for a thread without a running event loop.

    Parameters
    ----------
    settings : TradingNodeSettings
        Checked settings; a key is used only where the venue executes.
    budget_secs : float
        Seconds that all venues together may take; all are asked at the same time.

    Returns
    -------
    list of Finding
        By venue, in the order of the steps: ``binance.reachable``, ``.clock``, ``.key``, ``.trading``, ``.account``,
        ``.position_mode``, ``.withdrawals``, ``.addresses``, ``.expiry``. What cannot be told is ``unknown``, what was not
        asked is ``skipped``.

    """
    return asyncio.run(venue_findings(settings, budget_secs=budget_secs))


async def venue_findings(settings: TradingNodeSettings, *, budget_secs: float = BUDGET_SECS) -> list[Finding]:
    """Return what :func:`check_venues` does, inside a running event loop."""
    deadline = time.monotonic() + budget_secs
    found = await asyncio.gather(*(_venue(settings, venue, deadline) for venue in settings.active_venues))
    return [one for findings in found for one in findings]


async def _venue(settings: TradingNodeSettings, venue: VenueName, deadline: float) -> list[Finding]:
    began = time.monotonic()
    try:
        probe = PROBES[venue](settings.credentials(venue), STEP_SECS)
    except Exception as error:
        return [
            _refused(settings, venue, "reachable", error, "", began),
            *_rest(venue, ("clock", *KEY_STEPS), "reachable"),
        ]
    try:
        return await _asked(settings, venue, probe, deadline)
    finally:
        probe.close()


async def _asked(settings: TradingNodeSettings, venue: VenueName, probe: Probe, deadline: float) -> list[Finding]:
    credentials = settings.credentials(venue)
    began = time.monotonic()
    try:
        first = await _within(deadline, _sample(probe))
        reached = time.monotonic()
        # The first request opened the connection; the second tells how long the way is.
        second = await _within(deadline, _sample(probe))
    except Exception as error:
        return [
            _refused(settings, venue, "reachable", error, probe.url, began),
            *_rest(venue, ("clock", *KEY_STEPS), "reachable"),
        ]
    offset_ms, trip_ms = min(first, second, key=lambda sample: sample[1])
    answers = f"{address(probe.url)} answers, {trip_ms:.0f} ms there and back"
    clock = finding(_step(venue, "clock"), judged_clock(venue, offset_ms, trip_ms), time.monotonic() - reached)
    findings = [finding(_step(venue, "reachable"), ("ok", answers), reached - began), clock]
    if not credentials.has_key:
        why = "no key: public data only"
        return [*findings, *(finding(_step(venue, step), ("skipped", why)) for step in KEY_STEPS)]
    if clock.state == "error":  # with that clock every signed request is refused
        return [*findings, *_rest(venue, KEY_STEPS, "clock")]
    return [*findings, *await _key(settings, venue, probe, deadline)]


async def _key(settings: TradingNodeSettings, venue: VenueName, probe: Probe, deadline: float) -> list[Finding]:
    environment = settings.credentials(venue).environment
    began = time.monotonic()
    try:
        facts = await _within(deadline, probe.key_facts())
    except Exception as error:
        return [
            _refused(settings, venue, "key", error, probe.url, began),
            *_rest(venue, KEY_STEPS[1:], "key"),
        ]
    well = f"the key is valid for {environment} at {address(probe.url)}"
    valid = finding(_step(venue, "key"), ("ok", well), time.monotonic() - began)
    verdicts = {step: judge(venue, facts, settings.credentials(venue)) for step, judge in JUDGES.items()}
    return [
        valid,
        *(
            finding(_step(venue, step), _placed(settings, venue, each) if isinstance(each, Problem) else each)
            for step, each in verdicts.items()
        ),
    ]


async def _sample(probe: Probe) -> tuple[float, float]:
    """Return by how much the exchange's clock is ahead of this machine's, and how long the answer took, both in milliseconds."""
    sent, begun = time.time() * 1e3, time.perf_counter()
    told = await probe.time_ms()
    trip_ms = (time.perf_counter() - begun) * 1e3
    return told - (sent + trip_ms / 2), trip_ms


class _LateError(TimeoutError):
    """An answer that did not come; says within which time."""


async def _within[T](deadline: float, asking: Awaitable[T]) -> T:
    """Return the answer; ``_LateError`` after a step's time or at the end of the budget."""
    limit = max(0.0, min(STEP_SECS, deadline - time.monotonic()))
    try:
        return await asyncio.wait_for(asking, limit)
    except TimeoutError:
        raise _LateError(f"nothing within {limit:.1f} s") from None


def _refused(
    settings: TradingNodeSettings, venue: VenueName, step: str, error: Exception, url: str, began: float
) -> Finding:
    """Return what a refusal means, with what was asked where; ``url`` is empty if nothing was."""
    credentials = settings.credentials(venue)
    pair = (credentials.api_key, credentials.api_secret, credentials.proxy_url)
    secrets = [value.get_secret_value() for value in pair if value is not None]
    told = _placed(settings, venue, explained(venue, error, secrets))
    if isinstance(error, _LateError):
        # Once the clock was told a connection stood: then it is not the way that fails.
        since = ", though it told its clock" if step == "key" else ""
        told = replace(told, message=f"{told.message} ({error}{since})", origin=None)
    if url:
        tried = f"{told.key} was tried" if told.code == "TN505" and told.origin is not None else "asked"
        where = f"{address(url)} ({credentials.environment})" if step == "key" else address(url)
        told = replace(told, message=f"{told.message}; {tried} at {where}")
    if url and classify(url) == "other":
        told = replace(told, message=f"{told.message}, which is not {venue}'s own host")
        if told.code == "TN617":
            fix = f"see that {address(url)} works and passes on to {venue}, or remove {told.key} to ask the exchange itself"
            told = replace(told, fix=fix)
    return finding(_step(venue, step), told, time.monotonic() - began)


def _step(venue: str, step: str) -> str:
    return f"{venue.lower()}.{step}"


def _rest(venue: str, steps: tuple[str, ...], failed: str) -> list[Finding]:
    """Return that ``steps`` were left out, since ``failed`` left nothing to look at."""
    return [finding(_step(venue, step), ("skipped", f"not looked at: see {_step(venue, failed)}")) for step in steps]


# What is wrong at the exchange, whatever the settings say.
ELSEWHERE = ("TN328", "TN510")


def _placed(settings: TradingNodeSettings, venue: str, problem: Problem) -> Problem:
    """Return a problem with the name and the place of the setting that it is told under, where somebody set it."""
    name = problem.key.removeprefix(f"{venue}_").lower()
    origin = settings.origins.get(f"{venue.lower()}.{name}")
    if origin is None:
        return problem
    return replace(problem, key=origin.key, origin=None if problem.code in ELSEWHERE else origin)


def _of_key(code: str, venue: str, message: str, fix: str) -> Problem:
    # Warnings on a key stand under its variable, as its errors do.
    return Problem(code, problem_key(venue, "TN5"), message, fix)


def judged_clock(venue: str, offset_ms: float, trip_ms: float) -> Verdict:
    """Return what to say of this machine's clock.

    Parameters
    ----------
    venue : str
        Whose clock it was compared with.
    offset_ms : float
        By how many milliseconds that clock is ahead of this machine's, corrected by half of the way there and back.
    trip_ms : float
        Milliseconds there and back; half of it is how far the offset may be wrong, which is counted in its favour.

    """
    behind = offset_ms > 0
    side = "behind" if behind else "ahead of"
    words = f"this machine's clock is {_span(abs(offset_ms))} {side} {venue}'s, give or take {trip_ms / 2:.0f} ms"
    sure = abs(offset_ms) - trip_ms / 2
    limit = BEHIND_MAX_MS if behind else AHEAD_MAX_MS
    if sure >= limit:
        why = f"refuses what is more than {'5 s old' if behind else '1 s ahead'}"
        return Problem("TN615", venue, f"{words}; {venue} {why}", CLOCK)
    if sure > OFF_MS:
        return Problem("TN324", venue, f"{words}; more than {OFF_MS} ms is the sign of a clock not kept", CLOCK)
    return "ok", words


def _span(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1_000 else f"{milliseconds / 1_000:.1f} s"


def _trading(venue: str, facts: KeyFacts, _: ExchangeCredentials) -> Verdict:
    if facts.may_trade is None:
        return "unknown", facts.untold.get("may_trade", "the exchange does not tell")
    if facts.may_trade:
        return "ok", "may trade"
    fix = "allow trading on the key's page, or use a key that may trade"
    fix += "; if it is allowed there, ask the exchange's support about the account" if facts.is_barred else ""
    return _of_key("TN509", venue, f"{venue} {facts.barrier}", fix)


def _account(venue: str, facts: KeyFacts, _: ExchangeCredentials) -> Verdict:
    if not facts.misfit:
        return "ok", facts.account
    fix = "use a key of an account that fits, or change the account, or the settings"
    return _of_key("TN511", venue, f"{venue}'s account does not fit the settings: {facts.misfit}", fix)


def _position_mode(venue: str, facts: KeyFacts, credentials: ExchangeCredentials) -> Verdict:
    if facts.hedged is None:
        spot = getattr(credentials, "account_type", None) == "SPOT"
        why = "spot has no positions" if spot else facts.untold.get("hedged", "the exchange does not tell")
        return ("skipped" if spot else "unknown"), why
    if not facts.hedged:
        return "ok", f"one-way mode{f' (looked at {", ".join(facts.asked)})' if facts.asked else ''}"
    what = ", ".join(facts.hedged)
    fix = f"close all positions and orders{f' of {what}' if facts.asked else ''}, {ONE_WAY}"
    if not facts.asked:  # Nautilus' Binance client refuses to connect, since it sends reduce-only
        message = f"{venue} keeps long and short apart (hedge mode, {what}); this node works in one-way mode"
        return _of_key("TN510", venue, message, fix)
    # Bybit refuses each order without a side.
    refuses = f"this node works in one-way mode, and {venue} refuses its orders; looked at {', '.join(facts.asked)}"
    if facts.hedge_matters:
        return _of_key("TN510", venue, f"{venue} keeps long and short apart (hedge mode, {what}); {refuses}", fix)
    return _of_key("TN328", venue, f"{what} is in hedge mode at {venue}; {refuses}", fix)


def _withdrawals(venue: str, facts: KeyFacts, _: ExchangeCredentials) -> Verdict:
    if facts.may_withdraw is None:
        return "unknown", facts.untold.get("may_withdraw", "the exchange does not tell")
    if not facts.may_withdraw:
        return "ok", "may not withdraw"
    message = f"{venue} lets the key withdraw: whoever gets hold of it can empty the account"
    return _of_key("TN325", venue, message, "take that right from the key on its page; trading needs none")


def _addresses(venue: str, facts: KeyFacts, _: ExchangeCredentials) -> Verdict:
    if facts.any_address is None:
        return "unknown", facts.untold.get("any_address", "the exchange does not tell")
    if not facts.any_address:
        return "ok", "bound to addresses"
    message = f"{venue} takes the key from every address: whoever gets hold of it can trade with it"
    return _of_key("TN326", venue, message, "bind the key to this machine's address on the key's page")


def _expiry(venue: str, facts: KeyFacts, _: ExchangeCredentials) -> Verdict:
    return judged_expiry(venue, facts, datetime.now(UTC))


def judged_expiry(venue: str, facts: KeyFacts, now: datetime) -> Verdict:
    """Return what to say of the day on which the key ends, at the time ``now``."""
    if facts.expires is None:
        return "unknown", facts.untold.get("expires", "the exchange does not tell")
    left = facts.expires - now
    when = f"{facts.expires:%Y-%m-%d %H:%M} UTC"
    if left > EXPIRES_SOON:
        return "ok", f"the key ends on {when}"
    days = f"in {left.days} days" if left.days > 0 else "within a day"
    message = f"{venue}'s key ends {days}, on {when}: from then on every request is refused"
    return _of_key("TN327", venue, message, "renew it on the key's page, or make a new one in time")


JUDGES: Mapping[str, Callable[[str, KeyFacts, ExchangeCredentials], Verdict]] = {
    "trading": _trading,
    "account": _account,
    "position_mode": _position_mode,
    "withdrawals": _withdrawals,
    "addresses": _addresses,
    "expiry": _expiry,
}
