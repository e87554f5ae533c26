"""References in an artifact of another logger: addresses of what is elsewhere, of which steplog keeps no content.

They are a file of the artifact, ``.steplog/references.json``: ``{path: address}``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["REFERENCES", "as_bytes", "copied", "inside", "parsed"]

REFERENCES = ".steplog/references.json"


def as_bytes(references: Mapping[str, str]) -> bytes:
    """The file's content."""
    return json.dumps(dict(references)).encode("utf-8", "replace")


def parsed(data: bytes) -> dict[str, str]:
    """The references of a file; none of one that is damaged."""
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return {str(path): str(address) for path, address in found.items()} if isinstance(found, dict) else {}


def inside(folder: Path, path: str) -> Path:
    """A path below a folder. Raises ValueError for one that leads out of it."""
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"a path of an artifact is relative, and stays inside: {path!r:.80}")
    return folder.joinpath(*parts)


def copied(address: str, path: str, folder: Path) -> Path | None:
    """Copy what a reference to a file of this machine leads to; None: it is elsewhere. Raises OSError, ValueError."""
    scheme, _, source, *_ = urlsplit(address)
    if scheme != "file":
        return None
    target = inside(folder, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(unquote(source), target)
    return target
