"""The venue over real sockets: signatures, faults, counts, and prices that fill orders and tell the stream."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.client import HTTPConnection, RemoteDisconnected
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from tests.venue.faults import FAULTS
from tests.venue.handle import Venue

SECRET = "secret"
PATIENCE = 5.0
_numbers = itertools.count(1)

type Answer = tuple[int, Any]


@pytest.fixture(scope="module")
def _venue() -> Iterator[Venue]:
    with Venue.start() as venue:
        yield venue


@pytest.fixture
def venue(_venue: Venue) -> Iterator[Venue]:
    yield _venue
    _venue.behave()
    _venue.keys({})
    _venue.price("BTCUSDT", 50_000)


@pytest.fixture
def key() -> str:
    """An API key that no other test uses, and so an account of its own."""
    return f"key-{next(_numbers)}"


def sign(text: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def ask(
    venue: Venue, method: str, target: str, *, headers: dict[str, str], body: str = "", patience: float = PATIENCE
) -> Answer:
    connection = HTTPConnection("127.0.0.1", venue.port, timeout=patience)
    try:
        connection.request(method, target, body or None, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        return answer.status, json.loads(text) if text.startswith(("{", "[")) else text
    finally:
        connection.close()


def binance(
    venue: Venue, key: str, method: str, path: str, *, secret: str = SECRET, patience: float = PATIENCE, **params: Any
) -> Answer:
    query = urlencode({**params, "timestamp": params.get("timestamp", now_ms())})
    target = f"{path}?{query}&signature={sign(query, secret)}"
    return ask(venue, method, target, headers={"X-MBX-APIKEY": key}, patience=patience)


def bybit(venue: Venue, key: str, method: str, path: str, *, secret: str = SECRET, **params: Any) -> Any:
    stamp = str(now_ms())
    payload = urlencode(params) if method == "GET" else json.dumps(params)
    headers = {
        "X-BAPI-API-KEY": key,
        "X-BAPI-TIMESTAMP": stamp,
        "X-BAPI-RECV-WINDOW": "5000",
        "X-BAPI-SIGN": sign(f"{stamp}{key}5000{payload}", secret),
    }
    target, body = (f"{path}?{payload}", "") if method == "GET" else (path, payload)
    status, answer = ask(venue, method, target, headers=headers, body=body)
    assert status == 200
    return answer


def futures_order(venue: Venue, key: str, name: str, **params: Any) -> Answer:
    order: dict[str, Any] = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    order |= {"quantity": "0.010", "price": "45000", "newClientOrderId": name}
    return binance(venue, key, "POST", "/fapi/v1/order", **{**order, **params})


def bybit_order(venue: Venue, key: str, name: str, **params: Any) -> Any:
    order = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.010"}
    return bybit(venue, key, "POST", "/v5/order/create", **{**order, "price": "45000", "orderLinkId": name, **params})


@asynccontextmanager
async def stream(url: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        yield socket


async def heard(socket: aiohttp.ClientWebSocketResponse, wanted: Any) -> Any:
    """Return the next message for which `wanted` holds."""
    async with asyncio.timeout(PATIENCE):
        while True:
            message = await socket.receive_json()
            if wanted(message):
                return message


async def futures_stream_url(venue: Venue, key: str) -> str:
    status, answer = await asyncio.to_thread(ask, venue, "POST", "/fapi/v1/listenKey", headers={"X-MBX-APIKEY": key})
    assert status == 200
    return f"{venue.ws}/ws?listenKey={answer['listenKey']}"


async def bybit_logon(socket: aiohttp.ClientWebSocketResponse, key: str, secret: str = SECRET) -> Any:
    expires = now_ms() + 5_000
    await socket.send_json({"op": "auth", "args": [key, expires, sign(f"GET/realtime{expires}", secret)]})
    return await heard(socket, lambda message: message["op"] == "auth")


# -- keys and signatures ----------------------------------------------------------------------------


def test_any_key_will_do_until_keys_are_given(venue: Venue, key: str) -> None:
    assert binance(venue, key, "GET", "/fapi/v2/account", secret="whatever")[0] == 200
    assert bybit(venue, key, "GET", "/v5/account/info", secret="whatever")["retCode"] == 0


def test_an_unknown_key_and_a_wrong_signature_are_told_apart(venue: Venue, key: str) -> None:
    venue.keys({key: SECRET})
    assert binance(venue, key, "GET", "/fapi/v2/account")[0] == 200
    assert binance(venue, key, "GET", "/api/v3/account")[0] == 200
    status, answer = binance(venue, "stranger", "GET", "/fapi/v2/account")
    assert (status, answer["code"]) == (401, -2015)
    status, answer = binance(venue, key, "GET", "/fapi/v2/account", secret="wrong")
    assert (status, answer["code"]) == (400, -1022)
    assert bybit(venue, key, "GET", "/v5/account/info")["retCode"] == 0
    assert bybit(venue, "stranger", "GET", "/v5/account/info")["retCode"] == 10003
    assert bybit(venue, key, "GET", "/v5/account/info", secret="wrong")["retCode"] == 10004


def test_websocket_logons_are_checked_too(venue: Venue, key: str) -> None:
    venue.keys({key: SECRET})

    async def talk() -> list[Any]:
        async with stream(f"{venue.ws}/v5/private") as socket:
            wrong, right = await bybit_logon(socket, key, "wrong"), await bybit_logon(socket, key)
        async with stream(f"{venue.ws}/ws-api") as socket:
            codes = []
            for secret in ("wrong", SECRET):
                signed = f"apiKey={key}&timestamp={now_ms()}"
                params = dict(pair.split("=") for pair in signed.split("&"))
                await socket.send_json(
                    {"id": secret, "method": "session.logon", "params": {**params, "signature": sign(signed, secret)}}
                )
                answer = await socket.receive_json()
                codes.append(answer.get("error", {}).get("code", answer["status"]))
        return [wrong["retCode"], right["success"], *codes]

    assert asyncio.run(talk()) == [10004, True, -1022, 200]


def test_a_request_outside_its_window_is_refused(venue: Venue, key: str) -> None:
    assert binance(venue, key, "GET", "/fapi/v2/account", timestamp=now_ms() - 6_000)[1]["code"] == -1021
    assert binance(venue, key, "GET", "/fapi/v2/account", timestamp=now_ms() + 3_000)[1]["code"] == -1021
    wide = binance(venue, key, "GET", "/fapi/v2/account", timestamp=now_ms() - 6_000, recvWindow=10_000)
    assert wide[0] == 200


# -- orders -----------------------------------------------------------------------------------------


def test_client_order_ids_over_36_characters_are_refused(venue: Venue, key: str) -> None:
    assert futures_order(venue, key, "x" * 36)[0] == 200
    assert futures_order(venue, key, "x" * 37)[1]["code"] == -4015
    assert futures_order(venue, key, "a b")[1]["code"] == -1100
    spot: dict[str, Any] = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"}
    assert binance(venue, key, "POST", "/api/v3/order", **spot, newClientOrderId="x" * 37)[1]["code"] == -1100
    assert bybit_order(venue, key, "x" * 37)["retCode"] == 10001


def test_futures_orders_trades_and_positions_can_be_asked_for_again(venue: Venue, key: str) -> None:
    assert futures_order(venue, key, "rest")[1]["status"] == "NEW"
    filled = futures_order(venue, key, "taken", price="51000")[1]
    assert filled["status"] == "FILLED"

    def get(path: str, **params: Any) -> Any:
        status, answer = binance(venue, key, "GET", path, **params)
        assert status == 200
        return answer

    assert [o["clientOrderId"] for o in get("/fapi/v1/openOrders")] == ["rest"]
    assert [o["clientOrderId"] for o in get("/fapi/v1/allOrders", symbol="BTCUSDT")] == ["rest", "taken"]
    assert get("/fapi/v1/allOrders", symbol="ETHUSDT") == []
    assert filled["orderId"] == get("/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="taken")["orderId"]
    trades = get("/fapi/v1/userTrades", symbol="BTCUSDT")
    assert trades == get("/fapi/v1/userTrades", symbol="BTCUSDT", orderId=filled["orderId"])
    assert [trade["qty"] for trade in trades] == ["0.010"]
    assert get("/fapi/v1/userTrades", symbol="BTCUSDT", startTime=now_ms() + 60_000) == []
    assert [(p["symbol"], p["positionAmt"]) for p in get("/fapi/v3/positionRisk")] == [("BTCUSDT", "0.010")]
    assert binance(venue, key, "GET", "/fapi/v1/order", symbol="BTCUSDT", orderId=1)[1]["code"] == -2013
    assert binance(venue, key, "DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")[1]["code"] == 200
    assert get("/fapi/v1/openOrders") == []


def test_spot_orders_trades_and_balances_can_be_asked_for_again(venue: Venue, key: str) -> None:
    order: dict[str, Any] = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.01"}
    limit = {**order, "type": "LIMIT", "timeInForce": "GTC", "price": "45000", "newClientOrderId": "rest"}
    assert binance(venue, key, "POST", "/api/v3/order", **limit)[1]["status"] == "NEW"
    taken = binance(venue, key, "POST", "/api/v3/order", **order, type="MARKET", newClientOrderId="taken")[1]
    assert (taken["status"], taken["executedQty"]) == ("FILLED", "0.01000000")
    trades = binance(venue, key, "GET", "/api/v3/myTrades", symbol="BTCUSDT")[1]
    assert [(t["commission"], t["commissionAsset"]) for t in trades] == [("0.00001000", "BTC")]
    balances = {b["asset"]: b for b in binance(venue, key, "GET", "/api/v3/account")[1]["balances"]}
    assert (balances["BTC"]["free"], balances["USDT"]["locked"]) == ("1.00999000", "450.00000000")
    assert len(binance(venue, key, "DELETE", "/api/v3/openOrders", symbol="BTCUSDT")[1]) == 1
    assert binance(venue, key, "DELETE", "/api/v3/openOrders", symbol="BTCUSDT")[1]["code"] == -2011
    statuses = [o["status"] for o in binance(venue, key, "GET", "/api/v3/allOrders", symbol="BTCUSDT")[1]]
    assert statuses == ["CANCELED", "FILLED"]


def test_bybit_orders_executions_and_positions_can_be_asked_for_again(venue: Venue, key: str) -> None:
    assert bybit_order(venue, key, "rest")["retMsg"] == "OK"
    assert bybit_order(venue, key, "taken", price="51000")["retMsg"] == "OK"

    def get(path: str, **params: Any) -> Any:
        answer = bybit(venue, key, "GET", path, category="linear", **params)
        assert answer["retCode"] == 0, answer["retMsg"]
        return answer["result"]

    assert bybit(venue, key, "GET", "/v5/order/realtime", category="linear")["retCode"] == 10001
    assert [o["orderLinkId"] for o in get("/v5/order/realtime", settleCoin="USDT")["list"]] == ["rest"]
    assert get("/v5/order/realtime", settleCoin="USDC")["list"] == []
    assert [o["orderLinkId"] for o in get("/v5/order/history")["list"]] == ["taken"]
    assert [e["execQty"] for e in get("/v5/execution/list", orderLinkId="taken")["list"]] == ["0.010"]
    assert [(p["side"], p["size"]) for p in get("/v5/position/list", settleCoin="USDT")["list"]] == [("Buy", "0.010")]
    assert [(p["side"], p["size"]) for p in get("/v5/position/list", symbol="ETHUSDT")["list"]] == [("", "0.00")]
    cancelled = bybit(venue, key, "POST", "/v5/order/cancel-all", category="linear", symbol="BTCUSDT")
    assert len(cancelled["result"]["list"]) == 1


def test_bybit_lists_come_in_pages(venue: Venue, key: str) -> None:
    for number in range(5):
        bybit_order(venue, key, f"order-{number}")
    seen, cursor = [], ""
    while True:
        asked: dict[str, Any] = {"category": "linear", "settleCoin": "USDT", "limit": 2} | (
            {"cursor": cursor} if cursor else {}
        )
        page = bybit(venue, key, "GET", "/v5/order/realtime", **asked)["result"]
        seen += [order["orderLinkId"] for order in page["list"]]
        cursor = page["nextPageCursor"]
        if not cursor:
            break
    assert [f"order-{number}" for number in (4, 3, 2, 1, 0)] == seen


# -- prices and streams -----------------------------------------------------------------------------


def test_a_price_that_reaches_a_futures_order_fills_it_and_the_private_stream_tells(venue: Venue, key: str) -> None:
    async def talk() -> tuple[Any, Any, Any]:
        async with stream(await futures_stream_url(venue, key)) as socket:
            await asyncio.to_thread(futures_order, venue, key, "rest")
            new = await heard(socket, lambda message: message["e"] == "ORDER_TRADE_UPDATE")
            await asyncio.to_thread(venue.price, "BTCUSDT", 44_000)
            account = await heard(socket, lambda message: message["e"] == "ACCOUNT_UPDATE")
            trade = await heard(socket, lambda message: message["e"] == "ORDER_TRADE_UPDATE")
            return new["o"], account["a"], trade["o"]

    new, account, trade = asyncio.run(talk())
    assert (new["c"], new["x"], new["X"]) == ("rest", "NEW", "NEW")
    assert tuple(trade[name] for name in "xXLlm") == ("TRADE", "FILLED", "45000.00", "0.010", True)
    assert [(p["s"], p["pa"], p["ep"]) for p in account["P"]] == [("BTCUSDT", "0.010", "45000")]
    assert account["B"] == [{"a": "USDT", "wb": "9999.91000000", "cw": "9999.91000000", "bc": "0"}]


def test_a_price_that_reaches_a_bybit_order_fills_it_and_the_private_topics_tell(venue: Venue, key: str) -> None:
    async def talk() -> list[Any]:
        async with stream(f"{venue.ws}/v5/private") as socket:
            await socket.send_json({"op": "subscribe", "args": ["order"]})
            assert not (await socket.receive_json())["success"]
            await bybit_logon(socket, key)
            await socket.send_json({"op": "subscribe", "args": ["order", "execution", "position", "wallet"]})
            assert (await socket.receive_json())["success"]
            await asyncio.to_thread(bybit_order, venue, key, "rest")
            new = await heard(socket, lambda message: message.get("topic") == "order")
            await asyncio.to_thread(venue.price, "BTCUSDT", 44_000)
            topics = ("execution", "position", "order", "wallet")
            told = [await heard(socket, lambda message, topic=topic: message.get("topic") == topic) for topic in topics]
            return [message["data"][0] for message in (new, *told)]

    new, execution, position, order, wallet = asyncio.run(talk())
    assert (new["orderLinkId"], new["orderStatus"]) == ("rest", "New")
    assert (execution["execPrice"], execution["execQty"], execution["isMaker"]) == ("45000.00", "0.010", True)
    assert (position["side"], position["size"], position["entryPrice"]) == ("Buy", "0.010", "45000")
    assert (order["orderStatus"], order["cumExecQty"]) == ("Filled", "0.010")
    assert next(coin["walletBalance"] for coin in wallet["coin"] if coin["coin"] == "USDT") == "9999.91"


def test_the_spot_user_stream_comes_over_the_websocket_api(venue: Venue, key: str) -> None:
    async def talk() -> tuple[Any, Any]:
        async with stream(f"{venue.ws}/ws-api") as socket:
            params = {"apiKey": key, "timestamp": now_ms(), "signature": "any"}
            await socket.send_json({"id": 1, "method": "session.logon", "params": params})
            await socket.send_json({"id": 2, "method": "userDataStream.subscribe"})
            await heard(socket, lambda message: message.get("id") == 2)
            order: dict[str, Any] = {
                "symbol": "BTCUSDT",
                "side": "SELL",
                "type": "LIMIT",
                "quantity": "0.01",
                "price": "55000",
            }
            await asyncio.to_thread(
                binance, venue, key, "POST", "/api/v3/order", **order, timeInForce="GTC", newClientOrderId="rest"
            )
            await asyncio.to_thread(venue.price, "BTCUSDT", 56_000)
            report = await heard(socket, lambda message: message["event"].get("x") == "TRADE")
            balance = await heard(socket, lambda message: message["event"]["e"] == "outboundAccountPosition")
            return report["event"], balance["event"]

    report, balance = asyncio.run(talk())
    assert (report["c"], report["X"], report["L"], report["N"]) == ("rest", "FILLED", "55000.00000000", "USDT")
    assert {b["a"]: b["f"] for b in balance["B"]} == {"BTC": "0.99000000", "USDT": "10549.45000000"}


def test_private_streams_tell_nothing_of_other_accounts(venue: Venue, key: str) -> None:
    async def talk() -> Any:
        async with stream(await futures_stream_url(venue, key)) as socket:
            await asyncio.to_thread(futures_order, venue, f"{key}-other", "theirs")
            await asyncio.to_thread(futures_order, venue, key, "mine")
            return await heard(socket, lambda message: message["e"] == "ORDER_TRADE_UPDATE")

    assert asyncio.run(talk())["o"]["c"] == "mine"


@pytest.mark.parametrize(
    "path, question, quote, bid",
    [
        ("/stream", {"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 1}, "btcusdt@bookTicker", "b"),
        ("/spot/stream", {"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 1}, "btcusdt@bookTicker", "b"),
        ("/v5/public/linear", {"op": "subscribe", "args": ["tickers.BTCUSDT"]}, "tickers.BTCUSDT", "bid1Price"),
        ("/v5/public/spot", {"op": "subscribe", "args": ["orderbook.1.BTCUSDT"]}, "orderbook.1.BTCUSDT", "b"),
    ],
)
def test_quotes_follow_the_price_that_is_set(venue: Venue, path: str, question: Any, quote: str, bid: str) -> None:
    async def talk() -> Any:
        async with stream(venue.ws + path) as socket:
            await socket.send_json(question)
            await heard(socket, lambda message: quote in message.values())
            await asyncio.to_thread(venue.price, "BTCUSDT", 60_000)
            message = await heard(socket, lambda message: quote in message.values() and "600" in str(message["data"]))
            found = message["data"][bid]
            return float(found[0][0] if isinstance(found, list) else found)

    assert asyncio.run(talk()) == pytest.approx(60_000, abs=3)


def test_an_order_can_be_filled_by_hand_in_parts(venue: Venue, key: str) -> None:
    name = f"{key}-rest"
    futures_order(venue, key, name)
    assert venue.fill(name, "0.004") == {"status": "PARTIALLY_FILLED", "filled": "0.004"}
    assert venue.fill(name) == {"status": "FILLED", "filled": "0.01"}
    with pytest.raises(ValueError, match="no open order"):
        venue.fill(name)


def test_what_happened_can_be_dated_earlier(venue: Venue, key: str) -> None:
    filled = futures_order(venue, key, "taken", price="51000")[1]
    venue.age(minutes=120)

    def times(path: str, name: str, **params: Any) -> list[int]:
        return [row[name] for row in binance(venue, key, "GET", path, symbol="BTCUSDT", **params)[1]]

    assert times("/fapi/v1/allOrders", "time") == [filled["time"] - 7_200_000]
    assert times("/fapi/v1/userTrades", "time") == [filled["time"] - 7_200_000]
    assert times("/fapi/v1/userTrades", "time", startTime=now_ms() - 3_600_000) == []


# -- faults -----------------------------------------------------------------------------------------


def test_faults_hit_the_venue_they_are_meant_for(venue: Venue, key: str) -> None:
    venue.misbehave("bad_key", "BYBIT")
    assert bybit(venue, key, "GET", "/v5/account/info")["retCode"] == 10003
    assert binance(venue, key, "GET", "/fapi/v2/account")[0] == 200
    venue.misbehave("bad_key", "BINANCE")
    assert binance(venue, key, "GET", "/fapi/v2/account")[1]["code"] == -2015
    venue.behave()
    assert bybit(venue, key, "GET", "/v5/account/info")["retCode"] == 0


def test_http_500_can_be_limited_to_a_path_and_a_number_of_times(venue: Venue, key: str) -> None:
    venue.misbehave("http_500", path="/fapi/v1/time", times=2)
    statuses = [ask(venue, "GET", "/fapi/v1/time", headers={})[0] for _ in range(3)]
    assert statuses == [500, 500, 200]
    assert binance(venue, key, "GET", "/fapi/v2/account")[0] == 200


@pytest.mark.parametrize("taken, orders", [(False, []), (True, ["lost"])])
def test_a_hanging_venue_never_answers(venue: Venue, key: str, taken: bool, orders: list[str]) -> None:
    venue.misbehave("hang", taken=taken)
    with pytest.raises(TimeoutError):
        futures_order(venue, key, "lost", patience=0.3)
    venue.behave()
    open_orders = binance(venue, key, "GET", "/fapi/v1/openOrders")[1]
    assert orders == [order["clientOrderId"] for order in open_orders]


def test_a_skewed_clock_shows_and_makes_requests_late(venue: Venue, key: str) -> None:
    venue.misbehave("clock_skew", ms=30_000)
    ahead = ask(venue, "GET", "/fapi/v1/time", headers={})[1]["serverTime"] - now_ms()
    assert ahead == pytest.approx(30_000, abs=1_000)
    assert binance(venue, key, "GET", "/fapi/v2/account")[1]["code"] == -1021
    assert bybit(venue, key, "GET", "/v5/account/info")["retCode"] == 10002


def test_hedge_mode_shows_and_refuses_one_way_orders(venue: Venue, key: str) -> None:
    venue.misbehave("hedge_mode")
    assert binance(venue, key, "GET", "/fapi/v1/positionSide/dual")[1] == {"dualSidePosition": True}
    assert futures_order(venue, key, "one-way")[1]["code"] == -4061
    assert futures_order(venue, key, "long", positionSide="LONG")[0] == 200
    assert bybit_order(venue, key, "one-way")["retCode"] == 10001
    assert bybit_order(venue, key, "long", positionIdx=1)["retCode"] == 0


def test_a_read_only_key_shows_and_cannot_trade(venue: Venue, key: str) -> None:
    venue.misbehave("no_trading")
    assert binance(venue, key, "GET", "/fapi/v2/account")[1]["canTrade"] is False
    assert binance(venue, key, "GET", "/api/v3/account")[1]["canTrade"] is False
    assert bybit(venue, key, "GET", "/v5/user/query-api")["result"]["readOnly"] == 1
    assert futures_order(venue, key, "refused")[1]["code"] == -2015
    assert bybit_order(venue, key, "refused")["retCode"] == 10005


def test_orders_and_cancels_can_be_refused(venue: Venue, key: str) -> None:
    venue.misbehave("reject_orders")
    assert futures_order(venue, key, "refused")[1]["code"] == -2010
    assert bybit_order(venue, key, "refused")["retCode"] == 110007
    venue.behave()
    futures_order(venue, key, "rest")
    bybit_order(venue, key, "rest")
    venue.misbehave("refuse_cancels")
    asked: dict[str, Any] = {"symbol": "BTCUSDT", "origClientOrderId": "rest"}
    assert binance(venue, key, "DELETE", "/fapi/v1/order", **asked)[1]["code"] == -2011
    named = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "rest"}
    assert bybit(venue, key, "POST", "/v5/order/cancel", **named)["retCode"] == 110001
    assert binance(venue, key, "GET", "/fapi/v1/order", **asked)[1]["status"] == "NEW"


def test_disconnecting_drops_the_sockets_of_one_venue(venue: Venue) -> None:
    async def talk() -> tuple[aiohttp.WSMsgType, bool]:
        async with stream(f"{venue.ws}/stream") as one, stream(f"{venue.ws}/v5/public/linear") as other:
            await asyncio.to_thread(venue.misbehave, "disconnect", "BINANCE")
            async with asyncio.timeout(PATIENCE):
                end = await one.receive()
            await other.send_json({"op": "ping"})
            return end.type, (await other.receive_json())["ret_msg"] == "pong"

    kind, other_lives = asyncio.run(talk())
    assert kind in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    assert other_lives


def test_unknown_faults_and_options_are_refused(venue: Venue) -> None:
    with pytest.raises(KeyError):
        venue.misbehave("melt")
    with pytest.raises(ValueError, match="hang has no option 'slowly'"):
        venue.misbehave("hang", slowly=True)
    assert set(FAULTS) >= {"bad_key", "http_500", "hang", "hedge_mode", "clock_skew", "no_trading", "disconnect"}


# -- looking and living -----------------------------------------------------------------------------


def test_everything_asked_is_counted(venue: Venue, key: str) -> None:
    venue.counts(reset=True)
    binance(venue, key, "GET", "/fapi/v1/openOrders")
    futures_order(venue, key, "one")
    futures_order(venue, key, "two")

    async def talk() -> None:
        async with stream(f"{venue.ws}/v5/trade") as socket:
            await bybit_logon(socket, key)
            await socket.send_json({"op": "order.cancel", "reqId": "1", "args": [{"category": "linear"}]})
            answer = await socket.receive_json()
            assert (answer["retCode"], answer["reqId"]) == (110001, "1")

    asyncio.run(talk())
    assert venue.counts() == {
        "GET /fapi/v1/openOrders": 1,
        "POST /fapi/v1/order": 2,
        "WS /v5/trade": 1,
        "WS /v5/trade auth": 1,
        "WS /v5/trade order.cancel": 1,
    }


def test_the_books_are_shown_without_keys(venue: Venue, key: str) -> None:
    futures_order(venue, key, f"{key}-taken", price="51000")
    bybit_order(venue, key, f"{key}-taken", price="51000")
    for market in ("binance_futures", "bybit"):
        (order,) = [o for o in venue.orders(market) if o["client_order_id"] == f"{key}-taken"]
        assert (order["status"], order["filled"]) == ("FILLED", "0.01")
        mine = order["account"]
        assert "0.01" in [p["amount"] for p in venue.positions(market) if p["account"] == mine]
        assert {"USDT", "BTC"} == {b["asset"] for b in venue.balances(market) if b["account"] == mine}
        assert [f["quantity"] for f in venue.fills(market) if f["account"] == mine] == ["0.01"]
        assert key not in json.dumps(venue.positions(market) + venue.balances(market))


def test_the_environment_points_every_client_here(venue: Venue) -> None:
    urls = venue.environ()
    assert set(urls) == {
        *(f"BINANCE_BASE_URL_{name}" for name in ("HTTP", "WS", "WS_API", "WS_STREAM")),
        *(f"BYBIT_BASE_URL_{name}" for name in ("HTTP", "WS_PUBLIC", "WS_PRIVATE", "WS_TRADE")),
    }
    assert all(f"//127.0.0.1:{venue.port}" in url for url in urls.values())
    assert venue.environ("SPOT")["BINANCE_BASE_URL_WS"] == f"{venue.ws}/spot"


def test_the_venue_ends_with_its_pipe_and_with_its_parent() -> None:
    script = "import time; from tests.venue.handle import Venue; print(Venue.start().port, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        venue = Venue(int(parent.stdout.readline()))
        assert venue.counts() == {}
        parent.kill()
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            venue.counts()
        except (ConnectionError, RemoteDisconnected):
            return
        time.sleep(0.05)
    pytest.fail("the venue outlived the process that started it")
