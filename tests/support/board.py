"""What the tests of the board find on it, and a window that does not hear what others do."""

from collections.abc import Callable

from playwright.sync_api import Locator, Page, WebSocketRoute

STALE = ("BA", "DIS", "INTC", "SOL-USD")
PATIENCE_MS = 15_000
"""Where the service has work to do."""


def card(page: Page, ticker: str) -> Locator:
    return page.locator(f"[data-ticker='{ticker}']")


def tickers(page: Page) -> list[str]:
    """Those that are shown, in their order."""
    found: list[str] = page.evaluate("[...document.querySelectorAll('[data-ticker]')].map(({dataset}) => dataset.ticker)")
    return found


def matches(page: Page) -> Locator:
    """What the provider is said to have, in the dialog that adds a symbol."""
    return page.get_by_role("listbox", name="What the provider has").get_by_role("option")


def token(page: Page, measured: str, name: str) -> str:
    """What a token is in the theme of the page, as the browser computes it for that property."""
    value: str = page.evaluate(
        """([measured, name]) => {
          const probe = document.body.appendChild(document.createElement('i'))
          probe.style.setProperty(measured, `var(${name})`)
          const value = getComputedStyle(probe).getPropertyValue(measured)
          probe.remove()
          return value
        }""",
        [measured, name],
    )
    return value


def style(found: Locator, measured: str) -> str:
    value: str = found.evaluate("(element, measured) => getComputedStyle(element).getPropertyValue(measured)", measured)
    return value


def opacity(found: Locator) -> float:
    """That of an element with all that it is in."""
    seen: float = found.evaluate(
        """(element) => {
          let seen = 1
          for (let it = element; it; it = it.parentElement) seen *= Number(getComputedStyle(it).opacity)
          return seen
        }"""
    )
    return seen


class Deafness:
    """Keeps from a page, from `begin` to `end`, what the service tells its subscriptions; to be made before the page loads."""

    def __init__(self, page: Page) -> None:
        self._is_on = False
        self._kept: list[Callable[[], None]] = []
        page.route_web_socket("**/graphql", self._route)

    def _route(self, window: WebSocketRoute) -> None:
        service = window.connect_to_server()
        window.on_message(service.send)

        def hear(message: str | bytes) -> None:
            if self._is_on:
                self._kept.append(lambda: window.send(message))
            else:
                window.send(message)

        service.on_message(hear)

    def begin(self) -> None:
        self._is_on = True

    def end(self) -> None:
        self._is_on = False
        for tell in self._kept:
            tell()
        self._kept.clear()
