"""What is traded and at which price: instruments and deterministic quotes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from types import MappingProxyType
from typing import Literal

Product = Literal["spot", "linear"]

TICKS_PER_WAVE = 20
"""Ticks after which the default price is back where it started."""

WAVE_STEPS = Decimal(20)
"""Height of the default wave above and below the centre, in price steps."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """A traded pair with the rules an exchange states for it.

    Parameters
    ----------
    symbol : str
        The exchange's name, e.g. ``BTCUSDT``.
    base, quote : str
        Assets; `quote` is also what a linear contract is settled in.
    product : {"spot", "linear"}
        Whether assets change hands or a position is kept.
    tick, step : Decimal
        Price increment in `quote`, quantity increment in `base`.
    min_quantity, max_quantity : Decimal
        Bounds of one order in `base`.
    min_notional : Decimal
        Smallest order value in `quote`.
    maker_fee, taker_fee : Decimal
        Fractions of the value, not percent.
    """

    symbol: str
    base: str
    quote: str
    product: Product
    tick: Decimal
    step: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    min_notional: Decimal
    maker_fee: Decimal
    taker_fee: Decimal


@dataclass(frozen=True, slots=True)
class Quote:
    """Top of the book: prices in quote asset, `size` on either side in base asset."""

    bid: Decimal
    ask: Decimal
    size: Decimal

    def opposite(self, side: str) -> Decimal:
        """Return the price at which an order of `side` takes."""
        return self.ask if side == "BUY" else self.bid


def floor_to(value: Decimal, increment: Decimal) -> Decimal:
    """Return the greatest multiple of `increment` not above `value`, with the increment's decimals."""
    return ((value / increment).to_integral_value(rounding=ROUND_FLOOR) * increment).quantize(increment)


def wave(tick: int) -> Decimal:
    """Return a triangle wave in [-1, 1]: 0 at tick 0, 1 a quarter later, -1 at three quarters."""
    phase = Decimal(tick % TICKS_PER_WAVE) / TICKS_PER_WAVE
    if phase < Decimal("0.25"):
        return 4 * phase
    if phase < Decimal("0.75"):
        return 2 - 4 * phase
    return 4 * phase - 4


def quote_at(instrument: Instrument, centre: Decimal, tick: int) -> Quote:
    """Return the quote `tick` ticks after a wave began around `centre`.

    It is two price steps wide and never further than the wave from the centre.
    """
    middle = floor_to(centre + wave(tick) * WAVE_STEPS * instrument.tick, instrument.tick)
    return Quote(bid=middle - instrument.tick, ask=middle + instrument.tick, size=instrument.step * 100_000)


DEFAULT_CENTRES: Mapping[str, Decimal] = MappingProxyType({"BTCUSDT": Decimal(50_000), "ETHUSDT": Decimal(3_000)})
"""Where prices start, in USDT."""


@dataclass(slots=True)
class Prices:
    """Prices of all markets of the venue. `tick` counts up; a price that is set starts its wave anew."""

    centres: dict[str, Decimal] = field(default_factory=lambda: dict(DEFAULT_CENTRES))
    tick: int = 0
    _since: dict[str, int] = field(default_factory=dict)

    def quote(self, instrument: Instrument) -> Quote:
        """Return the present top of the book of `instrument`."""
        symbol = instrument.symbol
        return quote_at(instrument, self.centres[symbol], self.tick - self._since.get(symbol, 0))

    def move(self, symbol: str, centre: Decimal) -> None:
        """Set the centre of a symbol; raises KeyError for one that is not traded."""
        if symbol not in self.centres:
            raise KeyError(f"no price for {symbol}; there are {sorted(self.centres)}")
        self.centres[symbol] = centre
        self._since[symbol] = self.tick


def _instrument(
    symbol: str, product: Product, tick: str, step: str, fees: tuple[str, str], **bounds: str
) -> Instrument:
    maker, taker = fees
    return Instrument(
        symbol=symbol,
        base=symbol.removesuffix("USDT"),
        quote="USDT",
        product=product,
        tick=Decimal(tick),
        step=Decimal(step),
        min_quantity=Decimal(bounds.get("least", step)),
        max_quantity=Decimal(bounds.get("most", "1000")),
        min_notional=Decimal(bounds.get("value", "5")),
        maker_fee=Decimal(maker),
        taker_fee=Decimal(taker),
    )


BINANCE_FUTURES = (
    _instrument("BTCUSDT", "linear", "0.10", "0.001", ("0.0002", "0.0005"), value="100"),
    _instrument("ETHUSDT", "linear", "0.01", "0.001", ("0.0002", "0.0005"), most="10000", value="20"),
)
BINANCE_SPOT = (
    _instrument("BTCUSDT", "spot", "0.01", "0.00001", ("0.001", "0.001"), most="9000"),
    _instrument("ETHUSDT", "spot", "0.01", "0.0001", ("0.001", "0.001"), most="9000"),
)
BYBIT = (
    _instrument("BTCUSDT", "linear", "0.10", "0.001", ("0.0002", "0.00055")),
    _instrument("ETHUSDT", "linear", "0.01", "0.01", ("0.0002", "0.00055")),
    _instrument("BTCUSDT", "spot", "0.1", "0.000001", ("0.001", "0.001"), least="0.000011"),
    _instrument("ETHUSDT", "spot", "0.01", "0.00001", ("0.001", "0.001"), least="0.00027"),
)
