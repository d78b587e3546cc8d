"""What the image must keep, read from Dockerfile and .dockerignore: no engine is needed, and nothing is built."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from config.cli import cli
from config.models import TradingNodeSettings
from config.settings.variables import secret_names

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BASE = "python:3.12-slim"
BUILD_ARGUMENTS = {"REVISION", "CREATED"}


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile as (INSTRUCTION, rest): comments left out, lines joined, a here-document with its own."""
    code = "\n".join(line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#"))
    lines = iter(code.replace("\\\n", " ").splitlines())
    found: list[tuple[str, str]] = []
    for line in filter(None, map(str.strip, lines)):
        word, _, rest = line.partition(" ")
        opened = re.search(r"<<'?(\w+)'?", rest)
        for inner in lines if opened else ():
            if opened is None or inner == opened[1]:
                break
            rest += f"\n{inner}"
        found.append((word.upper(), re.sub(r"[ \t]+", " ", rest)))
    return found


def of(word: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == word]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Return the instructions of each stage by its name; the last one's is empty."""
    found: dict[str, list[tuple[str, str]]] = {}
    for word, rest in instructions():
        if word == "FROM":
            name = rest.partition(" AS ")[2]
            found[name] = []
        found[name].append((word, rest))
    return found


def final_stage() -> list[tuple[str, str]]:
    return stages()[""]


def labels() -> dict[str, str]:
    found = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', " ".join(of("LABEL"))))
    assert found
    return found


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


# -- what a container runs ----------------------------------------------------------------------------------------


def test_signals_and_exit_codes_are_the_node_s_own() -> None:
    assert [["tradingnode"]] == [json.loads(rest) for rest in of("ENTRYPOINT")]
    assert [["run"]] == [json.loads(rest) for rest in of("CMD")]
    assert "run" in cli.commands
    assert "tradingnode" in PROJECT["scripts"]
    assert [] == of("STOPSIGNAL")  # SIGTERM, which the node takes as the wish to stop


def test_healthy_means_that_the_node_says_so() -> None:
    (check,) = of("HEALTHCHECK")
    options, _, command = check.partition(" CMD ")
    assert ["tradingnode", "health"] == json.loads(command)
    assert "health" in cli.commands
    seconds = {name: int(text) for name, text in re.findall(r"--([\w-]+)=(\d+)s", options)}
    # A node that is not ready by then has ended by itself; the period must not end before.
    assert seconds["start-period"] >= TradingNodeSettings(trader_id="T-001").seconds_to_ready
    assert seconds["start-interval"] < seconds["interval"]
    assert seconds["timeout"] <= seconds["interval"]


def test_the_user_is_a_number_and_not_root() -> None:
    users = [rest for word, rest in final_stage() if word == "USER"]
    assert users
    assert all(re.fullmatch(r"[1-9]\d*:[1-9]\d*", user) for user in users)
    uid, gid = users[-1].split(":")
    system = " ".join(rest for word, rest in stages()["system"] if word == "RUN")
    assert f"tradingnode:x:{uid}:{gid}:" in system
    assert f"tradingnode:x:{gid}:" in system


def test_nothing_of_the_last_stage_runs_as_root_or_runs_at_all() -> None:
    """What is only copied has no side effect: no cache, no log, no date, and needs no network."""
    words = [word for word, _ in final_stage()]
    assert "RUN" not in words
    assert "SHELL" not in words
    assert [rest for word, rest in final_stage() if word == "COPY" and "--from=" not in rest] == []
    assert [rest for word, rest in final_stage() if word == "COPY" and "--chown" in rest] == []


def test_the_state_directory_is_a_volume_of_that_user() -> None:
    (volume,) = of("VOLUME")
    assert [volume] == [rest for word, rest in final_stage() if word == "WORKDIR"]
    (user,) = (rest.partition(":")[0] for word, rest in final_stage() if word == "USER")
    assert any(f"NAUTILUS_STATE_DIR={volume}" in rest for rest in of("ENV"))
    made = rf"install -d -o {user} -g \d+ -m 07\d0 {volume.removeprefix('/')}( |$)"
    assert any(re.search(made, rest) for rest in of("RUN"))


# -- what is installed --------------------------------------------------------------------------------------------


def test_everything_installed_is_checked_by_hash_but_the_project_itself() -> None:
    installs = [part for rest in of("RUN") for part in rest.split("&&") if "pip install" in part]
    checked = [part for part in installs if "--require-hashes" in part and "--only-binary :all:" in part]
    own = [part for part in installs if part not in checked]
    assert any("-r requirements.lock" in part for part in checked)
    assert ["."] == [part.split()[-1] for part in own]
    assert "--no-deps" in own[0]
    assert "--no-build-isolation" in own[0]


def test_what_builds_the_wheel_stands_in_the_lock() -> None:
    (names,) = re.findall(r"/\^\(([\w|.-]+)\)==/", DOCKERFILE)
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE))
    assert set(names.split("|")) <= locked


