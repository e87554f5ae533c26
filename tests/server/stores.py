"""What tests fill a store with, and read from it, through the interface alone."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from server.batches import shown
from steplog.journal.range import Range, encode
from steplog.server.records.batch import from_range
from steplog.server.store import Store
from steplog.server.store_types import BatchResult, Creation, ProjectRow, RunRow, UserRow


def ann(store: Store) -> UserRow:
    """A user."""
    return store.add_user("ann", "ann@example.org").result()


def new_project(store: Store, slug: str = "mnist") -> ProjectRow:
    """A project of the namespace "team"."""
    return store.add_project(store.put_namespace("team").result(), slug, slug, "TEAM").result()


def new_run(store: Store, project: ProjectRow | None = None, asked: Creation | None = None) -> RunRow:
    """A run of ann's, in "mnist" if nothing else is said."""
    where = project or store.project("team", "mnist") or new_project(store)
    return store.create_run(where, ann(store), asked or Creation()).result()[0]


def add(store: Store, run: RunRow, records: Range, generation: int = 1) -> BatchResult:
    """Add a range as a request would bring it."""
    return store.add_batch(run, from_range(records, encode(records)), generation).result()


def listed(store: Store, run: RunRow) -> list[dict[str, Any]]:
    """Every point of a run, in order of arrival, as ``batches.held`` has it."""
    metrics = store.metrics(run, 0, store.point_count(run))
    values = [bytes(m.value) if isinstance(m.value, msgspec.Raw) else shown(m.value) for m in metrics]
    return [{"name": m.name, "value": v, "step": m.step} for m, v in zip(metrics, values, strict=True)]


def says(value: Any, name: str = "run") -> tuple[str, bytes]:
    """A record about the run, without a step, as the client logs it."""
    return f"steplog/{name}", json.dumps(value).encode()


def now(store: Store, run: RunRow) -> RunRow:
    """The run as it is."""
    found = store.run("team", run.project_slug, run.uuid)
    assert found is not None
    return found


def config(store: Store, run: RunRow) -> dict[str, Any]:
    """Its config."""
    return {key: json.loads(bytes(value)) for key, value in store.configs([run])[run.id].values.items()}
