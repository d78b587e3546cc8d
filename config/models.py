"""The settings tree: frozen, checked, and free of any nautilus import.

Every field carries, once, its environment variable, whether it is essential or advanced, its bounds, its default and
its meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PrivateAttr,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from config.checks.endpoints import address, classify

if TYPE_CHECKING:
    from config.problems import Origin, Problem
    from config.settings.layers import Value
    from config.settings.sources import EnvFiles


class Setting(NamedTuple):
    """What ``show``, ``init`` and the reference need to know of a field beyond its type.

    ``former`` are names that the variable once had, or that Nautilus gave the thing: they keep working, with a warning.
    """

    variable: str
    tier: Literal["essential", "advanced"] = "advanced"
    accepted: str | None = None
    example: str | None = None
    former: tuple[str, ...] = ()


# Prefix of the error type of rules over several settings; the path of the setting to mend follows it.
MISFIT = "misfit."


def _misfit(path: str, message: str, fix: str) -> PydanticCustomError:
    return PydanticCustomError(cast("Any", MISFIT + path), cast("Any", message), {"fix": fix})


def _upper(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) and not isinstance(value, StrEnum) else value


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _split(value: object) -> object:
    """Split ``A,B`` as it stands in an environment variable; anything else is left to pydantic."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _split_upper(value: object) -> object:
    parts = _split(value)
    return tuple(dict.fromkeys(map(_upper, parts))) if isinstance(parts, list | tuple) else parts


def _split_lower(value: object) -> object:
    parts = _split(value)
    return tuple(dict.fromkeys(map(_lower, parts))) if isinstance(parts, list | tuple) else parts


def _pairs(value: object) -> object:
    """Split ``A=1,B=2`` as it stands in an environment variable; anything else is left to pydantic."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    if any(not (name.strip() and sign and given.strip()) for name, sign, given in pairs):
        raise PydanticCustomError("pairs", "expected NAME=VALUE,NAME=VALUE")
    return {name.strip(): given.strip() for name, _, given in pairs}


def _folder(value: object) -> object:
    """Refuse what is no folder of this machine: a url, perhaps with a password in it, or a name that no file system takes."""
    if not isinstance(value, str | Path):
        return value
    text = str(value)
    if "://" in text or ":/" in text or not text.isprintable():
        raise PydanticCustomError("folder", "expected a directory")
    try:
        return Path(text).expanduser() if text.startswith("~") else value
    except RuntimeError:  # nobody of that name, or no home directory
        raise PydanticCustomError("folder", "expected a directory") from None


def _with_address(url: str) -> str:
    """Refuse a url whose host or port cannot be told, such as ``https://[host`` or port 99999."""
    address(url)
    return url


def _proxy(url: SecretStr) -> SecretStr:
    """Refuse what is no proxy's address; pydantic's own url types would show the password."""
    if not PROXY.fullmatch(url.get_secret_value()):
        raise PydanticCustomError("proxy_url", "expected a proxy url")
    return url


def _balance(text: str) -> str:
    """Refuse an amount that Nautilus' money cannot hold."""
    if float(text.partition(" ")[0]) > BALANCE_MAX:
        raise PydanticCustomError("balance", "expected a smaller amount")
    return text


def _bybit_environment(value: object) -> object:
    upper = _upper(value)
    return "LIVE" if upper == "MAINNET" else upper


def _log_levels(value: object) -> object:
    pairs = _pairs(value)
    return {name: _upper(level) for name, level in pairs.items()} if isinstance(pairs, dict) else pairs


class ConfigEnvironment(StrEnum):
    """The Nautilus environment of the node."""

    LIVE = "LIVE"
    SANDBOX = "SANDBOX"


type VenueName = Literal["BINANCE", "BYBIT"]
type VenueEnvironment = Literal["LIVE", "TESTNET", "DEMO"]
type LogLevel = Literal["TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "OFF"]

Seconds = Annotated[float, Field(allow_inf_nan=False)]
# A count above zero in a span above zero, at most 23:59:59: Nautilus reads other forms wrongly, or crashes in the node.
Rate = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        pattern=r"^0*[1-9][0-9]{0,7}/(?:(?:0[1-9]|1[0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
        r"|00:(?:0[1-9]|[1-5][0-9]):[0-5][0-9]|00:00:(?:0[1-9]|[1-5][0-9]))$",
    ),
]
RATE_FORM = "COUNT/HH:MM:SS with a count and a span above zero, such as 20/00:00:01"
InstrumentIdText = Annotated[
    str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_/-]*\.[A-Z][A-Z0-9_]*$")
]
InstrumentIds = Annotated[tuple[InstrumentIdText, ...], BeforeValidator(_split)]
Symbol = Annotated[str, BeforeValidator(_upper), StringConstraints(pattern=r"^[A-Z0-9][A-Z0-9_-]*$")]
Leverages = Annotated[dict[Symbol, Annotated[int, Field(ge=1, le=125)]], BeforeValidator(_pairs)]
HttpUrl = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        pattern=r"^https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[^\s@?#\\]*)?$",
    ),
    AfterValidator(_with_address),
]
WsUrl = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        pattern=r"^wss?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[^\s@?#\\]*)?$",
    ),
    AfterValidator(_with_address),
]
PROXY = re.compile(r"(?:https?|socks5h?)://(?:[^\s/@]+@)?(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?/?")
PROXY_FORM = "http://, https:// or socks5:// and USER:PASSWORD@HOST:PORT, user and password where it wants them"
# Nautilus' money ends at 1.7e13 with 16 decimals.
BALANCE_MAX = 1e12
HTTP_FORM = "an http:// or https:// url without user, password and query"
WS_FORM = "a ws:// or wss:// url without user, password and query"
Folder = Annotated[Path, BeforeValidator(_folder)]
ProxyUrl = Annotated[SecretStr, AfterValidator(_proxy)]
# Binance allows 36 characters for a client order id. Nautilus writes O-YYYYMMDD-HHMMSS-<trader tag>-<strategy tag>-<count>:
# 18 fixed and one more hyphen, which leaves 11 for both tags and 5 digits for the count of orders.
TAGS_LENGTH_MAX = 11
STRATEGY_TAG_LENGTH = 3
TRADER_TAG_LENGTH_MAX = TAGS_LENGTH_MAX - STRATEGY_TAG_LENGTH

