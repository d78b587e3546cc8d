"""The image itself: what is in each layer, that two builds are one, and that a node trades and records in it.

It is built here, from a copy of the checkout in which secrets lie about. Nodes meet the exchange and the Redis of the host's
loopback (``--network host``), so this wants an engine that runs on this host, under Linux.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import CANARIES
from tests.containers.stack import docker
from tests.redis_server import RedisServer
from tests.venue.handle import Venue

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[2]
EPOCH = 1_767_225_600  # 2026-01-01, the time of a commit
DATE = 315_532_800  # 1980-01-01, which every file has
CREATED, REVISION = "2026-01-01T00:00:00Z", "0123456789abcdef0123456789abcdef01234567"
USER = 10001
STATE = "/var/lib/tradingnode"
HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp")
CANARY = b"canary-of-the-build-context"
# Where secrets lie in a real checkout, or may be left by mistake.
LEFT_ABOUT = (
    ".env",
    ".env.production",
    "config/.env",
    "config/binance_api_key",
    "config/clients/id_ed25519",
    "secrets/production/binance_api_secret",
    "secrets/testnet/redis_password",
    "strategies/mine.py",
    "pip.conf",
)
# What the Dockerfile takes out of packages, and what of the standard library has no place in a container.
LEFT_OUT = (
    "numpy._core._multiarray_tests",
    "numpy._core._operand_flag_tests",
    "numpy._core._rational_tests",
    "numpy._core._simd",
    "numpy._core._struct_ufunc_tests",
    "numpy._core._umath_tests",
    "pyarrow._flight",
    "pyarrow._pyarrow_cpp_tests",
    "pyarrow._s3fs",
    "pyarrow.flight",
)
READY_WITHIN_SECS = 60.0
POLL_SECS = 0.2
SLOWEST_HEALTH_MS = 1000


def context(folder: Path) -> Path:
    """Copy the checkout, without what tools made in it."""
    made = shutil.ignore_patterns(
        ".venv", ".git", "__pycache__", ".*_cache", ".coverage*", "secrets", ".env", "strategies"
    )
    return Path(shutil.copytree(ROOT, folder, ignore=made))


def build(folder: Path, tag: str, *options: str) -> str:
    """Build the image from ``folder`` with nothing taken from the cache, and return its id."""
    labels = ("--build-arg", f"REVISION={REVISION}", "--build-arg", f"CREATED={CREATED}")
    epoch = {"SOURCE_DATE_EPOCH": f"{EPOCH}"}
    docker("build", "--no-cache", "--progress=plain", *labels, *options, "-t", tag, str(folder), environ=epoch)
    return docker("image", "inspect", "-f", "{{.Id}}", tag).strip()


@pytest.fixture(scope="module")
def tags() -> Iterator[Callable[[], str]]:
    """Hand out tags for images, which are removed at the end."""
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "version"], check=False, capture_output=True).returncode
    ):
        pytest.fail("no Docker engine answers here: install Docker Engine 25 or newer, and start it")
    given: list[str] = []

    def tag() -> str:
        given.append(f"tradingnode:test-{uuid4().hex[:12]}")
        return given[-1]

    yield tag
    docker("image", "rm", *given, check=False)


@pytest.fixture(scope="module")
def image(tags: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the tag of an image that was built where secrets lie about, with one more in pip's configuration."""
    folder = context(tmp_path_factory.mktemp("canaries") / "checkout")
    for name in LEFT_ABOUT:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"# " + CANARY + b"\n")
    (folder / "pip.conf").write_bytes(b"[global]\ntimeout = 60\n[canary]\npassword = " + CANARY + b"\n")
    tag = tags()
    build(folder, tag, "--secret", f"id=pip,src={folder / 'pip.conf'}")
    return tag


@dataclass
class Saved:
    """An image as `docker save` writes it: its configuration, and the files of its layers, last one last."""

    files: dict[str, tarfile.TarInfo] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)
    bytecode: dict[str, bytes] = field(default_factory=dict)
    canaries: list[str] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)

    def names(self, pattern: str) -> list[str]:
        return sorted(name for name in self.files if re.search(pattern, name))


