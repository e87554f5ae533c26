"""``Artifact``: a version of a named set of files, on a server or on its way to one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from steplog.blobs.entries import ArtifactEntry
from steplog.errors import ArtifactNotFoundError, RunFileNotFoundError
from steplog.files.run_file import RunFile
from steplog.files.server_files import ArtifactFacts, FoundArtifact
from steplog.naming import close, did_you_mean
from steplog.printable import printable

__all__ = [
    "LATEST",
    "Artifact",
    "ArtifactName",
    "Awaited",
    "checked_alias",
    "checked_name",
    "checked_type",
    "name_for",
    "parsed",
]

LATEST = "latest"
_NAME = re.compile(r"(?!\.+\Z)[A-Za-z0-9._-]{1,128}")
_TYPE = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
_BAD = re.compile(r"[^A-Za-z0-9._-]+")
_VERSION = re.compile(r"v[0-9]+")
_RULE = "1 to 128 letters, digits, '.', '_' and '-'"


class ArtifactName(NamedTuple):
    """What a text such as "project/name:v3" means; "" where it says nothing."""

    namespace: str
    project: str
    name: str
    version: str


class Awaited(Protocol):
    """A version that was logged here and has, perhaps, yet to arrive."""

    def files(self) -> list[RunFile]:
        """What of it waits on this machine."""

    def arrived(self, timeout_s: float | None) -> FoundArtifact | None:
        """What it is on the server; None: it has not arrived within this time. None for ``timeout_s``: the setting."""


class Artifact:
    """A version of an artifact, made by ``run.log_artifact``, ``run.use_artifact`` and ``steplog.artifact``.

        model = run.use_artifact("mnist-cnn:latest")
        weights = model.download() / "weights.pt"

    One that was logged here has no ``version`` until its server has given it one: ``wait``.
    """

    def __init__(
        self,
        logged: ArtifactEntry | None = None,
        awaited: Awaited | None = None,
        *,
        found: FoundArtifact | None = None,
    ) -> None:
        """Internal: as it was logged, or as a server has it."""
        self._logged = logged
        self._awaited = awaited
        self._known = found
        self._files: list[RunFile] | None = None  # of what the server has

    def __repr__(self) -> str:
        return f"<Artifact {printable(self.name)}:{self.version or '(no version yet)'} ({printable(self.type)})>"

    @property
    def _told(self) -> ArtifactFacts | ArtifactEntry:
        told = self._logged if self._known is None else self._known.facts
        if told is None:
            raise ArtifactNotFoundError("an artifact of nothing")
        return told

    @property
    def name(self) -> str:
        """Its name."""
        return self._told.name

    @property
    def type(self) -> str:
        """What it is, such as "model" or "dataset"."""
        return self._told.type

    @property
    def version(self) -> str | None:
        """Such as "v3"; None: the server has not given it one yet."""
        return None if self._known is None else f"v{self._known.facts.version}"

    @property
    def aliases(self) -> tuple[str, ...]:
        """Those that meant this version when it was asked for; of one on its way, those that it is to have."""
        return self._told.aliases if self._known is not None else tuple(dict.fromkeys((*self._told.aliases, LATEST)))

    @property
    def description(self) -> str:
        """Free text."""
        return self._told.description

    @property
    def metadata(self) -> dict[str, Any]:
        """What was given with it, a dict of its own."""
        return dict(self._told.metadata)

    @property
    def digest(self) -> str:
        """SHA-256 over its sorted lines ``<sha256> <path>``; "" until it is known."""
        return self._told.digest

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return self._told.size

    @property
    def run(self) -> str:
        """The uuid of the run that logged it; "" until it has a version."""
        return "" if self._known is None else self._known.facts.run

    @property
    def run_name(self) -> str:
        """What that run is called."""
        return "" if self._known is None else self._known.facts.run_name

    @property
    def created(self) -> datetime | None:
        """When the server gave it its version, in UTC; None: it has none, or the server does not say."""
        with suppress(ValueError):
            told = "" if self._known is None else self._known.facts.date_created
            return datetime.fromisoformat(told.replace("Z", "+00:00")).astimezone(timezone.utc)
        return None

    @property
    def files(self) -> list[RunFile]:
        """Its files, by path; of one on its way, those that wait on this machine."""
        if self._known is not None:
            if self._files is None:
                self._files = self._known.files()
            return list(self._files)
        return [] if self._awaited is None else sorted(self._awaited.files(), key=lambda file: file.path)

    def file(self, path: str) -> RunFile:
        """The file of this path. Raises RunFileNotFoundError."""
        files = {file.path: file for file in self.files}
        if path not in files:
            count = "one file" if len(files) == 1 else f"{len(files):,} files"
            hint = did_you_mean(close(path, files)) or f"; it has {count}"
            raise RunFileNotFoundError(printable(f"the artifact {self.name} has no file {path!r}{hint}"))
        return files[path]

    def wait(self, timeout: float | None = None) -> str | None:
        """Wait until the server has it, and return its version; None: it has not within ``timeout``.

        ``timeout`` is in seconds; None: the setting ``finish_timeout_s``. Files equal to those of the last version of
        this name are that version.
        """
        if self._known is None and self._awaited is not None and (found := self._awaited.arrived(timeout)) is not None:
            self._known = found
        return self.version

    def download(self, root: str | os.PathLike[str] | None = None) -> Path:
        """Write its files below a directory, which is made, and return that. Other files there are left alone.

        Args:
            root: None: ``artifacts/<name>-<version>`` here.

        A file that is there with the same content is left as it is, another one of its name is replaced. Each is there
        under its name when it is whole; a download that was interrupted goes on from there.

        Raises RunFileNotFoundError where a content has not arrived, OSError, and as all that a server is asked.
        """
        return self.put(root)

    def put(self, root: str | os.PathLike[str] | None, arrived: Callable[[int], None] = lambda count: None) -> Path:
        """Internal: the same; ``arrived`` is told of bytes as they come."""
        if self._known is None:
            self.wait(0.0)
        whole = self._known is not None
        folder = Path("artifacts", f"{self.name}-{self.version or 'new'}") if root is None else Path(root)
        files = self.files
        if not whole and len(files) < self._told.count:
            words = "is on its way to its server; wait() for it"
            raise RunFileNotFoundError(f"the artifact {self.name} {words}")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            for file in files:
                file.put(folder, replace=True, arrived=arrived)
        except RunFileNotFoundError:
            if whole or self.wait(0.0) is None:
                raise
            for file in self.files:  # it was sent to its server meanwhile
                file.put(folder, replace=True)
        return folder


def parsed(text: str) -> ArtifactName:
    """The artifact that a text means: ``[[NAMESPACE/]PROJECT/]NAME[:VERSION]``. Raises TypeError, ValueError."""
    if not isinstance(text, str):
        raise TypeError(f'an artifact is named by a text such as "name:v3", not {type(text).__name__}')
    place, _, last = text.rpartition("/")
    namespace, _, project = place.rpartition("/")
    name, colon, version = last.partition(":")
    if ":" in place:
        raise ValueError(f"not the name of an artifact: {printable(text, 200)!r}; a version has no '/' in it")
    if colon and not version:
        raise ValueError(f'{printable(text, 200)!r} has no version after ":"; write "{name}:v3" or "{name}:latest"')
    checked_name(name)
    if version and not _NAME.fullmatch(version):
        raise ValueError(f"a version is v0, v1, … or an alias ({_RULE}), not {printable(version, 200)!r}")
    return ArtifactName(namespace, project, name, version)


def checked_name(name: str) -> str:
    """The name of an artifact. Raises TypeError, ValueError."""
    if not isinstance(name, str):
        raise TypeError(f"the name of an artifact is a str, not {type(name).__name__}")
    if not _NAME.fullmatch(name):
        raise ValueError(f"the name of an artifact is {_RULE}, not {printable(name, 200)!r}")
    return name


def checked_type(kind: str) -> str:
    """The type of an artifact. Raises TypeError, ValueError."""
    if not isinstance(kind, str):
        raise TypeError(f"the type of an artifact is a str, not {type(kind).__name__}")
    if not _TYPE.fullmatch(kind):
        raise ValueError(f"the type of an artifact is 1 to 64 characters on one line, not {printable(kind, 200)!r}")
    return kind


def checked_alias(alias: str) -> str:
    """An alias. Raises TypeError, ValueError."""
    if not isinstance(alias, str):
        raise TypeError(f"an alias is a str, not {type(alias).__name__}")
    if not _NAME.fullmatch(alias) or _VERSION.fullmatch(alias):
        raise ValueError(f"an alias is {_RULE}, and not a version such as v3; this one is {printable(alias, 200)!r}")
    return alias


def name_for(path: str) -> str:
    """The name of an artifact made of this path, to which none was given. Raises ValueError."""
    name = _BAD.sub("-", os.path.basename(os.path.abspath(path))).strip("-")[:128]
    if not _NAME.fullmatch(name):
        raise ValueError("the artifact needs a name: name=…")
    return name
