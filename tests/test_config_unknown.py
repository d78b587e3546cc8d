"""A name that nothing reads is told where it is surely meant for us, and what is somebody else's is left in peace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from config.kinds import kinds
from config.problems import Origin, Problem
from config.settings.loading import validate_all
from config.settings.sources import ENVIRONMENT, Source, read_env_file, read_environ, read_secrets_dir
from config.settings.unknown import PREFIXES, told_of_unknown
from config.settings.variables import KEY_NAMES, SPECIAL, former_names, known_names, secret_names, variables

# Every value here holds this, and nothing that is told may.
CANARY = "canary7f3a9"
SOURCES = ("file", "environment")
NOTHING_READS = "{} is not a variable that anything reads"
REMOVE = "remove it; `tradingnode schema` lists the names that are read"


def read(folder: Path, source: str, pairs: Mapping[str, str]) -> Source:
    if source == "environment":
        return read_environ(pairs)
    path = folder / ".env"
    path.write_text("".join(f"{name}={text}\n" for name, text in pairs.items()))
    path.chmod(0o600)
    return read_env_file(path, must_exist=True)


def told(folder: Path, source: str, name: str, value: str = CANARY) -> tuple[Problem, ...]:
    """Return what is told of one name in a source; a value is never repeated."""
    found = read(folder, source, {name: value}).problems
    assert CANARY not in f"{found!r}{[problem.to_dict() for problem in found]}"
    assert {problem.code for problem in found} <= kinds().keys()
    return found


def named(folder: Path, source: str, key: str, line: int = 1) -> Origin:
    return Origin(ENVIRONMENT, key) if source == "environment" else Origin(str(folder / ".env"), key, line)


# --- misspelt --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "name, near",
    [
        ("NAUTILUS_TRADERID", "NAUTILUS_TRADER_ID"),
        ("NAUTILUS_TRADER_IDD", "NAUTILUS_TRADER_ID"),
        ("NAUTLIUS_TRADER_ID", "NAUTILUS_TRADER_ID"),  # neighbours swapped, and none of our prefixes
        ("NAUTILUS_LOGLEVEL", "NAUTILUS_LOG_LEVEL"),
        ("NAUTILUS_LOG_LEVELS", "NAUTILUS_LOG_LEVEL"),
        ("NAUTILUS_VENUE", "NAUTILUS_VENUES"),
        ("BINANCE_APIKEY", "BINANCE_API_KEY"),
        ("BINANCE_API_SECRETS", "BINANCE_API_SECRET"),
        ("BINANCE_ACOUNT_TPYE", "BINANCE_ACCOUNT_TYPE"),
        ("BINANCE_FUTURES_TESTNET_API_KEI", "BINANCE_FUTURES_TESTNET_API_KEY"),
        ("BINANACE_TESTNET", "BINANCE_TESTNET"),
        ("BYBIT_PRODUCT_TYPE", "BYBIT_PRODUCT_TYPES"),
        ("BYBYT_DEMO", "BYBIT_DEMO"),
        ("REDIS_PROT", "REDIS_PORT"),
        ("REDIS_PASSWORT", "REDIS_PASSWORD"),
        ("REDIS_URI", "REDIS_URL"),
        ("REDS_HOST", "REDIS_HOST"),
        ("REDISHOST", "REDIS_HOST"),
        ("REDIS_PASSWORD_FIEL", "REDIS_PASSWORD_FILE"),
        ("NAUTILUS_PRESETS", "NAUTILUS_PRESET"),
        ("NAUTILUS_SECRET_DIR", "NAUTILUS_SECRETS_DIR"),
    ],
)
def test_a_slip_is_told_with_the_name_that_was_meant_in_every_source(
    tmp_path: Path, source: str, name: str, near: str
) -> None:
    expected = Problem(
        "TN305", name, NOTHING_READS.format(name), f"did you mean {near}?", (near,), named(tmp_path, source, name)
    )
    assert (expected,) == told(tmp_path, source, name)


@pytest.mark.parametrize("name", sorted(known_names() - former_names().keys()))
def test_every_name_with_one_letter_too_many_is_told_in_the_process_environment(tmp_path: Path, name: str) -> None:
    """Of each name of ours, also of those that only belong to one environment's key or hold the path of a file."""
    if name.removesuffix("_FILE") in former_names():
        return
    (problem,) = told(tmp_path, "environment", f"{name}X")
    assert ("TN305", f"did you mean {name}?") == (problem.code, problem.fix)


