"""Which host this is, and since which start of it.

Linux
    ``/etc/machine-id``, which machine-id(5) asks not to show, so that a hash of it is used; ``boot_id`` of random(4).
macOS
    gethostuuid(2), likewise hashed; ``kern.bootsessionuuid`` of sysctl(3). ``kern.boottime`` moves with the clock.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import sys
from pathlib import Path

__all__ = ["boot_id", "host_id"]

_MACHINE_ID = "/etc/machine-id"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_ID_BYTES_MAX = 128


def host_id() -> str:
    """This host, 16 hexadecimal digits: by what the system calls it, else by its boot id; zeros without either."""
    text = _mac_host() if sys.platform == "darwin" else _line_of(_MACHINE_ID)
    if text := text or boot_id():
        return hashlib.sha256(f"steplog {text}".encode()).hexdigest()[:16]
    return "0" * 16


def boot_id() -> str:
    """Changes with each start of the machine; "" where it does not say."""
    return _mac_boot() if sys.platform == "darwin" else _line_of(_BOOT_ID)


def _line_of(path: str) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return Path(path).read_text(encoding="ascii").strip()
    return ""


@functools.cache
def _mac_host() -> str:
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        class TimeSpec(ctypes.Structure):
            _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))

        found = ctypes.create_string_buffer(16)
        if ctypes.CDLL(None).gethostuuid(found, ctypes.byref(TimeSpec(1, 0))) == 0 and any(found.raw):
            return found.raw.hex()
    return ""


@functools.cache
def _mac_boot() -> str:
    with contextlib.suppress(ImportError, OSError, AttributeError, UnicodeDecodeError):
        import ctypes

        found, size = ctypes.create_string_buffer(_ID_BYTES_MAX), ctypes.c_size_t(_ID_BYTES_MAX)
        if ctypes.CDLL(None).sysctlbyname(b"kern.bootsessionuuid", found, ctypes.byref(size), None, 0) == 0:
            return found.value.decode("ascii")
    return ""
