"""What a program has imported, without importing it."""

from __future__ import annotations

import sys
from types import ModuleType

__all__ = ["loaded"]


def loaded(name: str) -> ModuleType | None:
    """The module of this name; None where the program has not imported it.

    Not by ``sys.modules.get``: without the GIL that takes the lock inside of the dict, which CPython 3.13 leaves locked
    in a child that is forked while threads want it. ``[]`` takes none.
    """
    try:
        return sys.modules[name]
    except KeyError:
        return None
