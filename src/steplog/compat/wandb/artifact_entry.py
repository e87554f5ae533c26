"""A file of an artifact: on this machine until it is logged, at the server then, or elsewhere, as a reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steplog.compat.artifact_references import copied
from steplog.compat.wandb.errors import CommError

__all__ = ["ArtifactEntry"]


class ArtifactEntry:
    """A file, as an artifact calls it.

    Attributes:
        path: its name in the artifact.
        local_path: where it is on this machine, of one that is not logged yet.
        ref: the address of a reference, of which no content is kept.
        file: of one that is logged, a ``RunFile`` of steplog's.
    """

    def __init__(
        self, path: str, local_path: str | None = None, ref: str | None = None, size: int = 0, file: Any = None
    ) -> None:
        self.path, self.local_path, self.ref, self.size, self.file = path, local_path, ref, size, file
        self.source = local_path  # where it was when it was added
        self.artifact: Any = None  # what it is downloaded with

    def __repr__(self) -> str:
        return f"<ArtifactEntry {self.path}>"

    @property
    def name(self) -> str:
        """The path."""
        return self.path

    @property
    def digest(self) -> str:
        """SHA-256 of its content, where it is known; of a reference its address."""
        return self.ref or (str(self.file.sha256) if self.file is not None else "")

    def parent_artifact(self) -> Any:
        """The artifact that it is of."""
        return self.artifact

    def ref_target(self) -> str:
        """Where what is referred to is. Raises ValueError for what is no reference."""
        if self.ref is None:
            raise ValueError("Only reference entries support ref_target().")
        return self.ref

    def ref_url(self) -> str:
        """The address by which another artifact can refer to it."""
        return f"wandb-artifact://{self.artifact.qualified_name}/{self.path}"

    def download(self, root: Any = None, skip_cache: bool | None = None, executor: Any = None) -> str:
        """Write it to ``root/path``, and return where. Raises CommError where it cannot be had."""
        folder = Path(self.artifact.default_root() if root is None else root)
        if self.ref is not None:
            return self._copy_reference(folder)
        return str(self.artifact.downloaded(self, folder))

    def _copy_reference(self, folder: Path) -> str:
        try:
            place = copied(self.ref_target(), self.path, folder)
        except OSError as error:
            raise CommError(
                f"a reference of the artifact {self.artifact.name} cannot be read: {error}", error
            ) from error
        if place is None:
            words = f"{self.path!r} of the artifact {self.artifact.name} is a reference to {self.ref}"
            raise CommError(f"{words}, which steplog does not fetch; fetch it with a client of its own")
        return str(place)
