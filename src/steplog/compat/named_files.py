"""Files that are kept with a run under names of another logger's, whatever they are called on this machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import steplog
from steplog.compat.artifact_references import inside

__all__ = ["NamedFiles", "named_files"]


class NamedFiles:
    """A folder of files, or links to them, that is kept as it is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def place(self, name: str) -> Path:
        """Where to write a file. Raises ValueError for a name that leads elsewhere."""
        place = inside(self._folder, name)
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def link(self, name: str, path: str | os.PathLike[str]) -> None:
        """Keep a file under this name. Raises ValueError, OSError."""
        place = self.place(name)
        place.unlink(missing_ok=True)
        place.symlink_to(os.path.abspath(path))

    def keep(self, run: steplog.Run) -> list[str]:
        """Keep what is there with a run, as ``Run.save`` does; the names. Raises as that does."""
        files = [os.path.join(where, name) for where, _, names in os.walk(self._folder) for name in sorted(names)]
        return run.save(files, base_path=str(self._folder)) if files else []


@contextmanager
def named_files() -> Iterator[NamedFiles]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="steplog-files-") as folder:
        yield NamedFiles(Path(folder))
