"""The files of a format, and what can be told of a run from where its file is."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from steplog.formats.file_listing import is_content, is_listing

__all__ = ["ending_so", "id_of", "name_of"]

_SAYING_NOTHING = frozenset(("data", "history", "log", "logs", "metrics", "monitor", "progress", "results", "training"))


def ending_so(path: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    """The file itself, or those below a directory, in order; not what is hidden, and not the files of exported runs."""
    if path.is_file():
        if path.suffix.lower() in suffixes:
            yield path
        return
    for file in sorted(path.rglob("*")):
        is_other = any(part.startswith(".") for part in file.relative_to(path).parts) or is_content(file)
        if file.suffix.lower() in suffixes and not is_other and file.is_file() and not is_listing(file):
            yield file


def name_of(file: Path, root: Path) -> str:
    """A run's name by its file: that of the folder, where the file's says nothing; below ``root`` with all folders."""
    folders = file.relative_to(root).parent.parts if file != root else ()
    folder = "/".join(folders) or file.absolute().parent.name
    says_nothing = file.stem.lower() in _SAYING_NOTHING and folder
    name = folder if says_nothing else "/".join((*folders, file.stem))
    return os.fsencode(name).decode("utf-8", "replace")


def id_of(kind: str, *parts: object) -> str:
    """A run's id, of what does not change where its file grows or moves."""
    return f"{kind}-{hashlib.blake2b(json.dumps(parts).encode(), digest_size=12).hexdigest()}"
