"""The files of one run that wait on this machine.

::

    <memory>/<run>/<writer>/<id>.media    what log() took, as its caller had it, until it is a file on disk
    <spool>/<run>/files/<id>.json         a file (FileEntry), once its content is whole and durable
                        <sha256>          a content, once however many files have it; gone once the server has it
                        <id>.part         a content that is being written
                        <artifact>.artifact.json

"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.media_value import Content

__all__ = ["WaitingFiles"]


class WaitingFiles:
    """See the module."""

    def keep(self, content: Content) -> str:
        """Copy what a value's file is made of to memory; its id. Called in ``log``.

        Raises NoRoomError, TooLargeToLogError.
        """
        raise NotImplementedError

    def save(self, path: Path, name: str, *, immutable: bool = False) -> FileEntry:
        """Copy a file; takes as long as a copy. Raises OSError, ValueError, NoRoomError."""
        raise NotImplementedError

    def save_artifact(
        self, entry: ArtifactEntry, files: Sequence[tuple[str, Path]], *, immutable: bool = False
    ) -> None:
        """Copy the files of an artifact, each with its path there; all or none. Raises as ``save``."""
        raise NotImplementedError

    def take_in(self) -> bool:
        """Encode, hash and write to disk the next of what was copied; whether there was any. Takes long."""
        raise NotImplementedError

    def entries(self) -> list[FileEntry]:
        """The files whose content is known, oldest first."""
        raise NotImplementedError

    def artifacts(self) -> list[tuple[ArtifactEntry, list[FileEntry]]]:
        """The artifacts whose content is known, with their files, oldest first."""
        raise NotImplementedError

    def has(self, sha256: str) -> bool:
        """Whether a content is here; one of an entry that is not here has been delivered."""
        raise NotImplementedError

    def read(self, sha256: str, offset: int, size: int) -> bytes:
        """Part of a content. Raises OSError."""
        raise NotImplementedError

    def delivered(self, sha256: str) -> None:
        """The server has a content: remove it."""
        raise NotImplementedError

    def forget(self, ids: Iterable[str]) -> None:
        """The server knows of these files and artifacts, and has their contents: remove the entries."""
        raise NotImplementedError

    def left(self) -> int:
        """How many files are not delivered; what is yet to be taken in included."""
        raise NotImplementedError

    def bytes_left(self) -> int:
        """Bytes of contents that are not delivered."""
        raise NotImplementedError
