"""What is read of an artifact: its files, at the server or on this machine, and the values that were added."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import steplog
from steplog.compat.artifact_references import REFERENCES, inside, parsed
from steplog.compat.wandb import open_runs
from steplog.compat.wandb.artifact_entry import ArtifactEntry
from steplog.compat.wandb.artifact_status import ArtifactNotLoggedError
from steplog.compat.wandb.errors import CommError

__all__ = ["ReadArtifact"]

_PIECE_BYTES = 1024 * 1024


class ReadArtifact:
    """The part of ``Artifact`` that reads."""

    name: Any
    entity: str | None
    project: str | None
    _entries: dict[str, ArtifactEntry]
    _base: str
    _kept: Any  # what steplog has of it

    def is_draft(self) -> bool:
        """Whether no server has given it a version."""
        return self._kept is None or self._kept.version is None

    def _logged(self, call: str) -> Any:
        """What steplog has. Raises ArtifactNotLoggedError where no run was given it."""
        if self._kept is None:
            raise ArtifactNotLoggedError(f"Artifact.{call}", self)
        return self._kept

    @property
    def entries(self) -> dict[str, ArtifactEntry]:
        """The files by their names."""
        return self._all()

    def _all(self) -> dict[str, ArtifactEntry]:
        """The files: those that were added, or those of the server."""
        if not self._entries and self._kept is not None:
            files = {file.path: file for file in self._kept.files}
            references = parsed(files.pop(REFERENCES).read()) if REFERENCES in files else {}
            for path, file in files.items():
                self._entries[path] = ArtifactEntry(path, size=file.size, file=file)
            for path, address in references.items():
                self._entries[path] = ArtifactEntry(path, ref=address)
        for entry in self._entries.values():
            entry.artifact = self
        return self._entries

    def logged_by(self) -> Any:
        """The run that has logged it, as ``Api().run`` gives it; None: it is gone."""
        kept = self._logged("logged_by")
        try:
            return open_runs.public("Api")().run("/".join(filter(None, (self.entity, self.project, kept.run))))
        except CommError:
            return None

    def used_by(self) -> list[Any]:
        """No list is kept of them here."""
        return []

    def files(self, names: Any = None, per_page: int = 50, start: str | None = None) -> list[ArtifactEntry]:
        """What it has."""
        return [entry for name, entry in self._all().items() if names is None or name in names]

    def default_root(self) -> str:
        """Where it is downloaded to if nothing else is said."""
        return os.path.join(os.environ.get("WANDB_ARTIFACT_DIR") or os.path.join(".", "artifacts"), self.name)

    def downloaded(self, entry: ArtifactEntry, folder: Path) -> Path:
        """Internal: a file of it below a folder. Raises CommError."""
        self._logged("download")
        try:
            place: Path = self._file(entry).download(folder, replace=True)
        except (steplog.SteplogError, OSError) as error:
            raise CommError(f"{entry.path!r} of the artifact {self.name} is not to be had: {error}", error) from error
        return place

    def contents(self, entry: ArtifactEntry) -> bytes:
        """Internal: the bytes of a file of it. Raises CommError."""
        if entry.local_path is not None and os.path.exists(entry.local_path):
            return Path(entry.local_path).read_bytes()
        try:
            data: bytes = self._file(entry).read()
        except (steplog.SteplogError, OSError) as error:
            raise CommError(f"{entry.path!r} of the artifact {self.name} is not to be had: {error}", error) from error
        return data

    def _file(self, entry: ArtifactEntry) -> Any:
        if entry.file is None:
            entry.file = next(file for file in self._kept.files if file.path == entry.path)
        return entry.file

    def download(
        self,
        root: Any = None,
        allow_missing_references: bool = False,
        skip_cache: bool | None = None,
        path_prefix: Any = None,
        multipart: bool | None = None,
    ) -> str:
        """Write its files below a folder, and return that. Raises ArtifactNotLoggedError, CommError."""
        self._logged("download")
        folder = str(root or self.default_root())
        os.makedirs(folder, exist_ok=True)
        for path, entry in self._all().items():
            if path_prefix is None or path.startswith(str(path_prefix)):
                try:
                    entry.download(folder)
                except CommError:
                    if entry.ref is None or not allow_missing_references:
                        raise
        return folder

    def checkout(self, root: str | None = None) -> str:
        """``download``, and remove what else is in the folder."""
        self._logged("checkout")
        folder = Path(root or os.path.join("artifacts", self._base))
        for each in sorted(folder.rglob("*")):
            if each.is_file() and each.relative_to(folder).as_posix() not in self._all():
                each.unlink()
        return self.download(folder)

    def verify(self, root: str | None = None) -> None:
        """Compare the files of a folder with it. Raises ValueError where one is another, or none of its."""
        self._logged("verify")
        folder, entries = Path(root or self.default_root()), self._all()
        for each in sorted(folder.rglob("*")):
            if each.is_file() and each.relative_to(folder).as_posix() not in entries:
                raise ValueError(f"Found file {each} which is not a member of artifact {self.name}")
        for path, entry in entries.items():
            if entry.ref is None and _sha256(inside(folder, path)) != self._file(entry).sha256:
                raise ValueError(f"Digest mismatch for file: {path}")

    def file(self, root: str | None = None) -> str:
        """Download the one file that it has. Raises ValueError where there are several."""
        self._logged("file")
        entries = list(self._all().values())
        if len(entries) != 1:
            raise ValueError(
                "This artifact contains more than one file, call `.download()` to get "
                'all files or call .get_entry("filename").download()'
            )
        return entries[0].download(root)

    def get(self, name: str) -> Any:
        """What was added as ``name`` by ``add``; None: there is no such value. Raises ArtifactNotLoggedError."""
        from steplog.compat.wandb.artifact_media import KINDS, read

        self._logged("get")
        entries = self._all()
        for path in (name, *(f"{name}.{kind}.json" for kind in KINDS)):
            if path in entries and path.endswith(".json"):
                try:
                    return read(json.loads(self.contents(entries[path])), lambda each: self.get_entry(each).download())
                except ValueError:
                    continue
        return None

    def get_entry(self, name: Any) -> ArtifactEntry:
        """What it calls so. Raises KeyError."""
        entries = self._all()
        if str(name) not in entries:
            raise KeyError(f"Path not contained in artifact: {name}")
        return entries[str(name)]

    get_path = get_entry

    def __getitem__(self, name: str) -> Any:
        return self.get(name)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
