"""A strategy that has something to lose in a restart: it buys once, rests one order below, and holds both.

Run it with ``tradingnode run -p testnet --strategy examples/strategies/hold.py:Hold --strategy-config FILE``.
"""

from __future__ import annotations

from decimal import Decimal

from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

# Far enough below the bid not to be filled, near enough for the exchange's price filters.
RESTING_SHARE = Decimal("0.9")


class HoldConfig(StrategyConfig, frozen=True):
    """Configuration of :class:`Hold`.

    Parameters
    ----------
    instrument_id : InstrumentId
        What to trade.
    quantity : Decimal
        Size of each order, in the base currency.

    """

    instrument_id: InstrumentId
    quantity: Decimal


class Hold(Strategy):
    """Buys at the market and rests a limit order, unless an earlier run has done so."""

    def __init__(self, config: HoldConfig) -> None:
        super().__init__(config)
        self.started = False

    def on_start(self) -> None:
        """Ask for quotes; whatever the books hold of an earlier run is enough."""
        self.started = bool(self.cache.orders(strategy_id=self.id))
        self.subscribe_quote_ticks(self.config.instrument_id)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        """Send both orders on the first quote."""
        if self.started:
            return
        self.started = True
        instrument = self.cache.instrument(self.config.instrument_id)
        quantity = instrument.make_qty(self.config.quantity)
        price = instrument.make_price(tick.bid_price.as_decimal() * RESTING_SHARE)
        self.submit_order(self.order_factory.market(self.config.instrument_id, OrderSide.BUY, quantity))
        self.submit_order(self.order_factory.limit(self.config.instrument_id, OrderSide.BUY, quantity, price))
