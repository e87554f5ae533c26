"""Files of Linux that macOS does not have are not there: Python opens, lists and looks at none of them.

What Python opens in C is kept from it by an audit hook (https://docs.python.org/3/library/audit_events.html); what is
looked at raises no event, so those functions are replaced.
"""

from __future__ import annotations

import errno
import functools
import os
import posix
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["hide"]

_HIDDEN = ("/proc", "/sys", "/dev/shm", "/run", "/etc/machine-id", "/etc/os-release")
_LOOKS = ("access", "lstat", "pathconf", "readlink", "stat", "statvfs")
_EVENTS = {
    *("open", "os.chdir", "os.chmod", "os.link", "os.listdir", "os.mkdir", "os.remove", "os.rename", "os.rmdir"),
    *("os.scandir", "os.symlink", "os.truncate", "os.utime"),
}


def hide() -> None:
    """From now on."""
    kept_by_pathlib = getattr(sys.modules.get("pathlib"), "_NormalAccessor", None)  # of Python 3.10
    for name in _LOOKS:
        original = getattr(os, name)
        looking = functools.partial(_look, name, original)  # pathlib of Python 3.10 would make a method of a function
        for module in (os, posix):
            setattr(module, name, looking)
        if hasattr(kept_by_pathlib, name):
            setattr(kept_by_pathlib, name, staticmethod(looking))
        for supports in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks, os.supports_effective_ids):
            if original in supports:
                supports.add(looking)
    sys.addaudithook(_on_event)


def _look(name: str, original: Callable[..., Any], path: Any, *arguments: Any, **named: Any) -> Any:
    if _is_hidden(path):
        if name == "access":
            return False
        raise _missing(path)
    return original(path, *arguments, **named)


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _EVENTS and arguments and _is_hidden(arguments[0]):
        raise _missing(arguments[0])


def _is_hidden(path: Any) -> bool:
    if isinstance(path, os.PathLike):
        path = path.__fspath__()
    if isinstance(path, bytes):
        path = path.decode("utf-8", "surrogateescape")
    return isinstance(path, str) and path.startswith(_HIDDEN) and any(_is_in(path, place) for place in _HIDDEN)


def _is_in(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}/")


def _missing(path: Any) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
