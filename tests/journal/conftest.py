"""What the tests of the journal share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from journal.appends import KINDS
from steplog.journal.directories import JournalRoots
from steplog.private_files import make_private


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each append there is: in Python, the same under a lock, and compiled; without the GIL the second alone."""
    return str(request.param)


@pytest.fixture
def memory() -> Path:
    """A root in shared memory, private as steplog wants it."""
    root = Path(os.environ["STEPLOG_MEMORY_DIR"]) / "root"
    make_private(root)
    return root


@pytest.fixture
def roots(memory: Path, tmp_path: Path) -> JournalRoots:
    return JournalRoots(memory, tmp_path / "spool", "0" * 16)
