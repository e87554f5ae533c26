"""What ``docs/team.md`` says of who may do what, and a request for each route of a project."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from server.batches import range_of
from server.process import BATCH_HEADERS
from steplog.journal.range import encode
from steplog.server.permissions import ROLES, VISIBILITIES, Right

DOCUMENT = Path(__file__).parents[2] / "docs" / "team.md"
RIGHTS = (Right.READ, Right.WRITE, Right.OWN)
PROJECT = "/{namespace}/projects/{project}/"
RUN = PROJECT + "runs/{run}/"
VIEW = PROJECT + "views/{view}/"
BLOB = PROJECT + "blobs/{sha256}"
ARTIFACTS = PROJECT + "artifacts/"
_BATCH = encode(range_of([("loss", 0.5, 1)], 0, writer="w"))
_MAKER = {"Steplog-Maker": "m"}


class Cell(NamedTuple):
    """A project, and the roles that a user has been given; None: no role."""

    visibility: str
    in_namespace: str | None
    in_project: str | None


CELLS = [
    Cell(visibility, in_namespace, in_project)
    for visibility in VISIBILITIES
    for in_namespace in (None, *ROLES)
    for in_project in (None, *ROLES)
]

# What asks for each route, so that who may gets an answer that is not 403 or 404.
REQUESTS: dict[tuple[str, str], dict[str, Any]] = {
    ("GET", PROJECT): {},
    ("PATCH", PROJECT): {"json": {}},
    ("DELETE", PROJECT): {},
    ("GET", PROJECT + "runs/"): {},
    ("POST", PROJECT + "runs/"): {"json": {}, "headers": {"Idempotency-Key": '"k"'}},
    ("GET", RUN): {},
    ("PATCH", RUN): {"json": {}},
    ("DELETE", RUN): {},
    ("POST", RUN + "restore/"): {"json": {}},
    ("POST", RUN + "generations/"): {"json": {"began": "2026-01-01T00:00:00Z"}, "headers": _MAKER},
    ("GET", RUN + "metrics/"): {},
    ("POST", RUN + "metrics/"): {"json": {"name": "a", "value": 1, "step": 1}},
    ("POST", RUN + "metrics/batch/"): {"data": _BATCH, "headers": BATCH_HEADERS},
    ("GET", RUN + "series/"): {},
    ("GET", RUN + "history/"): {},
    ("GET", PROJECT + "table/"): {},
    ("GET", PROJECT + "table/columns/"): {},
    ("POST", PROJECT + "curves/"): {"json": {"where": "", "names": ["loss"]}},
    ("GET", RUN + "files/"): {},
    ("POST", RUN + "files/"): {"json": {"pending": 0}},
    ("GET", RUN + "files/{file}"): {},
    ("GET", BLOB): {},
    ("PUT", BLOB): {"headers": {"Content-Range": "bytes */4"}},
    ("GET", ARTIFACTS): {},
    ("GET", ARTIFACTS + "{name}/{version}/"): {},
    ("GET", ARTIFACTS + "{name}/{version}/files/{path}"): {},
    ("GET", PROJECT + "views/"): {},
    ("POST", PROJECT + "views/"): {"json": {"name": "another", "address": ""}},
    ("PATCH", VIEW): {"json": {}},
    ("DELETE", VIEW): {},
}


def role_of(cell: Cell) -> str | None:
    """The role in the project, as the document has it."""
    inherited = _inherited()[cell.visibility, cell.in_namespace]
    return max(inherited, cell.in_project, key=lambda role: -1 if role is None else ROLES.index(role))


def may(role: str | None, right: Right) -> bool:
    """Whether a role gives a right, as the document has it."""
    return _given()[role, right]


def _inherited() -> dict[tuple[str, str | None], str | None]:
    return {
        (visibility, column): None if role == "none" else role
        for visibility, *roles in _rows("| visibility |")
        for column, role in zip((None, *ROLES), roles, strict=True)
    }


def _given() -> dict[tuple[str | None, Right], bool]:
    return {
        (None if role == "none" else role, right): answer == "yes"
        for role, *answers in _rows("| role |")
        for right, answer in zip(RIGHTS, answers, strict=True)
    }


def _rows(head: str) -> Iterator[list[str]]:
    """The rows of the table with this beginning."""
    text = DOCUMENT.read_text("utf-8")
    table = text[text.index(head) :].split("\n\n")[0]
    for line in table.splitlines()[2:]:
        yield [cell.strip() for cell in re.split(r"\|", line)[1:-1]]
