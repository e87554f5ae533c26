"""``mlflow.version``: the release whose names these are."""

from __future__ import annotations

__all__ = ["VERSION"]

VERSION = "3.17.2"
