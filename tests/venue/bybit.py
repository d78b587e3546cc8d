"""Bybit v5, unified account, spot and linear: REST routes under /v5, WebSocket operations and topics."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType

from .books import (
    LEVERAGE,
    ZERO,
    Account,
    Event,
    Fill,
    Kind,
    Order,
    Position,
    PositionSide,
    Reason,
    RefusedError,
    Request,
    Side,
    Status,
    TimeInForce,
)
from .market import Instrument, Product
from .wire import Call, FailureError, Handler, Json, Market, Routes, fixed, page, plain, signature

RECV_WINDOW_MS = 5_000
"""Default `X-BAPI-RECV-WINDOW` (Bybit v5, "Integration Guidance")."""

AHEAD_MS = 1_000
"""How far a request's timestamp may be ahead of the server's clock (Bybit v5, "Integration Guidance")."""

ORDER_LINK_ID_LENGTH = 36
"""`orderLinkId` of POST /v5/order/create."""

PRODUCTS: Mapping[str, Product] = {"spot": "spot", "linear": "linear"}
SIDES: Mapping[str, Side] = {"Buy": "BUY", "Sell": "SELL"}
KINDS: Mapping[str, Kind] = {"Limit": "LIMIT", "Market": "MARKET"}
TIMES_IN_FORCE: Mapping[str, TimeInForce] = {
    "": "GTC",
    "GTC": "GTC",
    "IOC": "IOC",
    "FOK": "FOK",
    "PostOnly": "POST_ONLY",
}
POSITION_SIDES: Mapping[str, PositionSide] = {"": "BOTH", "0": "BOTH", "1": "LONG", "2": "SHORT"}
STATUSES: Mapping[Status, str] = {
    "NEW": "New",
    "PARTIALLY_FILLED": "PartiallyFilled",
    "FILLED": "Filled",
    "CANCELED": "Cancelled",
    "EXPIRED": "Cancelled",
}
REJECT_REASONS = {
    "": "EC_NoError",
    "would_take": "EC_PostOnlyWillTakeLiquidity",
    "no_immediate_fill": "EC_NoImmediateQtyToFill",
    "nothing_to_reduce": "EC_NoError",
}
CANCEL_TYPES = {
    "": "CancelByUser",
    "would_take": "UNKNOWN",
    "no_immediate_fill": "UNKNOWN",
    "nothing_to_reduce": "CancelByReduceOnly",
}

SIDE_NAMES = {value: name for name, value in SIDES.items()}
KIND_NAMES = {value: name for name, value in KINDS.items()}
TIME_NAMES = {value: name for name, value in TIMES_IN_FORCE.items() if name}
POSITION_INDEXES = {value: int(name) for name, value in POSITION_SIDES.items() if name}

LINEAR_REASONS: Mapping[Reason, tuple[int, str]] = MappingProxyType(
    {
        "unknown_symbol": (10001, "Not supported symbols"),
        "bad_quantity": (10001, "Qty invalid"),
        "bad_price": (110003, "Order price exceeds the allowable range."),
        "small_notional": (110094, "Order does not meet minimum order value 5USDT"),
        "duplicate_id": (110072, "OrderLinkedID is duplicate"),
        "no_balance": (110007, "ab not enough for new order"),
        "no_margin": (110007, "ab not enough for new order"),
        "no_position_to_reduce": (110017, "current position is zero, cannot fix reduce-only order qty"),
        "wrong_position_side": (10001, "position idx not match position mode"),
        "unknown_order": (110001, "order not exists or too late to cancel"),
        "nothing_changed": (10001, "The order remains unchanged as the parameters entered match the existing ones."),
    }
)
SPOT_REASONS: Mapping[Reason, tuple[int, str]] = MappingProxyType(
    {
        **LINEAR_REASONS,
        "bad_quantity": (170137, "Order quantity has too many decimals."),
        "bad_price": (170134, "Order price has too many decimals."),
        "small_notional": (170140, "Order value exceeded lower limit."),
        "duplicate_id": (170141, "Duplicate clientOrderId"),
        "no_balance": (170131, "Insufficient balance."),
        "unknown_order": (170213, "Order does not exist."),
    }
)
REASONS: Mapping[Product, Mapping[Reason, tuple[int, str]]] = {"linear": LINEAR_REASONS, "spot": SPOT_REASONS}


def failure(code: int, message: str) -> FailureError:
    """Return an error answer; Bybit sends them with HTTP status 200."""
    return FailureError(200, {"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}})


BAD_KEY = failure(10003, "API key is invalid.")
BAD_SIGNATURE = failure(10004, "Error sign, please check your signature generation algorithm.")
BAD_TIME = failure(10002, "invalid request, please check your server timestamp or recv_window param.")
TOO_MANY = failure(10006, "Too many visits. Exceeded the API Rate Limit.")
BANNED = FailureError(403, {"retCode": 403, "retMsg": "access too frequent", "result": {}, "retExtInfo": {}})
NO_PERMISSION = failure(10005, "Permission denied, please check your API key permissions.")
MISSING_FILTER = failure(10001, "Missing some parameters that must be filled in, symbol or settleCoin or baseCoin")
ORDER_REFUSED = failure(*LINEAR_REASONS["no_margin"])
CANCEL_REFUSED = failure(*LINEAR_REASONS["unknown_order"])


def answer(result: Json, now: int) -> Json:
    """Return a successful REST answer around `result`."""
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now}


# -- authentication -------------------------------------------------------------------------------


def check_key(market: Market, key: str) -> None:
    """Refuse keys that the venue was told to distrust."""
    if market.fault("bad_key") or not key or (market.secrets and key not in market.secrets):
        raise BAD_KEY


def _check_signature(market: Market, key: str, signed: str, given: str) -> None:
    secret = market.secrets.get(key)
    if not given or (secret is not None and signature(secret, signed) != given):
        raise BAD_SIGNATURE


def authenticate(market: Market, now: int, headers: Mapping[str, str], payload: str) -> str:
    """Check a signed REST request (`payload`: raw query string or body) and return its key."""
    key = headers.get("X-BAPI-API-KEY", "")
    sent, window = headers.get("X-BAPI-TIMESTAMP", "0"), headers.get("X-BAPI-RECV-WINDOW", str(RECV_WINDOW_MS))
    check_key(market, key)
    if not now - int(window) <= int(sent) <= now + AHEAD_MS:
        raise BAD_TIME
    _check_signature(market, key, sent + key + window + payload, headers.get("X-BAPI-SIGN", ""))
    return key


def logon(market: Market, now: int, key: str, expires: int, given: str) -> None:
    """Check the arguments of the WebSocket operation ``auth``; `expires` in UNIX milliseconds."""
    check_key(market, key)
    if expires <= now:
        raise BAD_TIME
    _check_signature(market, key, f"GET/realtime{expires}", given)


# -- market ---------------------------------------------------------------------------------------


def time(call: Call) -> Json:
    """GET /v5/market/time."""
    return {"timeSecond": str(call.now // 1_000), "timeNano": str(call.now * 1_000_000)}


def _linear_instrument(instrument: Instrument) -> Json:
    tick = f"{instrument.tick:f}"
    return {
        "symbol": instrument.symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "settleCoin": instrument.quote,
        "launchTime": "1584230400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": "2",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": tick, "maxPrice": "1999999.80", "tickSize": tick},
        "lotSizeFilter": {
            "maxOrderQty": f"{instrument.max_quantity:f}",
            "minOrderQty": f"{instrument.min_quantity:f}",
            "qtyStep": f"{instrument.step:f}",
            "postOnlyMaxOrderQty": f"{instrument.max_quantity:f}",
            "maxMktOrderQty": f"{instrument.max_quantity:f}",
            "minNotionalValue": f"{instrument.min_notional:f}",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "copyTrading": "both",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
    }


def _spot_instrument(instrument: Instrument) -> Json:
    return {
        "symbol": instrument.symbol,
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "innovation": "0",
        "status": "Trading",
        "marginTrading": "utaOnly",
        "lotSizeFilter": {
            "basePrecision": f"{instrument.step:f}",
            "quotePrecision": "0.0000001",
            "minOrderQty": f"{instrument.min_quantity:f}",
            "maxOrderQty": f"{instrument.max_quantity:f}",
            "minOrderAmt": f"{instrument.min_notional:f}",
            "maxOrderAmt": "8000000",
        },
        "priceFilter": {"tickSize": f"{instrument.tick:f}"},
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
    }


def _instruments(call: Call) -> Iterable[Instrument]:
    category, symbol = call.params.get("category"), call.params.get("symbol")
    return (i for i in call.market.books.instruments if i.product == category and symbol in (None, i.symbol))


def instruments_info(call: Call) -> Json:
    """GET /v5/market/instruments-info; categories without instruments answer an empty list."""
    category = call.params.get("category", "")
    write = _linear_instrument if category == "linear" else _spot_instrument
    return {"category": category, "list": [write(i) for i in _instruments(call)], "nextPageCursor": ""}


def _linear_ticker(market: Market, instrument: Instrument) -> dict[str, str]:
    quote = market.books.quote(instrument)
    bid, ask = fixed(quote.bid, instrument.tick), fixed(quote.ask, instrument.tick)
    size = fixed(quote.size, instrument.step)
    return {
        "symbol": instrument.symbol,
        "tickDirection": "PlusTick",
        "lastPrice": bid,
        "indexPrice": bid,
        "markPrice": bid,
        "prevPrice24h": bid,
        "price24hPcnt": "0",
        "highPrice24h": ask,
        "lowPrice24h": bid,
        "prevPrice1h": bid,
        "openInterest": "1000",
        "openInterestValue": "50000000",
        "turnover24h": "50000000",
        "volume24h": "1000",
        "fundingRate": "0.0001",
        "nextFundingTime": "4102444800000",
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "basis": "",
        "deliveryFeeRate": "",
        "deliveryTime": "0",
        "bid1Price": bid,
        "bid1Size": size,
        "ask1Price": ask,
        "ask1Size": size,
    }


def _spot_ticker(market: Market, instrument: Instrument) -> dict[str, str]:
    linear = _linear_ticker(market, instrument)
    names = ("symbol", "lastPrice", "prevPrice24h", "price24hPcnt", "highPrice24h", "lowPrice24h")
    return {
        **{name: linear[name] for name in (*names, "turnover24h", "volume24h")},
        **{name: linear[name] for name in ("bid1Price", "bid1Size", "ask1Price", "ask1Size")},
        "usdIndexPrice": linear["lastPrice"],
    }


def tickers(call: Call) -> Json:
    """GET /v5/market/tickers."""
    category = call.params.get("category", "")
    write = _linear_ticker if category == "linear" else _spot_ticker
    return {"category": category, "list": [write(call.market, i) for i in _instruments(call)]}


# -- account --------------------------------------------------------------------------------------


def fee_rate(call: Call) -> Json:
    """GET /v5/account/fee-rate."""
    rows = [
        {
            "symbol": i.symbol,
            "baseCoin": "",
            "takerFeeRate": plain(i.taker_fee),
            "makerFeeRate": plain(i.maker_fee),
        }
        for i in _instruments(call)
    ]
    return {"category": call.params.get("category", ""), "list": rows}


def account_info(call: Call) -> Json:
    """GET /v5/account/info."""
    return {
        "unifiedMarginStatus": 5,
        "marginMode": "REGULAR_MARGIN",
        "dcpStatus": "OFF",
        "timeWindow": 10,
        "smpGroup": 0,
        "isMasterTrader": False,
        "spotHedgingStatus": "OFF",
        "updatedTime": str(call.now),
    }


def _expiry(call: Call) -> str:
    days = call.market.faults.option(call.market.venue, "key_expires", "days")
    if days is None:
        return "2030-01-01T00:00:00Z"
    return datetime.fromtimestamp(call.now / 1_000 + days * 86_400, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def query_api(call: Call) -> Json:
    """GET /v5/user/query-api. The key itself is not repeated."""
    read_only = call.market.fault("no_trading")
    return {
        "id": "1",
        "note": "loopback",
        "apiKey": "",
        "readOnly": int(read_only),
        "secret": "",
        "permissions": {
            "ContractTrade": [] if read_only else ["Order", "Position"],
            "Spot": [] if read_only else ["SpotTrade"],
            "Wallet": ["AccountTransfer"],
            "Options": [],
            "Derivatives": [] if read_only else ["DerivativesTrade"],
            "CopyTrading": [],
            "BlockTrade": [],
            "Exchange": [],
            "NFT": [],
            "Affiliate": [],
        },
        "ips": ["*"],
        "type": 1,
        "deadlineDay": 90,
        "expiredAt": _expiry(call),
        "createdAt": "2025-01-01T00:00:00Z",
        "unified": 0,
        "uta": 0 if call.market.fault("other_account") else 1,
        "userID": 1,
        "inviterID": 0,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "rsaPublicKey": "",
        "isMaster": True,
        "parentUid": "0",
        "kycLevel": "LEVEL_DEFAULT",
        "kycRegion": "",
    }


def _wallet(market: Market, account: Account) -> Json:
    coins = []
    for asset, balance in account.wallet.items():
        order_margin, position_margin = account.order_margin(asset), account.position_margin(asset)
        profit = (
            sum((p.profit(market.books.quote(p.instrument).bid) for p in account.positions.values()), ZERO)
            if asset == "USDT"
            else ZERO
        )
        free = balance - order_margin - position_margin - account.locked(asset)
        coins.append(
            {
                "coin": asset,
                "equity": plain(balance + profit),
                "usdValue": plain(balance + profit),
                "walletBalance": plain(balance),
                "availableToWithdraw": plain(max(ZERO, free)),
                "availableToBorrow": "",
                "bonus": "0",
                "accruedInterest": "0",
                "borrowAmount": "0",
                "spotBorrow": "0",
                "locked": plain(account.locked(asset)),
                "totalOrderIM": plain(order_margin),
                "totalPositionIM": plain(position_margin),
                "totalPositionMM": plain(position_margin / 10),
                "unrealisedPnl": plain(profit),
                "cumRealisedPnl": "0",
                "collateralSwitch": True,
                "marginCollateral": True,
                "spotHedgingQty": "0",
            }
        )
    usdt = next(coin for coin in coins if coin["coin"] == "USDT")
    margin = account.order_margin("USDT") + account.position_margin("USDT")
    return {
        "accountType": "UNIFIED",
        "accountIMRate": "0",
        "accountMMRate": "0",
        "accountLTV": "0",
        "totalEquity": usdt["equity"],
        "totalWalletBalance": usdt["walletBalance"],
        "totalMarginBalance": usdt["equity"],
        "totalAvailableBalance": usdt["availableToWithdraw"],
        "totalPerpUPL": usdt["unrealisedPnl"],
        "totalInitialMargin": plain(margin),
        "totalMaintenanceMargin": plain(margin / 10),
        "coin": coins,
    }


def wallet_balance(call: Call) -> Json:
    """GET /v5/account/wallet-balance."""
    return {"list": [_wallet(call.market, call.account)]}


# -- orders ---------------------------------------------------------------------------------------


def order_name(number: int) -> str:
    """Return the `orderId` of an order: a UUID, the same for the same order."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"order {number}"))


