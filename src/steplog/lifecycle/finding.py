"""Finds the run that a text means (``naming``): in the journals of this host, then on the server.

A uuid, id or name that a journal here has is enough, and nobody is asked. A beginning is compared with the server's
runs, too, where that answers. What is found nowhere is looked for in the server's trash, and compared with what there
is, for the message.

The server is that of the address, if the text is one and there is a key for it here; else the default one: the address
of a server on this machine may have changed.

The server is asked for a uuid in each project by one GET, and for its runs in pages of ``_PAGE_RUNS``, for ``_LOOK_S``
in all; one of this machine shows within ``_LOCAL_ANSWER_S`` that it does not hang. Without a project, it is looked in
those of the namespace.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from steplog.address import canonical_url
from steplog.delivery.verdicts import is_proxys_404
from steplog.delivery.wire import LIST_BYTES_MAX, api_path
from steplog.errors import ConfigurationError, FormatError, RunNotFoundError, ServerUnavailableError, SteplogError
from steplog.identity import slug_of
from steplog.journal import manifest as manifests
from steplog.journal.manifest import Manifest
from steplog.lifecycle.process import current
from steplog.naming import Choice, Named, choose, close_runs, did_you_mean, is_begun_as, listed, readings
from steplog.printable import printable
from steplog.time_limit import within

if TYPE_CHECKING:
    from steplog.client import TellurioClient
    from steplog.network.response import Response

__all__ = ["Found", "find"]

_LOOK_S = 10.0
_LOCAL_ANSWER_S = 3.0
_PAGE_RUNS = 200
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Found(NamedTuple):
    """A run: its ``manifest`` on this host, or what the server has ``told``; else why it is taken ``unseen``."""

    names: Named
    manifest: Manifest | None = None
    told: dict[str, Any] | None = None
    client: TellurioClient | None = None
    by_beginning: bool = False
    unseen: str = ""


def find(
    text: str,
    namespace: str | None,
    project: str | None,
    client: TellurioClient | None,
    *,
    to_read: bool = False,
) -> Found:
    """The one run that a text means; ``namespace`` and ``project`` narrow the search.

    A uuid with both is taken unseen where the server does not answer; not ``to_read``, for which runs of other hosts on
    this disk count. Raises RunNotFoundError; ValueError if it means several; ServerUnavailableError, ConfigurationError
    if the server cannot be asked; and what a client raises that is refused.
    """
    known = list(_here(of_others=to_read))
    here = [found for found in known if _is_in(found.names, namespace, project) and _is_of(found, text, client)]
    choice = choose(text, here, _names)
    if not choice.runs:  # as the process that made it calls it until a server has it
        choice = Choice(tuple(found for found in here if found.manifest and is_begun_as(text, found.manifest.local_id)))
    looked = None
    if not choice.runs or choice.by_beginning:
        try:
            looked = _look_on_server(text, namespace, project, client, here)
            choice = looked.choice
        except (ServerUnavailableError, ConfigurationError) as error:
            if not choice.runs:
                return _unseen(text, None if to_read else namespace, project, client, error, known)
    if not choice.runs and looked is not None:
        hint = looked.hint or _hint(text, [*known, *looked.there]) or "; type: steplog ls"
        words = f"no run {text!r}: neither a journal on this machine nor {looked.where} has it"
        raise RunNotFoundError(f"{words}{printable(hint)}")
    if len(choice.runs) > 1:
        candidates = printable(listed(_names(found) for found in choice.runs))
        raise ValueError(f"{text!r} may mean {len(choice.runs)} runs: {candidates}; give the uuid, or the project")
    return choice.runs[0]._replace(by_beginning=choice.by_beginning)


def _hint(text: str, runs: Iterable[Found]) -> str:
    return "" if _UUID.fullmatch(text) else did_you_mean(close_runs(text, map(_names, runs)))


def _names(found: Found) -> Named:
    return found.names


def _is_in(names: Named, namespace: str | None, project: str | None) -> bool:
    pairs = (namespace, names.namespace), (project, names.project)
    return all(wanted is None or not slug or slug in (wanted, slug_of(wanted)) for wanted, slug in pairs)


def _is_of(found: Found, text: str, client: TellurioClient | None) -> bool:
    """Whether it may be a run of the server of ``client``, if that is given; a uuid is of one server alone."""
    url = found.manifest.base_url if found.manifest is not None else ""
    return client is None or url in ("", client.settings.url) or text.lower() == found.names.uuid


def _here(*, of_others: bool) -> Iterator[Found]:
    """The runs that have a journal on this host; a damaged one is not among them.

    ``of_others``: also those of other hosts on this disk that no server has.
    """
    process = current()
    process.find_memory()
    for paths in (*process.roots.runs(), *(process.roots.of_other_hosts() if of_others else ())):
        with suppress(FormatError):
            manifest = manifests.load(paths.manifest())
            if manifest is not None and not (manifest.run and paths.other_host):
                uuid = manifest.run or manifest.local_id
                yield Found(Named(uuid, manifest.name, manifest.key, manifest.namespace, manifest.project), manifest)


def _unseen(
    text: str,
    namespace: str | None,
    project: str | None,
    client: TellurioClient | None,
    error: SteplogError,
    here: list[Found],
) -> Found:
    """The run that nobody could be asked about, if all is given that it is delivered by; else raise."""
    hint = printable(_hint(text, here)).removeprefix("; ")
    said = f"{text!r} ({hint})" if hint else repr(text)
    words = f"no journal on this machine knows the run {said}, and the server cannot be asked: {error}"
    if isinstance(error, ConfigurationError):
        raise ConfigurationError(words) from None
    if namespace is None or project is None or not _UUID.fullmatch(text):
        raise ServerUnavailableError(words) from None
    return Found(Named(text.lower(), "", "", slug_of(namespace), slug_of(project)), client=client, unseen=words)


class _Looked(NamedTuple):
    """The choice among the runs here and on the server; where, in words; the server's runs; what became of it there."""

    choice: Choice[Found]
    where: str
    there: Sequence[Found] = ()
    hint: str = ""


