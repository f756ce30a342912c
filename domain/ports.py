"""What the services need of the world: a store, a market data provider, an event feed."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Protocol

from domain.backfill import Backfill, BackfillStatus, Priority
from domain.bars import Bar, CorporateAction, History, Interval
from domain.errors import RefreshInFlight
from domain.events import Event, Logged, Position
from domain.factors import Exposure
from domain.gaps import Absence, Mark
from domain.gates import Gate
from domain.held import HeldDays, Span
from domain.levels import PriceLevel
from domain.onboarding import JobStatus, OnboardingJob, OnboardingPhase
from domain.portfolio import Holding, Portfolio
from domain.quotes import Quote
from domain.revisions import Revision
from domain.session import TradingSession
from domain.staleness import AttemptOutcome
from domain.symbols import Profile, Symbol, SymbolStatus
from domain.tickers import AssetClass


@dataclass(frozen=True, slots=True)
class Reach:
    """Calendar days that one request may cover, and how many days back a provider goes; None: as many as there are."""

    days_at_once: int | None = None
    days_back: int | None = None


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
        """The bars of the trading days from `start` on that are over at `until`, oldest first, with the actions known by then
        and the number of bars that were refused because they cannot be. Raises SymbolNotFound when the provider does not know
        the ticker.

        A bar is not final before its trading day is over. A daily bar is then told only to who asks for the present, and only
        by a provider that says up to when it goes: from the day's open to that time, which is before the close, and never
        after `until`."""
        ...

    def reach(self, asset_class: AssetClass, interval: Interval) -> Reach | None:
        """What it accepts to be asked for of such bars of such symbols; None when it has none."""
        ...

    async def quotes(self, tickers: Sequence[str]) -> list[Quote]:
        """The newest prices, in the order asked for; what the provider does not know is not among them."""
        ...

    def live(self) -> "LiveFeed | None":
        """Its own stream; None when it has none and minutes have to be asked for."""
        ...


@dataclass(frozen=True, slots=True)
class Heard:
    """What a live feed tells: minute bars that are over, oldest first; empty: all is well and there is nothing new. `missed`
    are the tickers of which not all was heard, and since when: up to now nobody listened."""

    bars: tuple[Bar, ...] = ()
    missed: Mapping[str, datetime] = field(default_factory=dict)


class LiveFeed(Protocol):
    """Minute bars as they come, of the symbols that are watched. Reconnects by itself; what it tells, also nothing, says that
    it is alive: when it hears nothing it tells nothing."""

    @property
    def period_seconds(self) -> float:
        """How long it may be silent though all is well: its poll's period; 0 for one that is pushed to."""
        ...

    def watch(self, symbols: Sequence[Symbol]) -> None:
        """Exactly these from now on."""
        ...

    def heard(self) -> AsyncGenerator[Heard, None]:
        """For ever, to one listener; ends what it holds open when closed."""
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

    def reaches(self, instant: datetime) -> bool:
        """Whether a bar that opens then or later can be among them."""
        begins = max(bound for bound in (instant, self.start, self.after) if bound is not None)
        return begins < min(bound for bound in (self.until, self.end, self.before) if bound is not None)


@dataclass(frozen=True, slots=True)
class BarPage:
    """`has_more` tells of bars beyond the limit: later ones, or earlier ones when the newest were asked for. `is_withheld`: the
    session's gate left some out of the range; `epoch` is the session's, None outside one."""

    bars: list[Bar]
    has_more: bool
    is_withheld: bool = False
    epoch: int | None = None


class SymbolStore(Protocol):
    async def get(self, ticker: str) -> Symbol | None: ...

    async def lock(self, ticker: str) -> Symbol | None:
        """As get, and nobody else can write the symbol until the transaction ends."""
        ...

    async def several(self, tickers: Sequence[str]) -> Mapping[str, Symbol]:
        """Those of the tickers that are known."""
        ...

    async def statuses(self, tickers: Sequence[str]) -> Mapping[str, SymbolStatus]:
        """Of those of the tickers that are known."""
        ...

    async def currencies(self, tickers: Sequence[str]) -> Mapping[str, str]:
        """Of those of the tickers that are known."""
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

    async def tracked(self) -> Sequence[Symbol]:
        """All that are not retired, by ticker."""
        ...


