"""Something happens at the k-th bytecode of a call: what another thread or a signal handler may do there, at will.

The normal run takes every fifth bytecode, ``STEPLOG_LONG=1`` each.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from itertools import count
from types import FrameType
from typing import Any

OURS = "steplog/journal/"
STRIDE = 1 if os.environ.get("STEPLOG_LONG") else 5


class AtBytecode:
    """Calls ``act`` at the ``at``-th ``event`` that the journal's own code gives; what it raises, the call raises.

    Only the files of the journal whose names end with one of ``files`` count.
    """

    def __init__(
        self, at: int, act: Callable[[], object], event: str = "opcode", files: tuple[str, ...] = (".py",)
    ) -> None:
        self.left = at
        self._act = act
        self._event = event
        self._files = files

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if OURS not in frame.f_code.co_filename or not frame.f_code.co_filename.endswith(self._files):
            return None
        frame.f_trace_opcodes = self._event == "opcode"
        if event == self._event:
            self.left -= 1
            if self.left == 0:
                self._act()
        return self._trace

    def during(self, call: Callable[[], object]) -> bool:
        """Whether the call got through before anything happened."""
        sys.settrace(self._trace)
        try:
            call()
        finally:
            sys.settrace(None)
        return self.left > 0


def moments(case: object, stride: int = STRIDE) -> Iterator[int]:
    """The bytecodes to try; each case begins at another one."""
    return count(1 + len(repr(case)) % stride, stride)


def warm_up(call: Callable[[], object]) -> None:
    """CPython 3.12.1 traces the bytecodes of a function from its second traced call on."""
    AtBytecode(1 << 30, lambda: None).during(call)
