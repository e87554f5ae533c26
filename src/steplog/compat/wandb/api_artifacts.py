"""Artifacts of a project, as ``wandb.Api`` lists them: versions, collections (one a name), types.

They are read of steplog's server. What is not there raises ``wandb.errors.CommError``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import steplog
from steplog.compat.wandb.artifact import Artifact
from steplog.compat.wandb.artifact_names import found, safe_name
from steplog.compat.wandb.errors import CommError

__all__ = ["ArtifactCollection", "ArtifactType", "logged_by", "one", "parted", "versions"]


class _NoneKeptError(CommError):
    """The server keeps no artifacts."""


class ArtifactCollection:
    """All versions of a name."""

    def __init__(self, entity: str | None, project: str | None, name: str, kind: str) -> None:
        self.entity, self.project, self.name, self.type = entity, project, name, kind
        self.description: str | None = None
        self.tags: list[str] = []

    def __repr__(self) -> str:
        return f"<ArtifactCollection {self.name} ({self.type})>"

    @property
    def id(self) -> str:
        """Its name, with where it is."""
        return "/".join(filter(None, (self.entity, self.project, self.name)))

    @property
    def aliases(self) -> list[str]:
        """Those of its versions."""
        return list(dict.fromkeys(alias for each in self.artifacts() for alias in each.aliases))

    def artifacts(self, per_page: int = 50) -> list[Artifact]:
        """The versions, the newest first."""
        return versions(self.entity, self.project, self.name)

    versions = artifacts

    def is_sequence(self) -> bool:
        """True: its versions follow each other."""
        return True


class ArtifactType:
    """All artifacts of a type."""

    def __init__(self, entity: str | None, project: str | None, name: str) -> None:
        self.entity, self.project, self.name = entity, project, name

    def __repr__(self) -> str:
        return f"<ArtifactType {self.name}>"

    def collections(self, per_page: int = 50) -> list[ArtifactCollection]:
        """One a name."""
        return _collections(self.entity, self.project, safe_name(self.name))

    def collection(self, name: str) -> ArtifactCollection:
        """One of them. Raises CommError where there is none."""
        for each in self.collections():
            if each.name == name:
                return each
        raise CommError(f"there is no artifact {name!r} of the type {self.name!r} in {self.project}")


def _listed(
    entity: str | None, project: str | None, name: str | None = None, kind: str | None = None, run: str | None = None
) -> Iterator[Any]:
    """What steplog has, the newest first. Raises CommError."""
    if not project:
        raise CommError("artifacts are read by their project: 'entity/project'")
    refused: Exception | None = None
    for where in dict.fromkeys((f"{entity}/{project}" if entity else project, project)):
        try:
            yield from steplog.artifacts(where, name, kind, run)
        except (steplog.SteplogError, ValueError, OSError) as error:
            refused = refused or error
        else:
            return
    refusal = _NoneKeptError if type(refused) is steplog.SteplogError else CommError
    raise refusal(f"the artifacts of {project} are not to be had: {refused}", refused)


def versions(entity: str | None, project: str | None, name: str) -> list[Artifact]:
    """The versions of a name, the newest first. Raises CommError."""
    listed = [Artifact.of(each, entity, project) for each in _listed(entity, project, name=name)]
    return sorted(listed, key=lambda each: int(each.version[1:]), reverse=True)


def logged_by(entity: str | None, project: str | None, run: str) -> list[Artifact]:
    """The versions that a run has logged; none where the server keeps none. Raises CommError."""
    with suppress(_NoneKeptError):
        return [Artifact.of(each, entity, project) for each in _listed(entity, project, run=run)]
    return []


def _collections(entity: str | None, project: str | None, kind: str | None) -> list[ArtifactCollection]:
    types = {each.name: each.type for each in _listed(entity, project, kind=kind)}
    return [ArtifactCollection(entity, project, name, types[name]) for name in sorted(types)]


def parted(entity: str | None, project: str | None) -> dict[str, ArtifactType]:
    """The types, by their names. Raises CommError."""
    names = sorted({each.type for each in _listed(entity, project)})
    return {name: ArtifactType(entity, project, name) for name in names}


def one(entity: str | None, project: str, name: str, kind: str | None) -> Artifact:
    """The version that ``name:alias`` means. Raises CommError, ValueError where it is of another type."""

    def ask(text: str) -> Any:
        place, _, last = text.rpartition("/")
        return steplog.artifact(place, last)

    kept = found("/".join(filter(None, (entity, project, name))), ask, kind)
    return Artifact.of(kept, entity, project)
