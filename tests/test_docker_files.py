"""What a stack must keep, read from its compose file: no engine is needed, and nothing is started."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from config.models import TradingNodeSettings
from config.preflight.redis import HARMLESS, LEASE, LEASE_FIRST, MAKING
from config.presets import PRESETS
from config.settings.variables import known_names, secret_names
from config.store.lease import COMMANDS as OF_THE_LEASE
from config.store.retention import COMMANDS as OF_RETENTION
from tests.redis_server import RedisServer

ROOT = Path(__file__).parents[1]
COMPOSE = {"production": "docker-compose.yml", "testnet": "docker-compose.testnet.yml"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OVERLAYS = {"offline": "docker-compose.offline.yml", "paper": "docker-compose.paper.yml"}
# The stack brings its own Redis, with Redis' own defaults.
OF_THE_STACK = {"REDIS_PORT", "REDIS_SSL"}
STOP_MARGIN_SECS = 5
NODE = "tradingnode"
PASSWORD = "of-this-test"


def block(preset: str, *path: str) -> str:
    """Return what stands below the keys ``path`` of a compose file, comments left out."""
    text = (ROOT / {**COMPOSE, **OVERLAYS}[preset]).read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for depth, key in enumerate(path):
        indent = "  " * depth
        start = next(number for number, line in enumerate(lines) if line.startswith(f"{indent}{key}:"))
        inside = [lines[start].partition(":")[2].strip()]
        for line in lines[start + 1 :]:
            if not line.startswith(f"{indent} "):
                break
            inside.append(line)
        lines = inside
    return "\n".join(lines).strip("\n")


def keys(text: str) -> set[str]:
    """Return the outermost keys of a block."""
    found = re.findall(r"^( +)([\w-]+):", text, re.MULTILINE)
    outermost = min(len(indent) for indent, _ in found)
    return {key for indent, key in found if len(indent) == outermost}


def redis_options(preset: str) -> list[str]:
    """Return the lines of Redis' configuration, as its container's shell makes them; its folder is left out."""
    (text,) = re.findall(r"<<CONF\n(.*?)\n *CONF", block(preset, "services", "redis", "command"), re.DOTALL)
    hashed = re.sub(r"\$\$\(printf %s \"\$\$\w+\" \| sha256\)", sha256(PASSWORD.encode()).hexdigest(), text)
    assert "$" not in hashed
    return [line.strip() for line in hashed.splitlines() if not line.strip().startswith("dir ")]


def rights(preset: str) -> set[str]:
    """Return the commands that the node's user may run."""
    (line,) = (line for line in redis_options(preset) if line.startswith(f"user {NODE} "))
    return {word[1:] for word in line.split() if word.startswith("+")}


def environment(preset: str) -> dict[str, str]:
    found = re.findall(r"^ +(\w+): *(.*)$", block(preset, "services", "node", "environment"), re.MULTILINE)
    return dict(found)


# -- the stacks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", COMPOSE)
def test_the_image_is_of_this_version(preset: str) -> None:
    assert block(preset, "services", "node", "image") == f"${{NODE_IMAGE:-tradingnode:{PROJECT['version']}}}"


