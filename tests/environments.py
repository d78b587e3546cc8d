"""Random environments: good ones, from a table of what each variable takes, and what people and machines make of them.

An environment follows from its seed alone. It is laid out in a folder, its working directory: ``.env`` files, a secrets
directory, and files that hold one secret each.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from random import Random
from urllib.parse import quote

from config.settings.variables import former_names, known_names, secret_names
from tests.key_generators import alphanumeric, binance_ed25519_pair, binance_hexadecimal_pair

type Choice = Callable[[Random], str]

# Every secret of a marked environment holds this. It is of letters and digits, so it fits into keys of all shapes.
MARK = "Qz7KanarieX9w"


# --- what each variable takes ----------------------------------------------------------------------------------------


def one_of(*texts: str) -> Choice:
    return lambda random: random.choice(texts)


def some_of(*texts: str, separator: str = ",") -> Choice:
    return lambda random: separator.join(random.sample(texts, random.randint(1, len(texts))))


def whole(low: int, high: int) -> Choice:
    """A whole number, its bounds more often than what lies between, in the spellings that are one."""

    def choose(random: Random) -> str:
        found = random.choice((low, high, random.randint(low, high)))
        return random.choice((f"{found}", f"{found}", f"{found:_}", f"0{found}", f" {found} "))

    return choose


def number(low: float, high: float) -> Choice:
    def choose(random: Random) -> str:
        found = random.choice((low, high, round(random.uniform(low, high), 3)))
        return random.choice((f"{found:g}", f"{found}", f"{found:e}"))

    return choose


SWITCH = one_of("true", "false", "1", "0", "yes", "no", "on", "off", "TRUE", "False", "Y", "n", "t", "F")
LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "OFF", "info", "Warning")
RATE = one_of("20/00:00:01", "1/00:00:01", "300/00:00:10", "1200/00:01:00", "007/01:00:00", "99999999/23:59:59")
SYMBOLS = ("BTCUSDT", "ETHUSDT", "1000PEPEUSDT", "BTCUSDT_260626", "btcusdt")
OTHER_HTTP = (
    ("http://127.0.0.1:8900", "127.0.0.1:8900"),
    ("http://[::1]:8900", "[::1]:8900"),
    ("http://gateway", "gateway:80"),
    ("https://Gateway.internal/binance", "gateway.internal:443"),
    ("https://gateway.internal:8443/v1/", "gateway.internal:8443"),
)
OTHER_WS = tuple((url.replace("http", "ws", 1), trusted) for url, trusted in OTHER_HTTP)
HTTP = one_of(*(url for url, _ in OTHER_HTTP))
WS = one_of(*(url for url, _ in OTHER_WS))
# What is neither a secret nor a name with a file: in the order of the models.
VALUES: Mapping[str, Choice] = {
    "NAUTILUS_PRESET": one_of("production", "testnet", "sandbox", "Testnet"),
    "NAUTILUS_SECRETS_DIR": one_of("secrets"),
    "NAUTILUS_TRADER_ID": one_of("TRADER-001", "my-own-trader-A", "_-_", "a-12345678", "X_Y-Z_1", "T" * 100 + "-1"),
    "NAUTILUS_ENVIRONMENT": one_of("LIVE", "SANDBOX", "live", " Sandbox "),
    "NAUTILUS_ROLE": one_of("trader", "recorder", "Trader", "RECORDER"),
    "NAUTILUS_EXECUTION": one_of("VENUE", "SIMULATED", "NONE", "none", "Simulated"),
    "NAUTILUS_VENUES": some_of("BINANCE", "BYBIT"),
    "NAUTILUS_STATE_DIR": one_of("state", "state/of it", "stäte"),
    # Redis is left in: it is what keeps a `run` of these from going on.
    "NAUTILUS_PREFLIGHT_SKIP": some_of("disk", "venues"),
    "NAUTILUS_LEASE": SWITCH,
    "NAUTILUS_ON_REDIS_LOSS": one_of("warn", "halt", "stop", "Halt"),
    "NAUTILUS_VENUE_OUTAGE_SECS": number(1, 600),
    "NAUTILUS_HTTP_PORT": whole(1024, 65_535),
    "NAUTILUS_TRUSTED_ENDPOINTS": some_of("gateway.internal:8443", "[::1]:8900", "127.0.0.1:8900", "GATEWAY:80"),
    "NAUTILUS_SANDBOX_STARTING_BALANCES": some_of("10_000 USDT", "1.5 BTC", "0 ETH", "100000 USDC"),
    "NAUTILUS_RECONCILIATION_LOOKBACK_MINS": whole(60, 525_600),
    "NAUTILUS_RECONCILIATION_STARTUP_DELAY_SECS": number(10, 60),
    "NAUTILUS_MAX_ORDER_SUBMIT_RATE": RATE,
    "NAUTILUS_MAX_ORDER_MODIFY_RATE": RATE,
    "NAUTILUS_MAX_NOTIONAL_PER_ORDER": some_of("BTCUSDT-PERP.BINANCE=50000", "BTCUSDT-LINEAR.BYBIT=1", "X.BINANCE=9"),
    "NAUTILUS_LOAD_STATE": SWITCH,
    "NAUTILUS_SAVE_STATE": SWITCH,
    "NAUTILUS_EXTERNAL_ORDER_CLAIMS": some_of("BTCUSDT-PERP.BINANCE", "ETHUSDT-LINEAR.BYBIT"),
    "NAUTILUS_SNAPSHOT_RETENTION_DAYS": whole(1, 3650),
    "NAUTILUS_CANCEL_ON_STOP": SWITCH,
    "NAUTILUS_HALT_ON_SHUTDOWN": SWITCH,
    "NAUTILUS_STOP_TIMEOUT": number(5, 600),
    "NAUTILUS_CONNECTION_TIMEOUT": number(1, 600),
    "NAUTILUS_RECONCILIATION_TIMEOUT": number(1, 600),
    "NAUTILUS_READY_TIMEOUT": number(1, 1800),
    "NAUTILUS_LOG_LEVEL": one_of(*LEVELS),
    "NAUTILUS_LOG_LEVEL_FILE": one_of(*LEVELS),
    "NAUTILUS_LOG_DIRECTORY": one_of("logs", "logs/of it"),
    "NAUTILUS_LOG_FILE_NAME": one_of("node", "node.1", "knötchen"),
    "NAUTILUS_LOG_FORMAT": one_of("text", "json", "JSON"),
    "NAUTILUS_LOG_COMPONENT_LEVELS": some_of("RiskEngine=DEBUG", "Portfolio=warn", "Cache = OFF", "*=INFO"),
    "NAUTILUS_LOG_COLORS": SWITCH,
    "NAUTILUS_LOG_MAX_SIZE_MB": whole(10, 1000),
    "NAUTILUS_LOG_MAX_BACKUP_COUNT": whole(1, 100),
    "NAUTILUS_CATALOG_PATH": one_of("catalog", "cata log/a"),
    "NAUTILUS_FLUSH_INTERVAL_MS": whole(100, 10_000),
    "NAUTILUS_ROTATION_MODE": one_of("NONE", "SIZE", "TIME", "time"),
    "NAUTILUS_MAX_FILE_SIZE_MB": whole(16, 1024),
    "NAUTILUS_ROTATION_INTERVAL_MINS": whole(1, 525_600),
    "NAUTILUS_CATALOG_MAX_RUNS": whole(1, 10_000),
    "NAUTILUS_CATALOG_MAX_AGE_DAYS": whole(1, 3650),
    "BINANCE_ENVIRONMENT": one_of("LIVE", "TESTNET", "DEMO", "testnet"),
    "BINANCE_TESTNET": SWITCH,
    "BINANCE_DEMO": SWITCH,
    "BINANCE_ACCOUNT_TYPE": one_of("SPOT", "USDT_FUTURES", "COIN_FUTURES", "spot"),
    "BINANCE_US": SWITCH,
    "BINANCE_INSTRUMENT_IDS": some_of("BTCUSDT-PERP.BINANCE", "ETHUSDT.BINANCE", "BTCUSD_PERP.BINANCE"),
    "BINANCE_BASE_URL_HTTP": HTTP,
    "BINANCE_BASE_URL_WS": WS,
    "BINANCE_BASE_URL_WS_API": WS,
    "BINANCE_BASE_URL_WS_STREAM": WS,
    "BINANCE_LEVERAGES": lambda random: ",".join(f"{symbol}={whole(1, 125)(random)}" for symbol in SYMBOLS),
    "BINANCE_MARGIN_TYPES": some_of("BTCUSDT=CROSS", "ETHUSDT=ISOLATED", "1000PEPEUSDT = isolated"),
    "BYBIT_ENVIRONMENT": one_of("LIVE", "TESTNET", "DEMO", "MAINNET", "demo"),
    "BYBIT_TESTNET": SWITCH,
    "BYBIT_DEMO": SWITCH,
    "BYBIT_INSTRUMENT_IDS": some_of("BTCUSDT-LINEAR.BYBIT", "BTCUSD-INVERSE.BYBIT", "ETHUSDT-SPOT.BYBIT"),
    "BYBIT_BASE_URL_HTTP": HTTP,
    "BYBIT_BASE_URL_WS_PUBLIC": WS,
    "BYBIT_BASE_URL_WS_PRIVATE": WS,
    "BYBIT_BASE_URL_WS_TRADE": WS,
    "BYBIT_LEVERAGES": lambda random: f"BTCUSDT-LINEAR={whole(1, 125)(random)}",
    "BYBIT_PRODUCT_TYPES": some_of("LINEAR", "INVERSE", "OPTION"),
    "BYBIT_MARGIN_MODE": one_of("ISOLATED_MARGIN", "REGULAR_MARGIN", "PORTFOLIO_MARGIN", "regular_margin"),
    "REDIS_HOST": one_of("127.0.0.1", "localhost", "::1", "redis", "redis.internal", "10.0.0.5"),
    "REDIS_PORT": whole(1, 65_535),
    "REDIS_USERNAME": one_of("trader", "default"),
    "REDIS_SSL": SWITCH,
    "REDIS_TIMEOUT": whole(1, 30),
}
# What may be said whatever else is, and the part of the time that it is.
ANYWAY = re.compile(
    r"NAUTILUS_(?:RECONCILIATION|MAX_ORDER|MAX_NOTIONAL|EXTERNAL|SANDBOX|\w+_TIMEOUT|LOG_|STATE_DIR|PREFLIGHT|TRUSTED|LEASE|ON_REDIS|VENUE_OUTAGE|HTTP|SNAPSHOT|CANCEL|HALT)"
)
OFTEN = 0.25


def marked_text(random: Random, length: int, mark: str) -> str:
    """Return as many letters and digits, beginning with ``mark``."""
    return mark + alphanumeric(random, length - len(mark))


def marked_pem(random: Random, mark: str) -> str:
    """Return an Ed25519 key file; base64 has the mark after the 18 bytes that are 24 whole characters of it."""
    _, pem = binance_ed25519_pair(random)
    head, body, *tail = pem.splitlines(keepends=True)
    return "".join([head, body[:24] + mark + body[24 + len(mark) :], *tail])


def binance_pair(random: Random, mark: str) -> tuple[str, str]:
    if not mark and random.random() < OFTEN:
        return binance_hexadecimal_pair(random)
    secret = marked_pem(random, mark) if random.random() < OFTEN else marked_text(random, 64, mark)
    return marked_text(random, 64, mark), secret


def bybit_pair(random: Random, mark: str) -> tuple[str, str]:
    return marked_text(random, 18, mark), marked_text(random, 36, mark)


PAIRS = {"binance": binance_pair, "bybit": bybit_pair}


def proxy(random: Random, mark: str) -> str:
    password = marked_text(random, 20, mark)
    return random.choice((f"http://me:{password}@proxy.internal:3128", f"socks5://me:{password}@10.0.0.9:1080"))


# --- an environment and its folder -----------------------------------------------------------------------------------


class Odd(StrEnum):
    """What may stand where a file is expected."""

    FOLDER = "a folder"
    PIPE = "a named pipe that nobody writes to"
    DANGLING = "a link to nothing"
    LOOP = "a link to itself"
    CLOSED = "a file that its user may not read (root may)"
    TEXT = "a readable file"


@dataclass
class Environment:
    """Variables, files beside them, and the arguments that belong to them; ``seed`` makes it again."""

    seed: str
    environ: dict[str, str] = field(default_factory=dict)
    env_files: dict[str, bytes | Odd] = field(default_factory=dict)
    secrets: dict[str, bytes | Odd] = field(default_factory=dict)
    files: dict[str, bytes | Odd] = field(default_factory=dict)
    preset: str | None = None
    role: str | None = None
    asked_files: tuple[str, ...] = ()
    how: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> list[str]:
        """The options that a command takes."""
        preset = ["-p", self.preset] if self.preset is not None else []
        role = ["--role", self.role] if self.role is not None else []
        return [*preset, *role, *(word for name in self.asked_files for word in ("--env-file", name))]

    def paths(self, folder: Path) -> dict[Path, bytes | Odd]:
        """Return what stands where in its folder."""
        return {
            folder / below / name: content
            for below, files in ((".", self.env_files), ("secrets", self.secrets), ("files", self.files))
            for name, content in files.items()
        }

    def lay_out(self, folder: Path) -> None:
        """Write its files into ``folder``, for their owner only."""
        for below in ("secrets", "files"):
            (folder / below).mkdir(mode=0o700, exist_ok=True)
        for path, content in self.paths(folder).items():
            _write(path, content)

    def clear(self, folder: Path) -> None:
        """Remove them, for the next one."""
        for path, content in self.paths(folder).items():
            if content is Odd.FOLDER:
                path.rmdir()
            else:
                path.unlink()

    def __str__(self) -> str:
        def shortened(value: object) -> str:
            text = repr(value)
            return text if len(text) <= 300 else f"{text[:250]} ... {len(text)} characters"

        said = [f"{name}={shortened(text)}" for name, text in self.environ.items()]
        files = [f"{path}: {shortened(content)}" for path, content in self.paths(Path()).items()]
        return "\n    ".join([f"seed {self.seed!r} {self.arguments} {', '.join(self.how)}", *said, *files])


def _write(path: Path, content: bytes | Odd) -> None:
    match content:
        case Odd.FOLDER:
            path.mkdir(mode=0o700)
        case Odd.PIPE:
            os.mkfifo(path, 0o600)
        case Odd.DANGLING:
            path.symlink_to("nowhere")
        case Odd.LOOP:
            path.symlink_to(path.name)
        case _:
            closed = content is Odd.CLOSED
            mode = 0o000 if closed else 0o600
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
                file.write(content if isinstance(content, bytes) else b"text")


def line(random: Random, name: str, text: str) -> str:
    """Return one entry of a ``.env`` in one of the ways to write it."""
    ways = (
        ["{name}='{text}'\n", "{name} = '{text}'\n", "  export {name}='{text}'  # a comment\n"]
        if "'" not in text
        else []
    )
    if not re.search(r"[\\\"]", text):
        ways += ['{name}="{text}"\n', '# of {name}\n{name}="{text}"\n']
    if re.fullmatch(r"[^\s#'\"\\]+", text):
        ways += ["{name}={text}\n", "export {name}={text}\n", "{name}={text} # a comment\n", "{name}={text}\r\n"]
    return random.choice(ways).format(name=name, text=text)


# --- good ones -------------------------------------------------------------------------------------------------------


@dataclass
class _Group:
    """Variables that have to stand in one source: a venue's keys and what says whose they are."""

    values: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    # Whether its secrets may stand in the secrets directory, a source of its own.
    apart: bool = True


