"""A run that is open in this process goes on where it is resumed, as where a notebook's cell runs again."""

from __future__ import annotations

import logging
from collections.abc import Callable

from steplog.identity import slug_of
from steplog.journal.manifest import Plan
from steplog.lifecycle import messages
from steplog.lifecycle.open_run import Holder, OpenRun, open_runs

__all__ = ["open_here", "planned_here"]


def planned_here(plan: Plan) -> Holder | None:
    """The run that ``init`` is to resume, if this process has it open and decides its status."""
    return _last(lambda opened: _is_meant(opened, plan)) if plan.resume in ("allow", "must") else None


def open_here(uuid: str) -> Holder | None:
    """The run of this uuid or local id, if this process has it open and decides its status."""
    return _last(lambda opened: uuid in (opened.manifest.run, opened.manifest.local_id))


def _last(is_meant: Callable[[OpenRun], bool]) -> Holder | None:
    for opened in reversed(open_runs()):
        if opened.holder is not None and opened.decides and not opened.ends() and is_meant(opened):
            messages.say(opened.settings.quiet, logging.INFO, f"run {opened.name()} continues")
            return opened.holder
    return None


def _is_meant(opened: OpenRun, plan: Plan) -> bool:
    manifest = opened.manifest
    namespace = plan.namespace or slug_of(manifest.account)
    if manifest.project != plan.project or manifest.namespace not in ("", namespace):
        return False
    if plan.key:
        return plan.key in (manifest.key, manifest.run, manifest.local_id)
    return bool(plan.name) and plan.name == manifest.name
