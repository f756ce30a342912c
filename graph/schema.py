"""The schema, and what holds for every operation on it."""

from collections.abc import Iterator
from typing import Any

import strawberry
from graphql import GraphQLError, GraphQLSchema
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types import ExecutionContext

from graph.mutations import Mutation
from graph.problems import ANSWERS
from graph.queries import Query
from graph.scalars import SCALARS
from graph.subscriptions import Subscription


class Prepared(SchemaExtension):
    """The document was parsed and validated before, for all requests with the same text: see graph/execution.py."""

    def on_parse(self) -> Iterator[None]:
        self.execution_context.graphql_document = self.execution_context.context.document
        yield

    def on_validate(self) -> Iterator[None]:
        self.execution_context.pre_execution_errors = []
        yield


class LeanExecution(StrawberryGraphQLCoreExecutionContext):
    """graphql-core 3.3 lets all events of a subscription share one cache of subfields, which grows with each of them."""

    def build_per_event_executor(self, payload: Any) -> Any:
        executor = super().build_per_event_executor(payload)
        executor._relevant_sub_fields = {}
        return executor


class Schema(strawberry.Schema):
    @property
    def core(self) -> GraphQLSchema:
        """As graphql-core has it."""
        return self._schema

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Nothing: graph/faults.py logs what is a fault, once."""


schema = Schema(
    Query,
    Mutation,
    Subscription,
    config=StrawberryConfig(scalar_map=SCALARS),
    exception_handlers=ANSWERS,
    execution_context_class=LeanExecution,
    extensions=[Prepared],
)
