"""Names that begin like ours and are somebody else's, and names that are often tried and that nothing reads, with why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from config.settings.spelling import as_bool

READ_BY_NAUTILUS = frozenset(
    {
        "NAUTILUS_LOG",
        "NAUTILUS_PATH",
        "NAUTILUS_WORKER_THREADS",
        # Constants of its own: it shows them under these names, so they turn up in environments.
        "NAUTILUS_USER_AGENT",
        "NAUTILUS_VERSION",
    }
)
SET_BY_REDIS_IMAGE = frozenset(
    {"REDIS_VERSION", "REDIS_DOWNLOAD_URL", "REDIS_DOWNLOAD_SHA", "REDIS_DOWNLOAD_SHA1"},
)
SET_BY_VALKEY_IMAGE = frozenset(
    {"VALKEY_VERSION", "VALKEY_DOWNLOAD_URL", "VALKEY_DOWNLOAD_SHA", "VALKEY_EXTRA_FLAGS"},
)
# Of Bitnami and redis-stack. REDIS_PORT_NUMBER, REDIS_MASTER_HOST, REDIS_TLS_ENABLED and their like are left out on purpose:
# somebody may take them for the address, the password or the TLS of the node's connection, and has to hear that they are not.
READ_BY_REDIS_IMAGES = frozenset(
    {
        "REDIS_ACLFILE",
        "REDIS_ALLOW_REMOTE_CONNECTIONS",
        "REDIS_AOF_ENABLED",
        "REDIS_ARGS",
        "REDIS_BASE_DIR",
        "REDIS_BIN_DIR",
        "REDIS_CLUSTER_ANNOUNCE_BUS_PORT",
        "REDIS_CLUSTER_ANNOUNCE_HOSTNAME",
        "REDIS_CLUSTER_ANNOUNCE_IP",
        "REDIS_CLUSTER_ANNOUNCE_PORT",
        "REDIS_CLUSTER_CREATOR",
        "REDIS_CLUSTER_DYNAMIC_IPS",
        "REDIS_CLUSTER_REPLICAS",
        "REDIS_CONF_DIR",
        "REDIS_CONF_FILE",
        "REDIS_DAEMON_GROUP",
        "REDIS_DAEMON_USER",
        "REDIS_DATA_DIR",
        "REDIS_DEFAULT_CONF_DIR",
        "REDIS_DEFAULT_PORT_NUMBER",
        "REDIS_DISABLE_COMMANDS",
        "REDIS_DNS_RETRIES",
        "REDIS_EXTRA_FLAGS",
        "REDIS_IO_THREADS",
        "REDIS_IO_THREADS_DO_READS",
        "REDIS_LOG_DIR",
        "REDIS_LOG_FILE",
        "REDIS_MOUNTED_CONF_DIR",
        "REDIS_OVERRIDES_FILE",
        "REDIS_PID_FILE",
        "REDIS_RDB_POLICY",
        "REDIS_RDB_POLICY_DISABLED",
        "REDIS_REPLICATION_MODE",
        "REDIS_REPLICA_IP",
        "REDIS_REPLICA_PORT",
        "REDIS_SENTINEL_ANNOUNCE_HOSTNAMES",
        "REDIS_SENTINEL_ANNOUNCE_IP",
        "REDIS_SENTINEL_ANNOUNCE_PORT",
        "REDIS_SENTINEL_DOWN_AFTER_MILLISECONDS",
        "REDIS_SENTINEL_FAILOVER_TIMEOUT",
        "REDIS_SENTINEL_QUORUM",
        "REDIS_SENTINEL_RESOLVE_HOSTNAMES",
        "REDIS_TMP_DIR",
    }
)
# The compose files of this project substitute these.
READ_BY_COMPOSE = frozenset(
    {
        "EXCHANGE_IMAGE",
        "NODE_COMMAND",
        "NODE_IMAGE",
        "NODE_RESTART",
        "NODE_STOP_GRACE",
        "OFFLINE_SECRETS",
        "OFFLINE_STRATEGIES",
    }
)
OWNERS: tuple[tuple[frozenset[str], str], ...] = (
    (READ_BY_NAUTILUS, "Nautilus' own"),
    (SET_BY_REDIS_IMAGE, "set by the redis image"),
    (SET_BY_VALKEY_IMAGE, "set by the valkey image"),
    (READ_BY_REDIS_IMAGES, "for the Redis server's own image"),
    (READ_BY_COMPOSE, "for the compose file"),
)

# https://kubernetes.io/docs/tutorials/services/connect-applications-service/ and https://docs.docker.com/engine/network/links/
_KUBERNETES = re.compile(r"[A-Z0-9_]+_SERVICE_(?:HOST|PORT(?:_[A-Z0-9_]+)?)")
_PORT_OF_LINK = re.compile(r"[A-Z0-9_]+_PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|ADDR|(?:PORT_)?(?:START|END)|PORT))?")
_ADDRESS_OF_LINK = re.compile(r"(?:tcp|udp|sctp)://")
_NAME_OF_LINK = re.compile(r"/[^/\s]+/([^/\s]+)")
# NAUTILUS_ENV_FILE and its like are somebody's mistake rather than a container called nautilus.
_ENV_OF_LINK = re.compile(r"(?!(?:NAUTILUS|BINANCE|BYBIT)_ENV_)[A-Z0-9_]+_ENV_[A-Za-z0-9_]+")


def is_foreign(name: str, value: str) -> str | None:
    """Return in words whose a variable is, such as ``Nautilus' own``, None if it is nobody's that is known.

    A name of ours may be somebody else's by its value: Kubernetes sets ``REDIS_PORT=tcp://10.0.0.1:6379`` in every pod beside a
    Service called redis.
    """
    for names, whose in OWNERS:
        if name in names:
            return whose
    if _KUBERNETES.fullmatch(name):
        return "Kubernetes' service link"
    if _PORT_OF_LINK.fullmatch(name) or (name.endswith("_PORT") and _ADDRESS_OF_LINK.match(value.lstrip())):
        return "Kubernetes' or Docker's service link"
    linked = _NAME_OF_LINK.fullmatch(value.strip()) if name.endswith("_NAME") else None
    # The alias stands in both: a path in some other name is a mistake to be told.
    if linked is not None and f"{linked[1].upper().replace('-', '_')}_NAME" == name:
        return "a Docker link"
    return "a Docker link" if _ENV_OF_LINK.fullmatch(name) else None


# Of a name whose every value does nothing.
ANYTHING = "*"


@dataclass(frozen=True, slots=True)
class Unread:
    """Why a name is not read, what to do instead, and the value that asks for what is so anyway; a bool in any spelling."""

    why: str
    fix: str
    harmless: bool | str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say of a name that nothing reads.

    Parameters
    ----------
    name : str
        As it was written.
    why : str
        Why nothing reads it: a clause that may follow ``is not read:``.
    fix : str
        What to do about it.
    harmless : bool
        Whether its value asks for what is so anyway, or for nothing.

    """

    name: str
    why: str
    fix: str
    harmless: bool