@pytest.fixture(scope="module")
def saved(image: str, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Read every byte of every layer."""
    path = tmp_path_factory.mktemp("saved") / "image.tar"
    docker("save", "-o", str(path), image)
    found = Saved()
    with tarfile.open(path) as outer:
        manifest = json.load(_opened(outer, "manifest.json"))
        layers = manifest[0]["Layers"]
        for member in outer:
            if member.isfile() and member.name not in layers:
                found.texts[member.name] = _opened(outer, member.name).read()
        for layer in layers:
            with tarfile.open(fileobj=_opened(outer, layer)) as inner:
                for member in inner:
                    _keep(found, inner, member)
    path.unlink()
    return found


def _opened(archive: tarfile.TarFile, name: str | tarfile.TarInfo) -> Any:
    opened = archive.extractfile(name)
    assert opened is not None
    return opened


def _keep(found: Saved, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    name = f"/{member.name.strip('/')}"
    found.files[name] = member
    if name.rpartition("/")[2].startswith(".wh."):
        found.hidden.append(name)
    if member.isfile():
        content = _opened(archive, member).read()
        if CANARY in content:
            found.canaries.append(name)
        if name.endswith(".pyc"):
            found.bytecode[name] = content[:8]


@pytest.fixture(scope="module")
def configured(image: str) -> dict[str, Any]:
    (found,) = json.loads(docker("image", "inspect", image))
    config: dict[str, Any] = found["Config"]
    return config


def run(image: str, *args: str, options: tuple[str, ...] = ()) -> str:
    """Return what a hardened container without any network says."""
    return docker("run", "--rm", *HARDENED, "--network", "none", *options, image, *args)


def run_python(image: str, script: str, options: tuple[str, ...] = ()) -> Any:
    """Return what a script, run in such a container, prints last, as JSON."""
    said = run(image, "-c", script, options=("--entrypoint", "python", *options))
    return json.loads(said.splitlines()[-1])


# -- what is in it ------------------------------------------------------------------------------------------------


def test_two_builds_without_a_cache_are_one_image(
    image: str, tags: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Same layers and same configuration, byte by byte, from another folder and without what lay about in the first."""
    again = build(context(tmp_path_factory.mktemp("again") / "checkout"), tags())
    layers = [docker("image", "inspect", "-f", "{{json .RootFS.Layers}}", name) for name in (image, again)]
    assert layers[0] == layers[1]
    assert docker("image", "inspect", "-f", "{{.Id}}", image).strip() == again


def test_no_secret_of_the_context_is_in_a_layer_or_in_the_history(image: str, saved: Saved) -> None:
    assert len(saved.files) > 10_000
    assert [] == saved.canaries
    assert [] == [name for name, text in saved.texts.items() if CANARY in text]
    assert CANARY.decode() not in docker("history", "--no-trunc", image)
    assert CANARY.decode() not in docker("image", "inspect", image)
    own = saved.names(rf"^({STATE}|/run/secrets|/strategies|/usr/local/lib/python[\d.]+/site-packages/config)/")
    files = [name for name in own if saved.files[name].isfile()]
    assert files
    assert [] == [name for name in files if not name.endswith((".py", ".pyc", ".toml"))]


def test_nothing_installs_or_compiles_and_nothing_is_left_over(saved: Saved) -> None:
    assert saved.names(r"/bin/python3\.12$")
    assert [] == saved.names(r"bin/(pip|uv|gcc|cc|c\+\+|g\+\+|clang|ld|as|make|cmake|git|curl|wget)[\d.-]*$")
    assert [] == saved.names(r"/(pip|setuptools|wheel|ensurepip)(-[\d.]+\.dist-info)?/")
    assert [] == saved.names(r"/pip\.conf$|/\.(cache|config)(/|$)|^/var/cache/.|^/var/lib/apt/lists/.|\.whl$")
    assert [] == saved.names(r"\.(pyx|pxd|pxi|pyi|h|hpp|a|o)$|site-packages/.*/tests(/|$)")
    assert [] == saved.hidden  # what a layer removes is still in the one before


def test_files_belong_to_root_and_nobody_gains_rights_by_them(saved: Saved) -> None:
    owners = {name: (member.uid, member.gid) for name, member in saved.files.items()}
    assert (USER, USER) == owners.pop(STATE)
    assert [] == [name for name, (uid, _) in owners.items() if uid != 0]
    files = {name: member for name, member in saved.files.items() if member.isfile()}
    assert [] == [name for name, member in files.items() if member.mode & 0o6002]
    folders = {name: member for name, member in saved.files.items() if member.isdir()}
    assert [] == [name for name, member in folders.items() if member.mode & 0o002 and not member.mode & 0o1000]


def test_every_file_has_the_same_date(saved: Saved) -> None:
    assert {DATE} == {int(member.mtime) for member in saved.files.values()}


def test_everything_has_bytecode_that_asks_for_no_date(saved: Saved) -> None:
    """Without it a read-only container compiles the standard library anew in every process."""
    sources = saved.names(r"^/usr/local/lib/python3\.12/.*\.py$")
    compiled = {re.sub(r"__pycache__/([^/]+)\.cpython-312\.pyc$", r"\1.py", name) for name in saved.bytecode}
    assert len(sources) > 2000
    assert [] == [name for name in sources if name not in compiled]
    unchecked = (1).to_bytes(4, "little")
    assert {unchecked} == {header[4:8] for header in saved.bytecode.values()}


def test_the_configuration_says_how_it_runs(configured: dict[str, Any]) -> None:
    assert ["tradingnode"] == configured["Entrypoint"]
    assert ["run"] == configured["Cmd"]
    assert f"{USER}:{USER}" == configured["User"]
    assert STATE == configured["WorkingDir"]
    assert {STATE: {}} == configured["Volumes"]
    assert not configured.get("ExposedPorts")
    assert ["CMD", "tradingnode", "health"] == configured["Healthcheck"]["Test"]
    assert configured["Healthcheck"]["StartInterval"] == 1_000_000_000
    names = {text.partition("=")[0] for text in configured["Env"]}
    assert {"PATH", "LANG", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "NAUTILUS_STATE_DIR"} == names


def test_the_labels_say_what_it_was_built_from(image: str, configured: dict[str, Any]) -> None:
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in configured["Labels"].items()}
    assert (REVISION, CREATED) == (labels["revision"], labels["created"])
    version = run_python(
        image, "import importlib.metadata as m, json; print(json.dumps(m.version('tradingnode-config')))"
    )
    assert version == labels["version"]


