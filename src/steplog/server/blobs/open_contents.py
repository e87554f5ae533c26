"""Opens where a server keeps contents: a folder, or object storage by the URL of an fsspec file system.

A URL may have a password. What is printed, logged or raised has ``shown_contents``.
"""

from __future__ import annotations

import re
from pathlib import Path

from steplog.errors import ConfigurationError
from steplog.server.blobs.content_store import ContentStore
from steplog.server.blobs.folder import FolderContents

__all__ = ["ContentsPlace", "contents_beside", "contents_place", "open_contents", "shown_contents"]

ContentsPlace = str | Path  # a URL, or a folder
_URL = re.compile(r"[a-z][a-z0-9+.:-]*://", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)[^/]*@")


def contents_place(named: str | None, database: Path | str) -> ContentsPlace | None:
    """The place that was named, else the folder beside a database that is a file; None: there is none."""
    if named is None:
        return database.with_name(f"{database.name}.blobs") if isinstance(database, Path) else None
    return named if _URL.match(named) else Path(named)


def contents_beside(database: Path | str) -> Path | None:
    """The folder beside a database that is a file, if there are contents in it."""
    place = contents_place(None, database)
    if not isinstance(place, Path) or not place.is_dir():
        return None
    return place if any(len(each.name) == 2 for each in place.iterdir()) else None


def open_contents(place: ContentsPlace) -> ContentStore:
    """Open a place, made if missing. Raises ConfigurationError."""
    try:
        if isinstance(place, Path):
            return FolderContents(place)
        try:
            from steplog.server.blobs.object_store import ObjectContents

            return ObjectContents(place)
        except ImportError as error:  # fsspec, or what it needs for this kind of storage
            raise ConfigurationError(
                f"{shown_contents(place)} cannot be used: {error}. Type: pip install 'steplog[objects]', and what"
                " fsspec needs for it, such as s3fs, gcsfs or adlfs"
            ) from None
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        words = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"files cannot be kept in {shown_contents(place)}: {words}") from None


def shown_contents(place: ContentsPlace) -> str:
    """A place without its password, and what else is after a question mark."""
    return _CREDENTIALS.sub("", str(place)).partition("?")[0] if isinstance(place, str) else str(place)
