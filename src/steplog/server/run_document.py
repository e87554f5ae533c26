"""A run as JSON; ``docs/api.md`` specifies it. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from steplog.server.store_types import RunConfig, RunRow

__all__ = ["brief_document", "run_document"]

_STOCK = ("uuid", "name", "description", "status", "date_created", "date_updated")
_ADDED = (
    "generation",
    "generation_began",
    "group",
    "job_type",
    "notes",
    "ended",
    "seen",
    "last_point",
    "files_pending",
)


def run_document(run: RunRow, config: RunConfig | None) -> dict[str, Any]:
    """The run; without a config, as a stock server tells it."""
    project = {"uuid": run.project_uuid, "display_name": run.project_display_name, "slug": run.project_slug}
    if config is None:
        return _stock(run) | {"project": project}
    large: dict[str, Any] = {"provenance": _raw(run.provenance), "config": config.values}
    large |= {"config_omitted": config.omitted} if config.omitted else {}
    return brief_document(run) | {"project": project, "made_by": run.made_by} | large


def brief_document(run: RunRow) -> dict[str, Any]:
    """The run without project, maker, config and provenance: what is asked for again and again."""
    own: dict[str, Any] = {
        "id": run.key,
        "started": run.started or run.date_created,
        "tags": _raw(run.tags) or [],
        "report": _raw(run.report),
    }
    if run.deleted is not None:
        own["deleted"] = run.deleted
    if run.unreadable:
        own["unreadable"] = run.unreadable
    return _stock(run) | {field: getattr(run, field) for field in _ADDED} | own


def _stock(run: RunRow) -> dict[str, Any]:
    user = {"uuid": run.user_uuid, "username": run.username, "slug": run.user_slug}
    return {field: getattr(run, field) for field in _STOCK} | {"user": user}


def _raw(text: str | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text.encode())
