"""Running one operation: parsed, validated and weighed, then executed within its time, and its errors made fit to tell."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Self

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSyntaxError,
    Lexer,
    OperationDefinitionNode,
    OperationType,
    Source,
    TokenKind,
    execute_sync,
    parse,
    validate,
)
from graphql.validation.rules import overlapping_fields_can_be_merged
from strawberry.types.execution import ExecutionResult, PreExecutionError

from graph.context import Context, Services
from graph.faults import told
from graph.limits import LimitExceeded, Limits, check_operation
from graph.request import Request, unstorable
from graph.schema import schema

PREPARED = 128
"""Documents whose parsing and validation are remembered."""
INLINE_CHARACTERS = 2_000
"""Longer documents are prepared in a thread: the worst of them take a tenth of a second, in which others are served."""
MOST_ERRORS = 10
"""Validation stops there: with its suggestions an error can cost milliseconds."""

overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 30_000
"""A microsecond each: what comparing the fields of one document may cost. Honest ones spend a hundredth of it."""

Observer = Callable[[str, str, float], None]
"""Told of every operation that has ended: its type, its outcome (ok, errors, gone) and its seconds."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`errors` are fit to be told. A request error kept the operation from being executed: there is no data at all."""

    data: dict[str, Any] | None
    errors: list[GraphQLError]
    is_request_error: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """A request that may be executed."""

    request: Request
    document: DocumentNode
    definition: OperationDefinitionNode

    @property
    def kind(self) -> OperationType:
        return self.definition.operation

    @property
    def asks_of_the_schema_alone(self) -> bool:
        roots = self.definition.selection_set.selections
        return all(isinstance(root, FieldNode) and root.name.value.startswith("__") for root in roots)


class NotExecutable(Exception):
    """Why a request may not be executed."""

    def __init__(self, *errors: GraphQLError) -> None:
        self.answer = Answer(None, list(errors), is_request_error=True)


class Executor:
    """Runs the operations of a process."""

    def __init__(self, services: Services, limits: Limits, observe: Observer = lambda *_: None) -> None:
        self.limits = limits
        self.closing = asyncio.Event()
        self.subscriptions = 0
        self._services = services
        self._observe = observe
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._mutations: set[asyncio.Task[Answer]] = set()

    async def close(self, seconds: float) -> None:
        """Tells what is endless to end, and waits for mutations under way, so long at most; those that are not done undo, in as
        long again, what they have begun."""
        self.closing.set()
        if self._mutations:
            _, late = await asyncio.wait(self._mutations, timeout=seconds)
            for mutation in late:
                mutation.cancel()
            if late:
                await asyncio.wait(late, timeout=seconds)
        self._thread.shutdown(wait=False)

    async def prepare(self, request: Request) -> Operation:
        """Raises NotExecutable."""
        limit = self.limits.characters
        if len(request.query) > limit:
            raise NotExecutable(LimitExceeded("characters", limit, len(request.query)))
        if len(request.query) > INLINE_CHARACTERS:
            loop = asyncio.get_running_loop()
            prepared = await loop.run_in_executor(self._thread, _prepared, request.query, self.limits.tokens)
        else:
            prepared = _prepared(request.query, self.limits.tokens)
        if isinstance(prepared, tuple):
            raise NotExecutable(*prepared)
        try:
            definition = _chosen(prepared, request.operation_name)
            check_operation(schema.core, prepared, definition, request.variables, self.limits)
        except (GraphQLError, RecursionError) as error:
            raise NotExecutable(_refusal(error)) from None
        return Operation(request, prepared, definition)

    async def execute(self, operation: Operation) -> Answer:
        """The answer to a query or a mutation. A query is given up when its time is over or its caller has gone; a mutation
        is not, so that nothing ends between two writes."""
        with _Timed(self._observe, operation.kind) as timed:
            if operation.kind is OperationType.MUTATION:
                task = asyncio.create_task(self._execute(operation))
                self._mutations.add(task)
                task.add_done_callback(self._mutations.discard)
                return timed.ended(await asyncio.shield(task))
            try:
                async with asyncio.timeout(self.limits.query_seconds):
                    return timed.ended(await self._execute(operation))
            except TimeoutError:
                seconds = self.limits.query_seconds
                return timed.ended(Answer(None, [LimitExceeded("query_seconds", seconds, f"more than {seconds:g}")]))

    async def _execute(self, operation: Operation) -> Answer:
        if operation.asks_of_the_schema_alone:  # whole schemas take a while, and need nothing of the event loop
            request = operation.request
            work = partial(
                execute_sync,
                schema.core,
                operation.document,
                variable_values=dict(request.variables),
                operation_name=request.operation_name,
            )
            result = await asyncio.get_running_loop().run_in_executor(self._thread, work)
            return Answer(result.data, told(result.errors or ()), is_request_error=result.data is None)
        answer = _answer(await schema.execute(**self._arguments(operation)))
        # Variables are read when the execution begins: what is wrong with them is at no field.
        is_early = answer.data is None and bool(answer.errors) and all(error.path is None for error in answer.errors)
        return replace(answer, is_request_error=is_early)

    async def stream(self, operation: Operation) -> AsyncGenerator[Answer, None]:
        """The answers of a subscription; one that says why there are none when the process has too many."""
        if self.subscriptions >= self.limits.subscriptions:
            refused = LimitExceeded("subscriptions", self.limits.subscriptions, self.subscriptions + 1, " of this process")
            yield NotExecutable(refused).answer
            return
        self.subscriptions += 1
        try:
            with _Timed(self._observe, operation.kind) as timed:
                async with aclosing(await schema.stream(**self._arguments(operation))) as results:
                    async for result in results:
                        yield timed.ended(_answer(result))
                        await asyncio.sleep(0)  # to read on is the others' turn: a subscriber may be thousands of events behind
        finally:
            self.subscriptions -= 1

    def _arguments(self, operation: Operation) -> dict[str, Any]:
        request = operation.request
        return {
            "query": request.query,
            "variable_values": dict(request.variables),
            "operation_name": request.operation_name,
            "context_value": Context(self._services, operation.document),
        }


