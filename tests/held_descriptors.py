"""The descriptors that this process holds of one test's files, whatever threads of earlier tests open meanwhile."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["below"]


def below(directory: Path) -> list[str]:
    """The open files below a directory, or the directory itself."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # closed by now, as that of the listing itself
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return sorted(link for link in found if Path(link).is_relative_to(directory))