def trade_name(number: int) -> str:
    """Return the `execId` of a fill: a UUID, the same for the same fill."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"trade {number}"))


def _product(call: Call) -> Product:
    category = call.params.get("category", "")
    if category not in PRODUCTS:
        raise failure(10001, "params error: category only support linear or spot")
    return PRODUCTS[category]


def _find(call: Call, product: Product) -> Order:
    account, params = call.account, call.params
    for order in reversed(call.market.books.find(account, product, params.get("symbol"))):
        wanted = params.get("orderId")
        if order_name(order.id) == wanted if wanted else order.request.client_order_id == params.get("orderLinkId"):
            return order
    raise failure(*REASONS[product]["unknown_order"])


def _named(order: Order) -> Json:
    return {"orderId": order_name(order.id), "orderLinkId": order.request.client_order_id}


def new_order(call: Call) -> Json:
    """POST /v5/order/create and the WebSocket operation ``order.create``."""
    product, params = _product(call), call.params
    if call.market.fault("no_trading"):
        raise NO_PERMISSION
    if call.market.fault("reject_orders"):
        raise ORDER_REFUSED
    link = params.get("orderLinkId") or f"link-{call.now}"
    if len(link) > ORDER_LINK_ID_LENGTH:
        raise failure(10001, "orderLinkId cannot be longer than 36 characters")
    if params.get("triggerPrice"):
        raise failure(10001, "conditional orders are not supported here")
    kind, side = KINDS[params["orderType"]], SIDES[params["side"]]
    # A spot market buy states its quantity in quote asset unless told otherwise (POST /v5/order/create, marketUnit).
    in_quote = (product, kind, side) == ("spot", "MARKET", "BUY") and params.get("marketUnit") != "baseCoin"
    request = Request(
        symbol=params.get("symbol", ""),
        product=product,
        side=side,
        kind=kind,
        quantity=ZERO if in_quote else call.number("qty"),
        quote_quantity=call.number("qty") if in_quote else ZERO,
        client_order_id=link,
        price=call.number("price") if kind == "LIMIT" else ZERO,
        time_in_force="IOC" if kind == "MARKET" else TIMES_IN_FORCE[params.get("timeInForce", "")],
        reduce_only=call.flag("reduceOnly"),
        position_side=POSITION_SIDES[params.get("positionIdx", "")],
    )
    try:
        return _named(call.market.books.place(call.account, request, call.now))
    except RefusedError as refused:
        raise failure(*REASONS[product][refused.reason]) from None


def amend_order(call: Call) -> Json:
    """POST /v5/order/amend and the WebSocket operation ``order.amend``."""
    product = _product(call)
    order = _find(call, product)
    quantity, price = call.number("qty") or order.quantity, call.number("price") or order.price
    try:
        return _named(call.market.books.amend(call.account, order, quantity, price, call.now))
    except RefusedError as refused:
        raise failure(*REASONS[product][refused.reason]) from None


def cancel_order(call: Call) -> Json:
    """POST /v5/order/cancel and the WebSocket operation ``order.cancel``."""
    product = _product(call)
    if call.market.fault("refuse_cancels"):
        raise CANCEL_REFUSED
    order = _find(call, product)
    try:
        return _named(call.market.books.cancel(call.account, order, call.now))
    except RefusedError as refused:
        raise failure(*REASONS[product][refused.reason]) from None


def cancel_all(call: Call) -> Json:
    """POST /v5/order/cancel-all."""
    product = _product(call)
    if call.market.fault("refuse_cancels"):
        raise CANCEL_REFUSED
    if product == "linear" and not any(call.params.get(name) for name in ("symbol", "settleCoin", "baseCoin")):
        raise MISSING_FILTER
    cancelled = call.market.books.cancel_all(call.account, product, call.params.get("symbol"), call.now)
    return {"list": [_named(order) for order in cancelled], "success": "1"}


def _each(call: Call, handler: Handler) -> tuple[list[Json], list[Json]]:
    """Answer every item of a batch; the second list says how each went."""
    results, codes = [], []
    for item in call.body["request"]:
        params = {**strings(item), "category": call.params["category"]}
        try:
            results.append({**params, **handler(Call(call.market, call.now, params, call.key))})
            codes.append({"code": 0, "msg": "OK"})
        except FailureError as failed:
            results.append({**params, "orderId": ""})
            codes.append({"code": failed.body["retCode"], "msg": failed.body["retMsg"]})
    return results, codes


def strings(values: Mapping[str, Json]) -> dict[str, str]:
    """Return a JSON object's plain values as text, the way they would stand in a query string."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in values.items()
        if value is not None and not isinstance(value, (list, dict))
    }


