"""What clients send: scalars by the letter, an explicit null as if nothing had been said, and no text that cannot be kept."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from graphql import GraphQLError
from hypothesis import given
from hypothesis import strategies as st

from domain.events import Position
from domain.services.pipeline import Pipeline
from graph.scalars import SCALARS
from persistence.unit_of_work import SqlDatabase
from tests.support.client import GraphClient
from tests.support.universe import track

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

BARS = 'query($from: DateTime) { symbol(ticker: "AAPL") { bars(from: $from) { nodes { close } } } }'
LEVELS = """
query($kind: LevelKind, $first: Int) {
  symbol(ticker: "AAPL") { levels(kind: $kind, first: $first) { kind strength } }
}"""


def parse(kind: object) -> Callable[[object], Any]:
    read = SCALARS[kind].parse_value
    assert read is not None
    return read


def write(kind: object) -> Callable[[Any], Any]:
    serialize = SCALARS[kind].serialize
    assert serialize is not None
    return serialize


# ── scalars


@given(st.datetimes(timezones=st.builds(timezone, st.timedeltas(timedelta(hours=-14), timedelta(hours=14)))))
def test_an_instant_with_any_offset_is_read_as_utc(instant: datetime) -> None:
    try:
        expected = instant.astimezone(UTC)
    except OverflowError:  # beyond the first or last year
        with pytest.raises(GraphQLError, match="is not an ISO-8601 instant"):
            parse(datetime)(instant.isoformat())
        return
    read = parse(datetime)(instant.isoformat())
    assert (read, read.utcoffset()) == (expected, timedelta())
    assert parse(datetime)(write(datetime)(read)) == read
    assert write(datetime)(read).endswith("+00:00")


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_survives_digit_for_digit(value: Decimal) -> None:
    written = write(Decimal)(value)
    assert "E" not in written.upper()
    read = parse(Decimal)(written)
    assert read == value
    assert min(0, value.as_tuple().exponent) == read.as_tuple().exponent


@pytest.mark.parametrize("value", ["1", "-1.50", "1e3", 7, 0, -7, 10**30])
def test_a_decimal_is_a_string_or_an_integer(value: object) -> None:
    assert parse(Decimal)(value) == Decimal(str(value))


@pytest.mark.parametrize("value", [1.5, 1.0, float("nan"), float("inf"), True, None, [], {}])
def test_a_decimal_is_never_a_json_float(value: object) -> None:
    with pytest.raises(GraphQLError, match="as a string or an integer, never as a JSON float") as refused:
        parse(Decimal)(value)
    assert refused.value.extensions == {"code": "BAD_USER_INPUT"}


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-inf", "", "1,5", "1.5 USD", "0x10", "\0"])
def test_a_decimal_is_finite(text: str) -> None:
    with pytest.raises(GraphQLError, match="is not a finite decimal number") as refused:
        parse(Decimal)(text)
    assert refused.value.extensions == {"code": "BAD_USER_INPUT"}


def test_a_date_is_a_calendar_date() -> None:
    assert parse(date)("2025-06-13") == date(2025, 6, 13)
    assert write(date)(date(2025, 6, 13)) == "2025-06-13"
    for wrong in ("2025-02-29", "13.06.2025", "2025-06-13T00:00:00Z", "", 20250613, None):
        with pytest.raises(GraphQLError, match="is not an ISO-8601 date, such as 2025-06-13"):
            parse(date)(wrong)


@given(st.uuids(version=4), st.integers(0))
def test_a_position_comes_back_from_its_cursor(log: Any, number: int) -> None:
    position = Position(log.hex, number)
    assert parse(Position)(write(Position)(position)) == position


@pytest.mark.parametrize("text", ["", "x", "%%%", "é", "bG9n", "bG9nOg==", "bG9nOi0x", "bG9nOjE6Mg==", "w6k6w6k=", 7, None])
def test_what_was_never_a_position_is_refused(text: object) -> None:
    """The longer ones spell `log`, `log:`, `log:-1`, `log:1:2` and `é:é`."""
    with pytest.raises(GraphQLError, match="is not a cursor of this service"):
        parse(Position)(text)


@given(st.sampled_from([datetime, date, Decimal, Position]), st.text())
def test_a_scalar_never_fails_but_by_a_sentence(kind: object, text: str) -> None:
    with suppress(GraphQLError):
        parse(kind)(text)


# ── through the schema


@on_sqlite
async def test_a_wrong_scalar_is_told_to_the_client(graph: GraphClient) -> None:
    expected = "is not an ISO-8601 instant with an offset, such as 2025-06-13T20:00:00Z."
    for wrong in ("2025-06-13T20:00:00", "2025-06-13", "0001-01-01T00:00:00+23:00", "now", "", 7):
        code, message = await graph.refused(BARS, **{"from": wrong})
        assert code == "BAD_USER_INPUT"
        assert message == f"Variable '$from' has invalid value: {str(wrong)!r} {expected}"
    _, message = await graph.refused('{ symbol(ticker: "AAPL") { bars(from: "2025-06-13T20:00:00") { nodes { close } } } }')
    assert message.endswith(f"'2025-06-13T20:00:00' {expected}")
    assert await graph(BARS, **{"from": "2025-06-13T22:00:00+02:00"}) == {"symbol": None}


@on_sqlite
async def test_an_explicit_null_is_as_if_nothing_had_been_said(graph: GraphClient, pipeline: Pipeline) -> None:
    added = await graph.add("AAPL", assetClass=None, name=None, expectedVersion=None)
    assert (added["__typename"], added["symbol"]["name"], added["symbol"]["version"]) == ("SymbolAdded", "AAPL Inc.", 1)
    assert (await graph.add("AAPL", assetClass=None, name=None, expectedVersion=None))["symbol"]["version"] == 1
    await pipeline.work_off()
    refreshed = await graph.refresh("AAPL", expectedVersion=None)
    assert refreshed["symbol"]["version"] == 3
    nothing_said = await graph(
        '{ symbols { totalCount nodes { ticker } } symbol(ticker: "AAPL") { levels { price } bars { nodes { close } } } '
        'searchSymbols(text: "a") { ticker } }'
    )
    assert nothing_said["symbol"]["levels"]
    assert nothing_said == await graph(
        "{ symbols(filter: {tickers: null, assetClass: null, status: null, isStale: null}, first: null, after: null) "
        '{ totalCount nodes { ticker } } symbol(ticker: "AAPL") { levels(kind: null, first: null) { price } '
        "bars(from: null, to: null, first: null, after: null, last: null, before: null) { nodes { close } } } "
        'searchSymbols(text: "a", first: null) { ticker } }'
    )


@on_sqlite
async def test_levels_are_the_strongest_of_the_kind_asked_for(graph: GraphClient, database: SqlDatabase) -> None:
    await track(database, "AAPL")
    count = (await graph.refresh("AAPL"))["levelsExtracted"]

    async def levels(**arguments: Any) -> list[dict[str, Any]]:
        return list((await graph(LEVELS, **arguments))["symbol"]["levels"])

    every = await levels(first=1000)
    assert (len(every), {level["kind"] for level in every}) == (count, {"SUPPORT", "RESISTANCE"})
    assert every == sorted(every, key=lambda level: -level["strength"])
    for kind in ("SUPPORT", "RESISTANCE"):
        of_kind = [level for level in every if level["kind"] == kind]
        assert await levels(kind=kind) == of_kind
        assert await levels(kind=kind, first=1) == of_kind[:1]
    for size in (0, -1, 1001):
        assert (await graph.refused(LEVELS, first=size))[0] == "BAD_USER_INPUT"


ADD = "mutation($input: AddSymbolInput!) { addSymbol(input: $input) { __typename } }"


async def test_a_name_that_is_too_long_is_refused(graph: GraphClient) -> None:
    code, message = await graph.refused(ADD, input={"ticker": "AAPL", "name": "n" * 201})
    assert (code, message) == ("BAD_USER_INPUT", "name must be at most 200 characters; 201 characters was asked for.")
    assert (await graph("{ symbols { totalCount } }"))["symbols"]["totalCount"] == 0
    assert await graph(ADD, input={"ticker": "AAPL", "name": "n" * 200}) == {"addSymbol": {"__typename": "SymbolAdded"}}


@on_sqlite
async def test_what_graphql_itself_refuses_is_told(graph: GraphClient) -> None:
    for query, part in (
        ("{ symbols { nodes { tickr } } }", "Cannot query field 'tickr' on type 'Symbol'. Did you mean 'ticker'"),
        ("{ symbols(filter: {status: GONE}) { totalCount } }", "Value 'GONE' does not exist in 'SymbolStatus' enum"),
        ("{ symbol { ticker } }", "Argument 'Query.symbol(ticker:)' of type 'String!' is required"),
        ("{ symbols(first: 2147483648) { totalCount } }", "Int cannot represent non 32-bit signed integer value"),
        ("{ symbols", "Syntax Error"),
        ("mutation { removeSymbol(input: {ticker: null, expectedVersion: 1}) { __typename } }", "non-null type 'String!'"),
    ):
        _, message = await graph.refused(query)
        assert part in message, message
