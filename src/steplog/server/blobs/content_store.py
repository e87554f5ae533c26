"""``ContentStore``: contents by their hash, and uploads that are under way. Any thread may call it; calls block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

__all__ = ["ContentStore", "WrongContentError"]


class WrongContentError(Exception):
    """What was uploaded has another hash; the upload is removed."""


class ContentStore(ABC):
    """An upload is known by ``key`` (of a project and a hash), since what one project sends is not another's to see.

    Attributes:
        append_bytes: how much is gathered of a part before it is added.
    """

    append_bytes = 256 * 1024

    @abstractmethod
    def uploaded(self, key: str) -> int:
        """How far an upload has come, in bytes."""

    @abstractmethod
    def append(self, key: str, offset: int, data: bytes) -> int:
        """Add to an upload at ``offset``, if that is how far it has come; how far it is then. Raises OSError."""

    @abstractmethod
    def verify(self, key: str, sha256: str, size: int) -> None:
        """Check an upload that is whole. Raises WrongContentError, OSError."""

    @abstractmethod
    def put(self, key: str, sha256: str) -> None:
        """Make an upload the content, durable. Raises OSError."""

    @abstractmethod
    def size(self, sha256: str) -> int | None:
        """Bytes of a content; None: there is none."""

    @abstractmethod
    def read(self, sha256: str, first: int, end: int) -> Iterator[bytes]:
        """The bytes ``[first, end)`` of a content, in parts. Raises OSError."""

    @abstractmethod
    def remove(self, sha256: str) -> None:
        """Remove a content, if it is there. Raises OSError."""

    @abstractmethod
    def sweep(self, older_s: float) -> int:
        """Remove uploads that nobody has added to for so long; how many."""

    def free_bytes(self) -> int | None:
        """Room for contents; None: it does not say."""
        return None
