"""The tracked symbol: what is known of it, its version, and the changes it can go through.

Every transition takes the version its caller expects, refuses with VersionConflict when the symbol has another, and returns
the symbol one version on.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import Enum

from domain.errors import SymbolNotFound, VersionConflict
from domain.findings import Findings
from domain.levels import Direction
from domain.staleness import AttemptOutcome
from domain.tickers import AssetClass


class SymbolStatus(Enum):
    """The values are what the database holds."""

    ONBOARDING = "onboarding"
    ACTIVE = "active"
    SUSPECT = "suspect"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Profile:
    """What a provider says a ticker is. `exchange` is a MIC, None for crypto and forex; `currency` the major unit."""

    ticker: str
    name: str | None
    asset_class: AssetClass
    exchange: str | None
    currency: str


@dataclass(frozen=True, slots=True)
class Symbol:
    """`last_updated` is the last successful refresh, `as_of` the close of the newest bar held, `last_price` the close of the
    newest final daily bar in today's shares; `last_attempt_at` and `last_outcome` are of the last refresh, however it ended."""

    ticker: str
    name: str | None
    asset_class: AssetClass
    exchange: str | None
    currency: str
    status: SymbolStatus = SymbolStatus.ACTIVE
    direction: Direction = Direction.NEUTRAL
    version: int = 1
    level_count: int = 0
    last_price: Decimal | None = None
    last_updated: datetime | None = None
    as_of: datetime | None = None
    last_attempt_at: datetime | None = None
    last_outcome: AttemptOutcome | None = None

    @classmethod
    def tracked(
        cls,
        profile: Profile,
        asset_class: AssetClass | None,
        name: str | None,
        status: SymbolStatus = SymbolStatus.ACTIVE,
    ) -> "Symbol":
        """A new symbol at version 1; the caller's class and name win over the provider's."""
        return cls(
            ticker=profile.ticker,
            name=name if name is not None else profile.name,
            asset_class=asset_class or profile.asset_class,
            exchange=profile.exchange,
            currency=profile.currency,
            status=status,
        )

    @property
    def is_retired(self) -> bool:
        return self.status is SymbolStatus.RETIRED

    def expect(self, version: int | None) -> None:
        """Raises VersionConflict when a version is given and is not the symbol's."""
        if version is not None and version != self.version:
            raise VersionConflict(self.ticker, version, self.version)

    def added_again(self, version: int | None, asset_class: AssetClass | None, name: str | None) -> "Symbol":
        """The symbol after being added once more: to be onboarded again, changed in class or name, or, asked for nothing new,
        itself.

        A change needs a version: raises VersionConflict without one."""
        self.expect(version)
        wanted = replace(
            self,
            status=SymbolStatus.ONBOARDING if self.is_retired else self.status,
            asset_class=asset_class or self.asset_class,
            name=name if name is not None else self.name,
        )
        if wanted == self:
            return self
        if version is None:
            verb = "is retired and reviving it" if self.is_retired else "is tracked and changing its class or name"
            raise VersionConflict(self.ticker, None, self.version, f"{verb} needs its expectedVersion")
        return replace(wanted, version=self.version + 1)

    def retired(self, version: int) -> "Symbol":
        self.expect(version)
        if self.is_retired:
            raise VersionConflict(self.ticker, version, self.version, "is retired already")
        return replace(self, status=SymbolStatus.RETIRED, version=self.version + 1)

    def require_refreshable(self, version: int | None) -> None:
        """Raises SymbolNotFound for a retired symbol, VersionConflict for a wrong version."""
        if self.is_retired:
            raise SymbolNotFound(self.ticker, "is retired")
        self.expect(version)

    def onboarding(self) -> "Symbol":
        return replace(self, status=SymbolStatus.ONBOARDING, version=self.version + 1)

    def joined(self, found: Findings) -> "Symbol":
        """With what its bars say: no refresh, and no new version."""
        return replace(
            self,
            as_of=found.as_of,
            last_price=found.last_price,
            level_count=len(found.levels),
            direction=found.direction,
        )

    def onboarded(self, prices_at: datetime) -> "Symbol":
        return replace(self.refreshed_at(prices_at), status=SymbolStatus.ACTIVE)

    def left_onboarding(self, status: SymbolStatus) -> "Symbol":
        return replace(self, status=status, version=self.version + 1)

    def backfilled(self, *, is_known: bool, is_suspicious: bool) -> "Symbol":
        """After a backfill, however it ended. SUSPECT when it was ACTIVE and that made it suspicious; ACTIVE again when it was
        SUSPECT and a provider is known to have it."""
        status = self.status
        if is_suspicious and status is SymbolStatus.ACTIVE:
            status = SymbolStatus.SUSPECT
        elif is_known and status is SymbolStatus.SUSPECT:
            status = SymbolStatus.ACTIVE
        return replace(self, status=status, version=self.version + 1)

    def split(self, last_price: Decimal | None) -> "Symbol":
        """After a split, with its last price in the new shares."""
        return replace(self, version=self.version + 1, last_price=last_price)

    def refreshed(self, at: datetime, found: Findings) -> "Symbol":
        return self.joined(found).refreshed_at(at)

    def refreshed_at(self, at: datetime) -> "Symbol":
        return replace(
            self,
            version=self.version + 1,
            last_updated=at,
            last_attempt_at=at,
            last_outcome=AttemptOutcome.SUCCEEDED,
        )
