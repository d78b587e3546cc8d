"""What Bybit tells of its clock, a key and its account: a handful of reads with Nautilus' own client, never an order."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from nautilus_trader.core import nautilus_pyo3
from nautilus_trader.core.nautilus_pyo3 import BybitEnvironment, BybitProductType

from config.clients.bybit import bare_http_client, build_bybit_data_client_config, only_given_keys
from config.models import BybitCredentials
from config.preflight.venue_answers import KeyFacts, explained

# The position mode is one symbol's, or one coin's; more symbols would be more reads.
SYMBOLS_MAX = 3
USUAL_SYMBOL = "BTCUSDT"
LINEAR_SUFFIX = "-LINEAR.BYBIT"
# By Nautilus' client, which leaves it out of the exchange's answer.
NOT_TOLD = "not told to this program; look at the key's page"


class BybitProbe:
    """Asks one account of Bybit; it has to be closed.

    Parameters
    ----------
    credentials : BybitCredentials
        The venue's section: with a key it can be asked about.
    timeout_secs : float
        How long one request may take, in seconds; rounded up to whole ones.

    """

    def __init__(self, credentials: BybitCredentials, timeout_secs: float) -> None:
        self._credentials = credentials
        config = build_bybit_data_client_config(credentials)
        environment = config.environment or BybitEnvironment.MAINNET
        self.url: str = config.base_url_http or nautilus_pyo3.get_bybit_http_base_url(environment)
        limits: dict[str, Any] = {"timeout_secs": math.ceil(timeout_secs), "max_retries": 0}
        self._client = bare_http_client(config, **limits)
        with only_given_keys():
            # Only this class of Nautilus' has the exchange's clock.
            self._public = nautilus_pyo3.BybitRawHttpClient(
                base_url=self.url,
                demo=environment == BybitEnvironment.DEMO,
                testnet=environment == BybitEnvironment.TESTNET,
                recv_window_ms=config.recv_window_ms,
                proxy_url=config.proxy_url,
                **limits,
            )

    async def time_ms(self) -> float:
        """Return the exchange's clock in UNIX milliseconds."""
        told = await self._public.get_server_time()
        return int(told.time_nano) / 1e6

    async def key_facts(self) -> KeyFacts:
        """Return what the exchange tells of the key: a signed read, and for LINEAR two more for each of up to 3 symbols.

        Raises
        ------
        ExceptionGroup
            With what Nautilus' client raised first; the other reads are given up.

        """
        async with asyncio.TaskGroup() as asked:
            modes = asked.create_task(self._modes())
            details = await self._client.get_account_details()
        return facts(self._credentials, details, modes.result())

    async def _modes(self) -> Mapping[str, bool] | str:
        """Return by symbol whether long and short are kept apart, or why that cannot be told."""
        if "LINEAR" not in self._credentials.product_types:
            return {}
        try:
            async with asyncio.TaskGroup() as asked:
                told = [asked.create_task(self._hedged(symbol)) for symbol in symbols(self._credentials)]
        except Exception as error:
            secrets = [value.get_secret_value() for value in (self._credentials.api_key,) if value is not None]
            return explained("BYBIT", error, secrets).message
        return dict(one.result() for one in told)

    async def _hedged(self, symbol: str) -> tuple[str, bool]:
        instruments = await self._client.request_instruments(BybitProductType.LINEAR, symbol)
        if not instruments:
            raise ValueError(f"{symbol} is no LINEAR instrument of this exchange")
        self._client.cache_instrument(instruments[0])
        # Asked for one symbol, the exchange tells flat positions too: one in one-way mode, two sides in hedge mode.
        rows = await self._client.request_position_status_reports(
            nautilus_pyo3.AccountId("BYBIT-UNIFIED"), BybitProductType.LINEAR, instruments[0].id
        )
        return symbol, any(row.venue_position_id is not None for row in rows)

    def close(self) -> None:
        """Give up what is still being asked, and let go of the clients; their connections go with them."""
        for client in (self._public, self._client):
            client.cancel_all_requests()
        del self._public, self._client


def symbols(credentials: BybitCredentials) -> tuple[str, ...]:
    """Return the exchange's names of at most 3 LINEAR instruments that are loaded; BTCUSDT where none is named."""
    named = [text.removesuffix(LINEAR_SUFFIX) for text in credentials.instrument_ids if text.endswith(LINEAR_SUFFIX)]
    return tuple(named[:SYMBOLS_MAX]) or (USUAL_SYMBOL,)


def facts(credentials: BybitCredentials, details: Any, modes: Mapping[str, bool] | str) -> KeyFacts:
    """Return the facts that the exchange's answers hold.

    Parameters
    ----------
    credentials : BybitCredentials
        What the account is meant for.
    details : BybitAccountDetails
        The answer of query-api, as far as Nautilus passes it on: without permissions and addresses.
    modes : mapping or str
        By symbol whether it is in hedge mode, or why that cannot be told.

    """
    unified = details.uta == 1
    untold = dict.fromkeys(("may_withdraw", "any_address"), NOT_TOLD)
    if isinstance(modes, str):
        untold["hedged"] = modes
    return KeyFacts(
        account="unified account" if unified else "classic account",
        misfit="" if unified else "it belongs to a classic account; Nautilus trades the unified one (uta is 0)",
        may_trade=not details.read_only,
        barrier="lets the key read only (readOnly is 1)" if details.read_only else "",
        hedged=None if isinstance(modes, str) else tuple(symbol for symbol, apart in modes.items() if apart),
        asked=() if isinstance(modes, str) else tuple(modes),
        hedge_matters=bool(credentials.instrument_ids),
        expires=_moment(details.expired_at),
        untold={**untold, "expires": "it has no end that the exchange tells"},
    )


def _moment(text: str | None) -> datetime | None:
    """Return the time that ``text`` says, UTC where it says no zone; None for what is no time."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
