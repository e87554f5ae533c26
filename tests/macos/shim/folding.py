"""Names that differ by case, or by their normal form, are one, and the first one's form is kept, as on APFS.

Of the last component of a path alone, for the calls that ``Folder`` makes: the kernel of Linux has no such file system
of its own that would do for a test.
"""

from __future__ import annotations

import functools
import os
import posix
import unicodedata
from collections.abc import Callable
from typing import Any

__all__ = ["fold"]

_CALLS = {"open": 1, "stat": 1, "lstat": 1, "mkdir": 1, "unlink": 1, "rename": 2, "replace": 2}  # how many are paths
_listdir = os.listdir


def fold() -> None:
    """From now on."""
    for name, count in _CALLS.items():
        original = getattr(os, name)
        folding = functools.partial(_call, original, count)
        for module in (os, posix):
            setattr(module, name, folding)
        for supports in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
            if original in supports:
                supports.add(folding)


def _call(original: Callable[..., Any], count: int, *arguments: Any, **named: Any) -> Any:
    places = ("dir_fd",) if count == 1 else ("src_dir_fd", "dst_dir_fd")
    found = [_there(path, named.get(place)) for path, place in zip(arguments[:count], places, strict=True)]
    return original(*found, *arguments[count:], **named)


def _there(path: Any, directory: int | None) -> Any:
    """The path as it is called there, if it is."""
    if isinstance(path, (int, bytes)):
        return path
    head, slash, name = os.fspath(path).rpartition("/")
    try:
        names = _listdir(directory if directory is not None and not slash else head or slash or ".")
    except OSError:
        return path
    same = [each for each in names if _form(each) == _form(name)]
    return f"{head}{slash}{same[0]}" if same and name not in same else path


def _form(name: str) -> str:
    return unicodedata.normalize("NFD", name.casefold())
