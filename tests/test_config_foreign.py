"""Names under our prefixes that are somebody else's, and names that are tried and answered."""

from __future__ import annotations

import re
from pathlib import Path

import nautilus_trader
import pytest

from config.settings.foreign import ANSWERED, OWNERS, READ_BY_NAUTILUS, answered, is_foreign
from config.settings.variables import known_names

ROOT = Path(__file__).parents[1]
PREFIXES = ("NAUTILUS_", "BINANCE_", "BYBIT_", "REDIS_")
# Constants in its compiled code that nobody sets.
CONSTANTS = ("NAUTILUS_BROKER_ID", "NAUTILUS_PREFIX", "NAUTILUS_TRADER")
VALUES = ("", "1", "true", "redis", "6379", "/run/secrets/x", "/var/lib/x", "https://gateway.example", "BTCUSDT=5")
SERVICE_LINK = "Kubernetes' service link"
PORT_LINK = "Kubernetes' or Docker's service link"
DOCKER_LINK = "a Docker link"


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("NAUTILUS_PATH", "/", "Nautilus' own"),
        ("NAUTILUS_LOG", "stdout=Info", "Nautilus' own"),
        ("NAUTILUS_WORKER_THREADS", "2", "Nautilus' own"),
        ("NAUTILUS_VERSION", "1.231.0", "Nautilus' own"),
        ("NAUTILUS_USER_AGENT", "x", "Nautilus' own"),
        ("REDIS_VERSION", "8.0.1", "set by the redis image"),
        ("REDIS_DOWNLOAD_URL", "https://download.redis.io/x", "set by the redis image"),
        ("REDIS_DOWNLOAD_SHA", "ab12", "set by the redis image"),
        ("VALKEY_VERSION", "9.1", "set by the valkey image"),
        ("REDIS_REPLICATION_MODE", "master", "for the Redis server's own image"),
        ("REDIS_AOF_ENABLED", "yes", "for the Redis server's own image"),
        ("REDIS_ARGS", "--save 60 1", "for the Redis server's own image"),
        ("NODE_STOP_GRACE", "40s", "for the compose file"),
        ("REDIS_SERVICE_HOST", "10.0.0.1", SERVICE_LINK),
        ("REDIS_SERVICE_PORT", "6379", SERVICE_LINK),
        ("REDIS_SERVICE_PORT_TCP_REDIS", "6379", SERVICE_LINK),
        ("REDIS_MASTER_SERVICE_HOST", "10.0.0.1", SERVICE_LINK),
        ("NAUTILUS_SERVICE_HOST", "10.0.0.1", SERVICE_LINK),
        ("BINANCE_GATEWAY_SERVICE_PORT_HTTPS", "443", SERVICE_LINK),
        ("REDIS_PORT", "tcp://10.0.0.1:6379", PORT_LINK),
        ("REDIS_PORT", "udp://10.0.0.1:6379", PORT_LINK),
        ("REDIS_PORT", " tcp://10.0.0.1:6379\n", PORT_LINK),
        ("REDIS_PORT", "sctp://10.0.0.1:6379", PORT_LINK),
        ("NAUTILUS_PORT", "tcp://10.0.0.1:80", PORT_LINK),
        ("REDIS_HEADLESS_PORT", "tcp://[fd00::1]:6379", PORT_LINK),
        ("REDIS_PORT_6379_TCP", "tcp://10.0.0.1:6379", PORT_LINK),
        ("REDIS_PORT_6379_TCP_PROTO", "tcp", PORT_LINK),
        ("REDIS_PORT_6379_TCP_PORT", "6379", PORT_LINK),
        ("REDIS_PORT_6379_TCP_ADDR", "10.0.0.1", PORT_LINK),
        ("BYBIT_PROXY_PORT_53_UDP_ADDR", "10.0.0.1", PORT_LINK),
        ("NAUTILUS_WEB_PORT_36412_SCTP", "sctp://10.0.0.1:36412", PORT_LINK),
        ("REDIS_PORT_7000_TCP_START", "tcp://172.17.0.2:7000", PORT_LINK),
        ("REDIS_PORT_7000_TCP_PORT_END", "7005", PORT_LINK),
        ("REDIS_NAME", "/web/redis", DOCKER_LINK),
        ("NAUTILUS_REDIS_NAME", "/node-1/nautilus-redis", DOCKER_LINK),
        ("REDIS_ENV_REDIS_VERSION", "8.0.1", DOCKER_LINK),
        ("REDIS_ENV_http_proxy", "", DOCKER_LINK),
        ("NAUTILUS_DATABASE_ENV_PGDATA", "/data", DOCKER_LINK),
    ],
)
def test_it_is_told_whose_a_name_is(name: str, value: str, expected: str) -> None:
    assert expected == is_foreign(name, value)


