"""The stacks as they are: who reaches what, where secrets stand, what a container may do, and what it says when it will not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.containers.stack import OFFLINE, ROOT, TEST_IMAGES, Stack, docker, with_secrets

pytestmark = pytest.mark.timeout(600)
SERVICES = ("redis", "node", "exchange")
OWN = ("redis", "node")
# Long enough for two health checks of each container, whose processes come and go.
WATCHED_SECS = 11
WATCH = f"""
end=$(($(date +%s) + {WATCHED_SECS}))
while [ $(date +%s) -lt $end ]; do
  cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null
done | tr "\\0" "\\n"
"""


def made(request: pytest.FixtureRequest, folder: Path, *args: Any, **options: Any) -> Iterator[Stack]:
    """Yield a stack that has been made, and remove it."""
    request.getfixturevalue("built")
    with Stack(folder, *args, **options) as stack:
        yield stack


@pytest.fixture(scope="module")
def up(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One offline stack for all that only looks at it: the node has an order open."""
    for stack in made(request, tmp_path_factory.mktemp("up")):
        stack.up()
        stack.until(stack.holds)
        yield stack


PRODUCTION_KEYS = {
    "redis_password": "canary-of-production",
    "binance_api_key": "k" * 64,
    "binance_api_secret": "s" * 64,
}
LIVE = {
    "NAUTILUS_ENVIRONMENT": "LIVE",
    "NAUTILUS_VENUES": "BINANCE",
    "NAUTILUS_TRADER_ID": "TRADER-001",
    "NODE_COMMAND": "run",
}


# -- up means ready ------------------------------------------------------------------------------------------------


def test_up_returns_when_the_node_is_ready(up: Stack) -> None:
    assert "healthy" == up.inspect("node")["State"]["Health"]["Status"]
    assert up.health().startswith("ready OFFLINE-TRADER-001")


# -- secrets -------------------------------------------------------------------------------------------------------


def test_no_secret_is_in_what_the_engine_tells(up: Stack) -> None:
    told = [docker("inspect", up.container(service)) for service in SERVICES]
    told += [docker("logs", up.container(service)) for service in SERVICES]
    told += [docker("top", up.container(service)) for service in SERVICES]
    told += [docker("history", "--no-trunc", up.inspect(service)["Image"]) for service in SERVICES]
    told += [docker("image", "inspect", up.inspect(service)["Image"]) for service in SERVICES]
    assert all(told)
    assert [] == [secret for secret in up.secrets.values() if any(secret in text for text in told)]


@pytest.mark.parametrize("service", SERVICES)
def test_no_secret_is_in_any_process(up: Stack, service: str) -> None:
    found = docker("exec", up.container(service), "sh", "-c", WATCH)
    assert "PATH=" in found  # an environment was read
    if service == "redis":
        assert "redis-cli" in found.splitlines()  # and a health check was seen
    assert [] == [secret for secret in up.secrets.values() if secret in found]


@pytest.mark.parametrize("service, folder", [("redis", "/data"), ("node", "/var/lib/tradingnode"), ("node", "/tmp")])
def test_no_secret_is_written_to_a_disk(up: Stack, service: str, folder: str) -> None:
    files = docker("exec", up.container(service), "sh", "-c", f"find {folder} -type f | wc -l")
    assert int(files) or folder == "/tmp"
    for secret in up.secrets.values():
        # Given on stdin, or the search would find itself.
        found = docker(
            *("exec", "-i", up.container(service), "grep", "-rlFf", "-", folder), given=f"{secret}\n", check=False
        )
        assert "" == found


# -- Redis ---------------------------------------------------------------------------------------------------------


def asked(stack: Stack, *commands: str, user: str = "") -> list[str]:
    """Return what Redis answers a user who has the node's password, or nobody."""
    login = f"AUTH {user} {stack.secrets['redis_password']}\n" if user else ""
    given = login + "".join(f"{command}\n" for command in commands)
    answer = docker("exec", "-i", stack.container("redis"), "redis-cli", given=given, check=False)
    return [line for line in answer.splitlines() if line][bool(login) :]


