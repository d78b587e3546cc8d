"""What the systemd unit and the Kubernetes files must keep, read from the files; and a node under a service manager's socket."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from config.health.command import OPTIONS
from config.live.runner import WATCHDOG_MARGIN_SECS
from config.models import TradingNodeSettings
from config.preflight.venues import BUDGET_SECS
from config.presets import PRESETS
from config.problems import ExitCode
from config.settings.sources import read_secrets_dir
from config.settings.variables import former_names, known_names, secret_names
from config.store.lease import TIME_TO_LIVE_SECS
from tests.conftest import CANARIES, Start
from tests.test_docker_files import PROJECT, block

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "deploy/systemd/tradingnode@.service"
KUBERNETES = ROOT / "deploy/kubernetes"
STATEFUL = {"node.yaml": "node", "redis.yaml": "redis"}
STOP_MARGIN_SECS = 5
# Imports on a cold disk take 7 s, building a node and Redis' own checks a few more.
START_MARGIN_SECS = 30
# A person has to mend these; another try does not.
FINAL = (ExitCode.USAGE, ExitCode.WARNINGS, ExitCode.SETTINGS, ExitCode.CREDENTIALS, ExitCode.REFUSED)
CURRENT_SECRETS = {name.lower() for name in secret_names() - former_names().keys()}


def stop_timeout() -> float:
    return float(TradingNodeSettings.model_fields["stop_timeout"].default)


def longest_start() -> float:
    """Return the most seconds that a node with the default settings takes to become ready or to give up."""
    waits = ("connection_timeout", "reconciliation_timeout")
    ready = sum(TradingNodeSettings.model_fields[name].default for name in waits) + 10
    return float(ready + TIME_TO_LIVE_SECS + BUDGET_SECS + START_MARGIN_SECS)


# -- the unit -----------------------------------------------------------------------------------------------------


def unit(section: str) -> list[tuple[str, str]]:
    """Return the settings of a section of the unit in their order."""
    found: list[tuple[str, str]] = []
    inside = False
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            inside = line == f"[{section}]"
        elif inside and line and not line.startswith("#"):
            name, equals, value = line.partition("=")
            assert equals, line
            found.append((name, value))
    return found


def of_service(name: str) -> list[str]:
    return [value for key, value in unit("Service") if key == name]


def seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+)(s|min|h)", text)
    assert match is not None, text
    return int(match[1]) * {"s": 1, "min": 60, "h": 3600}[match[2]]


def environment() -> dict[str, str]:
    pairs = (value.partition("=") for value in of_service("Environment"))
    return {name: value for name, _, value in pairs}


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here to read the unit; the other tests read it as text")
    # It looks for the program, which need not be installed where tests run.
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/tradingnode/bin/tradingnode", "/bin/true"))
    done = subprocess.run([analyze, "verify", "--man=no", str(copy)], check=False, capture_output=True, text=True)
    assert (0, "") == (done.returncode, done.stderr)


def test_the_node_tells_the_manager_itself() -> None:
    assert ["notify"] == of_service("Type")
    assert ["main"] == of_service("NotifyAccess")
    (command,) = of_service("ExecStart")
    assert "/opt/tradingnode/bin/tradingnode run $RUN_ARGUMENTS" == command
    assert "tradingnode" in PROJECT["scripts"]


def test_what_no_try_mends_is_not_tried_again() -> None:
    assert ["on-failure"] == of_service("Restart")
    (codes,) = of_service("RestartPreventExitStatus")
    assert {int(code) for code in FINAL} == {int(code) for code in codes.split()}


def test_a_node_that_fails_again_and_again_stays_down() -> None:
    limits = dict(unit("Unit"))
    starts, window = int(limits["StartLimitBurst"]), seconds(limits["StartLimitIntervalSec"])
    (pause,) = of_service("RestartSec")
    # Otherwise so many starts never fall into the window, and there is no limit.
    assert starts * seconds(pause) < window


def test_the_node_may_take_its_time_to_start_and_to_stop() -> None:
    (start,), (stop,) = of_service("TimeoutStartSec"), of_service("TimeoutStopSec")
    assert seconds(start) >= longest_start()
    assert seconds(stop) >= stop_timeout() + WATCHDOG_MARGIN_SECS + STOP_MARGIN_SECS


def test_every_secret_comes_as_a_credential_and_none_as_a_variable() -> None:
    loaded = dict(value.split(":") for value in of_service("LoadCredential"))
    assert CURRENT_SECRETS == loaded.keys()
    # A relative name is looked for in /etc/credstore, and may be missing there.
    assert {name: f"tradingnode-%i.{name}" for name in loaded} == loaded
    assert "%d" == environment()["NAUTILUS_SECRETS_DIR"]
    assert not {name.removesuffix("_FILE") for name in environment()} & secret_names()
    # The folder of credentials is there also where none of them is.
    assert of_service("SetCredential")


def test_every_variable_of_the_unit_is_known() -> None:
    assert {"NAUTILUS_STATE_DIR", "NAUTILUS_SECRETS_DIR"} == environment().keys() - {"RUN_ARGUMENTS"}
    assert environment().keys() - {"RUN_ARGUMENTS"} <= known_names()
    assert f"%S/{of_service('StateDirectory')[0]}" == environment()["NAUTILUS_STATE_DIR"]


@pytest.mark.parametrize(
    "name, value",
    [
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
        ("SystemCallFilter", "@system-service"),
        ("SystemCallFilter", "~@privileged @resources"),
        ("UMask", "0077"),
        ("LimitCORE", "0"),
    ],
)
def test_the_unit_is_hardened(name: str, value: str) -> None:
    assert value in of_service(name)


def test_instances_are_apart() -> None:
    for name in ("User", "StateDirectory", "EnvironmentFile"):
        assert all("%i" in value for value in of_service(name)), name


# -- a node under a service manager -------------------------------------------------------------------------------


def until(seen: Callable[[], bool], listening: socket.socket, said: list[str], limit: float = 30) -> None:
    """Take in what is said until ``seen``; each datagram is one message of several fields."""
    deadline = time.monotonic() + limit
    while not seen():
        assert time.monotonic() < deadline, said
        said.append(listening.recv(4096).decode())


def test_a_node_says_ready_beats_and_stops_as_the_unit_expects(
    testnet: dict[str, str], start: Start, tmp_path: Path
) -> None:
    """The unit's environment and command, against a socket as the manager has one, with secrets as credentials have them."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name, secret in CANARIES.items():
        (credentials / name.lower()).write_text(secret)
        (credentials / name.lower()).chmod(0o400)
    credentials.chmod(0o500)
    replaced = {"%S": str(tmp_path), "%i": "testnet", "%d": str(credentials)}
    own = {name: re.sub("%[Sid]", lambda match: replaced[match[0]], text) for name, text in environment().items()}
    Path(own["NAUTILUS_STATE_DIR"]).mkdir(parents=True, mode=0o700)
    plain = {name: value for name, value in testnet.items() if name not in secret_names()}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        manager = {
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": str(int(seconds(of_service("WatchdogSec")[0]) * 1_000_000)),
        }
        (command,) = of_service("ExecStart")
        words = [word for word in command.split()[1:] if word != "$RUN_ARGUMENTS"]
        node = start(*words, environ={**plain, **own, **manager, "NAUTILUS_PRESET": "testnet"})
        said: list[str] = []
        until(lambda: any("READY=1" in text.split("\n") for text in said), listening, said)
        beats = said.count("WATCHDOG=1")
        until(lambda: said.count("WATCHDOG=1") >= beats + 2, listening, said)
        node.send(signal.SIGTERM)
        until(lambda: any("STOPPING=1" in text.split("\n") for text in said), listening, said)
        assert ExitCode.OK == node.wait()
    assert not [secret for secret in CANARIES.values() if secret in "".join(said)]


