"""Portfolios: imported from files, removed, and read."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from uuid import uuid4

from domain.clock import Clock
from domain.errors import InvalidArgument, InvalidPortfolio, PortfolioNotFound, VersionConflict
from domain.onboarding import OnboardingJob
from domain.portfolio import Holding, Portfolio, imported, valued
from domain.portfolio_csv import Lot, ParsedFile, RowError, export, parse
from domain.ports import Database, UnitOfWork
from domain.services.queueing import OnboardingQueue
from domain.services.valuing import checked, market
from domain.symbols import Symbol, SymbolStatus

LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Imported:
    """`pending` are the portfolio's tickers that are not ready yet, `jobs` the onboardings of those that do not wait for a
    place; `rejected` are the rows that were left out."""

    portfolio: Portfolio
    pending: list[str]
    jobs: list[OnboardingJob]
    rejected: tuple[RowError, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a file holds, and which of its tickers are tracked."""

    lots: tuple[Lot, ...]
    errors: tuple[RowError, ...]
    known: list[str]
    unknown: list[str]


class Portfolios:
    def __init__(self, database: Database, queue: OnboardingQueue, clock: Clock) -> None:
        self._database = database
        self._queue = queue
        self._clock = clock

    # ── import

    async def check(self, name: str, csv: str) -> Checked:
        """What an import would say to the file, whatever portfolio there is; writes nothing. Raises InvalidArgument."""
        portfolio_name(name)
        parsed = await self._parsed(csv)
        tickers = _tickers(parsed.lots)
        async with self._database.read() as unit:
            statuses = await unit.symbols.statuses(tickers)
        tracked = {ticker for ticker, status in statuses.items() if status is not SymbolStatus.RETIRED}
        known = [ticker for ticker in tickers if ticker in tracked]
        return Checked(parsed.lots, parsed.errors, known, [ticker for ticker in tickers if ticker not in tracked])

    async def import_(
        self,
        name: str,
        csv: str,
        *,
        accept_valid_rows: bool = False,
        requested_by: str | None = None,
        expected_version: int | None = None,
    ) -> Imported:
        """A new portfolio, or the one of that name with the file's lots in place of its own, all or nothing; the symbols that
        are not ready are queued. The same lots again change nothing, whatever version is expected. Raises InvalidArgument,
        InvalidPortfolio and VersionConflict."""
        name = portfolio_name(name)
        parsed = await self._parsed(csv)
        if not parsed.lots or (parsed.errors and not accept_valid_rows):
            raise InvalidPortfolio(parsed.errors)
        digest = await asyncio.to_thread(_digest, parsed.lots)
        holdings = imported(parsed.lots, self._clock.now().date())
        async with self._database.write() as unit:
            await unit.jobs.lock_queue()
            await unit.portfolios.keep_prices_out()
            known = await unit.portfolios.named(name)
            if known is not None and await _holds(unit, known, digest):
                return await self._answer(unit, known, parsed)
            if known is not None:
                known.expect(expected_version)
                if parsed.errors:
                    raise InvalidPortfolio(parsed.errors)
            elif expected_version:
                raise VersionConflict(f"The portfolio {name!r}", expected_version, 0, "is not there yet")
            portfolio = await self._put(unit, known or self._new(name), digest, holdings)
            jobs = await self._queued(unit, portfolio, _tickers(parsed.lots), requested_by)
            answer = await self._answer(unit, portfolio, parsed)
            await unit.events.append(*self._queue.steps(jobs))
            return answer

    async def _parsed(self, csv: str) -> ParsedFile:
        parsed = await asyncio.to_thread(parse, csv)
        today = self._clock.now().date()
        early = [error for lot in parsed.lots for error in _in_the_future(lot, today)]
        lines = {error.line for error in early}
        lots = tuple(lot for lot in parsed.lots if lot.line not in lines)
        return ParsedFile(lots, tuple(sorted([*parsed.errors, *early], key=lambda error: error.line)))

    def _new(self, name: str) -> Portfolio:
        return Portfolio(uuid4().hex, name, "", self._clock.now(), version=0)

    async def _put(self, unit: UnitOfWork, portfolio: Portfolio, digest: str, given: Sequence[Holding]) -> Portfolio:
        at = await market(unit, list({lot.ticker for lot in given}), given[0].shares_as_of)
        holdings = valued(await checked(unit, given, at), at.prices)
        put = replace(portfolio, digest=digest).with_other_lots().with_totals_of(holdings)
        await unit.portfolios.put(put, holdings)
        return put

    async def _queued(
        self, unit: UnitOfWork, portfolio: Portfolio, tickers: Sequence[str], requested_by: str | None
    ) -> list[OnboardingJob]:
        """The jobs that are new; those of tickers that the file no longer has are among them where nobody else waits."""
        kept = set(tickers)
        left_out = [ticker for ticker, _ in await unit.jobs.waiting() if ticker not in kept]
        left = await self._queue.dismiss(unit, portfolio.id, left_out, "the portfolio that waited for it no longer has it")
        return left + await self._queue.enter_for(unit, portfolio.id, tickers, requested_by)

    async def _answer(self, unit: UnitOfWork, portfolio: Portfolio, parsed: ParsedFile) -> Imported:
        pending = (await unit.portfolios.pending([portfolio.id])).get(portfolio.id, [])
        return Imported(portfolio, pending, await self._queue.under_way(unit, pending), parsed.errors)

    # ── remove

    async def remove(self, portfolio_id: str, version: int) -> Portfolio:
        """Deletes a portfolio, and what waits for it alone. Raises PortfolioNotFound and VersionConflict."""
        async with self._database.write() as unit:
            await unit.jobs.lock_queue()
            portfolio = await unit.portfolios.lock(portfolio_id)
            if portfolio is None:
                raise PortfolioNotFound(portfolio_id)
            portfolio.expect(version)
            await unit.portfolios.delete(portfolio_id)
            waiting = [ticker for ticker, _ in await unit.jobs.waiting()]
            left = await self._queue.dismiss(unit, portfolio_id, waiting, "the portfolio that waited for it was removed")
            await unit.events.append(*self._queue.steps(left))
            return portfolio

    # ── queries

    async def listed(self, first: int) -> list[Portfolio]:
        """By name."""
        async with self._database.read() as unit:
            return await unit.portfolios.listed(first)

    async def get(self, portfolio_id: str) -> Portfolio | None:
        async with self._database.read() as unit:
            return await unit.portfolios.get(portfolio_id)

    async def named(self, name: str) -> Portfolio:
        """Raises PortfolioNotFound."""
        async with self._database.read() as unit:
            found = await unit.portfolios.named(name)
        if found is None:
            raise PortfolioNotFound(name)
        return found

    async def holdings(self, portfolio_ids: Sequence[str]) -> Mapping[str, list[Holding]]:
        """In the order of the file."""
        async with self._database.read() as unit:
            return await unit.portfolios.holdings(portfolio_ids)

    async def tickers(self, portfolio_id: str) -> list[str]:
        """Of its lots, each once, in the order of the file. Raises PortfolioNotFound."""
        async with self._database.read() as unit:
            if await unit.portfolios.get(portfolio_id) is None:
                raise PortfolioNotFound(portfolio_id)
            holdings = (await unit.portfolios.holdings([portfolio_id])).get(portfolio_id, [])
        return list(dict.fromkeys(holding.ticker for holding in holdings))

    async def pending(self, portfolio_ids: Sequence[str]) -> Mapping[str, list[str]]:
        """The tickers of each that are queued, wait or are under way."""
        async with self._database.read() as unit:
            return await unit.portfolios.pending(portfolio_ids)

    async def counted(self, portfolio_ids: Sequence[str]) -> Mapping[str, list[Symbol]]:
        """The symbols whose prices each one's snapshot counts."""
        async with self._database.read() as unit:
            return await unit.portfolios.counted(portfolio_ids)

    async def exported(self, name: str) -> str:
        """The file that imports again as the same portfolio. Raises PortfolioNotFound."""
        async with self._database.read() as unit:
            found = await unit.portfolios.named(name)
            if found is None:
                raise PortfolioNotFound(name)
            holdings = (await unit.portfolios.holdings([found.id]))[found.id]
        return export(holding.as_lot() for holding in holdings)


