"""The dashboard and the playground as files: what is sent under which path, and what a browser may do with it."""

import gzip
import os
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.support.provider import StubProvider
from tests.support.raw import RawClient
from tests.support.served import Served, served
from web.endpoint.negotiation import takes_gzip
from web.pages import BUILT, DASHBOARD, Pages

DASHBOARD_PATHS = [
    "/",
    "/symbols/AAPL",
    "/symbols/EUR%2FUSD",
    "/symbols/EUR/USD",
    "/onboarding",
    "/portfolios",
    "/portfolios/UG9ydGZvbGlvOjE%3D",
    "/session",
    "/service",
]
ORIGIN_ALONE = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PLAYGROUND = f"{ORIGIN_ALONE}; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
FOR_EVER = "public, max-age=31536000, immutable"
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".html": "text/html; charset=utf-8",
}
QUERY = {"query": "{ __typename }"}


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Served]:
    assert (BUILT / "index.html").is_file(), "The dashboard is not built: run `make ui`."
    async with served(sqlite_url, lambda *_: StubProvider()) as service:
        yield service


def names() -> list[str]:
    """Everything that a page may load, as it was built."""
    found = [path.relative_to(BUILT).as_posix() for path in BUILT.rglob("*") if path.is_file()]
    return [name for name in found if not name.endswith((".gz", ".html")) and name != ".stamp"]


def content(answer: httpx.Response, name: str) -> bool:
    return answer.status_code == 200 and answer.content == (BUILT / name).read_bytes()


# ── what answers where


@pytest.mark.parametrize("path", DASHBOARD_PATHS)
async def test_a_page_of_the_dashboard(service: Served, path: str) -> None:
    answer = await service.http.get(path)
    assert content(answer, "index.html")
    assert answer.headers["content-type"] == TYPES[".html"]
    assert answer.headers["content-security-policy"] == ORIGIN_ALONE
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-cache"


def test_every_path_of_the_dashboard_is_asked_for_here() -> None:
    for path in DASHBOARD:
        pattern = re.sub(r"{\w+:path}", ".+", path)
        assert any(re.fullmatch(pattern, asked) for asked in DASHBOARD_PATHS), path


@pytest.mark.parametrize(("path", "headers"), [("/playground", {}), ("/graphql", BROWSER)])
async def test_the_playground(service: Served, path: str, headers: dict[str, str]) -> None:
    answer = await service.http.get(path, headers=headers)
    assert content(answer, "playground.html")
    assert answer.headers["content-security-policy"] == PLAYGROUND
    assert answer.headers["cache-control"] == "no-cache"
    assert {"accept", "accept-encoding"} <= set(answer.headers["vary"].split(", "))


async def test_what_the_pages_load_is_there(service: Served) -> None:
    for page in ("index.html", "playground.html"):
        loaded = re.findall(r'(?:src|href)="([^"]+)"', (BUILT / page).read_text())
        assert len(loaded) >= 4
        for address in loaded:
            assert content(await service.http.get(address), address.removeprefix("/")), address


async def test_every_file_has_its_type_and_may_be_kept_as_long_as_it_holds(service: Served) -> None:
    found = names()
    assert {Path(name).suffix for name in found} == {".js", ".css", ".svg", ".ttf"}
    for name in found:
        answer = await service.http.get(f"/{name}")
        assert content(answer, name), name
        assert answer.headers["content-type"] == TYPES[Path(name).suffix]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == (FOR_EVER if name.startswith("assets/") else "no-cache")


async def test_answers_of_the_api_are_kept_by_nobody(service: Served) -> None:
    for answer in (await service.http.post("/graphql", json=QUERY), await service.http.get("/graphql", params=QUERY)):
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")


@pytest.mark.parametrize(
    "path", ["/nothing", "/index.html", "/playground.html", "/symbols.json", "/.stamp", "/static/index.html"]
)
async def test_another_path_is_not_there(service: Served, path: str) -> None:
    answer = await service.http.get(path, headers=BROWSER)
    assert answer.status_code == 404
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/assets/index-00000000.js", "/assets/", "/assets", "/assets/a/b.js"])
async def test_a_file_that_is_not_there_is_not_kept(service: Served, path: str) -> None:
    answer = await service.http.get(path, follow_redirects=True)
    assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../pages.py",
        "/assets/../../pages.py",
        "/assets/%2e%2e/%2e%2e/pages.py",
        "/assets/..%2f..%2fpages.py",
        "/assets/..%5c..%5cpages.py",
        "/assets/%2e%2e%2findex.html",
        "/assets/..",
        "/assets//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        f"/assets/..%2f..%2f..%2f{'..%2f' * 12}etc%2fpasswd",
        "/assets/%00",
        "/assets/a%00.js",
        "/assets/" + "a" * 5000,
        "//etc/passwd",
        "/../../etc/passwd",
        "/..%2fpages.py",
    ],
)
async def test_nothing_else_of_the_machine_is_sent(service: Served, path: str) -> None:
    """As it is, past a client that would tidy it up."""
    async with RawClient(service.url) as client:
        await client.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 404 "), answer
    assert b"immutable" not in answer