@pytest.mark.parametrize(
    "name, value",
    [
        ("REDIS_PORT", "6379"),
        ("REDIS_PORT", ""),
        ("REDIS_PORT", "http://10.0.0.1:6379"),
        ("REDIS_HOST", "tcp://10.0.0.1:6379"),
        ("REDIS_PORTS", "tcp://10.0.0.1:6379"),
        ("REDIS_PORT_6379", "6379"),
        ("REDIS_PORT_6379_HTTP", "6379"),
        ("REDIS_PORT_6379_TCP_HOST", "x"),
        ("REDIS_SERVICE", "redis"),
        ("REDIS_SERVICE_NAME", "redis"),
        ("REDIS_NAME", "redis"),
        ("REDIS_NAME", "/web/other"),
        ("NAUTILUS_LOG_FILE_NAME", "/logs/node"),
        ("NAUTILUS_ENV_FILE", "prod.env"),
        ("NAUTILUS_ENVIRONMENT", "LIVE"),
        ("BINANCE_ENV_TYPE", "LIVE"),
        # Somebody may take these for the node's connection.
        ("REDIS_PORT_NUMBER", "6380"),
        ("REDIS_MASTER_HOST", "redis.internal"),
        ("REDIS_TLS_ENABLED", "yes"),
        ("REDIS_USER", "trader"),
        ("NAUTILUS_TRADERID", "TRADER-001"),
    ],
)
def test_what_may_be_meant_for_us_is_nobody_elses(name: str, value: str) -> None:
    assert is_foreign(name, value) is None


@pytest.mark.parametrize("name", sorted(known_names()))
def test_no_name_of_ours_is_foreign_or_answered(name: str) -> None:
    assert [None] * len(VALUES) == [is_foreign(name, value) for value in VALUES]
    assert answered(name, "true") is None


def test_no_name_has_two_owners_and_none_is_answered_too() -> None:
    listed = [name for names, _ in OWNERS for name in names]
    assert 50 < len(listed)
    assert sorted(set(listed)) == sorted(listed)
    assert set() == set(listed) & ANSWERED.keys()
    assert dict.fromkeys(ANSWERED) == {name: is_foreign(name, "x") for name in ANSWERED}


def test_every_variable_of_the_compose_files_is_ours_or_theirs() -> None:
    text = "".join(path.read_text() for path in ROOT.glob("docker-compose*.yml"))
    names = set(re.findall(r"(?<!\$)\$\{([A-Za-z0-9_]+)", text))
    assert {"NODE_COMMAND", "NODE_STOP_GRACE"} <= names
    assert {name for name in names if name not in known_names()} == {
        name for name in names if is_foreign(name, "") == "for the compose file"
    }


def test_the_installed_nautilus_still_has_these_names_and_no_other() -> None:
    """Its compiled code holds them one after the other without an end, so only the beginnings can be compared."""
    library = next((Path(nautilus_trader.__file__).parent / "core").glob("nautilus_pyo3*.so"))
    found = {match.decode() for match in re.findall(rb"NAUTILUS_[A-Z_]+", library.read_bytes())}
    expected = (*READ_BY_NAUTILUS, *CONSTANTS)
    assert [] == [name for name in READ_BY_NAUTILUS if not any(text.startswith(name) for text in found)]
    assert [] == [text for text in found if not text.startswith(expected)]


def test_the_python_code_of_the_installed_nautilus_reads_no_variable_that_nobody_knows() -> None:
    package = Path(nautilus_trader.__file__).parent
    asks = re.compile(
        r"""(?:environ\.get|getenv|get_env_key|environ|_key)\s*[(\[=]\s*["']((?:NAUTILUS|BINANCE|BYBIT|REDIS)_\w+)["']"""
    )
    found = {name for path in package.rglob("*.py") for name in asks.findall(path.read_text())}
    assert "BINANCE_DEMO_API_KEY" in found
    assert set() == found - known_names() - READ_BY_NAUTILUS