def order_json(order: Order) -> Json:
    """Return an order as GET /v5/order/realtime and the topic ``order`` write it."""
    request, tick, step = order.request, order.instrument.tick, order.instrument.step
    partly = order.filled and order.instrument.product == "spot" and order.status == "CANCELED"
    closed = order.status in ("CANCELED", "EXPIRED")
    leaves = ZERO if closed else order.remaining
    return {
        "category": order.instrument.product,
        "symbol": order.instrument.symbol,
        "orderId": order_name(order.id),
        "orderLinkId": request.client_order_id,
        "blockTradeId": "",
        "side": SIDE_NAMES[request.side],
        "orderType": KIND_NAMES[request.kind],
        "timeInForce": TIME_NAMES[request.time_in_force],
        "price": fixed(order.price, tick) if order.price else "0",
        "qty": fixed(order.quantity, step),
        "leavesQty": fixed(leaves, step),
        "leavesValue": plain(leaves * order.price),
        "cumExecQty": fixed(order.filled, step),
        "cumExecValue": plain(order.spent),
        "cumExecFee": plain(order.fees),
        "avgPrice": plain(order.average) if order.filled else "",
        "orderStatus": "PartiallyFilledCanceled" if partly else STATUSES[order.status],
        "cancelType": CANCEL_TYPES[order.note] if closed else "UNKNOWN",
        "rejectReason": REJECT_REASONS[order.note],
        "reduceOnly": request.reduce_only,
        "closeOnTrigger": False,
        "positionIdx": POSITION_INDEXES[request.position_side],
        "isLeverage": "",
        "orderIv": "",
        "stopOrderType": "",
        "triggerPrice": "",
        "triggerBy": "",
        "triggerDirection": 0,
        "takeProfit": "",
        "stopLoss": "",
        "tpTriggerBy": "",
        "slTriggerBy": "",
        "tpLimitPrice": "",
        "slLimitPrice": "",
        "tpslMode": "",
        "lastPriceOnCreated": "",
        "placeType": "",
        "smpType": "None",
        "smpGroup": 0,
        "smpOrderId": "",
        "createType": "CreateByUser",
        "feeCurrency": order.instrument.quote if order.instrument.product == "linear" else "",
        "createdTime": str(order.created),
        "updatedTime": str(order.updated),
    }