def _look_on_server(
    text: str, namespace: str | None, project: str | None, client: TellurioClient | None, here: list[Found]
) -> _Looked:
    from steplog.client import client_for, get_default_client

    elsewhere = _server_in(text) if client is None else None
    if elsewhere is not None and (its := client_for(current().settings, elsewhere)) is not None:
        client, elsewhere = its, None
    client = client or get_default_client()
    with within(_LOOK_S):
        with nullcontext() if client.local is None else within(_LOCAL_ANSWER_S):
            user = client.login().username
        server = _Server(client)
        own = slug_of(namespace or client.settings.namespace or user)
        places = server.places(text, own, project, elsewhere=namespace is None)
        where = printable(f"{client.base_url} ({_in_words(places)})")
        if _UUID.fullmatch(text):
            for place in places:
                found = server.run(*place, text)
                if found is not None:
                    return _Looked(Choice((found,)), where)
        there = [found for place in places for found in server.runs(*place)]
        choice = choose(text, [*here, *there], _names)
        if not choice.runs:  # as the process that made it called it before
            choice = Choice(tuple(found for found in there if found.told and is_begun_as(text, _made_by(found.told))))
        if choice.runs:
            return _Looked(choice, where, there)
        if elsewhere is not None:
            hint = f"; there is no API key for {elsewhere} here, type: steplog login --url {elsewhere}"
            return _Looked(choice, where, there, hint)
        with suppress(SteplogError, OSError):
            trashed = choose(text, (found for place in places for found in server.trash(*place)), _names)
            if len(trashed.runs) == 1:
                which = shlex.quote(trashed.runs[0].names.name)
                return _Looked(choice, where, there, f"; it is in the trash there, type: steplog restore {which}")
    return _Looked(choice, where, there)


def _made_by(told: dict[str, Any]) -> str:
    return str(told.get("made_by") or "")


def _server_in(text: str) -> str | None:
    """The server of an address."""
    parts = urlsplit(text)
    with suppress(ValueError):
        return canonical_url(f"{parts.scheme}://{parts.netloc}") if parts.netloc else None
    return None


def _in_words(places: list[tuple[str, str]]) -> str:
    if len(places) > 3:
        return f"in {len(places)} projects"
    return f"in {', '.join('/'.join(place) for place in places)}" if places else "which has no project"


