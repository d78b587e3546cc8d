"""Bybit: spot, linear, inverse and options of one unified account."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nautilus_trader.accounting.factory import AccountFactory
from nautilus_trader.adapters.bybit.config import BybitDataClientConfig, BybitExecClientConfig
from nautilus_trader.adapters.bybit.constants import BYBIT_VENUE
from nautilus_trader.adapters.bybit.data import BybitDataClient
from nautilus_trader.adapters.bybit.execution import BybitExecutionClient
from nautilus_trader.adapters.bybit.factories import (
    BybitLiveExecClientFactory,
    get_cached_bybit_http_client,
    get_cached_bybit_instrument_provider,
)
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import LiveClock, MessageBus
from nautilus_trader.core import nautilus_pyo3
from nautilus_trader.core.nautilus_pyo3 import BybitEnvironment, BybitMarginMode, BybitProductType
from nautilus_trader.execution.reports import PositionStatusReport
from nautilus_trader.live.factories import LiveDataClientFactory, LiveExecClientFactory
from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.identifiers import ClientOrderId, VenueOrderId

from config.clients.instruments import build_instrument_provider_config
from config.clients.spot import KeepsSpotPositions
from config.masking import client_secret
from config.models import BybitCredentials

ENVIRONMENTS = {
    "LIVE": BybitEnvironment.MAINNET,
    "TESTNET": BybitEnvironment.TESTNET,
    "DEMO": BybitEnvironment.DEMO,
}
PRODUCT_TYPES = {
    "SPOT": BybitProductType.SPOT,
    "LINEAR": BybitProductType.LINEAR,
    "INVERSE": BybitProductType.INVERSE,
    "OPTION": BybitProductType.OPTION,
}
MARGIN_MODES = {
    "ISOLATED_MARGIN": BybitMarginMode.ISOLATED_MARGIN,
    "REGULAR_MARGIN": BybitMarginMode.REGULAR_MARGIN,
    "PORTFOLIO_MARGIN": BybitMarginMode.PORTFOLIO_MARGIN,
}

# An order's states before its OrderSubmitted is applied.
NOT_YET_SUBMITTED = frozenset({OrderStatus.INITIALIZED, OrderStatus.EMULATED, OrderStatus.RELEASED})

MAX_RETRIES = 3
RETRY_DELAY_INITIAL_MS = 1_000
RETRY_DELAY_MAX_MS = 10_000
RECV_WINDOW_MS = 5_000


class BybitPublicDataClientConfig(BybitDataClientConfig, frozen=True):
    """Nautilus' data client configuration and the override that it lacks: the root of the public streams.

    Parameters
    ----------
    base_url_ws_public : str, optional
        Root of the public streams; ``/linear`` and so on is appended. None: the exchange's own.

    """

    base_url_ws_public: str | None = None


def _common(credentials: BybitCredentials) -> dict[str, Any]:
    return {
        "api_key": client_secret(credentials.api_key),
        "api_secret": client_secret(credentials.api_secret),
        "product_types": tuple(PRODUCT_TYPES[name] for name in credentials.product_types),
        "environment": ENVIRONMENTS[credentials.environment],
        "base_url_http": credentials.base_url_http,
        "proxy_url": client_secret(credentials.proxy_url),
        "instrument_provider": build_instrument_provider_config(credentials),
        "recv_window_ms": RECV_WINDOW_MS,
        "max_retries": MAX_RETRIES,
        "retry_delay_initial_ms": RETRY_DELAY_INITIAL_MS,
        "retry_delay_max_ms": RETRY_DELAY_MAX_MS,
    }


def build_bybit_data_client_config(credentials: BybitCredentials) -> BybitPublicDataClientConfig:
    """Return the data client's configuration; without a key it has public data only."""
    return BybitPublicDataClientConfig(**_common(credentials), base_url_ws_public=credentials.base_url_ws_public)


def build_bybit_exec_client_config(credentials: BybitCredentials) -> BybitExecClientConfig:
    """Return the execution client's configuration: 3 retries with back-off from 1 to 10 s, receive window 5,000 ms."""
    return BybitExecClientConfig(
        **_common(credentials),
        base_url_ws_private=credentials.base_url_ws_private,
        base_url_ws_trade=credentials.base_url_ws_trade,
        futures_leverages=dict(credentials.leverages) or None,
        margin_mode=None if credentials.margin_mode is None else MARGIN_MODES[credentials.margin_mode],
    )


