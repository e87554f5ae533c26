"""axe-core in the page that a browser shows: what it finds wrong, in lines.

It is evaluated by the DevTools protocol, past the page's Content-Security-Policy, which lets no script in.
https://github.com/dequelabs/axe-core/blob/develop/doc/API.md
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

from page.browser import Browser

SOURCE = Path(__file__).with_name("vendor") / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
MORE_RULES = {"target-size": {"enabled": True}}  # 24 px: not yet on by default
# What is moving is judged as it comes to rest.
STILL = (
    "Promise.all(document.getAnimations().filter((each) => each.effect.getComputedTiming().endTime !== Infinity)"
    ".map((each) => each.finished.catch(() => 0))).then(() => true)"
)


def violations(browser: Browser, within: str | None = None) -> list[str]:
    """What is wrong with the page, or with the element of a CSS selector: a line for each node."""
    browser.run(STILL)
    browser.run(f"globalThis.axe ? 1 : (() => {{ {_source()} ; return 1 }})()")
    options = {"runOnly": {"type": "tag", "values": TAGS}, "rules": MORE_RULES, "resultTypes": ["violations"]}
    context = json.dumps(within) if within else "document"
    found = browser.run(
        f"""axe.run({context}, {json.dumps(options)}).then(({{ violations }}) => violations.flatMap(
          ({{ id, help, nodes }}) => nodes.map(({{ html, target, any, all, none }}) =>
            [id, help, target.join(" "), html.slice(0, 200), ...[...any, ...all, ...none].map((each) => each.message)]
              .join(" | "))))"""
    )
    return list(found)


@functools.cache
def _source() -> str:
    return SOURCE.read_text("utf-8")
