"""Redis while a node runs: Nautilus goes on without it and says nothing, and what it writes meanwhile is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Literal, Self

from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from config.live.threads import start_unsignalled
from config.models import RedisConfig
from config.store.client import one_line, redis_client

type State = Literal["up", "silent", "lost", "back"]

PREFIX = "tradingnode:watch"
EVERY_SECS = 1.0
# A pause of less is a fork of Redis for its snapshot, or a busy machine; nothing is lost in one of a minute either.
SILENT_SECS = 2.0
# How often it is seen whether the watch itself is to end.
SLICE_SECS = 0.2
# What the key holds is of no use to anybody after this.
KEPT_MS = 60_000
# What was lost stays lost, also when a write is answered again, or later than it should be.
FOLLOWS: Mapping[State, tuple[State, ...]] = {
    "up": ("silent", "lost"),
    "silent": ("up", "lost"),
    "lost": ("back",),
    "back": ("lost",),
}


class RedisWatch:
    """Writes one key a second on a connection of its own, in a thread of its own; a context manager.

    A write, because a server may answer and refuse to write: out of memory, its disk full, demoted to a replica. The end of the
    connection is noticed at once. Nautilus' own connections end with it, except where somebody ends just one of them.

    Parameters
    ----------
    redis : RedisConfig
        The server.
    trader_id : str
        Names the key.
    on_change : callable
        Called from the thread with a state and a sentence. ``silent``: no answer for 2 s, nothing is lost so far. ``up``: it
        answered again. ``lost``: the connection ended or a write was refused, so that what Nautilus wrote meanwhile may be
        missing; from then on it is only ``back``, when Redis answers again, or ``lost`` once more.

    """

    def __init__(self, redis: RedisConfig, trader_id: str, on_change: Callable[[State, str], object]) -> None:
        self._client: Any = redis_client(redis)
        self._where = f"{redis.host}:{redis.port}"
        self._key = f"{PREFIX}:{trader_id}"
        self._on_change = on_change
        self._state: State = "up"
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="redis-watch", daemon=True)

    @property
    def state(self) -> State:
        """How Redis stands."""
        return self._state

    def __enter__(self) -> Self:
        start_unsignalled(self._thread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self._thread is not threading.current_thread():
            self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._done.is_set():
            connection = self._client.connection_pool.make_connection()
            try:
                connection.connect()
                while not self._done.is_set():
                    self._write(connection)
                    self._rest(connection)
            except Exception as error:  # nothing may end this thread without a word
                if not self._done.is_set():
                    self._change("lost", f"the connection to Redis at {self._where} ended ({one_line(error)})")
            finally:
                connection.disconnect()
            self._done.wait(EVERY_SECS)

    def _write(self, connection: Any) -> None:
        """Write the key, however long the answer takes."""
        asked = time.monotonic()
        connection.send_command("SET", self._key, int(time.time()), "PX", KEPT_MS)
        while not self._done.is_set():
            try:
                connection.read_response(timeout=SLICE_SECS, disconnect_on_error=False)
            except RedisTimeoutError:
                if (waited := time.monotonic() - asked) > SILENT_SECS:
                    self._change("silent", f"Redis at {self._where} has not answered for {waited:.1f} s")
                continue
            except ResponseError as error:
                self._change("lost", f"Redis at {self._where} refuses to write ({one_line(error)})")
            else:
                self._change("up", f"Redis at {self._where} answers again; nothing was lost")
                self._change("back", f"Redis at {self._where} was away or refused to write; it writes again")
            return

    def _rest(self, connection: Any) -> None:
        """Wait for the next turn, or for the end of the connection."""
        until = time.monotonic() + EVERY_SECS
        while not self._done.is_set() and time.monotonic() < until:
            try:
                connection.read_response(timeout=SLICE_SECS, disconnect_on_error=False)
            except RedisTimeoutError:
                continue

    def _change(self, state: State, sentence: str) -> None:
        if state in FOLLOWS[self._state]:
            self._state = state
            self._on_change(state, sentence)