def _listed(call: Call, rows: list[Json], default: int) -> Json:
    """Return one page of rows that are sorted oldest first; the cursor is the number of rows already seen."""
    seen, limit = int(call.params.get("cursor") or 0), call.integer("limit", default)
    newest = page(rows, 0, newest_first=True)
    following = str(seen + limit) if seen + limit < len(newest) else ""
    return {
        "category": call.params.get("category", ""),
        "list": newest[seen : seen + limit],
        "nextPageCursor": following,
    }


def _matching(call: Call, product: Product) -> list[Order]:
    orders = call.market.books.find(call.account, product, call.params.get("symbol"))
    wanted, link = call.params.get("orderId"), call.params.get("orderLinkId")
    coin = call.params.get("settleCoin")
    return [
        order
        for order in orders
        if wanted in (None, order_name(order.id))
        and link in (None, order.request.client_order_id)
        and (coin in (None, order.instrument.quote) or product == "spot")
    ]


def open_orders(call: Call) -> Json:
    """GET /v5/order/realtime: open orders, or with ``openOnly=1`` closed ones."""
    product = _product(call)
    names = ("symbol", "baseCoin", "settleCoin", "orderId", "orderLinkId")
    if product == "linear" and not any(call.params.get(name) for name in names):
        raise MISSING_FILTER
    want_open = call.params.get("openOnly", "0") == "0"
    rows = [order_json(order) for order in _matching(call, product) if order.is_open == want_open]
    return _listed(call, rows, 20)


