"""The manifest: who a run is, where it goes, whose end decides its status, and that status.

One JSON file a run, in shared memory and on disk, replaced as a whole: all that a later process needs to deliver the
run. It never holds the API key.

A run with an owner, no status and no living writer was killed: CRASHED, unless the server knows better.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from steplog.errors import FormatError, NotPrivateError
from steplog.journal.files import Files
from steplog.private_files import read_private

__all__ = ["DELIVERED_NAME", "Manifest", "Plan", "load", "store"]

DELIVERED_NAME = "manifest.delivered"  # of a run that is delivered but for what was set aside
_NAME = "manifest"
_BYTES_MAX = 1024 * 1024


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A run to be created."""

    local_id: str
    namespace: str  # "": that of the key's user
    project: str
    project_name: str
    name: str | None
    description: str | None = None
    status: str | None = None
    creating: bool = False  # the request may have been sent


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All that delivering a run takes."""

    version: int = 1
    local_id: str
    base_url: str
    account: str  # that the key belonged to
    namespace: str
    project: str
    run: str  # "" while the server has not made it
    name: str = ""
    mode: str = "online"  # "offline": delivered by hand alone; "unconfigured": it had nowhere to go
    plan: Plan | None = None  # what to make, until then
    owner: str = ""  # the writer whose process decides the status; "": joined, and gets none from here
    status: str | None = None
    status_sent: bool = False
    resumed: bool = False  # the owner took up a run that may have had a status by then

    def but(self, **changes: Any) -> Manifest:
        """A copy with changes."""
        return msgspec.structs.replace(self, **changes)


def store(directory: Path, manifest: Manifest, files: Files | None = None) -> None:
    """Write it into a run's directory. Raises OSError."""
    (files or Files()).replace(directory / _NAME, msgspec.json.encode(manifest))


def load(directory: Path, name: str = _NAME) -> Manifest | None:
    """The manifest of a run's directory, if any. Raises FormatError where it is not ours."""
    try:
        data = read_private(directory / name, 0, _BYTES_MAX)
    except NotPrivateError as error:
        raise FormatError(str(error)) from None
    except OSError:
        return None
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise FormatError(f"the manifest in {directory} is damaged: {error}") from None
    if manifest.version != 1:
        raise FormatError(f"the manifest in {directory} is of version {manifest.version}; version 1 is known here")
    return manifest
