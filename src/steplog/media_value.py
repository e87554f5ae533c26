"""``MediaValue``, what ``log`` takes besides JSON values: images, audio, video, pages, tables, histograms. Pure.

What ``logged`` gives is the record: all of a small value, or one that names a file, of what ``content`` gives::

    {"_type": "image", "file": "<32 hex digits>", "type": "image/png", "width": 28, "height": 28, "caption": "a seven"}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["LOGGED_BYTES_MAX", "Content", "MediaValue", "TooLargeToLogError"]

LOGGED_BYTES_MAX = 16 * 1024 * 1024  # that one call of log() copies


class TooLargeToLogError(ValueError):
    """The value takes more bytes than ``log`` copies; ``run.save`` takes a file of any size."""


class Content(msgspec.Struct, frozen=True):
    """What the file of a value is made of. ``parts`` may be the caller's own memory: whoever keeps it copies.

    Attributes:
        kind: "image", "audio", "video", "html", "table" or "file"; the record's ``_type``.
        type: the media type of the file.
        suffix: of the file's name, such as ".png".
        parts: the bytes, one after the other, as ``encoding`` says.
        fields: what the record says besides, of JSON.
        encoding: how the file is made of the bytes (``media.encoding``), of JSON; empty: they are the file.
    """

    kind: str
    type: str
    suffix: str
    parts: Sequence[bytes | bytearray | memoryview]
    fields: Mapping[str, Any] = {}
    encoding: Mapping[str, Any] = {}

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(memoryview(part).nbytes for part in self.parts)


class MediaValue:
    """A value of ``log`` that is more than JSON. It refers to what it was given until it is logged."""

    def logged(self, keep: Callable[[Content], str], convert: Callable[[object, int], Any]) -> Any:
        """The JSON value that is logged. Raises as ``content`` and ``keep`` do.

        Args:
            keep: takes the file of a value; its id.
            convert: what ``log`` makes of any value in at most so many bytes of JSON, with the files of media in it
                kept. Raises TooLargeToLogError.
        """
        content = self.content()
        return {"_type": content.kind, "file": keep(content), "type": content.type, **content.fields}

    def content(self, bytes_max: int = LOGGED_BYTES_MAX) -> Content:
        """What its file is made of, as it is now. Raises TooLargeToLogError, TypeError, OSError."""
        raise NotImplementedError
