"""What the server is asked about a run before anything is sent, and how its answers read. Pure."""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

import msgspec

from steplog.delivery import wire
from steplog.delivery.exchange import Request
from steplog.delivery.order import RunAddress

__all__ = ["LIST_BYTES_MAX", "Question", "ask", "lists", "status_of", "takes_ranges", "username"]

LIST_BYTES_MAX = 64 * 1024 * 1024
T = TypeVar("T")


class Question(Enum):
    """What is asked before anything is sent."""

    ACCOUNT = "whose key is it"
    RUN = "is the run there"
    LIST = "is the run among the project's"


class _Account(msgspec.Struct):
    username: str


class _Run(msgspec.Struct):
    uuid: str
    status: str = ""
    batch: int = 0


def ask(question: Question, address: RunAddress) -> Request:
    """The request that asks it."""
    if question is Question.ACCOUNT:
        return Request("GET", f"{wire.API}/verify-api-key/")
    if question is Question.RUN:
        return Request("GET", wire.run_path(address.namespace, address.project, address.run))
    return Request("GET", wire.runs_path(address.namespace, address.project), answer_bytes_max=LIST_BYTES_MAX)


def username(body: bytes) -> str | None:
    """The account's name in the answer to ACCOUNT; None where it is no such answer."""
    account = _read(body, _Account)
    return None if account is None else account.username


def takes_ranges(body: bytes, run: str) -> bool | None:
    """Whether the answer to RUN says that the server takes ranges; None where it does not describe this run."""
    told = _read(body, _Run)
    return None if told is None or told.uuid != run else told.batch >= 1


def status_of(body: bytes, run: str) -> str | None:
    """The status that an answer gives to this run; None where it does not describe it."""
    told = _read(body, _Run)
    return None if told is None or told.uuid != run else told.status


def lists(body: bytes, run: str) -> bool | None:
    """Whether this run is in the answer to LIST; None where it is no list of runs."""
    told = _read(body, list[_Run])
    return None if told is None else any(item.uuid == run for item in told)


def _read(body: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
