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
    """Reads and writes as those of ``Store``. Ids and hashes are hexadecimal."""

    def announce_files(
        self, run: RunRow, files: Sequence[FileEntry], artifacts: Sequence[ArtifactEntry], pending: int | None = None
    ) -> Future[AnnouncedFiles]:
        """Note files and artifacts of a run; those that are known stay as they are. ``pending``: how many are to come.

        In any order: an artifact gets its version, the first is 0, once it and all its files are announced.
        Raises MissingError.
        """
        raise NotImplementedError

    def files(
        self, run: RunRow, after: str = "", limit: int = 1000, path: str = "", saved: bool = False
    ) -> list[FileRow]:
        """The files of a run, without those of artifacts, in the order of their announcement, from after an id on.

        Of several with one path the latest. ``path``: those whose path begins so; ``saved``: those that have one.
        Raises MissingError without the file ``after``.
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
        """Have a content in a project.

        ``put`` puts it in its place, in a thread, perhaps several times; what it raises is the future's. Raises
        MissingError, and StoreBusyError while the content is being removed.
        """
        raise NotImplementedError

    def collect_contents(self, remove: Callable[[str], None], now: datetime | None = None) -> bool:
        """Forget a slice of contents that no file has named for a day, ``remove`` those of no project.

        Whether there was anything. Blocks until that is durable. Raises StoreError, and what ``remove`` raises.
        """
        raise NotImplementedError

    def artifacts(
        self,
        project: ProjectRow,
        name: str = "",
        kind: str = "",
        run: RunRow | None = None,
        entry: str = "",
        limit: int | None = None,
        before: str = "",
    ) -> list[ArtifactRow]:
        """The versions of artifacts, the newest first.

        ``run``: those that it logged, also where they were there already; ``entry``: the one that the ArtifactEntry
        with this id has become; ``before``: those older than the version with this uuid.
        """
        raise NotImplementedError

    def artifact(self, project: ProjectRow, name: str, version: str) -> ArtifactRow:
        """The version "v3", or of an alias; "latest" is the greatest. Raises ArtifactVersionError."""
        raise NotImplementedError

    def artifact_files(
        self, project: ProjectRow, artifact: ArtifactRow, after: str = "", limit: int | None = None
    ) -> list[FileRow]:
        """The files of a version, by path, from after a path on."""
        raise NotImplementedError

    def artifact_file(self, project: ProjectRow, artifact: ArtifactRow, path: str) -> FileRow | None:
        """The file of a version that has this path."""
        raise NotImplementedError

    def use_artifact(self, run: RunRow, artifact: ArtifactRow) -> Future[None]:
        """Note that a run uses a version. Raises MissingError."""
        raise NotImplementedError

    def used_artifacts(self, run: RunRow) -> list[ArtifactRow]:
        """The versions that a run uses, in the order of their names."""
        raise NotImplementedError