PRESETS = (None, "production", "testnet", "sandbox")
EXECUTIONS: Mapping[str | None, str] = {"production": "VENUE", "testnet": "VENUE", "sandbox": "SIMULATED"}
BINANCE_MARKETS: Mapping[str, tuple[str, ...]] = {
    "LIVE": ("SPOT", "USDT_FUTURES", "COIN_FUTURES"),
    "TESTNET": ("SPOT", "USDT_FUTURES"),
    "DEMO": ("SPOT", "USDT_FUTURES"),
}
BINANCE_OWN = {
    ("TESTNET", "SPOT"): "BINANCE_TESTNET",
    ("TESTNET", "USDT_FUTURES"): "BINANCE_FUTURES_TESTNET",
    ("TESTNET", "COIN_FUTURES"): "BINANCE_FUTURES_TESTNET",
    ("DEMO", "SPOT"): "BINANCE_DEMO",
    ("DEMO", "USDT_FUTURES"): "BINANCE_DEMO",
    ("DEMO", "COIN_FUTURES"): "BINANCE_DEMO",
}
OWN_HOSTS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("BINANCE", "LIVE"): ("fapi.binance.com", "api.binance.com", "api.binance.us", "data-api.binance.vision"),
    ("BINANCE", "TESTNET"): ("testnet.binance.vision", "testnet.binancefuture.com", "demo-fapi.binance.com"),
    ("BYBIT", "LIVE"): ("api.bybit.com", "api.bytick.com", "stream.bybit.eu"),
    ("BYBIT", "TESTNET"): ("api-testnet.bybit.com", "api-demo.bybit.com", "stream-testnet.bybit.com"),
}
URLS: Mapping[str, tuple[str, ...]] = {
    "BINANCE": tuple(name for name in VALUES if name.startswith("BINANCE_BASE_URL")),
    "BYBIT": tuple(name for name in VALUES if name.startswith("BYBIT_BASE_URL")),
}


