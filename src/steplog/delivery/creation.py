"""Making a run on the server that was begun without it. Pure.

The first delivery makes the project, if it is not there, and then the run::

    ACCOUNT ──▶ PROJECT ──▶ RUN ◀──▶ LOOK ──▶ done
    (namespace     │ 404      ▲
     not known)    ▼          │
             MAKE_PROJECT ────┘   (400: somebody else has just made it, so PROJECT again)

A project is made only where the server itself says that there is none: 404 in JSON with ``detail``. Any other 404 comes
from a proxy, and is asked again.

The POST that makes the run carries an ``Idempotency-Key``: a second one gives the same run. A stock server knows no
such key. There the run gets a name of ours that nobody else gives, and LOOK searches the list of runs for it before a
second POST. The manifest says before a POST that it may leave (``Store``), so that an agent after a death looks first.

A run that its user named cannot be told from another of that name: on a stock server its POST is sent again, and a run
that the first one made stays there without a record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import msgspec

from steplog.delivery import wire
from steplog.delivery.exchange import Request
from steplog.delivery.probe import TOO_LONG
from steplog.delivery.tickets import Send, Store, Ticket
from steplog.delivery.verdicts import Judgement, Verdict, is_proxys_404
from steplog.journal.manifest import Plan

__all__ = ["Create", "Creation", "Made", "Step"]

_JSON = {"Content-Type": "application/json"}


class Made(msgspec.Struct, frozen=True):
    """The run as the server made it."""

    uuid: str
    name: str
    batch: int = 0
    features: Any = None


class Step(Enum):
    """What is asked next, or for."""

    ACCOUNT = "whose key is it"
    PROJECT = "is the project there"
    MAKE_PROJECT = "make the project"
    RUN = "make the run"
    LOOK = "was the run made after all"


@dataclass(frozen=True, slots=True)
class Create(Ticket):
    """The ticket of a step."""

    step: Step

    def confirms(self, body: bytes) -> bool:
        """Whether the body answers this step."""
        if self.step is Step.ACCOUNT:
            return wire.username(body) is not None
        if self.step is Step.LOOK and wire.is_too_long(body):
            return True
        answers: dict[Step, type[Any]] = {Step.LOOK: list[Made], Step.RUN: Made}
        return wire.read(body, answers.get(self.step, dict[str, Any])) is not None


class Creation:
    """``made`` is the run, once the server has it, ``refused`` why it never will, ``step`` what is due."""

    def __init__(self, plan: Plan) -> None:
        self.namespace = plan.namespace
        self.made: Made | None = None
        self.refused: Judgement | None = None
        self._plan = plan
        self.posted = plan.creating  # the run may be there
        self._refused_once = False  # the project
        self.step = Step.PROJECT if plan.namespace else Step.ACCOUNT

    @property
    def name(self) -> str:
        """The name that the run is to have."""
        return self._plan.name or f"run_{self._plan.local_id[:12]}"

    def send(self) -> Send | Store:
        """The request that is due, or what is to be stored before it."""
        if self.step is Step.RUN and not self.posted:
            self.posted = True
            return Store()
        return Send(self._request(), Create(self.step))

    def _request(self) -> Request:
        space, project = self.namespace, self._plan.project
        match self.step:
            case Step.ACCOUNT:
                return Request("GET", wire.ACCOUNT_PATH)
            case Step.PROJECT:
                return Request("GET", wire.api_path(space, "projects", project))
            case Step.MAKE_PROJECT:
                wanted = {"display_name": self._plan.project_name, "visibility": "RESTRICTED"}
                return Request("POST", wire.api_path(space, "projects"), msgspec.json.encode(wanted), _JSON)
            case Step.LOOK:
                path = wire.api_path(space, "projects", project, "runs")
                return Request("GET", path, answer_bytes_max=wire.LIST_BYTES_MAX)
            case Step.RUN:
                given = {"name": self.name, "description": self._plan.description, "status": self._plan.status}
                wanted = {key: value for key, value in given.items() if value is not None}
                headers = _JSON | {"Idempotency-Key": f'"{self._plan.local_id}"'}
                path = wire.api_path(space, "projects", project, "runs")
                return Request("POST", path, msgspec.json.encode(wanted), headers)

    def answered(self, ticket: Create, judgement: Judgement, body: bytes) -> None:
        """Learn from the answer to a step."""
        match ticket.step:
            case Step.ACCOUNT if judgement.verdict is Verdict.ACCEPTED:
                self.namespace = wire.username(body) or ""
                self.step = Step.PROJECT
            case Step.PROJECT | Step.MAKE_PROJECT:
                self._project_answered(ticket.step is Step.MAKE_PROJECT, judgement, body)
            case Step.RUN:
                self._run_answered(judgement, body)
            case Step.LOOK if judgement.verdict is Verdict.ACCEPTED and wire.is_too_long(body):
                self.refused = replace(judgement, words=TOO_LONG)
            case Step.LOOK if judgement.verdict is Verdict.ACCEPTED:
                found = [run for run in wire.read(body, list[Made]) or [] if run.name == self.name]
                if self._plan.name is None and found:
                    self.made = found[0]
                else:
                    self.step = Step.RUN

    def _project_answered(self, making: bool, judgement: Judgement, body: bytes) -> None:
        if judgement.verdict is Verdict.ACCEPTED:
            self.step = Step.LOOK if self.posted else Step.RUN
        elif judgement.verdict is Verdict.MISSING and not making and not is_proxys_404(judgement.status, body):
            self.step = Step.MAKE_PROJECT
        elif judgement.verdict is Verdict.REFUSED and making:
            self.step = Step.PROJECT  # two runs make one project: the second finds it, and nothing is wrong
            self.refused = judgement if self._refused_once else None
            self._refused_once = True
        elif judgement.verdict in (Verdict.REFUSED, Verdict.MISSING):
            self.refused = judgement

    def _run_answered(self, judgement: Judgement, body: bytes) -> None:
        if judgement.verdict is Verdict.ACCEPTED:
            self.made, self.refused = wire.read(body, Made), None
        elif judgement.verdict in (Verdict.AGAIN, Verdict.FAULT) and not judgement.declined:
            self.step = Step.LOOK
        elif judgement.verdict in (Verdict.REFUSED, Verdict.MISSING):
            self.refused = judgement
