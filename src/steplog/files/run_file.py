"""``RunFile``: a file of a run or of an artifact, to read and to download."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from steplog.files.content import Content, checked
from steplog.files.folder import Folder
from steplog.printable import printable

__all__ = ["FileFacts", "RunFile"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class FileFacts:
    """What is known of a file before its content is asked for; ``time`` in ns, 0: unknown."""

    path: str = ""
    id: str = ""
    type: str = ""
    suffix: str = ""
    time: int = 0
    waits: bool = False
    present: bool = True


class RunFile:
    """A file of a run or of an artifact, made by ``files``, ``file`` and ``Artifact.files``.

    ``read``, ``download``, and ``size`` and ``sha256`` of a value's file, may raise RunFileNotFoundError (the content
    has not arrived, or is gone), FormatError (it is another content than it should be), ServerUnavailableError,
    InvalidAPIKeyError.
    """

    def __init__(self, facts: FileFacts, content: Content, folder: Path) -> None:
        """Internal: ``folder`` is where it is downloaded to if nothing else is said."""
        self._facts = facts
        self._content = content
        self._folder = folder

    def __repr__(self) -> str:
        size = "" if self._content.size is None else f", {self._content.size} bytes"
        return f"<RunFile {printable(self.path)}{size}{', waits on this machine' if self.waits else ''}>"

    @property
    def path(self) -> str:
        """Its name in the run or the artifact, with "/"; of a value that was logged, its id and suffix."""
        return self._facts.path or f"{self._facts.id}{self._facts.suffix}"

    @property
    def facts(self) -> FileFacts:
        """Internal: what is known of it."""
        return self._facts

    @property
    def is_saved(self) -> bool:
        """Whether it was saved under a path; false of a value that was logged."""
        return bool(self._facts.path)

    @property
    def id(self) -> str:
        """The id by which a record names it; "" of a file of an artifact."""
        return self._facts.id

    @property
    def type(self) -> str:
        """The media type, as the program that logged it has it; "" if nobody knows."""
        return self._facts.type

    @property
    def time(self) -> datetime | None:
        """When it was logged or saved, in UTC; None: nobody knows."""
        return _EPOCH + timedelta(microseconds=self._facts.time // 1000) if self._facts.time else None

    @property
    def waits(self) -> bool:
        """Whether it waits on this machine for its server."""
        return self._facts.waits

    @property
    def present(self) -> bool:
        """Whether its content is there to be read: false while another machine has yet to send it."""
        return self._facts.present

    @property
    def size(self) -> int:
        """Bytes of its content."""
        if self._content.size is None:
            self._content.ask()
        return self._content.size or 0

    @property
    def sha256(self) -> str:
        """SHA-256 of its content, in hexadecimal."""
        if not self._content.sha256:
            self._content.ask()
        return self._content.sha256

    def read(self) -> bytes:
        """Its content, whose hash is checked."""
        return b"".join(checked(self._content, printable(self.path)))

    def download(self, root: str | os.PathLike[str] | None = None, *, replace: bool = False) -> Path:
        """Write it to ``root/path``; where it is then. One that is there with the same content is left as it is.

        Args:
            root: a directory, which is made; None: ``files/<run>`` or ``artifacts/<name>-<version>`` here.
            replace: another file of that name is replaced.

        A download that was interrupted goes on from there. Raises FileExistsError, OSError, and as the class does.
        """
        return self.put(self._folder if root is None else Path(root), replace=replace)

    def put(
        self, root: Path, *, replace: bool, arrived: Callable[[int], None] = lambda count: None, path: str = ""
    ) -> Path:
        """Internal: the same; ``arrived`` is told of bytes as they come; ``path``: where, if it is to be elsewhere."""
        return Folder(root).put(path or self.path, self._content, replace=replace, arrived=arrived)
