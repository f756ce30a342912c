"""What can be done."""

import strawberry

from graph.mutations.backfills import BackfillMutations
from graph.mutations.onboarding import OnboardingMutations
from graph.mutations.portfolios import PortfolioMutations
from graph.mutations.session import SessionMutations
from graph.mutations.symbols import SymbolMutations


@strawberry.type
class Mutation(SymbolMutations, OnboardingMutations, BackfillMutations, PortfolioMutations, SessionMutations):
    pass
