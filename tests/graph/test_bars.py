"""Bars as clients read them: in order, in pages, in today's shares, and never from the future."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from domain.bars import Bar, Interval
from domain.services.refreshing import Refreshing
from domain.services.symbols import Symbols
from graph.context import Services
from graph.paging import write_cursor
from persistence.catalogue import SqlCatalogue
from persistence.unit_of_work import SqlDatabase
from providers.sample import SampleProvider
from tests.support.client import GraphClient
from tests.support.clock import EVENING, ManualClock
from tests.support.provider import daily_bar
from tests.support.universe import track
from web.settings import BUNDLED_SAMPLE

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

DAY = timedelta(days=1)
TODAY = EVENING.date()
QUERY = """
query($from: DateTime, $to: DateTime, $first: Int, $after: String, $last: Int, $before: String) {
  symbol(ticker: "AAPL") {
    bars(from: $from, to: $to, first: $first, after: $after, last: $last, before: $before) {
      edges { cursor node { openTime } } nodes { openTime close }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
  }
}"""


async def hold(database: SqlDatabase, bars: Sequence[Bar]) -> None:
    await track(database, "AAPL")
    async with database.write() as unit:
        await unit.bars.upsert(bars)


def daily(count: int) -> list[Bar]:
    """Whole days, oldest first, the newest over this morning."""
    return [daily_bar("AAPL", TODAY - (count - n) * DAY, str(100 + n)) for n in range(count)]


async def page(graph: GraphClient, **arguments: Any) -> dict[str, Any]:
    return dict((await graph(QUERY, **arguments))["symbol"]["bars"])


def opens(found: dict[str, Any]) -> list[datetime]:
    return [datetime.fromisoformat(node["openTime"]) for node in found["nodes"]]


async def test_the_newest_500_come_oldest_first_when_nothing_is_said(graph: GraphClient, database: SqlDatabase) -> None:
    bars = daily(503)
    await hold(database, bars)
    nulls = dict.fromkeys(("from", "to", "first", "after", "last", "before"))
    found = await page(graph)
    assert opens(found) == [bar.open_time for bar in bars[3:]]
    assert [edge["node"]["openTime"] for edge in found["edges"]] == [node["openTime"] for node in found["nodes"]]
    assert found["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": True,
        "startCursor": found["edges"][0]["cursor"],
        "endCursor": found["edges"][-1]["cursor"],
    }
    assert await page(graph, **nulls) == found


async def test_no_bars_are_an_empty_page(graph: GraphClient, database: SqlDatabase) -> None:
    await track(database, "AAPL")
    assert await page(graph, first=10) == {
        "edges": [],
        "nodes": [],
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None},
    }


HELD = daily(40)
moments = st.none() | st.sampled_from([bar.open_time + extra for bar in HELD[::3] for extra in (-DAY / 2, 0 * DAY, DAY / 2)])
cursors = st.none() | st.sampled_from([bar.open_time for bar in HELD[::2]])
reading = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])  # nothing is written


@pytest.fixture
async def held(graph: GraphClient, database: SqlDatabase) -> GraphClient:
    await hold(database, HELD)
    return graph


@given(moments, moments, cursors, cursors, st.integers(1, 45), st.booleans())
@reading
async def test_a_page_is_what_its_arguments_say(
    held: GraphClient,
    start: datetime | None,
    end: datetime | None,
    after: datetime | None,
    before: datetime | None,
    size: int,
    is_newest: bool,
) -> None:
    within = [
        bar.open_time
        for bar in HELD
        if (start is None or start <= bar.open_time)
        and (end is None or bar.open_time < end)
        and (after is None or after < bar.open_time)
        and (before is None or bar.open_time < before)
    ]
    found = await page(
        held,
        **{"last" if is_newest else "first": size, "from": start and start.isoformat(), "to": end and end.isoformat()},
        after=after and write_cursor(after.isoformat()),
        before=before and write_cursor(before.isoformat()),
    )
    assert opens(found) == (within[-size:] if is_newest else within[:size])
    assert found["pageInfo"]["hasPreviousPage" if is_newest else "hasNextPage"] is (len(within) > size)


@given(moments, moments, st.integers(1, 45), st.booleans())
@reading
async def test_the_pages_joined_are_the_whole(
    held: GraphClient, start: datetime | None, end: datetime | None, size: int, is_backward: bool
) -> None:
    assume(start is None or end is None or start < end)
    within = {"from": start and start.isoformat(), "to": end and end.isoformat()}
    whole = opens(await page(held, **within))
    joined: list[datetime] = []
    size_name, cursor_name, edge, more = (
        ("last", "before", "startCursor", "hasPreviousPage") if is_backward else ("first", "after", "endCursor", "hasNextPage")
    )
    cursor, has_more = None, True
    while has_more:
        found = await page(held, **within, **{size_name: size, cursor_name: cursor})
        joined = opens(found) + joined if is_backward else joined + opens(found)
        assert len(joined) <= len(whole)
        cursor, has_more = found["pageInfo"][edge], found["pageInfo"][more]
    assert joined == whole


@on_sqlite
async def test_a_middle_page_has_neighbours_on_both_sides(held: GraphClient) -> None:
    first = await page(held, first=10)
    assert (first["pageInfo"]["hasPreviousPage"], first["pageInfo"]["hasNextPage"]) == (False, True)
    second = await page(held, first=10, after=first["pageInfo"]["endCursor"])
    assert (second["pageInfo"]["hasPreviousPage"], second["pageInfo"]["hasNextPage"]) == (True, True)
    back = await page(held, last=10, before=second["pageInfo"]["startCursor"])
    assert opens(back) == opens(first)
    assert (back["pageInfo"]["hasPreviousPage"], back["pageInfo"]["hasNextPage"]) == (False, True)


@on_sqlite
@pytest.mark.parametrize("name", ["first", "last"])
async def test_a_size_out_of_bounds_is_refused(held: GraphClient, name: str) -> None:
    for size, shown in ((0, "0"), (-1, "-1"), (1001, "1,001")):
        code, message = await held.refused(QUERY, **{name: size})
        assert (code, message) == ("BAD_USER_INPUT", f"{name} must be from 1 to 1,000; {shown} was asked for.")
    for size in (1, 1000):
        assert len(opens(await page(held, **{name: size}))) == min(size, 40)


@on_sqlite
async def test_both_ends_at_once_are_refused(held: GraphClient) -> None:
    code, message = await held.refused(QUERY, first=1, last=1)
    assert (code, message) == ("BAD_USER_INPUT", "first and last must be given one at a time; both was asked for.")


NO_CURSORS = [
    "",
    "x",
    "%%%",
    "é",
    *map(write_cursor, ("", "AAPL", "\0", "2026-03-27", "2026-03-27T00:00:00", "0001-01-01T00:00:00+23:00")),
]


async def test_what_was_never_a_cursor_is_refused(held: GraphClient) -> None:
    for name in ("after", "before"):
        for text in NO_CURSORS:
            code, message = await held.refused(QUERY, **{name: text})
            assert code == "BAD_USER_INPUT", (text, message)
            assert message.startswith(f"{name} must be a cursor of an earlier page"), text


async def test_nothing_is_shown_before_it_is_over(graph: GraphClient, database: SqlDatabase, clock: ManualClock) -> None:
    over, running = daily_bar("AAPL", TODAY - DAY), daily_bar("AAPL", TODAY)
    await hold(database, [over, running])
    clock.at = running.close_time - timedelta(microseconds=1)
    for arguments in ({}, {"first": 5}, {"last": 5}, {"from": running.open_time.isoformat(), "last": 5}):
        assert running.open_time not in opens(await page(graph, **arguments))
    clock.at = running.close_time
    assert opens(await page(graph)) == [over.open_time, running.open_time]
    clock.at = over.close_time - timedelta(microseconds=1)
    assert opens(await page(graph)) == []


async def test_an_interval_has_its_own_bars(graph: GraphClient, database: SqlDatabase) -> None:
    opened = datetime(2026, 3, 27, 14, 30, tzinfo=UTC)
    minute = daily_bar("AAPL", TODAY, interval=Interval.ONE_MINUTE, open_time=opened, close_time=opened + timedelta(minutes=1))
    await hold(database, [*daily(2), minute])
    found = await graph(
        """{ symbol(ticker: "AAPL") {
          day: bars { nodes { interval } } five: bars(interval: FIVE_MINUTES) { nodes { close } }
          minute: bars(interval: ONE_MINUTE) { nodes { interval openTime closeTime } } top: bars(first: 1) { nodes { close } }
        } }"""
    )
    assert found["symbol"] == {
        "day": {"nodes": [{"interval": "ONE_DAY"}] * 2},
        "minute": {
            "nodes": [
                {
                    "interval": "ONE_MINUTE",
                    "openTime": "2026-03-27T14:30:00+00:00",
                    "closeTime": "2026-03-27T14:31:00+00:00",
                }
            ]
        },
        "five": {"nodes": []},
        "top": {"nodes": [{"close": "100"}]},
    }


PLAIN = {
    "1E+3": "1000",
    "0.00000001": "0.00000001",
    "20614.449300000001": "20614.449300000001",
    "12345678901234567890.123456789": "12345678901234567890.123456789",
    "100.50": "100.50",
    "0": "0",
}


async def test_a_decimal_is_a_plain_string_digit_for_digit(graph: GraphClient, database: SqlDatabase) -> None:
    extremes = {"high": Decimal("1E+30"), "low": Decimal(0), "volume": Decimal("1E+12")}
    bars = [
        daily_bar("AAPL", TODAY - (len(PLAIN) - n) * DAY, text, open=Decimal(text), **extremes) for n, text in enumerate(PLAIN)
    ]
    await hold(database, bars)
    found = await graph('{ symbol(ticker: "AAPL") { bars { nodes { open close volume high low } } } }')
    for node, plain in zip(found["symbol"]["bars"]["nodes"], PLAIN.values(), strict=True):
        assert node == {"open": plain, "close": plain, "volume": "1" + 12 * "0", "high": "1" + 30 * "0", "low": "0"}


# ── splits: Netflix gave ten new shares for an old one on 2025-11-17

SPLIT_EVE = datetime(2025, 11, 14, 21, 30, tzinfo=UTC)
AS_TRADED = {"open": "1142.73", "high": "1142.73", "low": "1107.21", "close": "1112.17", "volume": "4760713"}
IN_NEW_SHARES = {"open": "114.273", "high": "114.273", "low": "110.721", "close": "111.217", "volume": "47607130"}
AFTER_SPLIT = {"open": "110.75", "high": "111.85", "low": "109.55", "close": "110.29", "volume": "25945780"}


@pytest.fixture
def market(services: Services, database: SqlDatabase, catalogue: SqlCatalogue, clock: ManualClock) -> GraphClient:
    """The schema on the sample market."""
    sample = SampleProvider(BUNDLED_SAMPLE, clock)
    symbols = Symbols(database, catalogue, sample, services.onboarding.queue, clock, timedelta(hours=48))
    return GraphClient(replace(services, symbols=symbols, refreshing=Refreshing(database, sample, clock)))


async def days(graph: GraphClient, count: int) -> list[dict[str, str]]:
    fields = " ".join(AS_TRADED)
    found = await graph(f'{{ symbol(ticker: "NFLX") {{ bars(last: {count}) {{ nodes {{ {fields} }} }} }} }}')
    return list(found["symbol"]["bars"]["nodes"])


async def test_bars_are_in_the_shares_of_the_day_they_are_read_on(
    market: GraphClient, database: SqlDatabase, clock: ManualClock
) -> None:
    clock.at = SPLIT_EVE
    await track(database, "NFLX")
    await market.refresh("NFLX")
    assert await days(market, 1) == [AS_TRADED]
    clock.at += timedelta(days=3)
    refreshed = (await market.refresh("NFLX"))["symbol"]
    assert refreshed["lastPrice"] == "110.29"
    assert await days(market, 2) == [IN_NEW_SHARES, AFTER_SPLIT]
    clock.at = SPLIT_EVE
    assert await days(market, 1) == [AS_TRADED]


async def test_levels_are_in_todays_shares(market: GraphClient, database: SqlDatabase) -> None:
    await track(database, "NFLX")
    await market.refresh("NFLX")
    found = await market('{ symbol(ticker: "NFLX") { levels { price priceUpper } } }')
    prices = [Decimal(level["priceUpper"] or level["price"]) for level in found["symbol"]["levels"]]
    assert prices
    assert max(prices) < 140  # it traded above 1,000 before the split
