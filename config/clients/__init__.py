"""The venues: one row each. A new venue is a file beside this one and a row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nautilus_trader.adapters.binance.config import BinanceDataClientConfig, BinanceExecClientConfig
from nautilus_trader.adapters.bybit.config import BybitDataClientConfig, BybitExecClientConfig
from nautilus_trader.adapters.sandbox.config import SandboxExecutionClientConfig
from nautilus_trader.adapters.sandbox.factory import SandboxLiveExecClientFactory
from nautilus_trader.config import LiveDataClientConfig, LiveExecClientConfig
from nautilus_trader.live.factories import LiveDataClientFactory, LiveExecClientFactory

from config.clients import binance, bybit
from config.models import BinanceCredentials, BybitCredentials, ExchangeCredentials


@dataclass(frozen=True, slots=True)
class Venue:
    """What one venue is made of.

    Parameters
    ----------
    settings : type
        Its section of the settings.
    build_data, build_exec : callable
        From that section to the client configurations.
    data_config, exec_config : type
        Nautilus' types of these, by which a hand-written configuration is recognised too.
    data_factory, exec_factory : type
        The adapter factories that make the clients.
    environment_of, urls_of : callable
        What a built client configuration resolves to.

    """

    settings: type[ExchangeCredentials]
    build_data: Callable[[Any], LiveDataClientConfig]
    build_exec: Callable[[Any], LiveExecClientConfig]
    data_config: type[LiveDataClientConfig]
    exec_config: type[LiveExecClientConfig]
    data_factory: type[LiveDataClientFactory]
    exec_factory: type[LiveExecClientFactory]
    environment_of: Callable[[Any], str]
    urls_of: Callable[[Any], Mapping[str, str]]


VENUES: Mapping[str, Venue] = {
    "BINANCE": Venue(
        settings=BinanceCredentials,
        build_data=binance.build_binance_data_client_config,
        build_exec=binance.build_binance_exec_client_config,
        data_config=BinanceDataClientConfig,
        exec_config=BinanceExecClientConfig,
        data_factory=binance.BinanceDataClientFactory,
        exec_factory=binance.BinanceExecClientFactory,
        environment_of=binance.environment_of,
        urls_of=binance.urls_of,
    ),
    "BYBIT": Venue(
        settings=BybitCredentials,
        build_data=bybit.build_bybit_data_client_config,
        build_exec=bybit.build_bybit_exec_client_config,
        data_config=BybitDataClientConfig,
        exec_config=BybitExecClientConfig,
        data_factory=bybit.BybitDataClientFactory,
        exec_factory=bybit.BybitExecClientFactory,
        environment_of=bybit.environment_of,
        urls_of=bybit.urls_of,
    ),
}

DATA_FACTORIES: Mapping[type[LiveDataClientConfig], type[LiveDataClientFactory]] = {
    venue.data_config: venue.data_factory for venue in VENUES.values()
}
EXEC_FACTORIES: Mapping[type[LiveExecClientConfig], type[LiveExecClientFactory]] = {
    **{venue.exec_config: venue.exec_factory for venue in VENUES.values()},
    SandboxExecutionClientConfig: SandboxLiveExecClientFactory,
}


def venue_of(config: LiveDataClientConfig | LiveExecClientConfig) -> Venue | None:
    """Return the venue whose client ``config`` is for; None for simulated execution and other adapters."""
    return next((venue for venue in VENUES.values() if isinstance(config, venue.data_config | venue.exec_config)), None)
