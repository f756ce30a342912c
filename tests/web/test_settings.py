import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from sqlalchemy.engine import make_url

import providers
from domain.factors import FACTOR_ETFS, Factor
from domain.services.canary import CANARIES
from domain.tickers import AssetClass
from domain.windows import Windows
from graph.limits import Limits
from web.settings import Settings, WrongSetting, configuration_page, described, load_settings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
SECRET = "hunter2"

DATABASE = (
    "it must be the address of a SQLite file, such as sqlite:///./freshtape.db, or of a PostgreSQL database, such as "
    "postgresql://user:password@host:5432/freshtape, with special characters in it percent-encoded."
)
PROVIDERS = "it must be one or more of yahoo, massive, sample, separated by commas, each once."
SAMPLE_DIR = "it must be a folder of market files, symbols.csv among them."
CLOCK = "it must be empty, or an ISO-8601 instant with an offset, such as 2025-03-14T14:30:00Z."
YAHOO_URL = "it must be empty, or the address of a server that answers as Yahoo does, such as http://127.0.0.1:8765."
HOST = "it must be an IP address or a host name."
PORT = "it must be a whole number from 0 to 65535."
CALLS = "it must be a whole number from 1 to 100000."
A_DAY = "it must be a whole number from 1 to 10000000."
CLASSES = "one or more of STOCK, ETF, CRYPTO, FOREX, INDEX, each once and with"
ORDER = f"it must be empty, or {CLASSES} providers of FRESHTAPE_PROVIDERS, such as CRYPTO=massive>yahoo, separated by commas."
CANARY = f"it must be {CLASSES} a ticker that can be of the class, such as STOCK=SPY, separated by commas."
DEPTH = "it must be a whole number from 1 to 10000."
CONCURRENT = "it must be a whole number from 1 to 100."
CRON = "it must be empty, or minute, hour, day of the month, month and day of the week as cron has them, such as 0 2 * * *."
HOURS = "it must be a whole number from 1 to 1000000."
FACTORS = (
    "it must be one or more of MARKET, VALUE, GROWTH, MOMENTUM, QUALITY, SIZE, LOW_VOLATILITY, INTEREST_RATE, each once and "
    "with a ticker, such as MARKET=SPY, separated by commas."
)


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory without `.env`, a sample market in it, and nothing else in the environment."""
    for name in os.environ:
        if name.upper().startswith("FRESHTAPE_") or name.upper() in ("SYMBOL_STALENESS_HOURS", "BACKFILL_CRON"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    Path("market").mkdir()
    Path("market/symbols.csv").touch()
    monkeypatch.setenv("FRESHTAPE_SAMPLE_DIR", "market")


def loaded() -> Settings:
    settings, warnings = load_settings()
    assert warnings == []
    return settings


def wrong() -> str:
    with pytest.raises(WrongSetting) as refusal:
        load_settings()
    assert refusal.value.__suppress_context__ or not refusal.value.__context__, "the sentence comes alone"
    return str(refusal.value)


def test_defaults() -> None:
    settings = loaded()
    assert settings.database_url == "sqlite+aiosqlite:///./freshtape.db"
    assert settings.providers == ("yahoo",)
    assert settings.provider_calls_per_minute == 60
    assert (settings.onboarding_max_depth, settings.onboarding_max_concurrent) == (50, 3)
    assert (settings.backfill_cron, settings.backfill_max_concurrent) == ("0 2 * * *", 3)
    assert settings.backfill_windows == Windows(daily=730, minute=7)
    assert settings.yahoo_url == ""
    assert settings.clock is None
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.symbol_staleness_hours == 48
    assert settings.factor_etfs == FACTOR_ETFS
    assert settings.provider_calls_per_day == 20_000
    assert settings.provider_order == {}
    assert settings.canaries == CANARIES
    assert settings.staleness_threshold == timedelta(days=2)


def test_the_bundled_market_lies_beside_the_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FRESHTAPE_SAMPLE_DIR")
    assert loaded().sample_dir == Path(str(providers.__file__)).parent / "sample_data"
    assert {setting.variable: setting.value for setting in described(loaded())}["FRESHTAPE_SAMPLE_DIR"] == "bundled"


HOSTS = ("tape.example.com", "10.0.0.7", "::7")
OTHER_CANARIES = {**CANARIES, AssetClass.STOCK: "VOD.L", AssetClass.FOREX: "GBP/USD"}
TWO_OTHERS = {**FACTOR_ETFS, Factor.MARKET: "BRK-B", Factor.LOW_VOLATILITY: "SPLV"}
DESKS = ("https://desk.example.com", "http://[::1]:3000")


@pytest.mark.parametrize(
    ("variable", "text", "attribute", "value"),
    [
        ("FRESHTAPE_PROVIDERS", " Sample ", "providers", ("sample",)),
        ("FRESHTAPE_SAMPLE_DIR", " market ", "sample_dir", Path("market")),
        ("FRESHTAPE_YAHOO_URL", " HTTP://127.0.0.1:8765/ ", "yahoo_url", "http://127.0.0.1:8765"),
        ("FRESHTAPE_YAHOO_URL", "https://[::1]", "yahoo_url", "https://[::1]"),
        ("FRESHTAPE_YAHOO_URL", "", "yahoo_url", ""),
        ("FRESHTAPE_MASSIVE_URL", "http://127.0.0.1:8766/", "massive_url", "http://127.0.0.1:8766"),
        ("FRESHTAPE_MASSIVE_API_KEY", "", "massive_api_key", SecretStr("")),
        ("FRESHTAPE_MASSIVE_API_KEY", " a.key_1 ", "massive_api_key", SecretStr("a.key_1")),
        ("FRESHTAPE_CLOCK", "", "clock", None),
        ("FRESHTAPE_CLOCK", "  ", "clock", None),
        ("FRESHTAPE_CLOCK", " 2025-03-14T10:30:00-04:00 ", "clock", datetime(2025, 3, 14, 14, 30, tzinfo=UTC)),
        ("FRESHTAPE_HOST", " 127.8.8.8 ", "host", "127.8.8.8"),
        ("FRESHTAPE_HOST", "::1", "host", "::1"),
        ("FRESHTAPE_HOST", "LocalHost", "host", "LocalHost"),
        ("FRESHTAPE_ALLOWED_HOSTS", "", "allowed_hosts", ()),
        ("FRESHTAPE_ALLOWED_HOSTS", " Tape.example.com, 10.0.0.7,[::7] ", "allowed_hosts", HOSTS),
        ("FRESHTAPE_ALLOWED_HOSTS", "a.b", "served_hosts", {"localhost", "127.0.0.1", "::1", "a.b"}),
        ("FRESHTAPE_ALLOWED_ORIGINS", "https://Desk.example.com,http://[::1]:3000", "allowed_origins", DESKS),
        ("FRESHTAPE_ALLOW_UNAUTHENTICATED", "true", "allow_unauthenticated", True),
        ("FRESHTAPE_QUERY_SECONDS", "0.5", "query_seconds", 0.5),
        ("FRESHTAPE_PORT", "0", "port", 0),
        ("FRESHTAPE_PORT", " 65535 ", "port", 65535),
        ("FRESHTAPE_PROVIDER_CALLS_PER_MINUTE", "1", "provider_calls_per_minute", 1),
        ("FRESHTAPE_PROVIDER_CALLS_PER_MINUTE", "100000", "provider_calls_per_minute", 100_000),
        ("FRESHTAPE_PROVIDER_CALLS_PER_DAY", "1", "provider_calls_per_day", 1),
        ("FRESHTAPE_PROVIDER_CALLS_PER_DAY", "10000000", "provider_calls_per_day", 10_000_000),
        ("FRESHTAPE_PROVIDER_ORDER", " ", "provider_order", {}),
        ("FRESHTAPE_PROVIDER_ORDER", " crypto = Yahoo ", "provider_order", {AssetClass.CRYPTO: ("yahoo",)}),
        ("FRESHTAPE_CANARIES", "stock=vod.l, FOREX = gbpusd", "canaries", OTHER_CANARIES),
        ("FRESHTAPE_ONBOARDING_MAX_DEPTH", "1", "onboarding_max_depth", 1),
        ("FRESHTAPE_ONBOARDING_MAX_DEPTH", "10000", "onboarding_max_depth", 10_000),
        ("FRESHTAPE_ONBOARDING_MAX_CONCURRENT", "1", "onboarding_max_concurrent", 1),
        ("FRESHTAPE_ONBOARDING_MAX_CONCURRENT", "100", "onboarding_max_concurrent", 100),
        ("FRESHTAPE_BACKFILL_CRON", "", "backfill_cron", ""),
        ("FRESHTAPE_BACKFILL_CRON", " */30 8-17 * * mon-fri ", "backfill_cron", "*/30 8-17 * * mon-fri"),
        ("BACKFILL_CRON", "0 3 * * *", "backfill_cron", "0 3 * * *"),
        ("FRESHTAPE_BACKFILL_DAYS", "0", "backfill_windows", Windows(daily=0, minute=7)),
        ("FRESHTAPE_BACKFILL_DAYS", "3650", "backfill_windows", Windows(daily=3650, minute=7)),
        ("FRESHTAPE_BACKFILL_MINUTE_DAYS", "365", "backfill_windows", Windows(daily=730, minute=365)),
        ("FRESHTAPE_BACKFILL_MAX_CONCURRENT", "100", "backfill_max_concurrent", 100),
        ("SYMBOL_STALENESS_HOURS", "1", "symbol_staleness_hours", 1),
        ("SYMBOL_STALENESS_HOURS", "1000000", "symbol_staleness_hours", 1_000_000),
        ("SYMBOL_STALENESS_HOURS", "1000000", "staleness_threshold", timedelta(hours=1_000_000)),
        ("FRESHTAPE_FACTOR_ETFS", " low_volatility = splv,MARKET=brk.b ", "factor_etfs", TWO_OTHERS),
        (
            "FRESHTAPE_FACTOR_ETFS",
            ",".join(f"{f.name}=ONE" for f in FACTOR_ETFS),
            "factor_etfs",
            dict.fromkeys(FACTOR_ETFS, "ONE"),
        ),
    ],
)
def test_values(monkeypatch: pytest.MonkeyPatch, variable: str, text: str, attribute: str, value: object) -> None:
    monkeypatch.setenv(variable, text)
    assert getattr(loaded(), attribute) == value


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "tape.example.com", "10.0.0.7"])
def test_beyond_this_machine_it_must_be_said_that_it_is_open(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("FRESHTAPE_HOST", host)
    assert wrong() == (
        "FRESHTAPE_ALLOW_UNAUTHENTICATED is 'False'; it must be true or false, and true where FRESHTAPE_HOST is an address "
        "beyond this machine."
    )
    monkeypatch.setenv("FRESHTAPE_ALLOW_UNAUTHENTICATED", "true")
    assert host in loaded().served_hosts


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("FRESHTAPE_ALLOWED_HOSTS", "tape.example.com:8000"),
        ("FRESHTAPE_ALLOWED_HOSTS", "*"),
        ("FRESHTAPE_ALLOWED_ORIGINS", "desk.example.com"),
        ("FRESHTAPE_ALLOWED_ORIGINS", "https://desk.example.com/"),
        ("FRESHTAPE_ALLOWED_ORIGINS", "*"),
        ("FRESHTAPE_ALLOWED_ORIGINS", "null"),
        ("FRESHTAPE_MAX_QUERY_DEPTH", "0"),
        ("FRESHTAPE_QUERY_SECONDS", "0"),
    ],
)
def test_doors_and_limits_that_cannot_be(monkeypatch: pytest.MonkeyPatch, variable: str, text: str) -> None:
    monkeypatch.setenv(variable, text)
    assert wrong().startswith(f"{variable} is {text!r}; it must be ")


def test_the_limits_are_those_that_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded().limits == Limits()
    monkeypatch.setenv("FRESHTAPE_MAX_QUERY_NODES", "7")
    assert loaded().limits == Limits(nodes=7)
    monkeypatch.setenv("FRESHTAPE_MAX_QUERY_COSTLY", "1")
    assert loaded().limits == Limits(nodes=7, costly=1)


def test_the_clock_is_told_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHTAPE_CLOCK", "2025-03-14T10:30:00-04:00")
    clock = loaded().clock
    assert clock is not None
    assert clock.tzinfo is UTC


@pytest.mark.parametrize(
    ("address", "normalised"),
    [
        (" sqlite:///./tape.db ", "sqlite+aiosqlite:///./tape.db"),
        ("sqlite+aiosqlite:////var/lib/tape.db", "sqlite+aiosqlite:////var/lib/tape.db"),
        ("postgres://u:p@h/tape", "postgresql+asyncpg://u:p@h/tape"),
        ("postgresql://u:p%40w@h:5433/tape", "postgresql+asyncpg://u:p%40w@h:5433/tape"),
        ("postgresql+asyncpg:///tape?host=/run/pg", "postgresql+asyncpg:///tape?host=%2Frun%2Fpg"),
        ("postgres://h/tape?sslmode=require", "postgresql+asyncpg://h/tape?ssl=require"),
    ],
)
def test_database_addresses(monkeypatch: pytest.MonkeyPatch, address: str, normalised: str) -> None:
    monkeypatch.setenv("FRESHTAPE_DATABASE_URL", address)
    assert loaded().database_url == normalised


@pytest.mark.parametrize(
    "address",
    [
        f"mysql://u:{SECRET}@h/tape",
        f"postgresql+psycopg://u:{SECRET}@h/tape",
        f"postgresql://u:{SECRET}@h:port/tape",
        f"postgresql://u:a@{SECRET}@h/tape",
        f"sqlite://u:{SECRET}@h/tape.db",
        f"sqlite://:{SECRET}@/tape.db",
        SECRET,
        "sqlite:tape.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///%3Amemory%3A",
        "sqlite+aiosqlite:///:memory:",
        "sqlite:///file::memory:",
        "sqlite:///tape?mode=memory",
        "sqlite:///file:tape?mode=memory&uri=true",
    ],
)
def test_a_wrong_database_address_is_not_echoed(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("FRESHTAPE_DATABASE_URL", address)
    assert wrong() == f"FRESHTAPE_DATABASE_URL is ***; {DATABASE}"
    with pytest.raises(ValidationError) as refusal:
        Settings()
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize(
    ("variable", "text", "sentence"),
    [
        ("FRESHTAPE_DATABASE_URL", "", f"FRESHTAPE_DATABASE_URL is empty; {DATABASE}"),
        ("FRESHTAPE_PROVIDERS", "", f"FRESHTAPE_PROVIDERS is empty; {PROVIDERS}"),
        ("FRESHTAPE_PROVIDERS", "bloomberg", f"FRESHTAPE_PROVIDERS is 'bloomberg'; {PROVIDERS}"),
        ("FRESHTAPE_PROVIDERS", "sample, Sample", f"FRESHTAPE_PROVIDERS is 'sample, Sample'; {PROVIDERS}"),
        ("FRESHTAPE_PROVIDERS", "sample,", f"FRESHTAPE_PROVIDERS is 'sample,'; {PROVIDERS}"),
        ("FRESHTAPE_SAMPLE_DIR", "", f"FRESHTAPE_SAMPLE_DIR is empty; {SAMPLE_DIR}"),
        ("FRESHTAPE_YAHOO_URL", "ftp://tape", f"FRESHTAPE_YAHOO_URL is 'ftp://tape'; {YAHOO_URL}"),
        ("FRESHTAPE_YAHOO_URL", "127.0.0.1:8765", f"FRESHTAPE_YAHOO_URL is '127.0.0.1:8765'; {YAHOO_URL}"),
        ("FRESHTAPE_YAHOO_URL", "http://", f"FRESHTAPE_YAHOO_URL is 'http://'; {YAHOO_URL}"),
        ("FRESHTAPE_YAHOO_URL", "http://tape/v8", f"FRESHTAPE_YAHOO_URL is 'http://tape/v8'; {YAHOO_URL}"),
        ("FRESHTAPE_YAHOO_URL", "http://tape:65536", f"FRESHTAPE_YAHOO_URL is 'http://tape:65536'; {YAHOO_URL}"),
        ("FRESHTAPE_CLOCK", "yesterday", f"FRESHTAPE_CLOCK is 'yesterday'; {CLOCK}"),
        ("FRESHTAPE_CLOCK", "2025-03-14T14:30", f"FRESHTAPE_CLOCK is '2025-03-14T14:30'; {CLOCK}"),
        ("FRESHTAPE_CLOCK", "0001-01-01T00:00+05:00", f"FRESHTAPE_CLOCK is '0001-01-01T00:00+05:00'; {CLOCK}"),
        ("FRESHTAPE_HOST", "", f"FRESHTAPE_HOST is empty; {HOST}"),
        ("FRESHTAPE_HOST", "localhost:80", f"FRESHTAPE_HOST is 'localhost:80'; {HOST}"),
        ("FRESHTAPE_HOST", "http://tape", f"FRESHTAPE_HOST is 'http://tape'; {HOST}"),
        ("FRESHTAPE_PORT", "", f"FRESHTAPE_PORT is empty; {PORT}"),
        ("FRESHTAPE_PORT", " ", f"FRESHTAPE_PORT is empty; {PORT}"),
        ("FRESHTAPE_PORT", "abc", f"FRESHTAPE_PORT is 'abc'; {PORT}"),
        ("FRESHTAPE_PORT", "80\n90", f"FRESHTAPE_PORT is '80\\n90'; {PORT}"),
        ("FRESHTAPE_PORT", "-1", f"FRESHTAPE_PORT is '-1'; {PORT}"),
        ("FRESHTAPE_PORT", "65536", f"FRESHTAPE_PORT is '65536'; {PORT}"),
        ("FRESHTAPE_PORT", "9" * 5000, f"FRESHTAPE_PORT is '{'9' * 80}…'; {PORT}"),
        ("FRESHTAPE_PROVIDER_CALLS_PER_MINUTE", "0", f"FRESHTAPE_PROVIDER_CALLS_PER_MINUTE is '0'; {CALLS}"),
        ("FRESHTAPE_PROVIDER_CALLS_PER_MINUTE", "100001", f"FRESHTAPE_PROVIDER_CALLS_PER_MINUTE is '100001'; {CALLS}"),
        ("FRESHTAPE_PROVIDER_CALLS_PER_DAY", "0", f"FRESHTAPE_PROVIDER_CALLS_PER_DAY is '0'; {A_DAY}"),
        ("FRESHTAPE_PROVIDER_CALLS_PER_DAY", "10000001", f"FRESHTAPE_PROVIDER_CALLS_PER_DAY is '10000001'; {A_DAY}"),
        ("FRESHTAPE_PROVIDER_ORDER", "yahoo", f"FRESHTAPE_PROVIDER_ORDER is 'yahoo'; {ORDER}"),
        ("FRESHTAPE_PROVIDER_ORDER", "CRYPTO", f"FRESHTAPE_PROVIDER_ORDER is 'CRYPTO'; {ORDER}"),
        ("FRESHTAPE_PROVIDER_ORDER", "CRYPTO=", f"FRESHTAPE_PROVIDER_ORDER is 'CRYPTO='; {ORDER}"),
        ("FRESHTAPE_PROVIDER_ORDER", "BONDS=yahoo", f"FRESHTAPE_PROVIDER_ORDER is 'BONDS=yahoo'; {ORDER}"),
        ("FRESHTAPE_PROVIDER_ORDER", "CRYPTO=sample", f"FRESHTAPE_PROVIDER_ORDER is 'CRYPTO=sample'; {ORDER}"),
        ("FRESHTAPE_PROVIDER_ORDER", "CRYPTO=yahoo>yahoo", f"FRESHTAPE_PROVIDER_ORDER is 'CRYPTO=yahoo>yahoo'; {ORDER}"),
        ("FRESHTAPE_PROVIDER_ORDER", "ETF=yahoo,etf=yahoo", f"FRESHTAPE_PROVIDER_ORDER is 'ETF=yahoo,etf=yahoo'; {ORDER}"),
        ("FRESHTAPE_CANARIES", "", f"FRESHTAPE_CANARIES is empty; {CANARY}"),
        ("FRESHTAPE_CANARIES", "STOCK=EUR/USD", f"FRESHTAPE_CANARIES is 'STOCK=EUR/USD'; {CANARY}"),
        ("FRESHTAPE_CANARIES", "STOCK=SPY,STOCK=QQQ", f"FRESHTAPE_CANARIES is 'STOCK=SPY,STOCK=QQQ'; {CANARY}"),
        ("FRESHTAPE_ONBOARDING_MAX_DEPTH", "0", f"FRESHTAPE_ONBOARDING_MAX_DEPTH is '0'; {DEPTH}"),
        ("FRESHTAPE_ONBOARDING_MAX_DEPTH", "10001", f"FRESHTAPE_ONBOARDING_MAX_DEPTH is '10001'; {DEPTH}"),
        ("FRESHTAPE_ONBOARDING_MAX_CONCURRENT", "0", f"FRESHTAPE_ONBOARDING_MAX_CONCURRENT is '0'; {CONCURRENT}"),
        ("FRESHTAPE_ONBOARDING_MAX_CONCURRENT", "101", f"FRESHTAPE_ONBOARDING_MAX_CONCURRENT is '101'; {CONCURRENT}"),
        ("FRESHTAPE_BACKFILL_CRON", "daily", f"FRESHTAPE_BACKFILL_CRON is 'daily'; {CRON}"),
        ("FRESHTAPE_BACKFILL_CRON", "0 2 * *", f"FRESHTAPE_BACKFILL_CRON is '0 2 * *'; {CRON}"),
        ("FRESHTAPE_BACKFILL_CRON", "0 24 * * *", f"FRESHTAPE_BACKFILL_CRON is '0 24 * * *'; {CRON}"),
        ("FRESHTAPE_BACKFILL_CRON", "0 2 31 2 *", f"FRESHTAPE_BACKFILL_CRON is '0 2 31 2 *'; {CRON}"),
        ("BACKFILL_CRON", "@daily", f"FRESHTAPE_BACKFILL_CRON is '@daily'; {CRON}"),
        ("FRESHTAPE_BACKFILL_DAYS", "-1", "FRESHTAPE_BACKFILL_DAYS is '-1'; it must be a whole number from 0 to 3650."),
        ("SYMBOL_STALENESS_HOURS", "", f"SYMBOL_STALENESS_HOURS is empty; {HOURS}"),
        ("SYMBOL_STALENESS_HOURS", "0", f"SYMBOL_STALENESS_HOURS is '0'; {HOURS}"),
        ("SYMBOL_STALENESS_HOURS", "1.5", f"SYMBOL_STALENESS_HOURS is '1.5'; {HOURS}"),
        ("SYMBOL_STALENESS_HOURS", "1000001", f"SYMBOL_STALENESS_HOURS is '1000001'; {HOURS}"),
        ("FRESHTAPE_FACTOR_ETFS", "", f"FRESHTAPE_FACTOR_ETFS is empty; {FACTORS}"),
        ("FRESHTAPE_FACTOR_ETFS", "SPY", f"FRESHTAPE_FACTOR_ETFS is 'SPY'; {FACTORS}"),
        ("FRESHTAPE_FACTOR_ETFS", "MARKET", f"FRESHTAPE_FACTOR_ETFS is 'MARKET'; {FACTORS}"),
        ("FRESHTAPE_FACTOR_ETFS", "MARKET=", f"FRESHTAPE_FACTOR_ETFS is 'MARKET='; {FACTORS}"),
        ("FRESHTAPE_FACTOR_ETFS", "MARKET=S&P", f"FRESHTAPE_FACTOR_ETFS is 'MARKET=S&P'; {FACTORS}"),
        ("FRESHTAPE_FACTOR_ETFS", "MARKET=SPY=QQQ", f"FRESHTAPE_FACTOR_ETFS is 'MARKET=SPY=QQQ'; {FACTORS}"),
        ("FRESHTAPE_FACTOR_ETFS", "MARKET=SPY,", f"FRESHTAPE_FACTOR_ETFS is 'MARKET=SPY,'; {FACTORS}"),
        ("FRESHTAPE_FACTOR_ETFS", "LUCK=SPY", f"FRESHTAPE_FACTOR_ETFS is 'LUCK=SPY'; {FACTORS}"),
        ("FRESHTAPE_FACTOR_ETFS", "SIZE_SPREAD=IWM", f"FRESHTAPE_FACTOR_ETFS is 'SIZE_SPREAD=IWM'; {FACTORS}"),
        ("FRESHTAPE_FACTOR_ETFS", "SIZE=IWM,size=VB", f"FRESHTAPE_FACTOR_ETFS is 'SIZE=IWM,size=VB'; {FACTORS}"),
    ],
)
def test_wrong_values(monkeypatch: pytest.MonkeyPatch, variable: str, text: str, sentence: str) -> None:
    monkeypatch.setenv(variable, text)
    assert wrong() == sentence


@pytest.mark.parametrize(("folder", "shown"), [("nowhere", "nowhere"), (".", "."), ("x" * 5000, "x" * 80 + "…")])
def test_a_sample_market_that_is_not_there(monkeypatch: pytest.MonkeyPatch, folder: str, shown: str) -> None:
    monkeypatch.setenv("FRESHTAPE_PROVIDERS", "sample")
    monkeypatch.setenv("FRESHTAPE_SAMPLE_DIR", folder)
    assert wrong() == f"FRESHTAPE_SAMPLE_DIR is '{shown}'; {SAMPLE_DIR}"


def test_every_wrong_value_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMBOL_STALENESS_HOURS", "two")
    monkeypatch.setenv("FRESHTAPE_PORT", "abc")
    assert wrong() == f"FRESHTAPE_PORT is 'abc'; {PORT}\nSYMBOL_STALENESS_HOURS is 'two'; {HOURS}"


def test_the_sample_market_matters_only_to_the_sample_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHTAPE_SAMPLE_DIR", "nowhere")
    monkeypatch.setenv("FRESHTAPE_PROVIDERS", "yahoo")
    assert loaded().sample_dir == Path("nowhere")
    monkeypatch.setenv("FRESHTAPE_SAMPLE_DIR", "")
    assert wrong() == f"FRESHTAPE_SAMPLE_DIR is empty; {SAMPLE_DIR}"
    monkeypatch.setenv("FRESHTAPE_SAMPLE_DIR", "nowhere")
    monkeypatch.setenv("FRESHTAPE_PROVIDERS", "yahoo , SAMPLE")
    assert wrong() == f"FRESHTAPE_SAMPLE_DIR is 'nowhere'; {SAMPLE_DIR}"
    monkeypatch.setenv("FRESHTAPE_SAMPLE_DIR", "market")
    assert loaded().providers == ("yahoo", "sample")


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("# ours\n\nFRESHTAPE_PORT=1\nexport FRESHTAPE_HOST='::1'\nSYMBOL_STALENESS_HOURS=24\nOTHER=1\n")
    monkeypatch.setenv("FRESHTAPE_PORT", "2")
    settings = loaded()
    assert (settings.port, settings.host, settings.symbol_staleness_hours) == (2, "::1", 24)


def test_an_empty_variable_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("FRESHTAPE_CLOCK=2025-03-14T14:30:00Z\n")
    assert loaded().clock == datetime(2025, 3, 14, 14, 30, tzinfo=UTC)
    monkeypatch.setenv("FRESHTAPE_CLOCK", "")
    assert loaded().clock is None


def test_an_empty_value_in_the_file_is_not_the_default() -> None:
    Path(".env").write_text("FRESHTAPE_PORT=\n")
    assert wrong() == f"FRESHTAPE_PORT is empty; {PORT}"


def test_the_prefix_belongs_to_all_but_the_old_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1")
    assert loaded().port == 8000


@pytest.mark.parametrize("name", ["FRESHTAPE_SYMBOL_STALENESS_HOURS", "FRESHTAPE_STALENESS_HOURS"])
def test_the_old_variable_takes_no_prefix(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    settings, warnings = load_settings()
    assert settings.symbol_staleness_hours == 48
    assert warnings == [f"{name} is no setting and is ignored; did you mean SYMBOL_STALENESS_HOURS?"]


def test_unknown_variables_are_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("FRESHTAPE_DATABASE=x\nFRESHTAPE_PORT=1\nUNRELATED=1\n")
    monkeypatch.setenv("FRESHTAPE_PROT", "x")
    monkeypatch.setenv("FRESHTAPE_COLOUR", "x")
    assert load_settings()[1] == [
        "FRESHTAPE_COLOUR is no setting and is ignored.",
        "FRESHTAPE_DATABASE is no setting and is ignored; did you mean FRESHTAPE_DATABASE_URL?",
        "FRESHTAPE_PROT is no setting and is ignored; did you mean FRESHTAPE_PORT?",
    ]


def test_variables_of_the_test_suite_are_not_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHTAPE_TEST_POSTGRES", "x")
    assert load_settings()[1] == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"FRESHTAPE_HOST=caf\xe9", ".env cannot be read: it is not UTF-8 text."),
        (b"\n# a\n\nhunter2\n", "Line 4 of .env is neither NAME=value nor a comment after #."),
        (b"A=1\r\n\r\n  'open\r\n", "Line 3 of .env is neither NAME=value nor a comment after #."),
        (b"# ours\nA\n", "Line 2 of .env is neither NAME=value nor a comment after #."),
    ],
)
def test_a_broken_file(content: bytes, sentence: str) -> None:
    Path(".env").write_bytes(content)
    assert wrong() == sentence


def test_every_broken_line_is_named() -> None:
    Path(".env").write_text("A\nB=1\n=2\n")
    assert [line.split(" of ")[0] for line in wrong().splitlines()] == ["Line 1", "Line 3"]


def test_a_folder_called_env() -> None:
    Path(".env").mkdir()
    assert wrong() == ".env cannot be read: Is a directory."


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"postgres://u:{SECRET}@h/tape", "postgresql+asyncpg://u:***@h/tape"),
        (
            f"postgres://u:{SECRET}@/tape?host=/run/pg&password={SECRET}",
            "postgresql+asyncpg://u:***@/tape?host=%2Frun%2Fpg&password=***",
        ),
    ],
)
def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch, address: str, shown: str) -> None:
    monkeypatch.setenv("FRESHTAPE_DATABASE_URL", address)
    settings = loaded()
    assert SECRET in settings.database_url
    assert described(settings)[0].value == shown
    assert SECRET not in f"{settings} {settings!r}"


def test_a_key_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHTAPE_PROVIDERS", "massive")
    monkeypatch.setenv("FRESHTAPE_MASSIVE_API_KEY", SECRET)
    settings = loaded()
    assert settings.massive_api_key.get_secret_value() == SECRET
    shown = {setting.variable: setting.value for setting in described(settings)}
    assert shown["FRESHTAPE_MASSIVE_API_KEY"] == "***"
    assert SECRET not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()} {shown}"


def test_the_provider_massive_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = "it must be a key of Massive's, without spaces, and empty only where FRESHTAPE_PROVIDERS does not name massive."
    monkeypatch.setenv("FRESHTAPE_PROVIDERS", "yahoo,massive")
    assert wrong() == f"FRESHTAPE_MASSIVE_API_KEY is empty; {needed}"
    for text in (f"two {SECRET}", f"{SECRET}\u00e9", f"{SECRET}\nX-Header: 1"):
        monkeypatch.setenv("FRESHTAPE_MASSIVE_API_KEY", text)
        assert wrong() == f"FRESHTAPE_MASSIVE_API_KEY is ***; {needed}"


@settings(deadline=None)
@given(
    secret=st.text(max_size=8),
    user=st.text(min_size=1, max_size=8),
    database=st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True),
)
def test_any_password_survives_and_is_hidden(secret: str, user: str, database: str) -> None:
    password = f"{SECRET}{secret}{SECRET}"
    given_url = make_url("postgresql://host").set(username=user, password=password, database=database)
    address = given_url.render_as_string(hide_password=False)
    loaded = Settings.model_validate({"database_url": address, "sample_dir": "market"})
    url = make_url(loaded.database_url)
    assert (url.username, url.password, url.database) == (user, password, database)
    assert SECRET not in described(loaded)[0].value


CANARIES_SHOWN = "STOCK=SPY,ETF=SPY,CRYPTO=BTC-USD,FOREX=EUR/USD,INDEX=^GSPC"


def test_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHTAPE_CLOCK", "2025-03-14T10:30:00-04:00")
    monkeypatch.setenv("SYMBOL_STALENESS_HOURS", "24")
    assert [(setting.variable, setting.value, setting.default) for setting in described(loaded())][:20] == [
        ("FRESHTAPE_DATABASE_URL", "sqlite+aiosqlite:///./freshtape.db", "sqlite+aiosqlite:///./freshtape.db"),
        ("FRESHTAPE_PROVIDERS", "yahoo", "yahoo"),
        ("FRESHTAPE_PROVIDER_CALLS_PER_MINUTE", "60", "60"),
        ("FRESHTAPE_PROVIDER_CALLS_PER_DAY", "20000", "20000"),
        ("FRESHTAPE_PROVIDER_ORDER", "", ""),
        ("FRESHTAPE_CANARIES", CANARIES_SHOWN, CANARIES_SHOWN),
        ("FRESHTAPE_ONBOARDING_MAX_DEPTH", "50", "50"),
        ("FRESHTAPE_ONBOARDING_MAX_CONCURRENT", "3", "3"),
        ("FRESHTAPE_BACKFILL_CRON", "0 2 * * *", "0 2 * * *"),
        ("FRESHTAPE_BACKFILL_DAYS", "730", "730"),
        ("FRESHTAPE_BACKFILL_MINUTE_DAYS", "7", "7"),
        ("FRESHTAPE_BACKFILL_MAX_CONCURRENT", "3", "3"),
        ("FRESHTAPE_SAMPLE_DIR", "market", "bundled"),
        ("FRESHTAPE_YAHOO_URL", "", ""),
        ("FRESHTAPE_MASSIVE_API_KEY", "", ""),
        ("FRESHTAPE_MASSIVE_URL", "", ""),
        ("FRESHTAPE_CLOCK", "2025-03-14T14:30:00+00:00", ""),
        ("FRESHTAPE_HOST", "127.0.0.1", "127.0.0.1"),
        ("FRESHTAPE_PORT", "8000", "8000"),
        ("SYMBOL_STALENESS_HOURS", "24", "48"),
    ]


def test_lists_are_shown_as_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHTAPE_PROVIDERS", "yahoo, sample")
    monkeypatch.setenv("FRESHTAPE_FACTOR_ETFS", "SIZE = vb, MARKET=VTI")
    monkeypatch.setenv("FRESHTAPE_PROVIDER_ORDER", "forex = sample > yahoo , stock=yahoo")
    monkeypatch.setenv("FRESHTAPE_CANARIES", "INDEX=spx")
    shown = {setting.variable: setting.value for setting in described(loaded())}
    assert shown["FRESHTAPE_PROVIDERS"] == "yahoo,sample"
    assert shown["FRESHTAPE_FACTOR_ETFS"] == (
        "MARKET=VTI,VALUE=VTV,GROWTH=VUG,MOMENTUM=MTUM,QUALITY=QUAL,SIZE=VB,LOW_VOLATILITY=USMV,INTEREST_RATE=TLT"
    )
    assert shown["FRESHTAPE_PROVIDER_ORDER"] == "FOREX=sample>yahoo,STOCK=yahoo"
    for name in ("FRESHTAPE_FACTOR_ETFS", "FRESHTAPE_PROVIDER_ORDER", "FRESHTAPE_CANARIES"):
        monkeypatch.setenv(name, shown[name])
    assert {setting.variable: setting.value for setting in described(loaded())} == shown


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_field_says_what_it_means_and_what_is_allowed(name: str) -> None:
    field = Settings.model_fields[name]
    assert field.description
    assert field.description.endswith(".")
    assert isinstance(field.json_schema_extra, dict)
    assert re.fullmatch(r"[^A-Z].*[^.]", str(field.json_schema_extra.get("allowed"))), "the middle of a sentence"


def test_the_page_is_up_to_date() -> None:
    """If not: python -c 'import web.settings as s; print(s.configuration_page(), end="")' >docs/configuration.md"""
    assert PAGE.read_text("utf-8") == configuration_page()


def test_the_page_has_a_row_of_four_cells_for_each_setting() -> None:
    rows = [line for line in configuration_page().splitlines() if line.startswith("| `")]
    assert len(rows) == len(Settings.model_fields)
    assert all(row.count("|") == 5 for row in rows)


def test_settings_are_frozen() -> None:
    settings = loaded()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


def test_of_the_two_names_of_the_cron_the_one_with_the_prefix_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKFILL_CRON", "0 3 * * *")
    monkeypatch.setenv("FRESHTAPE_BACKFILL_CRON", "")
    assert loaded().backfill_cron == ""