_DATABASE = Unread(
    "Nautilus' cache knows no database number, all traders share database 0",
    "remove it; keep traders apart by NAUTILUS_TRADER_ID, or give each its own Redis server with REDIS_HOST and REDIS_PORT",
    "0",
)
_FLUSH = Unread(
    "flushing at start wipes every trader in that Redis database, orders and positions included",
    "remove it; to begin with empty books, take a new NAUTILUS_TRADER_ID",
    False,
)
_RECONCILIATION = Unread(
    "it is always on where orders go to an exchange, for without it the books after a restart are wrong",
    "remove it; how long it may take is NAUTILUS_RECONCILIATION_TIMEOUT",
    True,
)
_BYPASS = Unread(
    "every order passes the risk engine",
    "remove it; the limits are NAUTILUS_MAX_ORDER_SUBMIT_RATE, NAUTILUS_MAX_ORDER_MODIFY_RATE and "
    "NAUTILUS_MAX_NOTIONAL_PER_ORDER",
    False,
)
_REMOVED = Unread("Nautilus has removed this setting", "remove it; nothing takes its place", ANYTHING)
_TLS = Unread("TLS to Redis is switched by REDIS_SSL", "remove it, and set REDIS_SSL", False)
_AUTHORITY = Unread(
    "Nautilus opens no file with certificate authorities, it trusts public ones only",
    "remove it; give the Redis server a publicly trusted certificate, or put a local TLS proxy in front of it",
)
ANSWERED: Mapping[str, Unread] = {
    "REDIS_DB": _DATABASE,
    "REDIS_DATABASE": _DATABASE,
    "NAUTILUS_FLUSH_ON_START": _FLUSH,
    "NAUTILUS_RECONCILIATION": _RECONCILIATION,
    "NAUTILUS_BYPASS": _BYPASS,
    "NAUTILUS_RISK_BYPASS": _BYPASS,
    "NAUTILUS_RISK_ENGINE_BYPASS": _BYPASS,
    "BINANCE_LISTEN_KEY_PING_MAX_FAILURES": _REMOVED,
    "REDIS_TLS": _TLS,
    "REDIS_CA_FILE": _AUTHORITY,
    "REDIS_CA_CERT": _AUTHORITY,
    "REDIS_SSL_CA_FILE": _AUTHORITY,
    "REDIS_SSL_CA_CERTS": _AUTHORITY,
}


def answered(name: str, value: str) -> Answer | None:
    """Return why ``name`` is not read and what to do, None if it is not one of the names that are often tried."""
    unread = ANSWERED.get(name)
    if unread is None:
        return None
    text = value.strip()
    said = as_bool(text) if isinstance(unread.harmless, bool) else text
    return Answer(name, unread.why, unread.fix, not text or unread.harmless in (said, ANYTHING))
