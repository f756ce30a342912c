"""What an operator may set, and the only place that reads the environment.

A setting is one field of `Settings`: its default, what is allowed and what it means stand there, and the sentences on
wrong values, `freshtape config` and docs/configuration.md are made from them. `repr=False` marks a field that may hold
a secret: its value is never echoed, and shown only with `***` in place of the secret.
"""

import io
import os.path
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar
from urllib.parse import quote_plus, urlsplit

from dotenv.parser import parse_stream
from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, NoDecode, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

import providers
from domain.clock import parse_instant
from domain.cron import Cron
from domain.errors import InvalidTicker
from domain.factors import FACTOR_ETFS, Factor
from domain.services.canary import CANARIES
from domain.session import CHECK_INTERVAL, CHECKS, THRESHOLD_SECONDS
from domain.tickers import AssetClass, check_class, normalise
from domain.windows import Windows
from graph.limits import Limits
from web.doors import LOOPBACK

K = TypeVar("K")
Orders = Mapping[AssetClass, tuple[str, ...]]

PREFIX = "FRESHTAPE_"
TESTS_PREFIX = "FRESHTAPE_TEST_"
"""Variables of the test suite: no settings, and no mistakes either."""
ENV_FILE = ".env"
KNOWN_PROVIDERS = ("yahoo", "massive", "sample")
BUNDLED_SAMPLE = Path(providers.__path__[0], "sample_data")

_SQLITE, _POSTGRESQL = "sqlite+aiosqlite", "postgresql+asyncpg"
_DRIVERS = {
    "sqlite": _SQLITE,
    _SQLITE: _SQLITE,
    "postgres": _POSTGRESQL,
    "postgresql": _POSTGRESQL,
    _POSTGRESQL: _POSTGRESQL,
}
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9.])?")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")
_KEY = re.compile(r"[!-~]*")
_MASK = "***"
LONGEST_ECHO = 80
"""Characters of a wrong value that a sentence repeats."""
STREAMING = {"catchup_threshold_seconds": range(1, 1 << 31), "catchup_check_interval": CHECKS}
"""What may be set of StreamingRules, and to what; seconds as far as GraphQL's Int goes."""


class WrongSetting(Exception):
    """One sentence for each variable that is wrong, each on a line of its own; never with a secret in it."""


def _database_url(text: str) -> str:
    """The address in the form the asynchronous drivers take; raises ValueError for any other database."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise ValueError("no address") from error
    driver = _DRIVERS.get(url.drivername)
    if driver is None or not (_is_file(url) if driver == _SQLITE else _is_server(url)):
        raise ValueError("no SQLite file and no PostgreSQL")
    if "sslmode" in url.query:  # libpq's name for what asyncpg calls ssl, with the same words
        url = url.update_query_dict({"ssl": url.query["sslmode"]}).difference_update_query(["sslmode"])
    return url.set(drivername=driver).render_as_string(hide_password=False)


def _is_file(url: URL) -> bool:
    """Whether a SQLite address is a file's name alone: options and `file:` names can ask for a database in memory."""
    name = url.database or ":memory:"
    plain = url == URL.create(url.drivername, database=name)
    return plain and name != ":memory:" and not name.startswith("file:")


def _is_server(url: URL) -> bool:
    """Refuses a password with a bare @: the rest of it would be taken for the host, and shown."""
    return "@" not in (url.host or "")


def _names(value: str | tuple[str, ...]) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    names = tuple(item.strip().lower() for item in items)
    if len(set(names)) < len(names) or not set(names) <= set(KNOWN_PROVIDERS):
        raise ValueError("unknown or repeated")
    return names


def _sample_dir(value: str | Path, info: ValidationInfo) -> Path:
    text = str(value).strip()
    # os.path answers False where Path raises: a name too long, a folder that may not be entered
    if not text or ("sample" in info.data.get("providers", ()) and not os.path.isfile(Path(text, "symbols.csv"))):
        raise ValueError("no folder of market files")
    return Path(text)


