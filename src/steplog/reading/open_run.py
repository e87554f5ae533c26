"""``open``: a run to read, wherever it is.

::

    the run                                        is read from
    a server has, with histories as columns        its series/ and history/ (``server_source``)
    another server has                             the list of its metrics (``stock_source``)
    no server has yet                              its journals on this machine (``journal_source``), and from its
                                                   server once it was sent
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from steplog.delivery.wire import LIST_BYTES_MAX, api_path, read
from steplog.errors import ConfigurationError, RunNotFoundError, ServerUnavailableError
from steplog.lifecycle import messages
from steplog.lifecycle.finding import Found, find
from steplog.lifecycle.process import current
from steplog.naming import Named, listed
from steplog.printable import printable
from steplog.reading.journal_source import JournalSource
from steplog.reading.named_source import NamedSource, left_here
from steplog.reading.points import Selection, SeriesPoints
from steplog.reading.read_only_run import Place, ReadOnlyRun
from steplog.reading.run_files import files_of
from steplog.reading.server_source import HISTORY_FEATURE, ServerSource
from steplog.reading.source import RunSource
from steplog.reading.stock_source import StockSource
from steplog.run import Run

if TYPE_CHECKING:
    from steplog.client import TellurioClient

__all__ = ["open", "open_there"]

_T = TypeVar("_T")


def open(run: str | UUID | Run, *, client: TellurioClient | None = None) -> ReadOnlyRun:  # noqa: A001 - steplog.open
    """Open a run to read it: its fields, config, summary, and every point of its metrics.

    A run that is on a server is read there, as it is now: what has not been delivered is not in it. One that no server
    has yet is read from its journal on this machine, and from its server once it was sent.

    Args:
        run: its uuid, id or name, or the beginning of one of these, of four characters at least; with
            ``[NAMESPACE/]PROJECT/`` before it or not; the address of its page; or a ``Run``.
        client: None: that of the run's server, else the default client.

    Raises:
        RunNotFoundError: neither a journal here nor the server has such a run.
        ValueError, TypeError: the text may mean several runs; it is none.
        ServerUnavailableError, ConfigurationError: there is no answer, or no server to ask, or no key for it.
        InvalidAPIKeyError: the key is wrong.
    """
    from steplog.given_client import as_client

    given = None if client is None else as_client(client)
    text, namespace, project = _named(run)
    found = find(text, namespace, project, given, to_read=True)
    if found.by_beginning:
        words = f"{text!r} is run {found.names.name} ({found.names.uuid})"
        messages.say(current().settings.quiet, logging.INFO, words)
    return ReadOnlyRun(_Looking(found, given).place)


def open_there(names: Named, client: TellurioClient) -> ReadOnlyRun:
    """The run of that uuid, which the client's server is known to have: it is not looked for. Raises as ``open``."""
    return ReadOnlyRun(_Looking(Found(names), client).place)


class _Looking:
    """Where a run is, that was ``found``, again and again: of this run, whichever else is called so by then."""

    def __init__(self, found: Found, client: TellurioClient | None) -> None:
        self._found = found
        self._client = client
        self._is_new = True

    def place(self) -> Place:
        """Where it is now."""
        if not self._is_new:
            self._found = self._look()
        self._is_new = False
        place = _place(self._found, self._client)
        return place if place.base_url else place._replace(source=_KeptSource(place.source, self.place))

    def _look(self) -> Found:
        names, manifest = self._found.names, self._found.manifest
        if manifest is None or manifest.run:
            return self._found._replace(told=None)
        where = names.namespace or None, names.project or None, self._client
        try:
            return find(manifest.local_id, *where, to_read=True)
        except RunNotFoundError as error:  # it was sent, and its server knows it by its id, or does not say
            if names.id:
                return find(names.id, *where, to_read=True)
            words = f"the run {listed([names])} is not on this machine any more; if it was sent, open it by its name"
            raise RunNotFoundError(f"{printable(words)}: {error}") from None