def environment_of(config: BybitDataClientConfig | BybitExecClientConfig) -> str:
    """Return LIVE, TESTNET or DEMO as a built client resolves it."""
    return next((name for name, member in ENVIRONMENTS.items() if member == config.environment), "LIVE")


def urls_of(config: BybitDataClientConfig | BybitExecClientConfig) -> dict[str, str]:
    """Return the urls that a built client dials, by what they are for, resolved by Nautilus' own functions.

    Left out is what demo shares with the live exchange: its public streams.
    """
    environment = config.environment or BybitEnvironment.MAINNET
    urls = {"base_url_http": config.base_url_http or nautilus_pyo3.get_bybit_http_base_url(environment)}
    if isinstance(config, BybitExecClientConfig):
        urls["base_url_ws_private"] = config.base_url_ws_private or nautilus_pyo3.get_bybit_ws_url_private(environment)
        # Demo has no trade stream: Nautilus names the live one for it, never dials it, and sends orders over HTTP.
        if environment != BybitEnvironment.DEMO:
            urls["base_url_ws_trade"] = config.base_url_ws_trade or nautilus_pyo3.get_bybit_ws_url_trade(environment)
    # Nor has it public streams: its clients watch the live ones, which take no key.
    elif environment != BybitEnvironment.DEMO or getattr(config, "base_url_ws_public", None):
        for product_type in config.product_types or PRODUCT_TYPES.values():
            urls[f"base_url_ws_public {product_type.name}"] = public_url(config, product_type)
    return urls


def public_url(config: BybitDataClientConfig, product_type: BybitProductType) -> str:
    """Return the url of the public stream of one product type."""
    root = getattr(config, "base_url_ws_public", None)
    if root is None:
        return nautilus_pyo3.get_bybit_ws_url_public(product_type, config.environment or BybitEnvironment.MAINNET)
    return f"{root.rstrip('/')}/{product_type.name.lower()}"