def _in_window(call: Call, moment: int) -> bool:
    return call.integer("startTime", 0) <= moment <= call.integer("endTime", 2**63)


def order_history(call: Call) -> Json:
    """GET /v5/order/history: orders that are closed."""
    orders = _matching(call, _product(call))
    rows = [order_json(o) for o in orders if not o.is_open and _in_window(call, o.created)]
    return _listed(call, rows, 20)


def _execution(fill: Fill) -> Json:
    order, instrument = fill.order, fill.order.instrument
    rate = instrument.maker_fee if fill.maker else instrument.taker_fee
    return {
        "category": instrument.product,
        "symbol": instrument.symbol,
        "orderId": order_name(order.id),
        "orderLinkId": order.request.client_order_id,
        "side": SIDE_NAMES[order.side],
        "orderPrice": fixed(order.price, instrument.tick),
        "orderQty": fixed(order.quantity, instrument.step),
        "leavesQty": fixed(order.remaining, instrument.step),
        "createType": "CreateByUser",
        "orderType": KIND_NAMES[order.request.kind],
        "stopOrderType": "UNKNOWN",
        "execFee": plain(fill.commission),
        "execId": trade_name(fill.id),
        "execPrice": fixed(fill.price, instrument.tick),
        "execQty": fixed(fill.quantity, instrument.step),
        "execType": "Trade",
        "execValue": plain(fill.quantity * fill.price),
        "execTime": str(fill.time),
        "execPnl": plain(fill.realised),
        "feeCurrency": fill.commission_asset,
        "isMaker": fill.maker,
        "isLeverage": "0",
        "feeRate": plain(rate),
        "tradeIv": "",
        "markIv": "",
        "markPrice": fixed(fill.price, instrument.tick),
        "indexPrice": "",
        "underlyingPrice": "",
        "blockTradeId": "",
        "closedSize": fixed(fill.closed, instrument.step),
        "seq": fill.id,
    }


