"""The part of a store that knows files, contents and artifacts; the contents themselves are in a ``ContentStore``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime

from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.server.file_types import AnnouncedFiles, ArtifactRow, FileRow
from steplog.server.store_types import ProjectRow, RunRow

__all__ = ["FileCatalogue"]


class FileCatalogue:
    """Reads and writes as those of ``Store``."""

    def announce_files(
        self, run: RunRow, files: Sequence[FileEntry], artifacts: Sequence[ArtifactEntry], pending: int | None = None
    ) -> Future[AnnouncedFiles]:
        """Note files and artifacts of a run; those that are known stay as they are. ``pending``: how many are to come.

        An artifact's version is given once all its files are announced. Raises MissingError.
        """
        raise NotImplementedError

    def files(self, run: RunRow, after: str = "", limit: int = 1000, path: str = "") -> list[FileRow]:
        """The files of a run, without those of artifacts, in the order of their announcement, from after an id on.

        ``path``: those whose path begins so; of several with one path the latest.
        """
        raise NotImplementedError

    def file(self, run: RunRow, file_id: str) -> FileRow | None:
        """The file with this id."""
        raise NotImplementedError

    def content_size(self, project: ProjectRow, sha256: str) -> int | None:
        """The size of a content that the project has."""
        raise NotImplementedError

    def content_bytes(self, project: ProjectRow) -> int:
        """Bytes of all contents of a project."""
        raise NotImplementedError

    def add_content(self, project: ProjectRow, sha256: str, size: int, put: Callable[[], None]) -> Future[None]:
        """Have a content in a project; ``put`` puts it in its place, in the same transaction. Raises MissingError."""
        raise NotImplementedError

    def collect_contents(self, remove: Callable[[str], None], now: datetime | None = None) -> Future[bool]:
        """Forget a slice of contents that no file has named for a day, and ``remove`` those of no project."""
        raise NotImplementedError

    def artifacts(
        self, project: ProjectRow, name: str = "", kind: str = "", run: RunRow | None = None
    ) -> list[ArtifactRow]:
        """The versions of artifacts, the newest first; ``run``: those that it logged."""
        raise NotImplementedError

    def artifact(self, project: ProjectRow, name: str, version: str) -> ArtifactRow:
        """The version "v3", or of an alias. Raises ArtifactVersionError."""
        raise NotImplementedError

    def artifact_files(self, project: ProjectRow, artifact: ArtifactRow) -> list[FileRow]:
        """The files of a version, by path."""
        raise NotImplementedError

    def use_artifact(self, run: RunRow, artifact: ArtifactRow) -> Future[None]:
        """Note that a run uses a version."""
        raise NotImplementedError

    def used_artifacts(self, run: RunRow) -> list[ArtifactRow]:
        """The versions that a run uses."""
        raise NotImplementedError
