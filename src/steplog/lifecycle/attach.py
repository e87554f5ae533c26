"""``attach``: join a run that exists.

::

    the run is                                     attach
    in a journal on this machine                   joins it, and asks nobody
    on the server, finished or not                 joins it
    unknown, deleted                               raises; missing="ignore": a run that logs nowhere
    unknown here, the server away                  the same; a uuid with both slugs is joined, and arrives later
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

from steplog.errors import ConfigurationError, InvalidAPIKeyError, RunNotFoundError
from steplog.identity import RunOrg, RunProject, RunStatus
from steplog.lifecycle import messages
from steplog.lifecycle.continuing import open_here
from steplog.lifecycle.described import described
from steplog.lifecycle.disabled import MissingRun
from steplog.lifecycle.finding import Found, find
from steplog.lifecycle.joining import join
from steplog.lifecycle.process import current
from steplog.lifecycle.provenance import Returning
from steplog.run import Run

if TYPE_CHECKING:
    from steplog.client import TellurioClient

__all__ = ["attach"]


def attach(
    run: str | UUID | None = None,
    *,
    uuid: str | UUID | None = None,
    namespace_slug: str | None = None,
    project_slug: str | None = None,
    owner: bool = False,
    missing: str = "raise",
    client: TellurioClient | None = None,
) -> Run:
    """Join a run from another process or host; with ``owner`` this process decides its status.

    What this machine has a journal of is joined without a server. Else the server is asked, for ten seconds at most.

    Args:
        run: its uuid, id or name, or the beginning of one of these, of four characters at least; with
            ``[NAMESPACE/]PROJECT/`` before it or not; or the address of its page.
        uuid: the same, as a keyword.
        namespace_slug: where it is; None: in the setting ``namespace``, else with the key's own user.
        project_slug: where it is; None: in any project of the namespace.
        owner: resume the run; one that is open in this process, and decided here, is returned.
        missing: for a run that nobody knows, or that cannot be looked for, "raise", or "ignore": return a run that logs
            nowhere, counts that in ``dropped`` ("no run"), and says so once.
        client: None: that of the run's server, else the default client.

    Raises:
        RunNotFoundError: neither a journal here nor the server has such a run.
        ValueError, TypeError: the text may mean several runs; it is none, or is given twice.
        ServerUnavailableError, ConfigurationError: no journal here has it, and there is no answer, or no server to ask.
        InvalidAPIKeyError: the key is wrong.
    """
    text = _text(run, uuid, missing)
    try:
        found = find(text, namespace_slug, project_slug, client)
    except (RunNotFoundError, ConfigurationError, InvalidAPIKeyError, OSError) as error:  # ServerUnavailableError, too
        return _missing(text, missing, error)
    if found.unseen:
        messages.say(current().settings.quiet, logging.WARNING, f"run {text} is joined unseen: {found.unseen}")
    if found.by_beginning:
        words = f"{text!r} is run {found.names.name} ({found.names.uuid})"
        messages.say(current().settings.quiet, logging.INFO, words)
    opened, returning = open_here(found.names.uuid) if owner else None, Returning()
    return opened if isinstance(opened, Run) else _joined(found, client or found.client, owner, returning.returned)


def _text(run: object, uuid: object, missing: str) -> str:
    if (run is None) == (uuid is None):
        raise TypeError("attach() needs one run: attach(uuid), attach(id) or attach(name)")
    if missing not in ("raise", "ignore"):
        raise ValueError(f'missing is "raise" or "ignore", not {missing!r}')
    text = run if uuid is None else uuid
    if not isinstance(text, (str, UUID)):
        raise TypeError(f"a run is joined by its uuid, id or name, a text, not {type(text).__name__}")
    if not str(text).strip():
        raise ValueError("attach() needs the uuid, id or name of a run, not an empty text")
    return str(text)


def _missing(text: str, missing: str, error: Exception) -> Run:
    if missing == "raise":
        raise error
    settings = current().settings
    messages.say(settings.quiet, logging.WARNING, f"run {text} is not joined, and what it logs is dropped: {error}")
    run = Run(text, None, None, RunStatus.RUNNING)
    run._opened_as(MissingRun(settings))
    return run


def _joined(found: Found, client: TellurioClient | None, owner: bool, returned: threading.Event) -> Run:
    names, told = found.names, found.told
    name = names.name or None
    organization, project = RunOrg(names.namespace), RunProject("", names.project, names.project)
    status = None if found.manifest is None else found.manifest.status
    run = Run(names.uuid, name, None, status or RunStatus.RUNNING, organization=organization, project=project)
    if told is not None:
        with suppress(ValueError, KeyError, TypeError, AttributeError):  # else it goes without what it was told
            run = described(told, names.namespace)
    place = names.uuid, names.namespace, names.project, name
    run._told = told
    opened = join(*place, client, found=found.manifest, owner=owner, key=names.id)
    run._opened_as(opened)
    if owner:
        if opened.decides:
            run.status = RunStatus.RUNNING
        if opened.transport is None:
            opened.say_kept("; to send it, type: steplog sync", resumed=True)
        else:
            opened.say_began(told, resumed=True)
        if opened.settings.provenance:
            opened.collect_provenance(returned)
    return run
