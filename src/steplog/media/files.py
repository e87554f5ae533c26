"""A file of media that the user has: its path, its bytes, or what reads them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, NamedTuple

from steplog.media.signatures import FIRST_BYTES, SIGNATURES, Signature, signature_of
from steplog.media_value import LOGGED_BYTES_MAX, TooLargeToLogError

__all__ = ["GivenFile", "check_size", "given_file", "read_bounded", "read_file"]


class GivenFile(NamedTuple):
    """``path`` is read when the value is logged, ``data`` is here; one of them is None.

    ``signature`` is what the file was when it was given; one at a path may have changed since.
    """

    path: Path | None
    data: bytes | None
    kind: str
    signature: Signature

    def read(self, bytes_max: int) -> tuple[bytes, Signature]:
        """All of the file, and its type. Raises TooLargeToLogError, ValueError for another type, OSError."""
        data = read_file(self.path, bytes_max) if self.path is not None else self.data or b""
        check_size(len(data), bytes_max)
        return data, _checked(data[:FIRST_BYTES], self.kind, self.name)

    @property
    def name(self) -> str:
        """For messages."""
        return "what was given" if self.path is None else str(self.path)


def given_file(data: Any, kind: str) -> GivenFile | None:
    """``data`` as a file, if it is a path, bytes or a file object; which is read here.

    Raises OSError, and ValueError for what is not a file of ``kind``, which is "image", "audio" or "video".
    """
    if isinstance(data, (str, os.PathLike)):
        path = Path(data)
        return GivenFile(path, None, kind, _checked(_first_of(path), kind, str(path)))
    if callable(getattr(data, "read", None)):
        data = read_bounded(data)
    if isinstance(data, (bytes, bytearray, memoryview)):
        content = bytes(data)
        return GivenFile(None, content, kind, _checked(content[:FIRST_BYTES], kind, "what was given"))
    return None


def read_bounded(source: Any) -> Any:
    """What a file object has left, if that may be logged. Raises TooLargeToLogError."""
    content = source.read(LOGGED_BYTES_MAX + 1)
    check_size(len(content), LOGGED_BYTES_MAX)
    return content


def read_file(path: Path, bytes_max: int) -> bytes:
    """All of a file. Raises TooLargeToLogError, OSError, and ValueError for what is no regular file."""
    descriptor = _opened(path)
    with open(descriptor, "rb") as file:
        check_size(os.fstat(descriptor).st_size, bytes_max)
        content = file.read(bytes_max + 1)
    check_size(len(content), bytes_max)
    return content


def check_size(size: int, bytes_max: int) -> None:
    """Raises TooLargeToLogError, with what to do instead."""
    if size > bytes_max:
        raise TooLargeToLogError(
            f"the value has {size:,} bytes or more, and log() takes {bytes_max:,} at most: "
            "make it smaller, or write it to a file and call run.save(path)"
        )


def _first_of(path: Path) -> bytes:
    with open(_opened(path), "rb") as file:
        return file.read(FIRST_BYTES)


def _opened(path: Path) -> int:
    """A descriptor; a pipe or a device is not waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise ValueError(f"{path} is not a file")


def _checked(first: bytes, kind: str, name: str) -> Signature:
    found = signature_of(first)
    if found is not None and kind in found.kinds:
        return found
    known = ", ".join(dict.fromkeys(each.type.partition("/")[2] for each in SIGNATURES if kind in each.kinds))
    raise ValueError(
        f"{name} is {f'of type {found.type}' if found else 'of a type that is not known'}; "
        f"files of kind {kind} are {known} (run.save takes any file)"
    )