class BybitPublicDataClient(BybitDataClient):
    """Nautilus' data client on the configured public streams: the stock one dials ``base_url_http`` as a WebSocket."""

    def __init__(self, *, config: BybitPublicDataClientConfig, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        self._ws_clients = {
            product_type: nautilus_pyo3.BybitWebSocketClient.new_public(
                product_type=product_type,
                environment=config.environment or BybitEnvironment.MAINNET,
                url=public_url(config, product_type),
                proxy_url=config.proxy_url,
            )
            for product_type in self._product_types
        }
        for client in self._ws_clients.values():
            client.set_bars_timestamp_on_close(config.bars_timestamp_on_close)


@contextmanager
def only_given_keys() -> Iterator[None]:
    """Hide the key names that the Rust client looks up by itself when it is given none.

    It would sign requests of a client that is meant to have public data only, with a key that was never said to be for it.
    """
    names = [f"BYBIT_{kind}API_{part}" for kind in ("", "TESTNET_", "DEMO_") for part in ("KEY", "SECRET")]
    hidden = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def bare_http_client(
    config: BybitDataClientConfig | BybitExecClientConfig, **options: Any
) -> nautilus_pyo3.BybitHttpClient:
    """Return a client for signed reads that knows no instrument; past the cache, which holds one client: the node's."""
    with only_given_keys():
        return get_cached_bybit_http_client.__wrapped__(
            environment=config.environment or BybitEnvironment.MAINNET,
            api_key=config.api_key,
            api_secret=config.api_secret,
            base_url=config.base_url_http,
            recv_window_ms=config.recv_window_ms,
            proxy_url=config.proxy_url,
            **options,
        )


class BybitDataClientFactory(LiveDataClientFactory):
    """Makes :class:`BybitPublicDataClient`."""

    @staticmethod
    def create(  # type: ignore[override]  # as Nautilus' own factories do, it takes its own configuration only
        loop: asyncio.AbstractEventLoop,
        name: str,
        config: BybitPublicDataClientConfig,
        msgbus: MessageBus,
        cache: Cache,
        clock: LiveClock,
    ) -> BybitPublicDataClient:
        """Return the data client; the arguments are those of Nautilus' factory."""
        # With the arguments of the stock execution factory, so that both share one HTTP client and its rate limits.
        with only_given_keys():
            client = get_cached_bybit_http_client(
                environment=config.environment or BybitEnvironment.MAINNET,
                api_key=config.api_key,
                api_secret=config.api_secret,
                base_url=config.base_url_http,
                timeout_secs=None,
                max_retries=config.max_retries,
                retry_delay_ms=config.retry_delay_initial_ms,
                retry_delay_max_ms=config.retry_delay_max_ms,
                recv_window_ms=config.recv_window_ms,
                proxy_url=config.proxy_url,
            )
        provider = get_cached_bybit_instrument_provider(
            client=client,
            product_types=tuple(config.product_types or PRODUCT_TYPES.values()),
            config=config.instrument_provider,
        )
        return BybitPublicDataClient(
            loop=loop,
            client=client,
            msgbus=msgbus,
            cache=cache,
            clock=clock,
            instrument_provider=provider,
            config=config,
            name=name,
        )


class AcceptingExecutionClient(BybitExecutionClient):
    """Nautilus' execution client, which hears of an acceptance however early it comes, and of every position.

    The stock one drops an acceptance while the books do not have the order as SUBMITTED. Its own OrderSubmitted is then in the
    execution engine's queue, two turns of the event loop away; a turn that takes longer than the exchange is enough to lose it.
    """

    async def positions_not_loaded(self) -> list[PositionStatusReport]:
        """Return the positions in instruments that were not loaded, of which the stock client says nothing.

        Its part in Rust leaves out what it has no precision for. So another one asks, which has loaded all instruments. Options
        are not looked at: their instruments are thousands.

        Raises
        ------
        ValueError
            What Nautilus' client raises when it gets no answer.

        """
        if not self._config.instrument_provider.load_ids:
            return []
        client, found = bare_http_client(self._config, max_retries=MAX_RETRIES), []
        for product_type in (BybitProductType.LINEAR, BybitProductType.INVERSE):
            if product_type in self._product_types:
                for instrument in await client.request_instruments(product_type):
                    client.cache_instrument(instrument)
                found += await client.request_position_status_reports(
                    account_id=self.pyo3_account_id, product_type=product_type
                )
        reports = map(PositionStatusReport.from_pyo3, found)
        return [report for report in reports if self._cache.instrument(report.instrument_id) is None]

    def _handle_order_status_report_pyo3(self, pyo3_report: nautilus_pyo3.OrderStatusReport) -> None:
        name = pyo3_report.client_order_id
        order = None if name is None else self._cache.order(ClientOrderId(name.value))
        accepted = pyo3_report.order_status == nautilus_pyo3.OrderStatus.ACCEPTED
        if accepted and order is not None and order.status in NOT_YET_SUBMITTED:
            # It goes into the same queue, behind OrderSubmitted.
            self.generate_order_accepted(
                strategy_id=order.strategy_id,
                instrument_id=order.instrument_id,
                client_order_id=order.client_order_id,
                venue_order_id=VenueOrderId(pyo3_report.venue_order_id.value),
                ts_event=pyo3_report.ts_last,
            )
        super()._handle_order_status_report_pyo3(pyo3_report)


class SpotExecutionClient(KeepsSpotPositions, AcceptingExecutionClient):
    """The same for SPOT, with positions that survive a restart."""


class BybitExecClientFactory(LiveExecClientFactory):
    """Nautilus' factory, whose clients come back with the right books and lose no acceptance."""

    @staticmethod
    def create(*args: Any, **kwargs: Any) -> Any:
        """Return the execution client; the arguments are those of Nautilus' factory."""
        # The stock client registers it for the process, and fails where an earlier node's has done so.
        AccountFactory.deregister_cash_borrowing(BYBIT_VENUE.value)
        client = BybitLiveExecClientFactory.create(*args, **kwargs)
        # The stock factory names its class itself. The subclasses add no state, so the made client can become one.
        spot = BybitProductType.SPOT in client._product_types
        client.__class__ = SpotExecutionClient if spot else AcceptingExecutionClient
        return client