def executions(call: Call) -> Json:
    """GET /v5/execution/list."""
    mine = {order.id for order in _matching(call, _product(call))}
    rows = [_execution(f) for f in call.account.fills if f.order.id in mine and _in_window(call, f.time)]
    return _listed(call, rows, 50)


def _position(market: Market, position: Position) -> Json:
    instrument = position.instrument
    mark = market.books.quote(instrument).bid
    size, margin = abs(position.amount), abs(position.amount) * position.entry / LEVERAGE
    return {
        "category": "linear",
        "positionIdx": POSITION_INDEXES[position.side],
        "riskId": 1,
        "riskLimitValue": "2000000",
        "symbol": instrument.symbol,
        "side": "Buy" if position.amount > 0 else "Sell" if position.amount < 0 else "",
        "size": fixed(size, instrument.step),
        "avgPrice": plain(position.entry),
        "entryPrice": plain(position.entry),
        "sessionAvgPrice": "",
        "positionValue": plain(size * position.entry),
        "tradeMode": 0,
        "positionStatus": "Normal",
        "autoAddMargin": 0,
        "adlRankIndicator": 2 if position.amount else 0,
        "leverage": str(LEVERAGE),
        "positionBalance": plain(margin),
        "markPrice": fixed(mark, instrument.tick),
        "liqPrice": "",
        "bustPrice": "",
        "positionMM": plain(margin / 10),
        "positionMMByMp": plain(margin / 10),
        "positionIM": plain(margin),
        "positionIMByMp": plain(margin),
        "tpslMode": "Full",
        "takeProfit": "",
        "stopLoss": "",
        "trailingStop": "0",
        "unrealisedPnl": plain(position.profit(mark)),
        "curRealisedPnl": plain(position.realised),
        "cumRealisedPnl": plain(position.realised),
        "seq": 1,
        "isReduceOnly": False,
        "mmrSysUpdatedTime": "",
        "leverageSysUpdatedTime": "",
        "createdTime": str(position.opened),
        "updatedTime": str(position.updated),
    }


