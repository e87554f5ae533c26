"""Projects and runs for the tests of the page, and their URLs."""

from __future__ import annotations

from typing import Any

from server.process import ServerProcess
from steplog import instance

CARDS = "[...document.querySelectorAll('.card h3')].map((each) => each.textContent)"
DRAWN = "document.querySelectorAll('.card canvas').length"


def address(server: ServerProcess, path: str) -> str:
    state = instance.read(server.state)
    assert state is not None
    return instance.page_url(state, path)


def project(server: ServerProcess, name: str) -> str:
    made = server.ask("POST", "/team/projects/", json={"display_name": name, "visibility": "TEAM"})
    assert made.status_code == 201, made.text
    return f"/team/projects/{made.json()['slug']}/"


def new_run(server: ServerProcess, place: str, **fields: Any) -> str:
    made = server.ask("POST", f"{place}runs/", json=fields)
    assert made.status_code == 201, made.text
    return f"{place}runs/{made.json()['uuid']}/"