def _instant(value: str | datetime | None) -> datetime | None:
    if not isinstance(value, str):
        return value
    try:
        return parse_instant(value.strip()) if value.strip() else None
    except OverflowError as error:  # year 1 or 9999, with an offset that leads out of the calendar
        raise ValueError("no instant") from error


def _server_url(text: str) -> str:
    """The address of a server and no more: paths are the provider's."""
    url = urlsplit(text)
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname or ""
    whole = f"{url.scheme}://{host}" + (f":{url.port}" if url.port is not None else "")
    if text and (url.scheme not in ("http", "https") or not host or text.lower().rstrip("/") != whole):
        raise ValueError("no address of a server")
    return whole if text else ""


def _key(value: SecretStr, info: ValidationInfo) -> SecretStr:
    """A key is sent as a header's value."""
    key = value.get_secret_value().strip()
    if not _KEY.fullmatch(key) or (not key and "massive" in info.data.get("providers", ())):
        raise ValueError("no key")
    return SecretStr(key)


def _host(text: str) -> str:
    if not _HOST_NAME.fullmatch(text):
        ip_address(text)
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _knows_its_openness(value: bool, info: ValidationInfo) -> bool:
    if not value and not _is_loopback(info.data.get("host", "localhost")):
        raise ValueError("open to others")
    return value


def _items(value: str | tuple[str, ...]) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    return tuple(dict.fromkeys(item.strip().lower() for item in items if item.strip()))


def _hosts(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_host(item.removeprefix("[").removesuffix("]")) for item in _items(value))


def _origins(value: str | tuple[str, ...]) -> tuple[str, ...]:
    origins = _items(value)
    if not all(_ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError("no origins")
    return origins


def _named(text: str, known: Mapping[str, K]) -> Iterator[tuple[K, str]]:
    """Of `NAME=value, …`; each name is one of the known ones, and is there once."""
    left = dict(known)
    for item in text.split(","):
        name, _, value = item.partition("=")
        if name.strip().upper() not in left:
            raise ValueError("unknown or repeated")
        yield left.pop(name.strip().upper()), value.strip()


def _factor_etfs(value: str | Mapping[Factor, str]) -> Mapping[Factor, str]:
    """The defaults, with those replaced that are named."""
    if not isinstance(value, str):
        return value
    named = _named(value, {factor.name: factor for factor in FACTOR_ETFS})
    return {**FACTOR_ETFS, **{factor: _ticker(ticker) for factor, ticker in named}}


def _canaries(value: str | Mapping[AssetClass, str]) -> Mapping[AssetClass, str]:
    """The defaults, with those replaced that are named."""
    if not isinstance(value, str):
        return value
    return {**CANARIES, **{each: _ticker(ticker, each) for each, ticker in _named(value, AssetClass.__members__)}}


def _orders(value: str | Orders, info: ValidationInfo) -> Orders:
    """Of those classes that are named."""
    if not isinstance(value, str):
        return value
    asked = info.data.get("providers", KNOWN_PROVIDERS)  # unless those are wrong, and are told of already
    named = _named(value, AssetClass.__members__) if value.strip() else ()
    return {asset_class: _order(names, asked) for asset_class, names in named}


def _order(text: str, asked: Collection[str]) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in text.split(">"))
    if len(set(names)) < len(names) or not set(names) <= set(asked):
        raise ValueError("not asked, or repeated")
    return names


def _file(value: str | Path | None) -> Path | None:
    text = str(value or "").strip()
    return Path(text) if text else None


def _cron(text: str) -> str:
    return Cron(text).expression if text else ""


def _if_given(value: str | int | None) -> str | int | None:
    return None if isinstance(value, str) and not value.strip() else value


def _ticker(text: str, asset_class: AssetClass | None = None) -> str:
    try:
        ticker = normalise(text)
        if asset_class is not None:
            check_class(ticker, asset_class)
    except InvalidTicker as error:
        raise ValueError("no ticker of its class") from error
    return ticker


def _limit(default: int, description: str, most: int = 1_000_000) -> Any:
    allowed = f"a whole number from 1 to {most}"
    return Field(default=default, ge=1, le=most, description=description, json_schema_extra={"allowed": allowed})


