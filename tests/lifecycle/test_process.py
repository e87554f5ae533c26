"""What a process has of steplog before its first run: how much of the disk it may use."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from steplog.lifecycle.process import Process
from steplog.settings import resolve

GIB = 1024**3


@pytest.mark.parametrize(
    ("free", "most"), [(1000 * GIB, 8 * GIB), (80 * GIB, 8 * GIB), (79 * GIB, 79 * GIB // 10), (0, 0)]
)
def test_the_disk_is_used_up_to_8_gib_or_a_tenth_of_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, most: int
):
    """Also before the directory is there: then what counts is the one that it will be made in."""
    paths, asked = tmp_path / "not" / "made" / "yet", []

    def statvfs(path: object) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(f_frsize=1, f_bavail=free, f_blocks=1 << 40, f_bfree=free)

    monkeypatch.setattr(os, "statvfs", statvfs)
    assert Process(resolve(dir=paths)).disk.bytes_max == most
    assert tmp_path in asked
    assert Process(resolve(dir=paths, spool_bytes_max=5 << 20)).disk.bytes_max == 5 << 20


def test_a_disk_that_does_not_say_what_is_free_is_used_up_to_8_gib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = os.statvfs

    def statvfs(path: object) -> os.statvfs_result:
        if path == tmp_path:
            raise OSError
        return before(path)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "statvfs", statvfs)
    assert Process(resolve(dir=tmp_path)).disk.bytes_max == 8 * GIB