def test_redis_does_nothing_for_who_does_not_log_in(up: Stack) -> None:
    assert ["NOAUTH Authentication required."] * 3 == asked(up, "PING", "INFO", "KEYS *")
    assert "WRONGPASS" in asked(up, f"AUTH default {up.secrets['redis_password']}")[0]


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL",
        "FLUSHDB",
        "CONFIG GET maxmemory",
        "CONFIG SET maxmemory-policy allkeys-lru",
        "KEYS *",
        "ACL LIST",
        "SHUTDOWN",
        "MODULE LIST",
        "SAVE",
        "BGREWRITEAOF",
        "REPLICAOF NO ONE",
        "EVAL return 0",
        "SUBSCRIBE x",
        "CLIENT LIST",
        "CLIENT KILL ID 1",
        "CLIENT PAUSE 1",
        "MONITOR",
        "GET other",
        "SET other 1",
        "DEL other",
        "RENAME trader-x trader-y",
    ],
)
def test_the_node_s_user_may_do_what_a_node_does_and_no_more(up: Stack, command: str) -> None:
    assert asked(up, command, user="tradingnode")[0].startswith("NOPERM ")


def test_the_node_asks_for_nothing_that_it_may_not_do(stack: Callable[..., Stack]) -> None:
    """Start, trade, halt, resume, stop, start on what is stored with retention on, and reset: nothing was refused."""
    node = stack(environ={"NAUTILUS_SNAPSHOT_RETENTION_DAYS": "1"})
    node.up()
    node.until(node.holds)
    for command in ("halt", "resume"):
        node.compose("exec", "-T", "node", "tradingnode", command)
    node.compose("restart", "node")
    node.until(lambda: node.logs("node").count("\nready ") == 2)
    assert "" == node.redis("ACL LOG")
    node.compose("stop", "node")
    # What a node does once in a day or an hour, as it does it; an index that is not there counts as tried.
    node.compose("run", "--rm", "--no-deps", "node", "reset", "--yes")
    assert set() == node.stored()
    assert "" == node.redis("ACL LOG")
    # The log of refusals works.
    assert asked(node, "KEYS *", user="tradingnode")[0].startswith("NOPERM ")
    assert "keys" in node.redis("ACL LOG")


def test_redis_is_what_a_funded_account_needs(up: Stack) -> None:
    told = up.redis("CONFIG GET appendonly", "CONFIG GET maxmemory-policy", "CONFIG GET maxmemory").split()
    assert ["appendonly", "yes", "maxmemory-policy", "noeviction", "maxmemory", "268435456"] == told


# -- the network ---------------------------------------------------------------------------------------------------


def test_no_port_is_published(up: Stack) -> None:
    for service in SERVICES:
        found = up.inspect(service)
        assert not found["HostConfig"]["PortBindings"]
        assert not [bound for bound in found["NetworkSettings"]["Ports"].values() if bound]


def addresses(stack: Stack) -> list[str]:
    """Return the addresses of Redis."""
    return [network["IPAddress"] for network in stack.inspect("redis")["NetworkSettings"]["Networks"].values()]


def answers(address: str, *where: str) -> str:
    """Return what Redis there answers a container that runs elsewhere."""
    return docker(
        "run",
        "--rm",
        "--init",
        *where,
        "redis:8-alpine",
        "timeout",
        "3",
        "redis-cli",
        "-h",
        address,
        "PING",
        check=False,
    )


def test_redis_is_reached_from_its_own_network_only(up: Stack) -> None:
    (address,) = addresses(up)
    other = f"{up.project}-other"
    docker("network", "create", other)
    try:
        for where in (("--network", other), ("--network", "bridge")):
            assert "NOAUTH" not in answers(address, *where)
    finally:
        docker("network", "rm", other)
    # The question is a good one: from the network of Redis it is answered.
    assert "NOAUTH" in answers(address, "--network", f"{up.project}_testnet-redis")