def test_a_former_name_is_never_recommended(tmp_path: Path) -> None:
    (problem,) = told(tmp_path, "file", "NAUTILUS_TIMEOUT_CONNECTIONS")
    assert ("TN305", REMOVE, ()) == (problem.code, problem.fix, problem.accepted)
    (near,) = told(tmp_path, "file", "NAUTILUS_LOG_FILE_FORMATS")
    assert "NAUTILUS_LOG_FILE_FORMAT" not in near.accepted


@pytest.mark.parametrize(
    "name", ["NAUTILUS_STRATEGY", "NAUTILUS_ENV_FILE", "NAUTILUS_", "NAUTILUS_TRADER_ID_OF_THE_DAY", "NAUTILUS_API_KEY"]
)
@pytest.mark.parametrize("source", SOURCES)
def test_whatever_begins_with_nautilus_is_told_in_every_source(tmp_path: Path, source: str, name: str) -> None:
    expected = Problem("TN305", name, NOTHING_READS.format(name), REMOVE, (), named(tmp_path, source, name))
    assert (expected,) == told(tmp_path, source, name)


@pytest.mark.parametrize(
    "name",
    [
        "BINANCE_WEBHOOK",
        "BINANCE_RECV_WINDOW",
        "BYBIT_SUBACCOUNT",
        "REDIS_MAXMEMORY_POLICY",
        "REDIS_USER",
        "REDIS_PASS",
        "REDIS_CACHE_URL",
        "REDIS_MASTER_HOST",
    ],
)
def test_the_other_prefixes_are_ours_alone_only_in_a_file(tmp_path: Path, name: str) -> None:
    """In a shell they may be for a tool of the exchange, or for another program's Redis."""
    expected = Problem("TN305", name, NOTHING_READS.format(name), REMOVE, (), named(tmp_path, "file", name))
    assert (expected,) == told(tmp_path, "file", name)
    assert () == told(tmp_path, "environment", name)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_prefix_of_our_names_is_one_of_these(prefix: str) -> None:
    assert any(name.startswith(prefix) for name in variables())
    assert all(name.startswith(PREFIXES) for name in known_names())


@pytest.mark.parametrize(
    "name",
    ["DATABASE_URL", "API_KEY", "TRADER_ID", "REDIS", "LOG_LEVEL", "MY_BINANCE_API_KEY", "NAUTILUS", "nautilus_x"],
)
@pytest.mark.parametrize("source", SOURCES)
def test_names_without_our_prefixes_are_nobodys_business(tmp_path: Path, source: str, name: str) -> None:
    assert () == told(tmp_path, source, name)


# --- somebody else's -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "name, value",
    [
        ("NAUTILUS_PATH", "/catalog"),
        ("NAUTILUS_LOG", "stdout=Info"),
        ("NAUTILUS_WORKER_THREADS", "2"),
        ("REDIS_VERSION", "8.0.1"),
        ("REDIS_DOWNLOAD_URL", "https://download.redis.io/x"),
        ("REDIS_ARGS", "--save 60 1"),
        ("REDIS_SERVICE_HOST", "10.0.0.1"),
        ("REDIS_SERVICE_PORT_TCP_REDIS", "6379"),
        ("REDIS_PORT_6379_TCP", "tcp://10.0.0.1:6379"),
        ("REDIS_PORT_6379_TCP_ADDR", "10.0.0.1"),
        ("NAUTILUS_PORT", "tcp://10.0.0.1:80"),
        ("NAUTILUS_SERVICE_HOST", "10.0.0.1"),
        ("REDIS_NAME", "/web/redis"),
        ("REDIS_ENV_REDIS_VERSION", "8.0.1"),
        ("NODE_STOP_GRACE", "40s"),
    ],
)
def test_what_nautilus_redis_images_kubernetes_and_docker_set_is_silent(
    tmp_path: Path, source: str, name: str, value: str
) -> None:
    assert () == told(tmp_path, source, name, value)


