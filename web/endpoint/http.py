"""GraphQL over HTTP: https://graphql.github.io/graphql-over-http/draft/."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import parse_qsl

from graphql import GraphQLError, OperationType
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from graph.execution import Answer, Executor, NotExecutable, Operation
from graph.faults import fault_of
from graph.limits import LimitExceeded
from graph.request import BadRequest, read_json, read_request
from graph.request import Request as GraphQLRequest
from web.endpoint.encoding import encode
from web.endpoint.negotiation import EVENTS, GRAPHQL, HTML, JSON, accepted, answer_type
from web.endpoint.sse import EventStream, gone

BODY_SECONDS = 10
"""How long a request's body may take to come in."""
MOST_PARAMETERS = 20
PARAMETERS = ("query", "variables", "operationName", "extensions")
ENDING = Answer(
    None,
    [
        GraphQLError(
            "The service ends, and cannot wait for the answer. When it is back, read whether a mutation was carried out.",
            extensions={"code": "SERVICE_ENDS"},
        )
    ],
    is_request_error=True,
)


class Refused(Exception):
    """An answer that is due before there is anything to execute; `why` is a sentence, or an error that has more to say."""

    def __init__(self, status: int, why: str | GraphQLError, headers: Mapping[str, str] | None = None) -> None:
        error = GraphQLError(why, extensions={"code": "BAD_REQUEST"}) if isinstance(why, str) else why
        self.status = status
        self.headers = headers
        self.answer = Answer(None, [error], is_request_error=True)


class HttpEndpoint:
    """`playground` answers a browser that comes without a query."""

    def __init__(self, executor: Executor, playground: Callable[[Request], Awaitable[Response]]) -> None:
        self._executor = executor
        self._playground = playground

    async def respond(self, request: Request) -> ASGIApp:
        wanted = accepted(request.headers.get("accept"))
        if request.method == "GET" and wanted[:1] == [HTML] and "query" not in request.query_params:
            return await self._playground(request)
        media_type = answer_type(wanted)
        try:
            if not {GRAPHQL, JSON, EVENTS} & set(wanted):
                raise Refused(406, f"Answers are {GRAPHQL}, {JSON} or {EVENTS}.")
            operation = await self._operation(request)
            if _is_stream(wanted):
                return EventStream(self._executor, operation)
            return _result(media_type or JSON, await self._execute(request, operation))
        except Refused as refused:
            return _response(media_type or JSON, refused.status, refused.answer, refused.headers)
        except NotExecutable as refused:
            if _is_stream(wanted):
                return EventStream(self._executor, refused.answer)
            return _result(media_type or JSON, refused.answer)
        except ClientDisconnect:
            return Response(status_code=400)  # that nobody reads
        except asyncio.CancelledError:
            return _response(media_type or JSON, 503, ENDING, {"connection": "close"})
        except Exception as error:
            return _response(media_type or JSON, 500, Answer(None, [fault_of(error)], is_request_error=True))

    async def _operation(self, request: Request) -> Operation:
        operation = await self._executor.prepare(await self._read(request))
        if request.method != "POST" and operation.kind is OperationType.MUTATION:
            raise Refused(405, "A mutation is sent by POST.", headers={"allow": "POST"})
        return operation

    async def _read(self, request: Request) -> GraphQLRequest:
        try:
            body = read_json(await self._body(request)) if request.method == "POST" else _parameters(request)
            return read_request(body, self._executor.limits.values)
        except BadRequest as error:
            raise Refused(400, str(error)) from None
        except LimitExceeded as error:
            raise NotExecutable(error) from None

    async def _body(self, request: Request) -> bytes:
        media_type, _, parameters = request.headers.get("content-type", "").lower().partition(";")
        if media_type.strip() != JSON or "charset" in parameters.replace("charset=utf-8", "").replace('charset="utf-8"', ""):
            raise Refused(415, f"The body must be {JSON}, in UTF-8.")
        limit, chunks, size = self._executor.limits.body_bytes, [], int(request.headers.get("content-length", 0))
        if size > limit:
            raise Refused(413, LimitExceeded("body_bytes", limit, size))
        size = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > limit:
                        raise Refused(413, LimitExceeded("body_bytes", limit, f"more than {limit:,}"))
                    chunks.append(chunk)
        except TimeoutError:
            raise Refused(408, f"The body did not come in within {BODY_SECONDS} s.", headers={"connection": "close"}) from None
        return b"".join(chunks)

    async def _execute(self, request: Request, operation: Operation) -> Answer:
        if operation.kind is OperationType.SUBSCRIPTION:
            raise Refused(406, f"A subscription is answered over a WebSocket, or to a client that accepts {EVENTS} first.")
        return await _for_whoever_is_there(request, self._executor.execute(operation))


async def _for_whoever_is_there(request: Request, answering: Coroutine[Any, Any, Answer]) -> Answer:
    """Raises ClientDisconnect when the caller leaves: nobody else would notice before the answer is there."""
    answer, leaving = asyncio.create_task(answering), asyncio.create_task(gone(request.receive))
    try:
        await asyncio.wait((answer, leaving), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise ClientDisconnect
    finally:
        answer.cancel()
        leaving.cancel()
        await asyncio.gather(answer, leaving, return_exceptions=True)


def _is_stream(wanted: list[str]) -> bool:
    """Whether events are the first choice: some clients list them behind the others whatever they ask."""
    return next(name for name in wanted if name in (GRAPHQL, JSON, EVENTS)) == EVENTS


def _result(media_type: str, answer: Answer) -> Response:
    """An error before the execution is the client's to those who know the newer media type; others look inside."""
    return _response(media_type, 400 if answer.is_request_error and media_type == GRAPHQL else 200, answer)


def _response(media_type: str, status: int, answer: Answer, headers: Mapping[str, str] | None = None) -> Response:
    return Response(encode(answer), status, headers, media_type=f"{media_type}; charset=utf-8")


def _parameters(request: Request) -> dict[str, Any]:
    try:
        text = request.scope["query_string"].decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS)
    except UnicodeDecodeError:
        raise BadRequest("The address must be percent-encoded UTF-8.") from None
    except ValueError:
        raise BadRequest(f"The address may have {MOST_PARAMETERS} parameters at most.") from None
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise BadRequest(f"The parameter {name[:80]!r} is given twice.")
        found[name] = read_json(value.encode()) if name in ("variables", "extensions") else value
    return {name: found.get(name) for name in PARAMETERS}
