"""A handle on a running venue, for tests and demos. Standard library only."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlencode

from .faults import FAULTS, Name

MarketName = Literal["binance_futures", "binance_spot", "bybit"]
Rows = list[dict[str, Any]]

ANSWER_SECONDS = 10.0
"""How long a control request may take."""

STOP_SECONDS = 5.0
"""How long the venue may take to end before it is killed."""


class Venue:
    """A venue process: start it, point clients at it, steer it, look at its books.

    Use it as a context manager (``with Venue.start() as venue:``) or call `stop`. The process also ends when this one
    does. All methods may be called from any process that knows the port (``Venue(port)``).

    Parameters
    ----------
    port : int
        Port on 127.0.0.1.
    process : subprocess.Popen, optional
        The process to end with `stop`.
    """

    def __init__(self, port: int, process: subprocess.Popen[str] | None = None) -> None:
        self.port = port
        self.http = f"http://127.0.0.1:{port}"
        self.ws = f"ws://127.0.0.1:{port}"
        self._process = process

    @classmethod
    def start(cls, port: int = 0, *, keys: Mapping[str, str] | None = None) -> Self:
        """Start a venue and wait until it listens.

        Parameters
        ----------
        port : int
            Port on 127.0.0.1; 0 takes a free one.
        keys : mapping of str to str, optional
            API key to secret. If given, other keys and wrong signatures are refused; otherwise any key will do.

        Raises
        ------
        RuntimeError
            If the process ends before it listens.
        """
        process = subprocess.Popen(
            [sys.executable, "-m", str(__package__), "--port", str(port)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # Ctrl-C is for whoever started it
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the venue ended with code {process.wait()} before it listened")
        venue = cls(json.loads(line)["port"], process)
        if keys:
            venue.keys(keys)
        return venue

    def stop(self) -> None:
        """End the process, if this handle started it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None

    def __enter__(self) -> Self:
        """Return the handle."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self.stop()

    def environ(self, binance_account_type: str = "USDT_FUTURES") -> dict[str, str]:
        """Return environment variables that point the Binance and Bybit clients at this venue.

        Parameters
        ----------
        binance_account_type : {"USDT_FUTURES", "SPOT"}
            Which of Binance's data streams; the real exchange serves them from different hosts, this one from
            different paths. Bybit's public stream is given as a root, to which ``/linear`` or ``/spot`` is appended.
        """
        spot = binance_account_type == "SPOT"
        return {
            "BINANCE_BASE_URL_HTTP": self.http,
            "BINANCE_BASE_URL_WS": f"{self.ws}/spot" if spot else self.ws,
            "BINANCE_BASE_URL_WS_API": f"{self.ws}/ws-api",
            **({} if spot else {"BINANCE_BASE_URL_WS_STREAM": self.ws}),
            "BYBIT_BASE_URL_HTTP": self.http,
            "BYBIT_BASE_URL_WS_PUBLIC": f"{self.ws}/v5/public",
            "BYBIT_BASE_URL_WS_PRIVATE": f"{self.ws}/v5/private",
            "BYBIT_BASE_URL_WS_TRADE": f"{self.ws}/v5/trade",
        }

    # -- steering -----------------------------------------------------------------------------------

    def misbehave(self, fault: str, venue: Name | None = None, **options: object) -> None:
        """Turn a fault of `faults.FAULTS` on, for one venue or both, until `behave`. Raises KeyError if unknown."""
        FAULTS[fault]
        self._ask("misbehave", {"fault": fault, "venue": venue, "options": options})

    def behave(self) -> None:
        """Turn every fault off."""
        self._ask("behave", {})

    def price(self, symbol: str, value: float | str | Decimal) -> None:
        """Move the price of a symbol on all markets, filling the resting orders it crosses. In USDT."""
        self._ask("price", {"symbol": symbol, "value": str(value)})

    def fill(self, client_order_id: str, quantity: float | str | Decimal | None = None) -> dict[str, Any]:
        """Fill a resting order at its own price, wholly or by `quantity`; returns its ``status`` and ``filled``."""
        asked = {"client_order_id": client_order_id, "quantity": None if quantity is None else str(quantity)}
        answer: dict[str, Any] = self._ask("fill", asked)
        return answer

    def forget(self, client_order_id: str) -> None:
        """Drop an open order from the books as if it had never been there; nobody is told."""
        self._ask("forget", {"client_order_id": client_order_id})

    def age(self, minutes: float) -> None:
        """Date all orders, fills and positions earlier by so many minutes, as if they had happened then."""
        self._ask("age", {"ms": round(minutes * 60_000)})

    def keys(self, keys: Mapping[str, str]) -> None:
        """Accept only these API keys, and check signatures with their secrets. Empty: accept any."""
        self._ask("keys", {"keys": dict(keys)})

    # -- looking ------------------------------------------------------------------------------------

    def counts(self, *, reset: bool = False) -> dict[str, int]:
        """Return how often each thing was asked since the start or the last reset.

        Names are ``"GET /fapi/v1/order"``, ``"WS /v5/trade"`` for a handshake, ``"WS /v5/trade order.create"`` for an
        operation.
        """
        answer: dict[str, int] = self._ask("counts", {"reset": reset})
        return answer

    def reactions(self) -> dict[MarketName, list[float]]:
        """Return by market how many ms after the last public message each order came in, and begin anew."""
        answer: dict[MarketName, list[float]] = self._ask("reactions")
        return answer

    def orders(self, market: MarketName) -> Rows:
        """Return all orders of a market, oldest first, closed ones included."""
        return self._rows("orders", market)

    def asked(self, market: MarketName) -> Rows:
        """Return every order as it was sent, refused ones included: ``client_order_id`` and ``time`` in UNIX ms."""
        return self._rows("asked", market)

    def positions(self, market: MarketName) -> Rows:
        """Return the open positions of a market; ``amount`` is signed."""
        return self._rows("positions", market)

    def fills(self, market: MarketName) -> Rows:
        """Return the fills of a market, oldest first."""
        return self._rows("fills", market)

    def balances(self, market: MarketName) -> Rows:
        """Return the balances of a market: ``asset``, ``total``, ``free``."""
        return self._rows("balances", market)

    def _rows(self, command: str, market: MarketName) -> Rows:
        rows: Rows = self._ask(f"{command}?{urlencode({'market': market})}")
        return rows

    def _ask(self, command: str, body: Any = None) -> Any:
        # Not urllib.request: it would send loopback requests to a proxy that the environment names.
        connection = HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        try:
            if body is None:
                connection.request("GET", f"/_venue/{command}")
            else:
                connection.request("POST", f"/_venue/{command}", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            told = json.load(answer)
        finally:
            connection.close()
        if answer.status != HTTPStatus.OK:
            raise ValueError(told["error"])
        return told
