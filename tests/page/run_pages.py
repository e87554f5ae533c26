"""What the tests of a run's page share: going there, telling the server of a run, reading what is shown."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from page.browser import Browser
from page.looking import address
from server.process import ServerProcess

FACTS = (
    "Object.fromEntries([...document.querySelectorAll('[aria-label=Facts] dl > div')]"
    ".map((fact) => [...fact.children].map((each) => each.textContent)))"
)
ROWS = (
    "[...[...document.querySelectorAll('details')].find((each) => each.innerText.startsWith('{}'))"
    ".querySelectorAll('dl > div')].map((row) => [...row.children].map((each) => each.textContent))"
)
STATUS = "document.querySelector('main .status').textContent"
LINES = "[...document.querySelectorAll('[aria-label=\"What is missing\"] p')].map((line) => line.textContent)"
LOOKED = "document.dispatchEvent(new Event('visibilitychange'))"  # polls at once
TOLD = {"type": "ValueError", "message": "no", "traceback": "Traceback (most recent call last):\nValueError: no"}
CRASH = json.dumps(TOLD).encode()


def date(seconds_ago: float) -> str:
    then = datetime.now(timezone.utc) - timedelta(seconds=seconds_ago)
    return then.isoformat(timespec="microseconds").replace("+00:00", "Z")


def tell(server: ServerProcess, run: str, **fields: Any) -> None:
    answer = server.ask("PATCH", run, json=fields)
    assert answer.status_code == 200, answer.text


def resume(server: ServerProcess, run: str, maker: str) -> int:
    """The new generation."""
    answer = server.ask("POST", f"{run}generations/", json={"began": date(0)}, headers={"Steplog-Maker": maker})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["generation"])


def opened(server: ServerProcess, browser: Browser, path: str, name: str | None = None) -> None:
    """Go to the page of a run; it is there once its name is."""
    browser.open(address(server, path))
    if name is None:
        browser.wait("document.querySelector('[aria-label=Facts]')")
    else:
        browser.by_role("heading", name).found()


def panels(browser: Browser) -> list[str]:
    """What is told of the run in panels of their own."""
    told = {"Exception", "Config", "Started from"}
    return [name for name in browser.names("heading") if name in told]