def _seconds(default: float, description: str) -> Any:
    allowed = "a number of seconds from 0.1 to 300"
    return Field(default=default, ge=0.1, le=300, description=description, json_schema_extra={"allowed": allowed})


def whole_number(allowed: range) -> str:
    return f"a whole number from {allowed.start} to {allowed[-1]}"


def _streaming(name: str, default: int, description: str) -> Any:
    allowed = STREAMING[name]
    return Field(
        default=None,
        ge=allowed.start,
        le=allowed[-1],
        description=f"{description} Empty: what FRESHTAPE_SESSION_CONFIG says, else {default}.",
        json_schema_extra={"allowed": f"empty, or {whole_number(allowed)}"},
    )


class Settings(BaseSettings):
    """What the environment, `.env` or nobody has set. `load_settings` makes one and explains what is wrong."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
        extra="ignore",  # a .env is often shared with other programs
        frozen=True,
        hide_input_in_errors=True,
        loc_by_alias=False,
        str_strip_whitespace=True,
    )

    database_url: Annotated[str, AfterValidator(_database_url)] = Field(
        default="sqlite+aiosqlite:///./freshtape.db",
        repr=False,
        description="Where everything is kept. SQLite serves one machine, PostgreSQL many. "
        "SQLite in memory is refused, because each connection would see a database of its own.",
        json_schema_extra={
            "allowed": "the address of a SQLite file, such as sqlite:///./freshtape.db, or of a PostgreSQL database, "
            "such as postgresql://user:password@host:5432/freshtape, with special characters in it percent-encoded"
        },
    )
    providers: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = Field(
        default=("yahoo",),
        description="Where market data comes from, the preferred provider first.",
        json_schema_extra={"allowed": f"one or more of {', '.join(KNOWN_PROVIDERS)}, separated by commas, each once"},
    )
    provider_calls_per_minute: int = Field(
        default=60,
        ge=1,
        le=100_000,
        description="How many requests a minute a live provider gets from all processes together, up to a minute's worth of "
        "them at once. A recorded market has no limit.",
        json_schema_extra={"allowed": "a whole number from 1 to 100000"},
    )
    provider_calls_per_day: int = Field(
        default=20_000,
        ge=1,
        le=10_000_000,
        description="How many requests a day, from midnight to midnight UTC, a live provider gets from all processes together. "
        "Once they are spent it is not asked again that day.",
        json_schema_extra={"allowed": "a whole number from 1 to 10000000"},
    )
    provider_order: Annotated[Orders, NoDecode, BeforeValidator(_orders)] = Field(
        default={},
        description="The order in which providers are asked for symbols of a class: those named, and no others. A class that "
        "is not named has the order of FRESHTAPE_PROVIDERS.",
        json_schema_extra={
            "allowed": f"empty, or one or more of {', '.join(AssetClass.__members__)}, each once and with providers of "
            "FRESHTAPE_PROVIDERS, such as CRYPTO=massive>yahoo, separated by commas"
        },
    )
    canaries: Annotated[Mapping[AssetClass, str], NoDecode, BeforeValidator(_canaries)] = Field(
        default=CANARIES,
        description="A well-known symbol of each class: as long as a provider does not answer about it, no other symbol of the "
        "class is suspected of having ended. A class that is not named keeps its default.",
        json_schema_extra={
            "allowed": f"one or more of {', '.join(AssetClass.__members__)}, each once and with a ticker that can be of the "
            "class, such as STOCK=SPY, separated by commas"
        },
    )
    onboarding_max_depth: int = Field(
        default=50,
        ge=1,
        le=10_000,
        description="How many onboardings may be pending and under way together, over all processes.",
        json_schema_extra={"allowed": "a whole number from 1 to 10000"},
    )
    onboarding_max_concurrent: int = Field(
        default=3,
        ge=1,
        le=100,
        description="How many onboardings are under way at a time, over all processes.",
        json_schema_extra={"allowed": "a whole number from 1 to 100"},
    )
    backfill_cron: Annotated[str, AfterValidator(_cron)] = Field(
        default="0 2 * * *",
        validation_alias=AliasChoices("freshtape_backfill_cron", "backfill_cron"),  # an alias takes no prefix
        description="When the history of every symbol is filled, in UTC, up to a minute later. Empty: only when it is asked "
        "for. `BACKFILL_CRON` does as well.",
        json_schema_extra={
            "allowed": "empty, or minute, hour, day of the month, month and day of the week as cron has them, such as 0 2 * * *"
        },
    )
    backfill_days: int = Field(
        default=730,
        ge=0,
        le=3650,
        description="How many days back daily bars are filled, where nobody says otherwise. 0: not by the schedule.",
        json_schema_extra={"allowed": "a whole number from 0 to 3650"},
    )
    backfill_minute_days: int = Field(
        default=7,
        ge=0,
        le=365,
        description="How many days back minutes are filled, with the longer bars made of them. 0: not by the schedule.",
        json_schema_extra={"allowed": "a whole number from 0 to 365"},
    )
    backfill_max_concurrent: int = Field(
        default=3,
        ge=1,
        le=100,
        description="How many backfills are under way at a time, over all processes.",
        json_schema_extra={"allowed": "a whole number from 1 to 100"},
    )
    sample_dir: Annotated[Path, BeforeValidator(_sample_dir)] = Field(
        default=BUNDLED_SAMPLE,
        description="The recorded market that the provider sample answers from.",
        json_schema_extra={"allowed": "a folder of market files, symbols.csv among them"},
    )
    yahoo_url: Annotated[str, AfterValidator(_server_url)] = Field(
        default="",
        description="The server that the provider yahoo asks, over HTTP, and listens to, over WebSocket (`http://` makes it "
        "`ws://`, `https://` `wss://`, at `/`). Empty: Yahoo itself.",
        json_schema_extra={
            "allowed": "empty, or the address of a server that answers as Yahoo does, such as http://127.0.0.1:8765"
        },
    )
    massive_api_key: Annotated[SecretStr, AfterValidator(_key)] = Field(
        default=SecretStr(""),
        validate_default=True,
        repr=False,
        description="The key that the provider massive is asked with. What it may ask for is a matter of its plan.",
        json_schema_extra={
            "allowed": "a key of Massive's, without spaces, and empty only where FRESHTAPE_PROVIDERS does not name massive"
        },
    )
    massive_url: Annotated[str, AfterValidator(_server_url)] = Field(
        default="",
        description="The server that the provider massive asks, and that is sent its key. Empty: Massive itself.",
        json_schema_extra={
            "allowed": "empty, or the address of a server that answers as Massive does, such as http://127.0.0.1:8766"
        },
    )
    clock: Annotated[datetime | None, BeforeValidator(_instant)] = Field(
        default=None,
        description="The market time to start at; it runs on at the real pace. Empty: real time, or the clock that the "
        "database has recorded.",
        json_schema_extra={"allowed": "empty, or an ISO-8601 instant with an offset, such as 2025-03-14T14:30:00Z"},
    )
    host: Annotated[str, AfterValidator(_host)] = Field(
        default="127.0.0.1",
        description="The address the server listens on: 127.0.0.1 for this machine only, 0.0.0.0 for every network.",
        json_schema_extra={"allowed": "an IP address or a host name"},
    )
    port: int = Field(
        default=8000,
        ge=0,
        le=65535,
        description="The port the server listens on. 0 takes any that is free.",
        json_schema_extra={"allowed": "a whole number from 0 to 65535"},
    )
    symbol_staleness_hours: int = Field(
        default=48,
        ge=1,
        le=1_000_000,
        validation_alias="symbol_staleness_hours",  # an alias takes no prefix
        description="The hours after which a symbol that has not been refreshed is stale.",
        json_schema_extra={"allowed": "a whole number from 1 to 1000000"},
    )

    factor_etfs: Annotated[Mapping[Factor, str], NoDecode, BeforeValidator(_factor_etfs)] = Field(
        default=FACTOR_ETFS,
        description="The ETFs that represent the factors of which betas are estimated; a factor that is not named keeps its "
        "default.",
        json_schema_extra={
            "allowed": f"one or more of {', '.join(factor.value for factor in FACTOR_ETFS)}, each once and with a ticker, "
            "such as MARKET=SPY, separated by commas"
        },
    )

    session_poll_seconds: int = Field(
        default=15,
        ge=1,
        le=3600,
        description="How often a live session asks for the minutes of each symbol, where the provider has no stream. Its "
        "symbols may be so much further behind.",
        json_schema_extra={"allowed": "a whole number from 1 to 3600"},
    )
    session_config: Annotated[Path | None, BeforeValidator(_file)] = Field(
        default=None,
        description="The file with the rules of sessions; a change of it is taken over while the service runs. Empty: none.",
        json_schema_extra={"allowed": "empty, or a JSON file as described below"},
    )
    catchup_threshold_seconds: Annotated[int | None, BeforeValidator(_if_given)] = _streaming(
        "catchup_threshold_seconds",
        THRESHOLD_SECONDS,
        "The seconds that a symbol may be behind in a session that does not say otherwise.",
    )
    catchup_check_interval: Annotated[int | None, BeforeValidator(_if_given)] = _streaming(
        "catchup_check_interval",
        CHECK_INTERVAL,
        "The bars of a symbol between two looks at how far it is behind, in a session that does not say otherwise.",
    )

    allow_unauthenticated: Annotated[bool, AfterValidator(_knows_its_openness)] = Field(
        default=False,
        validate_default=True,
        description="There is no access control yet: whoever reaches the service may read and change everything. Needed to "
        "listen beyond this machine.",
        json_schema_extra={"allowed": "true or false, and true where FRESHTAPE_HOST is an address beyond this machine"},
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_hosts)] = Field(
        default=(),
        description="The names under which the service is asked, besides localhost and FRESHTAPE_HOST. Others get 400.",
        json_schema_extra={"allowed": "empty, or host names and IP addresses without ports, separated by commas"},
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)] = Field(
        default=(),
        description="The other sites whose pages may ask the service from a browser, over HTTP and WebSocket.",
        json_schema_extra={"allowed": "empty, or origins such as https://desk.example.com, separated by commas"},
    )
    max_body_bytes: int = _limit(Limits.body_bytes, "The longest body of an HTTP request, in bytes.", most=1 << 30)
    max_frame_bytes: int = _limit(Limits.frame_bytes, "The longest message on a WebSocket, in bytes.", most=1 << 30)
    max_values: int = _limit(Limits.values, "The most values that the variables of a request may hold.")
    max_query_characters: int = _limit(Limits.characters, "The longest query, in characters.")
    max_query_tokens: int = _limit(Limits.tokens, "The most tokens (names, numbers, signs) of a query.", most=100_000)
    max_query_depth: int = _limit(
        Limits.depth, "How deep fields of a query may be nested; those of introspection have a limit of their own.", most=50
    )
    max_query_aliases: int = _limit(Limits.aliases, "The most aliases of a query, fragments counted where they are spread.")
    max_introspections: int = _limit(Limits.introspections, "How often a query may ask for `__schema` or `__type`.", most=100)
    max_page_size: int = _limit(Limits.page_size, "The most that `first` or `last` may ask for.", most=100_000)
    max_query_costly: int = _limit(
        Limits.costly, "How often a query may ask for `stats` or `factorExposures`, multiplied by the pages they stand in."
    )
    max_query_nodes: int = _limit(
        Limits.nodes, "The most that the page sizes of a query may come to, multiplied along one path.", most=10_000_000
    )
    query_seconds: float = _seconds(Limits.query_seconds, "After how many seconds a query is given up; a mutation never is.")
    connection_init_seconds: float = _seconds(
        Limits.connection_init_seconds, "How long a WebSocket may take to greet with `connection_init`, in seconds."
    )
    max_socket_subscriptions: int = _limit(
        Limits.socket_subscriptions, "The most operations under way on one WebSocket.", most=10_000
    )
    max_subscriptions: int = _limit(Limits.subscriptions, "The most subscriptions of one process.", most=1_000_000)

    @property
    def limits(self) -> Limits:
        return Limits(
            body_bytes=self.max_body_bytes,
            frame_bytes=self.max_frame_bytes,
            values=self.max_values,
            characters=self.max_query_characters,
            tokens=self.max_query_tokens,
            depth=self.max_query_depth,
            aliases=self.max_query_aliases,
            introspections=self.max_introspections,
            page_size=self.max_page_size,
            nodes=self.max_query_nodes,
            costly=self.max_query_costly,
            query_seconds=self.query_seconds,
            connection_init_seconds=self.connection_init_seconds,
            socket_subscriptions=self.max_socket_subscriptions,
            subscriptions=self.max_subscriptions,
        )

    @property
    def address(self) -> str:
        """Where a service with these settings answers on this machine."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def served_hosts(self) -> frozenset[str]:
        """The names under which the service may be asked, as a Host header has them, without ports."""
        return frozenset({*LOOPBACK, self.host.lower(), *self.allowed_hosts})

    @property
    def backfill_windows(self) -> Windows:
        return Windows(self.backfill_days, self.backfill_minute_days)

    @property
    def staleness_threshold(self) -> timedelta:
        return timedelta(hours=self.symbol_staleness_hours)