# What Nautilus takes (it aborts the process on others); letters, digits, _ and - keep Redis keys and order ids plain.
TraderIdText = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        pattern=rf"^[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?-[A-Za-z0-9_]{{1,{TRADER_TAG_LENGTH_MAX}}}$",
    ),
]
TRADER_ID_FORM = (
    f"NAME-TAG of letters, digits, _ and -, the tag of at most {TRADER_TAG_LENGTH_MAX} characters, such as TRADER-001"
)


def _without_inputs(error: ValidationError) -> ValidationError:
    """Return the same error with every input replaced: a message or ``errors()`` must not repeat a secret."""
    details = [
        InitErrorDetails(
            type=PydanticCustomError(
                cast("Any", item["type"]), cast("Any", "{msg}"), {**item.get("ctx", {}), "msg": item["msg"]}
            ),
            loc=item["loc"],
            input="***",
        )
        for item in error.errors(include_url=False, include_input=False)
    ]
    return ValidationError.from_exception_data(error.title, details, hide_input=True)


def _hide_inputs(values: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(values)
    except ValidationError as error:
        raise _without_inputs(error) from None


class _HidesInputs(BaseModel):
    """Errors never repeat an input, neither in their text nor in ``errors()``."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[BaseModel], handler: GetCoreSchemaHandler) -> CoreSchema:
        """Wrap the whole model, its own validators included (a wrap validator of a base class would run inside them)."""
        return core_schema.no_info_wrap_validator_function(_hide_inputs, handler(source))


class _Section(_HidesInputs):
    """A frozen part of the settings; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, regex_engine="python-re")

    @classmethod
    def from_env(cls, env_file: EnvFiles = ..., environ: Mapping[str, str] | None = None) -> Self:
        """Read this section alone: nothing else is looked at, so nothing else can be wrong.

        Parameters
        ----------
        env_file, environ
            As for :meth:`TradingNodeSettings.from_env`.

        Raises
        ------
        ConfigError
            With every problem of this section at once.

        """
        from config.settings.loading import load_section

        return load_section(cls, env_file=env_file, environ=environ)


class RedisConfig(_Section):
    """The Redis server that backs Nautilus' cache. All traders share its database 0: Nautilus has no database index."""

    host: Annotated[
        str,
        # A name or an IPv4 address has no colon, an IPv6 address has two or more.
        StringConstraints(strip_whitespace=True, pattern=r"^(?:[^\s/@:]+|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)$"),
        Setting("REDIS_HOST", "essential", "a host name or address without port", "redis.internal"),
    ] = Field("localhost", description="Host name or address of the Redis server.")
    port: Annotated[int, Setting("REDIS_PORT", "essential")] = Field(
        6379, ge=1, le=65535, description="Port of the Redis server."
    )
    username: Annotated[
        str | None,
        # What Redis takes; a colon or a slash would be a url, with its password.
        StringConstraints(pattern=r"^[^\s:/@]+$"),
        Setting("REDIS_USERNAME", accepted="an ACL user name", example="trader"),
    ] = Field(None, min_length=1, description="ACL user name; unset means Redis' default user.")
    password: Annotated[SecretStr | None, Setting("REDIS_PASSWORD", "essential", "a password", "")] = Field(
        None, min_length=1, description="Password of that user."
    )
    ssl: Annotated[bool, Setting("REDIS_SSL")] = Field(
        False, description="TLS to a server with a publicly trusted certificate: Nautilus knows no private CA."
    )
    timeout: Annotated[int, Setting("REDIS_TIMEOUT")] = Field(
        2, ge=1, le=30, description="Whole seconds to wait for a connection, and for an answer."
    )


