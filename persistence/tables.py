"""The tables. A ticker is its symbol's key everywhere: it never changes and is never deleted."""

from datetime import date, datetime
from datetime import date as date_  # where a column has that name
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, Table, UniqueConstraint, false, text
from sqlmodel import Field, SQLModel

from domain.backfill import BackfillStatus
from domain.bars import ActionKind, Interval
from domain.errors import Trouble
from domain.factors import ExposureQuality, Factor
from domain.faults import Fault
from domain.gaps import GapCause
from domain.levels import Direction, LevelKind
from domain.onboarding import JobStatus, OnboardingPhase
from domain.staleness import AttemptOutcome
from domain.symbols import SymbolStatus
from domain.tickers import AssetClass
from persistence.types import Exact, FaultBits, Named, UtcDateTime, ticker_type

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


_BYTEWISE: Any = ticker_type()


def _ticker(*, key: bool) -> Any:
    return Field(sa_column=Column("ticker", ticker_type(), ForeignKey("symbols.ticker"), primary_key=key, nullable=False))


def _exact() -> Any:
    return Field(sa_type=Exact)


def _faults() -> Any:
    return Field(sa_type=FaultBits, nullable=True)


def _instant(*, nullable: bool = False, key: bool = False) -> Any:
    return Field(sa_type=UtcDateTime, nullable=nullable, primary_key=key)


class SymbolRow(SQLModel, table=True):
    __tablename__ = "symbols"
    __table_args__ = (
        CheckConstraint("version >= 1", name="version"),
        CheckConstraint("level_count >= 0", name="level_count"),
    )

    ticker: str = Field(sa_column=Column("ticker", ticker_type(), primary_key=True))
    name: str | None
    asset_class: AssetClass = Field(sa_column=Column("asset_class", Named(AssetClass), nullable=False))
    exchange: str | None
    currency: str
    status: SymbolStatus = Field(sa_column=Column("status", Named(SymbolStatus), nullable=False))
    direction: Direction = Field(sa_column=Column("direction", Named(Direction), nullable=False))
    version: int
    level_count: int
    last_price: Decimal | None = Field(sa_type=Exact, nullable=True)
    last_updated: datetime | None = _instant(nullable=True)
    as_of: datetime | None = _instant(nullable=True)
    last_attempt_at: datetime | None = _instant(nullable=True)
    last_outcome: AttemptOutcome | None = Field(sa_column=Column("last_outcome", Named(AttemptOutcome), nullable=True))


class LevelRow(SQLModel, table=True):
    """`place` orders a symbol's levels, strongest first."""

    __tablename__ = "price_levels"
    __table_args__ = (
        UniqueConstraint("ticker", "kind", "price"),
        CheckConstraint("strength >= 0 AND strength <= 1", name="strength"),
    )

    ticker: str = _ticker(key=True)
    place: int = Field(primary_key=True)
    kind: LevelKind = Field(sa_column=Column("kind", Named(LevelKind), nullable=False))
    price: Decimal = _exact()
    price_upper: Decimal | None = Field(sa_type=Exact, nullable=True)
    strength: float
    touches: int
    last_touched_at: datetime = _instant()


class BarRow(SQLModel, table=True):
    """Prices as the provider gave them; `adjusted_to` says up to which date it had adjusted them for splits."""

    __tablename__ = "bars"
    __table_args__ = ({"sqlite_with_rowid": False},)

    ticker: str = _ticker(key=True)
    interval: Interval = Field(sa_column=Column("interval", Named(Interval), primary_key=True))
    open_time: datetime = _instant(key=True)
    close_time: datetime = _instant()
    open: Decimal = _exact()
    high: Decimal = _exact()
    low: Decimal = _exact()
    close: Decimal = _exact()
    volume: Decimal = _exact()
    adjusted_to: date
    source: str
    is_final: bool
    faults: Fault | None = _faults()


class ActionRow(SQLModel, table=True):
    __tablename__ = "corporate_actions"

    ticker: str = _ticker(key=True)
    ex_date: date = Field(primary_key=True)
    kind: ActionKind = Field(sa_column=Column("kind", Named(ActionKind), primary_key=True))
    value: Decimal = _exact()
    source: str


class LeaseRow(SQLModel, table=True):
    """`started_at` is market time, to be shown; `expires_at` is real time, to be compared with the database's own."""

    __tablename__ = "refresh_leases"

    ticker: str = _ticker(key=True)
    token: str
    started_at: datetime = _instant()
    started_by: str | None
    expires_at: datetime = _instant()


