"""The version of steplog that is installed, which pyproject.toml alone says."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("steplog")
except PackageNotFoundError:  # run from its sources
    __version__ = "unknown"
