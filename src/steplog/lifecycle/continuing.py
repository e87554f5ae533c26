"""``init(resume=...)`` of a run that is open in this process goes on with it, as where a notebook's cell runs again."""

from __future__ import annotations

from steplog.identity import slug_of
from steplog.journal.manifest import Plan
from steplog.lifecycle.open_run import Holder, OpenRun, open_runs

__all__ = ["open_here"]


def open_here(plan: Plan) -> Holder | None:
    """The run that ``plan`` means, if it is open in this process; the one that was opened last."""
    if plan.resume not in ("allow", "must"):
        return None
    found = [
        opened.holder for opened in open_runs() if opened.decides and not opened.ends() and _is_meant(opened, plan)
    ]
    return next((holder for holder in reversed(found) if holder is not None), None)


def _is_meant(opened: OpenRun, plan: Plan) -> bool:
    manifest = opened.manifest
    namespace = plan.namespace or slug_of(manifest.account)
    if manifest.project != plan.project or manifest.namespace not in ("", namespace):
        return False
    if plan.key:
        return plan.key in (manifest.key, manifest.run, manifest.local_id)
    return bool(plan.name) and plan.name == manifest.name
