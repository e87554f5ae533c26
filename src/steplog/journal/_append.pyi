from collections.abc import Callable
from typing import Any, ClassVar

from steplog.journal.append import Segment
from steplog.journal.segment import Memory

class Room:
    next: int
    def __init__(self, memory: Memory, start: int, /) -> None: ...
    def __call__(self) -> int: ...
    def shut(self) -> None: ...

class Append:
    kind: ClassVar[str]
    segment_type: ClassVar[type[Segment]]
    segment: Segment
    slow: Callable[[Any, Any, Any, Any], None]
    clock: Callable[[], int]
    def __init__(
        self, segment: Segment, slow: Callable[[Any, Any, Any, Any], None], clock: Callable[[], int]
    ) -> None: ...
    def log(self, name: str, value: object, step: int | None = None, client: object = None) -> None: ...
