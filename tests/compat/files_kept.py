"""What a value is logged as, and the files that are made of it, without a run."""

from __future__ import annotations

import io
from typing import Any

from steplog.compat.kept_media import encoded
from steplog.journal.jsonable import Copy
from steplog.media_value import Content

__all__ = ["Kept", "logged"]


class Kept:
    """A value as its record has it, whose files are numbered, and their contents."""

    def __init__(self, value: Any) -> None:
        self.contents: list[Content] = []
        self.record: Any = Copy(1 << 20, self._keep).of(value)

    def _keep(self, content: Content) -> str:
        self.contents.append(content)
        return f"{len(self.contents) - 1:032x}"

    def file(self, place: int = 0) -> bytes:
        return encoded(self.contents[place])

    def picture(self, place: int = 0) -> Any:
        """As Pillow has it."""
        from PIL import Image

        return Image.open(io.BytesIO(self.file(place)))


def logged(value: Any) -> Kept:
    """The value, as ``log`` would keep it."""
    return Kept(value)
