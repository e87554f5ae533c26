"""What is exchanged of a run's files: requests, and what answers mean. Pure.

====================  ===================================================  =============================================
asked                 answer                                               means
====================  ===================================================  =============================================
``Announce``          200 ``{"missing": [sha256, …], "versions": {…}}``    these contents are to be sent
``Ask``, ``Put``      200 or 201 ``{"sha256": …, "size": …}``              the server has the whole content
``Ask``, ``Put``      308 with ``Range: bytes=0-N``, or none: nothing yet  go on from there; with a Location: redirected
``Put``               422                                                  the server's bytes have another hash
``Ask``, ``Put``      413 with ``detail``                                  the project's room is used up
``Put``               413 without                                          a proxy takes smaller parts alone
====================  ===================================================  =============================================
"""

from __future__ import annotations

import re
from enum import Enum

import msgspec

from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.delivery import wire
from steplog.delivery.exchange import Answer, Request
from steplog.delivery.tickets import RunAddress
from steplog.delivery.verdicts import Judgement, Verdict, judge

__all__ = [
    "ANNOUNCED_BYTES_MAX",
    "ANNOUNCED_MAX",
    "Announce",
    "Announced",
    "Ask",
    "Outcome",
    "Put",
    "announced",
    "judge_content",
    "received",
    "room_left",
]

ANNOUNCED_MAX = 1000  # files in one request
ANNOUNCED_BYTES_MAX = 1024 * 1024  # and their JSON
_ANSWER_BYTES_MAX = 256 * 1024  # a thousand hashes
_JSON = {"Content-Type": "application/json"}
_BYTES = "application/octet-stream"
_RANGE = r"bytes=0-([0-9]{1,18})"
_MISSING_PARTS, _TOO_LARGE, _WRONG = 308, 413, 422


class Announce(msgspec.Struct, frozen=True):
    """Tell the server of files and artifacts; ``pending``: how many files of the run are still to come."""

    files: tuple[FileEntry, ...] = ()
    artifacts: tuple[ArtifactEntry, ...] = ()
    pending: int | None = None

    def request(self, address: RunAddress) -> Request:
        """The request."""
        fields: dict[str, object] = {"files": self.files}
        if self.artifacts:
            fields["artifacts"] = self.artifacts
        if self.pending is not None:
            fields["pending"] = self.pending
        path, body = f"{address.run_path}files/", msgspec.json.encode(fields)
        return Request("POST", path, body, _JSON, _ANSWER_BYTES_MAX)

    def confirms(self, body: bytes) -> bool:
        """Whether the body of a success confirms it."""
        return announced(body) is not None


class Ask(msgspec.Struct, frozen=True):
    """How much of a content has the server?"""

    sha256: str
    size: int

    def request(self, address: RunAddress) -> Request:
        """The request."""
        return _content_request(address, self.sha256, f"bytes */{self.size}", b"")

    def confirms(self, body: bytes) -> bool:
        """Whether the body of a success names the content."""
        return _names(body, self.sha256)


class Put(msgspec.Struct, frozen=True):
    """Send the bytes ``[first, end)`` of a content."""

    sha256: str
    first: int
    end: int
    size: int

    def request(self, address: RunAddress, data: bytes) -> Request:
        """The request, with these bytes."""
        return _content_request(address, self.sha256, f"bytes {self.first}-{self.end - 1}/{self.size}", data)

    def confirms(self, body: bytes) -> bool:
        """Whether the body of a success names the content."""
        return _names(body, self.sha256)


class Announced(msgspec.Struct, frozen=True):
    """The answer to ``Announce``: contents that the project has not, and the versions of artifacts by their id."""

    missing: list[str]
    versions: dict[str, int]


class Outcome(Enum):
    """What an answer to ``Ask`` or ``Put`` means for the content; else its verdict says what."""

    STORED = "the server has it"
    GO_ON = "more is to be sent"
    WRONG = "another hash"
    FULL = "no room in the project"
    SMALLER = "the part was too large"
    VERDICT = "as the verdict says"


def announced(body: bytes) -> Announced | None:
    """The answer to ``Announce``; None where it is no such answer."""
    return wire.read(body, Announced)


def judge_content(work: Ask | Put, answer: Answer) -> tuple[Outcome, Judgement]:
    """What an answer means."""
    judgement = judge(answer, work.confirms)
    if judgement.verdict is Verdict.ACCEPTED:
        return Outcome.STORED, judgement
    if answer.status == _MISSING_PARTS and "location" not in answer.headers:
        return Outcome.GO_ON, judgement
    if answer.status == _WRONG and wire.detail(answer.body) is not None:
        return Outcome.WRONG, judgement
    if answer.status == _TOO_LARGE:
        return (Outcome.SMALLER if wire.detail(answer.body) is None else Outcome.FULL), judgement
    return Outcome.VERDICT, judgement


def room_left(answer: Answer) -> int:
    """How many bytes more the project may have, by a 413 of its quota; 0 where that is not told."""
    told = wire.read(answer.body, _Quota)
    return 0 if told is None else max(0, told.allowed - told.used)


def received(answer: Answer) -> int:
    """How many bytes from the beginning on the server has, by its 308."""
    told = re.fullmatch(_RANGE, answer.headers.get("range", "").strip())
    return int(told[1]) + 1 if told else 0


class _Quota(msgspec.Struct):
    used: int
    allowed: int


class _Content(msgspec.Struct):
    sha256: str


def _names(body: bytes, sha256: str) -> bool:
    told = wire.read(body, _Content)
    return told is not None and told.sha256 == sha256


def _content_request(address: RunAddress, sha256: str, content_range: str, data: bytes) -> Request:
    path = wire.api_path(address.namespace, "projects", address.project, "blobs", sha256).rstrip("/")
    return Request("PUT", path, data, {"Content-Type": _BYTES, "Content-Range": content_range})
