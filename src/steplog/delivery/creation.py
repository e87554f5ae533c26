"""Making a run on the server that was begun without it. Pure.

The first delivery makes the project, if it is not there, and then the run::

    ACCOUNT ──▶ PROJECT ──▶ RUN ◀──▶ LOOK ──▶ done
    (namespace     │ 404      ▲       ▲
     not known)    ▼          │       │ stock
             MAKE_PROJECT ────┴──▶ KIND (of a run with an id, or to be resumed)
                                      (400: somebody else has just made the project, so PROJECT again)

A project is made only where the server itself says that there is none: 404 in JSON with ``detail``. Any other 404 comes
from a proxy, and is asked again.

The POST that makes the run carries an ``Idempotency-Key``: a second one gives the same run. A stock server knows no
such key. There the run gets a name of ours that nobody else gives, and LOOK searches the list of runs for it before a
second POST. The manifest says before a POST that it may leave (``Store``), so that an agent after a death looks first.

A run that its user named cannot be told from another of that name: on a stock server its POST is sent again, and a run
that the first one made stays there without a record.

A run with an id, or to be resumed, is found by the server where that can (``Steplog-Resume``), which KIND tells from
one item of the list of runs; else LOOK finds the one of its name among those of the key's user. Here nobody is left to
be told that it exists (``never``), or that it does not (``must``): a new run is made, and that is said.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec

from steplog.delivery import wire
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.exchange import Request
from steplog.delivery.probe import TOO_LONG
from steplog.delivery.tickets import Send, Store, Ticket
from steplog.delivery.verdicts import REFUSALS, Judgement, Verdict, is_proxys_404
from steplog.journal.manifest import Plan

__all__ = ["Create", "Creation", "Made", "Step", "creation_headers", "of_user"]

_JSON = {"Content-Type": "application/json"}
_NOT_FOUND, _CONFLICT = 404, 409


class Made(msgspec.Struct, frozen=True):
    """The run as the server made it."""

    uuid: str
    name: str
    batch: int = 0
    features: Any = None
    made_by: Any = None  # Steplog-Maker of the request that made it
    generation: Any = None
    id: Any = None  # the caller's
    user: Any = None

    def key(self, asked: str) -> str:
        """The caller's id; ``asked``: what was asked for, which may be a uuid, or not known to the server."""
        if self.generation is None:
            return asked
        return self.id if isinstance(self.id, str) else ""

    def is_of(self, maker: str) -> bool:
        """Whether this request has made it, and it was not there before."""
        return self.made_by in (None, "", maker)


def creation_headers(plan: Plan) -> dict[str, str]:
    """What the request that makes the run says besides its fields."""
    key = f"id:{plan.key}" if plan.key else plan.local_id
    headers = {"Idempotency-Key": f'"{key}"', "Steplog-Maker": plan.local_id}
    return headers | ({"Steplog-Resume": plan.resume} if plan.resume else {})


def of_user(runs: list[Made], name: str | None, username: str) -> Made | None:
    """The run of this name among those of a user."""
    return next((run for run in runs if run.name == name and wire.username_in(run.user) in (None, username)), None)


class Step(Enum):
    """What is asked next, or for."""

    ACCOUNT = "whose key is it"
    PROJECT = "is the project there"
    MAKE_PROJECT = "make the project"
    KIND = "does the server find a run by its id"
    RUN = "make the run"
    LOOK = "was the run made after all"


class Create(Ticket, frozen=True):
    """The ticket of a step."""

    step: Step

    def confirms(self, body: bytes) -> bool:
        """Whether the body answers this step."""
        if self.step is Step.ACCOUNT:
            return wire.username(body) is not None
        if self.step is Step.LOOK and wire.is_too_long(body):
            return True
        answers: dict[Step, type[Any]] = {Step.KIND: list[Made], Step.LOOK: list[Made], Step.RUN: Made}
        return wire.read(body, answers.get(self.step, dict[str, Any])) is not None