def good(seed: str, *, mark: str = "", redis: Mapping[str, str] | None = None) -> Environment:
    """Return an environment in which nothing is wrong.

    Parameters
    ----------
    seed : str
        What it follows from.
    mark : str, optional
        What every secret shall hold.
    redis : mapping, optional
        What names the Redis server, where one is used; by default one of the table.

    """
    random = Random(seed)
    preset = random.choice(PRESETS)
    recorder = random.random() < OFTEN
    execution = EXECUTIONS.get(preset) or random.choice(("VENUE", VALUES["NAUTILUS_EXECUTION"](random)))
    executes = not recorder and execution.upper() == "VENUE"
    on = random.sample(("BINANCE", "BYBIT"), random.choice((1, 1, 2)))
    on = [] if preset is None and not recorder and random.random() < OFTEN / 2 else on
    with_key = 1.0 if executes and preset is not None else 0.5 if executes else OFTEN / 2
    keyed = [venue for venue in on if random.random() < with_key]
    values = _of_the_node(random, preset, execution)
    values["NAUTILUS_TRADER_ID"] = f"T{seed}-{random.choice(('1', '001', 'A_1', '12345678'))}"
    if on and (preset == "production" or recorder or keyed != on or random.random() < OFTEN):
        values["NAUTILUS_VENUES"] = random.choice((",", " , ")).join(on)

    groups = [_streaming(random, needed=recorder)]
    if (preset == "production" and not recorder) or random.random() < 0.5:
        groups += _redis(random, mark, redis)
    for venue in on:
        groups += _venue(random, venue, preset, mark, has_key=venue in keyed, executes=executes, recorder=recorder)
    addresses = dict(OTHER_HTTP + OTHER_WS)
    foreign = {addresses[url] for group in groups for url in group.values.values() if url in addresses}
    if preset == "production" and foreign:
        values["NAUTILUS_TRUSTED_ENDPOINTS"] = ",".join(sorted(foreign))

    environment = Environment(seed, {"NAUTILUS_SECRETS_DIR": "secrets"})
    environment.role = "recorder" if recorder else random.choice(("trader", None))
    if environment.role is not None and random.random() < 0.5:
        values["NAUTILUS_ROLE"], environment.role = environment.role, None
    environment.preset = preset
    if preset is not None and random.random() < 0.5:
        values["NAUTILUS_PRESET"], environment.preset = preset, None
    groups += [_Group({name: text}) for name, text in values.items()]
    random.shuffle(groups)
    for group in groups:
        _place(random, environment, group)
    return environment


