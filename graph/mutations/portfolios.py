"""Importing portfolios, and removing them."""

from typing import Annotated, Any

import strawberry

from domain import errors
from domain.services.portfolios import Checked, Imported
from graph.context import Context, Info
from graph.mutations.onboarding import checked_requester
from graph.problems import InvalidPortfolio, PortfolioNotFound, QueueFull, VersionConflict
from graph.scalars import optional
from graph.types.node import global_id, read_global_id
from graph.types.onboarding import OnboardingJob
from graph.types.portfolio import ImportedRow, Portfolio, RowError

UNSET: Any = strawberry.UNSET


@strawberry.input
class ImportPortfolioInput:
    name: str
    csv: str = strawberry.field(
        description="The file's text, at most 1 MiB, with a header row: symbol, quantity, entry price, optional entry date."
    )
    dry_run: bool = strawberry.field(
        default=False, description="Check and report, write nothing: always answers PortfolioChecked."
    )
    accept_valid_rows: bool = strawberry.field(
        default=False,
        description=(
            "Import the good rows and report the bad; false refuses the whole file. Not when replacing: a portfolio is "
            "replaced by a whole file."
        ),
    )
    requested_by: str | None = UNSET
    expected_version: int | None = strawberry.field(
        default=UNSET, description="Required to replace a portfolio by a different file."
    )


@strawberry.type
class PortfolioImported:
    portfolio: Portfolio
    pending_tickers: list[str]
    jobs: list[OnboardingJob] = strawberry.field(
        description="The onboardings of pending tickers that have a place in the queue."
    )
    rejected: list[RowError]

    @classmethod
    def from_domain(cls, done: Imported, context: Context) -> "PortfolioImported":
        return cls(
            portfolio=Portfolio.from_domain(done.portfolio, context.read_now()),
            pending_tickers=done.pending,
            jobs=[OnboardingJob.from_domain(job) for job in done.jobs],
            rejected=[RowError.from_domain(error) for error in done.rejected],
        )


@strawberry.type
class PortfolioChecked:
    rows: list[ImportedRow]
    errors: list[RowError]
    known_tickers: list[str]
    unknown_tickers: list[str]

    @classmethod
    def from_domain(cls, checked: Checked) -> "PortfolioChecked":
        return cls(
            rows=[ImportedRow.from_domain(lot) for lot in checked.lots],
            errors=[RowError.from_domain(error) for error in checked.errors],
            known_tickers=checked.known,
            unknown_tickers=checked.unknown,
        )


@strawberry.type
class PortfolioRemoved:
    portfolio_id: strawberry.ID
    name: str


ImportPortfolioResult = Annotated[
    PortfolioImported | PortfolioChecked | InvalidPortfolio | QueueFull | VersionConflict,
    strawberry.union("ImportPortfolioResult"),
]
RemovePortfolioResult = Annotated[
    PortfolioRemoved | PortfolioNotFound | VersionConflict, strawberry.union("RemovePortfolioResult")
]


@strawberry.type
class PortfolioMutations:
    @strawberry.mutation(
        description=(
            "A portfolio is known by its name: importing under a known name replaces its positions by the file's. The same "
            "file again changes nothing, whatever expectedVersion says."
        )
    )
    async def import_portfolio(self, info: Info, input: ImportPortfolioInput) -> ImportPortfolioResult:
        portfolios = info.context.services.portfolios
        if input.dry_run:
            return PortfolioChecked.from_domain(await portfolios.check(input.name, input.csv))
        done = await portfolios.import_(
            input.name,
            input.csv,
            accept_valid_rows=input.accept_valid_rows,
            requested_by=checked_requester(optional(input.requested_by)),
            expected_version=optional(input.expected_version),
        )
        return PortfolioImported.from_domain(done, info.context)

    @strawberry.mutation(
        description="Delete a portfolio. Its symbols stay tracked; what waits for a place for it alone is cancelled."
    )
    async def remove_portfolio(self, info: Info, id: strawberry.ID, expected_version: int) -> RemovePortfolioResult:
        kind, key = read_global_id(id) or ("", "")
        try:
            removed = await info.context.services.portfolios.remove(key if kind == "Portfolio" else "", expected_version)
        except errors.PortfolioNotFound:
            raise errors.PortfolioNotFound(id) from None  # by the id that was asked for
        return PortfolioRemoved(portfolio_id=global_id("Portfolio", removed.id), name=removed.name)