class Setting(NamedTuple):
    """One setting as text, for people; `default` and `value` are empty where nothing is set."""

    variable: str
    value: str
    default: str
    allowed: str
    description: str


def load_settings() -> tuple[Settings, list[str]]:
    """The settings, and a warning of one sentence for each FRESHTAPE_ variable that is none.

    Raises WrongSetting for wrong values and for a `.env` that cannot be read.
    """
    _check_env_file()
    try:
        settings = Settings()
    except ValidationError as error:
        raise WrongSetting("\n".join(_sentences(error))) from None
    return settings, _warnings()


def described(settings: Settings) -> list[Setting]:
    """Every setting, in the order of the documentation, with secrets as ***."""
    return [
        Setting(
            variable=_variable(name),
            value=_shown(field, getattr(settings, name)),
            default=_shown(field, field.default),
            allowed=_allowed(field),
            description=str(field.description),
        )
        for name, field in Settings.model_fields.items()
    ]


def configuration_page() -> str:
    """docs/configuration.md, the same on every machine."""
    return _PAGE.format(rows="\n".join(_row(setting) for setting in described(Settings.model_construct())))


def _check_env_file() -> None:
    """Raises WrongSetting for a `.env` that is there and cannot be read to its last line."""
    try:
        text = Path(ENV_FILE).read_text("utf-8")
    except FileNotFoundError:
        return
    except UnicodeDecodeError:
        raise WrongSetting(f"{ENV_FILE} cannot be read: it is not UTF-8 text.") from None
    except OSError as error:
        raise WrongSetting(f"{ENV_FILE} cannot be read: {error.strerror}.") from None
    wrong = [f"Line {line} of {ENV_FILE} is neither NAME=value nor a comment after #." for line in _broken_lines(text)]
    if wrong:
        raise WrongSetting("\n".join(wrong))


