"""The part of the store in SQL that knows files, contents and artifacts (``files``, ``contents``, ``artifacts``)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.server.file_catalogue import FileCatalogue
from steplog.server.file_types import AnnouncedFiles, ArtifactRow, FileRow
from steplog.server.sql import artifacts, contents, files
from steplog.server.sql.connection import Connection
from steplog.server.sql.database import Database
from steplog.server.sql.files import announce
from steplog.server.sql.versions import Versions
from steplog.server.store_types import ProjectRow, RunRow, StoreBusyError

__all__ = ["SqlFiles"]

_PUTTERS = 4
_TRIES = 3  # of a content that is removed meanwhile


class SqlFiles(FileCatalogue):
    """Files, contents and artifacts in a database."""

    def __init__(self, database: Database, versions: Versions) -> None:
        self._files_in = database
        self._file_versions = versions
        self._putters = ThreadPoolExecutor(_PUTTERS, "steplog-put")
        self._collected = 0

    def close_files(self) -> None:
        """Wait for no storage: what is being put in its place is sent again."""
        self._putters.shutdown(wait=False, cancel_futures=True)

    def file_figures(self) -> Mapping[str, float]:
        """Of contents, as ``Store.figures`` has them. A read."""
        count, size = self._files_in.read(contents.totals)
        return {"contents": count, "content_bytes": size, "contents_collected_total": self._collected}

    def announce_files(
        self, run: RunRow, files: Sequence[FileEntry], artifacts: Sequence[ArtifactEntry], pending: int | None = None
    ) -> Future[AnnouncedFiles]:
        job, given = announce, (run.id, files, artifacts, pending)
        if pending is None:
            return self._files_in.write_project(run.project_id, job, *given)
        counted = self._file_versions.counted(run.project_id, job)
        written = self._files_in.write_project(run.project_id, counted, *given)
        return self._file_versions.changes_runs(run.project_id, written)

    def files(
        self, run: RunRow, after: str = "", limit: int = 1000, path: str = "", saved: bool = False
    ) -> list[FileRow]:
        return self._files_in.read(files.in_run, run.id, after, limit, path, saved)

    def file(self, run: RunRow, file_id: str) -> FileRow | None:
        return self._files_in.read(files.by_id, run.id, file_id)

    def content_size(self, project: ProjectRow, sha256: str) -> int | None:
        return self._files_in.read(contents.size, project.id, bytes.fromhex(sha256))

    def content_bytes(self, project: ProjectRow) -> int:
        return self._files_in.read(contents.total, project.id)

    def add_content(self, project: ProjectRow, sha256: str, size: int, put: Callable[[], None]) -> Future[None]:
        return self._putters.submit(self._add_content, project.id, bytes.fromhex(sha256), size, put)

    def _add_content(self, project_id: int, sha256: bytes, size: int, put: Callable[[], None]) -> None:
        for _ in range(_TRIES):
            self._files_in.write(contents.expect, sha256, size, _seconds()).result()
            put()
            if self._files_in.write_project(project_id, contents.add, project_id, sha256, _seconds()).result():
                return
        raise StoreBusyError("the content was removed again and again while it was stored: send it again")

    def collect_contents(self, remove: Callable[[str], None], now: datetime | None = None) -> bool:
        moment = _seconds(now)
        if not self._files_in.read(contents.is_due, moment):
            return False
        released = self._files_in.write(contents.release_unnamed, moment).result()
        self._collected += released or 0
        began = time.monotonic()
        doomed = self._files_in.write(contents.condemn, moment).result()
        doomed += self._files_in.write(contents.condemned, moment).result()
        self._remove(doomed, remove, began)
        return bool(doomed) or released is not None

    def _remove(self, doomed: Iterable[bytes], remove: Callable[[str], None], began: float) -> None:
        """Remove the bytes of contents that were condemned just now. Raises the first error, once all were tried."""
        first: OSError | None = None
        for sha256 in doomed:
            if time.monotonic() - began > contents.REMOVAL_S:
                return  # another process may have removed it, and somebody may have put it there again
            try:
                remove(sha256.hex())
            except OSError as error:
                first = first or error
                continue
            self._files_in.write(contents.forget, sha256).result()
        if first is not None:
            raise first

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
        run_id = None if run is None else run.id
        return self._files_in.read(artifacts.in_project, project.id, name, kind, run_id, entry, limit, before)

    def artifact(self, project: ProjectRow, name: str, version: str) -> ArtifactRow:
        return self._files_in.read(artifacts.by_version, project.id, name, version)

    def artifact_files(
        self, project: ProjectRow, artifact: ArtifactRow, after: str = "", limit: int | None = None
    ) -> list[FileRow]:
        return self._files_in.read(artifacts.files, project.id, artifact.uuid, after, limit)

    def artifact_file(self, project: ProjectRow, artifact: ArtifactRow, path: str) -> FileRow | None:
        found = self._files_in.read(artifacts.files, project.id, artifact.uuid, "", 1, path)
        return found[0] if found else None

    def use_artifact(self, run: RunRow, artifact: ArtifactRow) -> Future[None]:
        return self._files_in.write_project(run.project_id, artifacts.use, run.id, artifact.uuid)

    def used_artifacts(self, run: RunRow) -> list[ArtifactRow]:
        def used(connection: Connection) -> list[ArtifactRow]:
            return artifacts.used_by(connection, run.project_id, run.id)

        return self._files_in.read(used)


def _seconds(now: datetime | None = None) -> int:
    return int(time.time() if now is None else now.timestamp())
