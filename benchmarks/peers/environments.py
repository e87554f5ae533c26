"""A virtual environment for each peer, made when it is first wanted."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.peers.adapters import PEERS

__all__ = ["directory_of", "installed", "python_of"]

INSTALL_TIMEOUT_S = 1200


def directory_of(chosen: Path | None, out: Path) -> Path:
    """The directory of the environments."""
    path = chosen or out / "peers"
    path.mkdir(parents=True, exist_ok=True)
    return Path(os.path.abspath(path))


def python_of(directory: Path, name: str, *, install: bool) -> str:
    """The interpreter of a peer's environment, created if missing. Raises RuntimeError."""
    requirement = PEERS[name].requirement
    return sys.executable if requirement is None else installed(directory, name, requirement, install=install)


def installed(directory: Path, name: str, requirement: str, *, install: bool) -> str:
    """The interpreter of an environment that has a package. Raises RuntimeError."""
    home = directory / name
    python = home / "bin" / "python"
    done = home / "installed"
    if not done.exists():
        if not install:
            raise RuntimeError(f"{requirement} is not installed; --peers installs it")
        venv.create(home, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
        result = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
        if result.returncode:
            raise RuntimeError(f"does not install: {result.stderr.strip()[-120:]}")
        done.write_text(requirement, "utf-8")
    return str(python)