class LoggingSettings(_Section):
    """Logs on stdout and in files."""

    log_level: Annotated[LogLevel, BeforeValidator(_upper), Setting("NAUTILUS_LOG_LEVEL", "essential")] = Field(
        "INFO", description="Least level on stdout."
    )
    log_level_file: Annotated[LogLevel, BeforeValidator(_upper), Setting("NAUTILUS_LOG_LEVEL_FILE")] = Field(
        "DEBUG", description="Least level in the log file; OFF writes none."
    )
    log_directory: Annotated[
        Folder | None, Setting("NAUTILUS_LOG_DIRECTORY", accepted="a directory", example="/var/log/tradingnode")
    ] = Field(None, description="Directory of the log files; by default `logs` below the state directory.")
    log_file_name: Annotated[
        str | None,
        StringConstraints(strip_whitespace=True, pattern=r"^[^\s/\\]+$"),
        Setting("NAUTILUS_LOG_FILE_NAME", accepted="a file name without directory and suffix", example="node"),
    ] = Field(None, description="Fixed name of the log file; unset, Nautilus names it after trader, date and instance.")
    log_format: Annotated[
        Literal["text", "json"],
        BeforeValidator(_lower),
        Setting("NAUTILUS_LOG_FORMAT", former=("NAUTILUS_LOG_FILE_FORMAT",)),
    ] = Field("text", description="Format of the log file; Nautilus has no JSON on stdout.")
    log_component_levels: Annotated[
        dict[Annotated[str, StringConstraints(min_length=1)], LogLevel],
        BeforeValidator(_log_levels),
        Setting(
            "NAUTILUS_LOG_COMPONENT_LEVELS",
            accepted="COMPONENT=LEVEL,... with levels TRACE, DEBUG, INFO, WARN, WARNING, ERROR, OFF",
            example="RiskEngine=DEBUG,Portfolio=WARN",
        ),
    ] = Field(default_factory=dict, description="Levels of single components.")
    log_colors: Annotated[bool, Setting("NAUTILUS_LOG_COLORS")] = Field(
        False, description="ANSI colours on stdout; `tradingnode run` turns them on when stdout is a terminal."
    )
    max_size_mb: Annotated[int, Setting("NAUTILUS_LOG_MAX_SIZE_MB")] = Field(
        100, ge=10, le=1000, description="Size in MiB at which a log file is rotated."
    )
    max_backup_count: Annotated[int, Setting("NAUTILUS_LOG_MAX_BACKUP_COUNT")] = Field(
        10, ge=1, le=100, description="How many rotated log files are kept."
    )


class StreamingSettings(_Section):
    """Market data and events streamed to the catalog as feather files."""

    catalog_path: Annotated[
        Folder | None, Setting("NAUTILUS_CATALOG_PATH", "essential", "a directory", "/var/lib/tradingnode/catalog")
    ] = Field(
        None,
        description="Folder of the catalog; by default `catalog` below the state directory. "
        "Simulated execution writes to its sub-folder `simulated`.",
    )
    flush_interval_ms: Annotated[int, Setting("NAUTILUS_FLUSH_INTERVAL_MS")] = Field(
        2000, ge=100, le=10_000, description="Milliseconds between flushes to disk."
    )
    rotation_mode: Annotated[
        Literal["NONE", "SIZE", "TIME"], BeforeValidator(_upper), Setting("NAUTILUS_ROTATION_MODE")
    ] = Field("SIZE", description="When a new file is begun.")
    max_file_size_mb: Annotated[int, Setting("NAUTILUS_MAX_FILE_SIZE_MB")] = Field(
        128, ge=16, le=1024, description="Size in MiB of a file under rotation SIZE."
    )
    rotation_interval_mins: Annotated[int, Setting("NAUTILUS_ROTATION_INTERVAL_MINS")] = Field(
        60, ge=1, le=525_600, description="Minutes between new files under rotation TIME."
    )
    max_runs: Annotated[int | None, Setting("NAUTILUS_CATALOG_MAX_RUNS", example="30")] = Field(
        None,
        ge=1,
        le=10_000,
        description="Runs that the catalog keeps, this one included; older ones are deleted at start.",
    )
    max_age_days: Annotated[int | None, Setting("NAUTILUS_CATALOG_MAX_AGE_DAYS", example="90")] = Field(
        None, ge=1, le=3650, description="Days that the catalog keeps a run after its last write; deleted at start."
    )


class ExchangeCredentials(_Section):
    """What the venues have in common: a key pair, the environment it is for, and what to load.

    The pair belongs to ``environment`` and is never used for another one.
    """

    api_key: SecretStr | None = Field(None, min_length=1, description="API key.")
    api_secret: SecretStr | None = Field(None, min_length=1, description="API secret that belongs to the key.")
    environment: VenueEnvironment = Field("LIVE", description="Which environment of the exchange the keys are for.")
    instrument_ids: InstrumentIds = Field((), description="Instruments to load; empty loads all.")
    base_url_http: HttpUrl | None = Field(None, description="REST root instead of the exchange's own.")
    proxy_url: ProxyUrl | None = Field(None, description="Proxy for HTTP and WebSocket; it may hold a password.")
    leverages: Leverages = Field(default_factory=dict, description="Initial leverage by symbol, derivatives only.")

    if TYPE_CHECKING:
        # What a type checker cannot know: the two flags that are read as what they say of `environment`.
        def __init__(self, *, testnet: bool = ..., demo: bool = ..., **fields: Any) -> None: ...

    @property
    def testnet(self) -> bool:
        """Whether the keys are for the exchange's testnet."""
        return self.environment == "TESTNET"

    @property
    def demo(self) -> bool:
        """Whether the keys are for the exchange's demo environment."""
        return self.environment == "DEMO"

    @property
    def has_key(self) -> bool:
        """Whether a complete key pair is at hand."""
        return self.api_key is not None and self.api_secret is not None

    @property
    def base_urls(self) -> dict[str, str]:
        """The base urls that were set, by field name."""
        return {
            name: url
            for name in type(self).model_fields
            if name.startswith("base_url") and (url := getattr(self, name))
        }

    @model_validator(mode="before")
    @classmethod
    def _environment_from_flags(cls, values: Any) -> Any:
        """Read ``testnet=True`` and ``demo=True`` as what they say of the environment."""
        if not isinstance(values, Mapping) or not values.keys() & {"testnet", "demo"}:
            return values
        rest = {name: value for name, value in values.items() if name not in {"testnet", "demo"}}
        said = {name.upper() for name in ("testnet", "demo") if values.get(name) is True}
        if any(not isinstance(values.get(name, False), bool) for name in ("testnet", "demo")):
            raise _misfit("environment", "testnet and demo are True or False", "give True or False")
        if "environment" in rest:
            said.add(str(_upper(rest["environment"])))
        elif not said:
            said = {"LIVE"}
        if len(said) > 1:
            raise _misfit(
                "environment", "testnet, demo and environment contradict each other", "keep the one that you mean"
            )
        return {**rest, "environment": said.pop()}

    @model_validator(mode="after")
    def _pair_and_urls(self) -> Self:
        if (self.api_key is None) != (self.api_secret is None):
            raise _misfit(
                "api_secret", "api_key and api_secret come as a pair; one of them is missing", "give both, or neither"
            )
        for name, url in self.base_urls.items():
            if url.startswith(("http://", "ws://")) and classify(url) != "other":
                raise _misfit(
                    name,
                    f"{name} would send keys to the exchange unencrypted",
                    f"begin it with {url.partition('://')[0]}s://, or remove it",
                )
        return self


