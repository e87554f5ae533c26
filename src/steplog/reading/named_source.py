"""A run's source whose errors say which run was meant, what there is of it elsewhere, and what to type.

::

    the source says              raised                   with
    there is no answer           ServerUnavailableError   how many of its values wait on this machine
    the run is gone              RunNotFoundError         the same; whether it is in the trash
    the key is wrong             InvalidAPIKeyError
    there is no such metric      MetricNotFoundError      the names that are most like it, else what there is
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from steplog.address import local_instance
from steplog.delivery.wire import LIST_BYTES_MAX, api_path, read
from steplog.errors import (
    FormatError,
    InvalidAPIKeyError,
    MetricNotFoundError,
    RunNotFoundError,
    ServerUnavailableError,
    SteplogError,
)
from steplog.journal import manifest as manifests
from steplog.lifecycle.journal_view import cursor_of, journal_of
from steplog.lifecycle.process import current
from steplog.naming import Named, close, did_you_mean, listed
from steplog.printable import printable
from steplog.reading.points import Selection, SeriesPoints
from steplog.reading.source import RunSource
from steplog.time_limit import within

if TYPE_CHECKING:
    from steplog.client import TellurioClient

__all__ = ["NamedSource", "left_here"]

_NAMES_LISTED_MAX = 8
_TRASH_S = 2.0


class NamedSource:
    """``source`` of the run of these names; ``client`` of its server, None: it is on none. See ``RunSource``."""

    def __init__(self, source: RunSource, names: Named, client: TellurioClient | None) -> None:
        self._source = source
        self._names = names
        self._client = client

    def document(self) -> dict[str, Any]:
        """See ``RunSource``."""
        with self.named():
            return self._source.document()

    def config(self) -> dict[str, Any]:
        """See ``RunSource``."""
        with self.named():
            return self._source.config()

    def series(self) -> list[dict[str, Any]]:
        """See ``RunSource``."""
        with self.named():
            return self._source.series()

    def points(self, selection: Selection) -> Iterator[SeriesPoints]:
        """See ``RunSource``; raises MetricNotFoundError for an unknown name."""
        with self.named():
            yield from self._source.points(selection)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Translate what is raised in the block."""
        try:
            yield
        except KeyError as error:
            raise MetricNotFoundError(self._unknown(str(error.args[0]))) from None
        except (ServerUnavailableError, RunNotFoundError, InvalidAPIKeyError) as error:
            if self._client is None:
                raise
            raise self._translated(error, self._client) from None

    def _translated(self, error: SteplogError, client: TellurioClient) -> SteplogError:
        run = printable(listed([self._names]))
        if isinstance(error, InvalidAPIKeyError):
            return InvalidAPIKeyError(f"the run {run}: {client.base_url} rejects the API key; type: steplog login")
        if isinstance(error, RunNotFoundError):
            words = f"{client.base_url} has no run {run} any more"
            if self._is_in_trash(client):
                words += f"; it is in the trash there, type: steplog restore {shlex.quote(self._names.name)}"
            return RunNotFoundError(words + left_here(self._names))
        why = str(error)
        if local_instance(client.base_url) is not None:  # which does not run: it has no address
            why = why.replace(client.base_url, "its server on this machine")
        return ServerUnavailableError(f"the run {run} cannot be read: {why}{left_here(self._names)}")

    def _is_in_trash(self, client: TellurioClient) -> bool:
        path = api_path(self._names.namespace, "projects", self._names.project, "runs")
        with suppress(SteplogError, OSError), within(_TRASH_S):
            answer = client.send("GET", f"{path}?trash=1&brief=1", answer_bytes_max=LIST_BYTES_MAX)
            told = read(answer.body, list[dict[str, Any]]) or []
            return any(each.get("uuid") == self._names.uuid and each.get("deleted") for each in told)
        return False

    def _unknown(self, name: str) -> str:
        names = [str(row["name"]) for row in self._source.series()]
        hint = did_you_mean(close(name, names))
        if not hint:
            shown = [each for each in names if not each.startswith("steplog/")]
            some, more = ", ".join(map(repr, shown[:_NAMES_LISTED_MAX])), len(shown) - _NAMES_LISTED_MAX
            hint = f"; it has {some or 'none'}{f' and {more:,} more' if more > 0 else ''}"
            if self._client is not None:
                hint += left_here(self._names)  # it may be among them
        return printable(f"the run {listed([self._names])} has no metric {name!r}{hint}")


def left_here(names: Named) -> str:
    """The end of a message: what of a run waits on this machine, and how to see it; "" if nothing does."""
    count = _waiting(names.uuid)
    if not count:
        return ""
    values, which = f"{count:,} value{'s' * (count != 1)}", shlex.quote(names.name or names.uuid)
    return f"; {values} of it wait{'s' * (count == 1)} on this machine, type: steplog export --here {which}"


def _waiting(uuid: str) -> int:
    """How many values of a run wait on this machine to be delivered."""
    process = current()
    process.find_memory()
    count = 0
    for paths in process.roots.runs():
        with suppress(FormatError, OSError):
            manifest = manifests.load(paths.manifest())
            if manifest is None or manifest.run != uuid:
                continue
            for writer in paths.writers():
                cursor = cursor_of(paths, writer)
                if cursor is not None:
                    journal = journal_of(paths, writer)
                    count += journal.values(max(cursor.delivered, cursor.begin), journal.written())
    return count
