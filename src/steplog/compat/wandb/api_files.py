"""Files of a run, as ``wandb.Api`` gives them."""

from __future__ import annotations

import os
from typing import Any, NoReturn, TextIO

import steplog
from steplog.compat.wandb.errors import CommError

__all__ = ["File"]


class File:
    """A file of a run; ``kept`` is a ``RunFile`` of steplog's."""

    def __init__(self, kept: Any) -> None:
        self._kept = kept
        self.name: str = kept.path
        self.mimetype: str = kept.type or "application/octet-stream"
        self.updated_at = None if kept.time is None else kept.time.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.url = self.direct_url = ""

    def __repr__(self) -> str:
        return f"<File {self.name} ({self.mimetype}) {self.size} bytes>"

    @property
    def id(self) -> str:
        """Its id."""
        return str(self._kept.id)

    @property
    def size(self) -> int:
        """In bytes."""
        return int(self._kept.size)

    @property
    def sha256(self) -> str:
        """SHA-256 of its content."""
        return str(self._kept.sha256)

    md5 = sha256  # what is compared with itself

    def download(self, root: str = ".", replace: bool = False, exist_ok: bool = False, api: Any = None) -> TextIO:
        """Write it to ``root/name``, and open that.

        Raises ValueError where it is there already, without ``replace`` and ``exist_ok``; CommError.
        """
        path = os.path.join(root, self.name)
        if os.path.exists(path) and not replace:
            if exist_ok:
                return open(path, encoding="utf-8")
            raise ValueError("File already exists, pass replace=True to overwrite or exist_ok=True to leave it as is.")
        try:
            place = self._kept.download(root, replace=True)
        except (steplog.SteplogError, OSError) as error:
            raise CommError(f"the file {self.name!r} is not to be had: {error}", error) from error
        return open(place, encoding="utf-8")

    def delete(self) -> NoReturn:
        """Raises CommError."""
        raise CommError(f"a file is deleted with its run; {self.name!r} stays")
