"""Programs that import wandb where neither it nor ``steplog.compat.wandb`` need be, and a package that looks real."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import steplog

SOURCE = str(Path(steplog.__file__).parent.parent)
STAND_IN = {
    "wandb/__init__.py": "__version__ = '0.31.0'\nrun = None\nclass Image:\n    pass\n",
    "wandb/sdk/__init__.py": "",
    "wandb/sdk/lib.py": "class RunDisabled:\n    pass\n",
}
SITE = "import steplog.compat\nsteplog.compat.__path__.insert(0, {!r})\n"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


def environment(folder: Path, *paths: Path) -> dict[str, str]:
    """In which ``steplog.compat.wandb`` is the stand-in, and ``paths`` are on the path."""
    write(folder / "stand_in", STAND_IN)
    write(folder / "site", {"sitecustomize.py": SITE.format(str(folder / "stand_in"))})
    path = os.pathsep.join(map(str, [folder / "site", *paths, SOURCE]))
    return os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def python(where: Path, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=where, env=env, capture_output=True, text=True, timeout=60, check=False
    )
