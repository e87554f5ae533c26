"""The site, as a test builds it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["ROOT", "built"]

ROOT = Path(__file__).parents[2]


def built(folder: Path) -> Path:
    """Build the site into ``folder``; skips the test where there is no MkDocs, and fails it for a warning."""
    pytest.importorskip("mkdocs", reason="mkdocs is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return folder