def _of_the_node(random: Random, preset: str | None, execution: str) -> dict[str, str]:
    """Return what may be said whatever else is, and what the preset wants to hear."""
    values = {name: VALUES[name](random) for name in VALUES if ANYWAY.match(name) and random.random() < OFTEN}
    if preset == "production":
        values["NAUTILUS_ENVIRONMENT"] = random.choice(("LIVE", "live"))
    elif random.random() < OFTEN:
        values["NAUTILUS_ENVIRONMENT"] = "SANDBOX" if preset else VALUES["NAUTILUS_ENVIRONMENT"](random)
    if execution != EXECUTIONS.get(preset, "VENUE") or random.random() < OFTEN:
        values["NAUTILUS_EXECUTION"] = execution
    if preset is None and random.random() < OFTEN:
        values["NAUTILUS_RECONCILIATION_STARTUP_DELAY_SECS"] = number(0, 10)(random)
    return values


def _streaming(random: Random, *, needed: bool) -> _Group:
    names = (
        *("FLUSH_INTERVAL_MS", "ROTATION_MODE", "MAX_FILE_SIZE_MB", "ROTATION_INTERVAL_MINS"),
        *("CATALOG_MAX_RUNS", "CATALOG_MAX_AGE_DAYS"),
    )
    said = [f"NAUTILUS_{name}" for name in names if random.random() < 0.5]
    wanted = needed or random.random() < OFTEN
    return _Group({name: VALUES[name](random) for name in ("NAUTILUS_CATALOG_PATH", *said)} if wanted else {})


def _redis(random: Random, mark: str, server: Mapping[str, str] | None) -> list[_Group]:
    """Return what names a Redis server: its fields, or a url for hosts that one can be written for."""
    password = marked_text(random, 24, mark) + random.choice(("", "!/@:#%", "'\"", "${x}", " ä"))
    given = dict(server or {"REDIS_HOST": VALUES["REDIS_HOST"](random), "REDIS_PASSWORD": password})
    timeout = {"REDIS_TIMEOUT": VALUES["REDIS_TIMEOUT"](random)} if random.random() < OFTEN else {}
    port = given.get("REDIS_PORT") or random.choice(("", "6379", "6380"))
    secret = given.pop("REDIS_PASSWORD", "")
    if random.random() < OFTEN:
        host = f"[{given['REDIS_HOST']}]" if ":" in given["REDIS_HOST"] else given["REDIS_HOST"]
        user = random.choice(("", "default"))
        database = random.choice(("", "/", "/0"))
        url = f"redis://{user}:{quote(secret, safe='')}@{host}{f':{port}' if port else ''}{database}"
        return [_Group(timeout, {"REDIS_URL": url})]
    more = {"REDIS_PORT": port} if port else {}
    more |= {"REDIS_USERNAME": "default"} if random.random() < OFTEN else {}
    more |= {"REDIS_SSL": random.choice(("false", "0", "no"))} if random.random() < OFTEN else {}
    state = [name for name in ("NAUTILUS_LOAD_STATE", "NAUTILUS_SAVE_STATE") if random.random() < OFTEN]
    more |= {name: SWITCH(random) for name in state}
    return [_Group({**given, **timeout, **more}, {"REDIS_PASSWORD": secret} if secret else {})]


