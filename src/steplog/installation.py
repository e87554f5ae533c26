"""How steplog was installed: what it costs that its append is not compiled, and what to type to have it compiled."""

from __future__ import annotations

import json
import shlex
import urllib.parse
import urllib.request
from importlib.metadata import Distribution, PackageNotFoundError, distribution

__all__ = ["UNCOMPILED_COST", "compile_again"]

UNCOMPILED_COST = "a number takes 0.29 µs where it would take 0.07"  # docs/speed.md
# pip keeps the wheel that it has made without a compiler, and would take it again.
_PIP = "pip install --force-reinstall --no-deps --no-cache-dir"


def compile_again() -> str:
    """What to do, in words and as a command, that ends with what steplog was installed from."""
    try:
        what = _installed_from(distribution("steplog"))
    except PackageNotFoundError:  # on a path, and not installed
        what = "steplog"
    return f"install a C compiler and Python's headers (Debian: gcc, python3-dev). Then type: {_PIP} {what}"


def _installed_from(found: Distribution) -> str:
    """As pip takes it again: a directory, an address, or the version; ``direct_url.json`` is of PEP 610."""
    origin = json.loads(found.read_text("direct_url.json") or "{}")
    url = str(origin.get("url", ""))
    if not url or url.endswith(".whl"):
        return f"steplog=={found.version}"
    if "vcs_info" in origin:
        vcs = origin["vcs_info"]
        return shlex.quote(f"{vcs['vcs']}+{url}@{vcs['commit_id']}")
    if url.startswith("file:"):
        url = urllib.request.url2pathname(urllib.parse.urlsplit(url).path)
    editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
    return editable + shlex.quote(url)