def _broken_lines(text: str) -> Iterator[int]:
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            statement = binding.original.string
            blank = statement[: len(statement) - len(statement.lstrip())]
            yield binding.original.line + blank.count("\n")


def _sentences(error: ValidationError) -> Iterator[str]:
    for wrong in error.errors(include_url=False, include_context=False):
        name = str(wrong["loc"][0])
        field = Settings.model_fields[name]
        yield f"{_variable(name)} is {_echo(field, wrong['input'])}; it must be {_allowed(field)}."


def _echo(field: FieldInfo, value: object) -> str:
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value).strip()
    if not text:
        return "empty"
    if not field.repr:
        return _MASK
    return repr(text if len(text) <= LONGEST_ECHO else text[:LONGEST_ECHO] + "…")


def _warnings() -> list[str]:
    sources = EnvSettingsSource(Settings), DotEnvSettingsSource(Settings)
    names = {name.upper() for source in sources for name in source.env_vars}
    known = {variable.removeprefix(PREFIX): variable for variable in map(_variable, Settings.model_fields)}
    return [
        _warning(name, known)
        for name in sorted(names - set(known.values()))
        if name.startswith(PREFIX) and not name.startswith(TESTS_PREFIX)
    ]


def _warning(name: str, known: dict[str, str]) -> str:
    """The names are compared without the prefix, which would make all of them look alike."""
    close = get_close_matches(name.removeprefix(PREFIX), known, n=1)
    return f"{name} is no setting and is ignored" + (f"; did you mean {known[close[0]]}?" if close else ".")