def test_two_stacks_on_one_host_do_not_reach_each_other(stack: Callable[..., Stack], up: Stack, tmp_path: Path) -> None:
    files = ("docker-compose.yml", with_secrets(tmp_path / "production"))
    production = stack(files, folder="production", secrets=PRODUCTION_KEYS)
    production.up("redis")
    networks = {"production": f"{production.project}_production-redis", "offline": f"{up.project}_testnet-redis"}
    stacks = {"production": production, "offline": up}
    reached = {
        (one, other)
        for one, network in networks.items()
        for other, of in stacks.items()
        for address in addresses(of)
        if "NOAUTH" in answers(address, "--network", network)
    }
    assert {("production", "production"), ("offline", "offline")} == reached
    # Each made what it keeps under a name of its own, the volumes too.
    volumes = [
        set(docker("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={of.project}").split())
        for of in stacks.values()
    ]
    assert all(volumes)
    assert not set.intersection(*volumes)


# -- what a container may do ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_may_do_little(up: Stack, service: str) -> None:
    status = docker("exec", up.container(service), "cat", "/proc/1/status")
    wanted = {"CapEff": "0+", "CapBnd": "0+", "NoNewPrivs": "1", "Seccomp": "2"}
    for name, value in wanted.items():
        assert re.search(rf"^{name}:\s+{value}$", status, re.MULTILINE), status
    assert not re.search(r"^[UG]id:.*\b0\b", status, re.MULTILINE), status
    assert "Read-only file system" in docker("exec", up.container(service), "touch", "/x", check=False)
    host = up.inspect(service)["HostConfig"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert {"max-size": "10m", "max-file": "5"} == host["LogConfig"]["Config"]


def test_the_node_writes_to_its_state_and_to_tmp_alone(up: Stack) -> None:
    script = "for each in / /var/lib/tradingnode /tmp /run/secrets /strategies /usr/local; do [ -w $each ] && echo $each; done"
    assert ["/var/lib/tradingnode", "/tmp"] == docker(
        "exec", up.container("node"), "sh", "-c", f"{script}; true"
    ).split()


def test_the_offline_stack_has_no_way_out(up: Stack) -> None:
    script = "import socket; socket.setdefaulttimeout(3); socket.create_connection(('1.1.1.1', 443))"
    assert "Error" in docker("exec", up.container("node"), "python", "-c", script, check=False)
    assert ["127.0.0.1:9400"] == re.findall(
        r"127\.0\.0\.1:9400", docker("exec", up.container("node"), "tradingnode", "show", "--json")
    )[:1]


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environ, missing, code, told",
    [
        ({}, (), 8, ("NAUTILUS_ENVIRONMENT is not set", "NAUTILUS_VENUES is not set", "NAUTILUS_TRADER_ID is not set")),
        ({**LIVE, "NAUTILUS_ENVIRONMENT": "SANDBOX"}, (), 8, ("fix: set NAUTILUS_ENVIRONMENT=LIVE",)),
        (LIVE, ("binance_api_key", "binance_api_secret"), 5, ("BINANCE",)),
        (LIVE, ("binance_api_secret",), 5, ("binance_api_secret is missing or empty",)),
    ],
    ids=["nothing is said", "not LIVE", "no key", "no secret"],
)
def test_production_refuses_in_our_words(
    stack: Callable[..., Stack],
    tmp_path: Path,
    environ: dict[str, str],
    missing: tuple[str, ...],
    code: int,
    told: tuple[str, ...],
) -> None:
    secrets = {name: text for name, text in PRODUCTION_KEYS.items() if name not in missing}
    node = stack(
        ("docker-compose.yml", with_secrets(tmp_path / "stack")),
        environ={"NODE_COMMAND": "run", "NODE_RESTART": "no", **environ},
        secrets=secrets,
    )
    node.compose("up", "-d")
    node.until(lambda: node.state("node") == "exited")
    assert code == node.exit_code("node"), node.logs("node")
    for sentence in told:
        assert sentence in node.logs("node")


