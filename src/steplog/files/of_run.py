"""``FilesOfRun``: the files of one run, those that its server has and those that wait on this machine."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.blobs.waiting_files import WaitingFiles
from steplog.errors import RunFileNotFoundError
from steplog.files.artifact import Artifact
from steplog.files.content import Content, WaitingContent
from steplog.files.run_file import FileFacts, RunFile
from steplog.files.server_files import FoundArtifact, ServerFiles
from steplog.naming import close, did_you_mean
from steplog.printable import printable

__all__ = ["FilesOfRun", "waiting_file"]

_ID = re.compile("[0-9a-f]{32}")
_SUFFIXES = {
    "image/apng": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "audio/wav": ".wav",
    "audio/flac": ".flac",
}


class FilesOfRun:
    """Of the run of this uuid, "" if no server has it. Raises as ``ServerFiles``.

    Where one path was saved several times, the last one counts.

    Attributes:
        kept_nowhere: the address of its server, once that has said that it keeps no files.
    """

    def __init__(
        self,
        waiting: Sequence[WaitingFiles],
        server: ServerFiles | None,
        uuid: str,
        name: str,
        tell: Callable[[str], None] = lambda words: None,
    ) -> None:
        """``tell`` is told what a user should know, such as that the server keeps no files."""
        self._waiting = waiting
        self._server = server
        self._uuid, self._name = uuid, name
        self._folder = Path("files", re.sub(r"[^\w.-]+", "-", name).strip(".-") or uuid)
        self._tell = tell
        self.kept_nowhere = ""

    def files(self, prefix: str = "", *, logged: bool = False) -> list[RunFile]:
        """Those whose path begins so, by path; ``logged``: also those of values that were logged, by their ids."""
        if not isinstance(prefix, str):
            raise TypeError(f"the beginning of a path is a str, not {type(prefix).__name__}")
        found: dict[str, RunFile] = {}
        if self._server is not None and self._uuid:
            there = self._server.of_run(self._uuid, self._folder, prefix, logged=logged)
            if there is None:
                self.kept_nowhere = self._server.base_url
                self._tell(
                    f"{self._server.base_url} keeps no files; those of this run are below kept-files in the state "
                    "directory of the machine that logged it"
                )
            found = {file.path: file for file in there or ()}
        for file in self._waiting_files():
            if file.path.startswith(prefix) and (logged or file.is_saved):
                found[file.path] = file
        return [found[path] for path in sorted(found)]

    def artifacts(self) -> list[Artifact]:
        """The versions that it has logged: those of its server by name and number, then what waits on this machine.

        Raises SteplogError where the server keeps none, unless ``files`` has found that out before.
        """
        waiting = {(entry.name, entry.digest): (entry, files) for entry, files in self._waiting_artifacts()}
        found: list[Artifact] = []
        if self._server is not None and self._uuid and not self.kept_nowhere:
            for facts in sorted(self._server.artifacts(run=self._uuid), key=lambda each: (each.name, each.version)):
                _, here = waiting.pop((facts.name, facts.digest), (None, []))
                found.append(Artifact(found=_completed(self._server.found(facts), here)))
        return found + [Artifact(entry, _Waiting(files)) for entry, files in waiting.values()]

    def unwritten(self) -> int:
        """How many files of this machine are in shared memory alone, and cannot be read yet."""
        count = 0
        for waiting in self._waiting:
            units = waiting.artifacts()
            known = {each.id for each in waiting.entries()} | {entry.id for entry, _ in units}
            known.update(each.id for _, files in units for each in files)
            count += len(waiting.ids() - known)
        return count

    def _waiting_artifacts(self) -> Iterator[tuple[ArtifactEntry, list[RunFile]]]:
        for waiting in self._waiting:
            for entry, files in waiting.artifacts():
                folder = Path("artifacts", f"{entry.name}-new")
                here = [waiting_file(waiting, each, folder) for each in files if waiting.has(each.sha256)]
                yield entry, sorted(here, key=lambda file: file.path)

    def file(self, which: str | Mapping[str, Any]) -> RunFile:
        """The file of a path, of an id, or of a value of the history that names one. Raises RunFileNotFoundError."""
        facts = _facts_of(which)
        if facts is None:
            path = str(which)
            for file in self.files(path):
                if file.path == path:
                    return file
            hint = did_you_mean(close(path, (file.path for file in self.files())))
            raise RunFileNotFoundError(printable(f"the run {self._name} has no file {path!r}{hint}"))
        for file in self._waiting_files():
            if file.id == facts.id:
                return file
        if self._server is None or not self._uuid:
            words = "it is not written yet, or was lost; flush() waits for it"
            raise RunFileNotFoundError(printable(f"the run {self._name} has no file {facts.id} here: {words}"))
        return self._server.file_of_id(self._uuid, facts.id, facts, self._folder)

    def _waiting_files(self) -> Iterator[RunFile]:
        """Those that are here, the oldest first."""
        for waiting in self._waiting:
            for entry in waiting.entries():
                if not entry.artifact and waiting.has(entry.sha256):
                    yield waiting_file(waiting, entry, self._folder, self._sent(entry))

    def _sent(self, entry: FileEntry) -> Content | None:
        """Its content on the server, once it is there."""
        if self._server is None or not self._uuid:
            return None
        return self._server.content(self._uuid, entry.id, entry.path or entry.id, entry.sha256, entry.size)


class _Waiting:
    """An artifact that waits on this machine; see ``Awaited``."""

    def __init__(self, files: list[RunFile]) -> None:
        self._files = files

    def files(self) -> list[RunFile]:
        """See ``Awaited``."""
        return self._files

    def arrived(self, _timeout_s: float | None) -> FoundArtifact | None:
        """See ``Awaited``; nobody waits."""
        return None


def _completed(found: FoundArtifact, here: Sequence[RunFile]) -> FoundArtifact:
    """A version, whose files are read here where its server has not got them yet."""
    by_path = {file.path: file for file in here}
    if not by_path:
        return found
    return found._replace(files=lambda: [f if f.present else by_path.get(f.path, f) for f in found.files()])


def waiting_file(waiting: WaitingFiles, entry: FileEntry, folder: Path, sent: Content | None = None) -> RunFile:
    """A file that waits on this machine; ``sent`` is its content once it was sent."""
    facts = FileFacts(entry.path, entry.id, entry.type, entry.suffix, entry.time, waits=True)
    return RunFile(facts, WaitingContent(waiting, entry.sha256, entry.size, sent), folder)


def _facts_of(which: object) -> FileFacts | None:
    """Of a value or an id; None: it is a path. Raises TypeError, RunFileNotFoundError."""
    if isinstance(which, Mapping):
        file_id, kind = which.get("file"), which.get("type")
        if not isinstance(file_id, str) or not _ID.fullmatch(file_id):
            raise RunFileNotFoundError(printable(f"a value without a file: {str(which)[:200]}"))
        media_type = kind if isinstance(kind, str) else ""
        suffix = _SUFFIXES.get(media_type) or mimetypes.guess_extension(media_type) or ""
        return FileFacts(id=file_id, type=media_type, suffix=suffix)
    if not isinstance(which, str):
        raise TypeError(f"a file is named by its path, its id, or a value of the history, not {type(which).__name__}")
    return FileFacts(id=which) if _ID.fullmatch(which) else None