# -- that it is enough --------------------------------------------------------------------------------------------


PACKAGES = (
    *("config", "nautilus_trader", "numpy", "pandas", "pyarrow", "pydantic", "pydantic_settings", "redis", "rich"),
    *("msgspec", "prometheus_client", "fsspec", "uvloop", "certifi", "click", "dotenv", "dateutil", "pytz", "pygments"),
)
IMPORT_ALL = f"""
import contextlib, importlib, json, os, pkgutil, sys, warnings
warnings.simplefilter("ignore")
imported, failed = [], {{}}
def walk(package):
    for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        last = found.name.rpartition(".")[2]
        if last in ("tests", "__main__") or last.startswith("test_"):
            continue
        try:
            module = importlib.import_module(found.name)
        except BaseException as error:
            failed[found.name] = str(getattr(error, "name", None))
            continue
        imported.append(found.name)
        if found.ispkg:
            walk(module)
with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
    for name in {PACKAGES}:
        walk(importlib.import_module(name))
print(json.dumps([imported, failed]))
"""


def test_what_can_be_imported_here_can_be_imported_there(image: str) -> None:
    """Every module of every package, tests excepted: the image lacks what the table names, and nothing else."""
    command = [str(ROOT / ".venv/bin/python"), "-c", IMPORT_ALL]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    here, _ = json.loads(done.stdout.splitlines()[-1])
    there, failed = run_python(image, IMPORT_ALL)
    assert len(there) > 1000
    # Optional parts of packages, for what stands in the lock of development only; their modules are not looked for.
    other = {name for name, wanted in failed.items() if wanted.partition(".")[0] not in (*PACKAGES, "None")}
    lacking = {name for name in set(here) - set(there) if not name.startswith(tuple(other))}
    assert set(LEFT_OUT) == lacking


@pytest.mark.parametrize("command", ["run", "check", "health", "show", "doctor", "halt", "flatten", "reset"])
def test_each_command_starts_where_nothing_can_be_written(image: str, command: str) -> None:
    assert f"Usage: tradingnode {command}" in run(image, command, "--help", options=("--init",))


def test_the_user_of_the_process_is_nobody_special(image: str) -> None:
    status = run_python(
        image,
        "import json; print(json.dumps(dict(line.split(':\\t') for line in open('/proc/self/status').read().splitlines()"
        " if line.startswith(('Uid', 'Gid', 'CapEff', 'CapBnd', 'NoNewPrivs')))))",
    )
    assert {f"{USER}"} == {*status["Uid"].split(), *status["Gid"].split()}
    assert {0} == {int(status["CapEff"], 16), int(status["CapBnd"], 16)}
    assert "1" == status["NoNewPrivs"]


def test_a_health_check_costs_little(image: str) -> None:
    """It runs every ten seconds for as long as the node does; docs/image.md has what was measured."""
    took = run_python(
        image,
        "import json, subprocess, time\n"
        "def ms():\n"
        "    began = time.monotonic()\n"
        "    assert subprocess.run(['tradingnode', 'health'], capture_output=True).returncode == 7\n"
        "    return (time.monotonic() - began) * 1000\n"
        "print(json.dumps(min(ms() for _ in range(5))))",
    )
    assert took < SLOWEST_HEALTH_MS


# -- a node in it -------------------------------------------------------------------------------------------------


