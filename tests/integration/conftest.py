"""A Redis server of a file's own, for what looks at everything in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from config.models import RedisConfig
from tests.conftest import CANARIES
from tests.integration.books import config_of
from tests.redis_server import RedisServer


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server of this file's own, empty for each test: everything in it is looked at, and it is paused."""
    with RedisServer(password=CANARIES["REDIS_PASSWORD"]) as started:
        yield started


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    with Redis(port=server.port, password=CANARIES["REDIS_PASSWORD"]) as found:
        found.flushall()
        found.acl_log_reset()
        yield found


@pytest.fixture
def config(server: RedisServer) -> RedisConfig:
    return config_of(server)