@pytest.mark.parametrize("value", ["tcp://10.0.0.1:6379", "udp://10.0.0.1:6379", "sctp://[fd00::1]:6379"])
def test_a_service_link_that_has_one_of_our_names_is_ignored_with_a_note_in_the_process_environment(
    tmp_path: Path, value: str
) -> None:
    source = read_environ({"REDIS_PORT": value, "REDIS_HOST": "redis"})
    message = "REDIS_PORT is Kubernetes' or Docker's service link, not a setting: it is ignored"
    note = Problem("TN002", "REDIS_PORT", message, "", origin=Origin(ENVIRONMENT, "REDIS_PORT"))
    assert (note,) == source.problems
    assert "note" == note.severity
    assert ["REDIS_HOST"] == list(source.entries)
    # Nobody but its user writes a file.
    assert {"REDIS_PORT"} == read(tmp_path, "file", {"REDIS_PORT": value}).entries.keys()


def test_a_service_link_does_not_hide_what_a_file_says(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("NAUTILUS_TRADER_ID=T-1\nREDIS_HOST=localhost\nREDIS_PORT=7000\nNAUTILUS_VENUES=BYBIT\n")
    base = {"HOME": "/home/trader", "NAUTILUS_SECRETS_DIR": "/"}
    found = validate_all(env_file=path, environ={**base, "REDIS_PORT": "tcp://10.0.0.1:6379"})
    assert ["TN002"] == [problem.code for problem in found]
    assert ["TN002", "TN401"] == [
        problem.code
        for problem in validate_all(
            env_file=path,
            environ={**base, "REDIS_PORT": "tcp://10.0.0.1:6379", "REDIS_TIMEOUT": "tcp://10.0.0.1:6379"},
        )
    ]


# --- tried and answered ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "name, value, code",
    [
        ("REDIS_DB", "0", "TN003"),
        ("REDIS_DB", "", "TN003"),
        ("REDIS_DB", "1", "TN414"),
        ("REDIS_DB", CANARY, "TN414"),
        ("REDIS_TLS", "false", "TN003"),
        ("REDIS_TLS", "true", "TN414"),
        ("NAUTILUS_FLUSH_ON_START", "no", "TN003"),
        ("NAUTILUS_FLUSH_ON_START", "yes", "TN414"),
        ("NAUTILUS_RECONCILIATION", "1", "TN003"),
        ("NAUTILUS_RECONCILIATION", "0", "TN414"),
        ("NAUTILUS_RISK_BYPASS", "FALSE", "TN003"),
        ("NAUTILUS_RISK_BYPASS", "TRUE", "TN414"),
        ("BINANCE_LISTEN_KEY_PING_MAX_FAILURES", CANARY, "TN003"),
    ],
)
def test_a_name_that_is_often_tried_is_answered_and_refused_only_if_its_value_asks_for_something(
    tmp_path: Path, source: str, name: str, value: str, code: str
) -> None:
    (problem,) = told(tmp_path, source, name, value)
    assert (code, name, named(tmp_path, source, name)) == (problem.code, problem.key, problem.origin)
    assert {"TN003": "note", "TN414": "error"}[code] == problem.severity
    assert problem.message.startswith(f"{name} is not read: ")
    assert problem.fix.startswith("remove it")


# --- nearly written as it should be ----------------------------------------------------------------------------------

WRITTEN = [
    # (what was written, what is shown of it, what was meant, what is wrong with it)
    ("redis_port", "redis_port", "REDIS_PORT", "it is in lower case"),
    ("Redis_Port", "Redis_Port", "REDIS_PORT", "it is partly in lower case"),
    ("nautilus_trader_id", "nautilus_trader_id", "NAUTILUS_TRADER_ID", "it is in lower case"),
    ("binance_api_key_file", "binance_api_key_file", "BINANCE_API_KEY_FILE", "it is in lower case"),
    ("REDIS-PORT", "REDIS-PORT", "REDIS_PORT", "it has hyphens instead of underscores"),
    ("REDIS.PORT", "REDIS.PORT", "REDIS_PORT", "it has dots instead of underscores"),
    ('"REDIS_PORT"', '"REDIS_PORT"', "REDIS_PORT", "it stands in quotes"),
    ("\ufeffREDIS_PORT", "\\ufeffREDIS_PORT", "REDIS_PORT", "it begins with a byte order mark, U+FEFF"),
    ("REDIS_\u200bPORT", "REDIS_\\u200bPORT", "REDIS_PORT", "it holds an invisible character, U+200B"),
    ("R\u0415DIS_PORT", "R\u0415DIS_PORT", "REDIS_PORT", "it holds a character that only looks like E, U+0415"),
    ("\ufeffredis-port", "\\ufeffredis-port", "REDIS_PORT", "it begins with a byte order mark, U+FEFF"),
]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name, shown, meant, wrong", WRITTEN, ids=[row[1] for row in WRITTEN])
def test_a_name_is_recognised_for_what_it_is_however_it_was_written(
    tmp_path: Path, source: str, name: str, shown: str, meant: str, wrong: str
) -> None:
    # The mark at the very beginning of a file is what editors write there.
    found = read(tmp_path, source, {"OTHER": "1", name: CANARY}).problems
    origin = named(tmp_path, source, name, 2)
    expected = Problem("TN305", shown, f"{shown} is not read as {meant}: {wrong}", f"write {meant}", (meant,), origin)
    assert (expected,) == found