def portfolio_name(text: str) -> str:
    """Without spaces around it. Raises InvalidArgument."""
    name = text.strip()
    if not 0 < len(name) <= LONGEST_NAME:
        raise InvalidArgument("name", f"1 to {LONGEST_NAME} characters long", f"one of {len(name):,} characters")
    return name


def _tickers(lots: Sequence[Lot]) -> list[str]:
    return list(dict.fromkeys(lot.ticker for lot in lots))


def _digest(lots: Sequence[Lot]) -> str:
    """The same for every spelling of the same lots."""
    return hashlib.sha256(export(lots).encode()).hexdigest()


async def _holds(unit: UnitOfWork, portfolio: Portfolio, digest: str) -> bool:
    """Whether these are its lots: as they were imported, or, after a split, as they are exported."""
    if portfolio.digest == digest:
        return True
    holdings = (await unit.portfolios.holdings([portfolio.id]))[portfolio.id]
    return _digest([holding.as_lot() for holding in holdings]) == digest


def _in_the_future(lot: Lot, today: date) -> list[RowError]:
    return [
        RowError(
            lot.line,
            column,
            day.isoformat(),
            "DATE_IN_THE_FUTURE",
            f"The {column} is later than today, {today}.",
            "Leave out what has not happened yet.",
        )
        for column, day in (("entry date", lot.entry_date), ("exit date", lot.exit_date))
        if day is not None and day > today
    ]
