"""Contents that the server misses, and how large the parts of them are. Pure."""

from __future__ import annotations

from collections import deque
from contextlib import suppress

import msgspec

from steplog.delivery.backoff import Backoff

__all__ = ["PART_BYTES", "PART_BYTES_MAX", "PART_BYTES_MIN", "SLOW_S", "MissingContent", "PartSize", "UploadQueue"]

PART_BYTES = 1024 * 1024  # of the first part
PART_BYTES_MIN = 64 * 1024
PART_BYTES_MAX = 8 * 1024 * 1024
_QUICK_S = 2.0  # a part that took no longer may be followed by a larger one
SLOW_S = 1.0  # a part that failed after that may have been too large


class PartSize:
    """How large the parts to one server are: what goes within seconds."""

    def __init__(self) -> None:
        self.bytes = PART_BYTES

    def passed(self, sent: int, elapsed_s: float) -> None:
        """A part of ``sent`` bytes arrived."""
        if sent >= self.bytes and elapsed_s <= _QUICK_S:
            self.bytes = min(2 * self.bytes, PART_BYTES_MAX)

    def failed(self, sent: int) -> None:
        """A part of ``sent`` bytes did not."""
        self.bytes = max(PART_BYTES_MIN, min(self.bytes, max(sent, 1)) // 2)


class MissingContent(msgspec.Struct, eq=False):
    """A content that the server misses. ``offset``: how much it has; None: it is asked."""

    sha256: str
    size: int
    backoff: Backoff
    offset: int | None = None
    wrong: int = 0
    failures: int = 0  # in a row, without an answer
    refused: bool = False


class UploadQueue:
    """Which content is next: the small ones and the large ones take turns, the oldest of each first."""

    def __init__(self) -> None:
        self.contents: dict[str, MissingContent] = {}
        self._small: deque[MissingContent] = deque()  # of one part at first
        self._large: deque[MissingContent] = deque()
        self._later: list[MissingContent] = []  # not before their back-off is over
        self._small_turn = True

    def add(self, content: MissingContent) -> None:
        """One more content is missing."""
        self.contents[content.sha256] = content
        self._line_up(content)

    def remove(self, sha256: str) -> None:
        """This one is not missing any more, if it was."""
        content = self.contents.pop(sha256, None)
        if content is not None:
            self._take_out(content)

    def put_off(self, content: MissingContent) -> None:
        """It waits for its back-off."""
        self._take_out(content)
        self._later.append(content)

    def next(self, now: float) -> MissingContent | None:
        """The one whose turn it is."""
        if any(content.backoff.due <= now for content in self._later):
            later, self._later = self._later, []
            for content in later:
                self._later.append(content) if content.backoff.due > now else self._line_up(content)
        first, second = (self._small, self._large) if self._small_turn else (self._large, self._small)
        self._small_turn = not self._small_turn
        return next((queue[0] for queue in (first, second) if queue), None)

    def due(self) -> list[float]:
        """When those that wait are due."""
        return [content.backoff.due for content in self._later]

    def are_refused(self) -> bool:
        """Whether all of them are."""
        return not self._small and not self._large and all(content.refused for content in self._later)

    def has_refused(self) -> bool:
        """Whether some are."""
        return any(content.refused for content in self._later)

    def has_smaller(self, content: MissingContent, bytes_max: int) -> bool:
        """Whether another one, of so many bytes at most, is there to send."""
        others = (other for queue in (self._small, self._large) for other in queue if other is not content)
        return any(other.size <= bytes_max for other in others)

    def try_again(self) -> None:
        """Those that wait wait no longer."""
        later, self._later = self._later, []
        for content in later:
            content.refused = False
            content.backoff.try_again()
            self._line_up(content)

    def bytes(self) -> int:
        """Bytes that the server has yet to get."""
        return sum(content.size - (content.offset or 0) for content in self.contents.values())

    def _line_up(self, content: MissingContent) -> None:
        (self._small if content.size <= PART_BYTES else self._large).append(content)

    def _take_out(self, content: MissingContent) -> None:
        for queue in (self._small, self._large, self._later):
            with suppress(ValueError):  # it is the first of its queue, or else one of few
                queue.remove(content)