class GateRow(SQLModel, table=True):
    """A provider's circuit and budget; every time in it is real time, to be compared with the database's own. So many calls
    were made on the day `counted_on`."""

    __tablename__ = "provider_gates"

    provider: str = Field(primary_key=True)
    generation: int = Field(sa_type=BigInteger)
    failures: int
    failed_at: datetime | None = _instant(nullable=True)
    last_error: str | None
    trouble: Trouble | None = Field(sa_column=Column("trouble", Named(Trouble), nullable=True))
    open_until: datetime | None = _instant(nullable=True)
    probe_until: datetime | None = _instant(nullable=True)
    spent_until: datetime | None = _instant(nullable=True)
    counted_on: date | None
    calls: int = Field(sa_column_kwargs={"server_default": "0"})


class EventLogRow(SQLModel, table=True):
    """The one row that every append updates: its lock, held until the commit, gives numbers in commit order.

    `clock_generation` rises whenever the recorded clock changes: who runs on an older one cannot append."""

    __tablename__ = "event_log"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: int = Field(sa_column=Column("id", Integer(), primary_key=True, autoincrement=False))
    log_id: str
    last_number: int = Field(sa_type=BigInteger)
    clock_generation: int


class EventRow(SQLModel, table=True):
    """A change of a symbol, or, where there is a `body` (JSON, what moved as it was then), a step of an onboarding or of the
    session: its ticker may be of no symbol. `occurred_at` is market time, `recorded_at` real time."""

    __tablename__ = "events"
    __table_args__ = (Index(None, "recorded_at"),)

    number: int = Field(
        sa_column=Column("number", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False)
    )
    kind: str
    ticker: str = Field(sa_type=_BYTEWISE)
    occurred_at: datetime = _instant()
    recorded_at: datetime = _instant()
    detail: str | None
    body: str | None


class ExposureRow(SQLModel, table=True):
    """A symbol's beta to a factor, as measured last."""

    __tablename__ = "factor_exposures"

    ticker: str = _ticker(key=True)
    factor: Factor = Field(sa_column=Column("factor", Named(Factor), primary_key=True))
    beta: float | None
    r_squared: float | None
    observations: int
    window_days: int
    quality: ExposureQuality = Field(sa_column=Column("quality", Named(ExposureQuality), nullable=False))
    as_of: date | None


class QueueRow(SQLModel, table=True):
    """The one row that whoever queues, takes up or cancels a job holds until its commit: depth and places are counted under it,
    and jobs are numbered."""

    __tablename__ = "onboarding_queue"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: int = Field(sa_column=Column("id", Integer(), primary_key=True, autoincrement=False))
    last_number: int = Field(sa_type=BigInteger)


class JobRow(SQLModel, table=True):
    """An onboarding. The ticker is of no symbol until it has been validated.

    `token` rises with every worker that takes the job up: a lower one may write nothing more. `due_at`, `lease_expires_at`,
    `phase_since` and `ended_at` are real time, to be compared with the database's own; the others market time."""

    __tablename__ = "onboarding_jobs"
    __table_args__ = (
        Index(
            "uq_onboarding_jobs_active",
            "ticker",
            unique=True,
            sqlite_where=text("status IN ('pending', 'processing')"),
            postgresql_where=text("status IN ('pending', 'processing')"),
        ),
        Index(None, "ticker", "number"),
        Index(None, "status", "number"),
    )

    id: str = Field(primary_key=True)
    number: int = Field(sa_type=BigInteger)
    ticker: str = Field(sa_type=_BYTEWISE)
    status: JobStatus = Field(sa_column=Column("status", Named(JobStatus), nullable=False))
    phase: OnboardingPhase = Field(sa_column=Column("phase", Named(OnboardingPhase), nullable=False))
    attempts: int
    lapses: int
    requested_by: str | None
    previous_status: SymbolStatus | None = Field(sa_column=Column("previous_status", Named(SymbolStatus), nullable=True))
    error: str | None
    shortfall: str | None
    swaps: bool = Field(sa_column_kwargs={"server_default": false()})
    queued_at: datetime = _instant()
    prices_at: datetime | None = _instant(nullable=True)
    started_at: datetime | None = _instant(nullable=True)
    finished_at: datetime | None = _instant(nullable=True)
    token: int
    due_at: datetime = _instant()
    lease_expires_at: datetime | None = _instant(nullable=True)
    phase_since: datetime | None = _instant(nullable=True)
    ended_at: datetime | None = _instant(nullable=True)