@pytest.mark.parametrize("path", ["/", "/service", "/playground", "/theme.js"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_page_is_only_read(service: Served, path: str, method: str) -> None:
    answer = await service.http.request(method, path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/", "/playground", "/theme.js", "/assets/x.js"])
async def test_a_name_that_was_rebound_gets_no_page(service: Served, path: str, method: str) -> None:
    answer = await service.http.request(method, path, headers={"host": "evil.example"})
    assert answer.status_code == 400


async def test_pages_are_counted_under_one_name(service: Served) -> None:
    for path in (*DASHBOARD_PATHS, "/playground", *(f"/symbols/T{number}" for number in range(20)), "/assets/nothing.js"):
        await service.http.get(path)
    found = re.findall(
        r'^freshtape_http_requests_total{.*path="([^"]*)"', (await service.http.get("/metrics")).text, re.MULTILINE
    )
    assert set(found) <= {"/graphql", "/healthz", "/readyz", "/metrics", "other"}
    assert "other" in found


# ── what travels


async def test_what_was_compressed_at_the_build_is_the_same(service: Served) -> None:
    sent = size = 0
    for path, name in [("/", "index.html"), ("/playground", "playground.html"), *((f"/{name}", name) for name in names())]:
        answer = await service.http.get(path, headers={"accept-encoding": "gzip"})
        assert content(answer, name), name  # decoded by the client
        assert answer.headers["content-encoding"] == "gzip"
        assert "accept-encoding" in answer.headers["vary"]
        assert int(answer.headers["content-length"]) == (BUILT / f"{name}.gz").stat().st_size
        sent, size = sent + int(answer.headers["content-length"]), size + len(answer.content)
    assert sent < size / 2


@pytest.mark.parametrize("header", ["", "identity", "br", "gzip;q=0", "gzip; q=0.000", "br, gzip ;q=0", "gzipped", "*"])
async def test_who_does_not_take_it_gets_it_as_it_is(service: Served, header: str) -> None:
    answer = await service.http.get("/theme.js", headers={"accept-encoding": header})
    assert "content-encoding" not in answer.headers
    assert answer.content == (BUILT / "theme.js").read_bytes()
    assert "accept-encoding" in answer.headers["vary"]


@pytest.mark.parametrize("header", ["gzip", "GZIP", "gzip, deflate, br, zstd", "br;q=1.0, gzip;q=0.1", "deflate,gzip;q=0.001"])
def test_who_takes_it(header: str) -> None:
    assert takes_gzip(header)


async def test_a_compressed_file_asked_for_by_its_own_name_says_what_it_is(service: Served) -> None:
    (name, *_) = [path.name for path in (BUILT / "assets").glob("index-*.js")]
    headers = {"accept-encoding": "identity"}
    async with service.http.stream("GET", f"/assets/{name}.gz", headers=headers) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == (BUILT / "assets" / name).read_bytes()


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
@pytest.mark.parametrize("path", ["/", "/symbols/AAPL", "/playground", "/theme.js"])
async def test_what_has_not_changed_is_not_sent_again(service: Served, path: str, encoding: str) -> None:
    first = await service.http.get(path, headers={"accept-encoding": encoding})
    known = {"accept-encoding": encoding, "if-none-match": first.headers["etag"]}
    again = await service.http.get(path, headers=known)
    assert (again.status_code, again.content) == (304, b"")
    for header in ("etag", "cache-control", "vary"):
        assert again.headers[header] == first.headers[header]
    other = await service.http.get(path, headers={**known, "if-none-match": '"another"'})
    assert (other.status_code, other.content) == (200, first.content)


async def test_the_two_forms_of_a_file_are_not_taken_for_each_other(service: Served) -> None:
    forms = [(await service.http.get("/", headers={"accept-encoding": it})).headers["etag"] for it in ("gzip", "identity")]
    assert len(set(forms)) == 2


@pytest.mark.parametrize("path", ["/", "/playground", "/theme.js", "/favicon.svg"])
async def test_only_the_head(service: Served, path: str) -> None:
    whole, head = await service.http.get(path), await service.http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert {**head.headers, "date": ""} == {**whole.headers, "date": ""}


# ── where nothing is built


@pytest.fixture
async def bare(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr("web.app.Pages", partial(Pages, tmp_path / "nowhere"))
    async with served(sqlite_url, lambda *_: StubProvider()) as service:
        yield service


@pytest.mark.parametrize("path", [*DASHBOARD_PATHS, "/playground", "/graphql"])
async def test_without_a_build_a_page_says_how_to_build_it(bare: Served, path: str) -> None:
    answer = await bare.http.get(path, headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (503, TYPES[".html"])
    assert "<code>make ui</code>" in answer.text
    assert "<script" not in answer.text
    assert answer.headers["cache-control"] == "no-store"


async def test_without_a_build_the_api_answers(bare: Served) -> None:
    assert await bare.ask("{ __typename }") == {"data": {"__typename": "Query"}}
    async with bare.socket() as socket:
        assert await socket.ask("{ __typename }") == {"data": {"__typename": "Query"}}
    assert (await bare.http.get("/readyz")).status_code == 200
    for path in ("/assets/index.js", "/theme.js", "/nothing"):
        assert (await bare.http.get(path)).status_code == 404


async def test_a_build_that_was_cut_off_leaves_a_service_that_starts(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "index.html").write_text("<!doctype html>")
    monkeypatch.setattr("web.app.Pages", partial(Pages, tmp_path))
    async with served(sqlite_url, lambda *_: StubProvider()) as service:
        assert (await service.http.get("/")).text == "<!doctype html>"
        for path in ("/playground", "/theme.js", "/assets/index.js"):
            assert (await service.http.get(path)).status_code == 404


async def test_a_link_out_of_the_folder_is_not_followed(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = tmp_path / "static"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("<!doctype html>")
    (tmp_path / "secret.js").write_text("secret")
    os.symlink(tmp_path / "secret.js", built / "assets" / "link.js")
    monkeypatch.setattr("web.app.Pages", partial(Pages, built))
    async with served(sqlite_url, lambda *_: StubProvider()) as service:
        assert (await service.http.get("/assets/link.js")).status_code == 404