def test_bytecode_is_compiled_once_without_a_date() -> None:
    """Pip's own names the place it was installed to and the second of each source file."""
    into_the_image = [part for rest in of("RUN") for part in rest.split("&&") if "--prefix=/install" in part]
    assert 2 == len(into_the_image)
    assert all("--no-compile" in part for part in into_the_image)
    settle = next(rest for rest in of("COPY") if "compileall" in rest)
    assert "--invalidation-mode unchecked-hash" in settle
    for stage in ("system", "dependencies", "project"):
        assert re.search(r"&& settle /\w+ ", stages()[stage][-1][1]), stage


def test_downloads_stay_in_the_builder_and_a_mirror_is_a_secret() -> None:
    for rest in of("RUN"):
        if "pip install" in rest:
            mounted = "--mount=type=secret,id=pip " in rest
            assert mounted == ("--require-hashes" in rest)  # the project itself downloads nothing
            assert mounted == ("--mount=type=cache,target=/var/cache/pip" in rest)
            assert mounted or "--no-cache-dir" in rest
    assert not re.search(r"index-url|trusted-host|https?://|PROXY", DOCKERFILE, re.IGNORECASE)


def test_the_python_is_one_that_the_project_takes() -> None:
    version = re.search(r"python:(3\.\d+)-slim", BASE)
    assert version is not None
    assert f"Programming Language :: Python :: {version[1]}" in PROJECT["classifiers"]
    low, high = re.findall(r"[\d.]+", PROJECT["requires-python"])
    number = [int(part) for part in version[1].split(".")]
    assert [int(part) for part in low.split(".")] <= number < [int(part) for part in high.split(".")]
    assert f"/install/lib/python{version[1]}/site-packages" in DOCKERFILE
    assert set(re.findall(r"python(\d\.\d+)", DOCKERFILE)) == {version[1]}


# -- how it is written --------------------------------------------------------------------------------------------


def test_no_registry_is_asked_beyond_the_base_image() -> None:
    bases = {rest.split()[0] for rest in of("FROM")} - set(stages())
    assert {BASE, "scratch"} == bases
    copied = {name for rest in of("COPY") for name in re.findall(r"--from=(\S+)", rest)} - set(stages())
    assert {BASE} == copied
    assert not re.search(r"^# *syntax *=", DOCKERFILE, re.MULTILINE | re.IGNORECASE)


def test_every_image_has_a_version() -> None:
    """A tag of its own, which is not `latest`."""
    images = [rest.split()[0] for rest in of("FROM")] + re.findall(r"--from=(\S+)", DOCKERFILE)
    foreign = set(images) - set(stages()) - {"scratch"}
    assert foreign
    assert all(re.fullmatch(r"[a-z/]+:\d[\w.-]*", name) for name in foreign), foreign


