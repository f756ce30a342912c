"""Stubs on real sockets, whose present is the last evening of the sample market."""

from collections.abc import Iterator

import pytest

from providers.massive import MassiveProvider
from providers.yahoo import YahooProvider
from tests.support.clock import ManualClock
from tests.support.massive.server import KEY, MassiveStub
from tests.support.yahoo.provider import new_provider
from tests.support.yahoo.server import YahooStub, running


@pytest.fixture(scope="module")
def present() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def served_stub(present: ManualClock) -> Iterator[tuple[YahooStub, str]]:
    stub = YahooStub(present.now)
    with running(stub) as url:
        yield stub, url


@pytest.fixture
def stub(served_stub: tuple[YahooStub, str], present: ManualClock) -> YahooStub:
    """Without trouble, and nothing asked of it."""
    served_stub[0].calm()
    present.at = ManualClock().at
    return served_stub[0]


@pytest.fixture
def yahoo(stub: YahooStub, served_stub: tuple[YahooStub, str], present: ManualClock) -> YahooProvider:
    return new_provider(served_stub[1], present)


@pytest.fixture(scope="module")
def served_massive(present: ManualClock) -> Iterator[tuple[MassiveStub, str]]:
    stub = MassiveStub(present.now)
    with running(stub) as url:
        yield stub, url


@pytest.fixture
def massive_stub(served_massive: tuple[MassiveStub, str], present: ManualClock) -> MassiveStub:
    """Without trouble, and nothing asked of it."""
    served_massive[0].calm()
    present.at = ManualClock().at
    return served_massive[0]


@pytest.fixture
def massive(massive_stub: MassiveStub, served_massive: tuple[MassiveStub, str], present: ManualClock) -> MassiveProvider:
    return MassiveProvider(present, KEY, served_massive[1])
