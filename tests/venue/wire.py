"""What the routes of every exchange have in common: requests, refusals, number formats."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from .books import Account, Books, Position, PositionSide
from .faults import Faults, Name

Json = Any
"""A value that `json.dumps` takes."""

EIGHT = Decimal("0.00000001")


class FailureError(Exception):
    """An exchange's error answer: HTTP status and JSON body."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


@dataclass(slots=True)
class Market:
    """One market as its routes see it: books, faults, the secrets that are known, and the streams handed out."""

    venue: Name
    books: Books
    faults: Faults
    secrets: dict[str, str]
    listen_keys: dict[str, str] = field(default_factory=dict)

    def fault(self, name: str) -> bool:
        """Return whether a fault of this venue is on."""
        return self.faults.on(self.venue, name)


@dataclass(frozen=True, slots=True)
class Call:
    """One request after authentication; `now` is the venue's clock in UNIX milliseconds."""

    market: Market
    now: int
    params: Mapping[str, str]
    key: str = ""
    body: Json = None

    @property
    def account(self) -> Account:
        """The caller's account, in the position mode that the venue is in."""
        account = self.market.books.account(self.key)
        account.hedge = self.market.fault("hedge_mode")
        return account

    def told_positions(self, path: str) -> Mapping[tuple[str, PositionSide], Position]:
        """Return the caller's linear positions as the exchange tells them: one is wrong while it ``lies``."""
        faults, venue, true = self.market.faults, self.market.venue, self.account.positions
        if not faults.strikes(venue, "lies", path):
            return true
        symbol, by = faults.option(venue, "lies", "symbol"), Decimal(faults.option(venue, "lies", "by"))
        instrument = self.market.books.instrument("linear", symbol)
        position = true.get((symbol, "BOTH")) or Position(instrument, entry=self.market.books.quote(instrument).bid)
        return {**true, (symbol, "BOTH"): replace(position, amount=position.amount + by)}

    def number(self, name: str) -> Decimal:
        """Return a decimal parameter, 0 when it is absent."""
        try:
            return Decimal(self.params.get(name) or 0)
        except InvalidOperation:
            raise FailureError(
                400, {"code": -1100, "msg": f"Illegal characters found in parameter '{name}'."}
            ) from None

    def integer(self, name: str, default: int) -> int:
        """Return an integer parameter."""
        return int(self.params.get(name) or default)

    def flag(self, name: str) -> bool:
        """Return whether a parameter says true."""
        return self.params.get(name, "").lower() == "true"


Handler = Callable[[Call], Json]
Security = Literal["NONE", "KEY", "SIGNED"]
"""What a route asks for: nothing, a known API key, or a signed request."""

Routes = Mapping[tuple[str, str], tuple[Handler, Security]]
"""(method, path) to handler and security."""


def fixed(value: Decimal, like: Decimal) -> str:
    """Return `value` with the decimals of `like`."""
    return f"{value.quantize(like):f}"


def eight(value: Decimal) -> str:
    """Return `value` with eight decimals, as Binance spot writes everything."""
    return f"{value.quantize(EIGHT):f}"


def plain(value: Decimal) -> str:
    """Return `value` with at most eight decimals and no trailing zeros."""
    text = eight(value).rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def signature(secret: str, text: str) -> str:
    """Return the HMAC-SHA256 of `text` in hex, as both exchanges sign."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def page(rows: list[Json], limit: int, *, newest_first: bool = False) -> list[Json]:
    """Return the newest `limit` of rows that are sorted oldest first."""
    newest = rows[-limit:] if limit else rows
    return newest[::-1] if newest_first else newest
