"""What a service meets that listens on a network: malformed requests and frames, each with the answer it must get, and
strategies that make up more of both."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

PATH = "/graphql"
JSON = {"content-type": "application/json", "accept": "application/json"}
STRICT = JSON | {"accept": "application/graphql-response+json"}
"""For what may be taken for a document that cannot be read: whoever accepts this type is told so by the status, too."""

QUERY = 'query($t: String = "AAPL") { symbol(ticker: $t) { ticker } }'
SUBSCRIPTION = "subscription { symbolChanged { kind } }"
MUTATION = 'mutation { addSymbol(input: {ticker: "AAPL"}) { __typename } }'

DIGITS = "9" * 5000
DEEP = 20_000


# ── requests


@dataclass(frozen=True)
class Request:
    """One HTTP request, byte by byte."""

    body: bytes = b""
    method: str = "POST"
    target: str = PATH
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)

    async def send(self, http: httpx.AsyncClient) -> httpx.Response:
        """Sends it as it is: httpx would mend the target."""
        return await http.request(
            self.method,
            "/",
            content=self.body or None,
            headers=dict(self.headers),
            extensions={"target": self.target.encode("latin-1")},
        )


@dataclass(frozen=True)
class BadRequest:
    """A request that must be answered with one of `statuses`, and with errors that say why."""

    name: str
    request: Request
    statuses: frozenset[int] = frozenset({400})

    def __str__(self) -> str:
        return self.name


def _posted(body: bytes | str, *statuses: int, headers: Mapping[str, str] = JSON) -> tuple[Request, frozenset[int]]:
    sent = body.encode() if isinstance(body, str) else body
    return Request(sent, headers=headers), frozenset(statuses or {400})


def _with(headers: Mapping[str, str], **parameters: Any) -> tuple[Request, frozenset[int]]:
    return _posted(json.dumps({"query": QUERY, **parameters}), headers=headers)


def _got(search: str, *statuses: int, headers: Mapping[str, str] = STRICT) -> tuple[Request, frozenset[int]]:
    accepted = {"accept": headers["accept"]}
    return Request(method="GET", target=f"{PATH}?{search}", headers=accepted), frozenset(statuses or {400})


def _variables(text: str) -> str:
    """A body with the JSON text as the value of a variable."""
    return f'{{"query": {json.dumps(QUERY)}, "variables": {{"t": {text}}}}}'


def _typed(content_type: str | None) -> tuple[Request, frozenset[int]]:
    given = {"content-type": content_type} if content_type is not None else {}
    return _posted(json.dumps({"query": QUERY}), 400, 415, headers={"accept": JSON["accept"], **given})


_VALID = json.dumps({"query": QUERY}).encode()

_NOT_JSON: dict[str, bytes] = {
    "no body": b"",
    "white space": b" \r\n\t",
    "not JSON at all": b"query { __typename }",
    "cut off": _VALID[:-3],
    "cut off within a string": _VALID[:12],
    "two documents": _VALID + _VALID,
    "something behind the document": _VALID + b"x",
    "a comment": b"/* hello */" + _VALID,
    "a trailing comma": _VALID[:-1] + b",}",
    "single quotes": _VALID.replace(b'"', b"'"),
    "an unknown escape": rb'{"query": "\q"}',
    "half an escape": rb'{"query": "\u00"}',
    "a line break within a string": b'{"query": "{\n__typename}"}',
    "NUL within a string": b'{"query": "{ __typename \x00}"}',
    "NUL behind the document": _VALID + b"\x00",
    "invalid UTF-8": b'{"query": "{ __typename \xff}"}',
    "half of a UTF-8 sequence": b'{"query": "{ __typename \xe2\x82"}',
    "overlong UTF-8": b'{"query": "{ __typename \xc0\xaf}"}',
    "a surrogate in UTF-8": b'{"query": "{ __typename \xed\xa0\x80}"}',
    "a byte order mark": b"\xef\xbb\xbf" + _VALID,
    "UTF-16": _VALID.decode().encode("utf-16"),
    "UTF-16 without a mark": _VALID.decode().encode("utf-16-le"),
    "UTF-32": _VALID.decode().encode("utf-32"),
    "arrays that never end": b"[" * 100_000,
    "objects that never end": b'{"query":' * 50_000,
    "deep arrays": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"query":' * DEEP + b"1" + b"}" * DEEP,
}

_NOT_AN_OBJECT: dict[str, str] = {
    "null": "null",
    "a number": "1",
    "a fraction": "-1.5e3",
    "a string": '"x"',
    "true": "true",
    "false": "false",
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "an integer of 5,000 digits": DIGITS,
    "an empty batch": "[]",
    "a batch": json.dumps([{"query": QUERY}]),
    "a batch of two": json.dumps([{"query": QUERY}] * 2),
    "a batch of numbers": "[1, 2]",
    "a batch of null": "[null]",
    "a lone surrogate": r'"\ud800"',
    "a NUL": r'"\u0000"',
}

_VALUES: dict[str, str] = {
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "a number beyond all floats": "1e999",
    "an integer of 5,000 digits": DIGITS,
    "a negative integer of 5,000 digits": f"-{DIGITS}",
    "deep arrays": "[" * DEEP + "]" * DEEP,
    "deep objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "NUL": r'"AA\u0000PL"',
    "NUL in a list": r'[["\u0000"]]',
    "NUL in a name": r'{"a\u0000": 1}',
    "a lone high surrogate": r'"AA\ud83dPL"',
    "a lone low surrogate": r'"AA\ude80PL"',
    "surrogates the wrong way round": r'"\ude80\ud83d"',
    "a lone surrogate in a list": r'[["\ud83d"]]',
    "a lone surrogate in a name": r'{"\ud83d": 1}',
}

_WRONG: dict[str, tuple[Any, ...]] = {
    "query": (None, 1, 1.5, True, False, [], [QUERY], {}, {"query": QUERY}),
    "variables": (1, 0, True, False, "x", "", "{}", [], [{"t": "AAPL"}]),
    "operationName": (1, 0, True, False, [], ["x"], {}, {"a": 1}),
    "extensions": (1, 0, True, False, "x", "", [], [1]),
}

_TYPES: tuple[str, ...] = (
    "text/plain",
    "text/json",
    "text/html",
    "application/graphql",
    "application/jsonx",
    "application/xml",
    "application/octet-stream",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    "text/plain; application/json",
    "json",
    "/",
    ";;;",
    "*/*",
)


def _bad_requests() -> dict[str, tuple[Request, frozenset[int]]]:
    found = {f"body: {name}": _posted(body) for name, body in _NOT_JSON.items()}
    found |= {f"body: {name}": _posted(text) for name, text in _NOT_AN_OBJECT.items()}
    found |= {f"variables: {name}": _posted(_variables(text)) for name, text in _VALUES.items()}
    for parameter, values in _WRONG.items():
        found |= {f"{parameter}: {json.dumps(value)}": _with(JSON, **{parameter: value}) for value in values}
    found |= {f"content type: {given}": _typed(given) for given in _TYPES}
    found["content type: none"] = _typed(None)
    found["content type: another charset"] = _typed("application/json; charset=utf-16")
    found["content encoding: gzip"] = _posted(gzip.compress(_VALID), 400, 415, headers=JSON | {"content-encoding": "gzip"})
    found |= {f"method: {method}": (Request(_VALID, method), frozenset({405})) for method in ("PUT", "PATCH", "DELETE")}
    found |= {
        "query: missing": _posted("{}"),
        "query: under another name": _posted(json.dumps({"qeury": QUERY})),
        "query: empty": _posted('{"query": ""}', headers=STRICT),
        "query: NUL": _posted(r'{"query": "{ __typename } #\u0000"}'),
        "query: NUL in a string": _posted(r'{"query": "{ symbol(ticker: \"\u0000\") { ticker } }"}'),
        "query: a lone surrogate": _posted(r'{"query": "{ __typename } #\ud83d"}'),
        "operationName: NUL": _with(JSON, operationName="a\0"),
        "operationName: a lone surrogate": _with(JSON, operationName="a\ud83d"),
        "extensions: NUL": _with(JSON, extensions={"a": "\0"}),
        "extensions: a lone surrogate": _with(JSON, extensions={"a": ["\ud83d"]}),
        "variables: a name that is NUL": _with(JSON, variables={"t": "AAPL", "\0": 1}),
        "a subscription without a stream": _posted(json.dumps({"query": SUBSCRIPTION}), 400, 405, 406, headers=STRICT),
    }
    return found | _bad_gets()


def _bad_gets() -> dict[str, tuple[Request, frozenset[int]]]:
    query = urlencode({"query": QUERY})
    broken = {
        "cut off": '{"t": "AAPL"',
        "not JSON": "t=AAPL",
        "empty": "",
        "a number": "1",
        "a string": '"x"',
        "an array": "[]",
        "true": "true",
        "NaN": '{"t": NaN}',
        "an integer of 5,000 digits": f'{{"t": {DIGITS}}}',
        "deep": '{"t": ' + "[" * 5000 + "]" * 5000 + "}",
        "NUL": r'{"t": "\u0000"}',
        "a lone surrogate": r'{"t": "\ud83d"}',
        "invalid UTF-8": None,
    }
    found = {
        f"GET, variables: {name}": _got(f"{query}&variables={quote(text) if text is not None else '{%22t%22:%22%FF%22}'}")
        for name, text in broken.items()
    }
    found |= {
        f"GET, extensions: {name}": _got(f"{query}&extensions={quote(text)}")
        for name, text in {"cut off": '{"a":', "a number": "1", "an array": "[]", "NUL": r'{"a": "\u0000"}'}.items()
    }
    return found | {
        "GET, query: missing": _got(""),
        "GET, query: another parameter": _got("qeury=1"),
        "GET, query: empty": _got("query="),
        "GET, query: NUL": _got("query=%7B__typename%7D%23%00"),
        "GET, query: invalid UTF-8": _got("query=%7B__typename%7D%23%FF"),
        "GET, query: a surrogate in UTF-8": _got("query=%7B__typename%7D%23%ED%A0%80"),
        "GET, query: half an escape": _got("query=%7B__typename%7D%2"),  # which is none: a per cent sign, and a 2
        "GET, operationName: NUL": _got(f"{query}&operationName=a%00"),
        "GET: a mutation": _got(urlencode({"query": MUTATION}), 400, 405),
        "GET: a subscription without a stream": _got(urlencode({"query": SUBSCRIPTION}), 400, 405, 406),
    }


BAD_REQUESTS = tuple(BadRequest(name, *case) for name, case in _bad_requests().items())


# ── documents

BAD_DOCUMENTS: dict[str, str] = {
    "white space": " \n\t,,,",
    "a comment": "# hello",
    "an open brace": "{",
    "a closing brace": "}",
    "an open string": '{ symbol(ticker: "AAPL',
    "an open block string": '{ symbol(ticker: """AAPL',
    "an unknown escape": r'{ symbol(ticker: "\q") { ticker } }',
    "half a surrogate pair": r'{ symbol(ticker: "\ud83d") { ticker } }',
    "a code point beyond all": r'{ symbol(ticker: "\u{110000}") { ticker } }',
    "an unknown character": "{ __typename ? }",
    "an unknown field": "{ nope }",
    "an unknown argument": "{ symbols(nope: 1) { totalCount } }",
    "an unknown directive": "{ __typename @nope }",
    "an unknown fragment": "{ ...nope }",
    "an unknown type": "{ ... on Nope { a } }",
    "an undefined variable": "{ symbol(ticker: $t) { ticker } }",
    "fragments in a circle": "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }",
    "a fragment within itself": "{ ...a } fragment a on Query { ...a }",
    "a fragment alone": "fragment a on Query { __typename }",
    "two without a name": "{ __typename } { __typename }",
    "two to choose from": "query a { __typename } query b { __typename }",
    "a type definition": "type A { a: Int }",
    "an object without a selection": '{ symbol(ticker: "AAPL") }',
    "a selection of a leaf": "{ __typename { a } }",
    "an integer of 5,000 digits": f"{{ symbols(first: {DIGITS}) {{ totalCount }} }}",
    "a fraction where an integer belongs": "{ symbols(first: 1.5) { totalCount } }",
    "fields that do not end": "{ a " * 3000,
    "deep fields": "{ a " * 1500 + "}" * 1500,
    "deep lists": "{ symbols(filter: {tickers: " + "[" * 4000 + "]" * 4000 + "}) { totalCount } }",
    "deep types": "query($a: " + "[" * 4000 + "Int" + "]" * 4000 + ") { __typename }",
    "deep spreads": "{ " + "... { " * 3000 + "__typename " + "} " * 3001,
}
"""Documents to be refused with errors and no data. Over HTTP: 400 to whoever accepts application/graphql-response+json, 200 to
whoever accepts application/json only. Over a socket: `error`, and it stays open."""


