"""Binance USD-M futures: REST routes under /fapi and the messages of its streams."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from decimal import Decimal

from . import binance
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
)
from .market import Instrument
from .wire import Call, FailureError, Json, Market, Routes, eight, fixed, page, plain

CLIENT_ORDER_ID = re.compile(r"[\.A-Z\:/a-z0-9_-]{1,36}")
CLIENT_ORDER_ID_LENGTH = 36
"""`newClientOrderId` of POST /fapi/v1/order."""

REASONS: Mapping[Reason, tuple[int, str]] = {
    "unknown_symbol": (-1121, "Invalid symbol."),
    "bad_quantity": (-1111, "Precision is over the maximum defined for this asset."),
    "bad_price": (-4014, "Price not increased by tick size."),
    "small_notional": (-4164, "Order's notional must be no smaller than 100 (unless you choose reduce only)."),
    "duplicate_id": (-4116, "ClientOrderId is duplicated."),
    "no_balance": (-2018, "Balance is insufficient."),
    "no_margin": (-2019, "Margin is insufficient."),
    "no_position_to_reduce": (-2022, "ReduceOnly Order is rejected."),
    "would_take": (
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected. "
        "The order will not be recorded in the order history",
    ),
    "wrong_position_side": (-4061, "Order's position side does not match user's setting."),
    "unknown_order": (-2011, "Unknown order sent."),
    "nothing_changed": (-5027, "No need to modify the order."),
}
KINDS: Mapping[str, Kind] = {"LIMIT": "LIMIT", "MARKET": "MARKET"}
POSITION_SIDES: Mapping[str, PositionSide] = {"": "BOTH", "BOTH": "BOTH", "LONG": "LONG", "SHORT": "SHORT"}

RATE_LIMITS = (("REQUEST_WEIGHT", "MINUTE", 1, 2_400), ("ORDERS", "MINUTE", 1, 1_200), ("ORDERS", "SECOND", 10, 300))
"""Type, interval, number of intervals, limit (GET /fapi/v1/exchangeInfo)."""


def _symbol(instrument: Instrument) -> Json:
    tick, step = f"{instrument.tick:f}", f"{instrument.step:f}"
    lot = {"minQty": f"{instrument.min_quantity:f}", "maxQty": f"{instrument.max_quantity:f}", "stepSize": step}
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": 1_569_398_400_000,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.quote,
        "pricePrecision": 2,
        "quantityPrecision": 3,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10_000,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "4529764", "tickSize": tick},
            {"filterType": "LOT_SIZE", **lot},
            {"filterType": "MARKET_LOT_SIZE", **lot},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
            {"filterType": "MIN_NOTIONAL", "notional": f"{instrument.min_notional:f}"},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.0500",
                "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


def exchange_info(call: Call) -> Json:
    """GET /fapi/v1/exchangeInfo."""
    return {
        "timezone": "UTC",
        "serverTime": call.now,
        "futuresType": "U_MARGINED",
        "rateLimits": [
            {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
            for kind, interval, number, limit in RATE_LIMITS
        ],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [_symbol(instrument) for instrument in call.market.books.instruments],
    }


def _profit(market: Market, account: Account) -> Decimal:
    return sum((p.profit(_mark(market, p.instrument)) for p in account.positions.values()), ZERO)


def _mark(market: Market, instrument: Instrument) -> Decimal:
    quote = market.books.quote(instrument)
    return (quote.bid + quote.ask) / 2


def account(call: Call) -> Json:
    """GET /fapi/v2/account."""
    mine = call.account
    assets = []
    for asset, wallet in mine.wallet.items():
        settles = asset == "USDT"
        profit = _profit(call.market, mine) if settles else ZERO
        margin, orders = mine.position_margin(asset), mine.order_margin(asset)
        available = max(ZERO, wallet + profit - margin - orders)
        assets.append(
            {
                "asset": asset,
                "walletBalance": eight(wallet),
                "unrealizedProfit": eight(profit),
                "marginBalance": eight(wallet + profit),
                "maintMargin": eight(margin / 2),
                "initialMargin": eight(margin + orders),
                "positionInitialMargin": eight(margin),
                "openOrderInitialMargin": eight(orders),
                "crossWalletBalance": eight(wallet),
                "crossUnPnl": eight(profit),
                "availableBalance": eight(available),
                "maxWithdrawAmount": eight(min(available, wallet)),
                "marginAvailable": True,
                "updateTime": call.now,
            }
        )
    usdt = next(row for row in assets if row["asset"] == "USDT")
    return {
        "feeTier": 0,
        "canTrade": not call.market.fault("no_trading"),
        "canDeposit": True,
        "canWithdraw": True,
        "updateTime": call.now,
        "multiAssetsMargin": call.market.fault("other_account"),
        "totalInitialMargin": usdt["initialMargin"],
        "totalMaintMargin": usdt["maintMargin"],
        "totalWalletBalance": usdt["walletBalance"],
        "totalUnrealizedProfit": usdt["unrealizedProfit"],
        "totalMarginBalance": usdt["marginBalance"],
        "totalPositionInitialMargin": usdt["positionInitialMargin"],
        "totalOpenOrderInitialMargin": usdt["openOrderInitialMargin"],
        "totalCrossWalletBalance": usdt["crossWalletBalance"],
        "totalCrossUnPnl": usdt["crossUnPnl"],
        "availableBalance": usdt["availableBalance"],
        "maxWithdrawAmount": usdt["maxWithdrawAmount"],
        "assets": assets,
        "positions": [],
    }


def _position(market: Market, position: Position) -> Json:
    mark = _mark(market, position.instrument)
    notional = position.amount * mark
    margin = abs(position.amount) * position.entry / LEVERAGE
    return {
        "symbol": position.instrument.symbol,
        "positionSide": position.side,
        "positionAmt": fixed(position.amount, position.instrument.step),
        "entryPrice": plain(position.entry),
        "breakEvenPrice": plain(position.entry),
        "markPrice": eight(mark),
        "unRealizedProfit": eight(position.profit(mark)),
        "liquidationPrice": "0",
        "isolatedMargin": "0",
        "notional": eight(notional),
        "marginAsset": position.instrument.quote,
        "isolatedWallet": "0",
        "initialMargin": eight(margin),
        "maintMargin": eight(margin / 2),
        "positionInitialMargin": eight(margin),
        "openOrderInitialMargin": "0",
        "adl": 1,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": position.updated,
    }


def position_risk(call: Call) -> Json:
    """GET /fapi/v3/positionRisk: only symbols with a position, as v3 answers."""
    symbol = call.params.get("symbol")
    return [
        _position(call.market, position)
        for position in call.told_positions("/fapi/v3/positionRisk").values()
        if position.amount and symbol in (None, position.instrument.symbol)
    ]


def symbol_config(call: Call) -> Json:
    """GET /fapi/v1/symbolConfig."""
    return [
        {
            "symbol": instrument.symbol,
            "marginType": "CROSSED",
            "isAutoAddMargin": False,
            "leverage": LEVERAGE,
            "maxNotionalValue": "40000000",
        }
        for instrument in call.market.books.instruments
    ]


def position_mode(call: Call) -> Json:
    """GET /fapi/v1/positionSide/dual."""
    return {"dualSidePosition": call.account.hedge}


def commission_rate(call: Call) -> Json:
    """GET /fapi/v1/commissionRate."""
    instrument = call.market.books.instrument("linear", call.params["symbol"])
    return {
        "symbol": instrument.symbol,
        "makerCommissionRate": plain(instrument.maker_fee),
        "takerCommissionRate": plain(instrument.taker_fee),
    }


def leverage(call: Call) -> Json:
    """POST /fapi/v1/leverage: confirmed, though the books always use `LEVERAGE`."""
    return {
        "symbol": call.params["symbol"],
        "leverage": call.integer("leverage", LEVERAGE),
        "maxNotionalValue": "40000000",
    }


def time(call: Call) -> Json:
    """GET /fapi/v1/time."""
    return {"serverTime": call.now}


def nothing(_call: Call) -> Json:
    """Answer with an empty object, e.g. PUT and DELETE /fapi/v1/listenKey, GET /fapi/v1/ping."""
    return {}


def no_algo_orders(_call: Call) -> Json:
    """GET /fapi/v1/openAlgoOrders and allAlgoOrders: conditional orders are not kept here."""
    return []


def no_such_algo_order(_call: Call) -> Json:
    """GET, POST and DELETE /fapi/v1/algoOrder: conditional orders are not kept here."""
    raise binance.failure(-2013, "Order does not exist.")


def listen_key(call: Call) -> Json:
    """POST /fapi/v1/listenKey: one per API key, as Binance extends a valid one."""
    for name, key in call.market.listen_keys.items():
        if key == call.key:
            return {"listenKey": name}
    name = hashlib.sha256(f"stream {len(call.market.listen_keys)}".encode()).hexdigest()
    call.market.listen_keys[name] = call.key
    return {"listenKey": name}


def order_json(order: Order) -> Json:
    """Return an order as GET /fapi/v1/order writes it."""
    tick, step = order.instrument.tick, order.instrument.step
    post_only = order.request.time_in_force == "POST_ONLY"
    return {
        "orderId": order.id,
        "symbol": order.instrument.symbol,
        "status": order.status,
        "clientOrderId": order.request.client_order_id,
        "price": fixed(order.price, tick),
        "avgPrice": plain(order.average),
        "origQty": fixed(order.quantity, step),
        "executedQty": fixed(order.filled, step),
        "cumQuote": eight(order.spent),
        "timeInForce": "GTX" if post_only else order.request.time_in_force,
        "type": order.request.kind,
        "reduceOnly": order.request.reduce_only,
        "closePosition": False,
        "side": order.side,
        "positionSide": order.request.position_side,
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": order.request.kind,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "NONE",
        "goodTillDate": 0,
        "time": order.created,
        "updateTime": order.updated,
    }


def new_order(call: Call) -> Json:
    """POST /fapi/v1/order."""
    client_order_id = call.params.get("newClientOrderId", f"web_{call.now}")
    if len(client_order_id) > CLIENT_ORDER_ID_LENGTH:
        raise binance.failure(-4015, "Client order id length should not be more than 36 chars")
    if not CLIENT_ORDER_ID.fullmatch(client_order_id):
        raise binance.failure(
            -1100,
            "Illegal characters found in parameter 'newClientOrderId'; legal range is '^[\\.A-Z\\:/a-z0-9_-]{1,36}$'.",
        )
    if call.market.fault("no_trading"):
        raise binance.BAD_KEY
    if call.market.fault("reject_orders"):
        raise binance.ORDER_REFUSED
    kind = KINDS.get(call.params.get("type", ""))
    if kind is None:
        raise binance.failure(-4120, "Order type not supported for this endpoint.")
    request = Request(
        symbol=call.params.get("symbol", ""),
        product="linear",
        side=binance.SIDES[call.params["side"]],
        kind=kind,
        quantity=call.number("quantity"),
        client_order_id=client_order_id,
        price=call.number("price"),
        time_in_force=binance.TIME_IN_FORCE[call.params.get("timeInForce", "")],
        reduce_only=call.flag("reduceOnly"),
        position_side=POSITION_SIDES[call.params.get("positionSide", "")],
    )
    try:
        order = call.market.books.place(call.account, request, call.now)
    except RefusedError as refused:
        raise binance.reason_failure(REASONS, refused.reason) from None
    return order_json(order)


def query_order(call: Call) -> Json:
    """GET /fapi/v1/order."""
    return order_json(binance.named_order(call, "linear"))


def _cancellable(call: Call) -> Order:
    if call.market.fault("refuse_cancels"):
        raise binance.CANCEL_REFUSED
    try:
        return binance.named_order(call, "linear")
    except FailureError:
        raise binance.CANCEL_REFUSED from None


def cancel_order(call: Call) -> Json:
    """DELETE /fapi/v1/order."""
    order = _cancellable(call)
    try:
        return order_json(call.market.books.cancel(call.account, order, call.now))
    except RefusedError as refused:
        raise binance.reason_failure(REASONS, refused.reason) from None


def modify_order(call: Call) -> Json:
    """PUT /fapi/v1/order."""
    order = binance.named_order(call, "linear")
    try:
        changed = call.market.books.amend(call.account, order, call.number("quantity"), call.number("price"), call.now)
    except RefusedError as refused:
        raise binance.reason_failure(REASONS, refused.reason) from None
    return order_json(changed)


def cancel_all(call: Call) -> Json:
    """DELETE /fapi/v1/allOpenOrders."""
    if call.market.fault("refuse_cancels"):
        raise binance.CANCEL_REFUSED
    call.market.books.cancel_all(call.account, "linear", call.params["symbol"], call.now)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def cancel_batch(call: Call) -> Json:
    """DELETE /fapi/v1/batchOrders: an order or an error for each id, in the order asked."""
    wanted = re.findall(r'"([^"]+)"', call.params.get("origClientOrderIdList", ""))
    answers: list[Json] = []
    for name in wanted:
        single = Call(call.market, call.now, {"symbol": call.params["symbol"], "origClientOrderId": name}, call.key)
        try:
            answers.append(cancel_order(single))
        except FailureError as failed:
            answers.append(failed.body)
    return answers


def open_orders(call: Call) -> Json:
    """GET /fapi/v1/openOrders."""
    orders = call.market.books.find(call.account, "linear", call.params.get("symbol"))
    return [order_json(order) for order in orders if order.is_open]


def all_orders(call: Call) -> Json:
    """GET /fapi/v1/allOrders."""
    orders = call.market.books.find(call.account, "linear", call.params["symbol"])
    first = call.integer("orderId", 0)
    rows = [order_json(order) for order in orders if order.id >= first and binance.window(call, order.created)]
    return page(rows, call.integer("limit", 500))


def _trade(fill: Fill) -> Json:
    instrument = fill.order.instrument
    return {
        "id": fill.id,
        "symbol": instrument.symbol,
        "orderId": fill.order.id,
        "side": fill.order.side,
        "positionSide": fill.order.request.position_side,
        "price": fixed(fill.price, instrument.tick),
        "qty": fixed(fill.quantity, instrument.step),
        "quoteQty": eight(fill.quantity * fill.price),
        "realizedPnl": eight(fill.realised),
        "commission": eight(fill.commission),
        "commissionAsset": fill.commission_asset,
        "time": fill.time,
        "buyer": fill.order.side == "BUY",
        "maker": fill.maker,
    }


def user_trades(call: Call) -> Json:
    """GET /fapi/v1/userTrades."""
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
    ("GET", "/fapi/v1/ping"): (nothing, "NONE"),
    ("GET", "/fapi/v1/time"): (time, "NONE"),
    ("GET", "/fapi/v1/exchangeInfo"): (exchange_info, "NONE"),
    ("GET", "/fapi/v2/account"): (account, "SIGNED"),
    ("GET", "/fapi/v3/account"): (account, "SIGNED"),
    ("GET", "/fapi/v2/positionRisk"): (position_risk, "SIGNED"),
    ("GET", "/fapi/v3/positionRisk"): (position_risk, "SIGNED"),
    ("GET", "/fapi/v1/symbolConfig"): (symbol_config, "SIGNED"),
    ("GET", "/fapi/v1/commissionRate"): (commission_rate, "SIGNED"),
    ("GET", "/fapi/v1/positionSide/dual"): (position_mode, "SIGNED"),
    ("POST", "/fapi/v1/leverage"): (leverage, "SIGNED"),
    ("POST", "/fapi/v1/listenKey"): (listen_key, "KEY"),
    ("PUT", "/fapi/v1/listenKey"): (nothing, "KEY"),
    ("DELETE", "/fapi/v1/listenKey"): (nothing, "KEY"),
    ("POST", "/fapi/v1/order"): (new_order, "SIGNED"),
    ("GET", "/fapi/v1/order"): (query_order, "SIGNED"),
    ("PUT", "/fapi/v1/order"): (modify_order, "SIGNED"),
    ("DELETE", "/fapi/v1/order"): (cancel_order, "SIGNED"),
    ("DELETE", "/fapi/v1/allOpenOrders"): (cancel_all, "SIGNED"),
    ("DELETE", "/fapi/v1/batchOrders"): (cancel_batch, "SIGNED"),
    ("GET", "/fapi/v1/openOrders"): (open_orders, "SIGNED"),
    ("GET", "/fapi/v1/allOrders"): (all_orders, "SIGNED"),
    ("GET", "/fapi/v1/userTrades"): (user_trades, "SIGNED"),
    ("GET", "/fapi/v1/openAlgoOrders"): (no_algo_orders, "SIGNED"),
    ("GET", "/fapi/v1/allAlgoOrders"): (no_algo_orders, "SIGNED"),
    ("GET", "/fapi/v1/algoOrder"): (no_such_algo_order, "SIGNED"),
    ("POST", "/fapi/v1/algoOrder"): (no_such_algo_order, "SIGNED"),
    ("DELETE", "/fapi/v1/algoOrder"): (no_such_algo_order, "SIGNED"),
}

COIN_ROUTES: Routes = {
    ("GET", "/dapi/v1/time"): (time, "NONE"),
    ("GET", "/dapi/v1/account"): (account, "SIGNED"),
    ("GET", "/dapi/v1/positionSide/dual"): (position_mode, "SIGNED"),
}
"""COIN-M futures, as far as a key is asked about there: nothing can be traded."""


def _order_update(event: Event) -> Json:
    order, fill = event.order, event.fill
    instrument, request = order.instrument, order.request
    tick, step = instrument.tick, instrument.step
    message = {
        "s": instrument.symbol,
        "c": request.client_order_id,
        "S": request.side,
        "o": request.kind,
        "f": "GTX" if request.time_in_force == "POST_ONLY" else request.time_in_force,
        "q": fixed(order.quantity, step),
        "p": fixed(order.price, tick),
        "ap": plain(order.average),
        "sp": "0",
        "x": event.execution,
        "X": order.status,
        "i": order.id,
        "l": fixed(fill.quantity if fill else ZERO, step),
        "z": fixed(order.filled, step),
        "L": fixed(fill.price if fill else ZERO, tick),
        "T": event.time,
        "t": fill.id if fill else 0,
        "b": "0",
        "a": "0",
        "m": fill.maker if fill else False,
        "R": request.reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": request.kind,
        "ps": request.position_side,
        "cp": False,
        "rp": eight(fill.realised if fill else ZERO),
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": "NONE",
        "pm": "NONE",
        "gtd": 0,
    }
    if fill:
        message |= {"N": fill.commission_asset, "n": eight(fill.commission)}
    return {"e": "ORDER_TRADE_UPDATE", "E": event.time, "T": event.time, "o": message}


def _account_update(market: Market, event: Event) -> Json:
    account, asset = event.account, event.order.instrument.quote
    position = account.positions[event.order.instrument.symbol, event.order.request.position_side]
    return {
        "e": "ACCOUNT_UPDATE",
        "E": event.time,
        "T": event.time,
        "a": {
            "m": "ORDER",
            "B": [{"a": asset, "wb": eight(account.wallet[asset]), "cw": eight(account.wallet[asset]), "bc": "0"}],
            "P": [
                {
                    "s": position.instrument.symbol,
                    "pa": fixed(position.amount, position.instrument.step),
                    "ep": plain(position.entry),
                    "bep": plain(position.entry),
                    "cr": eight(position.realised),
                    "up": eight(position.profit(_mark(market, position.instrument))),
                    "mt": "cross",
                    "iw": "0",
                    "ps": position.side,
                }
            ],
        },
    }


def messages(market: Market, event: Event) -> list[Json]:
    """Return what the user data stream says of an event: ACCOUNT_UPDATE (on a fill), ORDER_TRADE_UPDATE."""
    before = [_account_update(market, event)] if event.fill else []
    return [*before, _order_update(event)]


def public_message(market: Market, stream: str, number: int, now: int) -> Json | None:
    """Return the next message of a public stream such as ``btcusdt@bookTicker``, or None."""
    symbol, _, kind = stream.partition("@")
    try:
        instrument = market.books.instrument("linear", symbol.upper())
    except RefusedError:
        return None
    message = binance.public_event(kind, instrument, market.books.quote(instrument), number, now, fixed)
    if message is not None and kind == "bookTicker":
        message |= {"e": "bookTicker", "T": now, "E": now}
    return message
