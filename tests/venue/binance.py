"""What Binance futures and spot share: authentication, error answers, order ids, public streams."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal

from .books import Order, Reason, Side, TimeInForce
from .market import Instrument, Product, Quote
from .wire import Call, FailureError, Json, Market, signature

RECV_WINDOW_MS = 5_000
"""Default `recvWindow` (Binance, "Timing security")."""

AHEAD_MS = 1_000
"""How far a request's timestamp may be ahead of the server's clock (Binance, "Timing security")."""

BAD_KEY = FailureError(401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."})
BAD_SIGNATURE = FailureError(400, {"code": -1022, "msg": "Signature for this request is not valid."})
BAD_TIME = FailureError(400, {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."})
TOO_MANY = FailureError(429, {"code": -1003, "msg": "Too many requests; current limit is 2400 requests per minute."})
BANNED = FailureError(
    418, {"code": -1003, "msg": "Way too many requests; IP 192.0.2.7 banned until 4102444800000. Use the websocket."}
)
CANCEL_REFUSED = FailureError(400, {"code": -2011, "msg": "Unknown order sent."})
NO_SUCH_ORDER = FailureError(400, {"code": -2013, "msg": "Order does not exist."})
ORDER_REFUSED = FailureError(400, {"code": -2010, "msg": "NEW_ORDER_REJECTED"})

TIME_IN_FORCE: Mapping[str, TimeInForce] = {
    "": "GTC",
    "GTC": "GTC",
    "GTD": "GTC",
    "IOC": "IOC",
    "FOK": "FOK",
    "GTX": "POST_ONLY",
}
SIDES: Mapping[str, Side] = {"BUY": "BUY", "SELL": "SELL"}


def failure(code: int, message: str) -> FailureError:
    """Return an error answer with status 400."""
    return FailureError(400, {"code": code, "msg": message})


def reason_failure(table: Mapping[Reason, tuple[int, str]], reason: Reason) -> FailureError:
    """Return the answer by which a market words a refusal of the books."""
    return failure(*table[reason])


def check_key(market: Market, key: str) -> None:
    """Refuse keys that the venue was told to distrust."""
    if market.fault("bad_key") or not key or (market.secrets and key not in market.secrets):
        raise BAD_KEY


def check_time(now: int, timestamp: str, window: str) -> None:
    """Refuse a request outside its time window; times in UNIX milliseconds."""
    sent = int(timestamp or 0)
    if not now - int(window or RECV_WINDOW_MS) <= sent <= now + AHEAD_MS:
        raise BAD_TIME


def check_signature(market: Market, key: str, signed: str, given: str) -> None:
    """Refuse a wrong signature, if the key's secret is known."""
    secret = market.secrets.get(key)
    if not given or (secret is not None and signature(secret, signed) != given):
        raise BAD_SIGNATURE


def authenticate(market: Market, now: int, key: str, query: str, params: Mapping[str, str]) -> None:
    """Check a SIGNED request whose raw query string (with the body appended) is `query`."""
    check_key(market, key)
    check_time(now, params.get("timestamp", ""), params.get("recvWindow", ""))
    signed = re.sub(r"&?signature=[^&]*", "", query)
    check_signature(market, key, signed, params.get("signature", ""))


def named_order(call: Call, product: Product) -> Order:
    """Return the order that `orderId` or `origClientOrderId` names, or answer -2013 if there is none."""
    number, wanted = call.params.get("orderId"), call.params.get("origClientOrderId")
    for order in reversed(call.market.books.find(call.account, product, call.params.get("symbol"))):
        if order.id == int(number) if number else order.request.client_order_id == wanted:
            return order
    raise NO_SUCH_ORDER


def window(call: Call, time: int) -> bool:
    """Return whether `time` (UNIX ms) is within the request's `startTime` and `endTime`."""
    return call.integer("startTime", 0) <= time <= call.integer("endTime", 2**63)


def public_event(
    kind: str,
    instrument: Instrument,
    quote: Quote,
    number: int,
    now: int,
    write: Callable[[Decimal, Decimal], str],
) -> dict[str, Json] | None:
    """Return the message of a public stream `<symbol>@<kind>`, or None for a kind that is not served.

    `write(value, increment)` formats numbers; `number` counts ticks and serves as update and trade id.
    """
    buyer_maker = number % 2 == 0
    trade_price = quote.bid if buyer_maker else quote.ask

    def price(value: Decimal) -> str:
        return write(value, instrument.tick)

    def size(value: Decimal) -> str:
        return write(value, instrument.step)

    trade = {
        "E": now,
        "s": instrument.symbol,
        "p": price(trade_price),
        "q": size(10 * instrument.step),
        "T": now,
        "m": buyer_maker,
    }
    if kind == "bookTicker":
        return {
            "u": number,
            "s": instrument.symbol,
            "b": price(quote.bid),
            "B": size(quote.size),
            "a": price(quote.ask),
            "A": size(quote.size),
        }
    if kind == "aggTrade":
        return {"e": "aggTrade", "a": number, "f": number, "l": number, **trade}
    if kind == "trade":
        return {"e": "trade", "t": number, "M": True, **trade}
    return None
