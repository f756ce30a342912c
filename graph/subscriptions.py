"""What can be followed."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any

import strawberry

from domain.errors import PortfolioNotFound
from domain.events import LoggedChange, LoggedStep, Position
from domain.tickers import normalise
from graph.context import Info, Reading
from graph.scalars import optional
from graph.types.bar import Bar
from graph.types.enums import Interval, SymbolChangeKind
from graph.types.node import read_global_id
from graph.types.onboarding import OnboardingJob
from graph.types.session import SessionActivation
from graph.types.symbol import Symbol

UNSET: Any = strawberry.UNSET


@strawberry.type(description="Every event, also those that leave version alone. symbol is as it is at delivery.")
class SymbolChange:
    cursor: Position
    at: datetime
    kind: SymbolChangeKind
    symbol: Symbol
    detail: str | None = strawberry.field(description="Why, for a person, where there is more to say than the kind.")

    @classmethod
    def from_domain(cls, change: LoggedChange, reading: Reading) -> "SymbolChange":
        return cls(
            cursor=change.position,
            at=change.event.occurred_at,
            kind=change.event.kind,
            symbol=Symbol.from_domain(change.symbol, reading),
            detail=change.event.detail,
        )


async def _followed(info: Info, tickers: list[str] | None, portfolio_id: str | None) -> list[str] | None:
    """Those of the tickers that the portfolio holds, if both are given; None: all there are. Raises PortfolioNotFound."""
    asked = list(dict.fromkeys(map(normalise, tickers))) if tickers is not None else None
    if portfolio_id is None:
        return asked
    kind, key = read_global_id(portfolio_id) or ("", "")
    if kind != "Portfolio":
        raise PortfolioNotFound(portfolio_id)
    held = await info.context.services.portfolios.tickers(key)
    return held if asked is None else [ticker for ticker in asked if ticker in held]


@strawberry.type(description="job is as of the event.")
class OnboardingProgress:
    cursor: Position
    at: datetime
    job: OnboardingJob

    @classmethod
    def from_domain(cls, step: LoggedStep) -> "OnboardingProgress":
        return cls(cursor=step.position, at=step.event.occurred_at, job=OnboardingJob.from_domain(step.event.job))


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description=(
            "Of these tickers, of this portfolio's, or of all: first the newest job of each ticker as it stands, finished ones "
            "too (of all: the active ones), then every step; a ticker waiting for a place counts as followed. Ends by itself "
            "when every job it follows has ended, unless it follows all. Cut off within the first ones, start over. With "
            "`after`, as symbolChanged."
        )
    )
    async def onboarding_progress(
        self,
        info: Info,
        tickers: list[str] | None = UNSET,
        portfolio_id: Annotated[strawberry.ID | None, strawberry.argument(name="portfolioId")] = UNSET,
        after: Position | None = UNSET,
    ) -> AsyncGenerator[OnboardingProgress, None]:
        wanted = await _followed(info, optional(tickers), optional(portfolio_id))
        async with aclosing(info.context.services.onboarding.follow(wanted, optional(after))) as steps:
            async for step in steps:
                yield OnboardingProgress.from_domain(step)

    @strawberry.subscription(
        description=(
            "Changes from now on: read `symbols { cursor }` first and pass it to miss nothing. With `after`: every event later "
            "than that cursor, in order, none lost, none twice in a stream, then live. A cursor that is older than what is "
            "retained, beyond the log's end or of another log ends the stream with an error whose extensions.code is "
            "CURSOR_EXPIRED."
        )
    )
    async def symbol_changed(
        self, info: Info, tickers: list[str] | None = UNSET, after: Position | None = UNSET
    ) -> AsyncGenerator[SymbolChange, None]:
        asked = optional(tickers)
        wanted = {normalise(ticker) for ticker in asked} if asked is not None else None
        async with aclosing(info.context.services.feed.follow(optional(after))) as changes:
            async for change in changes:
                if isinstance(change, LoggedChange) and (wanted is None or change.event.ticker in wanted):
                    yield SymbolChange.from_domain(change, info.context.read_now())

    @strawberry.subscription(
        description=(
            "First the present state, then an event for every change of epoch; and a word under the same epoch when the "
            "session's leader is heard no more, or again. With `after`, as symbolChanged."
        )
    )
    async def session_activation(self, info: Info, after: Position | None = UNSET) -> AsyncGenerator[SessionActivation, None]:
        async with aclosing(info.context.services.sessions.follow(optional(after))) as moves:
            async for move in moves:
                yield SessionActivation.from_domain(move)

    @strawberry.subscription(
        description=(
            "The session's bars as they complete, through the gate. May be asked before a session runs or a ticker joins: "
            "silent until then, over restarts of the session too. What was withheld is never sent later: read session.bars. "
            "Live only: no cursor."
        )
    )
    async def bars(self, info: Info, tickers: list[str], interval: Interval = Interval.ONE_MINUTE) -> AsyncGenerator[Bar, None]:
        wanted = {normalise(ticker) for ticker in tickers}
        async with aclosing(info.context.services.bar_feed.follow(wanted, interval)) as bars:
            async for bar in bars:
                yield Bar.from_domain(bar)