def _venue(
    random: Random, venue: str, preset: str | None, mark: str, *, has_key: bool, executes: bool, recorder: bool
) -> list[_Group]:
    allowed = {
        "production": ("LIVE",),
        "sandbox": ("LIVE",),
        "testnet": ("TESTNET", "DEMO"),
        None: ("LIVE", "TESTNET", "DEMO"),
    }
    environment = random.choice(allowed[preset])
    if venue == "BINANCE":
        market = random.choice(BINANCE_MARKETS[environment if executes and has_key else "LIVE"])
        values, own = _binance(random, environment, market, recorder=recorder)
    else:
        values, own = _bybit(random, environment, recorder=recorder)
    by_preset = preset == "testnet" and environment == "TESTNET"
    # What says which environment the venue is on: needed where neither a preset nor a default does.
    needed = environment != "LIVE" and not by_preset
    flags = {f"{venue}_ENVIRONMENT": random.choice((environment, environment.lower()))}
    if environment != "LIVE" and random.random() < 0.5:
        flags = {f"{venue}_{environment}": random.choice(("true", "1", "yes", "ON"))}
    keys = _Group()
    if has_key:
        generic = environment == "LIVE" or (executes and random.random() < 0.5)
        prefix = venue if generic else own
        key, secret = PAIRS[venue.lower()](random, mark)
        keys.secrets = {f"{prefix}_API_KEY": key, f"{prefix}_API_SECRET": secret}
        keys.apart = not (generic and environment != "LIVE")
        if not keys.apart or needed or random.random() < OFTEN:
            keys.values = flags
    elif needed or random.random() < OFTEN:
        keys.values = flags
    urls = _urls(random, venue, preset, environment)
    # Streams of futures alone, and plain text only to hosts that are not the exchange's: both are so in the table above.
    if values.get("BINANCE_ACCOUNT_TYPE") == "SPOT":
        urls.pop("BINANCE_BASE_URL_WS_STREAM", None)
    groups = [keys, _Group({**values, **urls})]
    if random.random() < OFTEN / 2:
        groups.append(_Group(secrets={f"{venue}_PROXY_URL": proxy(random, mark)}))
    return groups


def _binance(random: Random, environment: str, market: str, *, recorder: bool) -> tuple[dict[str, str], str]:
    values = {"BINANCE_ACCOUNT_TYPE": market} if market != "USDT_FUTURES" or random.random() < OFTEN else {}
    if recorder or random.random() < 0.5:
        values["BINANCE_INSTRUMENT_IDS"] = VALUES["BINANCE_INSTRUMENT_IDS"](random)
    if market == "SPOT" and environment == "LIVE" and random.random() < 0.5:
        values["BINANCE_US"] = SWITCH(random)
    if market != "SPOT":
        names = ("BINANCE_LEVERAGES", "BINANCE_MARGIN_TYPES")
        values |= {name: VALUES[name](random) for name in names if random.random() < OFTEN}
    return values, BINANCE_OWN.get((environment, market), "BINANCE")


def _bybit(random: Random, environment: str, *, recorder: bool) -> tuple[dict[str, str], str]:
    values = {}
    if random.random() < 0.5:
        values["BYBIT_PRODUCT_TYPES"] = "SPOT" if random.random() < OFTEN else VALUES["BYBIT_PRODUCT_TYPES"](random)
    if recorder or random.random() < 0.5:
        values["BYBIT_INSTRUMENT_IDS"] = VALUES["BYBIT_INSTRUMENT_IDS"](random)
    if values.get("BYBIT_PRODUCT_TYPES") != "SPOT" and random.random() < OFTEN:
        values["BYBIT_LEVERAGES"] = VALUES["BYBIT_LEVERAGES"](random)
    if random.random() < OFTEN:
        values["BYBIT_MARGIN_MODE"] = VALUES["BYBIT_MARGIN_MODE"](random)
    return values, f"BYBIT_{environment}"


def _urls(random: Random, venue: str, preset: str | None, environment: str) -> dict[str, str]:
    """Return base urls that the preset allows: the exchange's own of that kind, or somebody else's."""
    found = {}
    for name in URLS[venue]:
        if random.random() < OFTEN / 2:
            scheme, others = ("https", OTHER_HTTP) if name.endswith("HTTP") else ("wss", OTHER_WS)
            kind = "TESTNET" if preset == "testnet" or (preset is None and environment != "LIVE") else "LIVE"
            own = f"{scheme}://{random.choice(OWN_HOSTS[venue, kind])}"
            found[name] = random.choice((own, random.choice(others)[0]))
    return found


def _place(random: Random, environment: Environment, group: _Group) -> None:
    """Put the group into the process environment or into ``.env``, its secrets there, into files, or into the directory."""
    where = random.choice(("environ", "environ", ".env"))
    way = random.choice(("there", "there", "_FILE", "apart" if group.apart else "_FILE"))
    values = dict(group.values)
    for name, secret in group.secrets.items():
        # A `.env` has no way to write both kinds of quotes as they are.
        content = (secret + random.choice(("", "\n", "\r\n"))).encode()
        if way == "apart":
            environment.secrets[random.choice((name, name.lower()))] = content
        elif way == "_FILE" or (where == ".env" and {"'", '"'} <= set(secret)):
            environment.files[name] = content
            values[f"{name}_FILE"] = f"files/{name}"
        else:
            values[name] = secret
    if where == "environ":
        environment.environ |= values
    else:
        entries = "".join(line(random, name, text) for name, text in values.items())
        before = environment.env_files.get(".env", b"")
        assert isinstance(before, bytes)
        environment.env_files[".env"] = before + entries.encode()


# --- what becomes of them --------------------------------------------------------------------------------------------

