"""What a client is told of an error: refusals keep their sentence, faults are logged under an id, which is all it sees."""

import logging
from collections.abc import Iterable
from uuid import uuid4

from graphql import GraphQLError

from domain.errors import Refusal

log = logging.getLogger("freshtape.graph")


def told(errors: Iterable[GraphQLError]) -> list[GraphQLError]:
    return [_told(error) for error in errors]


def fault_of(error: Exception) -> GraphQLError:
    """What is told of an exception that no resolver raised."""
    return _told(GraphQLError(str(error), original_error=error))


def _told(error: GraphQLError) -> GraphQLError:
    cause = _cause(error)
    if cause is None:
        return error
    if isinstance(cause, Refusal):
        return _with(error, cause.message, {"code": cause.code})
    fault = uuid4().hex[:12]
    log.error("fault %s at %s", fault, error.path, exc_info=cause)
    return _with(error, f"Something went wrong here. The service's log has it under {fault}.", {"code": "FAULT", "id": fault})


def _cause(error: GraphQLError) -> BaseException | None:
    """What a resolver raised; None for what GraphQL itself has to say."""
    cause: BaseException | None = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def _with(error: GraphQLError, message: str, extensions: dict[str, object]) -> GraphQLError:
    return GraphQLError(message, error.nodes, error.source, error.positions, error.path, extensions=extensions)
