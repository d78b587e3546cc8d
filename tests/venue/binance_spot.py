"""Binance spot: REST routes under /api and /sapi, WebSocket API logon, and the messages of its streams."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlencode

from . import binance
from .books import ZERO, Event, Fill, Kind, Order, Reason, RefusedError, Request
from .market import Instrument
from .wire import Call, FailureError, Json, Market, Routes, eight, page, plain

CLIENT_ORDER_ID = re.compile(r"[a-zA-Z0-9-_]{1,36}")
"""`newClientOrderId` of POST /api/v3/order."""

REASONS: Mapping[Reason, tuple[int, str]] = {
    "unknown_symbol": (-1121, "Invalid symbol."),
    "bad_quantity": (-1013, "Filter failure: LOT_SIZE"),
    "bad_price": (-1013, "Filter failure: PRICE_FILTER"),
    "small_notional": (-1013, "Filter failure: NOTIONAL"),
    "duplicate_id": (-2010, "Duplicate order sent."),
    "no_balance": (-2010, "Account has insufficient balance for requested action."),
    "would_take": (-2010, "Order would immediately match and take."),
    "unknown_order": (-2011, "Unknown order sent."),
}
KINDS: Mapping[str, Kind] = {"LIMIT": "LIMIT", "LIMIT_MAKER": "LIMIT", "MARKET": "MARKET"}


def logon(market: Market, now: int, params: Mapping[str, str]) -> None:
    """Check the parameters of the WebSocket API method ``session.logon``, which are signed in alphabetical order."""
    signed = urlencode(sorted((name, value) for name, value in params.items() if name != "signature"))
    binance.authenticate(market, now, params.get("apiKey", ""), signed, params)


def _symbol(instrument: Instrument) -> Json:
    return {
        "symbol": instrument.symbol,
        "status": "TRADING",
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": True,
        "ocoAllowed": False,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": eight(instrument.tick),
                "maxPrice": "1000000.00000000",
                "tickSize": eight(instrument.tick),
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": eight(instrument.min_quantity),
                "maxQty": eight(instrument.max_quantity),
                "stepSize": eight(instrument.step),
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": eight(instrument.min_notional),
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def exchange_info(call: Call) -> Json:
    """GET /api/v3/exchangeInfo, for all symbols, one `symbol` or a JSON list of `symbols`."""
    wanted = call.params.get("symbol") or call.params.get("symbols")
    return {
        "timezone": "UTC",
        "serverTime": call.now,
        "rateLimits": [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6_000},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
            {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200_000},
            {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 61_000},
        ],
        "exchangeFilters": [],
        "symbols": [_symbol(i) for i in call.market.books.instruments if wanted is None or i.symbol in wanted],
    }


def trade_fee(call: Call) -> Json:
    """GET /sapi/v1/asset/tradeFee."""
    symbol = call.params.get("symbol")
    return [
        {"symbol": i.symbol, "makerCommission": plain(i.maker_fee), "takerCommission": plain(i.taker_fee)}
        for i in call.market.books.instruments
        if symbol in (None, i.symbol)
    ]


def api_restrictions(call: Call) -> Json:
    """GET /sapi/v1/account/apiRestrictions: a key for trading only, from fixed addresses, unless told otherwise."""
    faults, venue = call.market.faults, call.market.venue

    def right(name: str, default: bool) -> bool:
        told = faults.option(venue, "key_rights", name)
        return default if told is None else bool(told)

    return {
        "ipRestrict": not right("any_address", default=False),
        "createTime": 1_735_689_600_000,
        "enableReading": True,
        "enableWithdrawals": right("withdraw", default=False),
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": right("futures", default=True),
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
        "enableSpotAndMarginTrading": right("spot", default=True),
        "enablePortfolioMarginTrading": False,
    }


def account(call: Call) -> Json:
    """GET /api/v3/account."""
    mine = call.account
    return {
        "makerCommission": 10,
        "takerCommission": 10,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "canTrade": not call.market.fault("no_trading"),
        "canWithdraw": True,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": call.now,
        "accountType": "MARGIN" if call.market.fault("other_account") else "SPOT",
        "balances": [
            {"asset": asset, "free": eight(mine.free(asset)), "locked": eight(mine.locked(asset))}
            for asset in mine.wallet
        ],
        "permissions": ["SPOT"],
        "uid": 1,
    }


def time(call: Call) -> Json:
    """GET /api/v3/time."""
    return {"serverTime": call.now}


def nothing(_call: Call) -> Json:
    """GET /api/v3/ping."""
    return {}


def _kind(order: Order) -> str:
    return "LIMIT_MAKER" if order.request.time_in_force == "POST_ONLY" else order.request.kind


def _time_in_force(order: Order) -> str:
    return "GTC" if order.request.time_in_force == "POST_ONLY" else order.request.time_in_force


def order_json(order: Order) -> Json:
    """Return an order as GET /api/v3/order writes it."""
    return {
        "symbol": order.instrument.symbol,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.request.client_order_id,
        "price": eight(order.price),
        "origQty": eight(order.quantity),
        "executedQty": eight(order.filled),
        "cummulativeQuoteQty": eight(order.spent),
        "status": order.status,
        "timeInForce": _time_in_force(order),
        "type": _kind(order),
        "side": order.side,
        "stopPrice": "0.00000000",
        "icebergQty": "0.00000000",
        "time": order.created,
        "updateTime": order.updated,
        "isWorking": True,
        "workingTime": order.created,
        "origQuoteOrderQty": eight(order.request.quote_quantity),
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }


def _transacted(order: Order, fills: list[Fill]) -> Json:
    """Return an order as POST and DELETE /api/v3/order write it."""
    rest = order_json(order)
    for name in ("time", "updateTime", "isWorking", "stopPrice", "icebergQty"):
        del rest[name]
    return {
        **rest,
        "transactTime": order.updated,
        "fills": [
            {
                "price": eight(fill.price),
                "qty": eight(fill.quantity),
                "commission": eight(fill.commission),
                "commissionAsset": fill.commission_asset,
                "tradeId": fill.id,
            }
            for fill in fills
        ],
    }


def new_order(call: Call) -> Json:
    """POST /api/v3/order."""
    client_order_id = call.params.get("newClientOrderId", f"web_{call.now}")
    if not CLIENT_ORDER_ID.fullmatch(client_order_id):
        raise binance.failure(
            -1100, "Illegal characters found in parameter 'newClientOrderId'; legal range is '^[a-zA-Z0-9-_]{1,36}$'."
        )
    if call.market.fault("no_trading"):
        raise binance.BAD_KEY
    if call.market.fault("reject_orders"):
        raise binance.ORDER_REFUSED
    name = call.params.get("type", "")
    if name not in KINDS:
        raise binance.failure(-1106, f"Order type {name} is not supported here.")
    request = Request(
        symbol=call.params.get("symbol", ""),
        product="spot",
        side=binance.SIDES[call.params["side"]],
        kind=KINDS[name],
        quantity=call.number("quantity"),
        quote_quantity=call.number("quoteOrderQty"),
        client_order_id=client_order_id,
        price=call.number("price"),
        time_in_force=(
            "POST_ONLY" if name == "LIMIT_MAKER" else binance.TIME_IN_FORCE[call.params.get("timeInForce", "")]
        ),
    )
    try:
        order = call.market.books.place(call.account, request, call.now)
    except RefusedError as refused:
        raise binance.reason_failure(REASONS, refused.reason) from None
    return _transacted(order, [fill for fill in call.account.fills if fill.order.id == order.id])


def query_order(call: Call) -> Json:
    """GET /api/v3/order."""
    return order_json(binance.named_order(call, "spot"))


def cancel_order(call: Call) -> Json:
    """DELETE /api/v3/order."""
    if call.market.fault("refuse_cancels"):
        raise binance.CANCEL_REFUSED
    try:
        order = binance.named_order(call, "spot")
        return _transacted(call.market.books.cancel(call.account, order, call.now), [])
    except (FailureError, RefusedError):
        raise binance.CANCEL_REFUSED from None


def cancel_all(call: Call) -> Json:
    """DELETE /api/v3/openOrders: refused when there is none, as the exchange does."""
    if call.market.fault("refuse_cancels"):
        raise binance.CANCEL_REFUSED
    cancelled = call.market.books.cancel_all(call.account, "spot", call.params["symbol"], call.now)
    if not cancelled:
        raise binance.CANCEL_REFUSED
    return [_transacted(order, []) for order in cancelled]


def open_orders(call: Call) -> Json:
    """GET /api/v3/openOrders."""
    orders = call.market.books.find(call.account, "spot", call.params.get("symbol"))
    return [order_json(order) for order in orders if order.is_open]


def all_orders(call: Call) -> Json:
    """GET /api/v3/allOrders."""
    orders = call.market.books.find(call.account, "spot", call.params["symbol"])
    first = call.integer("orderId", 0)
    rows = [order_json(order) for order in orders if order.id >= first and binance.window(call, order.created)]
    return page(rows, call.integer("limit", 500))


def _trade(fill: Fill) -> Json:
    return {
        "symbol": fill.order.instrument.symbol,
        "id": fill.id,
        "orderId": fill.order.id,
        "orderListId": -1,
        "price": eight(fill.price),
        "qty": eight(fill.quantity),
        "quoteQty": eight(fill.quantity * fill.price),
        "commission": eight(fill.commission),
        "commissionAsset": fill.commission_asset,
        "time": fill.time,
        "isBuyer": fill.order.side == "BUY",
        "isMaker": fill.maker,
        "isBestMatch": True,
    }


def my_trades(call: Call) -> Json:
    """GET /api/v3/myTrades."""
    order_id, first = call.integer("orderId", 0), call.integer("fromId", 0)
    rows = [
        _trade(fill)
        for fill in call.account.fills
        if fill.order.instrument.symbol == call.params["symbol"]
        and order_id in (0, fill.order.id)
        and fill.id >= first
        and binance.window(call, fill.time)
    ]
    return page(rows, call.integer("limit", 500))


ROUTES: Routes = {
    ("GET", "/api/v3/ping"): (nothing, "NONE"),
    ("GET", "/api/v3/time"): (time, "NONE"),
    ("GET", "/api/v3/exchangeInfo"): (exchange_info, "NONE"),
    ("GET", "/sapi/v1/asset/tradeFee"): (trade_fee, "SIGNED"),
    ("GET", "/sapi/v1/account/apiRestrictions"): (api_restrictions, "SIGNED"),
    ("GET", "/api/v3/account"): (account, "SIGNED"),
    ("POST", "/api/v3/order"): (new_order, "SIGNED"),
    ("GET", "/api/v3/order"): (query_order, "SIGNED"),
    ("DELETE", "/api/v3/order"): (cancel_order, "SIGNED"),
    ("GET", "/api/v3/openOrders"): (open_orders, "SIGNED"),
    ("DELETE", "/api/v3/openOrders"): (cancel_all, "SIGNED"),
    ("GET", "/api/v3/allOrders"): (all_orders, "SIGNED"),
    ("GET", "/api/v3/myTrades"): (my_trades, "SIGNED"),
}


def _execution_report(event: Event) -> Json:
    order, fill, request = event.order, event.fill, event.order.request
    cancelled = event.execution == "CANCELED"
    return {
        "e": "executionReport",
        "E": event.time,
        "s": order.instrument.symbol,
        # A cancel is a request with an id of its own; the order's own id then stands in `C`.
        "c": f"cancel-{order.id}" if cancelled else request.client_order_id,
        "S": order.side,
        "o": _kind(order),
        "f": _time_in_force(order),
        "q": eight(order.quantity),
        "p": eight(order.price),
        "P": "0.00000000",
        "F": "0.00000000",
        "g": -1,
        "C": request.client_order_id if cancelled else "",
        "x": event.execution,
        "X": order.status,
        "r": "NONE",
        "i": order.id,
        "l": eight(fill.quantity if fill else ZERO),
        "z": eight(order.filled),
        "L": eight(fill.price if fill else ZERO),
        "n": eight(fill.commission) if fill else "0",
        "N": fill.commission_asset if fill else None,
        "T": event.time,
        "t": fill.id if fill else -1,
        "I": order.id,
        "w": order.is_open,
        "m": fill.maker if fill else False,
        "M": False,
        "O": order.created,
        "Z": eight(order.spent),
        "Y": eight(fill.quantity * fill.price if fill else ZERO),
        "Q": eight(request.quote_quantity),
        "W": order.created,
        "V": "EXPIRE_MAKER",
    }


def _account_position(event: Event) -> Json:
    account, instrument = event.account, event.order.instrument
    return {
        "e": "outboundAccountPosition",
        "E": event.time,
        "u": event.time,
        "B": [
            {"a": asset, "f": eight(account.free(asset)), "l": eight(account.locked(asset))}
            for asset in (instrument.base, instrument.quote)
            if asset in account.wallet
        ],
    }


def messages(event: Event) -> list[Json]:
    """Return what the user data stream says of an event: executionReport, outboundAccountPosition."""
    return [_execution_report(event), _account_position(event)]


def public_message(market: Market, stream: str, number: int, now: int) -> Json | None:
    """Return the next message of a public stream such as ``btcusdt@trade``, or None."""
    symbol, _, kind = stream.partition("@")
    try:
        instrument = market.books.instrument("spot", symbol.upper())
    except RefusedError:
        return None
    quote = market.books.quote(instrument)
    return binance.public_event(kind, instrument, quote, number, now, lambda value, _: eight(value))