@pytest.mark.parametrize("line", ["REDIS_PORT =1", "REDIS_PORT= 1", "  REDIS_PORT = 1", "export REDIS_PORT=1"])
def test_white_space_around_a_name_in_a_file_is_simply_read(tmp_path: Path, line: str) -> None:
    path = tmp_path / ".env"
    path.write_text(f"\ufeff{line}\n")
    source = read_env_file(path, must_exist=True)
    assert ((), ["REDIS_PORT"]) == (source.problems, list(source.entries))


def test_white_space_around_a_name_in_the_process_environment_is_told(tmp_path: Path) -> None:
    """As compose leaves it there in ``- REDIS_PORT =1``."""
    (problem,) = told(tmp_path, "environment", "REDIS_PORT ")
    assert "REDIS_PORT  is not read as REDIS_PORT: it has white space around it" == problem.message


@pytest.mark.parametrize("name", sorted([*variables(), *SPECIAL, *(key.name for key in KEY_NAMES)]))
def test_every_name_in_small_letters_is_recognised(tmp_path: Path, name: str) -> None:
    (problem,) = told(tmp_path, "environment", name.lower())
    assert ("TN305", (name,), f"write {name}") == (problem.code, problem.accepted, problem.fix)


def test_a_name_that_would_act_on_a_terminal_is_shown_escaped_and_a_long_one_in_part(tmp_path: Path) -> None:
    (odd,) = told(tmp_path, "environment", "NAUTILUS_\x1b[31mRED\n")
    assert "NAUTILUS_\\x1b[31mRED\\n is not a variable that anything reads" == odd.message
    (long,) = told(tmp_path, "environment", f"NAUTILUS_{'X' * 9_000}")
    assert "NAUTILUS… is not a variable that anything reads" == long.message
    assert len(long.message) < 200


@pytest.mark.parametrize("value", [f"MC4CAQAwBQYDK2VwBCIEI{CANARY}abcdefghij0123456789", CANARY])
@pytest.mark.parametrize(
    "line", ["BINANCE_API_SECRET:{}==", "BYBIT_API_KEY: {}", "REDIS_PASSWORD:{}=x", "NAUTILUS_API_KEY:{}="]
)
def test_a_value_that_stands_in_the_name_is_not_repeated(tmp_path: Path, line: str, value: str) -> None:
    """Keys in base64 end in equals signs: whoever writes a colon as in YAML has the key before the first of them."""
    path = tmp_path / ".env"
    path.write_text(f"{line.format(value)}\n")
    path.chmod(0o600)
    assert CANARY not in str(read_env_file(path, must_exist=True).problems)


# --- the secrets directory -------------------------------------------------------------------------------------------


def in_secrets(folder: Path, *names: str) -> tuple[Problem, ...]:
    for name in names:
        (folder / name).write_text(CANARY)
    found = read_secrets_dir(str(folder), must_exist=True).problems
    assert CANARY not in repr(found)
    return found


@pytest.mark.parametrize(
    "file, meant, wrong, fix",
    [
        (
            "binance-api-key",
            "BINANCE_API_KEY",
            "it has hyphens instead of underscores",
            "rename it to binance_api_key",
        ),
        (
            "BINANCE-API-KEY",
            "BINANCE_API_KEY",
            "it has hyphens instead of underscores",
            "rename it to BINANCE_API_KEY",
        ),
        ("redis.password", "REDIS_PASSWORD", "it has dots instead of underscores", "rename it to redis_password"),
        (
            "redis-password.txt",
            "REDIS_PASSWORD",
            "it has hyphens instead of underscores",
            "rename it to redis_password",
        ),
    ],
)
def test_a_file_of_the_secrets_directory_is_recognised_for_what_it_is(
    tmp_path: Path, file: str, meant: str, wrong: str, fix: str
) -> None:
    shown = file.removesuffix(".txt")
    origin = Origin(f"secrets directory {tmp_path}", file)
    expected = Problem("TN305", shown, f"{shown} is not read as {meant}: {wrong}", fix, (meant,), origin)
    assert (expected,) == in_secrets(tmp_path, file)


