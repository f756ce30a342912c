"""Bars and their connection."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import strawberry

from domain import bars as domain
from domain.clock import parse_instant
from domain.ports import BarPage, BarQuery
from domain.revisions import Revision
from graph.limits import UNSIZED
from graph.paging import PageInfo, read_cursor, write_cursor
from graph.scalars import optional
from graph.types.enums import Interval


@strawberry.type(
    description=(
        "Prices and volume are adjusted for splits, not for dividends, as of the newest split known at the clock; a split is "
        "neither a revision nor a price gap."
    )
)
class Bar:
    ticker: str
    interval: Interval
    open_time: datetime
    close_time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    is_final: bool
    is_validated: bool
    source: str

    @classmethod
    def from_domain(cls, bar: domain.Bar) -> "Bar":
        return cls(
            ticker=bar.ticker,
            interval=bar.interval,
            open_time=bar.open_time,
            close_time=bar.close_time,
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            volume=bar.volume,
            is_final=bar.is_final,
            is_validated=bar.is_validated,
            source=bar.source,
        )


@strawberry.type(description="A stored bar whose value the provider changed later.")
class BarRevision:
    interval: Interval
    open_time: datetime
    field: str
    old_value: Decimal
    new_value: Decimal
    source: str
    observed_at: datetime

    @classmethod
    def from_domain(cls, revision: Revision) -> "BarRevision":
        return cls(
            interval=revision.interval,
            open_time=revision.open_time,
            field=revision.field,
            old_value=revision.old_value,
            new_value=revision.new_value,
            source=revision.source,
            observed_at=revision.observed_at,
        )


@strawberry.type
class BarEdge:
    cursor: str
    node: Bar


@strawberry.type(
    description=(
        "withheld: the session's gate left bars of its trading day out of the range asked for; older ones are there. Never "
        "lagging data, never an empty list that looks like `no data`. epoch is the session's, null outside one."
    )
)
class BarConnection:
    edges: list[BarEdge]
    nodes: list[Bar]
    page_info: PageInfo
    withheld: bool
    epoch: int | None

    @classmethod
    def from_domain(cls, page: BarPage, query: BarQuery) -> "BarConnection":
        edges = [BarEdge(cursor=_cursor(bar), node=Bar.from_domain(bar)) for bar in page.bars]
        return cls(
            edges=edges,
            nodes=[edge.node for edge in edges],
            page_info=_page_info(edges, page, query),
            withheld=page.is_withheld,
            epoch=page.epoch,
        )


def bar_query(
    interval: domain.Interval,
    until: datetime,
    *,
    start: datetime | None,
    end: datetime | None,
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
) -> BarQuery:
    """Raises InvalidArgument for a cursor that is none."""
    first, last = optional(first), optional(last)
    return BarQuery(
        interval=interval,
        limit=first or last or UNSIZED,
        until=until,
        newest=first is None,
        start=optional(start),
        end=optional(end),
        after=_opening("after", optional(after)),
        before=_opening("before", optional(before)),
    )


def _cursor(bar: domain.Bar) -> str:
    return write_cursor(bar.open_time.isoformat())


def _opening(name: str, cursor: str | None) -> datetime | None:
    return read_cursor(name, cursor, parse_instant) if cursor is not None else None


def _page_info(edges: Sequence[BarEdge], page: BarPage, query: BarQuery) -> PageInfo:
    return PageInfo(
        has_next_page=query.before is not None if query.newest else page.has_more,
        has_previous_page=page.has_more if query.newest else query.after is not None,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )
