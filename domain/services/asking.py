"""Asking a provider: never with a transaction open, never for longer than a caller can wait."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from domain.errors import ProviderUnavailable, Trouble

T = TypeVar("T")

PROVIDER_SECONDS = 8


async def ask(provider: str, answer: Awaitable[T]) -> T:
    """The answer; raises ProviderUnavailable when it takes longer than 8 s of real time."""
    try:
        async with asyncio.timeout(PROVIDER_SECONDS):
            return await answer
    except TimeoutError:
        raise ProviderUnavailable(provider, Trouble.DOWN, f"did not answer within {PROVIDER_SECONDS} s") from None
