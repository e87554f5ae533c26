"""The artifacts of a run of MLflow: a folder, whose files are saved under their paths there.

Where the database says that it is, if that is on this machine and called ``RUN/artifacts``; else where MLflow would
have it, beside the database. A folder of another name is none: a database may say anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from steplog.formats.imported import ImportedFile
from steplog.formats.local_files import file_id, local_file, names_within

__all__ = ["Artifacts", "folder_of"]

_NAME = "artifacts"
_LOCAL = ("", "file")
_BESIDE = ("mlruns", "mlartifacts")


class Artifacts:
    """Those of a run, in ``folder``; None: it has none, or they are elsewhere, as at the address ``uri``."""

    def __init__(self, run_id: str, folder: Path | None, uri: str = "") -> None:
        self._run_id, self._folder = run_id, folder
        self._elsewhere = uri if folder is None and urlsplit(uri).scheme not in _LOCAL else ""
        self._others = 0

    def files(self) -> Iterator[ImportedFile]:
        """Its files."""
        if self._folder is None:
            return
        names, self._others = names_within(self._folder)
        for name in names:
            yield local_file(self._folder, name, file_id("mlflow", self._run_id, name), saved_as=name)

    def remarks(self) -> list[str]:
        """What is left out of them."""
        if self._elsewhere:
            return [f"left out: what it may have at {self._elsewhere}"]
        others = f"left out: links among its artifacts ({self._others:,}); copy them with cp -rL, and import the copy"
        return [others] if self._others else []


def folder_of(database: Path, uri: str, run_id: str) -> Path | None:
    """Where the artifacts of a run of a database are; None: not on this machine."""
    split = urlsplit(uri)
    path = PurePosixPath(unquote(split.path))
    if path.name != _NAME or path.parent.name != run_id or ".." in path.parts:
        return None
    candidates = [database.parent / each / Path(*path.parts[-3:]) for each in _BESIDE]
    if split.scheme in _LOCAL and split.netloc in ("", "localhost"):
        candidates.insert(0, database.parent / path)
    return next((each for each in candidates if each.is_dir()), None)
