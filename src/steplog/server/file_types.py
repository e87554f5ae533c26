"""Rows of files, contents and artifacts, as a store gives them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["AnnouncedFiles", "ArtifactRow", "ArtifactVersionError", "FileRow", "QuotaExceededError"]


class QuotaExceededError(Exception):
    """A project has used what it may of contents."""

    def __init__(self, used: int, bytes_max: int) -> None:
        super().__init__(f"The project uses {used} of {bytes_max} bytes for files.")
        self.used, self.bytes_max = used, bytes_max


class ArtifactVersionError(Exception):
    """There is no such version or alias of an artifact."""


class FileRow(NamedTuple):
    """A file of a run, or of an artifact. ``present``: its content is in the project."""

    id: str
    sha256: str
    size: int
    type: str
    path: str
    suffix: str
    time: int
    present: bool


@dataclass(frozen=True)
class ArtifactRow:
    """A version of an artifact; ``aliases`` are those that mean this version now, such as "latest"."""

    uuid: str
    name: str
    type: str
    version: int
    digest: str
    count: int
    size: int
    present: int  # how many of its files are
    aliases: tuple[str, ...]
    description: str
    metadata: dict[str, Any] = field(default_factory=dict)
    run: str = ""  # the uuid of the run that logged it
    run_name: str = ""
    date_created: str = ""


class AnnouncedFiles(NamedTuple):
    """The answer to an announcement: hashes of contents that are not in the project, and the artifacts' versions."""

    missing: list[str]
    versions: dict[str, int]  # by the id of the artifact
