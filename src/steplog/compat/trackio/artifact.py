"""``trackio.Artifact``: a named set of files, which ``trackio.log_artifact`` gives to steplog.

Files are read when it is logged. A server numbers its version: until then ``version`` is None, where trackio has one at
once. References keep where they lead to (``compat.artifact_references``).
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import steplog
from steplog.compat.artifact_references import REFERENCES, as_bytes, copied, parsed

__all__ = ["Artifact"]

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_BAD = re.compile(r"[^A-Za-z0-9._-]")
_LOGGED = "an Artifact that has already been logged or fetched."


class Artifact:
    """A version of a named set of files. Raises ValueError for a name that is none."""

    def __init__(
        self,
        name: str,
        type: str = "unspecified",  # noqa: A002 - trackio's word
        description: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"Invalid artifact name {name!r}: it is of letters, digits, '.', '_' and '-'")
        self.name, self.type, self.description = name, type, description
        self.metadata = dict(metadata or {})
        self.project: str | None = None
        self._files: dict[str, Path] = {}
        self._references: dict[str, str] = {}
        self._kept: Any = None  # what steplog has of it

    @classmethod
    def of(cls, kept: Any, project: str) -> Artifact:
        """Internal: one that steplog has."""
        made = cls(kept.name, kept.type, kept.description or None, kept.metadata)
        made._kept, made.project = kept, project
        return made

    def __repr__(self) -> str:
        version = f", version={self.version}" if self.version else ""
        return f"Artifact(name={self.name!r}, type={self.type!r}{version})"

    def log_to(self, run: steplog.Run, project: str, aliases: list[str]) -> None:
        """Internal: give it to a run. Raises RuntimeError where that was done, ValueError without files, OSError."""
        if self._kept is not None:
            raise RuntimeError("Artifact has already been logged or fetched; construct a new Artifact() to log again.")
        if not self._files and not self._references:
            raise ValueError(f"Artifact {self.name!r} has no files or references; call add_file/add_dir/add_reference")
        with tempfile.TemporaryDirectory(prefix="steplog-artifact-") as folder:
            files = {name: str(path) for name, path in self._files.items()}
            if self._references:
                place = Path(folder, "references")
                place.write_bytes(as_bytes(self._references))
                files[REFERENCES] = str(place)
            self._kept = run.log_artifact(
                files,
                self.name,
                _BAD.sub("-", self.type)[:128] or "unspecified",
                aliases=[alias for alias in aliases if alias != "latest"],
                description=self.description or "",
                metadata=self.metadata,
            )
        self.project = project

    @property
    def version(self) -> str | None:
        """Such as "v3"; None until a server has given it one."""
        found: str | None = None if self._kept is None else self._kept.version
        return found

    source_version = version

    @property
    def aliases(self) -> tuple[str, ...]:
        """Those that mean this version."""
        return () if self._kept is None else tuple(self._kept.aliases)

    @property
    def size(self) -> int | None:
        """Bytes of its files; None before it is logged."""
        return None if self._kept is None else int(self._kept.size)

    @property
    def digest(self) -> str | None:
        """Of all files; None until it is known."""
        return None if self._kept is None else self._kept.digest or None

    manifest_digest = digest

    @property
    def manifest(self) -> list[dict[str, Any]] | None:
        """Its files and references; None before it is logged."""
        if self._kept is None:
            return None
        files, references = self._contents()
        rows = [{"path": path, "digest": file.sha256, "size": file.size} for path, file in files.items()]
        return [*rows, *({"path": path, "ref": ref, "digest": ref, "size": 0} for path, ref in references.items())]

    @property
    def references(self) -> list[dict[str, Any]]:
        """Those of the manifest that are references."""
        return [row for row in self.manifest or () if "ref" in row]

    def get_entry_uri(self, name: str) -> str | None:
        """Where a reference leads to."""
        return next((row["ref"] for row in self.references if row["path"] == name), None)

    @property
    def qualified_name(self) -> str:
        """``project/name:v3``. Raises RuntimeError until it has a version."""
        if self.project is None or self.version is None:
            raise RuntimeError("Artifact has no qualified name until it is logged or fetched.")
        return f"{self.project}/{self.name}:{self.version}"

    source_qualified_name = qualified_name
    is_link = False

    def add_file(self, local_path: Any, name: str | None = None) -> None:
        """Add a file. Raises ValueError where there is none."""
        self._open("add files to")
        path = Path(local_path).resolve()
        if not path.is_file():
            raise ValueError(f"Not a regular file: {local_path}")
        self._files[_logical(name or path.name)] = path

    def add_dir(self, local_dir: Any, name: str | None = None) -> None:
        """Add the files of a folder, without links. Raises ValueError where there is none."""
        self._open("add files to")
        root = Path(local_dir).resolve()
        if not root.is_dir():
            raise ValueError(f"Not a directory: {local_dir}")
        for folder, folders, names in os.walk(root):
            folders.sort()
            for each in sorted(names):
                path = Path(folder, each)
                if path.is_file() and not path.is_symlink():
                    inner = path.relative_to(root).as_posix()
                    self._files[_logical(f"{name.rstrip('/')}/{inner}" if name else inner)] = path

    def add_reference(
        self, uri: str, name: str | None = None, checksum: bool = True, max_objects: int | None = None
    ) -> None:
        """Name what is elsewhere. Raises ValueError for what is no address."""
        self._open("add references to")
        if "://" not in uri:
            raise ValueError(f"Invalid reference URI {uri!r}: it has a scheme, such as s3://")
        self._references[_logical(name or uri.rstrip("/").rpartition("/")[2])] = uri

    def _open(self, doing: str) -> None:
        if self._kept is not None:
            raise RuntimeError(f"Cannot {doing} {_LOGGED}")

    def wait(self, timeout: float | None = None) -> Artifact:
        """Wait until a server has it. Raises RuntimeError where it was not logged."""
        if self._kept is None:
            raise RuntimeError("Cannot wait on an Artifact that has not been logged; call log_artifact first.")
        self._kept.wait(timeout)
        return self

    def _contents(self) -> tuple[dict[str, Any], dict[str, str]]:
        files = {file.path: file for file in self._kept.files}
        return files, parsed(files.pop(REFERENCES).read()) if REFERENCES in files else {}

    def download(self, root: Any = None) -> str:
        """Write its files below a folder, and return that. Raises RuntimeError, FileNotFoundError."""
        if self._kept is None:
            raise RuntimeError("Cannot download an Artifact that has not been logged or fetched.")
        default = (
            Path.cwd() / ".trackio" / "artifact-downloads" / str(self.project) / f"{self.name}_{self.version or 'new'}"
        )
        folder = default if root is None else Path(root)
        folder.mkdir(parents=True, exist_ok=True)
        files, references = self._contents()
        try:
            for file in files.values():
                file.download(folder, replace=True)
        except steplog.SteplogError as error:
            raise FileNotFoundError(f"a file of the artifact {self.name!r} is not to be had: {error}") from error
        for path, address in references.items():
            if copied(address, path, folder) is None:
                raise FileNotFoundError(f"{path!r} is a reference to {address}, which steplog does not fetch")
        return str(folder)


def _logical(name: str) -> str:
    """A path in an artifact. Raises ValueError."""
    if not name or name.startswith("/") or any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"Invalid path in an artifact: {name!r}")
    return name
