"""The domain's enums, made known to GraphQL under their own names."""

import strawberry

from domain.bars import Interval
from domain.events import SymbolChangeKind
from domain.levels import Direction, LevelKind
from domain.staleness import StalenessReason
from domain.symbols import SymbolStatus
from domain.tickers import AssetClass

__all__ = ["AssetClass", "Direction", "Interval", "LevelKind", "StalenessReason", "SymbolChangeKind", "SymbolStatus"]

for _enum in (AssetClass, Direction, Interval, LevelKind, StalenessReason, SymbolChangeKind, SymbolStatus):
    strawberry.enum(_enum)
