"""What the tests of files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from blobs.waiting import Host
from steplog.private_files import make_private


@pytest.fixture
def memory() -> Path:
    """A root in shared memory, private as steplog wants it."""
    root = Path(os.environ["STEPLOG_MEMORY_DIR"]) / "root"
    make_private(root)
    return root


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    root = tmp_path / "spool"
    make_private(root)
    return root


@pytest.fixture
def host(memory: Path, disk: Path) -> Host:
    return Host(memory, disk)
