"""How the venue can be told to misbehave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

Name = Literal["BINANCE", "BYBIT"]
VENUES: tuple[Name, ...] = ("BINANCE", "BYBIT")


@dataclass(frozen=True, slots=True)
class Fault:
    """What a fault does, and the options it knows with their defaults."""

    effect: str
    options: Mapping[str, Any] = MappingProxyType({})


ANYWHERE: Mapping[str, Any] = MappingProxyType({"path": "", "times": 0})
"""Options of faults that hit requests: a path prefix (all when empty) and how often (0: until told to behave)."""

FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "bad_key": Fault("private requests and logons are refused: Binance -2015 with 401, Bybit 10003"),
        "http_500": Fault("REST requests and WebSocket handshakes answer 500", ANYWHERE),
        "hang": Fault(
            "REST requests and WebSocket calls are never answered; with `taken` they are carried out all the same",
            {**ANYWHERE, "taken": False},
        ),
        "hedge_mode": Fault("accounts keep long and short apart; one-way orders are refused: -4061, 10001"),
        "clock_skew": Fault(
            "the venue's clock is ahead, so requests fall out of recvWindow: -1021, 10002", {"ms": 60_000}
        ),
        "no_trading": Fault("the key may read only: canTrade false and -2015, readOnly 1 and 10005"),
        "rate_limit": Fault(
            "REST requests are refused: Binance 429 and -1003, `banned` 418; Bybit 10006, `banned` 403",
            {**ANYWHERE, "banned": False},
        ),
        "key_rights": Fault(
            "what the exchange tells of the key's rights (Binance apiRestrictions)",
            {"withdraw": False, "any_address": False, "futures": True, "spot": True},
        ),
        "key_expires": Fault("the key expires soon (Bybit expiredAt)", {"days": 3}),
        "other_account": Fault(
            "the account is not the usual one: Binance multiAssetsMargin, spot accountType MARGIN; Bybit uta 0"
        ),
        "reject_orders": Fault("new orders are refused: -2010, 110007"),
        "refuse_cancels": Fault("cancels are refused: -2011, 110001; the orders stay open"),
        "lies": Fault(
            "REST requests for positions are told one that is larger than it is, by a signed amount",
            {**ANYWHERE, "symbol": "BTCUSDT", "by": "0.005"},
        ),
        "disconnect": Fault("every socket of the venue is dropped, once, now"),
        "slow": Fault(
            "answers come late, those of WebSocket calls too; what is pushed does not", {**ANYWHERE, "ms": 500}
        ),
        "half_open": Fault(
            "sockets stay open, new ones too, and nothing goes through: no pong, no farewell; REST works"
        ),
    }
)

USED_UP = -1
"""`times` of a fault that has hit as many requests as it should."""


@dataclass(slots=True)
class Faults:
    """Which faults are on, per venue, with their options."""

    active: dict[tuple[Name, str], dict[str, Any]] = field(default_factory=dict)

    def begin(self, fault: str, venue: Name | None, options: Mapping[str, Any]) -> None:
        """Turn a fault on for one venue, or for both. Raises KeyError for a fault or an option not in the table."""
        known = FAULTS[fault].options
        for option in options:
            if option not in known:
                raise KeyError(f"{fault} has no option {option!r}; it knows {sorted(known)}")
        for name in VENUES if venue is None else (venue,):
            self.active[name, fault] = {**known, **options}

    def end(self) -> None:
        """Turn every fault off."""
        self.active.clear()

    def on(self, venue: Name, fault: str) -> bool:
        """Return whether a fault is on."""
        return (venue, fault) in self.active

    def option(self, venue: Name, fault: str, name: str) -> Any:
        """Return an option of a fault, None when the fault is off."""
        return self.active.get((venue, fault), {}).get(name)

    def skew_ms(self, venue: Name) -> int:
        """Return by how many milliseconds the venue's clock is ahead of real time."""
        return int(self.option(venue, "clock_skew", "ms") or 0)

    def strikes(self, venue: Name, fault: str, path: str) -> bool:
        """Return whether a fault hits this request, and use up one of its times if it is limited."""
        options = self.active.get((venue, fault))
        if options is None or not path.startswith(options["path"]) or options["times"] == USED_UP:
            return False
        if options["times"]:
            options["times"] = options["times"] - 1 or USED_UP
        return True
