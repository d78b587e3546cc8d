"""A strategy that shows what orders go through: a limit order is accepted and cancelled, a market order filled and closed.

Run it with ``tradingnode run -p testnet --strategy examples/strategies/round_trip.py:RoundTrip --strategy-config FILE``.
"""

from __future__ import annotations

from decimal import Decimal

from nautilus_trader.model.data import QuoteTick, TradeTick
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.events import OrderAccepted, OrderCanceled, OrderFilled
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

# Far enough below the bid not to be filled, near enough for the exchange's price filters.
RESTING_SHARE = Decimal("0.9")


class RoundTripConfig(StrategyConfig, frozen=True):
    """Configuration of :class:`RoundTrip`.

    Parameters
    ----------
    instrument_id : InstrumentId
        What to trade.
    quantity : Decimal
        Size of each order, in the base currency.

    """

    instrument_id: InstrumentId
    quantity: Decimal


class RoundTrip(Strategy):
    """Rests a limit order, cancels it, buys at the market, sells again, and is done."""

    def __init__(self, config: RoundTripConfig) -> None:
        super().__init__(config)
        self.started = False

    def on_start(self) -> None:
        """Ask for quotes and trades."""
        self.subscribe_quote_ticks(self.config.instrument_id)
        self.subscribe_trade_ticks(self.config.instrument_id)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        """Rest a limit order below the first quote."""
        if self.started:
            return
        self.started = True
        instrument = self.cache.instrument(self.config.instrument_id)
        price = instrument.make_price(tick.bid_price.as_decimal() * RESTING_SHARE)
        quantity = instrument.make_qty(self.config.quantity)
        self.submit_order(self.order_factory.limit(self.config.instrument_id, OrderSide.BUY, quantity, price))

    def on_trade_tick(self, tick: TradeTick) -> None:
        """Nothing to do: trades are asked for so that they are seen and recorded."""

    def on_order_accepted(self, event: OrderAccepted) -> None:
        """Cancel the limit order once the venue has it."""
        order = self.cache.order(event.client_order_id)
        if order.has_price:
            self.cancel_order(order)

    def on_order_canceled(self, event: OrderCanceled) -> None:
        """Buy at the market once the limit order is gone."""
        self._market(OrderSide.BUY)

    def on_order_filled(self, event: OrderFilled) -> None:
        """Sell what was bought."""
        if event.order_side == OrderSide.BUY and self.cache.order(event.client_order_id).is_closed:
            self._market(OrderSide.SELL)

    def on_stop(self) -> None:
        """Leave nothing open."""
        self.cancel_all_orders(self.config.instrument_id)
        self.close_all_positions(self.config.instrument_id)

    def _market(self, side: OrderSide) -> None:
        quantity = self.cache.instrument(self.config.instrument_id).make_qty(self.config.quantity)
        self.submit_order(self.order_factory.market(self.config.instrument_id, side, quantity))