@pytest.mark.parametrize(
    "name, value, harmless",
    [
        ("REDIS_DB", "0", True),
        ("REDIS_DB", " 0 ", True),
        ("REDIS_DB", "", True),
        ("REDIS_DB", "1", False),
        ("REDIS_DB", "false", False),
        ("REDIS_DATABASE", "0", True),
        ("REDIS_DATABASE", "15", False),
        ("NAUTILUS_FLUSH_ON_START", "off", True),
        ("NAUTILUS_FLUSH_ON_START", "N", True),
        ("NAUTILUS_FLUSH_ON_START", "1", False),
        ("NAUTILUS_FLUSH_ON_START", "maybe", False),
        ("NAUTILUS_RECONCILIATION", "True", True),
        ("NAUTILUS_RECONCILIATION", "on", True),
        ("NAUTILUS_RECONCILIATION", "f", False),
        ("NAUTILUS_RECONCILIATION", "0", False),
        ("NAUTILUS_BYPASS", "0", True),
        ("NAUTILUS_BYPASS", "t", False),
        ("NAUTILUS_RISK_BYPASS", "no", True),
        ("NAUTILUS_RISK_BYPASS", "yes", False),
        ("NAUTILUS_RISK_ENGINE_BYPASS", "FALSE", True),
        ("NAUTILUS_RISK_ENGINE_BYPASS", "y", False),
        ("BINANCE_LISTEN_KEY_PING_MAX_FAILURES", "3", True),
        ("BINANCE_LISTEN_KEY_PING_MAX_FAILURES", "x", True),
        ("REDIS_TLS", "false", True),
        ("REDIS_TLS", "true", False),
        ("REDIS_TLS", "required", False),
        ("REDIS_CA_FILE", "/etc/ssl/ca.pem", False),
        ("REDIS_CA_FILE", "", True),
    ],
)
def test_a_name_that_is_tried_is_answered_and_harmless_only_if_it_changes_nothing(
    name: str, value: str, harmless: bool
) -> None:
    answer = answered(name, value)
    assert answer is not None
    assert (name, harmless) == (answer.name, answer.harmless)


@pytest.mark.parametrize(
    "name, why, fix",
    [
        ("REDIS_DB", "all traders share database 0", "NAUTILUS_TRADER_ID"),
        ("NAUTILUS_FLUSH_ON_START", "wipes every trader", "remove it"),
        ("NAUTILUS_RECONCILIATION", "the books after a restart are wrong", "remove it"),
        ("NAUTILUS_BYPASS", "every order passes the risk engine", "NAUTILUS_MAX_NOTIONAL_PER_ORDER"),
        ("BINANCE_LISTEN_KEY_PING_MAX_FAILURES", "Nautilus has removed", "remove it"),
        ("REDIS_TLS", "REDIS_SSL", "set REDIS_SSL"),
        ("REDIS_CA_CERT", "certificate authorities", "publicly trusted certificate"),
    ],
)
def test_an_answer_says_why_and_what_to_do(name: str, why: str, fix: str) -> None:
    answer = answered(name, "x")
    assert answer is not None
    assert why in answer.why
    assert fix in answer.fix


@pytest.mark.parametrize(
    "name", ["BINANCE_USE_REDUCE_ONLY", "NAUTILUS_USE_REDUCE_ONLY", "REDIS_PORT", "REDIS_DBS", "redis_db", "PATH", ""]
)
def test_other_names_are_not_answered(name: str) -> None:
    assert answered(name, "1") is None


@pytest.mark.parametrize("name", sorted(ANSWERED))
def test_an_answer_names_only_variables_that_are_read_and_never_the_value(name: str) -> None:
    answer = answered(name, "canary-7f3a9")
    assert answer is not None
    told = f"{answer.why} {answer.fix}"
    assert set() == {word for word in re.findall(r"[A-Z0-9]+(?:_[A-Z0-9]+)+", told) if word not in known_names()}
    assert "canary" not in told
    assert name.startswith(PREFIXES)
