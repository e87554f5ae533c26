"""The manifest: who a run is, where it goes, whose end decides its status, and that status.

One JSON file a run, in shared memory and on disk, replaced as a whole: all that a later process needs to deliver the
run. It never holds the API key.

A run with an owner, no status and no living writer was killed: CRASHED, unless the server knows better.

Each resume, and each ``attach(owner=True)``, begins a *generation* of ownership, which the server numbers. A writer
belongs to the generation in which it was opened: the last one, unless ``writers`` says otherwise. Version 2 has them;
a run of version 1 (steplog 0.1) is delivered without, until it is resumed.

Only the holder of the run's lock stores the manifest. Another process that takes up a run whose owner is gone puts a
*takeover* beside it, a file ``takeover.<writer>``, and later its status into that; the holder takes over both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from steplog.errors import FormatError, NotPrivateError
from steplog.journal.files import Files
from steplog.private_files import names_in, read_private

__all__ = [
    "DELIVERED_NAME",
    "VERSION",
    "Generation",
    "Manifest",
    "Plan",
    "Takeover",
    "load",
    "put_takeover",
    "store",
    "takeovers",
]

VERSION = 2

DELIVERED_NAME = "manifest.delivered"  # of a run that is delivered but for what was set aside
_NAME = "manifest"
_TAKEOVER = r"takeover\.[0-9a-f]{32}"
_TAKEOVER_BYTES_MAX = 4096
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
    key: str = ""  # the caller's id
    resume: str | None = None  # "never", "allow", "must"


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a run's life under one owner: a random id, when it began, in ns, and the server's number."""

    maker: str
    began: int
    number: int = 0  # 0: the server has yet to give one


class Takeover(msgspec.Struct, frozen=True, kw_only=True):
    """The ownership of a process that does not hold the run's lock: its writer, as ``Generation``, and its status."""

    writer: str
    maker: str
    began: int
    status: str | None = None
    ended: int = 0


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All that delivering a run takes."""

    version: int = VERSION
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
    ended: int = 0  # when the status was decided, in ns since the epoch; 0: nobody knows
    key: str = ""  # the caller's id
    generations: tuple[Generation, ...] = ()  # that were begun on this host, the present one last
    writers: dict[str, str] = {}  # of an earlier one: its maker

    @property
    def generation(self) -> int:
        """The number of the present generation; 0: the server has given none."""
        return self.generations[-1].number if self.generations else 0

    def generation_of(self, writer: str) -> Generation | None:
        """The generation that a writer belongs to; None: of a run of version 1."""
        maker = self.writers.get(writer)
        of_maker = (one for one in self.generations if one.maker == maker)
        return next(of_maker, None) if maker is not None else self.generations[-1] if self.generations else None

    def begun(self, maker: str, began: int, writers: Iterable[str] = (), number: int = 0) -> Manifest:
        """The next generation begins; ``writers`` are those of this host that belong to an earlier one."""
        before = self.generations or (Generation(maker="", began=0, number=1),)  # version 1 knows the first alone
        last = before[-1].maker
        of_earlier = {writer: self.writers.get(writer, last) for writer in writers}
        kept = tuple(one for one in before if not one.number or one.maker in of_earlier.values())
        began_now = Generation(maker=maker, began=began, number=number)
        return self.but(version=VERSION, generations=(*kept, began_now), writers=of_earlier)

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
    if not 1 <= manifest.version <= VERSION:
        known = f"versions 1 and {VERSION} are known here"
        raise FormatError(f"the manifest in {directory} is of version {manifest.version}; {known}")
    return manifest


def put_takeover(directory: Path, takeover: Takeover) -> None:
    """Put a takeover, or a newer one of the same writer, into a run's directory. Raises OSError."""
    Files().replace(directory / f"takeover.{takeover.writer}", msgspec.json.encode(takeover))


def takeovers(directory: Path) -> list[Takeover]:
    """The takeovers in a run's directory, the earliest first; without what cannot be read."""
    found = []
    try:
        names = sorted(filter(re.compile(_TAKEOVER).fullmatch, names_in(directory)))
    except OSError:
        return []
    for name in names:
        try:
            found.append(msgspec.json.decode(read_private(directory / name, 0, _TAKEOVER_BYTES_MAX), type=Takeover))
        except (OSError, NotPrivateError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            continue  # half of it is never there: it is replaced as a whole
    return sorted(found, key=lambda takeover: takeover.began)
