"""What a file says of a run besides its points. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["RunInfo"]


class RunInfo(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A run, as it is exported and imported; dates are ISO 8601 in UTC.

    Attributes:
        id: names the run wherever it is imported; [A-Za-z0-9._-]{1,128}. The id that its caller chose, else its uuid.
        project: as it is displayed; "" if the file has none.
        status: a ``RunStatus`` value.
    """

    id: str
    name: str = ""
    project: str = ""
    status: str = "COMPLETED"
    description: str | None = None
    tags: list[str] = []
    group: str | None = None
    job_type: str | None = None
    notes: str | None = None
    started: str | None = None
    ended: str | None = None
    config: dict[str, Any] = {}
    provenance: dict[str, Any] | None = None
