"""A run as JSON; ``docs/api.md`` specifies it. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from steplog.server.store_types import RunConfig, RunRow

__all__ = ["run_document"]

_STOCK = ("uuid", "name", "description", "status", "date_created", "date_updated")
_ADDED = ("made_by", "generation", "generation_began", "group", "job_type", "notes", "ended", "seen", "last_point")


def run_document(run: RunRow, config: RunConfig | None, brief: bool = False) -> dict[str, Any]:
    """The run; without a config, as a stock server tells it; brief: without what a list does not show."""
    project = {"uuid": run.project_uuid, "display_name": run.project_display_name, "slug": run.project_slug}
    user = {"uuid": run.user_uuid, "username": run.username, "slug": run.user_slug}
    told = {field: getattr(run, field) for field in _STOCK} | {"project": project, "user": user}
    if config is None:
        return told
    own: dict[str, Any] = {
        "id": run.key,
        "started": run.started or run.date_created,
        "tags": _raw(run.tags) or [],
        "report": _raw(run.report),
    }
    if not brief:
        own |= {"provenance": _raw(run.provenance), "config": config.values}
        own |= {"config_omitted": config.omitted} if config.omitted else {}
    if run.deleted is not None:
        own["deleted"] = run.deleted
    return told | {field: getattr(run, field) for field in _ADDED} | own


def _raw(text: str | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text.encode())