def positions(call: Call) -> Json:
    """GET /v5/position/list: all rows of a `symbol`, flat ones included; open ones only for a `settleCoin`."""
    product, account, symbol = _product(call), call.account, call.params.get("symbol")
    if product == "spot":
        raise failure(10001, "category only support linear or option")
    told = call.told_positions("/v5/position/list")
    if symbol:
        instrument = call.market.books.instrument("linear", symbol)
        sides: tuple[PositionSide, ...] = ("LONG", "SHORT") if account.hedge else ("BOTH",)
        rows = [told.get((symbol, side)) or Position(instrument, side) for side in sides]
    elif call.params.get("settleCoin"):
        rows = [p for p in told.values() if p.amount and p.instrument.quote == call.params["settleCoin"]]
    else:
        raise MISSING_FILTER
    return _listed(call, [_position(call.market, row) for row in rows], 20)


def done(_call: Call) -> Json:
    """Confirm a setting that the books do not keep, e.g. POST /v5/position/set-leverage."""
    return {}


ROUTES: Routes = {
    ("GET", "/v5/market/time"): (time, "NONE"),
    ("GET", "/v5/market/instruments-info"): (instruments_info, "NONE"),
    ("GET", "/v5/market/tickers"): (tickers, "NONE"),
    ("GET", "/v5/account/fee-rate"): (fee_rate, "SIGNED"),
    ("GET", "/v5/account/info"): (account_info, "SIGNED"),
    ("GET", "/v5/account/wallet-balance"): (wallet_balance, "SIGNED"),
    ("GET", "/v5/user/query-api"): (query_api, "SIGNED"),
    ("GET", "/v5/order/realtime"): (open_orders, "SIGNED"),
    ("GET", "/v5/order/history"): (order_history, "SIGNED"),
    ("GET", "/v5/execution/list"): (executions, "SIGNED"),
    ("GET", "/v5/position/list"): (positions, "SIGNED"),
    ("POST", "/v5/position/set-leverage"): (done, "SIGNED"),
    ("POST", "/v5/position/switch-mode"): (done, "SIGNED"),
    ("POST", "/v5/account/set-margin-mode"): (done, "SIGNED"),
    ("POST", "/v5/order/create"): (new_order, "SIGNED"),
    ("POST", "/v5/order/amend"): (amend_order, "SIGNED"),
    ("POST", "/v5/order/cancel"): (cancel_order, "SIGNED"),
    ("POST", "/v5/order/cancel-all"): (cancel_all, "SIGNED"),
}

