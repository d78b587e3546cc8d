"""Binance: spot, USD-M and COIN-M futures, Binance.US."""

from __future__ import annotations

from typing import Any

from nautilus_trader.adapters.binance.common.enums import BinanceAccountType, BinanceEnvironment
from nautilus_trader.adapters.binance.common.symbol import BinanceSymbol
from nautilus_trader.adapters.binance.common.urls import (
    get_http_base_url,
    get_ws_api_base_url,
    get_ws_base_url,
    get_ws_private_base_url,
    get_ws_public_base_url,
)
from nautilus_trader.adapters.binance.config import BinanceDataClientConfig, BinanceExecClientConfig
from nautilus_trader.adapters.binance.factories import BinanceLiveDataClientFactory, BinanceLiveExecClientFactory
from nautilus_trader.adapters.binance.futures.enums import BinanceFuturesMarginType
from nautilus_trader.adapters.binance.futures.execution import BinanceFuturesExecutionClient
from nautilus_trader.adapters.binance.spot.execution import BinanceSpotExecutionClient
from nautilus_trader.live.factories import LiveExecClientFactory

from config.clients.instruments import build_instrument_provider_config
from config.clients.spot import KeepsSpotPositions
from config.masking import client_secret, with_plain_keys
from config.models import BinanceCredentials

# Enums, never their names: a client with environment="TESTNET" goes to the live url with the live key.
ENVIRONMENTS = {
    "LIVE": BinanceEnvironment.LIVE,
    "TESTNET": BinanceEnvironment.TESTNET,
    "DEMO": BinanceEnvironment.DEMO,
}
ACCOUNT_TYPES = {
    "SPOT": BinanceAccountType.SPOT,
    "USDT_FUTURES": BinanceAccountType.USDT_FUTURES,
    "COIN_FUTURES": BinanceAccountType.COIN_FUTURES,
}
MARGIN_TYPES = {"CROSS": BinanceFuturesMarginType.CROSS, "ISOLATED": BinanceFuturesMarginType.ISOLATED}

MAX_RETRIES = 3
RETRY_DELAY_INITIAL_MS = 1_000
RETRY_DELAY_MAX_MS = 10_000
RECV_WINDOW_MS = 5_000


def _common(credentials: BinanceCredentials, *, with_key: bool) -> dict[str, Any]:
    return {
        "api_key": client_secret(credentials.api_key) if with_key else None,
        "api_secret": client_secret(credentials.api_secret) if with_key else None,
        "account_type": ACCOUNT_TYPES[credentials.account_type],
        "environment": ENVIRONMENTS[credentials.environment],
        "base_url_http": credentials.base_url_http,
        "proxy_url": client_secret(credentials.proxy_url),
        "us": credentials.us,
        "instrument_provider": build_instrument_provider_config(credentials),
    }


def build_binance_data_client_config(credentials: BinanceCredentials) -> BinanceDataClientConfig:
    """Return the data client's configuration; without a key it has public data only."""
    return BinanceDataClientConfig(**_common(credentials, with_key=True), base_url_ws=credentials.base_url_ws)


def build_binance_exec_client_config(credentials: BinanceCredentials) -> BinanceExecClientConfig:
    """Return the execution client's configuration: 3 retries with back-off from 1 to 10 s, receive window 5,000 ms."""
    return BinanceExecClientConfig(
        **_common(credentials, with_key=True),
        base_url_ws=credentials.base_url_ws_api,
        base_url_ws_stream=credentials.base_url_ws_stream,
        recv_window_ms=RECV_WINDOW_MS,
        max_retries=MAX_RETRIES,
        retry_delay_initial_ms=RETRY_DELAY_INITIAL_MS,
        retry_delay_max_ms=RETRY_DELAY_MAX_MS,
        futures_leverages={BinanceSymbol(symbol): leverage for symbol, leverage in credentials.leverages.items()}
        or None,
        futures_margin_types={
            BinanceSymbol(symbol): MARGIN_TYPES[kind] for symbol, kind in credentials.margin_types.items()
        }
        or None,
    )


def environment_of(config: BinanceDataClientConfig | BinanceExecClientConfig) -> str:
    """Return LIVE, TESTNET or DEMO as a built client resolves it; anything but the enum is what Nautilus takes for LIVE."""
    names = {member: name for name, member in ENVIRONMENTS.items()}
    return names.get(config.environment, "LIVE") if config.environment is not None else "LIVE"


def urls_of(config: BinanceDataClientConfig | BinanceExecClientConfig) -> dict[str, str]:
    """Return the urls that a built client dials, by what they are for, resolved by Nautilus' own functions."""
    where = (config.account_type, config.environment or BinanceEnvironment.LIVE, config.us)
    urls = {"base_url_http": config.base_url_http or get_http_base_url(*where)}
    if isinstance(config, BinanceExecClientConfig):
        urls["base_url_ws_api"] = config.base_url_ws or get_ws_api_base_url(*where)
        if config.account_type.is_futures:
            urls["base_url_ws_stream"] = config.base_url_ws_stream or get_ws_private_base_url(*where)
    else:
        urls["base_url_ws"] = config.base_url_ws or get_ws_base_url(*where)
        urls["base_url_ws_public"] = config.base_url_ws or get_ws_public_base_url(*where)
    return urls


class OneNameFuturesExecutionClient(BinanceFuturesExecutionClient):
    """Nautilus' futures execution client, asking the venue for each symbol once.

    The stock client puts ``BTCUSDT-PERP`` from the cache and ``BTCUSDT`` from the venue into one set, asks for both, gets every
    fill twice, and reconciliation then invents a position of the other side after a restart.
    """

    def _get_cache_active_symbols(self) -> set[str]:
        return {str(BinanceSymbol(symbol)) for symbol in super()._get_cache_active_symbols()}


class SpotExecutionClient(KeepsSpotPositions, BinanceSpotExecutionClient):
    """Nautilus' spot execution client, with positions that survive a restart."""


# The stock factory names its classes itself. These add no state, so a client that it made can become one of them.
CURED_CLIENTS = {
    BinanceFuturesExecutionClient: OneNameFuturesExecutionClient,
    BinanceSpotExecutionClient: SpotExecutionClient,
}


class BinanceExecClientFactory(LiveExecClientFactory):
    """Nautilus' factory, whose clients come back with the right books."""

    @staticmethod
    def create(*, config: BinanceExecClientConfig, **kwargs: Any) -> Any:  # type: ignore[override]  # by keyword, as Nautilus calls it
        """Return the execution client; the arguments are those of Nautilus' factory."""
        client = BinanceLiveExecClientFactory.create(config=with_plain_keys(config), **kwargs)
        client.__class__ = CURED_CLIENTS[type(client)]
        return client


BinanceDataClientFactory = BinanceLiveDataClientFactory
