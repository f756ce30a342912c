"""The command line, as a person without a browser meets it."""

import asyncio
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from domain.services.working import LOOK_SECONDS
from tests.support.client import mutation
from tests.support.massive.server import KEY, MassiveStub
from tests.support.process import END_SECONDS, Processes, Service, until
from tests.support.universe import track_in
from tests.support.yahoo.server import YahooStub, running
from tests.web.conftest import Ran
from web.container import open_container
from web.settings import load_settings

ROOT = Path(__file__).parents[2]
CLOCK = "2026-03-27T20:30:00Z"


def test_schema_prints_what_is_committed(freshtape: Callable[..., Ran]) -> None:
    assert freshtape("schema") == (0, (ROOT / "schema.graphql").read_text(), "")


def test_config_shows_every_setting_and_no_secret(freshtape: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHTAPE_DATABASE_URL", "postgresql://me:hush@db/freshtape")
    code, out, _ = freshtape("config")
    assert code == 0
    assert "hush" not in out
    assert "postgresql+asyncpg://me:***@db/freshtape" in out
    for variable in ("FRESHTAPE_PROVIDERS", "FRESHTAPE_CLOCK", "FRESHTAPE_PORT", "SYMBOL_STALENESS_HOURS"):
        assert variable in out


def test_a_wrong_setting_stops_every_command_with_a_sentence(
    freshtape: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRESHTAPE_PORT", "abc")
    for command in (("serve",), ("worker",), ("demo",), ("symbols", "list"), ("db", "upgrade"), ("config",)):
        code, out, err = freshtape(*command)
        assert (code, out) == (2, "")
        assert err == "FRESHTAPE_PORT is 'abc'; it must be a whole number from 0 to 65535.\n"


def test_an_unknown_variable_is_warned_about(freshtape: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHTAPE_PROT", "8001")
    code, _, err = freshtape("symbols", "list")
    assert code == 0
    assert err == "FRESHTAPE_PROT is no setting and is ignored; did you mean FRESHTAPE_PORT?\n"


def tracked(*tickers: str) -> None:
    """In the database of the folder."""
    asyncio.run(track_in("sqlite+aiosqlite:///./freshtape.db", *tickers))


def worked_off() -> None:
    """The onboarding queue, as a worker does it."""

    async def work() -> None:
        async with open_container(load_settings()[0]) as container:
            await container.pipeline.work_off()

    asyncio.run(work())


def test_add_queues_the_history(freshtape: Callable[..., Ran]) -> None:
    code, out, err = freshtape("symbols", "add", "aapl", "eurusd")
    assert (code, err) == (0, "")
    assert out == (
        "AAPL is tracked: Apple Inc., STOCK; its history is queued.\n"
        "EUR/USD is tracked: Euro / US Dollar, FOREX; its history is queued.\n"
    )
    code, out, _ = freshtape("symbols", "refresh", "AAPL")
    assert code == 3
    assert re.fullmatch(r"AAPL is already being refreshed, since 2026-03-27T20:3\d:\d\S*Z by onboarding\.\n", out)
    for passed_over in ("--all", "--stale"):
        assert freshtape("symbols", "refresh", passed_over) == (0, "", "")
    worked_off()
    assert freshtape("symbols", "add", "aapl")[:2] == (0, "AAPL is tracked: Apple Inc., STOCK.\n")
    code, out, _ = freshtape("symbols", "list")
    assert re.search(r"^AAPL +STOCK +\w+ +248\.8 +0\.0 +\d+ +FRESH *$", out, re.MULTILINE)
    assert re.search(r"^SPY +ETF .* FRESH *$", out, re.MULTILINE), "what betas are measured against is tracked, too"
    assert freshtape("symbols", "refresh", "AAPL")[1].startswith("AAPL is refreshed: 0 bars changed")


def test_refresh_list_remove(freshtape: Callable[..., Ran]) -> None:
    freshtape("db", "upgrade")
    tracked("AAPL", "EUR/USD")
    code, out, _ = freshtape("symbols", "refresh", "--stale")
    assert code == 0
    assert re.search(r"^AAPL is refreshed: \d{3} bars changed, \d+ levels\.$", out, re.MULTILINE)
    code, out, _ = freshtape("symbols", "list")
    assert re.search(r"^AAPL +STOCK +\w+ +248\.8 +0\.0 +\d+ +FRESH *$", out, re.MULTILINE)
    assert "PROVIDER_EMPTY" in out  # EUR/USD ended months ago, and says so although it is fresh
    assert freshtape("symbols", "refresh", "--all")[1].startswith("AAPL is refreshed: 0 bars changed")
    assert freshtape("symbols", "remove", "AAPL") == (0, "AAPL is no longer tracked.\n", "")
    assert "AAPL" not in freshtape("symbols", "list")[1]
    assert freshtape("symbols", "add", "AAPL")[0] == 0


def test_stats(freshtape: Callable[..., Ran]) -> None:
    freshtape("symbols", "add", "btcusd", "sol-usd", "ethusd")
    worked_off()
    code, out, err = freshtape("stats", "btc-usd", "ETHUSD")
    assert (code, err) == (0, "")
    heading, bitcoin, ether, hole = out.splitlines()
    assert heading.split() == ["ticker", "bars", "from", "to", "coverage", "validated", "price", "gaps", "gaps"]
    assert re.match(r"BTC-USD +\d+ +2025-\S+ +2026-03-2\S+ +99\.\d\d% ", bitcoin)
    assert re.match(r"ETH-USD +\d+ +2025-\S+ +2026-03-2\S+ +100\.00% ", ether)
    assert hole == "BTC-USD lacks 2026-02-15T00:00Z to 2026-02-16T00:00Z, 1 trading day: PROVIDER_HOLE"
    assert "lacks" not in freshtape("stats", "btc-usd", "--gaps", "0")[1]
    assert freshtape("stats", "btc-usd", "--interval", "4h")[1].splitlines()[1].split() == [
        *("BTC-USD", "0", "–", "–", "0.00%", "0.00%", "0", "0")
    ]
    assert freshtape("stats", "nope") == (3, "", "NOPE is not tracked.\n")
    assert freshtape("stats", "btc-usd", "--interval", "2h")[0] == 2


def test_refusals_are_said_one_by_one_and_stop_nothing_else(freshtape: Callable[..., Ran]) -> None:
    code, out, _ = freshtape("symbols", "add", "ZZZZ", "NASDAQ:AAPL", "SPY")
    assert code == 3
    assert out == (
        "ZZZZ is not known to the provider sample.\n"
        "'NASDAQ:AAPL' is not a ticker: only letters, digits and . - / ^ belong in one. Did you mean AAPL?\n"
        "SPY is tracked: SPDR S&P 500 ETF Trust, ETF; its history is queued.\n"
    )
    assert freshtape("symbols", "remove", "SPY", "--expected-version", "7")[:2] == (
        3,
        "SPY was changed meanwhile: expected version 7, it is 1.\n",
    )
    assert freshtape("symbols", "refresh", "QQQ")[:2] == (3, "QQQ is not tracked.\n")


def test_quotes(freshtape: Callable[..., Ran]) -> None:
    code, out, err = freshtape("quotes", "nflx", "eurusd", "NFLX")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["ticker", "price", "currency", "at", "previous", "close"],
        ["NFLX", "93.43", "USD", "2026-03-27T20:00:00Z", "93.32"],
        ["EUR/USD", "1.164", "USD", "2025-08-09T00:00:00Z", "1.1677"],
    ]
    code, out, _ = freshtape("quotes", "ZZZZ", "AAPL")
    assert code == 3
    assert re.search(r"^AAPL +248\.8 ", out, re.MULTILINE)
    assert out.endswith("No provider has a price of ZZZZ.\n")
    assert freshtape("quotes", "NASDAQ:AAPL")[0] == 3


def test_yahoo_is_the_default(freshtape: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    """From the command line to a server that speaks its shapes, in the present."""
    for variable in ("FRESHTAPE_PROVIDERS", "FRESHTAPE_CLOCK"):
        monkeypatch.delenv(variable)
    with running(YahooStub()) as url:
        monkeypatch.setenv("FRESHTAPE_YAHOO_URL", url)
        assert freshtape("symbols", "add", "nflx", "ZZZZ")[:2] == (
            3,
            "NFLX is tracked: Netflix, Inc., STOCK; its history is queued.\nZZZZ is not known to the provider yahoo.\n",
        )
        tracked("MSFT")
        code, out, _ = freshtape("symbols", "refresh", "--all")
        assert code == 0
        assert re.search(r"^MSFT is refreshed: 2\d\d bars changed, \d+ levels\.$", out, re.MULTILINE)
        news = freshtape("symbols", "refresh", "MSFT")[1]
        assert re.search("^MSFT is refreshed: [01] bars changed", news), "that of the day under way, if the market is open now"
        code, out, _ = freshtape("quotes", "NFLX", "BTC-USD")
        assert code == 0
        assert len(out.splitlines()) == 3
        assert freshtape("quotes", "T429S")[0] == 4
        code, out, _ = freshtape("symbols", "add", "AAPL")  # another process, which has heard of it
        assert code == 4
        assert re.fullmatch(r"The provider yahoo said \d s ago that it is asked too often\. Try again in \d\d s\.\n", out)


def test_massive_with_its_key(freshtape: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same. A service that has no key says what to set, and nothing ever says the key."""
    monkeypatch.delenv("FRESHTAPE_CLOCK")
    monkeypatch.setenv("FRESHTAPE_PROVIDERS", "massive")
    code, _, err = freshtape("quotes", "NFLX")
    assert code == 2
    assert err.startswith("FRESHTAPE_MASSIVE_API_KEY is empty; it must be a key of Massive's")
    with running(MassiveStub()) as url:
        monkeypatch.setenv("FRESHTAPE_MASSIVE_URL", url)
        monkeypatch.setenv("FRESHTAPE_MASSIVE_API_KEY", KEY)
        assert re.search(r"FRESHTAPE_MASSIVE_API_KEY +\*\*\* ", freshtape("config")[1])
        code, out, err = freshtape("symbols", "add", "brk.b", "btcusd", "VOD.L")
        assert (code, err) == (3, "")
        assert out == (
            "BRK-B is tracked: Berkshire Hathaway Inc., STOCK; its history is queued.\n"
            "BTC-USD is tracked: Bitcoin / US Dollar, CRYPTO; its history is queued.\n"
            "VOD.L is not served by the provider massive: it has US listings, coins and currencies.\n"
        )
        tracked("NFLX")
        code, out, _ = freshtape("symbols", "refresh", "NFLX")
        assert code == 0
        assert re.search(r"^NFLX is refreshed: 2\d\d bars changed, \d+ levels\.$", out, re.MULTILINE)
        code, out, _ = freshtape("quotes", "NFLX", "BTC-USD", "EUR/USD")
        assert code == 0
        lines = [line.split() for line in out.splitlines()[1:]]
        assert [(line[0], line[2]) for line in lines] == [("NFLX", "USD"), ("BTC-USD", "USD"), ("EUR/USD", "USD")]
        monkeypatch.setenv("FRESHTAPE_MASSIVE_API_KEY", "another.key")
        assert freshtape("quotes", "NFLX") == (
            4,
            "",
            "The provider massive refuses the key that FRESHTAPE_MASSIVE_API_KEY holds.\n",
        )


def test_a_provider_that_cannot_be_read_is_unavailable(
    freshtape: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    market = tmp_path / "market"
    market.mkdir()
    (market / "symbols.csv").write_bytes(b"ticker\n\xff\xff\n")
    monkeypatch.setenv("FRESHTAPE_SAMPLE_DIR", str(market))
    code, out, _ = freshtape("symbols", "add", "AAPL")
    assert code == 4
    assert out == "The provider sample sent what cannot be read.\n"


def test_providers_shows_their_circuits(freshtape: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, out, _ = freshtape("providers")
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["name", "circuit", "failures", "retry", "in", "left", "today", "last", "error"],
        ["sample", "CLOSED", "0", "–", "–", "–"],
    ]
    (tmp_path / "market").mkdir()
    (tmp_path / "market" / "symbols.csv").write_bytes(b"ticker\n\xff\xff\n")
    monkeypatch.setenv("FRESHTAPE_SAMPLE_DIR", str(tmp_path / "market"))
    for _ in range(2):
        freshtape("symbols", "add", "AAPL")
    code, out, _ = freshtape("providers")
    assert code == 0
    assert re.search(r"^sample +OPEN +5 +\d\d s +– +The provider sample sent what cannot be read\. *$", out, re.MULTILINE)


@pytest.mark.parametrize("url", ["sqlite:////no/such/folder/freshtape.db", "postgresql://me:hush@127.0.0.1:1/freshtape"])
def test_a_database_that_cannot_be_opened(freshtape: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("FRESHTAPE_DATABASE_URL", url)
    for command in (("symbols", "list"), ("db", "upgrade"), ("db", "forget-clock"), ("serve",)):
        code, out, err = freshtape(*command)
        assert (code, out) == (4, ""), command
        assert err.startswith("The database that FRESHTAPE_DATABASE_URL names cannot be opened: ")
        assert "Traceback" not in err
        assert "hush" not in err


def test_a_database_that_goes_away(freshtape: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(*_: object) -> None:
        raise ConnectionResetError("hush")

    assert freshtape("symbols", "add", "AAPL", "SPY")[0] == 0
    with monkeypatch.context() as away:
        away.setattr("persistence.symbol_store.SqlSymbolStore.all", lost)
        assert freshtape("symbols", "list") == (4, "", "The database does not answer; try again in a moment.\n")
    monkeypatch.setattr("persistence.symbol_store.SqlSymbolStore.lock", lost)
    unchanged = "The database did not answer, and nothing was changed; try again in a moment.\n"
    assert freshtape("symbols", "remove", "AAPL") == (4, unchanged, "")


def test_db_upgrade_says_whether_there_was_anything_to_do(freshtape: Callable[..., Ran]) -> None:
    assert freshtape("db", "upgrade") == (0, "The database was brought up to date.\n", "")
    assert freshtape("db", "upgrade") == (0, "The database is up to date.\n", "")


def test_forget_clock(freshtape: Callable[..., Ran]) -> None:
    freshtape("symbols", "list")
    assert freshtape("db", "forget-clock") == (0, "The recorded clock is forgotten: it is real time again.\n", "")
    assert freshtape("db", "forget-clock") == (0, "No clock was recorded.\n", "")


# ── who works the queue


def test_on_sqlite_there_are_no_workers_of_their_own(freshtape: Callable[..., Ran]) -> None:
    code, out, err = freshtape("worker")
    assert (code, out) == (2, "")
    assert err == (
        "Workers of their own need PostgreSQL, which they share with the services (FRESHTAPE_DATABASE_URL); on SQLite "
        "`freshtape serve` works the queue itself.\n"
    )


async def is_queued_and_left(service: Service) -> bool:
    """Whether a symbol that is added waits for a worker of somebody else."""
    added = (await service.ask(mutation("addSymbol"), input={"ticker": "AAPL"}))["data"]["addSymbol"]
    assert added["symbol"]["status"] == "ONBOARDING"
    await asyncio.sleep(2 * LOOK_SECONDS)
    (job,) = (await service.ask("{ onboarding { jobs { status } } }"))["data"]["onboarding"]["jobs"]
    return bool(job["status"] == "PENDING")


async def is_active(service: Service) -> bool:
    found = (await service.ask('{ symbol(ticker: "AAPL") { status } }'))["data"]["symbol"]
    return bool(found["status"] == "ACTIVE")


async def test_who_serves_works_the_queue_unless_told_not_to(database_url: str) -> None:
    async with Processes(database_url, FRESHTAPE_CLOCK=CLOCK) as processes:
        service = await processes.start_one()
        assert await is_queued_and_left(service)
        await processes.start_one(works=True)
        await until(lambda: is_active(service), within=20)


async def test_a_worker_works_the_queue_of_those_who_do_not(postgresql_url: str) -> None:
    async with Processes(postgresql_url, FRESHTAPE_CLOCK=CLOCK) as processes:
        service = await processes.start_one()
        assert await is_queued_and_left(service)
        worker = await processes.start_worker()
        await until(lambda: is_active(service), within=20)
        worker.send_signal(signal.SIGTERM)
        async with asyncio.timeout(END_SECONDS):
            assert await worker.wait() == 0


@pytest.mark.parametrize("arguments", [("symbols", "refresh"), ("symbols", "refresh", "AAPL", "--all"), ("nonsense",)])
def test_wrong_usage(freshtape: Callable[..., Ran], arguments: tuple[str, ...]) -> None:
    assert freshtape(*arguments)[0] == 2