class _Server:
    """The runs of a server, as they are looked for. Raises ServerUnavailableError for what is no answer."""

    def __init__(self, client: TellurioClient) -> None:
        self._client = client

    def places(self, text: str, own: str, project: str | None, *, elsewhere: bool) -> list[tuple[str, str]]:
        """Namespace and project of where a run may be: ``project``, else what the text says, else those of ``own``.

        ``elsewhere``: another namespace that the text names counts.
        """
        if project is not None:
            return [(own, slug_of(project))]
        said = [
            (own if each.namespace is None else slug_of(each.namespace), slug_of(each.project))
            for each in readings(text)
            if each.project is not None and (elsewhere or each.namespace in (None, own))
        ]
        if "://" in text and said:
            return said
        told = self._list(api_path(own, "projects"), paged=False)
        if told is not None:  # which of its own there are is known now
            there = [(own, str(each.get("slug"))) for each in told]
            return [*there, *(place for place in said if place[0] != own)]
        configured = self._client.settings.project
        places = [*([(own, slug_of(configured))] if configured else []), *said]
        if not places:
            words = f"it does not list the projects of {own}; give project_slug"
            raise ServerUnavailableError(f"{self._client.base_url}: {words}")
        return list(dict.fromkeys(places))

    def run(self, namespace: str, project: str, uuid: str) -> Found | None:
        """The run of this uuid, from a server that gives one; None: it may be in the list."""
        response = self._get(api_path(namespace, "projects", project, "runs", uuid.lower()), route_may_miss=True)
        if response.status != 200:
            return None
        return self._found(namespace, project, _document(response))

    def trash(self, namespace: str, project: str) -> Iterator[Found]:
        """The deleted runs of a project; a server without a trash gives those that it has."""
        path = f"{api_path(namespace, 'projects', project, 'runs')}?trash=1"
        for told in self._list(path, paged=True) or ():
            if told.get("deleted"):
                yield self._found(namespace, project, told)

    def runs(self, namespace: str, project: str) -> Iterator[Found]:
        """All runs of a project, a page at a time; a server that knows no pages gives all at once."""
        seen: set[str] = set()
        while True:
            path = f"{api_path(namespace, 'projects', project, 'runs')}?limit={_PAGE_RUNS}&after={len(seen)}"
            page = self._list(path, paged=True)
            new = [told for told in page or [] if str(told.get("uuid")) not in seen]
            for told in new:
                seen.add(str(told.get("uuid")))
                yield self._found(namespace, project, told)
            if not new or len(page or []) != _PAGE_RUNS:
                return

    def _found(self, namespace: str, project: str, told: dict[str, Any]) -> Found:
        names = Named(str(told.get("uuid")), str(told.get("name") or ""), str(told.get("id") or ""), namespace, project)
        return Found(names, told=told, client=self._client)

    def _list(self, path: str, *, paged: bool) -> list[dict[str, Any]] | None:
        """The objects of a list; None where there is none. A server may have no list of projects."""
        response = self._get(path, route_may_miss=not paged)
        if response.status != 200:
            return None
        told = _decoded(response)
        if not isinstance(told, list) or not all(isinstance(each, dict) for each in told):
            raise _no_answer(response)
        return told

    def _get(self, path: str, *, route_may_miss: bool) -> Response:
        """The answer: 200, or one that says that there is nothing for this key; not every server has each route."""
        response = self._client.send("GET", path, answer_bytes_max=LIST_BYTES_MAX)
        strange = is_proxys_404(response.status, response.body) and not route_may_miss
        if response.status not in (200, 403, 404, 405, 410) or strange:
            raise _no_answer(response)
        if not response.whole:
            raise ServerUnavailableError(f"{response.url}: the answer is longer than {LIST_BYTES_MAX // 1024**2} MiB")
        return response


def _decoded(response: Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        raise _no_answer(response) from None


def _document(response: Response) -> dict[str, Any]:
    told = _decoded(response)
    if not isinstance(told, dict) or not told.get("uuid"):
        raise _no_answer(response)
    return told


def _no_answer(response: Response) -> ServerUnavailableError:
    return ServerUnavailableError(f"{response.url}: {response.status}, which is no answer to what was asked")