# ── frames


@dataclass(frozen=True)
class Frame:
    data: bytes
    is_text: bool = True

    async def send(self, connection: ClientConnection) -> None:
        await connection.send(self.data, text=self.is_text)


@dataclass(frozen=True)
class BadFrames:
    """Frames upon which the socket must be closed with one of `closes`, or, where there is a `refused`, it stays open and an
    `error` comes for the operation of that id."""

    name: str
    frames: tuple[Frame, ...]
    closes: frozenset[int] = frozenset({4400})
    refused: str | None = None
    is_greeted: bool = True
    """Whether connection_init and connection_ack have been exchanged before."""

    def __str__(self) -> str:
        return self.name

    def allows(self, reaction: int | str) -> bool:
        return reaction in self.closes or reaction == self.refused

    async def reaction(self, connection: ClientConnection) -> int | str:
        """The code with which the socket is closed upon them, or else the id of the `error` after which it goes on."""
        try:
            for each in self.frames:
                await each.send(connection)
            refused = await _next_of_type("error", connection)
            await frame({"type": "ping"}).send(connection)
            await _next_of_type("pong", connection)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else 1006
        return str(refused["id"])


async def _next_of_type(kind: str, connection: ClientConnection) -> dict[str, Any]:
    while (message := json.loads(await connection.recv()))["type"] != kind:
        pass
    return dict(message)