def _inherited(name: str) -> Any:
    """Return default, bounds and meaning of a field of all venues; each venue adds its own variable."""
    return ExchangeCredentials.model_fields[name]


class BinanceCredentials(ExchangeCredentials):
    """Binance: one account type of one environment."""

    api_key: Annotated[
        SecretStr | None,
        Setting(
            "BINANCE_API_KEY",
            "essential",
            "an API key",
            "",
            former=("BINANCE_ED25519_API_KEY", "BINANCE_FUTURES_API_KEY"),
        ),
    ] = _inherited("api_key")
    api_secret: Annotated[
        SecretStr | None,
        Setting(
            "BINANCE_API_SECRET",
            "essential",
            "an API secret",
            "",
            former=("BINANCE_ED25519_API_SECRET", "BINANCE_FUTURES_API_SECRET"),
        ),
    ] = _inherited("api_secret")
    environment: Annotated[
        VenueEnvironment, BeforeValidator(_upper), Setting("BINANCE_ENVIRONMENT", "essential", example="TESTNET")
    ] = _inherited("environment")
    account_type: Annotated[
        Literal["SPOT", "USDT_FUTURES", "COIN_FUTURES"],
        BeforeValidator(_upper),
        Setting("BINANCE_ACCOUNT_TYPE", "essential"),
    ] = Field("USDT_FUTURES", description="Which of the exchange's markets to trade.")
    us: Annotated[bool, Setting("BINANCE_US")] = Field(False, description="Binance.US, which has live spot only.")
    instrument_ids: Annotated[
        InstrumentIds,
        Setting(
            "BINANCE_INSTRUMENT_IDS",
            "essential",
            "SYMBOL.BINANCE,... as Nautilus writes them",
            "BTCUSDT-PERP.BINANCE,ETHUSDT-PERP.BINANCE",
        ),
    ] = _inherited("instrument_ids")
    base_url_http: Annotated[
        HttpUrl | None, Setting("BINANCE_BASE_URL_HTTP", accepted=HTTP_FORM, example="https://gateway.example:8443")
    ] = _inherited("base_url_http")
    base_url_ws: Annotated[
        WsUrl | None, Setting("BINANCE_BASE_URL_WS", accepted=WS_FORM, example="wss://gateway.example:8443")
    ] = Field(None, description="Root of the data streams instead of the exchange's own.")
    base_url_ws_api: Annotated[
        WsUrl | None, Setting("BINANCE_BASE_URL_WS_API", accepted=WS_FORM, example="wss://gateway.example:8443/ws-api")
    ] = Field(None, description="WebSocket API of the execution client (its `base_url_ws`).")
    base_url_ws_stream: Annotated[
        WsUrl | None, Setting("BINANCE_BASE_URL_WS_STREAM", accepted=WS_FORM, example="wss://gateway.example:8443")
    ] = Field(None, description="Root of the futures' private stream.")
    proxy_url: Annotated[
        ProxyUrl | None,
        Setting(
            "BINANCE_PROXY_URL",
            accepted=PROXY_FORM,
            example="http://proxy.example:3128",
            former=("BINANCE_HTTP_PROXY_URL", "BINANCE_WS_PROXY_URL"),
        ),
    ] = _inherited("proxy_url")
    leverages: Annotated[
        Leverages,
        Setting("BINANCE_LEVERAGES", accepted="SYMBOL=LEVERAGE,... with 1 to 125", example="BTCUSDT=5,ETHUSDT=3"),
    ] = _inherited("leverages")
    margin_types: Annotated[
        dict[Symbol, Annotated[Literal["CROSS", "ISOLATED"], BeforeValidator(_upper)]],
        BeforeValidator(_pairs),
        Setting("BINANCE_MARGIN_TYPES", accepted="SYMBOL=CROSS|ISOLATED,...", example="BTCUSDT=ISOLATED"),
    ] = Field(default_factory=dict, description="Margin type by symbol, futures only.")

    @model_validator(mode="after")
    def _fits_the_exchange(self) -> Self:
        if self.us and (self.account_type != "SPOT" or self.environment != "LIVE"):
            raise _misfit(
                "us",
                "us is true, but Binance.US has live SPOT only",
                "set BINANCE_ACCOUNT_TYPE=SPOT and no testnet, or remove BINANCE_US",
            )
        if self.account_type == "SPOT" and (self.leverages or self.margin_types or self.base_url_ws_stream):
            raise _misfit(
                "account_type",
                "account_type is SPOT; leverages, margin types and the private stream url are for futures",
                "remove BINANCE_LEVERAGES, BINANCE_MARGIN_TYPES and BINANCE_BASE_URL_WS_STREAM, or trade futures",
            )
        return self


