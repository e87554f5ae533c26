"""Distributions of the tree, built by setuptools as installers call it, in a copy: a build leaves files behind."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE_S = 300.0
# Not of the tree: what builds, tests and benchmarks leave in it.
LEFT = shutil.ignore_patterns(
    *(".git", ".venv", ".*_cache", ".hypothesis", ".coverage*", "__pycache__", "*.pyc"),
    *("*.so", "*.egg-info", "build", "dist", "site", "out"),
)


def _setuptools() -> int:
    try:
        return int(importlib.metadata.version("setuptools").partition(".")[0])
    except importlib.metadata.PackageNotFoundError:
        return 0


needs_setuptools = pytest.mark.skipif(_setuptools() < 77, reason="a build needs setuptools 77: steplog[test]")


@dataclass(frozen=True)
class Built:
    """A distribution, and what was said while it was built."""

    path: Path
    said: str


def copy_of_tree(target: Path) -> Path:
    """The tree, as it would be unpacked."""
    shutil.copytree(ROOT, target, ignore=LEFT)
    return target


def build(tree: Path, kind: str, *, into: Path | None = None, before: str = "", **environment: str) -> Built:
    """An "sdist" or a "wheel" of a tree. ``before`` runs in the process that builds, ahead of it."""
    target = into or tree / "dist"
    program = f"{before}\nfrom setuptools import build_meta\nprint(build_meta.build_{kind}({str(target)!r}))"
    without = {"PYTHONDONTWRITEBYTECODE": ""}  # which setuptools warns of
    done = run_in(tree, program, **without, **environment)
    assert done.returncode == 0, done.stderr
    return Built(target / done.stdout.split()[-1], done.stdout + done.stderr)


def run_in(tree: Path, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program of this Python, in a directory."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=tree,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def warnings_in(said: str) -> list[str]:
    """The lines that warn, of Python and of setuptools."""
    return [line for line in said.splitlines() if re.search(r"warn|deprecat", line, re.IGNORECASE)]