class WaitingRow(SQLModel, table=True):
    """A ticker of a portfolio that waits for a place in the queue."""

    __tablename__ = "onboarding_waiting"
    __table_args__ = (Index(None, "ticker"),)

    portfolio_id: str = Field(primary_key=True)
    ticker: str = Field(sa_type=_BYTEWISE, primary_key=True)
    number: int = Field(sa_type=BigInteger)
    requested_by: str | None


class TimingRow(SQLModel, table=True):
    """What a phase takes: the moving mean of the seconds measured."""

    __tablename__ = "onboarding_timings"

    phase: OnboardingPhase = Field(sa_column=Column("phase", Named(OnboardingPhase), primary_key=True))
    seconds: float


class BackfillRow(SQLModel, table=True):
    """A symbol's backfill, one for ever. `wanted` is JSON: a list of interval, first and last day.

    `token` rises with every worker that takes it up: a lower one may write nothing more. `due_at` and `lease_expires_at` are
    real time, to be compared with the database's own; the others market time."""

    __tablename__ = "backfills"
    __table_args__ = (
        CheckConstraint("(status = 'failed' AND error IS NOT NULL) OR (status <> 'failed')", name="failed_says_why"),
        CheckConstraint("NOT (status = 'completed' AND error IS NOT NULL)", name="completed_without_error"),
        Index(None, "status"),
    )

    ticker: str = _ticker(key=True)
    status: BackfillStatus = Field(sa_column=Column("status", Named(BackfillStatus), nullable=False))
    wanted: str
    started_by: str | None
    priority: int
    error: str | None
    queued_at: datetime | None = _instant(nullable=True)
    last_attempt_at: datetime | None = _instant(nullable=True)
    last_success_at: datetime | None = _instant(nullable=True)
    expected: int
    received: int
    records_inserted: int | None
    attempts: int
    lapses: int
    failed_days: int
    failed_on: date | None
    token: int
    due_at: datetime | None = _instant(nullable=True)
    lease_expires_at: datetime | None = _instant(nullable=True)


class RevisionRow(SQLModel, table=True):
    """What a provider changed of a bar that was final."""

    __tablename__ = "bar_revisions"
    __table_args__ = (Index(None, "ticker", "observed_at"),)

    ticker: str = _ticker(key=True)
    interval: Interval = Field(sa_column=Column("interval", Named(Interval), primary_key=True))
    open_time: datetime = _instant(key=True)
    field: str = Field(primary_key=True)
    observed_at: datetime = _instant(key=True)
    old_value: Decimal = _exact()
    new_value: Decimal = _exact()
    source: str


class AbsenceRow(SQLModel, table=True):
    """Days of which a provider did not give all that the calendar expects."""

    __tablename__ = "absences"

    ticker: str = _ticker(key=True)
    interval: Interval = Field(sa_column=Column("interval", Named(Interval), primary_key=True))
    provider: str = Field(primary_key=True)
    first: date = Field(primary_key=True)
    last: date
    cause: GapCause = Field(sa_column=Column("cause", Named(GapCause), nullable=False))
    observed_at: datetime = _instant()
    expires_at: datetime = _instant()


class MarkRow(SQLModel, table=True):
    """How far an interval of a symbol is known."""

    __tablename__ = "bar_marks"

    ticker: str = _ticker(key=True)
    interval: Interval = Field(sa_column=Column("interval", Named(Interval), primary_key=True))
    complete_until: datetime | None = _instant(nullable=True)
    attempted_until: datetime = _instant()


class BarDayRow(SQLModel, table=True):
    """The bars shorter than a day that open on a UTC day: how many, and in `minutes` a bit for each minute of the day, the
    first one first: whether one opens then. Whoever writes one of them ends its being current; then the rest says nothing."""

    __tablename__ = "bar_days"
    __table_args__ = (
        Index(
            "ix_bar_days_stale",
            "interval",
            "ticker",
            "day",
            sqlite_where=text("is_current = 0"),
            postgresql_where=text("NOT is_current"),
        ),
        {"sqlite_with_rowid": False},
    )

    ticker: str = Field(sa_type=_BYTEWISE, primary_key=True)
    interval: Interval = Field(sa_column=Column("interval", Named(Interval), primary_key=True))
    day: date = Field(primary_key=True)
    bars: int
    validated: int
    price_gaps: int
    minutes: bytes
    is_current: bool


class ScheduleRow(SQLModel, table=True):
    """When what is done by the calendar was done last, market time. Whoever does it holds this row."""

    __tablename__ = "schedules"

    name: str = Field(primary_key=True)
    ran_at: datetime | None = _instant(nullable=True)


