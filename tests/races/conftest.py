"""What the races stand on."""

from pathlib import Path

import pytest

from tests.support.market import made_up, write_market


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hundred made-up symbols, in a folder."""
    return write_market(tmp_path_factory.mktemp("market") / "made_up", made_up(200))
