"""``Html``: a page, which is shown without running anything of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from steplog.media.files import check_size, read_bounded, read_file
from steplog.media_value import LOGGED_BYTES_MAX, Content, MediaValue

__all__ = ["Html"]


class Html(MediaValue):
    """A page, for ``run.log``. Scripts in it are kept, and not run where it is shown.

    Args:
        data: the text of the page; a path (``pathlib.Path``, or a str that ends in ".html" or ".htm"), which is read
            when it is logged; or a file object, which is read now.

    Raises TypeError, OSError.
    """

    def __init__(self, data: Any) -> None:
        self._path: Path | None = None
        self._text = b""
        if isinstance(data, str) and data.lower().endswith((".html", ".htm")) and "<" not in data:
            data = Path(data)
        if isinstance(data, os.PathLike):
            self._path = Path(data)
            self._path.stat()  # raises where it is not there
            return
        if callable(getattr(data, "read", None)):
            data = read_bounded(data)
        if not isinstance(data, (str, bytes)):
            raise TypeError(f"a page is a str, a path or a file object, not {type(data).__name__}")
        self._text = data.encode("utf-8", "replace") if isinstance(data, str) else data

    def __repr__(self) -> str:
        return f"<steplog.Html{f' of {str(self._path)!r:.60}' if self._path else ''}>"

    def content(self, bytes_max: int = LOGGED_BYTES_MAX) -> Content:
        """Internal: as MediaValue says."""
        text = self._text if self._path is None else read_file(self._path, bytes_max)
        check_size(len(text), bytes_max)
        return Content("html", "text/html", ".html", [text])