OPERATIONS: Mapping[str, Handler] = {
    "order.create": new_order,
    "order.amend": amend_order,
    "order.cancel": cancel_order,
}
"""Operations of the trade WebSocket; each also exists with ``-batch`` behind its name."""


def operate(call: Call, operation: str) -> Json:
    """Run an operation of the trade WebSocket and return its answer, without the request's id."""
    single = operation.removesuffix("-batch")
    if single not in OPERATIONS:
        return {"retCode": 10001, "retMsg": f"unknown op {operation}", "op": operation, "data": {}, "retExtInfo": {}}
    try:
        if single == operation:
            data, extra = OPERATIONS[single](call), {}
        else:
            results, codes = _each(call, OPERATIONS[single])
            data, extra = {"list": results}, {"list": codes}
    except FailureError as failed:
        return {**failed.body, "op": operation, "data": {}}
    return {"retCode": 0, "retMsg": "OK", "op": operation, "data": data, "retExtInfo": extra}


# -- streams --------------------------------------------------------------------------------------


def messages(market: Market, event: Event) -> list[Json]:
    """Return what the private topics say of an event, in the order they are sent; each has its ``topic``."""
    bodies: list[tuple[str, Json]] = []
    if event.fill:
        bodies.append(("execution", _execution(event.fill)))
        position = event.account.positions.get((event.order.instrument.symbol, event.order.request.position_side))
        if position and event.order.instrument.product == "linear":
            bodies.append(("position", _position(market, position)))
    # A market order is never on the book, so its first news is its fill.
    if event.execution != "NEW" or event.order.request.kind == "LIMIT":
        bodies.append(("order", order_json(event.order)))
    bodies.append(("wallet", _wallet(market, event.account)))
    return [
        {
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{topic} {event.order.id} {event.time} {event.execution}")),
            "topic": topic,
            "creationTime": event.time,
            "data": [body],
        }
        for topic, body in bodies
    ]


def public_message(market: Market, product: Product, topic: str, number: int, now: int) -> Json | None:
    """Return the next message of a public topic such as ``tickers.BTCUSDT``, or None for one that is not served."""
    kind, _, symbol = topic.rpartition(".")
    try:
        instrument = market.books.instrument(product, symbol)
    except RefusedError:
        return None
    quote = market.books.quote(instrument)

    def price(value: Decimal) -> str:
        return fixed(value, instrument.tick)

    size = fixed(quote.size, instrument.step)
    if kind == "tickers":
        write = _linear_ticker if product == "linear" else _spot_ticker
        return {"topic": topic, "type": "snapshot", "cs": number, "ts": now, "data": write(market, instrument)}
    if kind.startswith("orderbook."):
        levels = {"b": [[price(quote.bid), size]], "a": [[price(quote.ask), size]]}
        data = {"s": symbol, **levels, "u": number, "seq": number}
        return {"topic": topic, "type": "snapshot", "ts": now, "data": data, "cts": now}
    if kind == "publicTrade":
        buyer = number % 2 == 1
        trade = {
            "T": now,
            "s": symbol,
            "S": "Buy" if buyer else "Sell",
            "v": fixed(10 * instrument.step, instrument.step),
            "p": price(quote.ask if buyer else quote.bid),
            "L": "PlusTick",
            "i": trade_name(-number),
            "BT": False,
            "RPI": False,
            "seq": number,
        }
        return {"topic": topic, "type": "snapshot", "ts": now, "data": [trade]}
    return None
