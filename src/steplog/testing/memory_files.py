"""The files of the run server in memory: announcements, contents, and parts of them.

``bytes_max`` is the quota of each project; ``received`` counts the bytes of all parts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.delivery.exchange import Answer, Request

__all__ = ["MemoryFiles", "RunFiles"]

_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)")


@dataclass
class RunFiles:
    """What was announced of a run, by id; ``pending`` as it was last told."""

    files: dict[str, FileEntry] = field(default_factory=dict)
    artifacts: dict[str, ArtifactEntry] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    pending: int | None = None


class _Announcement(msgspec.Struct):
    files: list[FileEntry] = []
    artifacts: list[ArtifactEntry] = []
    pending: int | None = None


class MemoryFiles:
    """Of one server; by project, as ``namespace/slug``."""

    def __init__(self) -> None:
        self.contents: dict[str, dict[str, bytes]] = {}
        self.uploads: dict[tuple[str, str], bytearray] = {}
        self.runs: dict[str, RunFiles] = {}
        self.bytes_max: int | None = None
        self.received = 0
        self.stored = 0  # contents, each time that one became whole
        self.corrupts: Callable[[bytes], bytes] = lambda data: data  # what is stored of a part

    def of_run(self, run: str) -> RunFiles:
        """What was announced of a run."""
        return self.runs.setdefault(run, RunFiles())

    def announce(self, project: str, run: str, request: Request) -> Answer:
        """``POST …/files/``."""
        told = msgspec.json.decode(request.body, type=_Announcement)
        known, contents = self.of_run(run), self.contents.setdefault(project, {})
        for entry in told.files:
            known.files.setdefault(entry.id, entry)
        for artifact in told.artifacts:
            known.artifacts.setdefault(artifact.id, artifact)
        if told.pending is not None:
            known.pending = told.pending
        missing = sorted({entry.sha256 for entry in told.files} - contents.keys())
        versions = {each: version for each in known.artifacts if (version := self._version(known, each)) is not None}
        return _json(200, {"missing": missing, "versions": versions})

    def _version(self, known: RunFiles, artifact: str) -> int | None:
        entry = known.artifacts[artifact]
        if sum(file.artifact == artifact for file in known.files.values()) < entry.count:
            return None
        return known.versions.setdefault(artifact, len(known.versions))

    def put(self, project: str, sha256: str, request: Request) -> Answer:
        """``PUT …/blobs/{sha256}``."""
        parsed = _RANGE.fullmatch(request.headers.get("Content-Range", ""))
        if parsed is None:
            return _json(400, {"detail": "Content-Range is needed."})
        size, contents = int(parsed[3]), self.contents.setdefault(project, {})
        if sha256 in contents:
            return _json(200, {"sha256": sha256, "size": size})
        used = sum(map(len, contents.values()))
        if self.bytes_max is not None and used + size > self.bytes_max:
            words = f"The project uses {used} of {self.bytes_max} bytes for files."
            return _json(413, {"detail": words, "used": used, "allowed": self.bytes_max})
        upload = self.uploads.setdefault((project, sha256), bytearray())
        if parsed[1] is not None and int(parsed[1]) <= len(upload):
            self.received += len(request.body)
            upload += self.corrupts(request.body[len(upload) - int(parsed[1]) :])
        if len(upload) < size:
            return Answer(308, b"", {"range": f"bytes=0-{len(upload) - 1}"} if upload else {})
        del self.uploads[project, sha256]
        if hashlib.sha256(upload).hexdigest() != sha256:
            return _json(422, {"detail": "What was sent has another hash."})
        contents[sha256] = bytes(upload)
        self.stored += 1
        return _json(201, {"sha256": sha256, "size": size})


def _json(status: int, value: Any) -> Answer:
    return Answer(status, msgspec.json.encode(value), {"content-type": "application/json"})