def _variable(name: str) -> str:
    """The first of its names."""
    alias = Settings.model_fields[name].validation_alias
    return str(alias.choices[0] if isinstance(alias, AliasChoices) else alias or PREFIX + name).upper()


def _allowed(field: FieldInfo) -> str:
    extra: Any = field.json_schema_extra
    return str(extra["allowed"])


def _shown(field: FieldInfo, value: object) -> str:
    if isinstance(value, SecretStr):
        return _MASK if value.get_secret_value() else ""
    text = _text(value)
    return text if field.repr else _masked(text)


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case tuple():
            return ",".join(value)
        case dict():
            return ",".join(f"{key.name}={item if isinstance(item, str) else '>'.join(item)}" for key, item in value.items())
        case datetime():
            return value.isoformat()
        case Path() if value == BUNDLED_SAMPLE:
            return "bundled"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _masked(address: str) -> str:
    """The address with *** for its password, and for the passwords among its options."""
    url = make_url(address)
    masked = url.update_query_dict({option: _MASK for option in url.query if "pass" in option.lower()})
    return masked.render_as_string(hide_password=True).replace(quote_plus(_MASK), _MASK)


def _row(setting: Setting) -> str:
    default = f"`{setting.default}`" if setting.default else "empty"
    return f"| `{setting.variable}` | {default} | {setting.allowed} | {setting.description} |"


