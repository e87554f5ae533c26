"""``wandb.Artifact``: what is added to one is named, and not kept.

1. All of wandb's arguments are taken, and a wrong path or name raises what it raises there. Nothing is read or copied.
2. What is written to ``new_file`` goes to a file that is gone when it is closed.
3. What would read an artifact that is not here raises ``wandb.errors.CommError``.

``Artifact.add_file``, ``add_dir``, ``new_file`` and ``add`` say what it has: ``entries`` is where files begin.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from steplog.compat.wandb.errors import CommError

__all__ = ["Artifact", "ArtifactEntry", "ArtifactTTL", "not_here"]

_NAME = re.compile(r"[A-Za-z0-9_\-.]{1,128}")
_ALIAS = re.compile(r"[^/:]+")
_POLICIES = ("mutable", "immutable", None)


class ArtifactTTL:
    """How long an artifact is kept."""

    INHERIT = "inherit"


def not_here(what: str) -> CommError:
    """That an artifact, or a file, is not here to be read, and what to do."""
    return CommError(
        f"steplog keeps no artifacts and files, so {what} is not here; load it from the path where your program has it"
    )


@dataclass(frozen=True)
class ArtifactEntry:
    """A file, as an artifact calls it, and where it is on this machine or elsewhere."""

    path: str
    local_path: str | None = None
    ref: str | None = None
    size: int = 0

    @property
    def name(self) -> str:
        """The path."""
        return self.path

    def ref_target(self) -> str:
        """Where what is referred to is."""
        if self.ref is None:
            raise ValueError("Only reference entries support ref_target().")
        return self.ref

    def download(self, root: Any = None, skip_cache: bool | None = None, executor: Any = None) -> NoReturn:
        """Raises CommError."""
        raise not_here(f"the file {self.path!r} of an artifact")


class Artifact:
    """A named collection of files."""

    def __init__(
        self,
        name: str,
        type: str,  # noqa: A002 - wandb's name
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        incremental: bool = False,
        use_as: str | None = None,
        storage_region: str | None = None,
        digest_algorithm: str = "MD5",
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(
                "Artifact name may only contain alphanumeric characters, dashes, underscores, and dots. "
                f'Invalid name: "{name}"'
            )
        if type == "job" or type.startswith("wandb-"):
            raise ValueError("Artifact types 'job' and 'wandb-*' are reserved for internal use.")
        if metadata is not None and not isinstance(metadata, Mapping):
            raise TypeError(f"metadata must be dict, not {metadata.__class__.__name__}")
        self.name, self.type, self.description = name, type, description
        self.metadata = dict(metadata or {})
        self.incremental, self.use_as, self.storage_region = incremental, use_as, storage_region
        self.digest_algorithm = digest_algorithm
        self.entries: dict[str, ArtifactEntry] = {}
        self.aliases: list[str] = []
        self.tags: list[str] = []
        self.ttl: Any = None
        self.project: str | None = None
        self.entity: str | None = None
        self._is_logged = False

    def __repr__(self) -> str:
        return f"<Artifact {self.qualified_name}>"

    def logged(self, entity: str | None, project: str | None, aliases: Sequence[str], tags: Sequence[str]) -> None:
        """Internal: it has been given to a run."""
        for alias in aliases:
            if not _ALIAS.fullmatch(alias):
                raise ValueError(f"Aliases must not contain any of the following characters: '/', ':'; {alias!r} does")
        self.entity, self.project, self._is_logged = entity, project, True
        self.aliases = list(dict.fromkeys([*aliases, "latest"]))
        self.tags = list(dict.fromkeys([*self.tags, *tags]))

    @property
    def manifest(self) -> Artifact:
        """What has the ``entries``."""
        return self

    @property
    def version(self) -> str:
        """Always the first one."""
        return "v0"

    @property
    def state(self) -> str:
        """Whether a run was given it: "COMMITTED", else "PENDING"."""
        return "COMMITTED" if self._is_logged else "PENDING"

    @property
    def qualified_name(self) -> str:
        """With where it is."""
        return "/".join(filter(None, (self.entity, self.project, f"{self.name}:{self.version}")))

    source_qualified_name = qualified_name

    @property
    def id(self) -> str | None:
        """None: no server has it."""
        return None

    @property
    def size(self) -> int:
        """How many bytes the files have."""
        return sum(entry.size for entry in self.entries.values())

    @property
    def file_count(self) -> int:
        """How many files there are."""
        return len(self.entries)

    @property
    def digest(self) -> str:
        """None is made, since nothing is read."""
        return ""

    def add_file(
        self,
        local_path: Any,
        name: str | None = None,
        is_tmp: bool | None = False,
        skip_cache: bool | None = False,
        policy: str | None = "mutable",
        overwrite: bool = False,
    ) -> ArtifactEntry:
        """Name a file. Raises ValueError where there is none."""
        path = _checked(local_path, policy)
        if not path.is_file():
            raise ValueError(f"Path is not a file: {local_path!r}")
        return self._add(ArtifactEntry(name or path.name, str(path), size=path.stat().st_size))

    def add_dir(
        self,
        local_path: Any,
        name: str | None = None,
        skip_cache: bool | None = False,
        policy: str | None = "mutable",
        merge: bool = False,
    ) -> None:
        """Name the files of a folder. Raises ValueError where there is none."""
        path = _checked(local_path, policy)
        if not path.is_dir():
            raise ValueError(f"Path is not a directory: {local_path!r}")
        for each in sorted(path.rglob("*")):
            if each.is_file():
                inside = each.relative_to(path).as_posix()
                self._add(ArtifactEntry(f"{name}/{inside}" if name else inside, str(each), size=each.stat().st_size))

    def add_reference(
        self, uri: Any, name: Any = None, checksum: bool = True, max_objects: int | None = None
    ) -> Sequence[ArtifactEntry]:
        """Name what is elsewhere."""
        text = uri.ref if isinstance(uri, ArtifactEntry) else str(uri)
        if not text or (isinstance(uri, str) and "://" not in uri):
            raise ValueError(f"References must be URIs. To reference a local file, use file://, not {uri!r}")
        return [self._add(ArtifactEntry(str(name or text.rpartition("/")[2] or text), ref=text))]

    def add(self, obj: Any, name: Any, overwrite: bool = False) -> ArtifactEntry:
        """Name a table or media."""
        kind = getattr(obj, "_log_type", None)
        if kind is None:
            raise TypeError(f"an artifact takes wandb's media, not {type(obj).__name__}")
        return self._add(ArtifactEntry(f"{name}.{kind.removesuffix('-file')}.json"))

    @contextmanager
    def new_file(
        self, name: str, mode: str = "x", encoding: str | None = None, policy: str = "mutable"
    ) -> Iterator[IO[Any]]:
        """A file to write to, which is gone when it is closed."""
        binary = "b" in mode
        with tempfile.NamedTemporaryFile("w+b" if binary else "w+", encoding=None if binary else encoding) as file:
            yield file
            file.seek(0, os.SEEK_END)
            self._add(ArtifactEntry(name, size=file.tell()))

    def remove(self, item: Any) -> None:
        """Take a file, or a folder, out again."""
        path = item.path if isinstance(item, ArtifactEntry) else str(item)
        found = [each for each in self.entries if each == path or each.startswith(f"{path}/")]
        if not found:
            raise FileNotFoundError(f"No such file or directory: {path}")
        for each in found:
            del self.entries[each]

    def get_added_local_path_name(self, local_path: str) -> str | None:
        """What a file is called here."""
        found = (name for name, entry in self.entries.items() if entry.local_path == str(local_path))
        return next(found, None)

    def is_draft(self) -> bool:
        """Whether no run was given it."""
        return not self._is_logged

    def wait(self, timeout: int | None = None) -> Artifact:
        """Nothing is waited for."""
        return self

    def finalize(self) -> None:
        """Nothing is done."""

    def save(self, project: str | None = None, settings: Any = None) -> None:
        """Nothing is done: give it to a run."""

    def new_draft(self) -> Artifact:
        """Another one with the same files."""
        made = Artifact(self.name, self.type, self.description, self.metadata)
        made.entries = dict(self.entries)
        return made

    def link(self, target_path: str, aliases: Any = None) -> Artifact:
        """Nothing is linked."""
        return self

    def unlink(self) -> None:
        """Nothing is linked."""

    def delete(self, delete_aliases: bool = False) -> None:
        """Nothing is kept."""

    def logged_by(self) -> None:
        """Nobody knows."""

    def used_by(self) -> list[Any]:
        """Nobody knows."""
        return []

    def files(self, names: Any = None, per_page: int = 50, start: str | None = None) -> list[ArtifactEntry]:
        """What it has."""
        return [entry for name, entry in self.entries.items() if names is None or name in names]

    def download(
        self,
        root: Any = None,
        allow_missing_references: bool = False,
        skip_cache: bool | None = None,
        path_prefix: Any = None,
        multipart: bool | None = None,
    ) -> str:
        """Raises CommError."""
        raise not_here(f"the artifact {self.name!r}")

    def checkout(self, root: str | None = None) -> str:
        """Raises CommError."""
        raise not_here(f"the artifact {self.name!r}")

    def verify(self, root: str | None = None) -> None:
        """Raises CommError."""
        raise not_here(f"the artifact {self.name!r}")

    def file(self, root: str | None = None) -> str:
        """Raises CommError."""
        raise not_here(f"the artifact {self.name!r}")

    def get(self, name: str) -> Any:
        """Raises CommError."""
        raise not_here(f"{name!r} of the artifact {self.name!r}")

    def get_entry(self, name: Any) -> ArtifactEntry:
        """What it calls so. Raises KeyError."""
        if str(name) not in self.entries:
            raise KeyError(f"Path not contained in artifact: {name}")
        return self.entries[str(name)]

    get_path = get_entry

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    def __setitem__(self, name: str, item: Any) -> None:
        self.add(item, name)

    def _add(self, entry: ArtifactEntry) -> ArtifactEntry:
        self.entries[entry.path] = entry
        return entry


def _checked(local_path: Any, policy: str | None) -> Path:
    if policy not in _POLICIES:
        raise ValueError(f"Invalid policy {policy!r}. Policy may only be `mutable` or `immutable`.")
    return Path(os.fspath(local_path))
