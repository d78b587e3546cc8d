"""Sockets, clock and control of the venue: the only module here that does I/O."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import WSMsgType, web

from . import binance, binance_futures, binance_spot, bybit, market
from .books import Account, Books, Event, RefusedError
from .faults import FAULTS, Faults, Name
from .market import Prices, Product
from .wire import Call, FailureError, Json, Market, Routes, plain

TICK_SECONDS = 0.1
"""Time between two price ticks."""

HANG_SECONDS = 0.05
"""How often a hanging request looks whether the fault is over."""

SLOW_BYTES = 32 * 1024
"""How much may wait to be sent to a client; asyncio makes a writer wait from 64 KiB on."""

CONTROL = "/_venue/"
"""Paths by which the venue is steered; faults do not touch them."""

ORDERS = {("POST", "/fapi/v1/order"), ("POST", "/api/v3/order")}

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True, eq=False)
class Socket:
    """One WebSocket with what it listens to. `key` is set once it has logged on."""

    socket: web.WebSocketResponse
    transport: asyncio.BaseTransport | None
    venue: Name
    market: str
    topics: set[str] = field(default_factory=set)
    key: str = ""
    private: bool = False
    product: Product = "linear"


def _websocket() -> web.WebSocketResponse:
    # `_serve` answers pings and farewells itself, so that a half-open socket can leave them unanswered.
    return web.WebSocketResponse(autoping=False, autoclose=False)


def _dump(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"))


def _reply(value: Json, status: int = 200) -> web.Response:
    return web.json_response(value, status=status, dumps=_dump)


class Server:
    """The venue as an aiohttp application.

    Attributes
    ----------
    counts : Counter
        ``"GET /fapi/v1/order"``, ``"WS /v5/trade"`` (a handshake), ``"WS /v5/trade order.create"`` (an operation).
    """

    def __init__(self) -> None:
        self.prices = Prices()
        self.faults = Faults()
        self.counts: Counter[str] = Counter()
        self.reactions: dict[str, list[float]] = {}
        self._told: dict[str, int] = {}
        self.secrets: dict[str, str] = {}
        self.sockets: set[Socket] = set()
        self._late: set[asyncio.Task[None]] = set()
        self._happened = asyncio.Event()
        self.markets: dict[str, Market] = {
            "binance_futures": self._market("BINANCE", market.BINANCE_FUTURES),
            "binance_spot": self._market("BINANCE", market.BINANCE_SPOT),
            "bybit": self._market("BYBIT", market.BYBIT),
        }

    def _market(self, venue: Name, instruments: tuple[market.Instrument, ...]) -> Market:
        books = Books(instruments, self.prices.quote, checks_on_entry=venue == "BINANCE")
        return Market(venue, books, self.faults, self.secrets)

    def now(self, venue: Name) -> int:
        """Return the venue's clock in UNIX milliseconds."""
        return time.time_ns() // 1_000_000 + self.faults.skew_ms(venue)

    # -- application --------------------------------------------------------------------------------

    def application(self) -> web.Application:
        """Return the application; its prices move while it is being served."""
        app = web.Application(middlewares=[self._middleware])
        app.router.add_get("/stream", self._futures_stream)
        app.router.add_get("/spot/stream", self._spot_stream)
        app.router.add_get("/ws", self._futures_user_stream)
        app.router.add_get("/ws-api", self._websocket_api)
        app.router.add_get("/v5/public/{product}", self._bybit_public)
        app.router.add_get("/v5/private", self._bybit_private)
        app.router.add_get("/v5/trade", self._bybit_trade)
        for prefix, name, routes in (
            ("/fapi/", "binance_futures", binance_futures.ROUTES),
            ("/dapi/", "binance_futures", binance_futures.COIN_ROUTES),
            ("/api/", "binance_spot", binance_spot.ROUTES),
            ("/sapi/", "binance_spot", binance_spot.ROUTES),
        ):
            app.router.add_route("*", prefix + "{rest:.*}", self._binance(name, routes))
        app.router.add_route("*", "/v5/{rest:.*}", self._bybit)
        app.router.add_route("*", CONTROL + "{command}", self._control)
        app.cleanup_ctx.append(self._run)
        return app

    async def _run(self, _app: web.Application) -> AsyncIterator[None]:
        async def pump() -> None:
            while True:
                await asyncio.sleep(TICK_SECONDS)
                self.prices.tick += 1
                await self.tick()

        async def publisher() -> None:
            while True:
                await self._happened.wait()
                self._happened.clear()
                await self.publish()

        tasks = [asyncio.create_task(pump()), asyncio.create_task(publisher())]
        yield
        for task in tasks:
            task.cancel()
        self.drop(None)

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Reply) -> web.StreamResponse:
        path = request.path
        if path.startswith(CONTROL):
            return await handler(request)
        opening = request.headers.get("Upgrade", "").lower() == "websocket"
        self.counts[f"{'WS' if opening else request.method} {path}"] += 1
        venue: Name = "BYBIT" if path.startswith("/v5/") else "BINANCE"
        if self.faults.strikes(venue, "http_500", path):
            return web.Response(status=500, text="Internal Server Error")
        if not opening and self.faults.strikes(venue, "rate_limit", path):
            exchange = bybit if venue == "BYBIT" else binance
            failed = exchange.BANNED if self.faults.option(venue, "rate_limit", "banned") else exchange.TOO_MANY
            return web.json_response(failed.body, status=failed.status)
        late = self._lateness(venue, path)
        if opening:
            await asyncio.sleep(late)
            return await handler(request)
        if not await self._hang(venue, path, lambda: handler(request)):
            answer = await handler(request)
            await asyncio.sleep(late)
            return answer
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=503)

    def _lateness(self, venue: Name, path: str) -> float:
        """Return by how many seconds an answer is to be late."""
        return float(self.faults.option(venue, "slow", "ms")) / 1_000 if self.faults.strikes(venue, "slow", path) else 0

    async def _hang(self, venue: Name, path: str, carry_out: Callable[[], Awaitable[object]]) -> bool:
        """Wait until the fault ends, if it strikes this request; returns whether it did."""
        taken = self.faults.option(venue, "hang", "taken")
        if not self.faults.strikes(venue, "hang", path):
            return False
        if taken:
            await carry_out()
        while self.faults.on(venue, "hang"):
            await asyncio.sleep(HANG_SECONDS)
        return True

    # -- REST ---------------------------------------------------------------------------------------

    def _binance(self, name: str, routes: Routes) -> Reply:
        here = self.markets[name]

        async def handle(request: web.Request) -> web.StreamResponse:
            if (request.method, request.path) in ORDERS:
                self._react(name)
            body = await request.text()
            query = request.rel_url.raw_query_string + body
            params = dict(parse_qsl(query, keep_blank_values=True))
            key, now = request.headers.get("X-MBX-APIKEY", ""), self.now("BINANCE")
            route = routes.get((request.method, request.path))
            if route is None:
                return _reply({"code": -5000, "msg": f"Path {request.path}, Method {request.method} is invalid"}, 404)
            handler, security = route
            try:
                if security == "KEY":
                    binance.check_key(here, key)
                if security == "SIGNED":
                    binance.authenticate(here, now, key, query, params)
                return _reply(handler(Call(here, now, params, key)))
            except FailureError as failed:
                return _reply(failed.body, failed.status)
            except (KeyError, ValueError) as wrong:
                return _reply({"code": -1102, "msg": f"Mandatory parameter {wrong} was not sent or malformed."}, 400)
            finally:
                self._happened.set()

        return handle

    async def _bybit(self, request: web.Request) -> web.StreamResponse:
        here, now = self.markets["bybit"], self.now("BYBIT")
        text = await request.text()
        body: Json = json.loads(text) if text else {}
        query = request.rel_url.raw_query_string
        params = {**dict(parse_qsl(query, keep_blank_values=True)), **bybit.strings(body)}
        route = bybit.ROUTES.get((request.method, request.path))
        if route is None:
            return web.Response(status=404, text="404 page not found")
        handler, security = route
        try:
            key = bybit.authenticate(here, now, request.headers, text or query) if security == "SIGNED" else ""
            return _reply(bybit.answer(handler(Call(here, now, params, key, body)), now))
        except FailureError as failed:
            return _reply({**failed.body, "time": now}, failed.status)
        except RefusedError as refused:
            return _reply({**bybit.failure(*bybit.LINEAR_REASONS[refused.reason]).body, "time": now})
        except (KeyError, ValueError) as wrong:
            return _reply({**bybit.failure(10001, f"params error: {wrong}").body, "time": now})
        finally:
            self._happened.set()

    # -- events and ticks ---------------------------------------------------------------------------

    async def publish(self) -> None:
        """Send what happened in the books to the sockets of the account it happened to.

        One task does this, so messages keep their order; it runs after the answer to the request that caused them has
        been written, which is the order an exchange mostly keeps.
        """
        for name, here in self.markets.items():
            for event in here.books.drain():
                for listener in [s for s in self.sockets if s.private and s.market == name and self._hears(s, event)]:
                    for message in self._messages(name, here, event, listener):
                        await self._send(listener, message)

    def _hears(self, listener: Socket, event: Event) -> bool:
        return self.markets[listener.market].books.accounts.get(listener.key) is event.account

    def _messages(self, name: str, here: Market, event: Event, listener: Socket) -> list[Json]:
        if name == "binance_futures":
            return binance_futures.messages(here, event)
        if name == "binance_spot":
            return [{"subscriptionId": 0, "event": body} for body in binance_spot.messages(event)]
        return [body for body in bybit.messages(here, event) if body["topic"] in listener.topics]

    async def tick(self) -> None:
        """Fill what the present prices cross, and send a message for every public topic."""
        for here in self.markets.values():
            here.books.match(self.now(here.venue))
        self._happened.set()
        for listener in list(self.sockets):
            if listener.private:
                continue
            for topic in sorted(listener.topics):
                message = self._public_message(listener, topic)
                if message is not None:
                    self._told[listener.market] = time.perf_counter_ns()
                    await self._send(listener, message)

    def _react(self, name: str) -> None:
        """Note how long after the last public message of a market an order came in."""
        if name in self._told:
            self.reactions.setdefault(name, []).append((time.perf_counter_ns() - self._told[name]) / 1e6)

    def _public_message(self, listener: Socket, topic: str) -> Json | None:
        here, number, now = self.markets[listener.market], self.prices.tick, self.now(listener.venue)
        if listener.market == "bybit":
            return bybit.public_message(here, listener.product, topic, number, now)
        shapes = binance_futures if listener.market == "binance_futures" else binance_spot
        data = shapes.public_message(here, topic, number, now)
        return None if data is None else {"stream": topic, "data": data}

    async def _send(self, listener: Socket, message: Json, late: float = 0) -> None:
        if late:
            await asyncio.sleep(late)
        if self.faults.on(listener.venue, "half_open"):
            return
        transport = listener.transport
        if isinstance(transport, asyncio.WriteTransport) and transport.get_write_buffer_size() > SLOW_BYTES:
            # A client that has stopped reading would stop the venue for all others; exchanges drop it, too.
            self.sockets.discard(listener)
            transport.abort()
            return
        try:
            await listener.socket.send_str(_dump(message))
        except (ConnectionError, RuntimeError):
            self.sockets.discard(listener)

    def drop(self, venue: Name | None) -> int:
        """Drop every socket of a venue without a closing handshake; returns how many."""
        dropped = [s for s in self.sockets if venue in (None, s.venue)]
        for listener in dropped:
            self.sockets.discard(listener)
            if isinstance(listener.transport, asyncio.WriteTransport):
                listener.transport.abort()
        return len(dropped)

    # -- WebSockets ---------------------------------------------------------------------------------

    async def _serve(
        self, request: web.Request, listener: Socket, answer: Callable[[Socket, Any], Awaitable[Json | None]]
    ) -> web.WebSocketResponse:
        await listener.socket.prepare(request)
        self.sockets.add(listener)
        try:
            async for message in listener.socket:
                if self.faults.on(listener.venue, "half_open"):
                    continue
                if message.type == WSMsgType.PING:
                    await listener.socket.pong(message.data)
                if message.type != WSMsgType.TEXT:
                    continue
                asked = json.loads(message.data)
                operation = asked.get("op") or asked.get("method") or ""
                self.counts[f"WS {request.path} {operation}"] += 1
                reply = await answer(listener, asked)
                if reply is not None:
                    await self._answer(listener, reply, self._lateness(listener.venue, request.path))
                self._happened.set()
            while self.faults.on(listener.venue, "half_open"):
                await asyncio.sleep(HANG_SECONDS)
        finally:
            self.sockets.discard(listener)
        return listener.socket

    async def _answer(self, listener: Socket, reply: Json, late: float) -> None:
        if not late:
            await self._send(listener, reply)
            return
        # Beside what is asked next: a slow exchange keeps its clients waiting, not queueing.
        task = asyncio.create_task(self._send(listener, reply, late))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _futures_stream(self, request: web.Request) -> web.StreamResponse:
        return await self._binance_stream(request, "binance_futures")

    async def _spot_stream(self, request: web.Request) -> web.StreamResponse:
        return await self._binance_stream(request, "binance_spot")

    async def _binance_stream(self, request: web.Request, name: str) -> web.StreamResponse:
        listener = Socket(_websocket(), request.transport, "BINANCE", name)
        listener.topics.update(filter(None, request.query.get("streams", "").split("/")))

        async def answer(listener: Socket, asked: Any) -> Json:
            change = {"SUBSCRIBE": listener.topics.update, "UNSUBSCRIBE": listener.topics.difference_update}
            change[asked["method"]](asked.get("params", []))
            return {"result": None, "id": asked.get("id")}

        return await self._serve(request, listener, answer)

    async def _futures_user_stream(self, request: web.Request) -> web.StreamResponse:
        key = self.markets["binance_futures"].listen_keys.get(request.query.get("listenKey", ""))
        if key is None:
            return _reply({"code": -1125, "msg": "This listenKey does not exist."}, 400)
        listener = Socket(_websocket(), request.transport, "BINANCE", "binance_futures", key=key, private=True)

        async def answer(_listener: Socket, _asked: Any) -> None:
            """Say nothing: clients only listen here."""

        return await self._serve(request, listener, answer)

    async def _websocket_api(self, request: web.Request) -> web.StreamResponse:
        listener = Socket(_websocket(), request.transport, "BINANCE", "binance_spot")

        async def answer(listener: Socket, asked: Any) -> Json:
            async def carry_out() -> Json:
                try:
                    result = self._websocket_api_result(listener, asked["method"], asked.get("params", {}))
                except FailureError as failed:
                    return {"id": asked.get("id"), "status": failed.status, "error": failed.body, "rateLimits": []}
                return {"id": asked.get("id"), "status": 200, "result": result, "rateLimits": []}

            return None if await self._hang("BINANCE", request.path, carry_out) else await carry_out()

        return await self._serve(request, listener, answer)

    def _websocket_api_result(self, listener: Socket, method: str, params: Mapping[str, Any]) -> Json:
        here, now = self.markets["binance_spot"], self.now("BINANCE")
        if method == "session.logon":
            binance_spot.logon(here, now, {name: str(value) for name, value in params.items()})
            listener.key = params["apiKey"]
            return {"apiKey": "", "authorizedSince": now, "connectedSince": now, "serverTime": now}
        if not listener.key:
            raise binance.BAD_KEY
        if method == "userDataStream.subscribe":
            here.books.account(listener.key)
            listener.private = True
            return {"subscriptionId": 0}
        if method == "userDataStream.unsubscribe":
            listener.private = False
            return {}
        if method == "userDataStream.start":
            # Only futures clients with Ed25519 keys ask for a listen key here.
            return binance_futures.listen_key(Call(self.markets["binance_futures"], now, {}, listener.key))
        if method in ("userDataStream.ping", "userDataStream.stop", "session.status", "session.logout"):
            return {}
        raise binance.failure(-1100, f"unknown method {method}")

    async def _bybit_public(self, request: web.Request) -> web.StreamResponse:
        product = bybit.PRODUCTS.get(request.match_info["product"])
        if product is None:
            return web.Response(status=404)
        listener = Socket(_websocket(), request.transport, "BYBIT", "bybit", product=product)
        return await self._serve(request, listener, self._bybit_answer)

    async def _bybit_private(self, request: web.Request) -> web.StreamResponse:
        listener = Socket(_websocket(), request.transport, "BYBIT", "bybit", private=True)
        return await self._serve(request, listener, self._bybit_answer)

    async def _bybit_answer(self, listener: Socket, asked: Any) -> Json:
        operation, args = asked.get("op"), asked.get("args") or []
        reply = {"success": True, "ret_msg": "", "conn_id": "1", "req_id": asked.get("req_id", ""), "op": operation}
        if operation == "auth":
            return self._bybit_logon(listener, reply, args)
        if operation == "subscribe":
            if listener.private and not listener.key:
                return {**reply, "success": False, "ret_msg": "Request not authorized"}
            listener.topics.update(args)
        elif operation == "unsubscribe":
            listener.topics.difference_update(args)
        elif operation == "ping":
            return {**reply, "ret_msg": "pong"} if not listener.private else {**reply, "op": "pong", "args": ["0"]}
        return reply

    def _bybit_logon(self, listener: Socket, reply: dict[str, Json], args: list[Any]) -> Json:
        try:
            bybit.logon(self.markets["bybit"], self.now("BYBIT"), str(args[0]), int(args[1]), str(args[2]))
        except FailureError as failed:
            code, message = failed.body["retCode"], failed.body["retMsg"]
            return {**reply, "success": False, "ret_msg": message, "retCode": code, "retMsg": message}
        listener.key = str(args[0])
        self.markets["bybit"].books.account(listener.key)
        return {**reply, "retCode": 0, "retMsg": "OK", "connId": "1"}

    async def _bybit_trade(self, request: web.Request) -> web.StreamResponse:
        # Not marked private: it carries answers only, no topics.
        listener = Socket(_websocket(), request.transport, "BYBIT", "bybit")
        here = self.markets["bybit"]

        async def answer(listener: Socket, asked: Any) -> Json:
            operation, request_id = asked.get("op", ""), asked.get("reqId")
            if operation == "order.create":
                self._react("bybit")
            if operation in ("auth", "ping"):
                return await self._bybit_answer(listener, asked)
            if not listener.key:
                return {**bybit.BAD_KEY.body, "op": operation, "reqId": request_id, "data": {}}
            body = asked["args"][0]
            call = Call(here, self.now("BYBIT"), bybit.strings(body), listener.key, body)

            async def carry_out() -> Json:
                return {**bybit.operate(call, operation), "reqId": request_id, "connId": "1", "header": {}}

            return None if await self._hang("BYBIT", request.path, carry_out) else await carry_out()

        return await self._serve(request, listener, answer)

    # -- control ------------------------------------------------------------------------------------

    async def _control(self, request: web.Request) -> web.StreamResponse:
        commands: Mapping[str, Callable[[Any], Awaitable[Json]]] = {
            "counts": self._tell_counts,
            "reactions": self._tell_reactions,
            "orders": self._tell_orders,
            "asked": self._tell_asked,
            "positions": self._tell_positions,
            "fills": self._tell_fills,
            "balances": self._tell_balances,
            "faults": self._tell_faults,
            "misbehave": self._misbehave,
            "behave": self._behave,
            "price": self._price,
            "fill": self._fill,
            "forget": self._forget,
            "age": self._age,
            "keys": self._keys,
        }
        command = commands.get(request.match_info["command"])
        if command is None:
            return _reply({"error": f"no such command; there are {sorted(commands)}"}, 404)
        asked = await request.json() if request.can_read_body else dict(request.query)
        try:
            return _reply(await command(asked))
        except (KeyError, ValueError, RefusedError) as wrong:
            return _reply({"error": str(wrong)}, 400)

    async def _tell_counts(self, asked: Any) -> Json:
        counts = dict(self.counts)
        if asked.get("reset"):
            self.counts.clear()
        return counts

    async def _tell_reactions(self, _asked: Any) -> Json:
        told, self.reactions = self.reactions, {}
        return told

    async def _tell_faults(self, _asked: Any) -> Json:
        return {name: {"effect": fault.effect, "options": dict(fault.options)} for name, fault in FAULTS.items()}

    def _accounts(self, asked: Any) -> list[Account]:
        return list(self.markets[asked["market"]].books.accounts.values())

    async def _tell_orders(self, asked: Any) -> Json:
        return [
            {
                "account": account.name,
                "order_id": order.id,
                "client_order_id": order.request.client_order_id,
                "symbol": order.instrument.symbol,
                "product": order.instrument.product,
                "side": order.side,
                "kind": order.request.kind,
                "position_side": order.request.position_side,
                "reduce_only": order.request.reduce_only,
                "quantity": plain(order.quantity),
                "price": plain(order.price),
                "filled": plain(order.filled),
                "average": plain(order.average),
                "status": order.status,
            }
            for account in self._accounts(asked)
            for order in account.orders.values()
        ]

    async def _tell_asked(self, asked: Any) -> Json:
        return [
            {"account": account.name, "client_order_id": client_order_id, "time": time_ms}
            for account in self._accounts(asked)
            for client_order_id, time_ms in account.asked
        ]

    async def _tell_positions(self, asked: Any) -> Json:
        return [
            {
                "account": account.name,
                "symbol": position.instrument.symbol,
                "side": position.side,
                "amount": plain(position.amount),
                "entry": plain(position.entry),
                "realised": plain(position.realised),
            }
            for account in self._accounts(asked)
            for position in account.positions.values()
            if position.amount
        ]

    async def _tell_fills(self, asked: Any) -> Json:
        return [
            {
                "account": account.name,
                "trade_id": fill.id,
                "client_order_id": fill.order.request.client_order_id,
                "symbol": fill.order.instrument.symbol,
                "side": fill.order.side,
                "quantity": plain(fill.quantity),
                "price": plain(fill.price),
                "commission": plain(fill.commission),
                "commission_asset": fill.commission_asset,
                "maker": fill.maker,
            }
            for account in self._accounts(asked)
            for fill in account.fills
        ]

    async def _tell_balances(self, asked: Any) -> Json:
        return [
            {
                "account": account.name,
                "asset": asset,
                "total": plain(total),
                "free": plain(account.margin_free(asset) - account.locked(asset)),
            }
            for account in self._accounts(asked)
            for asset, total in account.wallet.items()
        ]

    async def _misbehave(self, asked: Any) -> Json:
        venue: Name | None = asked.get("venue")
        if asked["fault"] == "disconnect":
            return {"dropped": self.drop(venue)}
        self.faults.begin(asked["fault"], venue, asked.get("options", {}))
        return {}

    async def _behave(self, _asked: Any) -> Json:
        self.faults.end()
        return {}

    async def _price(self, asked: Any) -> Json:
        self.prices.move(asked["symbol"], Decimal(asked["value"]))
        await self.tick()
        return {}

    async def _fill(self, asked: Any) -> Json:
        wanted = asked["client_order_id"]
        for here in self.markets.values():
            for account in here.books.accounts.values():
                for order in list(account.open_orders()):
                    if order.request.client_order_id == wanted:
                        quantity = min(order.remaining, Decimal(asked.get("quantity") or order.remaining))
                        now = self.now(here.venue)
                        filled = here.books.fill(account, order, quantity, order.price, maker=True, now=now)
                        self._happened.set()
                        return {"status": filled.status, "filled": plain(filled.filled)}
        raise KeyError(f"no open order {wanted}")

    async def _forget(self, asked: Any) -> Json:
        wanted = asked["client_order_id"]
        for here in self.markets.values():
            for account in here.books.accounts.values():
                for order in list(account.open_orders()):
                    if order.request.client_order_id == wanted:
                        del account.orders[order.id]
                        return {}
        raise KeyError(f"no open order {wanted}")

    async def _age(self, asked: Any) -> Json:
        for here in self.markets.values():
            here.books.age(int(asked["ms"]))
        return {}

    async def _keys(self, asked: Any) -> Json:
        self.secrets.clear()
        self.secrets.update(asked["keys"])
        return {}
