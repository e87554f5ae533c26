"""Files of a run whose server keeps none: moved to where a person finds them, so that the run's journal can go.

::

    <dir>/kept-files/<project>/<run>-<local id>/<path>              what was saved
                                                media/<id>.png      what was logged
                                                artifacts/<name>-<id>/<path>
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from steplog.blobs.entries import ArtifactEntry, FileEntry, checked_path
from steplog.blobs.waiting_files import WaitingFiles
from steplog.file_system import sync

__all__ = ["KEPT_NAME", "keep_files", "kept_directory"]

KEPT_NAME = "kept-files"
_UNSAFE = r"[^\w.@+=-]+"
_NAME_MAX = 80
_PART_BYTES = 1024 * 1024


def kept_directory(root: Path, project: str, name: str, local_id: str) -> Path:
    """Where the files of a run are kept; ``root`` is steplog's directory."""
    run = f"{_safe(name)}-{local_id[:8]}" if name else local_id
    return root / KEPT_NAME / (_safe(project) or "project") / run


def keep_files(files: WaitingFiles, directory: Path) -> int:
    """Move all files there, and forget them here; how many. Raises OSError, and what is left then can be moved again.

    Of several files with one path the newest is kept, as a server shows it.
    """
    artifacts = files.artifacts()
    known: list[tuple[Path, FileEntry]] = [(directory / _place(entry), entry) for entry in files.entries()]
    for artifact, members in artifacts:
        below = directory / "artifacts" / f"{_safe(artifact.name)}-{artifact.id[:8]}"
        known += [(below / _place(entry), entry) for entry in members]
    directory.mkdir(parents=True, mode=0o700, exist_ok=True)
    for path, entry in known:
        if files.has(entry.sha256):
            _move(files, entry, path)
    _forget(files, [entry for _, entry in known], [artifact for artifact, _ in artifacts])
    return len(known)


def _place(entry: FileEntry) -> str:
    if entry.path:
        return checked_path(entry.path)
    return f"media/{entry.id}{re.sub(_UNSAFE, '', entry.suffix)[:16]}"


def _move(files: WaitingFiles, entry: FileEntry, path: Path) -> None:
    """Have a content at ``path``, by a link where that can be."""
    path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    part = path.with_name(f".{entry.id}.part")
    part.unlink(missing_ok=True)
    try:
        os.link(files.path(entry.sha256), part, follow_symlinks=False)
    except OSError:
        _copy(files, entry, part)
    part.replace(path)


def _copy(files: WaitingFiles, entry: FileEntry, path: Path) -> None:
    with open(path, "xb", opener=_private) as target:
        offset = 0
        while data := files.read(entry.sha256, offset, _PART_BYTES):
            target.write(data)
            offset += len(data)
        if offset != entry.size:
            raise OSError(f"{entry.sha256} has {offset} bytes, not {entry.size}")
        target.flush()
        sync(target.fileno())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _forget(files: WaitingFiles, entries: list[FileEntry], artifacts: list[ArtifactEntry]) -> None:
    for sha256 in {entry.sha256 for entry in entries}:
        files.delivered(sha256)
    files.forget([*(entry.id for entry in entries), *(artifact.id for artifact in artifacts)])


def _safe(text: str) -> str:
    return re.sub(_UNSAFE, "_", text).strip("._")[:_NAME_MAX]
