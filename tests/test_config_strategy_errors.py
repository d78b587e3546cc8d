"""Errors of strategies keep their kind, their words and where they came from, and lose the secrets of the node."""

from __future__ import annotations

import traceback

import pytest
from nautilus_trader.trading.strategy import Strategy

from config.factory import TradingNodeConfigFactory
from config.live.strategy_errors import handlers, secrets_in, without_secrets
from config.models import TradingNodeSettings
from tests.conftest import CANARIES

SECRET, OTHER = "canary-secret-1f", "canary-secret-1f-and-longer"
SECRETS = frozenset({SECRET, OTHER})


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def raised(*args: object, cause: Exception | None = None) -> Exception:
    try:
        raise ValueError(*args) from cause
    except ValueError as error:
        return error


def test_error_without_a_secret_is_the_same_error() -> None:
    error = raised("no order for 'BTCUSDT'", 3)
    assert error is without_secrets(error, SECRETS)
    assert ("no order for 'BTCUSDT'", 3) == error.args


def test_secret_in_the_arguments_is_masked_and_the_rest_stays() -> None:
    error = raised(f"key {SECRET} and {OTHER} refused", 3, {"key": SECRET})
    assert error is without_secrets(error, SECRETS)
    assert ("key *** and *** refused", 3, "{'key': '***'}") == error.args


def test_causes_notes_and_groups_are_masked_too() -> None:
    cause = raised(f"request with {SECRET}")
    cause.add_note(f"sent {SECRET}")
    error = ExceptionGroup("two", [raised("outer", cause=cause), raised(SECRET)])
    assert error is without_secrets(error, SECRETS)
    assert SECRET not in told(error)
    assert "request with ***" in told(error)
    assert "sent ***" in told(error)


class SaysMoreError(Exception):
    """Makes its text from what it keeps."""

    def __init__(self, kept: str) -> None:
        super().__init__("kept")
        self.kept = kept

    def __str__(self) -> str:
        return f"says {self.kept}"


def test_error_that_makes_its_own_text_is_told_as_another() -> None:
    error = without_secrets(SaysMoreError(SECRET), SECRETS)
    assert isinstance(error, RuntimeError)
    assert "SaysMoreError: says ***" in str(error)
    assert SECRET not in told(error)


def test_error_that_is_its_own_cause_ends() -> None:
    error = raised(SECRET)
    error.__context__ = ExceptionGroup("round", [error])
    assert SECRET not in told(without_secrets(error, SECRETS))


class Parent(Strategy):
    """Has one handler."""

    def on_start(self) -> None:
        """Begin."""


class Child(Parent):
    """Has another."""

    on_nothing = 3

    def on_bar(self, bar: object) -> None:
        """Look."""


def test_handlers_are_those_that_were_written_by_the_user() -> None:
    assert ["on_bar", "on_start"] == sorted(handlers(Child))
    assert [] == list(handlers(Strategy))


@pytest.mark.parametrize("keyed", [True, False])
def test_secrets_of_a_configuration_are_found(keyed: bool) -> None:
    environ = {"NAUTILUS_TRADER_ID": "T-1", "NAUTILUS_VENUES": "BINANCE,BYBIT", **(CANARIES if keyed else {})}
    preset = "testnet" if keyed else "sandbox"
    settings = TradingNodeSettings.from_env(None, environ, preset=preset)
    found = set(secrets_in(TradingNodeConfigFactory.from_settings(settings)))
    assert (set(CANARIES.values()) if keyed else set()) == found
