"""Simulated execution on live data: Nautilus' own sandbox client, which needs no key."""

from __future__ import annotations

from nautilus_trader.adapters.sandbox.config import SandboxExecutionClientConfig

from config.models import BinanceCredentials, BybitCredentials, ExchangeCredentials


def _is_spot(credentials: ExchangeCredentials) -> bool:
    if isinstance(credentials, BinanceCredentials):
        return credentials.account_type == "SPOT"
    return isinstance(credentials, BybitCredentials) and credentials.product_types == ("SPOT",)


def build_sandbox_exec_client_config(
    venue: str, credentials: ExchangeCredentials, starting_balances: tuple[str, ...]
) -> SandboxExecutionClientConfig:
    """Return the simulated venue's configuration: a cash account for spot, else a margin account, positions netted.

    Parameters
    ----------
    venue : str
        Name of the venue, such as ``BINANCE``.
    credentials : ExchangeCredentials
        The venue's section: which markets it is for.
    starting_balances : tuple of str
        Such as ``10_000 USDT``.

    """
    return SandboxExecutionClientConfig(
        venue=venue,
        starting_balances=list(starting_balances),
        account_type="CASH" if _is_spot(credentials) else "MARGIN",
        oms_type="NETTING",
    )
