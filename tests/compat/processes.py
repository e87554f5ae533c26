"""Programs in processes of their own, and a package that looks like the real wandb."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import steplog
from steplog.compat.shadow import NAMES

INSTALLED = [name for name in NAMES if importlib.util.find_spec(name) is not None]
without_the_real_ones = pytest.mark.skipif(bool(INSTALLED), reason=f"tests what holds without {', '.join(INSTALLED)}")
SOURCE = str(Path(steplog.__file__).parent.parent)
REAL = {
    "wandb/__init__.py": "__version__ = '0.9'\nprint('the real one')\n",
    "wandb/sdk.py": "",
    "wandb-0.9.dist-info/METADATA": "Metadata-Version: 2.1\nName: wandb\nVersion: 0.9\n",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


def environment(*paths: Path) -> dict[str, str]:
    """With ``paths`` on the path before steplog."""
    path = os.pathsep.join([*map(str, paths), SOURCE])
    return os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def python(where: Path, env: dict[str, str], *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=where, env=env, capture_output=True, text=True, timeout=timeout, check=False
    )
