"""What a strategy raises, without the secrets of its node: Nautilus writes it to its log as it is, before anybody can mask it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any

import msgspec
from nautilus_trader.live.node import TradingNode

from config.masking import MASK

SECRET_FIELDS = frozenset({"api_key", "api_secret", "password", "proxy_url"})


def mask_errors(node: TradingNode) -> None:
    """Make the handlers (``on_start``, ``on_quote_tick``, ...) of everything that runs on ``node`` raise without its secrets.

    Parameters
    ----------
    node : TradingNode
        Built and not started. Errors that hold no secret are raised as they are.

    """
    secrets = frozenset(secrets_in(node._config))
    trader = node.trader
    for component in (*trader.strategies(), *trader.exec_algorithms(), *trader.actors()):
        for name in handlers(type(component)):
            # A class with slots, or one that was compiled, takes no other handler.
            with suppress(AttributeError):
                setattr(component, name, _masking(getattr(component, name), secrets))


def secrets_in(value: object, field: str = "") -> Iterator[str]:
    """Yield every secret in ``value``, a configuration of Nautilus; none of them empty."""
    if isinstance(value, str):
        if value and field in SECRET_FIELDS:
            yield str(value)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from secrets_in(getattr(value, name), name)
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield from secrets_in(one, str(name))


def handlers(kind: type) -> Iterator[str]:
    """Yield the names of the handlers that ``kind`` or one of its bases outside of Nautilus defines."""
    own = [base for base in kind.__mro__ if not base.__module__.startswith(("nautilus_trader.", "builtins"))]
    names = {name for base in own for name, one in vars(base).items() if name.startswith("on_") and callable(one)}
    yield from sorted(names)


def _masking(handler: Callable[..., Any], secrets: Collection[str]) -> Callable[..., Any]:
    @wraps(handler)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except Exception as error:
            masked = without_secrets(error, secrets)
            if masked is error:
                raise
            raise masked from None

    return call


def without_secrets(error: Exception, secrets: Collection[str]) -> Exception:
    """Return ``error`` with ``***`` for each secret in it and in what it came from.

    Where a secret is not in the arguments, such as in a text that the error makes itself, it is a RuntimeError with the whole
    traceback as its text.
    """
    if not _holds(_told(error), secrets):
        return error
    for one in _chain(error):
        one.args = tuple(_cleaned(part, secrets) for part in one.args)
        if notes := getattr(one, "__notes__", None):
            notes[:] = [masked(note, secrets) for note in notes]
    text = _told(error)
    return RuntimeError(masked(text, secrets)) if _holds(text, secrets) else error


def masked(text: str, secrets: Collection[str]) -> str:
    """Return ``text`` with ``***`` for each secret."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def _told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _holds(text: str, secrets: Collection[str]) -> bool:
    return any(secret in text for secret in secrets)


def _chain(error: BaseException | None, known: frozenset[int] = frozenset()) -> Iterator[BaseException]:
    if error is None or id(error) in known:
        return
    yield error
    known |= {id(error)}
    for other in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
        yield from _chain(other, known)


def _cleaned(part: object, secrets: Collection[str]) -> object:
    text = part if isinstance(part, str) else repr(part)
    return masked(text, secrets) if _holds(text, secrets) else part
