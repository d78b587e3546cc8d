"""A strategy that does nothing, for tests that load it by name."""

from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy

# Reached by path in a test: the same name in another module must not be taken for a strategy.
NOT_A_STRATEGY = object()


class QuietConfig(StrategyConfig, frozen=True):
    """What the strategy can be told."""

    instrument_id: InstrumentId | None = None
    size: int = 1


class LoudConfig(StrategyConfig, frozen=True):
    """A configuration that cannot be empty."""

    instrument_id: InstrumentId


class Quiet(Strategy):
    """Does nothing."""

    def __init__(self, config: QuietConfig | None = None) -> None:
        super().__init__(config or QuietConfig())


class Bare(Strategy):
    """Has no configuration class of its own name."""
