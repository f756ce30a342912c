"""Asking for history."""

from datetime import date
from typing import Annotated, Any

import strawberry

from graph.context import Info
from graph.mutations.symbols import known
from graph.problems import AlreadyBackfilling, InvalidRange, SymbolNotFound
from graph.scalars import optional
from graph.types.enums import Interval
from graph.types.symbol import Symbol

UNSET: Any = strawberry.UNSET


@strawberry.input
class BackfillSymbolInput:
    ticker: str
    interval: Interval = strawberry.field(
        default=Interval.ONE_DAY, description="Of less than a day: the minutes, with all longer bars made of them."
    )
    first: date | None = strawberry.field(
        name="from", default=UNSET, description="The first day. Left out: as many days before the last as usual."
    )
    last: date | None = strawberry.field(name="to", default=UNSET, description="The last day, included. Left out: today.")


@strawberry.type
class BackfillStarted:
    symbol: Symbol


BackfillSymbolResult = Annotated[
    BackfillStarted | AlreadyBackfilling | SymbolNotFound | InvalidRange, strawberry.union("BackfillSymbolResult")
]


@strawberry.type
class BackfillMutations:
    @strawberry.mutation(
        description=(
            "Queue the filling of a symbol's history: of these days, what is missing. One at a time for a symbol; of one that "
            "is being onboarded: AlreadyBackfilling. symbolChanged tells when it starts and when it has succeeded."
        )
    )
    async def backfill_symbol(self, info: Info, input: BackfillSymbolInput) -> BackfillSymbolResult:
        symbol = await info.context.services.backfills.start(
            known(input.ticker), input.interval, optional(input.first), optional(input.last), "api"
        )
        return BackfillStarted(symbol=Symbol.from_domain(symbol, info.context.read_now()))
