"""Which instruments a client loads."""

from __future__ import annotations

from nautilus_trader.config import InstrumentProviderConfig
from nautilus_trader.model.identifiers import InstrumentId

from config.models import ExchangeCredentials


def build_instrument_provider_config(credentials: ExchangeCredentials) -> InstrumentProviderConfig:
    """Return the instruments to load: those that are named, else all (neither would load none)."""
    if not credentials.instrument_ids:
        return InstrumentProviderConfig(load_all=True)
    return InstrumentProviderConfig(
        load_ids=frozenset(InstrumentId.from_str(text) for text in credentials.instrument_ids)
    )
