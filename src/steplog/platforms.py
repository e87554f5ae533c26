"""Where steplog cannot run, and why, in one sentence. ``setup.py`` runs this file before anything is installed. Pure.

``docs/limits.md`` has the platforms that are tested; others are not refused.
"""

from __future__ import annotations

__all__ = ["why_unsupported"]


def why_unsupported(platform: str, implementation: str, pointer_bits: int) -> str | None:
    """What keeps steplog from running there, and what works instead; None where nothing is known to.

    Args:
        platform: as ``sys.platform``.
        implementation: as ``sys.implementation.name``.
        pointer_bits: of the interpreter, not of the processor.
    """
    if platform in ("win32", "cygwin", "msys"):
        return (
            "steplog does not run on Windows, which has neither the file locks nor the memory that outlives a process "
            "on which it relies to lose nothing; use it in WSL 2: https://learn.microsoft.com/windows/wsl/install"
        )
    if implementation != "cpython":
        return (
            f"steplog does not run on {implementation}: msgspec, which it needs, is written for CPython alone; "
            "use CPython 3.10 or newer"
        )
    if pointer_bits < 64:
        return (
            "steplog does not run on a 32-bit Python, which cannot write eight bytes at once, as other processes must "
            "see the end of a record; use a 64-bit one"
        )
    return None