class Creation:
    """``made`` is the run, once the server has it, ``refused`` why it never will, ``step`` what is due.

    ``account``: whose runs it may be among; "": that of the key. ``began``: when its process did. ``found``: the run
    was there before.
    """

    def __init__(self, plan: Plan, account: str = "", began: str = "") -> None:
        self.namespace = plan.namespace
        self.found = False
        self._account = account
        self._began = began
        self.made: Made | None = None
        self.refused: Judgement | None = None
        self._plan = plan
        self.posted = plan.creating  # the run may be there
        self._refused_once = False  # the project
        self.step = Step.PROJECT if plan.namespace and (account or plan.resume is None) else Step.ACCOUNT

    @property
    def local_id(self) -> str:
        """Of the run's directory; the maker."""
        return self._plan.local_id

    @property
    def key(self) -> str:
        """The caller's id, unless another run has it."""
        return self._plan.key

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
            case Step.KIND:
                return Request("GET", wire.api_path(space, "projects", project, "runs") + "?limit=1")
            case Step.LOOK:
                path = wire.api_path(space, "projects", project, "runs")
                return Request("GET", path, answer_bytes_max=wire.LIST_BYTES_MAX)
            case Step.RUN:
                given = {"name": self.name, "description": self._plan.description, "status": self._plan.status}
                given["began"] = self._began or None
                wanted = {key: value for key, value in given.items() if value is not None}
                path = wire.api_path(space, "projects", project, "runs")
                return Request("POST", path, msgspec.json.encode(wanted), _JSON | creation_headers(self._plan))

    def answered(self, ticket: Create, judgement: Judgement, body: bytes) -> None:
        """Learn from the answer to a step."""
        match ticket.step:
            case Step.ACCOUNT if judgement.verdict is Verdict.ACCEPTED:
                self._account = wire.username(body) or ""
                self.namespace = self.namespace or self._account
                self.step = Step.PROJECT
            case Step.PROJECT | Step.MAKE_PROJECT:
                self._project_answered(ticket.step is Step.MAKE_PROJECT, judgement, body)
            case Step.RUN:
                self._run_answered(judgement, body)
            case Step.KIND if judgement.verdict is Verdict.ACCEPTED:
                runs = wire.read(body, list[Made]) or []
                self.step = Step.RUN if all(run.generation is not None for run in runs) else Step.LOOK
            case Step.KIND:
                self._refuse(judgement)
            case Step.LOOK if judgement.verdict is Verdict.ACCEPTED and wire.is_too_long(body):
                self.refused = msgspec.structs.replace(judgement, words=TOO_LONG)
            case Step.LOOK if judgement.verdict is Verdict.ACCEPTED:
                self._looked(wire.read(body, list[Made]) or [])
            case Step.ACCOUNT | Step.LOOK:
                self._refuse(judgement)

    def _looked(self, runs: list[Made]) -> None:
        resume, self.step = self._plan.resume, Step.RUN
        if resume is None:
            named = [run for run in runs if run.name == self.name]
            self.made = named[0] if self._plan.name is None and named else None
            return
        there = of_user(runs, self.name, self._account)
        if there is None:
            self._is_missing()
        elif resume == "never" and not self.posted:
            self._exists()
        else:
            self.made, self.found = there, not self.posted

    def _exists(self) -> None:
        what = f"with the id {self._plan.key}" if self._plan.key else f"called {self.name}"
        deferred_log.warning("steplog: there is a run %s already; what was logged here is a new run.", what)
        self._plan = msgspec.structs.replace(self._plan, resume=None, key="")

    def _is_missing(self) -> None:
        if self._plan.resume == "must":
            what = f"with the id {self._plan.key}" if self._plan.key else f"called {self.name}"
            deferred_log.warning("steplog: there is no run %s to resume; one is made.", what)
            self._plan = msgspec.structs.replace(self._plan, resume="allow")

    def _project_answered(self, making: bool, judgement: Judgement, body: bytes) -> None:
        if judgement.verdict is Verdict.ACCEPTED and self._plan.resume is not None:
            self.step = Step.KIND
        elif judgement.verdict is Verdict.ACCEPTED:
            self.step = Step.LOOK if self.posted else Step.RUN
        elif judgement.verdict is Verdict.MISSING and not making and not is_proxys_404(judgement.status, body):
            self.step = Step.MAKE_PROJECT
        elif judgement.verdict is Verdict.REFUSED and making:
            self.step = Step.PROJECT  # two runs make one project: the second finds it, and nothing is wrong
            self.refused = judgement if self._refused_once else None
            self._refused_once = True
        else:
            self._refuse(judgement)

    def _run_answered(self, judgement: Judgement, body: bytes) -> None:
        resume = self._plan.resume
        if judgement.verdict is Verdict.ACCEPTED:
            self.made, self.refused = wire.read(body, Made), None
            self.found = self.made is not None and not self.made.is_of(self.local_id)
            if self.made is not None and self.made.generation is None:
                self._is_missing()  # where nothing is found by an id, a run is made
        elif judgement.verdict in (Verdict.AGAIN, Verdict.FAULT) and not judgement.declined:
            self.step = Step.LOOK if resume is None else Step.KIND
        elif resume == "never" and judgement.status == _CONFLICT:
            self._exists()
        elif resume == "must" and judgement.status == _NOT_FOUND and not is_proxys_404(judgement.status, body):
            self._is_missing()
        else:
            self._refuse(judgement)

    def _refuse(self, judgement: Judgement) -> None:
        if judgement.verdict in REFUSALS or judgement.verdict is Verdict.MISSING:
            self.refused = judgement