class BybitCredentials(ExchangeCredentials):
    """Bybit: the product types of one unified account."""

    api_key: Annotated[SecretStr | None, Setting("BYBIT_API_KEY", "essential", "an API key", "")] = _inherited(
        "api_key"
    )
    api_secret: Annotated[SecretStr | None, Setting("BYBIT_API_SECRET", "essential", "an API secret", "")] = _inherited(
        "api_secret"
    )
    environment: Annotated[
        VenueEnvironment,
        BeforeValidator(_bybit_environment),
        Setting("BYBIT_ENVIRONMENT", "essential", example="TESTNET"),
    ] = _inherited("environment")
    product_types: Annotated[
        tuple[Literal["SPOT", "LINEAR", "INVERSE", "OPTION"], ...],
        BeforeValidator(_split_upper),
        Setting(
            "BYBIT_PRODUCT_TYPES", "essential", "a list of SPOT, LINEAR, INVERSE, OPTION (SPOT alone)", "LINEAR,INVERSE"
        ),
    ] = Field(("LINEAR",), min_length=1, description="Product types to trade; SPOT cannot stand beside another one.")
    instrument_ids: Annotated[
        InstrumentIds,
        Setting(
            "BYBIT_INSTRUMENT_IDS",
            "essential",
            "SYMBOL.BYBIT,... as Nautilus writes them",
            "BTCUSDT-LINEAR.BYBIT,ETHUSDT-LINEAR.BYBIT",
        ),
    ] = _inherited("instrument_ids")
    base_url_http: Annotated[
        HttpUrl | None, Setting("BYBIT_BASE_URL_HTTP", accepted=HTTP_FORM, example="https://gateway.example:8443")
    ] = _inherited("base_url_http")
    base_url_ws_public: Annotated[
        WsUrl | None,
        Setting("BYBIT_BASE_URL_WS_PUBLIC", accepted=WS_FORM, example="wss://gateway.example:8443/v5/public"),
    ] = Field(None, description="Root of the public streams; the product type (`/linear` ...) is appended.")
    base_url_ws_private: Annotated[
        WsUrl | None,
        Setting("BYBIT_BASE_URL_WS_PRIVATE", accepted=WS_FORM, example="wss://gateway.example:8443/v5/private"),
    ] = Field(None, description="The private stream.")
    base_url_ws_trade: Annotated[
        WsUrl | None,
        Setting("BYBIT_BASE_URL_WS_TRADE", accepted=WS_FORM, example="wss://gateway.example:8443/v5/trade"),
    ] = Field(None, description="The stream on which orders are sent.")
    proxy_url: Annotated[
        ProxyUrl | None,
        Setting(
            "BYBIT_PROXY_URL",
            accepted=PROXY_FORM,
            example="http://proxy.example:3128",
            former=("BYBIT_HTTP_PROXY_URL", "BYBIT_WS_PROXY_URL"),
        ),
    ] = _inherited("proxy_url")
    leverages: Annotated[
        Leverages,
        Setting("BYBIT_LEVERAGES", accepted="SYMBOL=LEVERAGE,... with 1 to 125", example="BTCUSDT-LINEAR=5"),
    ] = _inherited("leverages")
    margin_mode: Annotated[
        Literal["ISOLATED_MARGIN", "REGULAR_MARGIN", "PORTFOLIO_MARGIN"] | None,
        BeforeValidator(_upper),
        Setting("BYBIT_MARGIN_MODE", example="REGULAR_MARGIN"),
    ] = Field(None, description="Margin mode to set for the account; unset leaves it as it is.")

    @model_validator(mode="after")
    def _spot_stands_alone(self) -> Self:
        if "SPOT" in self.product_types and len(set(self.product_types)) > 1:
            raise _misfit(
                "product_types",
                "product_types has SPOT beside another one: one account, one kind of margin",
                "leave SPOT out here, and run it in a second node with a trader id of its own",
            )
        if self.product_types == ("SPOT",) and self.leverages:
            raise _misfit(
                "product_types", "product_types is SPOT; leverages are for derivatives", "remove BYBIT_LEVERAGES"
            )
        return self


