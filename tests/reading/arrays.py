"""What a table gives to who takes Arrow data, read by nanoarrow."""

from __future__ import annotations

import importlib.util
import struct
from typing import Any

import pytest

from steplog.reading.arrow_table import ArrowTable

WHY_NOT = "nanoarrow is not installed with Python 3.15"
needs_nanoarrow = pytest.mark.skipif(importlib.util.find_spec("nanoarrow") is None, reason=WHY_NOT)


class _Nanoarrow:
    """The module; a test that uses it is skipped where it is not installed."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_", "pytest")):  # which pytest asks of what a module has
            raise AttributeError(name)
        return getattr(pytest.importorskip("nanoarrow", reason=WHY_NOT), name)


nanoarrow: Any = _Nanoarrow()


def read(table: ArrowTable) -> dict[str, list[Any]]:
    """A list a column; None where a value is missing, times as nanoseconds, JSON as its text."""
    found: dict[str, list[Any]] = {name: [] for name in table.columns}
    for chunk in nanoarrow.ArrayStream(table):
        for at, name in enumerate(table.columns):
            child = chunk.child(at)
            found[name] += _times(child) if child.schema.type == nanoarrow.Type.TIMESTAMP else child.to_pylist()
    return found


def _times(child: nanoarrow.Array) -> list[int | None]:
    bits, times = bytes(child.buffer(0)), struct.unpack(f"={len(child)}q", bytes(child.buffer(1)))
    return [time if not bits or bits[at // 8] >> at % 8 & 1 else None for at, time in enumerate(times)]
