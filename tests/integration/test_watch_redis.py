"""What the watch of Redis tells when the server is frozen, ended, full, or back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from redis import Redis

from config.models import RedisConfig
from config.watch.redis import RedisWatch
from tests.redis_server import RedisServer

SECRET = "canary-of-the-watch"


class Watched:
    """A server, and what the watch said of it so far."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.told: list[tuple[str, str]] = []

    def waits_for(self, *states: str) -> list[str]:
        deadline = time.monotonic() + 20
        while (found := [state for state, _ in self.told])[: len(states)] != list(states):
            assert time.monotonic() < deadline, f"waited for {states}, told {self.told}"
            time.sleep(0.02)
        return found

    def client(self) -> Any:
        return Redis(port=self.server.port, password=SECRET, decode_responses=True)


@pytest.fixture
def watched() -> Iterator[Watched]:
    with RedisServer(password=SECRET) as server:
        seen = Watched(server)
        config = RedisConfig(host="127.0.0.1", port=server.port, password=SecretStr(SECRET))
        with RedisWatch(config, "WATCHED-001", lambda state, text: seen.told.append((state, text))) as watch:
            until(lambda: seen.client().exists("tradingnode:watch:WATCHED-001"))
            assert "up" == watch.state
            yield seen
        assert SECRET not in str(seen.told)


def until(good: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not good():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_frozen_server_is_silent_and_then_up_again_and_nothing_was_lost(watched: Watched) -> None:
    watched.server.pause()
    watched.waits_for("silent")
    watched.server.resume()
    assert ["silent", "up"] == watched.waits_for("silent", "up")


def test_a_server_that_ended_is_lost_and_stays_so_when_it_is_back(watched: Watched) -> None:
    watched.server.kill()
    watched.waits_for("lost")
    watched.server.start()
    watched.waits_for("lost", "back")
    watched.server.pause()
    time.sleep(2.5)
    watched.server.resume()
    watched.server.kill()
    assert ["lost", "back", "lost"] == watched.waits_for("lost", "back", "lost")


def test_a_server_that_refuses_to_write_has_lost_what_nautilus_wrote(watched: Watched) -> None:
    client = watched.client()
    client.config_set("maxmemory", "1")
    watched.waits_for("lost")
    assert "refuses to write" in watched.told[0][1]
    client.config_set("maxmemory", "0")
    assert ["lost", "back"] == watched.waits_for("lost", "back")


def test_the_end_of_its_connection_counts_as_the_end_of_nautilus_own(watched: Watched) -> None:
    mine = [row["id"] for row in watched.client().client_list() if row["cmd"] == "set"]
    assert 1 == len(mine)
    watched.client().client_kill_filter(_id=mine[0])
    assert ["lost", "back"] == watched.waits_for("lost", "back")
