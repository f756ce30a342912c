"""What the tests have measured: the run prints it at its end."""

import os

FIGURES: list[str] = []


def told(figure: str) -> None:
    name = os.environ["PYTEST_CURRENT_TEST"].rpartition("::")[2].removesuffix(" (call)")
    FIGURES.append(f"{name}: {figure}")
