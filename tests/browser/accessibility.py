"""What axe says of a page, once nothing moves on it any more."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

from tests.browser.conftest import until

AXE = Path(__file__).parent / "assets" / "axe.min.js"
#: The standards that are asked for, and axe's own advice.
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]}}


def faults(page: Page) -> list[str]:
    """What axe finds that is serious or critical, one line a fault."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("(rules) => axe.run(document, rules)", RULES)["violations"]
    return [
        f"{fault['id']} ({fault['impact']}): {fault['help']} {node['target']} {node.get('failureSummary', '')}"
        for fault in found
        for node in fault["nodes"]
        if fault["impact"] in ("serious", "critical")
    ]


def settle(page: Page) -> None:
    """Wait until nothing moves any more: half a fading has half its contrast."""
    until(
        page,
        """() => {
            const roots = [document, ...[...document.querySelectorAll("*")].map((each) => each.shadowRoot)];
            const moving = roots.flatMap((root) => root?.getAnimations?.() ?? []);
            return moving.every(
                (each) => each.playState !== "running" || each.effect.getTiming().iterations === Infinity);
        }""",
    )