CASES = {
    "Binance futures": ("BINANCE", "USDT_FUTURES", "BTCUSDT-PERP.BINANCE", {}),
    "Binance spot": ("BINANCE", "SPOT", "BTCUSDT.BINANCE", {}),
    "Bybit": ("BYBIT", "USDT_FUTURES", "BTCUSDT-LINEAR.BYBIT", {}),
    "simulated": ("BINANCE", "USDT_FUTURES", "BTCUSDT-PERP.BINANCE", {"NAUTILUS_PRESET": "sandbox"}),
}
READ_CATALOG = f"""
import json, pathlib
from nautilus_trader.model.data import QuoteTick, TradeTick
from nautilus_trader.persistence.catalog import ParquetDataCatalog
(config,) = pathlib.Path("{STATE}/catalog").rglob("config.json")
run = config.parent
catalog = ParquetDataCatalog(str(run.parent.parent))
rows = {{}}
for kind in (QuoteTick, TradeTick):
    catalog.convert_stream_to_data(run.name, kind, subdirectory=run.parent.name)
    rows[kind.__name__] = len(catalog.query(kind))
rows["parquet"] = len(list(run.parent.parent.rglob("*.parquet")))
print(json.dumps(rows))
"""


def until(container: str, what: Callable[[], bool]) -> None:
    end = time.monotonic() + READY_WITHIN_SECS
    while not what():
        running = docker("inspect", "-f", "{{.State.Running}}", container).strip() == "true"
        assert running, docker("logs", container)
        assert time.monotonic() < end, docker("logs", container)
        time.sleep(POLL_SECS)


@pytest.fixture
def container() -> Iterator[str]:
    name = f"tradingnode-test-{uuid4().hex[:12]}"
    yield name
    docker("rm", "-f", "-v", name, check=False)


def secrets_of(folder: Path, account_type: str) -> Path:
    """Write the canary secrets as files that the container's user may read."""
    folder.mkdir()
    for name, text in CANARIES.items():
        for_spot = name.replace("FUTURES_", "") if account_type == "SPOT" else name
        (folder / for_spot.lower()).write_text(text)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_a_node_trades_and_records(
    case: str, image: str, container: str, redis: RedisServer, venue: Venue, tmp_path: Path
) -> None:
    """Healthy, three orders, exit 0 when stopped, and a catalog that can be read: on a read-only file system."""
    venue_name, account_type, instrument, more = CASES[case]
    secrets = secrets_of(tmp_path / "secrets", account_type)
    (tmp_path / "strategy.json").write_text(json.dumps({"instrument_id": instrument, "quantity": "0.010"}))
    environ = {
        "NAUTILUS_PRESET": "testnet",
        "NAUTILUS_TRADER_ID": f"I{abs(hash(container)) % 10**6}-001",
        "NAUTILUS_VENUES": venue_name,
        "NAUTILUS_SECRETS_DIR": "/run/secrets",
        "NAUTILUS_CATALOG_PATH": f"{STATE}/catalog",
        "NAUTILUS_FLUSH_INTERVAL_MS": "100",
        "BINANCE_ACCOUNT_TYPE": account_type,
        **redis.environ,
        **{name: url for name, url in venue.environ(account_type).items() if name.startswith(venue_name)},
        **more,
    }
    assert not set(CANARIES) & environ.keys()
    mounts = {ROOT / "examples/strategies": "/strategies", tmp_path / "strategy.json": "/strategy.json"}
    mounts[secrets] = "/run/secrets"
    docker(
        *("run", "--detach", "--name", container, "--init", "--network", "host", *HARDENED),
        *(part for source, target in mounts.items() for part in ("-v", f"{source}:{target}:ro")),
        *(part for name, text in environ.items() for part in ("-e", f"{name}={text}")),
        *(image, "run", "--strategy", "/strategies/round_trip.py:RoundTrip", "--strategy-config", "/strategy.json"),
    )
    state = ("inspect", "-f", "{{.State.Status}} {{.State.Health.Status}} {{.State.ExitCode}}", container)
    until(container, lambda: docker(*state).strip() == "running healthy 0")
    until(container, lambda: docker("logs", container).count("OrderFilled(") >= 2)
    time.sleep(0.5)  # for a flush
    docker("stop", container)
    assert "0" == docker(*state).split()[-1], docker("logs", container)
    said = docker("logs", container)
    assert re.search(r"in this run: 1 CANCELED,.* 2 FILLED", said), said
    assert [] == [name for name, text in CANARIES.items() if text in said or text in docker("inspect", container)]
    rows = run_python(image, READ_CATALOG, options=("--volumes-from", container))
    assert all(rows[kind] > 0 for kind in ("QuoteTick", "TradeTick", "parquet")), rows