class BarStore(Protocol):
    async def daily_since(self, ticker: str, start: date) -> list[Bar]:
        """The daily bars held of a date and later, as given, oldest first."""
        ...

    async def daily_between(self, tickers: Sequence[str], first: date, last: date) -> list[Bar]:
        """The daily bars of these days, as given."""
        ...

    async def newest_daily(self, ticker: str) -> Bar | None: ...

    async def newest_final(self, tickers: Sequence[str]) -> Mapping[str, Bar]:
        """The newest daily bar that is final, as given, of each ticker that has one."""
        ...

    async def upsert(self, bars: Sequence[Bar]) -> None: ...

    async def around(self, ticker: str, interval: Interval, start: datetime, until: datetime, beside: int) -> list[Bar]:
        """Those that open in [start, until), with so many of those before and after, as given, oldest first."""
        ...

    async def remove(self, ticker: str, interval: Interval, opens: Sequence[datetime]) -> None: ...

    async def drop(self, ticker: str) -> None:
        """All of a symbol, of every interval."""
        ...

    async def pages(self, tickers: Sequence[str], query: BarQuery) -> Mapping[str, BarPage]:
        """A page for each ticker, prices as given, in a number of statements that does not depend on how many."""
        ...

    async def closed_between(self, tickers: Sequence[str], interval: Interval, after: datetime, until: datetime) -> list[Bar]:
        """Those that closed in (after, until], by close and ticker."""
        ...

    async def opens_between(self, ticker: str, interval: Interval, start: int, until: int) -> list[int]:
        """When those open that do so in [start, until), in epoch seconds, in order."""
        ...

    async def first_open(self, ticker: str, interval: Interval) -> int | None:
        """When the oldest opens, in epoch seconds."""
        ...

    async def actions(self, tickers: Sequence[str]) -> Mapping[str, list[CorporateAction]]: ...

    async def upsert_actions(self, actions: Sequence[CorporateAction]) -> None: ...

    async def split_since_refreshed(self, today: date) -> list[str]:
        """The tickers with a split that took effect after the day of their last refresh, by `today`."""
        ...


