"""The markets of the exchange on loopback that a node is put on."""

from __future__ import annotations

from dataclasses import dataclass

from tests.venue.handle import MarketName, Venue


@dataclass(frozen=True)
class Market:
    """One market of the exchange on loopback and what puts a node on it."""

    name: str
    instrument_id: str
    books: MarketName
    account: str = "USDT_FUTURES"
    product: str = "LINEAR"

    @property
    def order_events(self) -> int:
        """Return how many events Redis must hold of a filled market order and a resting limit order.

        Each has an initialisation and a submission; Bybit fills a market order without accepting it first.
        """
        return 7 if self.name == "BINANCE" else 6

    def environ(self, testnet: dict[str, str], venue: Venue) -> dict[str, str]:
        keys = {
            f"BINANCE_TESTNET_API_{part}": testnet[f"BINANCE_FUTURES_TESTNET_API_{part}"] for part in ("KEY", "SECRET")
        }
        return {
            **{name: value for name, value in testnet.items() if name != "BINANCE_BASE_URL_WS_STREAM"},
            **venue.environ(self.account),
            **(keys if self.account == "SPOT" else {}),
            "NAUTILUS_VENUES": self.name,
            "BINANCE_ACCOUNT_TYPE": self.account,
            "BYBIT_PRODUCT_TYPES": self.product,
        }


USD_M = Market("BINANCE", "BTCUSDT-PERP.BINANCE", "binance_futures")
LINEAR = Market("BYBIT", "BTCUSDT-LINEAR.BYBIT", "bybit")
BINANCE_SPOT = Market("BINANCE", "BTCUSDT.BINANCE", "binance_spot", account="SPOT")
BYBIT_SPOT = Market("BYBIT", "BTCUSDT-SPOT.BYBIT", "bybit", product="SPOT")