def frame(message: Any) -> Frame:
    return Frame(json.dumps(message).encode())


def subscribe(payload: Any, number: Any = "1") -> Frame:
    return frame({"id": number, "type": "subscribe", "payload": payload})


INIT = frame({"type": "connection_init"})

_NO_MESSAGES: dict[str, Frame] = {
    "an array": Frame(b"[]"),
    "an array of messages": frame([{"type": "ping"}]),
    "a number": Frame(b"1"),
    "a string": Frame(b'"x"'),
    "the name of a message": Frame(b'"ping"'),
    "null": Frame(b"null"),
    "true": Frame(b"true"),
    "false": Frame(b"false"),
    "NaN": Frame(b"NaN"),
    "an empty object": Frame(b"{}"),
    "nothing": Frame(b""),
    "not JSON": Frame(b"ping"),
    "cut off": Frame(b'{"type": "ping"'),
    "two messages": Frame(b'{"type": "ping"}{"type": "ping"}'),
    "a byte order mark": Frame(b'\xef\xbb\xbf{"type": "ping"}'),
    "a binary frame": Frame(b'{"type": "ping"}', is_text=False),
    "an empty binary frame": Frame(b"", is_text=False),
    "binary rubbish": Frame(b"\x00\xff\xfe", is_text=False),
    "NaN within": Frame(b'{"type": "ping", "payload": {"a": NaN}}'),
    "an integer of 5,000 digits": Frame(DIGITS.encode()),
    "arrays that never end": Frame(b"[" * DEEP),
    "deep arrays": Frame(b"[" * DEEP + b"]" * DEEP),
    "deep objects": Frame(b'{"a":' * 8000 + b"1" + b"}" * 8000),
}

