"""A file that is mapped is memory that the file has, and nothing more: no descriptor, no surprise at the end."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import held_descriptors
from steplog.journal.mapping import map_file

SIZE = 64 * 1024


@pytest.fixture
def path(memory: Path) -> Path:
    path = memory / "file"
    path.write_bytes(bytes(SIZE))
    return path


def mappings(path: Path) -> int:
    return Path("/proc/self/maps").read_text().count(str(path))


@pytest.mark.skipif(sys.platform != "linux", reason="a descriptor a mapping is what it costs there")
def test_what_is_stored_is_in_the_file_and_what_is_closed_is_unmapped(path):
    descriptor = os.open(path, os.O_RDWR)
    memory = map_file(descriptor, SIZE)
    os.close(descriptor)
    assert held_descriptors.below(path.parent) == []
    memory[SIZE - 4 :] = b"here"
    assert path.read_bytes()[-4:] == b"here"
    path.write_bytes(b"there" + bytes(SIZE - 5))
    assert memory[:5] == b"there"
    assert mappings(path) == 1
    memory.close()
    assert mappings(path) == 0


def test_a_file_that_is_too_small_or_closed_is_not_mapped(path):
    descriptor = os.open(path, os.O_RDWR)
    with pytest.raises(ValueError, match=r".*"):
        map_file(descriptor, SIZE + 1)
    os.close(descriptor)
    with pytest.raises(OSError, match=r".*"):
        map_file(descriptor, SIZE)
    assert mappings(path) == 0