# `{}` is where a variable's filling goes: a marked secret in a secret's variable, else a word.
ODD_TEXTS = (
    *("", " ", "\t", "\n", "{}", "{} {}", "'{}'", '"{}"', '"{}', "{}'", "'\"{}\"'", "`{}`", "\u201c{}\u201d"),
    "\u00ab{}",
    *("${HOME}{}", "$({})", "%(x)s{}", "%s%n{}", "{0}{}", "\\{}\\", "#{}", "{}#x", "a={}", "={}", "{}=", ",{},", "{};"),
    *("\x1b[31m{}\x1b[0m", "\x1b]0;{}\x07", "{}\x07\x08", "{}\x7f", "\x85{}", "{}\r"),
    "{}\r\nerror: forged\n  fix: x\n",
    *("a\nb{}", "a\tb{}", "a\u2028b{}", "a\vb{}", "\u202e{}\u2066", "\u200f{}", "\ufeff{}", "{}\u200b", "{}\u00a0"),
    "\u3164{}",
    *("\udcff{}", "{}\udc80\udcfe", "\U0001f4a3{}", "\U0001d54b{}", "\ufb01{}", "{}e\u0301", "\u0661{}", "\uff11{}"),
    *('{"key": "{}"}', "[{}]", '{"a": {"b": ["{}", null]}}', "<{}>", "your_{}_here", "changeme", "xxxxxxxxxxxxxxxx"),
    *("0", "-1", "-0", "00", "1", "01", "1.5", "1e3", "1e400", "1e-400", "nan", "inf", "-inf", "0x10", "1_0", "1__0"),
    "\uff12",
    *("65535", "65536", "2147483648", "18446744073709551616", "9" * 30, "9" * 5000, "0." + "0" * 400 + "1", "1/3"),
    "1,5",
    *("true", "maybe", "TRUE", "null", "None", "~", "-", ".", "..", "/", "//", "~root/x", "~nobody-there/x"),
    *("/dev/null", "*"),
    *("/dev/null/x", "/proc/self/mem", "/proc/self/environ", "x" * 300, "x/" * 3000, "{}" * 400, "BEGIN " * 1000),
    "A.B=" * 1000,
    *("http://", "http://[", "http://[::1", "http://a:99999", "ws://x:y", "https://a b", "https://\u00e4.example/"),
    "http://%00/",
    *("redis://", "redis://:{}@", "redis://h:x", "redis://u:{}@h:6379/3", "rediss://h?x=1", "tcp://10.0.0.1:6379"),
    "h:6379",
    *("BINANCE", "BINANCE,KRAKEN", "BYBIT,BYBIT,", "A=DEBUG,A=LOUD", "A=", "=B", "BTCUSDT=126", "BTCUSDT=0", "BTCUSDT"),
    *("BTCUSDT-PERP.KRAKEN", ".BINANCE", "20/00:00:00", "0/00:00:01", "100/1", "1/24:00:00", "-1/00:00:01", "1 usdt"),
    *("MY TRADER-001", "PROD", "A-", "-A", "A-123456789", "\u0410-001", "LIVE", "SANDBOX", "testnet,production"),
    "prod",
)
# What may be a secret wherever it stands: keys as exchanges make them, urls with a password or a token.
KEY_LIKE = (
    *("{key}", "{key}", " {key}\n", "'{key}'", "{short}", "{pem}", "{pem_lines}", '{"apiKey": "{key}"}', "key={key}"),
    *("redis://user:{short}@redis.internal:6379/0", "https://user:{short}@gateway.internal/"),
    "wss://{short}@gateway:8443",
    *("https://gateway.internal/x?token={short}", "postgres://u:{short}@h/db", "me:{short}@gateway:8443"),
    "{key},{key}",
    *("{key}\x1b[2K", "\u202e{key}", "{key}\udcff", "BTCUSDT={key}", "{key}=5", "RiskEngine={key}", "20/{key}"),
    "{key} USDT",
)
URL_LIKE = tuple(form for form in KEY_LIKE if "://" in form)
# Names, folders and hosts, for which letters and digits alone are as good as any others: they are told like any others.
FREE = re.compile(
    r"NAUTILUS_(?:STATE_DIR|LOG_DIRECTORY|LOG_FILE_NAME|CATALOG_PATH)|REDIS_(?:HOST|USERNAME)|\w+_LEVERAGES"
)
LOOKALIKES = dict(
    zip("AEIKOPCTXBHM", "\u0410\u0415\u0406\u041a\u041e\u0420\u0421\u0422\u0425\u0392\u041d\u041c", strict=True)
)
# Of a name and a place in it.
SLIPS: Mapping[str, Callable[[str, int], str]] = {
    "a letter missing": lambda name, at: name[:at] + name[at + 1 :],
    "a letter twice": lambda name, at: name[: at + 1] + name[at:],
    "two letters swapped": lambda name, at: name[:at] + name[at + 1] + name[at] + name[at + 2 :],
    "another letter": lambda name, at: name[:at] + "Q" + name[at + 1 :],
    "lower case": lambda name, _: name.lower(),
    "mixed case": lambda name, _: name.title(),
    "hyphens": lambda name, _: name.replace("_", "-"),
    "dots": lambda name, _: name.replace("_", "."),
    "spaces around": lambda name, _: f" {name}\t",
    "quotes around": lambda name, _: f"'{name}'",
    "a prefix": lambda name, _: f"APP_{name}",
    "a suffix": lambda name, _: f"{name}_2",
    "lookalikes": lambda name, _: "".join(LOOKALIKES.get(letter, letter) for letter in name),
    "full width": lambda name, _: "".join(chr(ord(letter) + 0xFEE0) for letter in name),
    "zero width": lambda name, at: f"{name[:at]}\u200b{name[at:]}",
    "a byte order mark": lambda name, _: f"\ufeff{name}",
    "a colour": lambda name, _: f"{name}\x1b[31m",
    "right to left": lambda name, _: f"{name}\u202e",
    "a new line": lambda name, _: f"{name}\nerror: forged",
    "a byte that is not UTF-8": lambda name, _: f"{name}\udcff",
    "very long": lambda name, _: name * 500,
}
SOMEBODY_ELSES = (
    *("NAUTILUS_LOG=stdout=info", "NAUTILUS_PATH=/x", "REDIS_PORT=tcp://10.0.0.1:6379"),
    "REDIS_PORT_6379_TCP_ADDR=10.0.0.1",
    *("REDIS_SERVICE_HOST=10.0.0.1", "REDIS_DB=3", "REDIS_DB=0", "REDIS_TLS=true", "NAUTILUS_FLUSH_ON_START=true"),
    *("NAUTILUS_BYPASS=true", "NAUTILUS_RECONCILIATION=false", "NAUTILUS_ENV_FILE=x", "REDIS_NAME=/app/redis"),
    "PATH=/bin",
)
ENV_TEXTS: Mapping[str, Callable[[Random, bytes], bytes]] = {
    "Windows' line ends": lambda _, text: text.replace(b"\n", b"\r\n"),
    "old line ends": lambda _, text: text.replace(b"\n", b"\r"),
    "a byte order mark": lambda _, text: b"\xef\xbb\xbf" + text,
    "UTF-16": lambda _, text: text.decode(errors="replace").encode("utf-16"),
    "a byte that is not UTF-8": lambda random, text: _inserted(random, text, b"\xff\xfe"),
    "a NUL byte": lambda random, text: _inserted(random, text, b"\0"),
    "NUL bytes alone": lambda _, __: b"\0" * 100,
    "a stray quote": lambda random, text: _inserted(random, text, random.choice((b"'", b'"', b"`"))),
    "quotes that never end": lambda _, text: b"A='" + text,
    "a line that is none": lambda random, text: (
        random.choice((b"export\n", b"just words\n", b"=x\n", b"A B=c\n", b"\x1b[31m\n")) + text
    ),
    "a key on a line of its own": lambda random, text: marked_text(random, 64, MARK).encode() + b"\n" + text,
    "a key file without quotes": lambda random, text: (
        text + b"\nBINANCE_API_SECRET=" + marked_pem(random, MARK).encode()
    ),
    "everything twice": lambda _, text: text + text,
    "one line of a megabyte": lambda _, text: text + b"NAUTILUS_LOG_LEVEL=" + b"x" * 1_000_000 + b"\n",
    "sixty kilobytes of comments": lambda _, text: b"# nothing\n" * 6_000 + text,
    "cut off": lambda random, text: text[: random.randrange(len(text) + 1)],
    "nothing at all": lambda _, __: b"",
    "random bytes": lambda random, text: text + random.randbytes(200),
    "random ASCII": lambda random, text: text + bytes(random.randrange(9, 127) for _ in range(200)),
    "escapes": lambda _, text: text + rb'REDIS_USERNAME="\x1b\u001b[31m\n\N{BEL}\777"' + b"\n",
}
SLOW = ("one line of a megabyte", "sixty kilobytes of comments")
SECRET_CONTENTS: tuple[bytes | Odd, ...] = (
    *Odd,
    *(b"", b" \n\t", b"\xff\xfe\x00\x01", b"\0", b"\x89PNG\r\n\x1a\n"),
    *(MARK.encode() + b"\0\x1b[31m", b"\xef\xbb\xbf" + MARK.encode()),
    *(MARK.encode() * 10_000, MARK.encode() + b"\nsecond line", b"'" + MARK.encode() + b"'"),
    f"{MARK}\u202e\U0001f4a3".encode(),
)
FILE_NAMES = (
    *("binance_api_key", "BINANCE_API_SECRET", "bybit_api_secret.txt", "BYBIT_TESTNET_API_KEY", "redis_password"),
    "REDIS_URL",
    *("BINANCE_PROXY_URL", "Redis_Password", "redis-password", "binance_api_key.bak", "..data", "x" * 200),
    "NAUTILUS_VENUES",
    *("redis_password\x1b[31m", "redis_pasword\nerror: forged", "redis_pass\udcffword", "r\u202eedis_password"),
    *("\u0420EDIS_PASSWORD", "BINANCE-API-KEY", "bybitapikey"),
)
HOMES = (
    *(None, "", "relative", "/", "/nonexistent", "/dev/null", "~"),
    *("/tmp/\u202e", "/h\x1b[31m", "/h\nerror: forged", "/h\udcff"),
)