class PortfolioRow(SQLModel, table=True):
    __tablename__ = "portfolios"
    __table_args__ = (UniqueConstraint("name"), CheckConstraint("version >= 1", name="version"))

    id: str = Field(primary_key=True)
    name: str = Field(sa_type=_BYTEWISE)
    digest: str
    created_at: datetime = _instant()
    version: int
    is_priced: bool


class PositionRow(SQLModel, table=True):
    """A lot. Its ticker may be of no symbol yet; its market value is its quantity times its last price."""

    __tablename__ = "positions"
    __table_args__ = (Index(None, "ticker"), {"sqlite_with_rowid": False})

    portfolio_id: str = Field(primary_key=True, foreign_key="portfolios.id")
    place: int = Field(primary_key=True)
    ticker: str = Field(sa_type=_BYTEWISE)
    quantity: Decimal = _exact()
    entry_price: Decimal = _exact()
    entry_date: date | None
    exit_date: date | None
    shares_as_of: date
    last_price: Decimal | None = Field(sa_type=Exact, nullable=True)
    last_price_date: date | None
    currency: str | None
    note: str | None


class SnapshotRow(SQLModel, table=True):
    """What a portfolio's lots came to when one of them changed last."""

    __tablename__ = "portfolio_snapshots"

    portfolio_id: str = Field(primary_key=True, foreign_key="portfolios.id")
    date: date_
    currency: str
    oldest_price_date: date_
    total_value: Decimal = _exact()
    total_cost: Decimal = _exact()
    total_pnl: Decimal = _exact()
    pnl_percent: Decimal = _exact()
    position_count: int
    is_complete: bool


class SessionRow(SQLModel, table=True):
    """The one session, as JSON, None before the first start. Whoever changes it holds this row.

    `token` rises with every process that leads it: a lower one may write nothing more. `heard_at` and `lease_expires_at` are
    real time, to be compared with the database's own."""

    __tablename__ = "trading_session"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: int = Field(sa_column=Column("id", Integer(), primary_key=True, autoincrement=False))
    version: int
    token: int
    heard_at: datetime = _instant()
    lease_expires_at: datetime = _instant()
    body: str | None


class SessionBarRow(SQLModel, table=True):
    """The longer bars that the session has made of its minutes; these are among the bars of their symbols. To look for the
    symbol at each row would take a third of the time; who takes part has one, and it is never deleted."""

    __tablename__ = "session_bars"
    __table_args__ = ({"sqlite_with_rowid": False},)

    ticker: str = Field(sa_type=_BYTEWISE, primary_key=True)
    interval: Interval = Field(sa_column=Column("interval", Named(Interval), primary_key=True))
    open_time: datetime = _instant(key=True)
    close_time: datetime = _instant()
    open: Decimal = _exact()
    high: Decimal = _exact()
    low: Decimal = _exact()
    close: Decimal = _exact()
    volume: Decimal = _exact()
    adjusted_to: date
    source: str
    is_final: bool
    faults: Fault | None = _faults()


class ClockRow(SQLModel, table=True):
    """Market time stood at `market_at` when real time was `real_at`; no row: market time is real time."""

    __tablename__ = "market_clock"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: int = Field(sa_column=Column("id", Integer(), primary_key=True, autoincrement=False))
    market_at: datetime = _instant()
    real_at: datetime = _instant()


def _table(model: type[SQLModel]) -> Table:
    return SQLModel.metadata.tables[str(model.__tablename__)]


symbols = _table(SymbolRow)
price_levels = _table(LevelRow)
bars = _table(BarRow)
corporate_actions = _table(ActionRow)
refresh_leases = _table(LeaseRow)
provider_gates = _table(GateRow)
event_log = _table(EventLogRow)
events = _table(EventRow)
factor_exposures = _table(ExposureRow)
onboarding_queue = _table(QueueRow)
onboarding_jobs = _table(JobRow)
onboarding_waiting = _table(WaitingRow)
onboarding_timings = _table(TimingRow)
backfills = _table(BackfillRow)
bar_revisions = _table(RevisionRow)
absences = _table(AbsenceRow)
bar_marks = _table(MarkRow)
bar_days = _table(BarDayRow)
schedules = _table(ScheduleRow)
portfolios = _table(PortfolioRow)
positions = _table(PositionRow)
portfolio_snapshots = _table(SnapshotRow)
trading_session = _table(SessionRow)
session_bars = _table(SessionBarRow)
market_clock = _table(ClockRow)