_TYPES_OF_MESSAGES: tuple[Any, ...] = (
    None,
    1,
    True,
    [],
    {},
    ["ping"],
    "",
    "PING",
    "nope",
    "start",
    "connection_ack",
    "next",
    "error",
    "__proto__",
    "a\0",
)


def _bad_frames() -> list[BadFrames]:
    found = [BadFrames(f"frame: {name}", (sent,)) for name, sent in _NO_MESSAGES.items()]
    found += [BadFrames(f"first frame: {name}", (sent,), is_greeted=False) for name, sent in _NO_MESSAGES.items()]
    found += [BadFrames(f"type: {json.dumps(kind)}", (frame({"type": kind, "id": "1"}),)) for kind in _TYPES_OF_MESSAGES]
    found += [BadFrames("type: missing", (frame({"id": "1", "payload": {"query": QUERY}}),))]
    for kind, is_greeted in (("connection_init", False), ("ping", True), ("pong", True)):
        for payload in ("x", "", 1, 0, True, [], [1]):
            sent = frame({"type": kind, "payload": payload})
            found.append(BadFrames(f"{kind}, payload: {json.dumps(payload)}", (sent,), is_greeted=is_greeted))
    found += [
        BadFrames(
            "a frame beyond 64 KiB", (Frame(b'{"type": "ping", "payload": {"a": "' + b"x" * 2**16 + b'"}}'),), frozenset({1009})
        ),
        BadFrames("invalid UTF-8", (Frame(b'{"type": "\xff"}'),), frozenset({1007, 4400})),
        BadFrames("init twice", (INIT,), frozenset({4429})),
        BadFrames("init three times at once", (INIT, INIT, INIT), frozenset({4429}), is_greeted=False),
        BadFrames("subscribe before init", (subscribe({"query": QUERY}),), frozenset({4401}), is_greeted=False),
        BadFrames(
            "an id that is in use",
            (subscribe({"query": SUBSCRIPTION}), subscribe({"query": SUBSCRIPTION})),
            frozenset({4409}),
        ),
    ]
    return found + _bad_subscriptions()


