"""``ContentStore``: contents by their hash, and uploads that are under way. Any thread may call it; calls block.

Where there is no room it is an OSError of ENOSPC or EDQUOT.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

__all__ = ["ContentStore", "WrongContentError", "checked_key", "checked_sha256", "is_key"]

_KEY = re.compile(r"[0-9a-f-]{1,128}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class WrongContentError(Exception):
    """What was uploaded has another hash, or another size; the upload is removed."""


class ContentStore(ABC):
    """An upload is known by ``key`` (of a project and a hash), since what one project sends is not another's to see.

    Attributes:
        append_bytes: what to gather of an upload before it is added to.
    """

    append_bytes: ClassVar[int]

    @abstractmethod
    def uploaded(self, key: str) -> int:
        """How far an upload has come, in bytes. Raises OSError."""

    @abstractmethod
    def append(self, key: str, offset: int, data: bytes) -> int:
        """Add to an upload at ``offset``, if that is how far it has come; how far it is then. Raises OSError."""

    @abstractmethod
    def verify(self, key: str, sha256: str, size: int) -> None:
        """Check an upload that is whole, and make it durable. Raises WrongContentError, OSError."""

    @abstractmethod
    def put(self, key: str, sha256: str) -> None:
        """Make an upload that was checked the content, durable; one that is the content by now stays so.

        Raises OSError.
        """

    @abstractmethod
    def size(self, sha256: str) -> int | None:
        """Bytes of a content; None: there is none. Raises OSError."""

    @abstractmethod
    def read(self, sha256: str, first: int, end: int) -> Iterator[bytes]:
        """The bytes ``[first, end)`` of a content, in parts. Raises OSError."""

    @abstractmethod
    def remove(self, sha256: str) -> None:
        """Remove a content, if it is there. Raises OSError."""

    @abstractmethod
    def sweep(self, older_s: float) -> int:
        """Remove uploads that nobody has added to for so long; how many. Raises OSError."""

    def free_bytes(self) -> int | None:
        """Room for contents; None: it does not say."""
        return None


def is_key(name: str) -> bool:
    """Whether this can be the key of an upload."""
    return _KEY.fullmatch(name) is not None


def checked_key(key: str) -> str:
    """A key that can be the name of a file. Raises ValueError."""
    if not is_key(key):
        raise ValueError(f"not a key of an upload: {key!r:.80}")
    return key


def checked_sha256(sha256: str) -> str:
    """A hash that can be the name of a file. Raises ValueError."""
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"not a SHA-256: {sha256!r:.80}")
    return sha256