@pytest.mark.parametrize(
    "file, near",
    [
        ("BINANCE_APIKEY", "BINANCE_API_KEY"),
        ("REDIS_PASWORD", "REDIS_PASSWORD"),
        ("BYBIT_PROXY_URLS", "BYBIT_PROXY_URL"),
        ("REDIS_PASWORD.txt", "REDIS_PASSWORD"),
    ],
)
def test_a_misspelt_file_of_the_secrets_directory_is_told_with_the_nearest_secret(
    tmp_path: Path, file: str, near: str
) -> None:
    (problem,) = in_secrets(tmp_path, file)
    assert ("TN305", f"did you mean {near}?", (near,)) == (problem.code, problem.fix, problem.accepted)
    assert near in secret_names()
    assert Origin(f"secrets directory {tmp_path}", file) == problem.origin


@pytest.mark.parametrize(
    "file",
    [
        "tls.crt",
        "db_password",
        "ca.pem",
        "..data",
        "..2026_01_01",
        ".gitkeep",
        "api-key",
        "README",
        "redis_acl",
        "rhsm",
    ],
)
def test_other_files_of_the_secrets_directory_are_left_in_peace(tmp_path: Path, file: str) -> None:
    assert () == in_secrets(tmp_path, file)


def test_a_file_that_is_read_is_not_told(tmp_path: Path) -> None:
    assert () == in_secrets(tmp_path, "BINANCE_API_KEY", "redis_password", "BYBIT_testnet_api_key")


@pytest.mark.parametrize("file", ["binance_api_key.txt", "BINANCE_API_KEY.txt"])
def test_a_suffix_that_keeps_a_secret_from_being_read_is_told_as_what_is_wrong(tmp_path: Path, file: str) -> None:
    """Small letters are fine there, and the name itself is no slip of itself."""
    (problem,) = in_secrets(tmp_path, file)
    assert ".txt" in problem.message
    assert "lower case" not in problem.message
    assert "did you mean" not in problem.fix


def test_a_setting_that_is_no_secret_is_not_said_to_be_read_by_nobody(tmp_path: Path) -> None:
    (problem,) = in_secrets(tmp_path, "NAUTILUS_TRADER_ID")
    assert NOTHING_READS.format("NAUTILUS_TRADER_ID") != problem.message


# --- the function itself ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, everything, known, expected",
    [
        ("BINANCE_WEBHOOK", True, (), ["TN305"]),
        ("BINANCE_WEBHOOK", False, (), []),
        ("NAUTILUS_WEBHOOK", False, (), ["TN305"]),
        ("REDIS_PROT", False, (), ["TN305"]),
        ("REDIS_PROT", False, {"REDIS_PASSWORD"}, []),
        ("REDIS_PASSWORDS", False, {"REDIS_PASSWORD"}, ["TN305"]),
        ("redis_port", False, {"REDIS_PASSWORD"}, []),
        ("REDIS_DB", False, {"REDIS_PASSWORD"}, ["TN003"]),
        ("PATH", True, (), []),
        ("", True, (), []),
    ],
)
def test_what_is_told_depends_on_what_is_read_there(
    name: str, everything: bool, known: set[str], expected: list[str]
) -> None:
    found = told_of_unknown(name, "", Origin("here", name), everything=everything, known=known)
    assert expected == [problem.code for problem in found]


# --- a real machine --------------------------------------------------------------------------------------------------

