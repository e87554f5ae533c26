"""Images and the like of another logger, as values of steplog's ``log``.

1. A value has its content from when it is made: the other loggers write their files then, so that what changes
   afterwards, such as a figure that is cleared, changes nothing. A file that is named by its path is read when it is
   logged.
2. What takes more bytes than ``log`` copies (``LOGGED_BYTES_MAX``) is encoded by its caller, up to 256 MiB: an image
   as PNG is often smaller. What is still larger raises nothing where it is made. Where it is logged it is counted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from steplog.compat.unsupported import unsupported
from steplog.media_value import LOGGED_BYTES_MAX, Content, MediaValue, TooLargeToLogError

__all__ = [
    "KeptMedia",
    "content_of_file",
    "content_of_json",
    "content_of_text",
    "encoded",
    "frozen",
    "kept_or_counted",
]

_ENCODED_BYTES_MAX = 256 * 1024 * 1024  # that are encoded by who logs them

_TOO_LARGE = (
    f"log copies {LOGGED_BYTES_MAX >> 20} MiB at most, uncompressed; "
    "write it to a file, and save that: steplog.get_active_run().save(path)"
)
_MEDIA_TYPES = {
    ".html": "text/html",
    ".json": "application/json",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".ogg": "video/ogg",
}


class KeptMedia(MediaValue):
    """A value whose content is known."""

    def __init__(self, content: Content) -> None:
        self._content = content

    def content(self, bytes_max: int = LOGGED_BYTES_MAX) -> Content:
        """The content. Raises TooLargeToLogError."""
        if self._content.size > bytes_max:
            raise TooLargeToLogError(f"the value takes {self._content.size:,} bytes, of {bytes_max:,} that log copies")
        return self._content

    def with_fields(self, fields: Mapping[str, Any]) -> KeptMedia:
        """The same with more fields of its record, which may hold other values; those that are None are left out."""
        more = {name: value for name, value in fields.items() if value is not None}
        return KeptMedia(replace(self._content, fields={**self._content.fields, **more}))


def frozen(value: MediaValue) -> KeptMedia:
    """The value as it is now. Raises TooLargeToLogError, and as ``content`` does."""
    if isinstance(value, KeptMedia):
        return value
    try:
        content = value.content()
    except TooLargeToLogError:
        content = value.content(_ENCODED_BYTES_MAX)
        if not content.encoding:
            raise
        found = KeptMedia(replace(content, parts=[encoded(content)], encoding={}))
        found.content()
        return found
    parts = [part if isinstance(part, bytes) else bytes(part) for part in content.parts]
    return KeptMedia(replace(content, parts=parts))


def encoded(content: Content) -> bytes:
    """The file that is made of a content."""
    whole = b"".join(content.parts)
    if not content.encoding:
        return whole
    from steplog.media.encoding import encode  # late: most values are encoded in the background

    written: list[bytes] = []
    encode(content.encoding, whole, written.append)
    return b"".join(written)


def content_of_file(path: str | os.PathLike[str], kind: str, suffix: str | None = None) -> Content:
    """A file as it is. Raises OSError, TooLargeToLogError."""
    place = Path(path)
    suffix = place.suffix.lower() if suffix is None else suffix
    with place.open("rb") as file:
        data = file.read(LOGGED_BYTES_MAX + 1)
    if len(data) > LOGGED_BYTES_MAX:
        raise TooLargeToLogError(
            f"{place} takes {place.stat().st_size:,} bytes, of {LOGGED_BYTES_MAX:,} that log copies"
        )
    return Content(kind, _media_type(suffix), suffix, [data])


def content_of_text(text: str, kind: str, suffix: str) -> Content:
    """A text as UTF-8."""
    return Content(kind, _media_type(suffix), suffix, [text.encode("utf-8", "replace")])


def content_of_json(value: Any, suffix: str) -> Content:
    """A JSON file; of what JSON has not its text."""
    return content_of_text(json.dumps(value, default=_plain), "file", suffix)


def kept_or_counted(make: Callable[[], MediaValue], call: str) -> KeptMedia | None:
    """What ``make`` gives, as it is now; None, and counted as ``call``: it is too large, or its file is gone."""
    try:
        return frozen(make())
    except TooLargeToLogError:
        unsupported.note(f"{call}, too large", _TOO_LARGE)
    except OSError as error:
        unsupported.note(f"{call}, not readable", f"its file is as it was, if it is there: {error!s:.200}")
    return None


def _media_type(suffix: str) -> str:
    return _MEDIA_TYPES.get("." + suffix.rpartition(".")[2], "application/octet-stream")


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
