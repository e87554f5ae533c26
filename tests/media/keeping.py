"""What ``log`` makes of media, and the files that are made of them, without a run."""

from __future__ import annotations

import io
from typing import Any

from steplog.journal.values import Values
from steplog.media.encoding import encode
from steplog.media_value import Content


class Keeping:
    """Converts values as a run does; copies of what their files are made of, by id."""

    def __init__(self, value_bytes_max: int = 1 << 20) -> None:
        self.values = Values(value_bytes_max, strict=True)
        self.values.keep = self._keep
        self.contents: dict[str, Content] = {}
        self._copies: dict[str, bytes] = {}

    def _keep(self, content: Content) -> str:
        name = f"{len(self.contents):032x}"
        self.contents[name] = content
        self._copies[name] = b"".join(bytes(part) for part in content.parts)
        return name

    def log(self, value: Any) -> Any:
        """The record."""
        return self.values.plain(value)

    def file(self, record: Any) -> bytes:
        """The file that a record names."""
        made = io.BytesIO()
        encode(self.contents[record["file"]].encoding, self._copies[record["file"]], made.write)
        return made.getvalue()

    def logged_file(self, value: Any) -> bytes:
        """The file of a value."""
        return self.file(self.log(value))
