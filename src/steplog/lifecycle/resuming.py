"""Which run ``init(id=..., resume=...)`` means: of those with a journal on this host, or on a stock server."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from steplog.delivery.wire import LIST_BYTES_MAX, api_path, username_in
from steplog.errors import FormatError, RunExistsError, RunNotFoundError, ServerUnavailableError
from steplog.journal import manifest as manifests
from steplog.journal.manifest import Manifest, Plan
from steplog.lifecycle.process import current

if TYPE_CHECKING:
    from steplog.client import TellurioClient

__all__ = ["exists", "find_here", "find_on_stock", "missing", "what"]


def what(plan: Plan) -> str:
    """The run, for messages."""
    return f"with the id {plan.key}" if plan.key else f"called {plan.name}"


def exists(plan: Plan) -> RunExistsError:
    """``never``, and it is there."""
    where = f"{plan.namespace}/{plan.project}" if plan.namespace else plan.project
    return RunExistsError(f'{where} has a run {what(plan)} already; to go on with it: init(..., resume="allow")')


def missing(plan: Plan) -> RunNotFoundError:
    """``must``, and it is not there."""
    where = f"{plan.namespace}/{plan.project}" if plan.namespace else plan.project
    return RunNotFoundError(f'{where} has no run {what(plan)}; to make it: init(..., resume="allow")')


def find_here(plan: Plan, url: str) -> Manifest | None:
    """The latest run of this host that a plan to resume means; ``url``: of its server, "": of any."""
    process, found = current(), list[Manifest]()
    process.find_memory()
    for paths in process.roots.runs():
        with contextlib.suppress(FormatError):
            manifest = manifests.load(paths.manifest())
            if manifest is not None and _is_meant(manifest, plan, url):
                found.append(manifest)
    return max(found, key=lambda one: one.generations[-1].began if one.generations else 0, default=None)


def _is_meant(manifest: Manifest, plan: Plan, url: str) -> bool:
    same_place = manifest.project == plan.project and all(
        "" in (theirs, ours) or theirs == ours
        for theirs, ours in ((manifest.namespace, plan.namespace), (manifest.base_url, url))
    )
    if plan.key:
        return same_place and plan.key in (manifest.key, manifest.run, manifest.local_id)
    return same_place and bool(plan.name) and manifest.name == plan.name


def find_on_stock(plan: Plan, client: TellurioClient) -> dict[str, Any] | None:
    """On a server that finds no run by itself: the one of this name among those of the key's user.

    None: the server finds it, or there is none. Raises RunNotFoundError, and as ``client.send``.
    """
    runs = _listed(plan, client, "?limit=1")
    if all("generation" in run for run in runs):
        return None
    if len(runs) == 1:
        runs = _listed(plan, client, "")
    user = None if client.account is None else client.account.username
    for run in runs:
        if run.get("name") == plan.name and None not in (user, run.get("uuid")) and _is_of(run, user):
            return run
    if plan.resume == "must":
        raise missing(plan)
    return None


def _is_of(run: dict[str, Any], user: str | None) -> bool:
    return username_in(run.get("user")) in (None, user)


def _listed(plan: Plan, client: TellurioClient, query: str) -> list[dict[str, Any]]:
    path = api_path(plan.namespace, "projects", plan.project, "runs")
    answer = client.send("GET", path + query, answer_bytes_max=LIST_BYTES_MAX)
    if answer.status != 200:
        raise answer.http_error()
    try:
        told = answer.json()
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, list) or not answer.whole:
        raise ServerUnavailableError(f"{client.base_url}: no list of the runs of {plan.project}")
    return [run for run in told if isinstance(run, dict)]