@pytest.mark.parametrize("word", ["ADD", "MAINTAINER", "ONBUILD", "EXPOSE", "SHELL"])
def test_instructions_that_are_not_used(word: str) -> None:
    assert [] == of(word)


@pytest.mark.parametrize(
    "pattern",
    [r"\bsudo\b", r"\bapt(-get)?\s", r"\b(curl|wget)\b", r"\buseradd\b", r"chmod (-R )?[0-7]*7[0-7]{2}\b", r"\|"],
    ids=["sudo", "apt", "downloads", "useradd writes the day", "open to all", "a pipe hides a failure"],
)
def test_what_no_step_does(pattern: str) -> None:
    steps = [re.sub(r"'[^']*'", "''", rest) for rest in of("RUN")]
    assert len(steps) >= 5
    assert [] == [rest for rest in steps if re.search(pattern, rest)]


def test_lists_are_json() -> None:
    """A string would be run by a shell, which is PID 1 then and forwards no signal."""
    for word in ("ENTRYPOINT", "CMD"):
        assert all(isinstance(json.loads(rest), list) for rest in of(word))
    assert all(isinstance(json.loads(rest.partition(" CMD ")[2]), list) for rest in of("HEALTHCHECK"))


def test_directories_are_absolute() -> None:
    assert of("WORKDIR")
    assert all(rest.startswith("/") for rest in of("WORKDIR"))
    assert not [part for rest in of("RUN") for part in rest.split("&&") if re.match(r"\s*cd (?!/)", part)]


def test_an_edit_of_the_code_installs_no_dependency_again() -> None:
    """The lock is the only file of the context that the big stage sees, and code comes after what builds it."""
    for word, rest in stages()["dependencies"]:
        assert word in ("FROM", "RUN")
        assert re.findall(r"type=bind,source=([^,\s]+)", rest) in ([], ["requirements.lock"])
    project = stages()["project"]
    kinds = [word for word, _ in project]
    assert project[1][0] == "RUN"
    assert "--require-hashes" in project[1][1]
    assert kinds.index("COPY") > 1
    copied = [rest.split()[0] for word, rest in project if word == "COPY"]
    assert "config" == copied[-1]
    from_stages = [rest for word, rest in final_stage() if word == "COPY"]
    order = [re.findall(r"--from=(\w+)", rest)[0] for rest in from_stages]
    assert ["system", "dependencies", "project"] == order


def test_what_changes_with_each_commit_comes_last() -> None:
    words = [word for word, _ in final_stage()]
    assert words[-3:] == ["ARG", "ARG", "LABEL"]


def test_no_secret_can_be_given_to_a_build() -> None:
    """Build arguments stand in `docker history`: there are those of the labels, and no other."""
    assert [] == [name for name in secret_names() if name in DOCKERFILE]
    assert BUILD_ARGUMENTS == {rest.partition("=")[0] for rest in of("ARG")}
    assert [] == [rest for rest in of("COPY") if rest.split()[0] in (".", "./")]


def test_the_labels_say_which_version_this_is() -> None:
    found = labels()
    assert PROJECT["version"] == found["version"]
    assert PROJECT["license"] == found["licenses"]
    assert {"$REVISION", "$CREATED"} == {found["revision"], found["created"]}


# -- what gets into the build -------------------------------------------------------------------------------------


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
        "config/secrets/binance_api_key",
        "config/id_ed25519.pem",
        "binance_api_key",
        "pip.conf",
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
    copied = [name for rest in of("COPY") if "--from" not in rest and "<<" not in rest for name in rest.split()[:-1]]
    bound = re.findall(r"type=bind,source=([^,\s]+)", DOCKERFILE)
    assert copied
    assert bound
    for name in (*copied, *bound):
        files = [path for path in (ROOT / name, *(ROOT / name).rglob("*")) if path.is_file()]
        wanted = [str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts]
        assert wanted, name
        assert [] == [path for path in wanted if ignored(path)]
