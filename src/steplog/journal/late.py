"""Calls of ``log`` after Python has cleared the modules, in the last destructors of a program.

At its end Python sets each name of a module that is still there to None, the modules that were imported first last.
CPython 3.13 without the GIL keeps all modules once there was a second thread, so there the destructors of what a
program's own module holds run after that. A method is found then, but nothing that it takes from its module.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar, cast

from steplog.journal.append import Append

__all__ = ["LateCalls", "are_modules_cleared", "lasting"]

_this = sys.modules[__name__]  # Python clears a module while somebody has it, so one that does has itself
_whole: bool | None = True  # None once that is done
_Call = TypeVar("_Call", bound=Callable[..., Any])


def are_modules_cleared() -> bool:
    """Whether Python has cleared the modules. Take it with ``lasting`` or keep it: the name is gone as well."""
    return _whole is None


def lasting(function: _Call) -> _Call:
    """Have a function keep the names of its module as they are now, so that it works without the module."""
    given = cast(FunctionType, function)
    kept = FunctionType(given.__code__, given.__globals__.copy(), closure=given.__closure__)
    kept.__defaults__, kept.__kwdefaults__ = given.__defaults__, given.__kwdefaults__
    return cast(_Call, functools.update_wrapper(kept, given))


class LateCalls:
    """What a writer does once the modules are cleared."""

    append: Append
    are_modules_cleared = staticmethod(are_modules_cleared)

    def refuse_late(self, name: Any, value: Any, step: Any) -> None:
        """Do what ``log`` does after the end of its run, but for looking at its arguments.

        Raises RuntimeError where there was no end, as in a forked child that has not logged before.
        """
        refuse = getattr(self.append.segment, "refuse", None)
        try:
            for each in list(name) if hasattr(name, "keys") else (name,):
                refuse(each, value, step)  # type: ignore[misc]  # None: of a segment with room
        except (TypeError, AttributeError):
            raise RuntimeError("steplog: not recorded: log() came after Python had cleared its modules") from None