class MergedLayers(PydanticBaseSettingsSource):
    """Hands the merged layers of :mod:`config.settings.layers` to the settings class: the one source that knows provenance."""

    def __init__(self, settings_cls: type[BaseSettings], tree: Mapping[str, Any]) -> None:
        super().__init__(settings_cls)
        self._tree = tree

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002  the base class asks for it
        """Return the value of one field; pydantic-settings requires this beside ``__call__``."""
        return self._tree.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the merged values as a tree."""
        return dict(self._tree)


class TradingNodeSettings(_HidesInputs, BaseSettings):
    """Everything that a node needs to know, checked and frozen.

    Parameters are the fields; ``from_env`` reads them from the environment. The constructor reads nothing.

    Raises
    ------
    pydantic.ValidationError
        From the constructor; inputs are hidden, also in ``errors()``.

    """

    model_config = cast("Any", {**_Section.model_config, "protected_namespaces": ("model_",)})

    trader_id: Annotated[
        TraderIdText,
        Setting("NAUTILUS_TRADER_ID", "essential", TRADER_ID_FORM, "TRADER-001"),
    ] = Field(description="Name and tag of the trader, `NAME-TAG`; Redis keys and client order ids are made from it.")
    environment: Annotated[
        ConfigEnvironment, BeforeValidator(_upper), Setting("NAUTILUS_ENVIRONMENT", "essential", example="LIVE")
    ] = Field(ConfigEnvironment.SANDBOX, description="Nautilus environment; production wants LIVE said out loud.")
    role: Annotated[Literal["trader", "recorder"], BeforeValidator(_lower), Setting("NAUTILUS_ROLE", "essential")] = (
        Field(
            "trader",
            description="What the process is for: `recorder` writes market data to the catalog, without any key.",
        )
    )
    execution: Annotated[
        Literal["VENUE", "SIMULATED", "NONE"], BeforeValidator(_upper), Setting("NAUTILUS_EXECUTION")
    ] = Field("VENUE", description="Who executes orders: the venue, Nautilus' sandbox client on live data, or nobody.")
    venues: Annotated[
        tuple[VenueName, ...] | None,
        BeforeValidator(_split_upper),
        Setting("NAUTILUS_VENUES", "essential", "a list of BINANCE, BYBIT", "BINANCE,BYBIT"),
    ] = Field(None, min_length=1, description="The venues that are on; unset means those with a key.")
    binance: BinanceCredentials | None = None
    bybit: BybitCredentials | None = None
    redis: RedisConfig | None = None
    logging: LoggingSettings = LoggingSettings()
    streaming: StreamingSettings | None = None
    state_dir: Annotated[
        Folder | None, Setting("NAUTILUS_STATE_DIR", "essential", "a directory", "/var/lib/tradingnode")
    ] = Field(
        None,
        description="Folder of a run's files; by default `tradingnode/<trader_id>` below the user's state directory (XDG).",
    )
    preflight_skip: Annotated[
        tuple[Literal["redis", "disk", "venues"], ...],
        BeforeValidator(_split_lower),
        Setting("NAUTILUS_PREFLIGHT_SKIP", accepted="a list of redis, disk, venues", example="venues"),
    ] = Field((), description="Steps of the preflight to leave out; what was left out is told at every start.")
    lease: Annotated[bool, Setting("NAUTILUS_LEASE")] = Field(
        True,
        description="Hold a lease in Redis for the trader id and each account, so that no second node trades them.",
    )
    on_redis_loss: Annotated[
        Literal["warn", "halt", "stop"], BeforeValidator(_lower), Setting("NAUTILUS_ON_REDIS_LOSS")
    ] = Field(
        "halt",
        description="When Redis is lost while running: only tell, take no new risk until a restart, or stop (exit 9).",
    )
    venue_outage_secs: Annotated[Seconds, Setting("NAUTILUS_VENUE_OUTAGE_SECS")] = Field(
        30.0, ge=1, le=600, description="Seconds without a connection to a venue after which no new risk is taken."
    )
    http_port: Annotated[int | None, Setting("NAUTILUS_HTTP_PORT", accepted="1024 to 65535", example="9464")] = Field(
        None, ge=1024, le=65535, description="Port on loopback of `/live`, `/ready` and `/metrics`; unset is none."
    )
    trusted_endpoints: Annotated[
        tuple[
            Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, pattern=r"^[^\s/@]+:[0-9]{1,5}$")],
            ...,
        ],
        BeforeValidator(_split),
        Setting("NAUTILUS_TRUSTED_ENDPOINTS", accepted="HOST:PORT,...", example="gateway.example:8443"),
    ] = Field((), description="Hosts that production may use though they are not the exchange's own.")
    sandbox_starting_balances: Annotated[
        tuple[
            Annotated[
                str,
                StringConstraints(strip_whitespace=True, pattern=r"^[0-9][0-9_]*(?:\.[0-9]+)? [A-Z0-9]{2,12}$"),
                AfterValidator(_balance),
            ],
            ...,
        ],
        BeforeValidator(_split),
        Setting("NAUTILUS_SANDBOX_STARTING_BALANCES", accepted="AMOUNT CURRENCY,...", example="50_000 USDT,1 BTC"),
    ] = Field(
        ("10_000 USDT",), min_length=1, description="Balances with which simulated execution begins, on each venue."
    )
    reconciliation_lookback_mins: Annotated[
        int | None, Setting("NAUTILUS_RECONCILIATION_LOOKBACK_MINS", example="1440")
    ] = Field(
        None,
        ge=60,
        le=525_600,
        description="Minutes that reconciliation looks back; unset is all that the venue keeps. A bound orphans older orders.",
    )
    reconciliation_startup_delay_secs: Annotated[Seconds, Setting("NAUTILUS_RECONCILIATION_STARTUP_DELAY_SECS")] = (
        Field(
            10.0,
            ge=0,
            le=60,
            description="Seconds after start before the periodic checks begin; at least 10 in production.",
        )
    )
    max_order_submit_rate: Annotated[Rate, Setting("NAUTILUS_MAX_ORDER_SUBMIT_RATE", accepted=RATE_FORM)] = Field(
        "20/00:00:01",
        description="Most orders in a span, for the whole node. Binance USD-M allows 300 in 10 s and 1,200 a minute.",
    )
    max_order_modify_rate: Annotated[Rate, Setting("NAUTILUS_MAX_ORDER_MODIFY_RATE", accepted=RATE_FORM)] = Field(
        "20/00:00:01", description="Most order changes in a span, for the whole node."
    )
    max_notional_per_order: Annotated[
        dict[InstrumentIdText, Annotated[int, Field(ge=1)]],
        BeforeValidator(_pairs),
        Setting(
            "NAUTILUS_MAX_NOTIONAL_PER_ORDER",
            accepted="INSTRUMENT=WHOLE AMOUNT,... in the quote currency",
            example="BTCUSDT-PERP.BINANCE=50000",
        ),
    ] = Field(default_factory=dict, description="Largest notional value of one order, by instrument.")
    load_state: Annotated[bool | None, Setting("NAUTILUS_LOAD_STATE")] = Field(
        None, description="Load the strategies' state at start; by default where Redis is."
    )
    save_state: Annotated[bool | None, Setting("NAUTILUS_SAVE_STATE")] = Field(
        None, description="Save the strategies' state at stop; by default where Redis is."
    )
    external_order_claims: Annotated[
        InstrumentIds,
        Setting(
            "NAUTILUS_EXTERNAL_ORDER_CLAIMS",
            accepted="INSTRUMENT,... as Nautilus writes them",
            example="BTCUSDT-PERP.BINANCE",
        ),
    ] = Field((), description="Instruments whose external orders and positions the one strategy claims.")
    snapshot_retention_days: Annotated[int, Setting("NAUTILUS_SNAPSHOT_RETENTION_DAYS")] = Field(
        7,
        ge=1,
        le=3650,
        description="Days that position snapshots stay in Redis, trimmed at start. An open position writes 1.1 MB of them a day.",
    )
    cancel_on_stop: Annotated[bool, Setting("NAUTILUS_CANCEL_ON_STOP")] = Field(
        False, description="Cancel every open order at the stop; one that stays open makes the exit code 9."
    )
    halt_on_shutdown: Annotated[bool, Setting("NAUTILUS_HALT_ON_SHUTDOWN")] = Field(
        False,
        description="When a strategy asks for the end of its node, halt the next start until `tradingnode resume`, too.",
    )
    stop_timeout: Annotated[Seconds, Setting("NAUTILUS_STOP_TIMEOUT", "essential")] = Field(
        30.0,
        ge=5,
        le=600,
        description="Seconds within which a stop is complete; Nautilus' own timeouts derive from it.",
    )
    connection_timeout: Annotated[
        Seconds, Setting("NAUTILUS_CONNECTION_TIMEOUT", former=("NAUTILUS_TIMEOUT_CONNECTION",))
    ] = Field(30.0, ge=1, le=600, description="Seconds for all clients to connect.")
    reconciliation_timeout: Annotated[
        Seconds, Setting("NAUTILUS_RECONCILIATION_TIMEOUT", former=("NAUTILUS_TIMEOUT_RECONCILIATION",))
    ] = Field(30.0, ge=1, le=600, description="Seconds for reconciliation with the venues.")
    ready_timeout: Annotated[Seconds | None, Setting("NAUTILUS_READY_TIMEOUT", example="90")] = Field(
        None, ge=1, le=1800, description="Seconds from start to ready; by default the two before and 10 more."
    )

    _origins: Mapping[str, Origin] = PrivateAttr(default_factory=dict)
    _overridden: Mapping[str, Sequence[Value]] = PrivateAttr(default_factory=dict)
    _told: tuple[Problem, ...] = PrivateAttr(default=())
    _preset: str | None = PrivateAttr(default=None)
    # Settings that are refused anyway: guards judge each venue that was meant, also one whose key was the wrong one.
    _judged: tuple[VenueName, ...] | None = PrivateAttr(default=None)

    @classmethod
    def settings_customise_sources(  # type: ignore[override]  # the sources that are not used have no names here
        cls, *_: type[BaseSettings], init_settings: PydanticBaseSettingsSource, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the arguments of the constructor, and none of pydantic-settings' own sources."""
        return (init_settings,)

    @model_validator(mode="before")
    @classmethod
    def _of_its_role(cls, values: Any) -> Any:
        """Leave nothing to execute to a recorder, and no books to keep, whoever asks for it."""
        recorder = isinstance(values, Mapping) and _lower(values.get("role")) == "recorder"
        return {**values, "execution": "NONE", "redis": None} if recorder else values

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name in VENUE_FIELDS:
            section = getattr(self, name)
            foreign = [
                text for text in (section.instrument_ids if section else ()) if not text.endswith(f".{name.upper()}")
            ]
            if foreign:
                raise _misfit(
                    f"{name}.instrument_ids",
                    f"{name}.instrument_ids must end in .{name.upper()}: {', '.join(foreign)}",
                    "put each instrument into the variable of its own venue",
                )
        for name in ("max_notional_per_order", "external_order_claims"):
            foreign = [text for text in getattr(self, name) if text.rpartition(".")[2].lower() not in VENUE_FIELDS]
            if foreign:
                raise _misfit(
                    name,
                    f"{name} names instruments of no venue that can be traded here: {', '.join(foreign)}",
                    f"remove them; what can be traded ends in .{' or .'.join(venue.upper() for venue in VENUE_FIELDS)}",
                )
        if self.redis is None and (self.load_state or self.save_state):
            path = "load_state" if self.load_state else "save_state"
            raise _misfit(path, f"{path} is true, which needs Redis", "set REDIS_HOST, or leave it out")
        if (
            self.execution == "VENUE"
            and (binance := self.binance) is not None
            and binance.has_key
            and binance.account_type == "COIN_FUTURES"
            and binance.environment != "LIVE"
        ):
            raise _misfit(
                "binance.account_type",
                f"binance.account_type is COIN_FUTURES, which Nautilus cannot execute on {binance.environment}",
                "set BINANCE_ACCOUNT_TYPE=USDT_FUTURES, whose testnet takes the same keys",
            )
        return self

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Where each value that was said stands, by dotted path such as ``redis.port``; defaults are absent."""
        return self._origins

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is allowed but suspicious; counts under ``--strict``."""
        return tuple(problem for problem in self._told if problem.is_warning)

    @property
    def overridden(self) -> Mapping[str, Sequence[Value]]:
        """What each value that was said overrode, highest layer first, by dotted path."""
        return self._overridden

    @property
    def notes(self) -> tuple[Problem, ...]:
        """What is worth knowing and asks for nothing."""
        return tuple(problem for problem in self._told if not problem.is_warning)

    @property
    def preset(self) -> str | None:
        """The preset whose guards these settings have passed."""
        return self._preset

    @property
    def active_venues(self) -> tuple[VenueName, ...]:
        """The venues that are on: those that ``venues`` names, else those with a key."""
        if self._judged is not None:
            return self._judged
        if self.venues is not None:
            return self.venues
        return tuple(
            cast("VenueName", name.upper())
            for name in VENUE_FIELDS
            if (section := getattr(self, name)) and section.has_key
        )

    @property
    def state_directory(self) -> Path:
        """Folder of the files of a run; a recorder's stand beside its trader's."""
        root = self.state_dir or Path("~/.local/state/tradingnode").expanduser() / self.trader_id
        return root / self.role if self.role == "recorder" else root

    @property
    def log_directory(self) -> Path:
        """Directory of the log files."""
        return self.logging.log_directory or self.state_directory / "logs"

    @property
    def catalog_path(self) -> Path:
        """Folder of the catalog; simulated fills never mix with real ones."""
        root = (self.streaming.catalog_path if self.streaming else None) or self.state_directory / "catalog"
        return root / "simulated" if self.execution == "SIMULATED" else root

    @property
    def loads_state(self) -> bool:
        """Whether strategies' state is loaded at start."""
        return self.redis is not None if self.load_state is None else self.load_state

    @property
    def saves_state(self) -> bool:
        """Whether strategies' state is saved at stop."""
        return self.redis is not None if self.save_state is None else self.save_state

    @property
    def seconds_to_ready(self) -> float:
        """Seconds within which the node must be ready."""
        return self.ready_timeout or self.connection_timeout + self.reconciliation_timeout + 10

    def credentials(self, venue: VenueName) -> ExchangeCredentials:
        """Return the section of ``venue``; where it has none, one of defaults, which is public data only."""
        section = getattr(self, venue.lower())
        if section is None:
            return VENUE_FIELDS[venue.lower()]()
        # Only execution by the venue has a use for a key; otherwise none leaves the settings.
        keyless = {"api_key": None, "api_secret": None}
        return cast("ExchangeCredentials", section if self.execution == "VENUE" else section.model_copy(update=keyless))

    @classmethod
    def from_env(
        cls,
        env_file: EnvFiles = ...,
        environ: Mapping[str, str] | None = None,
        *,
        preset: str | None = None,
        **values: Any,
    ) -> Self:
        """Read the settings from the process environment, ``.env`` files, secret files and arguments.

        Parameters
        ----------
        env_file : path or sequence of paths or None, optional
            ``.env`` files, later ones win, each must exist. Left out: ``.env`` in the working directory, if it is there.
            None: no file.
        environ : mapping, optional
            The process environment; ``os.environ`` by default.
        preset : {'production', 'testnet', 'sandbox'}, optional
            Lays the preset below the other layers and applies its guards.
        **values
            Fields by name, sections as mappings; they win over everything else.

        Raises
        ------
        ConfigError
            With every problem at once. Warnings go to the logger ``config``.

        """
        from config.settings.loading import load, log_warnings

        settings = load(cls, env_file=env_file, environ=environ, preset=preset, values=values)
        log_warnings(settings)
        return settings


VENUE_FIELDS: Mapping[str, Callable[[], ExchangeCredentials]] = {
    "binance": BinanceCredentials,
    "bybit": BybitCredentials,
}
