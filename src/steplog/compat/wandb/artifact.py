"""``wandb.Artifact``: a named collection of files, which a run's ``log_artifact`` gives to steplog.

::

    Artifact("m", "model")      a draft: files are copied to a folder of its own when they are added
    run.log_artifact(it)        handed over; ``wait`` until a server has given it a version
    run.use_artifact("m:v0")    one of a server, whose files are downloaded

1. What is added is copied then, so that a file that goes or changes afterwards does not matter; with
   ``policy="immutable"`` it is taken from where it is when the artifact is logged.
2. A reference has no content here: where it leads to is kept, in the file ``.steplog/references.json``.
3. Versions are numbered by the server. A draft has none: asking for it raises ``ArtifactNotLoggedError``.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import steplog
from steplog.compat.artifact_references import REFERENCES, as_bytes, inside
from steplog.compat.unsupported import unsupported
from steplog.compat.wandb import open_runs
from steplog.compat.wandb.artifact_entry import ArtifactEntry
from steplog.compat.wandb.artifact_names import safe_name
from steplog.compat.wandb.artifact_reading import ReadArtifact
from steplog.compat.wandb.artifact_status import ArtifactFinalizedError, ArtifactNotLoggedError, WaitTimeoutError
from steplog.compat.wandb.errors import CommError

__all__ = ["Artifact", "ArtifactTTL"]

_NAME = re.compile(r"[A-Za-z0-9_\-.]{1,128}")
_ALIAS = re.compile(r"[^/:]+")
_DESCRIPTION_CHARACTERS_MAX = 65_536
_POLICIES = ("mutable", "immutable", None)
_ELSEWHERE = "an artifact belongs to its project alone; name it so: use_artifact('project/name:alias')"


class ArtifactTTL:
    """How long an artifact is kept."""

    INHERIT = "inherit"


class Artifact(ReadArtifact):
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
        self._base, self.type, self.description = name, type, description
        self.metadata = dict(metadata or {})
        self.incremental, self.use_as, self.storage_region = incremental, use_as, storage_region
        self.digest_algorithm = digest_algorithm
        self._entries: dict[str, ArtifactEntry] = {}
        self.aliases: list[str] = []
        self.tags: list[str] = []
        self.ttl: Any = None
        self.project: str | None = None
        self.entity: str | None = None
        self._folder: Path | None = None  # of copies
        self._is_final = False
        self._kept: Any = None
        self.is_copied_late = False  # its files are the program's own until it is logged
        self.is_sent_later = False  # by a run that is offline, or disabled: there is nothing to wait for

    @classmethod
    def of(cls, kept: Any, entity: str | None, project: str | None) -> Artifact:
        """Internal: one that steplog has."""
        made = cls.__new__(cls)
        made.__init__(kept.name, "dataset")  # type: ignore[misc]
        made.type, made.description, made.metadata = kept.type, kept.description, dict(kept.metadata)
        made.entity, made.project = entity, project
        made._have(kept)
        return made

    def _have(self, kept: Any) -> None:
        self._kept, self._is_final = kept, True
        if kept.version is not None:
            self.aliases = list(dict.fromkeys([*kept.aliases, *self.aliases]))

    def __repr__(self) -> str:
        return f"<Artifact {'/'.join(filter(None, (self.entity, self.project, self.name)))}>"

    def hand_over(self, run: steplog.Run, aliases: Sequence[str], tags: Sequence[str]) -> None:
        """Internal: log it. Raises ValueError for an alias that is none."""
        for alias in aliases:
            if not _ALIAS.fullmatch(alias):
                raise ValueError(f"Aliases must not contain any of the following characters: '/', ':'; {alias!r} does")
        self.aliases = list(dict.fromkeys([*self.aliases, *aliases, "latest"]))
        self.tags = list(dict.fromkeys([*self.tags, *tags]))
        if tags:
            unsupported.note("wandb.log_artifact(tags=…)", "an artifact has aliases: log_artifact(aliases=[…])")
        if self._kept is not None:
            if aliases:
                advice = "the aliases of a version are those that it was logged with; log it again as a new Artifact"
                unsupported.note("wandb.log_artifact() of one that is logged", advice)
            return
        references = {path: entry.ref for path, entry in self._entries.items() if entry.ref is not None}
        files = {path: str(entry.local_path) for path, entry in self._entries.items() if entry.local_path is not None}
        if references or not files:
            place = self._place(REFERENCES)
            place.write_bytes(as_bytes(references))
            files[REFERENCES] = str(place)
        self._is_final = True
        kept = run.log_artifact(
            files,
            self._base,
            safe_name(self.type),
            aliases=[safe_name(alias) for alias in self.aliases if alias != "latest"],
            description=(self.description or "")[:_DESCRIPTION_CHARACTERS_MAX],
            metadata=self.metadata,
            immutable=not self.is_copied_late,
        )
        self._have(kept)
        if self._folder is not None:
            _remove(str(self._folder), os.getpid())
            self._folder = None

    @property
    def manifest(self) -> Artifact:
        """What has the ``entries``."""
        return self

    @property
    def is_handed_over(self) -> bool:
        """Internal: whether a run was given it."""
        return self._kept is not None

    def _open(self, call: str) -> None:
        if self._is_final:
            raise ArtifactFinalizedError(f"Artifact.{call}", self)

    @property
    def version(self) -> str:
        """Such as "v3". Raises ArtifactNotLoggedError until a server has given it one: ``wait``."""
        if self.is_draft():
            raise ArtifactNotLoggedError("Artifact.version", self)
        return str(self._kept.version)

    source_version = version

    @property
    def name(self) -> str:
        """With the version, once there is one."""
        return self._base if self.is_draft() else f"{self._base}:{self.version}"

    source_name = name

    @property
    def state(self) -> str:
        """Whether a server has it: "COMMITTED", else "PENDING"."""
        return "PENDING" if self.is_draft() else "COMMITTED"

    @property
    def qualified_name(self) -> str:
        """With where it is."""
        return "/".join(filter(None, (self.entity, self.project, self.name)))

    source_qualified_name = qualified_name

    @property
    def id(self) -> str | None:
        """None until a server has it."""
        return None if self.is_draft() else self.qualified_name

    @property
    def size(self) -> int:
        """How many bytes the files have."""
        return sum(entry.size for entry in self._all().values())

    @property
    def file_count(self) -> int:
        """How many files there are."""
        return len(self._all())

    @property
    def digest(self) -> str:
        """Of all files, once a server has them; "" before."""
        return "" if self.is_draft() else str(self._kept.digest)

    def add_file(
        self,
        local_path: Any,
        name: str | None = None,
        is_tmp: bool | None = False,
        skip_cache: bool | None = False,
        policy: str | None = "mutable",
        overwrite: bool = False,
    ) -> ArtifactEntry:
        """Add a file. Raises ValueError where there is none, or another one is called so."""
        self._open("add_file")
        path = _checked(local_path, policy)
        if not path.is_file():
            raise ValueError(f"Path is not a file: {local_path!r}")
        return self._add_local(str(name or path.name), path, policy, overwrite)

    def add_dir(
        self,
        local_path: Any,
        name: str | None = None,
        skip_cache: bool | None = False,
        policy: str | None = "mutable",
        merge: bool = False,
    ) -> None:
        """Add the files of a folder. Raises ValueError where there is none."""
        self._open("add_dir")
        path = _checked(local_path, policy)
        if not path.is_dir():
            raise ValueError(f"Path is not a directory: {local_path!r}")
        for each in sorted(path.rglob("*")):
            if each.is_file():
                inner = each.relative_to(path).as_posix()
                self._add_local(f"{name}/{inner}" if name else inner, each, policy, merge)

    def _add_local(self, name: str, path: Path, policy: str | None, overwrite: bool) -> ArtifactEntry:
        name = name.removeprefix("./").lstrip("/")
        before = self._entries.get(name)
        if before is not None and before.local_path is not None and not overwrite:
            if not _is_same(Path(before.local_path), path):
                raise ValueError(f"Cannot add the same path twice: {name!r}")
            return before
        kept = path
        if policy != "immutable":
            kept = self._place(name)
            shutil.copyfile(path, kept)
        entry = self._add(ArtifactEntry(name, str(kept), size=kept.stat().st_size))
        entry.source = str(path)
        return entry

    def add_reference(
        self, uri: Any, name: Any = None, checksum: bool = True, max_objects: int | None = None
    ) -> Sequence[ArtifactEntry]:
        """Name what is elsewhere. Raises ValueError for what is no address."""
        self._open("add_reference")
        text = (uri.ref or uri.ref_url()) if isinstance(uri, ArtifactEntry) else str(uri)
        if "://" not in text:
            raise ValueError(f"References must be URIs. To reference a local file, use file://, not {uri!r}")
        return [self._add(ArtifactEntry(str(name or text.rpartition("/")[2] or text), ref=text))]

    def add(self, obj: Any, name: Any, overwrite: bool = False) -> ArtifactEntry:
        """Add a table or media, which ``get`` gives back. Raises TypeError for anything else."""
        from steplog.compat.wandb.artifact_media import ArtifactMedia  # late: most artifacts have none

        self._open("add")
        return self._entries[ArtifactMedia(self._write).add(obj, str(name))]

    @contextmanager
    def new_file(
        self, name: str, mode: str = "x", encoding: str | None = None, policy: str = "mutable"
    ) -> Iterator[IO[Any]]:
        """A file to write to, which is added when it is closed. Raises ValueError where there is one of that name."""
        self._open("new_file")
        path = self._place(name)
        if "x" in mode and path.exists():
            raise ValueError(f"File with name {name!r} already exists at {str(path)!r}")
        with path.open(mode, encoding=encoding) as file:
            yield file
        self._add(ArtifactEntry(name.lstrip("/"), str(path), size=path.stat().st_size))

    def remove(self, item: Any) -> None:
        """Take a file, or a folder, out again. Raises FileNotFoundError."""
        self._open("remove")
        path = item.path if isinstance(item, ArtifactEntry) else str(item)
        found = [each for each in self._entries if each == path or each.startswith(f"{path}/")]
        if not found:
            raise FileNotFoundError(f"No such file or directory: {path}")
        for each in found:
            del self._entries[each]

    def _place(self, name: str) -> Path:
        """Where a copy of this name goes."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="steplog-artifact-"))
            weakref.finalize(self, _remove, str(self._folder), os.getpid())
        place = inside(self._folder, name.lstrip("/"))
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def _write(self, name: str, data: bytes) -> None:
        place = self._place(name)
        place.write_bytes(data)
        self._add(ArtifactEntry(name, str(place), size=len(data)))

    def _add(self, entry: ArtifactEntry) -> ArtifactEntry:
        entry.artifact = self
        self._entries[entry.path] = entry
        return entry

    def get_added_local_path_name(self, local_path: str) -> str | None:
        """What a file is called here."""
        found = (name for name, entry in self._entries.items() if entry.source == str(local_path))
        return next(found, None)

    def __setitem__(self, name: str, item: Any) -> None:
        self.add(item, name)

    def wait(self, timeout: float | None = None) -> Artifact:
        """Wait until a server has it; in a run that is offline or disabled for nothing.

        Raises ArtifactNotLoggedError where it was not logged, WaitTimeoutError.
        """
        if self._kept is None:
            if not self._is_final:
                raise ArtifactNotLoggedError("Artifact.wait", self)
            return self
        if self._kept.version is None and not self.is_sent_later:
            try:
                version = self._kept.wait(timeout)
            except steplog.SteplogError as error:
                raise CommError(str(error), error) from error
            if version is None and timeout is not None:
                raise WaitTimeoutError("Artifact upload wait timed out; it goes on in the background")
        self._have(self._kept)
        return self

    def finalize(self) -> None:
        """No more is added."""
        self._is_final = True

    def save(self, project: str | None = None, settings: Any = None) -> None:
        """Log it to the run that is open, or to one that is begun for it."""
        run = open_runs.current()
        if run is not None:
            run.log_artifact(self)
            return
        with open_runs.public("init")(project=project or self.project, job_type="auto") as made:
            made.log_artifact(self)

    def new_draft(self) -> Artifact:
        """Another one with the same files, which are downloaded where they are not here."""
        made = Artifact(self._base, self.type, self.description, self.metadata)
        for path, entry in self._all().items():
            if entry.ref is not None:
                made._add(ArtifactEntry(path, ref=entry.ref))
            else:
                made._write(path, self.contents(entry))
        return made

    def link(self, target_path: str, aliases: Any = None) -> Artifact:
        """Counted: there is no registry."""
        unsupported.note("wandb.Artifact.link()", _ELSEWHERE)
        return self

    def unlink(self) -> None:
        """Nothing is linked."""

    def delete(self, delete_aliases: bool = False) -> None:
        """Delete this version at the server. Raises CommError."""
        kept = self._logged("delete")
        if not hasattr(kept, "delete"):
            raise CommError(f"an artifact is deleted with its project; {self.name} stays")
        kept.delete()


def _remove(folder: str, pid: int) -> None:
    """A forked child has the folder of its parent, which is not its to remove."""
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)


def _is_same(one: Path, other: Path) -> bool:
    import filecmp

    return one == other or (one.exists() and filecmp.cmp(one, other, shallow=False))


def _checked(local_path: Any, policy: str | None) -> Path:
    if policy not in _POLICIES:
        raise ValueError(f"Invalid policy {policy!r}. Policy may only be `mutable` or `immutable`.")
    return Path(os.fspath(local_path))
