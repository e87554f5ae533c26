"""Files of a known age, and the records that a run in one has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from steplog.formats.imported import ImportedRun

MTIME_NS = 1_700_000_000 * 10**9


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    """A file that was last changed at ``MTIME_NS``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    os.utime(path, ns=(MTIME_NS, MTIME_NS))
    return path


def records(run: ImportedRun) -> list[tuple[Any, ...]]:
    """(name, step, time, value) of each; JSON texts as bytes."""
    (stream,) = run.streams
    found = [row for batch in stream.read() for row in zip(*batch, strict=True)]
    return [(*row[:3], bytes(row[3]) if isinstance(row[3], msgspec.Raw) else row[3]) for row in found]
