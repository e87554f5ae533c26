"""Making a run on the server that was begun without it. Pure.

A run that was started offline, or while its server was away, has records before it has an identity. Its first delivery
makes the project, if it is not there, and then the run::

    ACCOUNT ──▶ PROJECT ──▶ RUN ◀──▶ LOOK ──▶ done
    (namespace     │ 404      ▲
     not known)    ▼          │
             MAKE_PROJECT ────┘   (400: somebody else has just made it, so PROJECT again)

The POST that makes the run carries an ``Idempotency-Key``: where its answer is lost, the second one gives the same
run. A stock server knows no such key; there the run bears a name of ours that nobody else gives, and before a second
POST, LOOK searches the list of runs for it: neither a lost answer nor a death before it makes a second run there.
That a POST is about to leave is written down before (``posting``; the plan's ``creating``), so that an agent that takes
over after a death looks first.

A run to which its user gave a name cannot be told from another of that name. On a stock server its POST goes again, and
what the first one made, if it made anything, stays there without a record.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import msgspec

from steplog.delivery import questions, wire
from steplog.delivery.exchange import Request
from steplog.delivery.order import Order
from steplog.delivery.verdicts import Judgement, Verdict
from steplog.journal.manifest import Plan

__all__ = ["Creation", "Made"]

_JSON = {"Content-Type": "application/json"}


class Made(msgspec.Struct, frozen=True):
    """The run as the server made it."""

    uuid: str
    name: str
    batch: int = 0


class _Step(Enum):
    ACCOUNT = "whose key is it"
    PROJECT = "is the project there"
    MAKE_PROJECT = "make the project"
    RUN = "make the run"
    LOOK = "was the run made after all"


class Creation:
    """One run's way onto the server; ``made`` is the run, once it is there, and ``refused`` why it never will be.

    ``posting`` writes down, for whoever comes after a death, that the run may be there from now on.
    """

    def __init__(self, plan: Plan, posting: Callable[[], None] = lambda: None) -> None:
        self.namespace = plan.namespace
        self.made: Made | None = None
        self.refused: Judgement | None = None
        self._plan = plan
        self._posting = posting
        self._posted = plan.creating
        self._refused_once = False  # the project
        self._step = _Step.PROJECT if plan.namespace else _Step.ACCOUNT

    @property
    def name(self) -> str:
        """The name that the run is to have."""
        return self._plan.name or f"run_{self._plan.local_id[:12]}"

    def order(self) -> Order:
        """The exchange that is due."""
        space, project = self.namespace, self._plan.project
        if self._step is _Step.ACCOUNT:
            request = Request("GET", f"{wire.API}/verify-api-key/")
            return Order(request, lambda body: questions.username(body) is not None, self._account)
        if self._step is _Step.PROJECT:
            return Order(Request("GET", wire.project_path(space, project)), _is_object, self._project)
        if self._step is _Step.MAKE_PROJECT:
            wanted = {"display_name": self._plan.project_name, "visibility": "RESTRICTED"}
            return Order(Request("POST", wire.projects_path(space), _encode(wanted), _JSON), _is_object, self._project)
        if self._step is _Step.LOOK:
            request = Request("GET", wire.runs_path(space, project), answer_bytes_max=questions.LIST_BYTES_MAX)
            return Order(request, lambda body: _read(body, list[Made]) is not None, self._looked)
        if not self._posted:
            self._posted = True
            self._posting()
        headers = _JSON | {"Idempotency-Key": f'"{self._plan.local_id}"'}
        request = Request("POST", wire.runs_path(space, project), self._wanted(), headers)
        return Order(request, lambda body: _read(body, Made) is not None, self._run)

    def _wanted(self) -> bytes:
        given = {"name": self.name, "description": self._plan.description, "status": self._plan.status}
        return _encode({key: value for key, value in given.items() if value is not None})

    def _account(self, now: float, judgement: Judgement, body: bytes) -> None:
        if judgement.verdict is Verdict.ACCEPTED:
            self.namespace = questions.username(body) or ""
            self._step = _Step.PROJECT

    def _project(self, now: float, judgement: Judgement, body: bytes) -> None:
        making = self._step is _Step.MAKE_PROJECT
        if judgement.verdict is Verdict.ACCEPTED:
            self._step = _Step.LOOK if self._posted else _Step.RUN
        elif judgement.verdict is Verdict.MISSING and not making:
            self._step = _Step.MAKE_PROJECT
        elif judgement.verdict is Verdict.REFUSED and making:
            self._step = _Step.PROJECT  # two runs make one project: the second finds it, and nothing is wrong
            self.refused = judgement if self._refused_once else None
            self._refused_once = True
        elif judgement.verdict in (Verdict.REFUSED, Verdict.MISSING):
            self.refused = judgement

    def _run(self, now: float, judgement: Judgement, body: bytes) -> None:
        if judgement.verdict is Verdict.ACCEPTED:
            self.made, self.refused = _read(body, Made), None
        elif judgement.verdict in (Verdict.AGAIN, Verdict.FAULT) and not judgement.declined:
            self._step = _Step.LOOK
        elif judgement.verdict in (Verdict.REFUSED, Verdict.MISSING):
            self.refused = judgement

    def _looked(self, now: float, judgement: Judgement, body: bytes) -> None:
        if judgement.verdict is not Verdict.ACCEPTED:
            return
        found = [run for run in _read(body, list[Made]) or [] if run.name == self.name]
        if self._plan.name is None and found:
            self.made = found[0]
        else:
            self._step = _Step.RUN


def _encode(fields: dict[str, Any]) -> bytes:
    return msgspec.json.encode(fields)


def _is_object(body: bytes) -> bool:
    return _read(body, dict[str, Any]) is not None


def _read(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