def test_an_empty_password_is_told_by_redis_s_own_container(stack: Callable[..., Stack]) -> None:
    node = stack()
    node.secret("redis_password", "")
    node.compose("up", "-d", "redis")
    node.until(lambda: "error: redis_password is empty; fix: openssl rand" in node.logs("redis"))


# -- strategies ----------------------------------------------------------------------------------------------------


def test_a_derived_image_as_documented(stack: Callable[..., Stack], tmp_path: Path) -> None:
    """The Dockerfile and the overlay of the documentation, as they stand there."""
    blocks = dict(re.findall(r"cat >(\S+) <<'END'\n(.*?)\nEND\n", (ROOT / "docs/containers.md").read_text(), re.DOTALL))
    context = tmp_path / "stack" / "strategies"
    overlay = tmp_path / "docker-compose.mine.yml"
    image = f"tradingnode-test-mine:{tmp_path.name.lower()}"
    text = blocks["docker-compose.mine.yml"]
    assert "context: ./strategies" in text
    overlay.write_text(text.replace("./strategies", str(context)).replace("my-node:1", image))
    (command,) = re.findall(
        r"^export NODE_COMMAND='(run --strategy /opt.*)'$", (ROOT / "docs/containers.md").read_text(), re.M
    )
    node = stack((*OFFLINE, overlay), environ={"NODE_COMMAND": command})
    for name in ("Dockerfile", "requirements.txt"):
        node.write(
            name, blocks[f"strategies/{name}"].replace("FROM tradingnode:0.1.0", f"FROM {TEST_IMAGES}:node") + "\n"
        )
    try:
        node.compose("build", "node")
        node.up()
        node.until(node.holds)
        module = blocks["strategies/requirements.txt"].partition("==")[0]
        docker("exec", node.container("node"), "python", "-c", f"import {module}")
    finally:
        node.down()
        docker("image", "rm", image, check=False)


# -- the paper overlay ---------------------------------------------------------------------------------------------


def test_paper_trades_on_the_exchange_s_data_without_a_key(stack: Callable[..., Stack], tmp_path: Path) -> None:
    """As it is, but for the exchange, which stands in for the real one's public data."""
    exchange = {
        "services": {
            "exchange": {
                "image": f"{TEST_IMAGES}:exchange",
                "volumes": [f"{ROOT}/tests:/srv/tests:ro"],
                "networks": ["testnet-egress"],
            },
            "node": {
                "network_mode": "service:exchange",
                "depends_on": {"exchange": {"condition": "service_healthy"}},
                "volumes": [f"{tmp_path}/strategies:/strategies:ro"],
                "environment": {
                    "BINANCE_BASE_URL_HTTP": "http://127.0.0.1:9400",
                    "BINANCE_BASE_URL_WS": "ws://127.0.0.1:9400",
                },
            },
        }
    }
    overlay = tmp_path / "exchange.yml"
    # `networks` and `network_mode` exclude each other, and JSON has no way to take one away.
    overlay.write_text(json.dumps(exchange).replace('"network_mode"', '"networks": !reset [], "network_mode"'))
    (tmp_path / "strategies").mkdir()
    node = stack(("docker-compose.testnet.yml", "docker-compose.paper.yml", overlay), secrets={})
    node.environ["NODE_COMMAND"] = "run"
    node.up()
    assert node.health().startswith("ready PAPER-TRADER-001")
    assert ["exchange", "node"] == sorted(node.compose("ps", "--services").split())
    assert [] == [mount for mount in node.inspect("node")["Mounts"] if mount["Destination"] == "/run/secrets"]
    assert {} == {path: count for path, count in node.exchange("counts").items() if "order" in path.lower()}