# -- Kubernetes ---------------------------------------------------------------------------------------------------


def yaml(file: str) -> str:
    """Return a file without its comments."""
    lines = (KUBERNETES / file).read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def below(text: str, key: str) -> str:
    """Return what stands below the first ``key`` of a text, or beside it."""
    match = re.search(rf"^( *)(?:- )?{key}:(.*)\n((?:\1 +.*\n|\n)*)", text + "\n", re.MULTILINE)
    assert match is not None, key
    return match[2].strip() + match[3]


def number(text: str, key: str) -> int:
    """Return the one number that stands behind ``key``."""
    (found,) = re.findall(rf"^ *{key}: (\d+)$", text, re.MULTILINE)
    return int(found)


def settings_of_the_pod() -> dict[str, str]:
    data = re.findall(r"^  (\w+): (.+)$", below(yaml("settings.yaml"), "data"), re.MULTILINE)
    given = re.findall(r"\{name: (\w+), value: ([^}]+)\}", yaml("node.yaml"))
    assert data
    assert given
    return {name: value.strip('"') for name, value in (*data, *given)}


def test_kustomize_names_every_file() -> None:
    listed = set(re.findall(r"^  - (\S+\.yaml)$", yaml("kustomization.yaml"), re.MULTILINE))
    assert {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"} == listed
    assert f"newTag: {PROJECT['version']}" in yaml("kustomization.yaml")


def test_kustomize_takes_them() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl here to read the files; the other tests read them as text")
    done = subprocess.run([kubectl, "kustomize", str(KUBERNETES)], check=False, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    assert 8 == len(re.findall(r"^kind: ", done.stdout, re.MULTILINE))


def test_every_variable_of_the_pod_is_known_and_none_is_a_secret() -> None:
    given = settings_of_the_pod()
    assert given.keys() <= known_names()
    assert not {name.removesuffix("_FILE") for name in given} & secret_names()
    assert given["NAUTILUS_PRESET"] in PRESETS
    assert re.search(rf"name: state, mountPath: {given['NAUTILUS_STATE_DIR']}\}}", yaml("node.yaml"))
    assert re.search(rf"name: secrets, mountPath: {given['NAUTILUS_SECRETS_DIR']},", yaml("node.yaml"))
    # No Secret with values stands in the files: it is made from a folder.
    assert not re.search("^kind: Secret", "".join(yaml(path.name) for path in KUBERNETES.glob("*.yaml")), re.MULTILINE)


@pytest.mark.parametrize("file", STATEFUL)
def test_the_pods_are_hardened_and_alone(file: str) -> None:
    text = yaml(file)
    for wanted in (
        "kind: StatefulSet",
        "replicas: 1",
        "podManagementPolicy: Parallel",
        "enableServiceLinks: false",
        "automountServiceAccountToken: false",
        "runAsNonRoot: true",
        "seccompProfile: {type: RuntimeDefault}",
        "allowPrivilegeEscalation: false",
        "readOnlyRootFilesystem: true",
        "capabilities: {drop: [ALL]}",
    ):
        assert wanted in text, wanted
    assert not re.search(r"\b(hostNetwork|hostPID|hostPath|privileged|hostPort|NodePort|LoadBalancer)\b", text)
    assert re.search(r"limits: \{memory: \w+\}", text)
    assert not re.search(r"name: \w+(_KEY|_SECRET|_PASSWORD)\b|secretKeyRef|secretRef", text)


def test_the_user_is_the_image_s() -> None:
    (user, group) = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[-1]
    context = below(yaml("node.yaml"), "securityContext")
    assert (int(user), int(group)) == (number(context, "runAsUser"), number(context, "runAsGroup"))
    assert int(group) == number(context, "fsGroup")


def test_the_pod_may_take_its_time_to_stop_and_to_start() -> None:
    text = yaml("node.yaml")
    grace = int(re.findall(r"^      terminationGracePeriodSeconds: (\d+)$", text, re.MULTILINE)[0])
    stated = float(settings_of_the_pod()["NAUTILUS_STOP_TIMEOUT"])
    assert grace >= max(stop_timeout(), stated) + WATCHDOG_MARGIN_SECS + STOP_MARGIN_SECS
    probe = below(text, "startupProbe")
    # It asks for life, which begins before the clients connect.
    before_life = TIME_TO_LIVE_SECS + BUDGET_SECS + START_MARGIN_SECS
    assert number(probe, "periodSeconds") * number(probe, "failureThreshold") >= before_life


def test_only_readiness_asks_whether_the_node_is_ready() -> None:
    """A node that was halted, or whose venue is away, must neither be killed nor kept from starting."""
    commands = {}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        (command,) = re.findall(r"exec: \{command: \[([^]]+)\]\}", below(yaml("node.yaml"), probe))
        program, name, *options = [word.strip(' "') for word in command.split(",")]
        assert ("tradingnode", "health") == (program, name)
        assert {option for option in options if option.startswith("-")} <= OPTIONS.keys()
        commands[probe] = "--live" in options
    assert {"startupProbe": True, "readinessProbe": False, "livenessProbe": True} == commands


def test_redis_is_that_of_the_compose_stack() -> None:
    """One script, written down twice: what its users may do must not differ."""
    compose = block("testnet", "services", "redis", "command").replace("$$", "$").partition("- |\n")[2]
    cluster = below(yaml("redis.yaml"), "command").partition("- |\n")[2]
    assert textwrap.dedent(compose).strip() == textwrap.dedent(cluster).strip()
    assert "exec redis-server" in cluster
    image = block("testnet", "services", "redis", "image")
    assert f"image: {image}\n" in yaml("redis.yaml")
    assert "clusterIP: None" in yaml("redis.yaml")


def test_redis_is_reached_by_the_node_alone() -> None:
    policies = yaml("network.yaml").split("---")
    for policy in policies:
        assert "policyTypes: [Ingress, Egress]" in policy
    redis = next(policy for policy in policies if "ingress:" in policy)
    assert "egress:" not in redis
    assert ["tradingnode-redis", "tradingnode"] == re.findall(r"app.kubernetes.io/name: ([\w-]+)\}", redis)


def test_a_secret_volume_is_read(tmp_path: Path) -> None:
    """Kubernetes mounts a Secret as links into a folder that is swapped when it changes."""
    swapped = tmp_path / "..2026_01_01_00_00_00.1"
    swapped.mkdir()
    (tmp_path / "..data").symlink_to(swapped.name)
    for name, secret in CANARIES.items():
        (swapped / name.lower()).write_text(secret)
        (tmp_path / name.lower()).symlink_to(f"..data/{name.lower()}")
    found = read_secrets_dir(str(tmp_path), must_exist=True)
    assert CANARIES.keys() == found.entries.keys()
    assert () == found.problems