MACHINE = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
    "HOME": "/home/trader",
    "USER": "trader",
    "LOGNAME": "trader",
    "SHELL": "/bin/bash",
    "PWD": "/srv/node",
    "OLDPWD": "/srv",
    "SHLVL": "1",
    "_": "/usr/bin/env",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "TERM": "xterm-256color",
    "COLUMNS": "120",
    "HOSTNAME": "node-0",
    "MAIL": "/var/mail/trader",
    "EDITOR": "vi",
    "PAGER": "less",
    "LS_COLORS": "rs=0",
    "SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 22",
    "SSH_AUTH_SOCK": "/run/user/1000/agent",
    "XDG_RUNTIME_DIR": "/run/user/1000",
    "XDG_SESSION_ID": "3",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1000/bus",
    "INVOCATION_ID": "0123456789abcdef",
    "JOURNAL_STREAM": "8:1234",
    "NOTIFY_SOCKET": "/run/systemd/notify",
    "CREDENTIALS_DIRECTORY": "/run/credentials/node.service",
    "PYTHONPATH": "/srv/node",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHON_VERSION": "3.12.1",
    "PIP_NO_CACHE_DIR": "1",
    "VIRTUAL_ENV": "/srv/node/.venv",
    "UV_CACHE_DIR": "/var/cache/uv",
    "CONDA_DEFAULT_ENV": "base",
    "http_proxy": "http://proxy.internal:3128",
    "HTTPS_PROXY": "http://proxy.internal:3128",
    "NO_PROXY": "localhost,127.0.0.1",
    "SSL_CERT_FILE": "/etc/ssl/certs/ca.pem",
    "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    "KUBERNETES_SERVICE_PORT": "443",
    "KUBERNETES_SERVICE_PORT_HTTPS": "443",
    "KUBERNETES_PORT": "tcp://10.96.0.1:443",
    "KUBERNETES_PORT_443_TCP": "tcp://10.96.0.1:443",
    "KUBERNETES_PORT_443_TCP_ADDR": "10.96.0.1",
    "REDIS_SERVICE_HOST": "10.96.0.7",
    "REDIS_SERVICE_PORT": "6379",
    "REDIS_PORT_6379_TCP_PROTO": "tcp",
    "REDIS_VERSION": "8.0.1",
    "POSTGRES_HOST": "db",
    "PGHOST": "db",
    "PGPASSWORD": CANARY,
    "DATABASE_URL": f"postgres://me:{CANARY}@db/x",
    "MYSQL_HOST": "db",
    "MONGO_URL": "mongodb://db",
    "RABBITMQ_HOST": "mq",
    "KAFKA_PORT": "9092",
    "DOCKER_HOST": "unix:///run/docker.sock",
    "DOCKER_CONFIG": "/home/trader/.docker",
    "COMPOSE_PROJECT_NAME": "node",
    "CI": "true",
    "GITHUB_ACTIONS": "true",
    "GITHUB_TOKEN": CANARY,
    "GITHUB_WORKSPACE": "/srv/node",
    "GITLAB_CI": "true",
    "RUNNER_OS": "Linux",
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": CANARY,
    "AWS_SECRET_ACCESS_KEY": CANARY,
    "GOOGLE_APPLICATION_CREDENTIALS": "/etc/google.json",
    "AZURE_CLIENT_SECRET": CANARY,
    "BINANCE_CHAIN_RPC": "https://bsc.internal",
    "BINANCE_PAY_CERT": "/etc/pay.pem",
    "BYBIT_WEBHOOK_TOKEN": CANARY,
    "COINBASE_API_KEY": CANARY,
    "KRAKEN_API_SECRET": CANARY,
    "OKX_API_KEY": CANARY,
    "SENTRY_DSN": f"https://{CANARY}@sentry.internal/1",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4317",
    "PROMETHEUS_PORT": "9090",
    "LOG_LEVEL": "INFO",
    "DEBUG": "0",
    "ENVIRONMENT": "production",
    "NODE_ENV": "production",
    "NODE_OPTIONS": "--max-old-space-size=512",
    "JAVA_HOME": "/usr/lib/jvm",
    "GOPATH": "/home/trader/go",
    "CARGO_HOME": "/home/trader/.cargo",
    "RUST_LOG": "info",
    "NAUTILUS_PATH": "/catalog",
    "NAUTILUS_LOG": "stdout=Info",
}


def test_the_environment_of_a_real_machine_gives_no_warning_at_all(tmp_path: Path) -> None:
    assert 60 < len(MACHINE)
    assert () == read_environ(MACHINE).problems
    settings = {"NAUTILUS_TRADER_ID": "TRADER-001", "NAUTILUS_VENUES": "BYBIT", "REDIS_HOST": "localhost"}
    environ = {**MACHINE, **settings, "NAUTILUS_SECRETS_DIR": str(tmp_path)}
    assert () == validate_all(env_file=None, environ=environ)
    # And among all of them one slip is found.
    found = validate_all(env_file=None, environ={**environ, "REDIS_PROT": CANARY})
    assert ["TN305 REDIS_PROT"] == [f"{problem.code} {problem.key}" for problem in found]
    assert CANARY not in json.dumps([problem.to_dict() for problem in found])
