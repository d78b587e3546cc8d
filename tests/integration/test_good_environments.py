"""Every environment in which nothing is wrong becomes a node: loaded, turned into a configuration, built, disposed."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from config.settings.variables import former_names, secret_names
from tests.conftest import CANARIES
from tests.environments import VALUES, Environment, good
from tests.forked import run_forked
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from config.models import TradingNodeSettings

# All nodes are built once, in whichever test comes first.
pytestmark = pytest.mark.timeout(400)

NODES = 2_000
# A process serves so many: one that Nautilus ends takes the rest of its batch with it.
BATCH = 100
# These say how settings are found, and are none themselves.
NO_SETTINGS = {"NAUTILUS_PRESET", "NAUTILUS_SECRETS_DIR"}


@dataclass
class Built:
    """What became of environments: kinds of nodes, names that were read, and what was wrong with which."""

    kinds: Counter[str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, other: Built) -> None:
        self.kinds += other.kinds
        self.names += other.names
        self.failures += other.failures


def _build_all(folder: Path, seeds: Sequence[str], redis: Mapping[str, str]) -> Built:
    """Build a node of each environment in this process, one after another; Nautilus says what it says to nobody."""
    found = Built()
    os.chdir(folder)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    for seed in seeds:
        (folder / "at").write_text(seed)
        environment = good(seed, redis=redis)
        environment.lay_out(folder)
        try:
            _build(environment, folder, int(redis["REDIS_PORT"]), found)
        except Exception as error:
            found.failures.append(f"{type(error).__name__}: {error}\n  {environment}")
        environment.clear(folder)
    return found


def _build(environment: Environment, folder: Path, redis_port: int, found: Built) -> None:
    from nautilus_trader.accounting.factory import AccountFactory

    from config.factory import TradingNodeConfigFactory
    from config.live.node import build_node
    from config.models import TradingNodeSettings
    from config.settings.loading import load

    settings = load(
        TradingNodeSettings,
        environ={"HOME": str(folder), **environment.environ},
        preset=environment.preset,
        values={"role": environment.role} if environment.role is not None else {},
    )
    config = TradingNodeConfigFactory.from_settings(settings)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    node = build_node(config, loop=loop)
    # Connections of the node before this one may still be there.
    dialled = _dialled() - {redis_port}
    asked = (settings.trader_id, set(settings.active_venues))
    built = (str(node.trader_id), {str(client) for client in node.kernel.data_engine.registered_clients})
    orders = {str(client) for client in node.kernel.exec_engine.registered_clients}
    # Clients leave tasks that wait for a loop which never runs.
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    node.dispose()
    # Nautilus registers Bybit's spot accounts once a process, and raises when a second node there has one.
    AccountFactory.deregister_cash_borrowing("BYBIT")
    assert asked == built
    assert _traded(settings) == orders
    assert set() == dialled, "a venue was dialled"
    found.kinds.update(_kinds(settings))
    found.names.update({origin.key.upper() for origin in settings.origins.values()})


def _traded(settings: TradingNodeSettings) -> Set[str]:
    """Return the venues to which, really or on paper, orders go."""
    active = settings.active_venues
    keyed = {venue for venue in active if settings.credentials(venue).has_key}
    return {"VENUE": keyed, "SIMULATED": set(active), "NONE": set()}[settings.execution]


def _dialled() -> set[int]:
    """Return the remote ports of this process' TCP connections, made or under way; nothing where there is no /proc."""
    if not Path("/proc/self/net/tcp").exists():
        return set()
    mine = set()
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208  quicker, and asked 2,000 times
        try:
            mine.add(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115  the same
        except OSError:
            continue  # the folder itself was one of them
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/self/net/{name}").read_text().splitlines()[1:]
    ]
    return {int(line[2].rpartition(":")[2], 16) for line in lines if f"socket:[{line[9]}]" in mine} - {0}


def _kinds(settings: TradingNodeSettings) -> Iterator[str]:
    yield f"{settings.preset} {settings.role}"
    yield "Redis" if settings.redis is not None else "no Redis"
    yield "streaming" if settings.streaming is not None else "no streaming"
    for venue in settings.active_venues:
        section: Any = settings.credentials(venue)
        markets = [section.account_type] if venue == "BINANCE" else section.product_types
        how = settings.execution if settings.execution != "VENUE" or section.has_key else "data only"
        yield from (f"{venue} {section.environment} {how}", *(f"{venue} {market} {how}" for market in markets))
        if how == "data only":
            yield how
        if section.has_key and section.api_secret.get_secret_value().startswith("-----BEGIN"):
            yield "Ed25519"


@pytest.fixture(scope="module")
def built(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Built:
    server = {**redis.environ, "REDIS_PASSWORD": CANARIES["REDIS_PASSWORD"]}
    batches = [[str(number) for number in range(start, start + BATCH)] for start in range(0, NODES, BATCH)]

    nodes = tmp_path_factory.mktemp("nodes")

    def run(seeds: Sequence[str]) -> Built:
        folder = nodes / seeds[0]
        folder.mkdir()
        try:
            return run_forked(_build_all, folder, seeds, server, timeout=120)  # type: ignore[no-any-return]
        except RuntimeError as error:
            return Built(failures=[f"{error}\n  {good((folder / 'at').read_text(), redis=server)}"])
        finally:
            shutil.rmtree(folder)

    found = Built()
    with ThreadPoolExecutor(2) as pool:
        for batch in pool.map(run, batches):
            found.add(batch)
    return found


def test_every_good_environment_becomes_a_node_and_no_venue_is_dialled(built: Built) -> None:
    """Its trader id and clients are those that were asked for; nothing aborts the process, nothing is left that runs."""
    assert [] == built.failures[:5], f"{len(built.failures)} of {NODES}"


def test_nodes_of_every_preset_role_venue_market_and_kind_of_key_were_built(built: Built) -> None:
    """Otherwise the test above would prove nothing."""
    least = {
        **{f"{preset} trader": 200 for preset in (None, "production", "testnet", "sandbox")},
        **{f"{preset} recorder": 50 for preset in (None, "production", "testnet", "sandbox")},
        **{f"BINANCE {environment} VENUE": 100 for environment in ("LIVE", "TESTNET", "DEMO")},
        **{f"BYBIT {environment} VENUE": 100 for environment in ("LIVE", "TESTNET", "DEMO")},
        **{f"BINANCE {market} VENUE": 50 for market in ("SPOT", "USDT_FUTURES", "COIN_FUTURES")},
        **{f"BYBIT {market} VENUE": 20 for market in ("SPOT", "LINEAR", "INVERSE", "OPTION")},
        **{f"{venue} LIVE {how}": 100 for venue in ("BINANCE", "BYBIT") for how in ("SIMULATED", "NONE")},
        **dict.fromkeys(("Redis", "no Redis", "streaming", "no streaming"), 500),
        **dict.fromkeys(("Ed25519", "data only"), 50),
    }
    assert {} == {kind: built.kinds[kind] for kind, wanted in least.items() if built.kinds[kind] < wanted}


def test_every_variable_was_said_in_many_of_them(built: Built) -> None:
    current = (VALUES.keys() | secret_names()) - former_names().keys() - NO_SETTINGS
    said = Counter({name: built.names[name] + built.names[f"{name}_FILE"] for name in current})
    assert {} == {name: times for name, times in said.items() if times < 10}
