"""Which host this is: a hash of ``/etc/machine-id``, which machine-id(5) asks not to show, or of the boot id."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

__all__ = ["host_id"]

_FILES = ("/etc/machine-id", "/proc/sys/kernel/random/boot_id")


def host_id() -> str:
    """This host, 16 hexadecimal digits."""
    for name in _FILES:
        with contextlib.suppress(OSError):
            if text := Path(name).read_text().strip():
                return hashlib.sha256(f"steplog {text}".encode()).hexdigest()[:16]
    return "0" * 16
