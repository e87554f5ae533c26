"""Files below a folder that somebody else has written: none outside of it is read, and no link is followed."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import stat
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from steplog.blobs.entries import FileEntry, checked_path, known_suffix
from steplog.errors import FormatError
from steplog.formats.imported import ImportedFile
from steplog.media.signatures import FIRST_BYTES, signature_of

__all__ = ["MediaFolder", "file_id", "local_file", "names_within", "open_within"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_LINK = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # which waits for no pipe


def open_within(root: Path, path: str) -> BinaryIO | None:
    """The regular file of this relative path; None: there is none. Raises FormatError for anything else."""
    try:
        parts = checked_path(path).split("/")
    except ValueError as error:
        raise FormatError(f"{root}: {error}") from None
    try:
        descriptor = os.open(root, _FOLDER)
    except FileNotFoundError:
        return None
    try:
        for part in parts:
            above, descriptor = descriptor, os.open(part, _NO_LINK, dir_fd=descriptor)
            os.close(above)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FormatError(f"{root / path} is not a file")
    except FileNotFoundError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        raise FormatError(f"{root / path}: {error.strerror}; links are not followed") from None
    except BaseException:
        os.close(descriptor)
        raise
    return open(descriptor, "rb")


def names_within(root: Path) -> tuple[list[str], int]:
    """The relative paths of the files below a folder, in order, and how many others there are, as links."""
    names, others = [], 0
    for folder, below, found in os.walk(root):
        others += sum(os.path.islink(os.path.join(folder, each)) for each in below)
        below.sort()
        for name in found:
            path = Path(folder, name)
            if stat.S_ISREG(path.lstat().st_mode):
                names.append(path.relative_to(root).as_posix())
            else:
                others += 1
    return sorted(names), others


class MediaFolder:
    """A folder with the files of values; ``key`` tells it from others, wherever it lies.

    A value is there whether its file is or not, so that the records of a source stay the same.

    Attributes:
        missing: paths that values name, and which are not there.
    """

    def __init__(self, root: Path, *key: str) -> None:
        self._root = root
        self._key = key
        self._used: dict[str, tuple[str, int]] = {}  # the media type, and when it was logged first
        self.missing: set[str] = set()

    def value(self, kind: str, path: object, fields: Mapping[str, Any], time_ns: int, type_: str = "") -> Any:
        """The value that names the file of this relative path; None of what is no path."""
        try:
            name = checked_path(path) if isinstance(path, str) else ""
        except ValueError:
            name = ""
        if not name:
            return None
        first = self._first_bytes(name)
        if first is None:
            self.missing.add(name)
        found = signature_of(first) if first and kind in ("image", "audio", "video") else None
        type_ = type_ or (found.type if found is not None else _media_type(name) or "application/octet-stream")
        self._used.setdefault(name, (type_, time_ns))
        return {"_type": kind, "file": file_id(*self._key, name), "type": type_, **fields}

    def files(self) -> Iterator[ImportedFile]:
        """Those that are there, of the values so far."""
        for name, (type_, time_ns) in self._used.items():
            if name not in self.missing:
                yield local_file(self._root, name, file_id(*self._key, name), type_=type_, time_ns=time_ns)

    def read(self, name: str, bytes_max: int) -> bytes:
        """The beginning of a file. Raises FormatError for what is none."""
        opened = open_within(self._root, name)
        if opened is None:
            return b""
        with opened:
            return opened.read(bytes_max)

    def _first_bytes(self, name: str) -> bytes | None:
        try:
            opened = open_within(self._root, name)
        except FormatError:
            return None
        if opened is None:
            return None
        with opened:
            return opened.read(FIRST_BYTES)


def _media_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or ""


def file_id(*parts: Any) -> str:
    """The id of a file, the same for the same parts."""
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()


def local_file(root: Path, path: str, id_: str, saved_as: str = "", type_: str = "", time_ns: int = 0) -> ImportedFile:
    """A file of this relative path; ``saved_as``: what it is called in the run, "" of a value's."""
    suffix = known_suffix(Path(path).suffix)
    kind = type_ or _media_type(path)
    entry = FileEntry(id=id_, path=saved_as, type=kind, suffix=suffix, time=max(0, time_ns))
    return ImportedFile(entry, partial(open_within, root, path))
