"""What a run already has that goes on here: what its server says, and what the journals here hold beyond that.

The server is asked once, for ``ASK_TIMEOUT_S`` at most; without an answer, and offline, the journals here are all there
is. A stock server keeps a config as metrics and nothing of the other fields. ``log`` never comes here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import msgspec

from steplog.config import CONFIG_NAME, REMOVED_NAME
from steplog.delivery import wire
from steplog.delivery.exchange import Answer, Request, Transport
from steplog.errors import SteplogError
from steplog.journal.reserved import RUN_NAME
from steplog.lifecycle.journal_view import is_living, journal_of
from steplog.lifecycle.local_records import ranges_of
from steplog.lifecycle.open_run import OpenRun
from steplog.lifecycle.process import current
from steplog.lifecycle.run_fields import FIELDS

__all__ = ["ASK_TIMEOUT_S", "RunState", "get", "known"]

ASK_TIMEOUT_S = 2.0
_EDITS = frozenset((RUN_NAME, CONFIG_NAME, REMOVED_NAME))


@dataclass
class RunState:
    """The fields that were set, and the config."""

    fields: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)

    def apply(self, name: str, value: Any) -> None:
        """A record of an edit."""
        if name == REMOVED_NAME and isinstance(value, list):
            for key in value:
                self.config.pop(key, None)
        elif isinstance(value, dict):
            into = self.config if name == CONFIG_NAME else self.fields
            into.update(value)


class _Edit(NamedTuple):
    generation: int
    time_ns: int
    writer: str
    position: int
    name: str
    value: Any


def known(opened: OpenRun, told: dict[str, Any] | None = None) -> RunState:
    """What there is of a run; ``told``: its description, if the server has just given one."""
    answered, state = True, RunState()
    if told is None or "config" not in told:
        answered, told = _asked(opened)
    if isinstance(told, dict):
        state.fields = {name: told[name] for name in FIELDS if name in told}
        state.config = dict(told["config"]) if isinstance(told.get("config"), dict) else {}
    elif isinstance(told, list):
        for row in told:
            if isinstance(row, dict) and row.get("name") in _EDITS:
                state.apply(row["name"], row.get("value"))
    for edit in sorted(_edits_here(opened, waiting=answered)):
        state.apply(edit.name, edit.value)
    return state


def get(opened: OpenRun, *tail: str) -> Answer | None:
    """The answer to a GET of the run, or of what is below it; None: there is none in time, or nobody to ask."""
    manifest, transport = opened.manifest, _transport(opened)
    if transport is None or not manifest.run:
        return None
    path = wire.api_path(manifest.namespace, "projects", manifest.project, "runs", manifest.run, *tail)
    with contextlib.suppress(SteplogError, OSError):
        return transport.exchange(Request("GET", path, answer_bytes_max=wire.LIST_BYTES_MAX), ASK_TIMEOUT_S)
    return None


def _transport(opened: OpenRun) -> Transport | None:
    if opened.transport is not None:
        return opened.transport
    with contextlib.suppress(SteplogError, OSError, ImportError):
        return current().adopter.configured_transport(opened.manifest)
    return None


def _asked(opened: OpenRun) -> tuple[bool, Any]:
    """Whether the server has answered, and the description of the run, or a stock server's list of its metrics."""
    answer = get(opened)
    if answer is not None and answer.status in (404, 405):
        answer = get(opened, "metrics")
    if answer is None or answer.status != 200 or wire.is_too_long(answer.body):
        return False, None
    told = wire.read(answer.body, object)
    if isinstance(told, dict) and "batch" not in told:  # as a stock server describes it: the config is in its metrics
        answer = get(opened, "metrics")
        told = wire.read(answer.body, object) if answer is not None and answer.status == 200 else told
    return True, told


def _edits_here(opened: OpenRun, *, waiting: bool) -> Iterator[_Edit]:
    """The edits in the journals on this host; ``waiting``: that are not delivered."""
    paths, manifest = opened.paths, opened.manifest
    for writer in paths.writers():
        with contextlib.suppress(OSError):
            view = partial(journal_of, paths, writer, partial(is_living, paths, writer))
            journal = view()
            generation = manifest.generation_of(writer)
            number = 0 if generation is None else generation.number
            delivered, done = journal.cursor.delivered, journal.cursor.done
            for batch in ranges_of(journal, view, delivered if waiting else 0):
                for record in wire.records(batch) if not _EDITS.isdisjoint(batch.names.values()) else ():
                    beyond = record.position - delivered
                    is_new = beyond >= 0 and not done >> beyond & 1
                    if record.name in _EDITS and isinstance(record.value, bytes) and (is_new or not waiting):
                        value = msgspec.json.decode(record.value)
                        yield _Edit(number, record.time_ns, writer, record.position, record.name, value)
