"""The files of exported runs: contents beside the tables, each once, and what a listing says of them.

1. A content is there under its name when its hash is right. One that is there is checked, and not fetched again; one
   that was broken off goes on from there.
2. A file whose content cannot be had is listed without one: it has not arrived at its server, or is damaged there.
3. Nothing of a content is held but a piece.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from steplog.blobs.entries import known_suffix
from steplog.errors import FormatError, RunFileNotFoundError
from steplog.files.artifact import Artifact
from steplog.files.run_file import RunFile
from steplog.formats.file_listing import ListedFile, content_path

__all__ = ["FileExport", "FileSource", "FilesDone"]


class FileSource(Protocol):
    """The files of a run, as ``FilesOfRun`` has them; ``kept_nowhere``: the address of a server that keeps none."""

    kept_nowhere: str

    def files(self, prefix: str = "", *, logged: bool = False) -> list[RunFile]:
        """Those that were saved, and of values that were ``logged``, by path."""

    def artifacts(self) -> list[Artifact]:
        """Those that it has logged."""

    def unwritten(self) -> int:
        """How many files cannot be read yet."""


@dataclass
class FilesDone:
    """What was done.

    Attributes:
        files: how many are listed, with a content or without.
        bytes: of the contents, each counted once.
        missing: how many have none, since it has not arrived.
        damaged: what is wrong with others, each in words.
        kept_nowhere: the address of a server that keeps no files.
    """

    files: int = 0
    bytes: int = 0
    missing: int = 0
    damaged: list[str] = field(default_factory=list)
    kept_nowhere: str = ""


class FileExport:
    """Into the directory ``root``, beside the tables; ``begin`` is told of a run and its bytes, ``arrived`` of each.

    Raises OSError, and as ``RunFile``.
    """

    def __init__(self, root: Path, begin: Callable[[str, int], object], arrived: Callable[[int], None]) -> None:
        self._root = root
        self._begin, self._arrived = begin, arrived
        self._contents: dict[str, str] = {}  # where those are that are there, by hash
        self.done = FilesDone()

    def of_run(self, run_id: str, label: str, source: FileSource) -> list[ListedFile]:
        """Fetch the files of a run; its rows."""
        files = source.files(logged=True)
        if source.kept_nowhere:
            self.done.kept_nowhere = source.kept_nowhere
        artifacts = [(artifact, artifact.files) for artifact in source.artifacts()]
        self.done.missing += source.unwritten()
        sizes = {file.sha256: file.size for file in (*files, *(each for _, some in artifacts for each in some))}
        if sizes:
            self._begin(f"{label}: files", sum(sizes.values()))
        rows = [self._listed(run_id, label, file, "") for file in files]
        for artifact, its_files in artifacts:
            rows += self._of_artifact(run_id, label, artifact, its_files)
        return rows

    def _of_artifact(self, run_id: str, label: str, artifact: Artifact, files: list[RunFile]) -> Iterator[ListedFile]:
        version = f"{artifact.name}:{artifact.version}" if artifact.version else artifact.name
        yield ListedFile(
            run=run_id,
            label=label,
            sha256=artifact.digest,
            size=artifact.size,
            type=artifact.type,
            artifact=version,
            about=_about(artifact),
        )
        for file in files:
            yield self._listed(run_id, label, file, version)

    def _listed(self, run_id: str, label: str, file: RunFile, artifact: str) -> ListedFile:
        facts, self.done.files = file.facts, self.done.files + 1
        return ListedFile(
            run=run_id,
            label=label,
            id="" if artifact else facts.id,
            path=facts.path,
            sha256=file.sha256,
            size=file.size,
            type=facts.type,
            suffix=known_suffix(facts.suffix),
            time=facts.time,
            artifact=artifact,
            content=self._fetched(file, f"{label}: {file.path}"),
        )

    def _fetched(self, file: RunFile, words: str) -> str:
        """Where its content is now, from the root on; "" if it cannot be had."""
        sha256 = file.sha256
        if sha256 in self._contents:
            return self._contents[sha256]
        if not file.present:
            self.done.missing += 1
            return ""
        path = self._place(sha256, file.facts.suffix or Path(file.path).suffix)
        try:
            file.put(self._root, replace=True, path=path, arrived=self._arrived)
        except RunFileNotFoundError:
            self.done.missing += 1
            return ""
        except FormatError as error:
            self.done.damaged.append(f"{words}: {error}")
            return ""
        self.done.bytes += file.size
        self._contents[sha256] = path
        return path

    def _place(self, sha256: str, suffix: str) -> str:
        """Where a content is, perhaps with another suffix, or belongs."""
        path = content_path(sha256, suffix)
        folder = Path(path).parent
        with suppress(OSError):
            for name in sorted(os.listdir(self._root / folder)):
                if name.startswith(sha256) and content_path(sha256, name[len(sha256) :]) == (folder / name).as_posix():
                    return (folder / name).as_posix()
        return path


def _about(artifact: Artifact) -> dict[str, Any]:
    """What is not in a row's other fields; "latest" is the newest version's by itself."""
    aliases = sorted(alias for alias in artifact.aliases if alias != "latest")
    about = {
        "aliases": aliases,
        "description": artifact.description,
        "metadata": artifact.metadata,
        "count": len(artifact.files),
    }
    return {name: value for name, value in about.items() if value}