class SessionBarStore(Protocol):
    """The longer bars that the session has made of its minutes."""

    async def upsert(self, bars: Sequence[Bar]) -> None: ...

    async def pages(self, tickers: Sequence[str], query: BarQuery) -> Mapping[str, BarPage]:
        """As BarStore's."""
        ...

    async def closed_between(self, tickers: Sequence[str], interval: Interval, after: datetime, until: datetime) -> list[Bar]:
        """As BarStore's."""
        ...

    async def drop(self, ticker: str) -> None:
        """As BarStore's."""
        ...

    async def clear(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StoredSession:
    """The session, and when its leader was heard last: `heard_at` is real time, and so long ago. `is_free` when its lease has
    lapsed."""

    session: TradingSession
    token: int
    heard_at: datetime
    silent_for: timedelta
    is_free: bool


class SessionStore(Protocol):
    """The one session; all is None before its first start. Its leader's lease runs on the database's own time."""

    async def read(self) -> StoredSession | None: ...

    async def lock(self, known: TradingSession | None = None) -> StoredSession | None:
        """As read, and nobody else can write it until the transaction ends. `known` is taken for it if it has the version."""
        ...

    async def save(self, session: TradingSession) -> None:
        """Of a session that is locked."""
        ...

    async def lead(self, token: int) -> None:
        """With the session locked: its leader is there, under this token."""
        ...

    async def offer(self) -> None:
        """With the session locked: it is new, and whoever comes first may lead it; who leads the one before may not."""
        ...

    async def resign(self, token: int) -> None:
        """Ends the lease at once, so that another process goes on."""
        ...


class RefreshLeases(Protocol):
    """One refresh in flight per symbol. Leases run on the database's own time, never on the market clock."""

    async def take(self, refresh: RefreshInFlight, token: str) -> RefreshInFlight | None:
        """None when taken; else the refresh that holds it."""
        ...

    async def hold(self, ticker: str, token: str) -> bool:
        """Keeps the lease locked until the transaction ends. False when it is no longer the token's: its holder may write
        nothing more."""
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


class ExposureStore(Protocol):
    async def replace(self, ticker: str, exposures: Sequence[Exposure]) -> None: ...

    async def of(self, tickers: Sequence[str]) -> Mapping[str, list[Exposure]]:
        """Of those of the tickers that were measured, in the order of the factors."""
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """A job taken up, and the token under which its worker may write."""

    job: OnboardingJob
    token: int


class JobStore(Protocol):
    """The onboarding queue. Its leases and waits run on the database's own time, never on the market clock.

    Jobs that are read come without an estimate; the pending ones with their position."""

    async def lock_queue(self) -> None:
        """Nobody else can queue, take up or cancel a job until the transaction ends; the first lock of its transaction."""
        ...

    async def add(self, jobs: Sequence[OnboardingJob]) -> None:
        """With the queue locked: at its end, in their order. Of tickers that have no active job."""
        ...

    async def claim(self, places: int, now: datetime) -> Claim | None:
        """With the queue locked: the job that is up next, if one of so many places is free, or one whose worker died."""
        ...

    async def hold(self, job_id: str, token: int) -> bool:
        """Prolongs the lease, and keeps the job locked until the transaction ends. False when it is no longer the token's: its
        worker may write nothing more."""
        ...

    async def save(self, job: OnboardingJob, due_in_seconds: float = 0) -> None:
        """Of a job that is locked, by `hold` or by the queue's lock. One that is not PROCESSING loses its lease; one that is
        PENDING is not taken up before so many seconds have passed."""
        ...

    async def give_back(self, job_id: str, token: int) -> None:
        """Ends the lease at once, so that another worker goes on with the job where it is."""
        ...

    async def is_up(self, places: int) -> bool:
        """Whether there may be something to claim, or somebody to let in."""
        ...

    async def get(self, job_id: str) -> OnboardingJob | None: ...

    async def lock(self, ticker: str) -> OnboardingJob | None:
        """The ticker's active job; nobody else can write it until the transaction ends."""
        ...

    async def newest(self, tickers: Sequence[str]) -> Mapping[str, OnboardingJob]:
        """The newest job of each ticker that ever had one."""
        ...

    async def listed(self, statuses: Collection[JobStatus], first: int) -> list[OnboardingJob]:
        """Those that are active in the order of the queue, then the ended ones, newest first."""
        ...

    async def depth(self) -> int:
        """How many are active."""
        ...

    async def counts(self) -> Mapping[JobStatus, int]:
        """How many there are, ended ones too."""
        ...

    async def wait_for_place(self, portfolio_id: str, tickers: Sequence[str], requested_by: str | None) -> None:
        """With the queue locked: tickers of a portfolio for which there is no place yet, in their order."""
        ...

    async def waiting(self, tickers: Sequence[str] | None = None) -> list[tuple[str, str | None]]:
        """The tickers that wait for a place, of all or of those given, each once, first come first, with who asked for it."""
        ...

    async def stop_waiting(self, tickers: Sequence[str], portfolio_id: str | None = None) -> None:
        """They wait no longer: for no portfolio, or for the one given."""
        ...

    async def measured(self) -> Mapping[OnboardingPhase, float]:
        """What each phase took of late, in seconds; empty until all have been measured."""
        ...

    async def prune(self, keep_days: int) -> int:
        """Forgets the jobs that ended more than so many real days ago; returns how many."""
        ...


class PortfolioStore(Protocol):
    async def keep_prices_out(self) -> None:
        """No lot is revalued until the transaction ends: prices read from here on cannot change unseen by it."""
        ...

    async def listed(self, first: int) -> list[Portfolio]:
        """By name."""
        ...

    async def get(self, portfolio_id: str) -> Portfolio | None: ...

    async def named(self, name: str) -> Portfolio | None: ...

    async def lock(self, portfolio_id: str) -> Portfolio | None:
        """As get, and nobody else can write it until the transaction ends."""
        ...

    async def lock_holders(self, ticker: str) -> list[Portfolio]:
        """Those that have an open lot of the ticker, locked by id. Waits for imports under way, and lets none begin until the
        transaction ends."""
        ...

    async def holdings(self, portfolio_ids: Sequence[str]) -> Mapping[str, list[Holding]]:
        """In the order of the file."""
        ...

    async def pending(self, portfolio_ids: Sequence[str]) -> Mapping[str, list[str]]:
        """The tickers of each whose onboarding is queued or under way, or that wait for a place; in the order of the file."""
        ...

    async def counted(self, portfolio_ids: Sequence[str]) -> Mapping[str, list[Symbol]]:
        """The symbols whose prices each one's snapshot counts."""
        ...

    async def put(self, portfolio: Portfolio, holdings: Sequence[Holding]) -> None:
        """The portfolio, with these lots in place of any it had."""
        ...

    async def revalue(self, changed: Sequence[tuple[Portfolio, Sequence[Holding]]]) -> None:
        """Portfolios that are locked, each with those of its lots that have changed."""
        ...

    async def delete(self, portfolio_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class BackfillClaim:
    """A backfill taken up, and the token under which its worker may write."""

    job: Backfill
    token: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A symbol whose history the schedule keeps filled."""

    ticker: str
    asset_class: AssetClass
    exchange: str | None
    priority: Priority


class BackfillStore(Protocol):
    """A backfill for each symbol. Its leases and waits run on the database's own time, never on the market clock."""

    async def lock(self, ticker: str) -> Backfill:
        """Of a symbol that is known, also one that never had any; nobody else can write it until the transaction ends."""
        ...

    async def of(self, tickers: Sequence[str]) -> Mapping[str, Backfill]:
        """Of those of the tickers that ever had one."""
        ...

    async def save(self, job: Backfill, due_in_seconds: float = 0) -> None:
        """Of one that is locked, by `lock` or by `hold`. One that is not IN_PROGRESS loses its lease; one that is PENDING is
        not taken up before so many seconds have passed."""
        ...

    async def claim(self, places: int, now: datetime) -> BackfillClaim | None:
        """With the jobs' queue locked, so that places are counted by one at a time: the one that is up next, if one of so many
        places is free, or one whose worker died."""
        ...

    async def is_up(self, places: int) -> bool:
        """Whether there may be something to claim."""
        ...

    async def hold(self, ticker: str, token: int) -> bool:
        """Prolongs the lease, and keeps the backfill locked until the transaction ends. False when it is no longer the token's:
        its worker may write nothing more."""
        ...

    async def give_back(self, ticker: str, token: int) -> None:
        """Ends the lease at once, so that another worker goes on with it."""
        ...

    async def counts(self) -> Mapping[BackfillStatus, int]: ...

    async def candidates(self) -> list[Candidate]:
        """The symbols that are ACTIVE or SUSPECT, by priority and then by ticker."""
        ...


class QualityStore(Protocol):
    """What is known of bars beside the bars themselves."""

    async def forget(self, ticker: str) -> None:
        """All that is known of bars that are gone; but not how they were revised."""
        ...

    async def add_revisions(self, revisions: Sequence[Revision]) -> None:
        """Of two of one value at the same instant it is one, from the first to the last."""
        ...

    async def revisions(self, tickers: Sequence[str], first: int) -> Mapping[str, list[Revision]]:
        """Newest first, so many of each."""
        ...

    async def absences(self, tickers: Sequence[str], interval: Interval) -> Mapping[str, list[Absence]]:
        """Also those that have expired, by day."""
        ...

    async def note_absences(self, noted: Sequence[Absence]) -> None:
        """In place of what was noted of the same ticker, interval, provider and first day."""
        ...

    async def forget_absences(self, ticker: str, interval: Interval, first: date, last: date) -> None:
        """Of these days: they have been asked for with success."""
        ...

    async def marks(self, tickers: Sequence[str], interval: Interval) -> Mapping[str, Mark]: ...

    async def set_mark(self, mark: Mark) -> None:
        """Neither of its instants goes back."""
        ...


class StatisticsStore(Protocol):
    """Which of the bars stored are held, and how many."""

    async def spans(self, tickers: Sequence[str], interval: Interval) -> Mapping[str, Span]:
        """Of those of the tickers that have such bars."""
        ...

    async def held(
        self, tickers: Sequence[str], interval: Interval, days: Collection[int] | None = None
    ) -> Mapping[str, HeldDays]:
        """Of those that have such bars; of bars shorter than a day on the UTC days given, or on all."""
        ...

    async def stale(self, interval: Interval) -> int:
        """Days whose bars were written and not counted since: each is counted by whoever asks for it."""
        ...

    async def settle(self, interval: Interval) -> int:
        """Counts some of these once and for all; returns how many. Those that are being written are left for later."""
        ...


class ScheduleStore(Protocol):
    async def lock(self, name: str) -> datetime | None:
        """When it ran last, market time; nobody else can run it until the transaction ends."""
        ...

    async def ran(self, name: str, at: datetime) -> None:
        """Of one that is locked."""
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
    """One transaction. Locks are taken in this order, so that no two transactions wait for each other: schedule, session,
    queue, job, backfills by ticker, refresh lease, symbols by ticker, their bars and levels, prices of portfolios (kept out by
    one import, or taken in by many), portfolios by id, event log. Whoever settles days of bars locks these alone, and waits for
    nobody. A gate is locked by a transaction that locks nothing else."""

    @property
    def symbols(self) -> SymbolStore: ...
    @property
    def bars(self) -> BarStore: ...
    @property
    def session(self) -> SessionStore: ...
    @property
    def session_bars(self) -> SessionBarStore: ...
    @property
    def leases(self) -> RefreshLeases: ...
    @property
    def gates(self) -> ProviderGates: ...
    @property
    def exposures(self) -> ExposureStore: ...
    @property
    def jobs(self) -> JobStore: ...
    @property
    def backfills(self) -> BackfillStore: ...
    @property
    def quality(self) -> QualityStore: ...
    @property
    def statistics(self) -> StatisticsStore: ...
    @property
    def schedules(self) -> ScheduleStore: ...
    @property
    def portfolios(self) -> PortfolioStore: ...
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

    def snapshot(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """As read, and all that is read is of one moment."""
        ...

    def write(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Commits when the block ends, rolls back when it raises. Raises StoreUnavailable when nothing was changed, and
        ChangeInDoubt when that cannot be known."""
        ...


class EventFeed(Protocol):
    def follow(self, after: Position | None) -> AsyncGenerator[Logged, None]:
        """Every event behind `after` (None: from now on), once, in order, then live, for ever. Raises CursorExpired."""
        ...