@lru_cache(PREPARED)
def _prepared(query: str, most_tokens: int) -> DocumentNode | tuple[GraphQLError, ...]:
    """The document, parsed and valid, or what is wrong with it."""
    try:
        _check_tokens(query, most_tokens)
        document = parse(query)
        return tuple(validate(schema.core, document, max_errors=MOST_ERRORS)) or document
    except (GraphQLError, RecursionError) as error:
        return (_refusal(error),)


def document_cache() -> Any:
    """Its hits and misses: of all executors of the process."""
    return _prepared.cache_info()


def _refusal(error: GraphQLError | RecursionError) -> GraphQLError:
    return error if isinstance(error, GraphQLError) else GraphQLError("The query is nested too deeply to be read.")


def _check_tokens(query: str, most: int) -> None:
    lexer, count = Lexer(Source(query)), 0
    while (token := lexer.advance()).kind is not TokenKind.EOF:
        count += 1
        if token.kind in (TokenKind.STRING, TokenKind.BLOCK_STRING) and unstorable(token.value or ""):
            raise GraphQLSyntaxError(lexer.source, token.start, "A string may not hold NUL or half a surrogate pair.")
    if count > most:
        raise LimitExceeded("tokens", most, count)


def _chosen(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if name is None:
        if len(operations) == 1:
            return operations[0]
        raise GraphQLError(f"operationName must say which of the {len(operations)} operations is meant.")
    for operation in operations:
        if operation.name is not None and operation.name.value == name:
            return operation
    raise GraphQLError(f"operationName is {name[:80]!r}, and no operation of the query has that name.")


def _answer(result: Any) -> Answer:
    assert isinstance(result, ExecutionResult)  # incremental delivery is off
    return Answer(result.data, told(result.errors or ()), isinstance(result, PreExecutionError))


class _Timed:
    """Tells the observer, once, how an operation ended; nobody being there for its answer is an end too."""

    def __init__(self, observe: Observer, kind: OperationType) -> None:
        self._observe = observe
        self._kind = kind
        self._outcome = "gone"

    def ended(self, answer: Answer) -> Answer:
        self._outcome = "errors" if answer.errors else "ok"
        return answer

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._observe(self._kind.value, self._outcome, time.monotonic() - self._started)
