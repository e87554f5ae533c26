"""The manifest: who a run is, where it goes, whose end decides its status, and what that status is.

One small JSON file a run, in shared memory and on disk, replaced as a whole. It never holds the API key.
What it says is what any later process needs to deliver the run: the server (``base_url``), the account that the
key belonged to, the run's path on the server, and the status that was decided and is still to be sent.

``plan`` is what the run is to be, while the server has not made it; ``run`` is "" then.
``mode`` is "online"; "offline" for a run that goes by hand alone; "unconfigured" for one that had nowhere to go.

``owner`` is the writer whose process decides the status: "" for a run that was only joined from elsewhere, which
never gets a status from here. A run that has an owner, no status, and no living writer was killed: CRASHED.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from steplog.errors import FormatError
from steplog.journal.files import Files

__all__ = ["DELIVERED_NAME", "Manifest", "Plan", "load", "store"]

DELIVERED_NAME = "manifest.delivered"  # of a run of which nothing is left but what was set aside
_NAME = "manifest"
_BYTES_MAX = 1024 * 1024


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is to be on the server. ``namespace`` "": that of the key's own user.

    ``creating``: the request that makes it may have been sent.
    """

    local_id: str
    namespace: str
    project: str
    project_name: str
    name: str | None
    description: str | None = None
    status: str | None = None
    creating: bool = False


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that delivering a run takes; ``status`` is None until it is decided."""

    version: int = 1
    local_id: str
    base_url: str
    account: str
    namespace: str
    project: str
    run: str
    name: str = ""
    mode: str = "online"
    plan: Plan | None = None
    owner: str = ""
    status: str | None = None
    status_sent: bool = False

    def but(self, **changes: Any) -> Manifest:
        """The same manifest with some fields changed."""
        return msgspec.structs.replace(self, **changes)


def store(directory: Path, manifest: Manifest, files: Files | None = None) -> None:
    """Put the manifest into a run's directory. Raises OSError."""
    (files or Files()).replace(directory / _NAME, msgspec.json.encode(manifest))


def load(directory: Path, name: str = _NAME) -> Manifest | None:
    """The manifest in a run's directory; None where there is none. Raises FormatError when it is not one of ours."""
    try:
        with open(directory / name, "rb") as file:
            data = file.read(_BYTES_MAX)
    except OSError:
        return None
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise FormatError(f"the manifest in {directory} is damaged: {error}") from None
    if manifest.version != 1:
        raise FormatError(f"the manifest in {directory} is of version {manifest.version}; version 1 is known here")
    return manifest