_PAGE = """\
# Configuration

This page is generated from `web/settings.py`. `freshtape config` shows the values in force, with secrets as `***`.

| Variable | Default | Allowed | Meaning |
|---|---|---|---|
{rows}

## Rules

Set them in the environment, or in a file named `.env` in the working directory, one `NAME=value` on a line; the
environment wins. In the file, `${{NAME}}` stands for another variable's value. A list is separated by commas
(`localhost,tape.example.com`). Spaces around values and items do not matter. A variable set to the empty string is an
empty value, not the default.

A wrong value stops the start with one sentence that names the variable and what is allowed. A variable that starts with
`FRESHTAPE_` and is not in the table is ignored, with a warning.

## The rules of sessions

`FRESHTAPE_SESSION_CONFIG` names a JSON file that may belong to other programs too ([an example](session-config.example.json)):

```json
{{
  "session_data_config": {{
    "streaming": {{
      "catchup_threshold_seconds": 60,
      "catchup_check_interval": 10
    }}
  }}
}}
```

Both keys may be left out, and what stands around `streaming` is not looked at. A variable wins over the file, the file over the
default; what a session is started with wins over all of them. The file is looked at every second, and a change is in force for
the running session. A broken file stops the start with a sentence; later it is refused with that sentence in the log, and the
rules stay as they were.

## What the clock moves

`FRESHTAPE_CLOCK` moves market time only: staleness, `asOf`, which bars are over, schedules, and the times of events and
jobs. Leases, time-outs, budgets and retention run on real elapsed time whatever it says.

Processes that share a database share its clock. The first with a given `FRESHTAPE_CLOCK` records it together with the
real time. A process with the same value, or none, follows that record. Another value replaces it, and a process still
on the old one stops with a sentence. On a database with a recorded clock, a process that would ask any provider but
`sample` is refused. `freshtape db forget-clock` removes the record.
"""
