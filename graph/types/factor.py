"""Betas."""

from datetime import date

import strawberry

from domain.factors import Exposure
from graph.types.enums import ExposureQuality


@strawberry.type
class FactorExposure:
    factor: str = strawberry.field(
        description=(
            "MARKET, VALUE, GROWTH, MOMENTUM, QUALITY, SIZE, LOW_VOLATILITY, INTEREST_RATE, and the spreads "
            "VALUE_GROWTH_SPREAD, MOMENTUM_SPREAD, SIZE_SPREAD, QUALITY_SPREAD."
        )
    )
    beta: float | None = strawberry.field(
        description="Null when it could not be estimated; never an invented default. Capped at 5 and -5."
    )
    r_squared: float | None = strawberry.field(description="Of the regression that gave the beta.")
    observations: int = strawberry.field(description="Daily returns that went into it.")
    window_days: int = strawberry.field(description="Daily returns that a full history gives it.")
    quality: ExposureQuality
    as_of: date | None = strawberry.field(description="The newest day that went into it.")

    @classmethod
    def from_domain(cls, exposure: Exposure) -> "FactorExposure":
        return cls(
            factor=exposure.factor.value,
            beta=exposure.beta,
            r_squared=exposure.r_squared,
            observations=exposure.observations,
            window_days=exposure.window_days,
            quality=exposure.quality,
            as_of=exposure.as_of,
        )
