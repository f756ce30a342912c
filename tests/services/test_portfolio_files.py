"""Any file that imports, exported and imported again, is the same portfolio."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import date
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import InvalidPortfolio
from domain.portfolio_csv import parse
from graph.context import Services
from persistence.unit_of_work import SqlDatabase
from tests.support.figures import told
from tests.support.portfolios import TODAY, kept, priced

names = count()

HEADINGS = (
    ("symbol", "Ticker", "SYMBOL"),
    ("quantity", "Qty (Quantity)", "Shares", "units"),
    ("entry price", "Average cost", "Cost basis per share", "Price", "Cost basis"),
    ("entry date", "Date acquired", "Purchase date"),
    ("exit date", "Exit_Date"),
)
TICKERS = st.sampled_from(["AAPL", "aapl", " brk.b ", "eurusd", "BTC-USD", "VOD.L", "KNOWN", "^GSPC", "x y z", "Cash", ""])
NUMBERS = st.one_of(
    st.decimals("-999999999999999.9999999999", "999999999999999.9999999999", places=10).map(lambda number: f"{number:f}"),
    st.decimals(-10_000, 10_000, places=2).map(lambda number: f"${number:,.2f}"),
    st.integers(1, 10_000).map(lambda number: f"({number})"),
    st.integers(1, 10_000).map(lambda number: f"−{number}"),
    st.sampled_from(["0", "1e3", "NaN", "nothing", "1,234.50", "7"]),
)
DATES = st.one_of(
    st.just(""),
    st.dates(date(1990, 1, 1), TODAY).map(date.isoformat),
    st.dates(date(1990, 1, 1), TODAY).map(lambda day: f"{day:%m/%d/%Y}"),
    st.just("2027-01-01"),
)


@st.composite
def files(draw: Any) -> str:
    """Good and bad, as people and brokers write them."""
    separator: str = draw(st.sampled_from([",", ";", "\t"]))
    newline: str = draw(st.sampled_from(["\n", "\r\n"]))
    wanted = draw(st.integers(3, 5))
    rows = [tuple(draw(st.sampled_from(spellings)) for spellings in HEADINGS[:wanted])]
    cells = (TICKERS, NUMBERS, NUMBERS, DATES, DATES)[:wanted]
    rows += draw(st.lists(st.tuples(*cells), min_size=1, max_size=6))
    lines = [separator.join(f'"{cell}"' if separator in cell or draw(st.booleans()) else cell for cell in row) for row in rows]
    start: str = draw(st.sampled_from(["", "\ufeff", "# by hand" + newline, "Positions as of today" + newline]))
    end: str = draw(st.sampled_from(["", newline]))
    return start + newline.join([*lines, ""]) + end


@pytest.fixture
async def seen(database: SqlDatabase) -> AsyncIterator[Counter[str]]:
    """What became of the files: there were some of each kind."""
    await priced(database, "KNOWN", "12.345")
    seen: Counter[str] = Counter()
    yield seen
    told(", ".join(f"{kind} {number}" for kind, number in sorted(seen.items())))
    assert seen.keys() == {"refused", "imported whole", "imported in part"}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(csv=files(), accept=st.booleans())
async def test_any_file(services: Services, database: SqlDatabase, seen: Counter[str], csv: str, accept: bool) -> None:
    name = f"N{next(names)}"
    try:
        done = await services.portfolios.import_(name, csv, accept_valid_rows=accept)
    except InvalidPortfolio:
        seen["refused"] += 1
        return
    seen["imported in part" if done.rejected else "imported whole"] += 1
    before = await kept(database, name)
    exported = await services.portfolios.exported(name)
    assert parse(exported).errors == ()
    again = await services.portfolios.import_(name, exported)
    assert (again.portfolio, again.pending, again.jobs) == (done.portfolio, done.pending, done.jobs)
    assert await kept(database, name) == before
    copy = await services.portfolios.import_(f"copy of {name}", exported)
    assert (copy.portfolio.digest, copy.portfolio.snapshot) == (done.portfolio.digest, done.portfolio.snapshot)
    assert (await kept(database, f"copy of {name}"))[1] == before[1]
    assert await services.portfolios.exported(f"copy of {name}") == exported