def _inserted(random: Random, text: bytes, more: bytes) -> bytes:
    at = random.randrange(len(text) + 1)
    return text[:at] + more + text[at:]


def filled(random: Random, form: str, name: str) -> str:
    """Return an odd text for the variable ``name``: a secret's is marked."""
    secret = name.removesuffix("_FILE") in secret_names() and not name.endswith("_FILE")
    return form.replace("{}", marked_text(random, 24, MARK) if secret else "word")


def key_like(random: Random, forms: Sequence[str] = KEY_LIKE) -> str:
    pem = marked_pem(random, MARK)
    fillings = {
        "{key}": marked_text(random, 64, MARK),
        "{short}": marked_text(random, 20, MARK),
        "{pem}": pem,
        "{pem_lines}": pem.replace("\n", "\\n"),
    }
    form = random.choice(forms)
    return re.sub("|".join(fillings), lambda found: fillings[found[0]], form)


def valid_text(random: Random, name: str) -> str:
    """Return what the variable ``name`` takes by itself."""
    if name.endswith("_FILE"):
        return f"files/{name}"
    name = former_names().get(name, name)
    if name in VALUES:
        return VALUES[name](random)
    if name == "REDIS_URL":
        return f"redis://:{marked_text(random, 24, MARK)}@redis.internal:6379"
    if name == "REDIS_PASSWORD":
        return marked_text(random, 24, MARK)
    if name.endswith("PROXY_URL"):
        return proxy(random, MARK)
    return PAIRS[name.partition("_")[0].lower()](random, MARK)[name.endswith("SECRET")]


def _any_name(random: Random) -> str:
    return random.choice(_names())


def _names() -> list[str]:
    return sorted(known_names())


def _say(random: Random, environment: Environment, name: str, text: str) -> None:
    """Say it in the process environment, or in ``.env``, raw as somebody would type it."""
    before = environment.env_files.get(".env", b"")
    if random.random() < 0.6 or not isinstance(before, bytes) or "\udc80" <= max(name + text) <= "\udcff":
        # What no process environment can hold has no place there.
        name, text = name.replace("=", ":").replace("\0", "") or "_", text.replace("\0", "")
        environment.environ[name] = text
        return
    quotes = random.choice(("", "", '"', "'"))
    written = f"{name}={quotes}{text}{quotes}\n".encode(errors="replace")
    environment.env_files[".env"] = random.choice((before + written, written + before))


def _slip(random: Random, environment: Environment) -> str:
    name = random.choice([name for name in environment.environ if name in known_names()] or _names())
    how = random.choice(list(SLIPS))
    text = environment.environ.pop(name, "") or valid_text(random, name)
    _say(random, environment, SLIPS[how](name, random.randrange(len(name) - 1)), text)
    return f"{name} with {how}"


