"""``Run.delete`` and ``Run.restore``: a run goes to the server's trash, and comes back from it.

1. The server is asked first, and within ``ASK_TIMEOUT_S``. Without its word nothing changes, here or there.
2. It is not asked later either: a deletion that arrives some day would take what others have come to use by then.
3. Once it has deleted the run, this process writes no more to it, and what is here of it goes. Where another process of
   this host still writes to it, what is here stays, and is delivered nowhere.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any

from steplog.delivery import wire
from steplog.delivery.exchange import Answer, Request
from steplog.delivery.verdicts import is_proxys_404, may_pass
from steplog.errors import (
    InvalidAPIKeyError,
    RunFinishedError,
    RunNotFoundError,
    ServerUnavailableError,
    SteplogError,
)
from steplog.lifecycle import messages
from steplog.lifecycle.open_run import OpenRun
from steplog.lifecycle.process import current

__all__ = ["ASK_TIMEOUT_S", "delete", "restore"]

ASK_TIMEOUT_S = 30.0
_REMOVE_S = 5.0
_NOT_LATER = "a deletion is not kept for later, when it might take what others use by then"
_DONE = (200, 202, 204)


def delete(opened: OpenRun, now: bool) -> None:
    """Delete the run on the server, and what is here of it. Raises SteplogError, changing nothing."""
    lease, process = opened.lease, opened.process
    name, transport = opened.name(), opened.transport
    if lease is not None and process is not None:
        process.agent.pause(lease)  # else it might be told that the run is gone before we are
    try:
        answer = _asked(opened, "DELETE", "?now=1" if now else "")
        if answer.status not in _DONE:
            raise _refusal(opened, answer, "deleted")
    except BaseException:
        if lease is not None and process is not None and transport is not None:
            process.agent.deliver(lease, transport)
        raise
    opened.finish_in_background(None)
    opened.opened.writer.end(_refuse)
    if lease is not None and process is not None:
        process.agent.remove(lease, _REMOVE_S)
    if now:
        messages.say(opened.settings.quiet, logging.INFO, f"run {name} is deleted for good")
    else:
        words = "it can be restored for 24 hours: run.restore()"
        messages.say(opened.settings.quiet, logging.INFO, f"run {name} is deleted; {words}")


def restore(opened: OpenRun) -> str | None:
    """Take the run out of the trash; what it is called now. Raises SteplogError."""
    answer = _asked(opened, "POST", "restore/")
    if answer.status not in _DONE:
        raise _refusal(opened, answer, "restored")
    told = wire.read(answer.body, dict[str, Any]) or {}
    name = told.get("name")
    return name if isinstance(name, str) else None


def _asked(opened: OpenRun, method: str, tail: str) -> Answer:
    manifest, transport = opened.manifest, opened.transport
    done = "restored" if method == "POST" else "deleted"
    if transport is None:
        with contextlib.suppress(SteplogError, OSError):
            transport = current().adopter.configured_transport(manifest)
    if not manifest.run:
        words = f"run {opened.name()} is not on a server yet, and cannot be {done} there"
        raise ServerUnavailableError(f"{words}; to remove it here: steplog clean {opened.paths.local_id}")
    if transport is None:
        raise ServerUnavailableError(f"run {opened.name()} is not {done}: there is no server to ask; {_NOT_LATER}")
    path = wire.api_path(manifest.namespace, "projects", manifest.project, "runs", manifest.run) + tail
    try:
        return transport.exchange(Request(method, path), ASK_TIMEOUT_S)
    except ServerUnavailableError as error:
        raise ServerUnavailableError(f"run {opened.name()} is not {done}: {error}; {_NOT_LATER}") from None


def _refuse(*_: Any) -> None:
    raise RunFinishedError("the run is deleted and takes no more metrics; run.restore() and attach() bring it back")


def _refusal(opened: OpenRun, answer: Answer, done: str) -> SteplogError:
    """What a refusal is to the caller."""
    name, why = opened.name(), f"{answer.status} {wire.detail(answer.body) or ''}".strip()
    if answer.status == 401:
        return InvalidAPIKeyError(f"run {name} is not {done}: the server rejects the API key")
    if may_pass(answer.status) or is_proxys_404(answer.status, answer.body):
        return ServerUnavailableError(f"run {name} is not {done}: {why}; {_NOT_LATER}")
    if answer.status in (404, 410) and wire.detail(answer.body) is not None:
        where = "in its trash" if done == "restored" else "(any more)"
        return RunNotFoundError(f"run {name} is not {done}: {why.rstrip('.')}; the server has no such run {where}")
    return SteplogError(f"run {name} is not {done}: {why}; a stock server deletes whole projects alone")