def _bad_subscriptions() -> list[BadFrames]:
    found = [BadFrames("subscribe: nothing else", (frame({"type": "subscribe"}),))]
    for kind in ("subscribe", "complete"):
        given = {"type": kind, "payload": {"query": QUERY}}
        found.append(BadFrames(f"{kind}, id: missing", (frame(given),)))
        found += [
            BadFrames(f"{kind}, id: {json.dumps(number)}", (frame(given | {"id": number}),))
            for number in (None, 1, 1.5, True, [], ["1"], {}, {"a": 1})
        ]
    found.append(BadFrames("subscribe, id: empty", (subscribe({"query": QUERY}, ""),)))
    found.append(BadFrames("subscribe, payload: missing", (frame({"type": "subscribe", "id": "1"}),)))
    found += [
        BadFrames(f"subscribe, payload: {json.dumps(payload)}", (subscribe(payload),))
        for payload in (None, "x", QUERY, 1, True, [], [{"query": QUERY}])
    ]
    # Whose operation it is can be told: the socket may be kept for the others.
    wrong = [{"query": QUERY, member: value} for member, values in _WRONG.items() for value in values]
    found += [
        BadFrames(f"subscribe, payload: {json.dumps(payload)}", (subscribe(payload),), refused="1")
        for payload in ({}, {"qeury": QUERY}, *wrong)
    ]
    long = "i" * 60_000
    found += [
        BadFrames("subscribe, id: of 60,000 characters", (subscribe({"query": "{ nope }"}, long),), refused=long),
        BadFrames("subscribe, id: NUL", (subscribe({"query": "{ nope }"}, "\0"),), refused="\0"),
        BadFrames("subscribe, id: a lone surrogate", (subscribe({"query": "{ nope }"}, "\ud83d"),), refused="\ud83d"),
    ]
    return found + _refused_subscriptions()


def _refused_subscriptions() -> list[BadFrames]:
    """Well-formed messages: never a reason to close a socket that others use."""
    payloads = {
        "query: empty": {"query": ""},
        "query: two subscriptions at once": {"query": "subscription { a: symbolChanged { kind } b: symbolChanged { kind } }"},
        "query: NUL": {"query": "{ __typename } #\0"},
        "query: a lone surrogate": {"query": "{ __typename } #\ud83d"},
        "operationName: NUL": {"query": QUERY, "operationName": "a\0"},
        "extensions: NUL": {"query": QUERY, "extensions": {"a": "\0"}},
        "extensions: a lone surrogate": {"query": QUERY, "extensions": {"a": "\ud83d"}},
    }
    texts = {name: text for name, text in _VALUES.items() if "NUL" in name or "surrogate" in name}
    payloads |= {f"variables: {name}": {"query": QUERY, "variables": {"t": json.loads(text)}} for name, text in texts.items()}
    payloads |= {f"document: {name}": {"query": document} for name, document in BAD_DOCUMENTS.items()}
    found = [
        BadFrames(f"subscribe, {name}", (subscribe(payload),), closes=frozenset(), refused="1")
        for name, payload in payloads.items()
    ]
    # These are no JSON that everybody reads: without reading it, nobody knows whose operation it is.
    for name, text in _VALUES.items():
        if name not in texts and len(text) < DEEP:
            sent = Frame(f'{{"id": "1", "type": "subscribe", "payload": {_variables(text)}}}'.encode())
            found.append(BadFrames(f"subscribe, variables: {name}", (sent,), refused="1"))
    return found


BAD_FRAMES = tuple(_bad_frames())


# ── made up

_SIGNS = ("[", "]", "{", "}", '"', "\\", "\\u0000", "\\ud800", "\0", "null", "NaN", "-", "1e999", ":", ",", "\ufeff", "é")
_TROUBLE = (*(sign.encode() for sign in _SIGNS), b"\xff", b"\xed\xa0\x80", b"[" * 3000, DIGITS.encode())