@pytest.mark.parametrize(
    "files",
    [[name] for name in COMPOSE.values()] + [[COMPOSE["testnet"], name] for name in OVERLAYS.values()],
    ids=[*COMPOSE, *OVERLAYS],
)
def test_compose_takes_the_files(files: list[str]) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], check=False, capture_output=True).returncode:
        pytest.skip("no `docker compose` here to read the files; the other tests read them as text")
    named = [part for name in files for part in ("-f", str(ROOT / name))]
    command = [docker, "compose", "--env-file", os.devnull, *named, "config", "--quiet"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("preset", COMPOSE)
def test_nothing_is_published(preset: str) -> None:
    assert keys(block(preset, "services")) == {"redis", "node"}
    for service in ("redis", "node"):
        found = keys(block(preset, "services", service))
        assert not found & {"ports", "network_mode", "privileged", "env_file", "cap_add"}
    assert block(preset, "services", "redis", "networks") == f"[{preset}-redis]"
    assert "internal: true" in block(preset, "networks", f"{preset}-redis")


@pytest.mark.parametrize("preset", COMPOSE)
def test_images_have_a_version(preset: str) -> None:
    for service in ("redis", "node"):
        image = block(preset, "services", service, "image").removeprefix("${NODE_IMAGE:-").removesuffix("}")
        assert re.fullmatch(r"[a-z]+:\d[\w.-]*", image), image


@pytest.mark.parametrize("preset", COMPOSE)
def test_both_services_are_hardened(preset: str) -> None:
    shared = block(preset, "x-hardened")
    for wanted in ("read_only: true", "cap_drop: [ALL]", "no-new-privileges:true", "max-size:", "max-file:"):
        assert wanted in shared
    for service in ("redis", "node"):
        text = block(preset, "services", service)
        assert "<<: *hardened" in text
        assert {"mem_limit", "pids_limit", "restart", "stop_grace_period"} <= keys(text)
    assert block(preset, "services", "redis", "user") == '"999:1000"'
    assert block(preset, "services", "node", "init") == "true"


@pytest.mark.parametrize("preset", COMPOSE)
def test_the_password_is_on_no_command_line_and_in_no_variable(preset: str) -> None:
    command = block(preset, "services", "redis", "command")
    assert 'password="$$(cat /run/secrets/redis_password)"' in command
    assert "redis-server - <<" in command  # the configuration comes on stdin
    assert "requirepass" not in command
    assert "export" not in command
    check = block(preset, "services", "redis", "healthcheck", "test")
    assert f'printf "AUTH {NODE} "; cat /run/secrets/redis_password; echo; echo PING; }} | redis-cli' in check
    assert not re.search(r"-a |--pass|REDISCLI_AUTH|\$", check)
    assert "grep -q PONG" in check
    assert environment(preset)["REDIS_USERNAME"] == NODE


# -- the users of Redis -------------------------------------------------------------------------------------------


def test_the_stacks_differ_in_names_only() -> None:
    both = [block(preset, "services", "redis").replace(preset, "PRESET") for preset in COMPOSE]
    assert both[0] == both[1]


@pytest.mark.parametrize("preset", COMPOSE)
def test_the_node_may_run_what_it_runs_and_no_more(preset: str) -> None:
    tried = {each.split()[0].lower() for text in (MAKING, HARMLESS, LEASE_FIRST, LEASE) for each in text.split("; ")}
    # Beside these: the transactions themselves, INFO for the version, PING for the health check, the name of a driver, and what
    # `tradingnode reset` deletes with.
    others = {"multi", "exec", "discard", "info", "ping", "client", "unlink"}
    assert tried | set(OF_THE_LEASE) | set(OF_RETENTION) | others == rights(preset)
    (line,) = (line for line in redis_options(preset) if line.startswith(f"user {NODE} "))
    assert [word for word in line.split() if word[0] in "~&%-"] == [
        "~trader-*",
        "~tradingnode:*",
        "-@all",
        "-@dangerous",
    ]


@pytest.mark.parametrize("preset", COMPOSE)
def test_redis_keeps_transactions_over_a_restart_and_lets_in_who_it_should(preset: str) -> None:
    """A server with this configuration, really killed: Redis 8 reads its AOF as `default`, who is off but keeps its rights."""
    assert "user default off ~* &* +@all" in redis_options(preset)
    with RedisServer(*redis_options(preset)) as server:
        node: Any = Redis(port=server.port, username=NODE, password=PASSWORD, decode_responses=True)
        with node.pipeline(transaction=True) as pipe:
            pipe.set("trader-T-1:a", "kept").rpush("tradingnode:b", "kept").execute()
        server.kill()
        server.start()
        assert [node.get("trader-T-1:a"), node.lrange("tradingnode:b", 0, -1)] == ["kept", ["kept"]]
        for refused in (("FLUSHALL",), ("CONFIG", "GET", "*"), ("GET", "other"), ("KEYS", "*"), ("CLIENT", "LIST")):
            with pytest.raises(NoPermissionError):
                node.execute_command(*refused)
        for client in (Redis(port=server.port), Redis(port=server.port, password=PASSWORD)):
            with pytest.raises(AuthenticationError):
                client.ping()
        admin = Redis(port=server.port, username="admin", password=PASSWORD)
        assert admin.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


@pytest.mark.parametrize("preset", COMPOSE)
def test_redis_keeps_what_it_is_given(preset: str) -> None:
    command = block(preset, "services", "redis", "command").splitlines()
    lines = {line.strip() for line in command}
    assert {"appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction", "dir /data"} <= lines
    assert block(preset, "services", "redis", "volumes") == f'["{preset}-redis:/data"]'


@pytest.mark.parametrize("preset", COMPOSE)
def test_every_setting_reaches_the_node_and_no_secret_does_so_as_a_variable(preset: str) -> None:
    secrets = secret_names()
    plain = {name for name in known_names() if name.removesuffix("_FILE") not in secrets}
    given = environment(preset)
    assert plain - OF_THE_STACK == given.keys()
    assert given["NAUTILUS_PRESET"] == preset
    assert preset in PRESETS
    assert f"- {preset}-state:{given['NAUTILUS_STATE_DIR']}" in block(preset, "services", "node", "volumes")
    assert f"target: {given['NAUTILUS_SECRETS_DIR']}" in block(preset, "services", "node", "volumes")


def test_nothing_says_live() -> None:
    given = environment("production")
    assert [given[name] for name in ("NAUTILUS_ENVIRONMENT", "NAUTILUS_VENUES", "NAUTILUS_TRADER_ID")] == ["", "", ""]


@pytest.mark.parametrize("preset", COMPOSE)
def test_the_node_starts_after_redis_and_comes_back(preset: str) -> None:
    assert "redis: {condition: service_healthy}" in block(preset, "services", "node", "depends_on")
    # Only such a policy brings a container back after a restart of the engine whose node ended with 0 when that went down.
    assert block(preset, "services", "node", "restart") == "${NODE_RESTART:-unless-stopped}"
    assert block(preset, "services", "redis", "restart") == "unless-stopped"


@pytest.mark.parametrize("preset", COMPOSE)
def test_a_node_that_a_strategy_shut_down_does_not_trade_on_when_it_is_started_again(preset: str) -> None:
    assert environment(preset)["NAUTILUS_HALT_ON_SHUTDOWN"] == "${NAUTILUS_HALT_ON_SHUTDOWN:-true}"


@pytest.mark.parametrize("preset", COMPOSE)
def test_the_node_may_take_its_time_to_stop(preset: str) -> None:
    grace = re.search(r"(\d+)s\}?$", block(preset, "services", "node", "stop_grace_period"))
    assert grace is not None
    assert int(grace[1]) >= TradingNodeSettings.model_fields["stop_timeout"].default + STOP_MARGIN_SECS


def test_the_stacks_share_nothing() -> None:
    names = {preset: block(preset, "name") for preset in COMPOSE}
    assert all(names.values())
    assert len(set(names.values())) == len(names)
    for kind in ("volumes", "networks"):
        found = {preset: keys(block(preset, kind)) for preset in COMPOSE}
        assert all(found.values())
        assert not set.intersection(*found.values())
    files = {preset: set(re.findall(r"\./secrets/\w+", (ROOT / COMPOSE[preset]).read_text())) for preset in COMPOSE}
    assert files == {preset: {f"./secrets/{preset}"} for preset in COMPOSE}
    # One prefixes what the other takes as it is, so that no .env makes them equal.
    assert environment("testnet")["NAUTILUS_TRADER_ID"].startswith("TESTNET-${")
    assert environment("production")["NAUTILUS_TRADER_ID"] == ""


# -- the overlays -------------------------------------------------------------------------------------------------


def test_every_stack_has_a_name_and_a_trader_of_its_own() -> None:
    everything = {**COMPOSE, **OVERLAYS}
    assert len({block(preset, "name") for preset in everything}) == len(everything)
    traders = {preset: environment(preset)["NAUTILUS_TRADER_ID"] for preset in everything}
    assert traders.pop("production") == ""
    assert {preset: trader.partition("-")[0] for preset, trader in traders.items()} == {
        preset: preset.upper() for preset in traders
    }


def test_paper_has_neither_secrets_nor_redis() -> None:
    assert environment("paper")["NAUTILUS_PRESET"] == "sandbox"
    assert block("paper", "services", "redis") == "!reset null"
    assert {name: environment("paper")[name] for name in ("REDIS_HOST", "NAUTILUS_SECRETS_DIR")} == {
        "REDIS_HOST": "!reset null",
        "NAUTILUS_SECRETS_DIR": "!reset null",
    }
    volumes = block("paper", "services", "node", "volumes")
    assert volumes.startswith("!override")
    assert "secrets" not in volumes


def test_offline_knows_one_exchange_which_is_on_loopback_and_shares_no_secret() -> None:
    urls = {name: url for name, url in environment("offline").items() if "_BASE_URL_" in name}
    assert {name for name in environment("testnet") if "_BASE_URL_" in name} == urls.keys()
    assert {url.split("/")[2] for url in urls.values()} == {"127.0.0.1:9400"}
    assert '"--port", "9400"' in (ROOT / "docker/exchange.Dockerfile").read_text()
    assert block("offline", "services", "exchange", "networks") == "[testnet-redis]"
    text = (ROOT / OVERLAYS["offline"]).read_text()
    assert set(re.findall(r"\./secrets/\w+", text)) == {"./secrets/offline"}
    exchange = block("offline", "services", "exchange")
    for wanted in (
        "read_only: true",
        "cap_drop: [ALL]",
        "no-new-privileges:true",
        "mem_limit:",
        "pids_limit:",
        "max-size:",
    ):
        assert wanted in exchange
    assert "ports" not in keys(exchange)


def test_what_the_exchange_runs_on_stands_in_the_lock() -> None:
    (names,) = re.findall(r"/\^\(([\w|.-]+)\)==/", (ROOT / "docker/exchange.Dockerfile").read_text())
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE))
    assert set(names.split("|")) <= locked