def _former(random: Random, environment: Environment) -> str:
    old, new = random.choice(sorted(former_names().items()))
    text = environment.environ.get(new) if random.random() < 0.5 else None
    if text is not None and random.random() < 0.5:
        del environment.environ[new]
    _say(random, environment, old, text if text is not None else valid_text(random, new))
    return f"former {old}"


def _odd(random: Random, environment: Environment) -> str:
    name = _any_name(random)
    _say(random, environment, name, filled(random, random.choice(ODD_TEXTS), name))
    return f"odd {name}"


def _valid(random: Random, environment: Environment) -> str:
    name = _any_name(random)
    _say(random, environment, name, valid_text(random, name))
    return f"valid {name}"


def _dropped(random: Random, environment: Environment) -> str:
    name = random.choice(sorted(environment.environ))
    del environment.environ[name]
    return f"no {name}"


def _from_file(random: Random, environment: Environment) -> str:
    name = random.choice(sorted(secret_names()))
    content = random.choice(SECRET_CONTENTS)
    path = "files/odd" if random.random() < 0.8 else filled(random, random.choice(ODD_TEXTS), f"{name}_FILE")
    environment.files["odd"] = content
    _say(random, environment, f"{name}_FILE", path)
    return f"{name}_FILE"


def _key_astray(random: Random, environment: Environment) -> str:
    name = random.choice([name for name in _names() if name not in secret_names()])
    _say(random, environment, name, key_like(random, URL_LIKE if FREE.fullmatch(name) else KEY_LIKE))
    return f"a key in {name}"


def _random_name(random: Random, environment: Environment) -> str:
    letters = "".join(chr(random.choice((random.randrange(1, 0x300), random.randrange(1, 0xD800)))) for _ in range(8))
    name = random.choice(("", "NAUTILUS_", "BINANCE_", "REDIS_")) + letters
    _say(random, environment, name, random.choice((marked_text(random, 40, MARK), key_like(random))))
    return "a random name"


def _somebody_elses(random: Random, environment: Environment) -> str:
    name, _, text = random.choice(SOMEBODY_ELSES).partition("=")
    _say(random, environment, name, text)
    return f"somebody else's {name}"


def _env_file(random: Random, environment: Environment) -> str:
    how = random.choice(list(ENV_TEXTS))
    if how in SLOW and random.random() < 0.9:
        how = "a stray quote"
    before = environment.env_files.get(".env", b"")
    environment.env_files[".env"] = ENV_TEXTS[how](random, before if isinstance(before, bytes) else b"")
    return f".env with {how}"


def _env_file_odd(random: Random, environment: Environment) -> str:
    environment.env_files[".env"] = what = random.choice((Odd.FOLDER, Odd.DANGLING, Odd.LOOP, Odd.CLOSED))
    return f".env is {what}"


def _secrets(random: Random, environment: Environment) -> str:
    name = random.choice(FILE_NAMES)
    environment.secrets[name] = random.choice(SECRET_CONTENTS)
    return f"secret file {name!r}"


def _secrets_dir(random: Random, environment: Environment) -> str:
    texts = (
        "missing",
        ".env",
        "files",
        "/dev/null",
        "secrets/",
        "",
        "x" * 300,
        "secrets\x1b[31m",
        "\udcff",
        "/proc/self/fd",
    )
    environment.environ["NAUTILUS_SECRETS_DIR"] = random.choice(texts)
    return "another secrets directory"


def _asked(random: Random, environment: Environment) -> str:
    presets = (
        None,
        "production",
        "testnet",
        "sandbox",
        "prod",
        "Testnet",
        "",
        "\x1b[31m",
        marked_text(random, 64, MARK),
    )
    files = ((), (".env",), ("missing.env",), (".env", "missing.env"), ("files",), ("missing\x1b[31m.env",))
    if random.random() < 0.5:
        environment.preset = random.choice(presets)
    else:
        environment.asked_files = random.choice(files)
    return "other arguments"


def _role(random: Random, environment: Environment) -> str:
    environment.role = random.choice(("trader", "recorder"))
    return f"role {environment.role}"


def _home(random: Random, environment: Environment) -> str:
    name = random.choice(("HOME", "XDG_STATE_HOME"))
    home = random.choice(HOMES)
    environment.environ.pop(name, None)
    if home is not None:
        environment.environ[name] = home
    return f"another {name}"


def _very_long(random: Random, environment: Environment) -> str:
    """Say something of up to a megabyte: a shell could not, a program can, and so can a test of Python's own."""
    name = _any_name(random)
    unit = random.choice(
        ("x", f"{MARK}" if name in secret_names() else "y", "A=1,", "[", "-----BEGIN ", "\u202e", "9", "a.", "/", "$")
    )
    environment.environ[name] = unit * (random.choice((100_000, 1_000_000)) // len(unit))
    return f"very long {name}"


# How often each befalls an environment, against the others.
SPOILS: Mapping[Callable[[Random, Environment], str], float] = {
    _slip: 10,
    _former: 6,
    _odd: 20,
    _valid: 10,
    _dropped: 6,
    _from_file: 6,
    _key_astray: 10,
    _random_name: 5,
    _somebody_elses: 4,
    _env_file: 12,
    _env_file_odd: 1,
    _secrets: 6,
    _secrets_dir: 2,
    _asked: 4,
    _role: 2,
    _home: 2,
    _very_long: 0.1,
}


def spoilt(seed: str) -> Environment:
    """Return a good environment, marked, to which none, one or several things have happened."""
    environment = good(seed, mark=MARK)
    random = Random(f"spoilt {seed}")
    times = random.choices((0, 1, 2, 3, 6), (10, 50, 20, 15, 5))[0]
    spoils: Iterable[Callable[[Random, Environment], str]] = random.choices(
        list(SPOILS), list(SPOILS.values()), k=times
    )
    environment.how = [spoil(random, environment) for spoil in spoils]
    return environment


def control_characters(text: str) -> set[str]:
    """Return what acts on a terminal, or does not show there: everything but new lines, spaces and what prints."""
    found = set(text) - {"\n"}
    return {char for char in found if not char.isprintable() and unicodedata.category(char) != "Zs"}
