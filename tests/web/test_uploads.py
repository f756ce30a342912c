"""Portfolio files over HTTP, as long as they may be."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from domain.portfolio_csv import MAX_BYTES, MAX_ROWS
from tests.support.figures import told
from tests.support.portfolios import HEADER
from tests.support.provider import StubProvider
from tests.support.served import Served, served

IMPORT = """mutation($input: ImportPortfolioInput!) { importPortfolio(input: $input) {
    __typename ... on PortfolioImported { portfolio { positions { quantity } } }
    ... on InvalidPortfolio { message errors { line code } }
} }"""


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, lambda *_: StubProvider("AAPL")) as service:
        yield service


def rows() -> str:
    """A header and as many lots as a file may have, as wide as they may be."""
    width = (MAX_BYTES - len(HEADER)) // MAX_ROWS - 1
    return HEADER + "".join(f"AAPL,{number + 1},1,,".ljust(width) + "\n" for number in range(MAX_ROWS))


def filled(text: str, unit: str) -> str:
    """To exactly 1 MiB, by comments of a line."""
    line = "# " + unit * (100 // len(unit.encode())) + "\n"
    count, rest = divmod(MAX_BYTES - len(text.encode()), len(line.encode()))
    return text + line * count + "#" * rest


LOT = HEADER + "AAPL,1,1,,\n"
FILES = {
    "lots": filled(rows(), "#"),
    "commas": filled(LOT, ","),
    "marks": filled(LOT, ":[{"),
    "lines": LOT + "\n" * (MAX_BYTES - len(LOT)),
    "quotes": filled(LOT, '"'),
    "accents": filled(LOT, "é"),
}


async def send(service: Served, csv: str, *, ascii_only: bool) -> httpx.Response:
    body = {"query": IMPORT, "variables": {"input": {"name": "Main", "csv": csv}}}
    content = json.dumps(body, ensure_ascii=ascii_only).encode()
    return await service.http.post("/graphql", content=content, headers={"content-type": "application/json"}, timeout=60)


@pytest.mark.parametrize("ascii_only", [False, True], ids=["as it is", "escaped"])
@pytest.mark.parametrize("csv", FILES.values(), ids=FILES.keys())
async def test_a_file_of_one_mebibyte(service: Served, csv: str, ascii_only: bool) -> None:
    assert len(csv.encode()) == MAX_BYTES
    answer = await send(service, csv, ascii_only=ascii_only)
    done = answer.json()["data"]["importPortfolio"]
    assert done["__typename"] == "PortfolioImported", done
    assert len(done["portfolio"]["positions"]) == (MAX_ROWS if csv is FILES["lots"] else 1)
    told(f"{len(answer.request.content):,} bytes in {1000 * answer.elapsed.total_seconds():.0f} ms")


@pytest.mark.parametrize("csv", FILES.values(), ids=FILES.keys())
async def test_and_one_byte_more(service: Served, csv: str) -> None:
    refused = (await send(service, csv + "#", ascii_only=True)).json()["data"]["importPortfolio"]
    assert refused["__typename"] == "InvalidPortfolio"
    assert refused["errors"] == [{"line": 1, "code": "FILE_TOO_LARGE"}]
