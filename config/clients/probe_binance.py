"""What Binance tells of its clock, a key and its account: a handful of reads with Nautilus' own client, never an order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from nautilus_trader.adapters.binance.common.enums import BinanceAccountType
from nautilus_trader.adapters.binance.common.urls import get_http_base_url
from nautilus_trader.adapters.binance.factories import get_cached_binance_http_client
from nautilus_trader.adapters.binance.http.client import BinanceHttpClient
from nautilus_trader.common.component import LiveClock
from nautilus_trader.core.nautilus_pyo3 import HttpMethod

from config.clients.binance import ACCOUNT_TYPES, ENVIRONMENTS, RECV_WINDOW_MS, build_binance_data_client_config
from config.models import BinanceCredentials
from config.preflight.venue_answers import KeyFacts, explained

RESTRICTIONS = "/sapi/v1/account/apiRestrictions"
# A key made before its futures account was opened has no futures right either (Binance, "API Key Permission").
RIGHTS = {
    "SPOT": "enableSpotAndMarginTrading",
    "USDT_FUTURES": "enableFutures",
    "COIN_FUTURES": "enableFutures",
}


BARRED = (
    "says that this account may not trade (canTrade is false): the key lacks the right, or the account is restricted"
)
# Announced as 30 days after the right was given (Binance, "Updates to API Key Permission Rules", 2021).
NO_END = "the key has no end, but unless it is bound to addresses its right to trade lapses after weeks"


class Paths(NamedTuple):
    """Where one market tells its time, an account, and that account's position mode."""

    time: str
    account: str
    mode: str | None


# Version 3 of the futures' account no longer says canTrade.
PATHS = {
    "SPOT": Paths("/api/v3/time", "/api/v3/account", None),
    "USDT_FUTURES": Paths("/fapi/v1/time", "/fapi/v2/account", "/fapi/v1/positionSide/dual"),
    "COIN_FUTURES": Paths("/dapi/v1/time", "/dapi/v1/account", "/dapi/v1/positionSide/dual"),
}


class BinanceProbe:
    """Asks one account of Binance; it has to be closed.

    Parameters
    ----------
    credentials : BinanceCredentials
        The venue's section: with a key it can be asked about.
    timeout_secs : float
        Not used: Nautilus' client has no timeout of its own, so the caller bounds each read.

    """

    def __init__(self, credentials: BinanceCredentials, timeout_secs: float) -> None:
        del timeout_secs
        self._credentials = credentials
        self._paths = PATHS[credentials.account_type]
        self._clock = LiveClock()
        self._client = self._made(ACCOUNT_TYPES[credentials.account_type])
        self.url: str = self._client.base_url

    def _made(self, account_type: BinanceAccountType, base_url: str | None = None) -> BinanceHttpClient:
        config = build_binance_data_client_config(self._credentials)
        # Without the cache, which holds one client: the node's would have to be made again, and this one would never go.
        client: BinanceHttpClient = get_cached_binance_http_client.__wrapped__(
            clock=self._clock,
            account_type=account_type,
            api_key=config.api_key,
            api_secret=config.api_secret,
            base_url=base_url or config.base_url_http,
            environment=config.environment,
            is_us=config.us,
            proxy_url=config.proxy_url,
        )
        return client

    async def time_ms(self) -> float:
        """Return the exchange's clock in UNIX milliseconds."""
        answer = json.loads(await self._client.send_request(HttpMethod.GET, self._paths.time))
        return float(answer["serverTime"])

    async def key_facts(self) -> KeyFacts:
        """Return what the exchange tells of the key; two signed reads, and a third on LIVE, all at once.

        Raises
        ------
        ExceptionGroup
            With what Nautilus' client raised first; the other reads are given up.

        """
        async with asyncio.TaskGroup() as asked:
            account = asked.create_task(self._signed(self._client, self._paths.account))
            mode = asked.create_task(self._mode())
            rights = asked.create_task(self._rights())
        return facts(self._credentials, account.result(), mode.result(), rights.result())

    async def _mode(self) -> Any:
        return {} if self._paths.mode is None else await self._signed(self._client, self._paths.mode)

    async def _signed(self, client: BinanceHttpClient, path: str) -> Any:
        timing = {"recvWindow": str(RECV_WINDOW_MS), "timestamp": str(self._clock.timestamp_ms())}
        return json.loads(await client.sign_request(HttpMethod.GET, path, timing))

    async def _rights(self) -> Mapping[str, Any] | str:
        """Return the key's rights, or why they cannot be told."""
        environment = self._credentials.environment
        if environment != "LIVE":
            return f"{environment} does not tell; look at the key's page"
        client = self._client
        if self._credentials.base_url_http is None and self._credentials.account_type != "SPOT":
            # Futures have hosts of their own, and the rights are told by the spot host.
            spot = BinanceAccountType.SPOT
            client = self._made(spot, get_http_base_url(spot, ENVIRONMENTS[environment], self._credentials.us))
        try:
            rights: Mapping[str, Any] = await self._signed(client, RESTRICTIONS)
        except Exception as error:
            secrets = [value.get_secret_value() for value in (self._credentials.api_key,) if value is not None]
            return explained("BINANCE", error, secrets).message
        return rights

    def close(self) -> None:
        """Let go of the client; its connections go with it."""
        del self._client


def facts(
    credentials: BinanceCredentials,
    account: Mapping[str, Any],
    mode: Mapping[str, Any],
    rights: Mapping[str, Any] | str,
) -> KeyFacts:
    """Return the facts that the exchange's answers hold.

    Parameters
    ----------
    credentials : BinanceCredentials
        What the account is meant for.
    account, mode : mapping
        The answers of the market; ``mode`` is empty for SPOT.
    rights : mapping or str
        The answer of apiRestrictions, or why there is none.

    """
    told: Mapping[str, Any] = {} if isinstance(rights, str) else rights
    untold = dict.fromkeys(("may_withdraw", "any_address"), rights) if isinstance(rights, str) else {}
    is_barred = not account.get("canTrade", True)
    barrier = BARRED if is_barred else ""
    misfit = ""
    market = credentials.account_type
    if told.get(RIGHTS[market]) is False:
        if market == "SPOT":
            barrier = barrier or f"lets the key read only ({RIGHTS[market]} is false)"
        else:
            misfit = f"the key has no right to trade futures ({RIGHTS[market]} is false)"
    kind = str(account.get("accountType", market))
    if market == "SPOT" and kind != "SPOT":
        misfit = f"the account is of type {kind}, not SPOT"
    several = bool(account.get("multiAssetsMargin"))
    isolated = sorted(symbol for symbol, margin in credentials.margin_types.items() if margin == "ISOLATED")
    if several and isolated:
        misfit = misfit or f"multi-assets mode is on, which has no ISOLATED margin ({', '.join(isolated)})"
    return KeyFacts(
        account=f"{kind} account" + (", multi-assets mode" if several else ""),
        misfit=misfit,
        may_trade=None if "canTrade" not in account and not barrier else not barrier,
        barrier=barrier,
        is_barred=is_barred,
        hedged=None if "dualSidePosition" not in mode else (market,) if mode["dualSidePosition"] else (),
        may_withdraw=told.get("enableWithdrawals"),
        any_address=None if "ipRestrict" not in told else not told["ipRestrict"],
        untold={**untold, "expires": NO_END},
    )
