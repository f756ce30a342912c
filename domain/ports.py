"""What the services need of the world: a store, a market data provider, an event feed."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from domain.bars import Bar, CorporateAction, History, Interval
from domain.errors import RefreshInFlight
from domain.events import Event, Logged, Position
from domain.gates import Gate
from domain.levels import PriceLevel
from domain.quotes import Quote
from domain.staleness import AttemptOutcome
from domain.symbols import Profile, Symbol, SymbolStatus
from domain.tickers import AssetClass


class MarketDataProvider(Protocol):
    """A source of market data. Every method may raise ProviderUnavailable."""

    @property
    def name(self) -> str: ...

    @property
    def asset_classes(self) -> frozenset[AssetClass]:
        """What it serves."""
        ...

    async def profile(self, ticker: str) -> Profile:
        """Raises SymbolNotFound when the provider does not know the ticker."""
        ...

    async def search(self, text: str, first: int) -> list[Profile]:
        """The best matches by ticker or name, best first."""
        ...

    async def history(self, symbol: Symbol, interval: Interval, start: date, until: datetime) -> History:
        """The bars of the trading days from `start` on that are over at `until`, with the actions known by then. Raises
        SymbolNotFound when the provider does not know the ticker."""
        ...

    async def quotes(self, tickers: Sequence[str]) -> list[Quote]:
        """The newest prices, in the order asked for; what the provider does not know is not among them."""
        ...


@dataclass(frozen=True, slots=True)
class SymbolQuery:
    """Which symbols, ordered by ticker. Without a status all but the retired. `updated_before` is the instant that divides
    stale from fresh: needed when `is_stale` is asked for."""

    tickers: Sequence[str] | None = None
    asset_class: AssetClass | None = None
    status: SymbolStatus | None = None
    is_stale: bool | None = None
    updated_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class SymbolPage:
    """`position` is of the log: all that happened up to there is in the symbols. Who follows from there misses nothing."""

    symbols: list[Symbol]
    has_next: bool
    total: int
    position: Position


@dataclass(frozen=True, slots=True)
class BarQuery:
    """Bars of [start, end) by open time, over at `until`; after and before exclude the bar that opens then. With
    `newest` the newest `limit` of them, else the oldest; both come oldest first."""

    interval: Interval
    limit: int
    until: datetime
    newest: bool = False
    start: datetime | None = None
    end: datetime | None = None
    after: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class BarPage:
    """`has_more` tells of bars beyond the limit: later ones, or earlier ones when the newest were asked for."""

    bars: list[Bar]
    has_more: bool


class SymbolStore(Protocol):
    async def get(self, ticker: str) -> Symbol | None: ...

    async def lock(self, ticker: str) -> Symbol | None:
        """As get, and nobody else can write the symbol until the transaction ends."""
        ...

    async def listings(self) -> set[tuple[AssetClass, str | None]]:
        """The asset class and exchange of every symbol known, each pair once: what has a calendar."""
        ...

    async def add(self, symbol: Symbol) -> bool:
        """False, and nothing written, when the ticker is known already."""
        ...

    async def save(self, symbol: Symbol, expected_version: int) -> None:
        """Compare and swap: raises VersionConflict when the stored version is not the expected one."""
        ...

    async def note_attempt(self, ticker: str, at: datetime, outcome: AttemptOutcome) -> None:
        """The last attempt's outcome; leaves the version alone."""
        ...

    async def replace_levels(self, ticker: str, levels: Sequence[PriceLevel]) -> None: ...

    async def levels(self, tickers: Sequence[str]) -> Mapping[str, list[PriceLevel]]:
        """Strongest first."""
        ...


class SymbolCatalogue(Protocol):
    """The symbols to be read outside of a transaction, without a statement each time: with every change that this process has
    made, and those of others after a second at most. Raises StoreUnavailable rather than serve older ones."""

    async def get(self, ticker: str) -> Symbol | None: ...

    async def page(self, query: SymbolQuery, first: int, after: str | None) -> SymbolPage:
        """Those behind the ticker `after`; `total` counts the whole query's."""
        ...


class BarStore(Protocol):
    async def daily_since(self, ticker: str, start: date) -> list[Bar]:
        """The daily bars held of a date and later, as given, oldest first."""
        ...

    async def newest_daily(self, ticker: str) -> Bar | None: ...

    async def upsert(self, bars: Sequence[Bar]) -> None: ...

    async def pages(self, tickers: Sequence[str], query: BarQuery) -> Mapping[str, BarPage]:
        """A page for each ticker, prices as given, in a number of statements that does not depend on how many."""
        ...

    async def actions(self, tickers: Sequence[str]) -> Mapping[str, list[CorporateAction]]: ...

    async def upsert_actions(self, actions: Sequence[CorporateAction]) -> None: ...


class RefreshLeases(Protocol):
    """One refresh in flight per symbol. Leases run on the database's own time, never on the market clock."""

    async def take(self, refresh: RefreshInFlight, token: str) -> RefreshInFlight | None:
        """None when taken; else the refresh that holds it."""
        ...

    async def release(self, ticker: str, token: str) -> bool:
        """False when the lease is no longer the token's: its holder may write nothing more."""
        ...

    async def end_lapsed(self, ticker: str | None = None) -> list[RefreshInFlight]:
        """Ends the leases that have lapsed, of one symbol or of all, and says whose they were: to one caller only."""
        ...

    async def in_flight(self, tickers: Sequence[str]) -> Mapping[str, RefreshInFlight]: ...


class ProviderGates(Protocol):
    """One gate a provider, the same for all processes. With it comes the real time to judge it by: the database's own."""

    async def read(self, providers: Sequence[str]) -> tuple[Mapping[str, Gate], datetime]:
        """Those of all that are asked for, also of such as nothing is remembered of."""
        ...

    async def lock(self, provider: str) -> tuple[Gate, datetime]:
        """Nobody else can write the gate until the transaction ends."""
        ...

    async def save(self, gate: Gate) -> None:
        """Of a gate that is locked."""
        ...


class EventLog(Protocol):
    async def append(self, *events: Event) -> None:
        """The last writes of their transaction: from here to the commit no other transaction can append."""
        ...

    async def head(self) -> Position: ...

    async def after(self, position: Position, limit: int) -> list[Logged]:
        """The events behind a position, in commit order. Raises CursorExpired when some of them are gone, or the position is
        of another log or beyond the end."""
        ...

    async def prune(self, keep_days: int) -> int:
        """Forgets the events that were recorded more than so many real days ago; returns how many."""
        ...


class UnitOfWork(Protocol):
    """One transaction. Locks are taken in this order, so that no two transactions wait for each other: lease, symbol, its
    bars and levels, event log. A gate is locked by a transaction that locks nothing else."""

    @property
    def symbols(self) -> SymbolStore: ...
    @property
    def bars(self) -> BarStore: ...
    @property
    def leases(self) -> RefreshLeases: ...
    @property
    def gates(self) -> ProviderGates: ...
    @property
    def events(self) -> EventLog: ...


class Database(Protocol):
    @property
    def kind(self) -> str:
        """sqlite or postgresql."""
        ...

    def read(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Raises StoreUnavailable, also from within the block."""
        ...

    def write(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Commits when the block ends, rolls back when it raises. Raises StoreUnavailable when nothing was changed, and
        ChangeInDoubt when that cannot be known."""
        ...


class EventFeed(Protocol):
    def follow(self, after: Position | None) -> AsyncGenerator[Logged, None]:
        """Every event behind `after` (None: from now on), once, in order, then live, for ever. Raises CursorExpired."""
        ...
