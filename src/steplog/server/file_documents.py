"""Files and artifacts as JSON; ``docs/api.md`` specifies them. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from steplog.server.file_types import ArtifactRow, FileRow

__all__ = ["artifact_document", "artifact_file_document", "file_document"]


def file_document(file: FileRow) -> dict[str, Any]:
    """A file of a run."""
    return file._asdict()


def artifact_file_document(file: FileRow) -> dict[str, Any]:
    """A file of an artifact."""
    return {"path": file.path, "sha256": file.sha256, "size": file.size, "present": file.present}


def artifact_document(artifact: ArtifactRow) -> dict[str, Any]:
    """A version of an artifact, without its files."""
    return asdict(artifact)