_texts = st.text(st.characters(), max_size=12) | st.sampled_from(["", "\0", "\ud800", "AAPL", "__proto__", "x" * 5000])
_numbers = st.integers() | st.floats() | st.sampled_from([2**31, 2**63, 10**400])
_json = st.recursive(
    st.none() | st.booleans() | _numbers | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_documents = st.sampled_from([QUERY, MUTATION, SUBSCRIPTION, "{ __typename }", *BAD_DOCUMENTS.values()]) | _texts
_payloads = st.fixed_dictionaries(
    {"query": _documents | _json},
    optional={
        "variables": st.dictionaries(_texts, _json, max_size=2) | _json,
        "operationName": _texts | _json,
        "extensions": st.dictionaries(_texts, _json, max_size=2) | _json,
    },
)


@st.composite
def _damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Some bytes of it taken out, and others put in their place, up to three times."""
    data = draw(whole)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 20)))
        data = data[:start] + draw(st.sampled_from(_TROUBLE) | st.binary(max_size=4)) + data[end:]
    return data


def _encoded(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    return _damaged(values.map(lambda value: json.dumps(value).encode()))


_header_values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30)
_headers = st.fixed_dictionaries(
    {"content-type": st.sampled_from(["application/json", "application/json; charset=utf-8", *_TYPES]) | _header_values},
    optional={
        "accept": st.sampled_from([JSON["accept"], STRICT["accept"], "text/event-stream", "text/html", "*/*", "", ",;q=x"])
        | _header_values,
        "accept-encoding": _header_values,
        "content-encoding": st.sampled_from(["gzip", "br", "identity"]),
        "origin": _header_values,
        "x-forwarded-for": _header_values,
    },
)
_parameters = st.dictionaries(
    st.sampled_from(["query", "variables", "operationName", "extensions"]) | st.text(st.characters(codec="utf-8"), max_size=5),
    _encoded(_json) | _documents.map(lambda text: text.encode("utf-8", "surrogatepass")),
    max_size=4,
)


def _is_endless(request: Request) -> bool:
    """Whether it may be a subscription in good order, whose answer never ends."""
    sent = request.body if request.method == "POST" else request.target.encode()
    return "event-stream" in request.headers.get("accept", "") and b"subscription" in sent


def requests() -> st.SearchStrategy[Request]:
    """Requests near to good ones. Whatever they are, the answer comes, and its status is below 500."""
    posts = st.builds(
        Request,
        _encoded(_payloads | _json),
        st.sampled_from(["POST"] * 8 + ["PUT", "DELETE", "PATCH", "OPTIONS", "NONSENSE"]),
        headers=st.just(JSON) | _headers,
    )
    gets = st.builds(
        Request,
        method=st.sampled_from(["GET", "GET", "HEAD"]),
        target=_parameters.map(lambda parameters: f"{PATH}?{urlencode(parameters)}"),
        headers=_headers.map(lambda headers: {name: value for name, value in headers.items() if name != "content-type"}),
    )
    return (posts | gets).filter(lambda request: not _is_endless(request))


_ids = st.sampled_from(["1", "2", "3"]) | _texts | _json
_messages = st.one_of(
    st.just({"type": "ping"}),
    st.fixed_dictionaries({"type": st.sampled_from(["ping", "pong", "connection_init"])}, optional={"payload": _json}),
    st.fixed_dictionaries({"id": _ids, "type": st.just("subscribe"), "payload": _payloads | _json}),
    st.fixed_dictionaries({"id": _ids, "type": st.just("complete")}),
    st.fixed_dictionaries({"type": _texts | _json}, optional={"id": _ids, "payload": _json}),
)
_good_messages = st.one_of(
    st.just({"type": "ping"}),
    st.builds(
        lambda number, document: {"id": number, "type": "subscribe", "payload": {"query": document}},
        st.sampled_from(["1", "2", "3"]),
        st.sampled_from([QUERY, MUTATION, SUBSCRIPTION]),
    ),
    st.builds(lambda number: {"id": number, "type": "complete"}, st.sampled_from(["1", "2", "3"])),
)


def frame_sequences() -> st.SearchStrategy[tuple[Frame, ...]]:
    """What a greeted socket may be sent: mostly good messages, some damaged. Whatever they are, the socket stays open or is
    closed with a code of 4400 to 4499, 1007 or 1009, never with 1006 or 1011."""
    good = _good_messages.map(frame)
    damaged = st.builds(Frame, _encoded(_messages), st.sampled_from([True, True, True, False]))
    return st.lists(good | damaged, min_size=1, max_size=8).map(tuple)
