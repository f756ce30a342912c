"""Expected refusals as union members: one table from the domain's errors to the types of the contract."""

from collections.abc import Callable
from typing import Any

import strawberry
from strawberry.types.field import StrawberryField

from domain import errors
from graph.types.node import global_id
from graph.types.onboarding import OnboardingJob
from graph.types.portfolio import RowError
from graph.types.symbol import RefreshJob


@strawberry.interface(
    description=("Every expected refusal is a union member that implements this; unexpected faults are GraphQL errors, masked.")
)
class Problem:
    message: str = strawberry.field(description="One sentence for a person.")
    code: str = strawberry.field(description="Stable, machine-readable: SYMBOL_NOT_FOUND, VERSION_CONFLICT, …")


@strawberry.type
class SymbolNotFound(Problem):
    ticker: str


@strawberry.type
class InvalidTicker(Problem):
    ticker: str
    suggestions: list[str]


@strawberry.type(description="expectedVersion is null when none was given.")
class VersionConflict(Problem):
    expected_version: int | None
    current_version: int


@strawberry.type
class AlreadyRefreshing(Problem):
    refresh: RefreshJob


@strawberry.type
class NoData(Problem):
    ticker: str


@strawberry.type
class ProviderUnavailable(Problem):
    provider: str
    retry_after_seconds: int | None


@strawberry.type
class QueueFull(Problem):
    depth: int
    max_depth: int
    retry_after_seconds: int


@strawberry.type
class InvalidTickers(Problem):
    tickers: list[str]


@strawberry.type
class JobNotFound(Problem):
    job_id: strawberry.ID


@strawberry.type
class JobNotRetryable(Problem):
    job: OnboardingJob


@strawberry.type
class JobNotCancellable(Problem):
    job: OnboardingJob


@strawberry.type
class AlreadyBackfilling(Problem):
    ticker: str


@strawberry.type
class InvalidRange(Problem):
    pass


@strawberry.type
class PortfolioNotFound(Problem):
    portfolio_id: strawberry.ID


@strawberry.type
class InvalidPortfolio(Problem):
    errors: list[RowError]


@strawberry.type
class SessionNotRunning(Problem):
    pass


@strawberry.type
class InvalidSession(Problem):
    field: str | None = strawberry.field(description="The argument that is wrong; null when it is the moment.")


class _Answer:
    """Turns one kind of refusal into its union member (Strawberry's ExceptionHandler protocol)."""

    def __init__(self, refusal: type[errors.Refusal], problem: type[Problem], data: Callable[[Any], dict[str, Any]]) -> None:
        self.exception_type = refusal
        self.error_type = problem
        self._data = data

    def handle(self, exception: errors.Refusal, *, field: StrawberryField, info: strawberry.Info) -> Any:
        return self.error_type(message=exception.message, code=exception.code, **self._data(exception))


ANSWERS = (
    _Answer(errors.SymbolNotFound, SymbolNotFound, lambda e: {"ticker": e.ticker}),
    _Answer(errors.InvalidTicker, InvalidTicker, lambda e: {"ticker": e.ticker, "suggestions": list(e.suggestions)}),
    _Answer(
        errors.VersionConflict,
        VersionConflict,
        lambda e: {"expected_version": e.expected, "current_version": e.current},
    ),
    _Answer(errors.AlreadyRefreshing, AlreadyRefreshing, lambda e: {"refresh": RefreshJob.from_domain(e.refresh)}),
    _Answer(errors.NoData, NoData, lambda e: {"ticker": e.ticker}),
    _Answer(
        errors.ProviderUnavailable,
        ProviderUnavailable,
        lambda e: {"provider": e.provider, "retry_after_seconds": e.retry_after_seconds},
    ),
    _Answer(
        errors.QueueFull,
        QueueFull,
        lambda e: {"depth": e.depth, "max_depth": e.max_depth, "retry_after_seconds": e.retry_after_seconds},
    ),
    _Answer(errors.InvalidTickers, InvalidTickers, lambda e: {"tickers": e.tickers}),
    _Answer(errors.JobNotFound, JobNotFound, lambda e: {"job_id": global_id("OnboardingJob", e.job_id)}),
    _Answer(errors.JobNotRetryable, JobNotRetryable, lambda e: {"job": OnboardingJob.from_domain(e.job)}),
    _Answer(errors.JobNotCancellable, JobNotCancellable, lambda e: {"job": OnboardingJob.from_domain(e.job)}),
    _Answer(errors.AlreadyBackfilling, AlreadyBackfilling, lambda e: {"ticker": e.ticker}),
    _Answer(errors.InvalidRange, InvalidRange, lambda e: {}),
    _Answer(errors.PortfolioNotFound, PortfolioNotFound, lambda e: {"portfolio_id": e.portfolio}),
    _Answer(errors.SessionNotRunning, SessionNotRunning, lambda e: {}),
    _Answer(errors.InvalidSession, InvalidSession, lambda e: {"field": e.field}),
    _Answer(errors.InvalidPortfolio, InvalidPortfolio, lambda e: {"errors": [RowError.from_domain(each) for each in e.errors]}),
)
