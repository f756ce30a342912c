"""What axe finds wrong with a page: https://github.com/dequelabs/axe-core."""

from pathlib import Path

from playwright.sync_api import Page

SOURCE = Path(__file__).parents[1] / "clients" / "node_modules" / "axe-core" / "axe.min.js"


def violations(page: Page) -> list[tuple[str, str, list[str]]]:
    """Of every rule it has: the rule, what it asks for, and where."""
    page.evaluate(SOURCE.read_text())  # a script element would be refused by the page's policy
    found = page.evaluate("axe.run(document)")["violations"]
    return [(it["id"], it["help"], [str(node["target"]) for node in it["nodes"]]) for it in found]
