"""What a careful user writes without this project, second part: the node on both venues, run until it is ready, then stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from nautilus_trader.adapters.binance.factories import BinanceLiveDataClientFactory, BinanceLiveExecClientFactory
from nautilus_trader.adapters.bybit.data import BybitDataClient
from nautilus_trader.adapters.bybit.factories import (
    BybitLiveExecClientFactory,
    get_cached_bybit_http_client,
    get_cached_bybit_instrument_provider,
)
from nautilus_trader.config import TradingNodeConfig
from nautilus_trader.live.factories import LiveDataClientFactory
from nautilus_trader.live.node import TradingNode

POLL_SECS = 0.01


class BybitDataFactory(LiveDataClientFactory):
    """The stock client dials ``base_url_http`` as its public WebSocket; here HTTP and WebSocket get a url each."""

    @staticmethod
    def create(loop: Any, name: Any, config: Any, msgbus: Any, cache: Any, clock: Any) -> Any:
        # With all arguments of the stock execution factory, so that both share one client and its quota, as stock ones do.
        client = get_cached_bybit_http_client(
            environment=config.environment,
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
            client=client, product_types=tuple(config.product_types), config=config.instrument_provider
        )
        return BybitDataClient(
            loop=loop,
            client=client,
            msgbus=msgbus,
            cache=cache,
            clock=clock,
            instrument_provider=provider,
            config=msgspec.structs.replace(config, base_url_http=f"{config.base_url_ws_public}/linear"),
            name=name,
        )


def run_until_ready(config: TradingNodeConfig, on_ready: Callable[[], None]) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    node = TradingNode(config=config, loop=loop)
    node.add_data_client_factory("BINANCE", BinanceLiveDataClientFactory)
    node.add_exec_client_factory("BINANCE", BinanceLiveExecClientFactory)
    node.add_data_client_factory("BYBIT", BybitDataFactory)
    node.add_exec_client_factory("BYBIT", BybitLiveExecClientFactory)
    node.build()

    async def watch() -> None:
        kernel = node.kernel
        while not (
            node.trader.is_running
            and kernel.data_engine.check_connected()
            and kernel.exec_engine.check_connected()
            and kernel.portfolio.initialized
        ):
            await asyncio.sleep(POLL_SECS)
        on_ready()
        node.stop()

    watching = loop.create_task(watch())
    try:
        node.run(raise_exception=True)
    finally:
        watching.cancel()
        node.dispose()
