"""The demo: a recorded market, onboarded by the service's own code, in a database of its own."""

from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from domain.errors import InvalidSession, SymbolNotFound, VersionConflict
from domain.session import SessionMode, SessionState, StartSession
from providers.sample import listing
from web.container import Container, open_container
from web.settings import BUNDLED_SAMPLE, Settings

DEMO_CLOCK = datetime(2026, 3, 27, 20, 30, tzinfo=UTC)
LEFT_OUT = {"PLTR", "QCOM", "TSM"}
"""Symbols of the market that the demo does not know yet: to be onboarded by whoever tries it."""
DAY, SPEED = date(2026, 3, 25), 60.0
REPLAYED = ("AAPL", "NVDA", "SPY")
LONG_AGO = {
    "BA": timedelta(days=8),
    "DIS": timedelta(days=4),
    "INTC": timedelta(days=3),
    "SOL-USD": timedelta(days=3),
}
"""How long before the demo's present a symbol was refreshed last; the others are fresh."""


@contextmanager
def demo_settings(settings: Settings) -> Iterator[Settings]:
    """The settings of a demo: a new temporary database each time, the bundled market, the clock at its last evening."""
    with TemporaryDirectory(prefix="freshtape-demo-", ignore_cleanup_errors=True) as folder:
        yield settings.model_copy(
            update={
                "database_url": f"sqlite+aiosqlite:///{Path(folder) / 'demo.db'}",
                "providers": ("sample",),
                "sample_dir": BUNDLED_SAMPLE,
                "clock": DEMO_CLOCK,
                "onboarding_max_depth": 50,
            }
        )


def demo_tickers(market: Path) -> list[str]:
    """What the demo knows from the start."""
    return [ticker for ticker in listing(market) if ticker not in LEFT_OUT]


async def fill(settings: Settings, done: Callable[[str], None]) -> None:
    """Onboards the symbols, each at its own time, oldest first."""
    groups: dict[timedelta, list[str]] = {}
    for ticker in demo_tickers(settings.sample_dir):
        groups.setdefault(LONG_AGO.get(ticker, timedelta()), []).append(ticker)
    for ago in sorted(groups, reverse=True):
        at = settings.model_copy(update={"clock": DEMO_CLOCK - ago})
        async with open_container(at) as container:
            for ticker in groups[ago]:
                await _onboard(container, ticker)
                done(ticker)


async def replay_over_and_over(container: Container) -> None:
    """For ever: starts the replay, and again when one has come to its end. Who stops it has it stopped."""
    sessions = container.services.sessions
    asked = StartSession(SessionMode.REPLAY, REPLAYED, DAY, speed=SPEED)
    async with aclosing(sessions.follow(None)) as moves:
        async for move in moves:
            session = move.event.session
            if session.state is SessionState.FINISHED or session.version == 0:
                with suppress(VersionConflict, InvalidSession, SymbolNotFound):  # somebody was faster, or has removed one
                    await sessions.start(asked, session.version)


async def _onboard(container: Container, ticker: str) -> None:
    """Or refresh one that is there already: an earlier symbol's betas needed it."""
    entered = await container.services.onboarding.onboard([ticker], "demo")
    await container.pipeline.work_off()
    if entered.ready:
        await container.services.refreshing.refresh(ticker, None, "cli")