class _KeptSource:
    """A run that is kept on this machine, and on its server once it was sent; see ``RunSource``."""

    def __init__(self, source: RunSource, look: Callable[[], Place]) -> None:
        self._source = source
        self._look = look
        self._is_here = True

    def document(self) -> dict[str, Any]:
        return self._asked(lambda source: source.document())

    def config(self) -> dict[str, Any]:
        return self._asked(lambda source: source.config())

    def series(self) -> list[dict[str, Any]]:
        return self._asked(lambda source: source.series())

    def points(self, selection: Selection) -> Iterator[SeriesPoints]:
        def begin(source: RunSource) -> tuple[list[SeriesPoints], Iterator[SeriesPoints]]:
            points = source.points(selection)
            return list(islice(points, 1)), points

        first, rest = self._asked(begin)
        yield from chain(first, rest)

    def _asked(self, ask: Callable[[RunSource], _T]) -> _T:
        try:
            return ask(self._source)
        except (RunNotFoundError, ServerUnavailableError):
            if not self._is_here:
                raise
        place = self._look()
        self._source, self._is_here = place.source, not place.base_url
        return ask(self._source)


def _named(run: object) -> tuple[str, str | None, str | None]:
    """The text that means it, and the slugs that narrow the search."""
    if isinstance(run, Run):
        if not run.uuid:
            raise ValueError("a Run without a uuid cannot be read")
        if run.stats().append == "disabled":
            raise RunNotFoundError(f"the run {run.name or run.uuid} logs nowhere, so there is nothing to read")
        organization, project = run.organization, run.project
        return run.uuid, organization.slug if organization else None, project.slug if project else None
    if isinstance(run, ReadOnlyRun):
        return run.uuid, run.namespace or None, run.project or None
    if not isinstance(run, (str, UUID)):
        raise TypeError(f"a run is opened by its uuid, id or name, a text, or by a Run, not {type(run).__name__}")
    if not str(run).strip():
        raise ValueError("open() needs the uuid, id or name of a run, not an empty text")
    return str(run), None, None


def _place(found: Found, client: TellurioClient | None) -> Place:
    manifest = found.manifest
    if manifest is not None and not manifest.run:
        source = NamedSource(JournalSource(manifest.local_id), found.names, None)
        return Place(found.names, source, "", partial(files_of, found.names, None))
    client = client or found.client or _client_of(found)
    files = partial(files_of, found.names, client)
    place = client, found.names.namespace, found.names.project, found.names.uuid
    stock = NamedSource(StockSource(*place), found.names, client)
    if client.replaced("GET") is not None:
        return Place(found.names, stock, client.base_url, files, stock.document())
    told = found.told if found.told is not None and "features" in found.told else None
    if told is None:
        with stock.named():
            response = client.send("GET", _path(found.names), answer_bytes_max=LIST_BYTES_MAX)
        told = read(response.body, dict[str, Any]) if response.status == 200 else None
    if told is not None and HISTORY_FEATURE in (told.get("features") or ()):
        source = NamedSource(ServerSource(*place), found.names, client)
        return Place(found.names, source, client.base_url, files, told)
    is_told = told is not None and told.get("uuid") == found.names.uuid
    return Place(found.names, stock, client.base_url, files, told if is_told else stock.document())


def _client_of(found: Found) -> TellurioClient:
    """Of the server that a run on this machine was sent to; what was begun offline names none. Raises as ``open``."""
    from steplog.client import client_for, get_default_client, later_client

    url, settings = "" if found.manifest is None else found.manifest.base_url, current().settings
    if not url:
        return get_default_client()
    client = client_for(settings, url) or later_client(settings, url)
    if client is None:
        words = f"the run {listed([found.names])} is on {url}, for which there is no API key here"
        raise ConfigurationError(printable(f"{words}; type: steplog login --url {url}{left_here(found.names)}"))
    return client


def _path(names: Named) -> str:
    return api_path(names.namespace, "projects", names.project, "runs", names.uuid)
