"""What lots are worth: the prices and splits that are held, applied to them within the transaction that changes either."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from domain.bars import ActionKind, Bar, CorporateAction, split_adjusted
from domain.portfolio import Holding, Portfolio, Price, Split, noted, split, valued
from domain.ports import UnitOfWork


@dataclass(frozen=True, slots=True)
class Market:
    """Prices in the shares of one day, and the splits that had taken effect by then, oldest first."""

    prices: Mapping[str, Price]
    splits: Mapping[str, Sequence[Split]]

    def brought_up(self, holding: Holding) -> Holding:
        """In the shares of the day."""
        for each in self.splits.get(holding.ticker, ()):
            holding = split(holding, each.ratio, each.ex_date)
        return holding


async def market(unit: UnitOfWork, tickers: Sequence[str], today: date) -> Market:
    """Of those of the tickers that are known."""
    currencies = await unit.symbols.currencies(tickers)
    actions = await unit.bars.actions(list(currencies))
    newest = await unit.bars.newest_final(list(currencies))
    return Market(
        {
            ticker: _price(currency, newest.get(ticker), actions.get(ticker, ()), today)
            for ticker, currency in currencies.items()
        },
        {ticker: _splits(given, today) for ticker, given in actions.items()},
    )


async def checked(unit: UnitOfWork, lots: Sequence[Holding], at: Market) -> list[Holding]:
    """Lots that have no price yet, with what there is to check about them."""
    unsure = [lot for lot in lots if lot.entry_date and at.splits.get(lot.ticker)]
    days = [lot.entry_date for lot in unsure if lot.entry_date]
    bars = await unit.bars.daily_between(sorted({lot.ticker for lot in unsure}), min(days), max(days)) if days else []
    traded = {(bar.ticker, bar.day): bar for bar in bars}
    found = [(lot, traded.get((lot.ticker, lot.entry_date)) if lot.entry_date else None) for lot in lots]
    return [noted(lot, bar, at.splits.get(lot.ticker, ())) if bar is not None else lot for lot, bar in found]


async def revalue(unit: UnitOfWork, ticker: str, today: date) -> int:
    """Brings the open lots of a ticker up to the bars and splits that are held of it, with its symbol locked, and makes the
    snapshots anew. How many portfolios have really changed."""
    holders = await unit.portfolios.lock_holders(ticker)
    if not holders:
        return 0
    at = await market(unit, [ticker], today)
    held = await unit.portfolios.holdings([portfolio.id for portfolio in holders])
    changed = [
        (portfolio, lots, news)
        for portfolio in holders
        for lots in [held[portfolio.id]]
        for news in [await _news(unit, [lot for lot in lots if lot.ticker == ticker], at)]
        if news
    ]
    await unit.portfolios.revalue([(_with(portfolio, lots, news), news) for portfolio, lots, news in changed])
    return len(changed)


async def _news(unit: UnitOfWork, lots: Sequence[Holding], at: Market) -> list[Holding]:
    """Those that have changed."""
    first = {lot.place: lot for lot in await checked(unit, [lot for lot in lots if lot.last_price is None], at)}
    now = valued([at.brought_up(first.get(lot.place, lot)) for lot in lots], at.prices)
    return [after for before, after in zip(lots, now, strict=True) if after != before]


def _with(portfolio: Portfolio, lots: Sequence[Holding], news: Sequence[Holding]) -> Portfolio:
    by_place = {lot.place: lot for lot in lots}
    is_split = any(lot.shares_as_of != by_place[lot.place].shares_as_of for lot in news)
    after = portfolio.with_totals_of(list((by_place | {lot.place: lot for lot in news}).values()))
    return after.with_other_lots() if is_split else after


def _price(currency: str, newest: Bar | None, actions: Iterable[CorporateAction], today: date) -> Price:
    if newest is None:
        return Price(currency)
    (bar,) = split_adjusted([newest], actions, today)
    return Price(currency, bar.close, bar.day)


def _splits(actions: Iterable[CorporateAction], today: date) -> list[Split]:
    return [Split(each.ex_date, each.value) for each in actions if each.kind is ActionKind.SPLIT and each.ex_date <= today]
