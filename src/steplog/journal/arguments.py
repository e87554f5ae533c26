"""What ``log`` is called with: a name and a step, as the slot holds them; a mistake is the program's, and raises.

Code of the user's may run here, of a subclass of str or of a number, so nothing is claimed yet.
"""

from __future__ import annotations

import operator
from typing import Any

from steplog.journal import slot
from steplog.journal.range import NAME_BYTES_MAX

__all__ = ["checked_name", "checked_step"]


def checked_name(name: Any) -> str:
    """The name, if it is one."""
    if not isinstance(name, str):
        raise TypeError(f"a metric's name is a str, not {type(name).__name__}")
    text = str.__str__(name)  # whatever a subclass makes of it
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("a metric's name is text that UTF-8 can hold; this one has a lone surrogate") from None
    if not 0 < size <= NAME_BYTES_MAX:
        raise ValueError(f"a metric's name has 1 to {NAME_BYTES_MAX} bytes of UTF-8, not {size}")
    return text


def checked_step(step: Any) -> int:
    """The step as the slot holds it, if it is one."""
    if step is None:
        return slot.NO_STEP
    if isinstance(step, bool) or not hasattr(step, "__index__"):
        raise TypeError(f"a step is an integer, not {type(step).__name__}")
    number = operator.index(step)
    if not slot.NO_STEP < number <= slot.STEP_MAX:
        raise ValueError(f"a step lies between {slot.NO_STEP + 1} and {slot.STEP_MAX}; this one is {number}")
    return number
