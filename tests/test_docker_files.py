"""What an image and a stack must keep, read from the files: no engine is needed, and nothing is built or started."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from config.cli import cli
from config.models import TradingNodeSettings
from config.presets import PRESETS
from config.settings.variables import known_names, secret_names

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = {"production": "docker-compose.yml", "testnet": "docker-compose.testnet.yml"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# The stack brings its own Redis, with Redis' own defaults.
OF_THE_STACK = {"REDIS_PORT", "REDIS_SSL", "REDIS_USERNAME"}
STOP_MARGIN_SECS = 5


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile as (INSTRUCTION, rest), comments left out and lines joined."""
    code = "\n".join(line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#"))
    lines = filter(None, map(str.strip, code.replace("\\\n", " ").splitlines()))
    return [(word.upper(), re.sub(r"\s+", " ", rest)) for word, _, rest in (line.partition(" ") for line in lines)]


def of(word: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == word]


def final_stage() -> list[tuple[str, str]]:
    found = instructions()
    return found[max(number for number, (word, _) in enumerate(found) if word == "FROM") :]


def block(preset: str, *path: str) -> str:
    """Return what stands below the keys ``path`` of a compose file, comments left out."""
    text = (ROOT / COMPOSE[preset]).read_text()
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


def environment(preset: str) -> dict[str, str]:
    found = re.findall(r"^ +(\w+): *(.*)$", block(preset, "services", "node", "environment"), re.MULTILINE)
    return dict(found)


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps ``path`` out of the build: the last pattern that fits it or a folder above it decides."""
    out = False
    parts = path.split("/")
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        body = re.escape(pattern.removeprefix("!").strip("/"))
        body = body.replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*").replace(r"\[", "[").replace(r"\]", "]")
        if any(re.fullmatch(body, "/".join(parts[:end])) for end in range(1, len(parts) + 1)):
            out = not pattern.startswith("!")
    return out


# -- the image ----------------------------------------------------------------------------------------------------


def test_the_health_of_a_container_is_told_by_the_node_or_not_at_all() -> None:
    assert not of("HEALTHCHECK") or "health" in cli.commands


def test_signals_and_exit_codes_are_the_node_s_own() -> None:
    assert [json.loads(rest) for rest in of("ENTRYPOINT")] == [["tradingnode"]]
    assert [json.loads(rest) for rest in of("CMD")] == [["run"]]
    assert "run" in cli.commands
    assert "tradingnode" in PROJECT["scripts"]


def test_the_user_is_a_number_and_not_root() -> None:
    users = [rest for word, rest in final_stage() if word == "USER"]
    assert users
    assert all(re.fullmatch(r"[1-9]\d*:[1-9]\d*", user) for user in users)


def test_the_state_directory_is_a_volume_of_that_user() -> None:
    (volume,) = of("VOLUME")
    (user,) = (rest.partition(":")[0] for word, rest in final_stage() if word == "USER")
    assert any(f"NAUTILUS_STATE_DIR={volume}" in rest for rest in of("ENV"))
    assert any(re.search(rf"install -d -o {user} -g \d+ -m 07\d0 {volume}( |$)", rest) for rest in of("RUN"))


def test_everything_installed_is_checked_by_hash_but_the_project_itself() -> None:
    installs = [part for rest in of("RUN") for part in rest.split("&&") if "pip install" in part]
    checked = [part for part in installs if "--require-hashes" in part and "--only-binary :all:" in part]
    own = [part for part in installs if part not in checked]
    assert any("-r requirements.lock" in part for part in checked)
    assert [part.split()[-1] for part in own] == ["."]
    assert "--no-deps" in own[0]
    assert "--no-build-isolation" in own[0]


def test_what_builds_the_wheel_stands_in_the_lock() -> None:
    (names,) = re.findall(r"/\^\(([\w|.-]+)\)==/", DOCKERFILE)
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE))
    assert set(names.split("|")) <= locked


def test_the_last_stage_installs_nothing_and_downloads_nothing() -> None:
    ran = " ".join(rest for word, rest in final_stage() if word == "RUN")
    assert not re.search(r"pip install|apt-get|curl|wget", ran)


def test_no_registry_is_asked_beyond_the_base_image() -> None:
    stages = re.findall(r" AS (\S+)", DOCKERFILE)
    bases = {rest.split()[0] for rest in of("FROM")} - set(stages)
    assert bases == {"python:3.12-slim"}
    assert not re.search(r"^# *syntax *=", DOCKERFILE, re.MULTILINE | re.IGNORECASE)


def test_no_secret_can_be_given_to_a_build() -> None:
    assert not [name for name in secret_names() if name in DOCKERFILE]
    assert not of("ARG")
    assert not of("ADD")
    assert not [rest for rest in of("COPY") if rest.split()[0] in (".", "./")]


def test_the_version_is_the_project_s() -> None:
    assert re.findall(r'image\.version="([^"]*)"', DOCKERFILE) == [PROJECT["version"]]
    for preset in COMPOSE:
        assert block(preset, "services", "node", "image") == f"tradingnode:{PROJECT['version']}"


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".env.production",
        ".env.example",
        "config/.env",
        "config/clients/.env.local",
        "secrets/production/binance_api_key",
        "secrets/testnet/redis_password",
        "binance_api_key",
        "strategies/mine.py",
        ".git/config",
        ".venv/pyvenv.cfg",
        "config/__pycache__/cli.cpython-312.pyc",
        "tests/test_docker_files.py",
        "notes.txt",
    ],
)
def test_what_stays_out_of_the_build(path: str) -> None:
    assert ignored(path)


def test_what_the_build_needs_gets_in() -> None:
    copied = [name for rest in of("COPY") if "--from" not in rest for name in rest.split()[:-1]]
    bound = re.findall(r"type=bind,source=([^,\s]+)", DOCKERFILE)
    assert copied
    assert bound
    for name in (*copied, *bound, "config/clients/binance.py"):
        assert (ROOT / name).exists(), name
        assert not ignored(name), name


# -- the stacks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", COMPOSE)
def test_compose_takes_the_file(preset: str) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], check=False, capture_output=True).returncode:
        pytest.skip("no `docker compose` here to read the file; the other tests read it as text")
    command = [docker, "compose", "--env-file", "/dev/null", "-f", str(ROOT / COMPOSE[preset]), "config", "--quiet"]
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
        image = block(preset, "services", service, "image")
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
def test_the_password_is_on_no_command_line(preset: str) -> None:
    command = block(preset, "services", "redis", "command")
    assert "requirepass $$(cat /run/secrets/redis_password)" in command
    assert "redis-server - <<" in command  # the configuration comes on stdin
    assert "--requirepass" not in command
    check = block(preset, "services", "redis", "healthcheck", "test")
    assert "$$(cat /run/secrets/redis_password)" in check
    assert "-a " not in check
    assert "PONG" in check


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
def test_the_node_starts_after_redis_and_a_wrong_setting_is_no_endless_restart(preset: str) -> None:
    assert "redis: {condition: service_healthy}" in block(preset, "services", "node", "depends_on")
    restart = re.fullmatch(r"on-failure:(\d+)", block(preset, "services", "node", "restart"))
    assert restart is not None
    assert 1 <= int(restart[1]) <= 20


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
