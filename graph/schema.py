"""The schema, and what holds for every operation on it."""

import logging
from collections.abc import Iterator
from uuid import uuid4

import strawberry
from graphql import GraphQLError
from strawberry.extensions import MaskErrors, ParserCache, SchemaExtension, ValidationCache
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from domain.errors import Refusal
from graph.mutations import Mutation
from graph.problems import ANSWERS
from graph.queries import Query
from graph.scalars import SCALARS
from graph.subscriptions import Subscription

log = logging.getLogger("freshtape.graph")


class FreshContext(SchemaExtension):
    """A context for each operation: a WebSocket brings one for all that it carries."""

    def on_operation(self) -> Iterator[None]:
        self.execution_context.context = self.execution_context.context.fresh()
        yield


class ClearErrors(MaskErrors):
    """Refusals keep their sentence and get their code; faults are logged under an id, which is all the client sees."""

    def __init__(self) -> None:
        super().__init__(should_mask_error=lambda error: _cause(error) is not None)

    def anonymise_error(self, error: GraphQLError) -> GraphQLError:
        cause = _cause(error)
        if isinstance(cause, Refusal):
            return _told(error, cause.message, {"code": cause.code})
        fault = uuid4().hex[:12]
        log.error("fault %s at %s", fault, error.path, exc_info=cause)
        return _told(
            error, f"Something went wrong here. The service's log has it under {fault}.", {"code": "FAULT", "id": fault}
        )


def _cause(error: GraphQLError) -> Exception | None:
    """What a resolver raised; None for what GraphQL itself has to say."""
    cause = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def _told(error: GraphQLError, message: str, extensions: dict[str, object]) -> GraphQLError:
    return GraphQLError(message, error.nodes, error.source, error.positions, error.path, extensions=extensions)


class Schema(strawberry.Schema):
    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Nothing: ClearErrors logs what is a fault, once."""


schema = Schema(
    Query,
    Mutation,
    Subscription,
    config=StrawberryConfig(scalar_map=SCALARS),
    exception_handlers=ANSWERS,
    extensions=[FreshContext, ParserCache, ValidationCache, ClearErrors],
)
