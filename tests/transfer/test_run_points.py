"""An export has a run as it was at its start, metric after metric, in whatever pieces a server gives it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.points import INFO
from steplog.errors import ServerUnavailableError
from steplog.formats.run_info import RunInfo
from steplog.transfer.run_points import info_of, points_of, snapshot
from transfer.sources import FakeSource

DOCUMENT = {
    "uuid": "u",
    "id": "first",
    "name": "the first",
    "project": {"uuid": "p", "display_name": "mnist", "slug": "mnist"},
    "status": "FAILED",
    "description": "d",
    "tags": ["b", "a"],
    "group": "g",
    "job_type": "train",
    "notes": "n",
    "started": "2026-01-01T00:00:00.000000Z",
    "ended": "2026-01-02T00:00:00.000000Z",
    "date_created": "2026-02-01T00:00:00.000000Z",
    "date_updated": "2026-02-01T00:00:00.000000Z",
    "seen": "2026-02-01T00:00:00.000000Z",
    "config": {"b": 1, "a": {"c": 0.5}},
    "provenance": {"host": "h"},
    "made_by": "m",
    "generation": 7,
    "user": {"username": "me"},
}


def read(source: FakeSource, **more: Any) -> list[tuple[str, list[Any]]]:
    """The metrics in the order in which they come, and their values; a metric that comes twice is there twice."""
    found: list[tuple[str, list[Any]]] = []
    steps: dict[str, list[int]] = {}
    for points in points_of(source, more.pop("counts", None) or snapshot(source).counts, **more):
        if not found or found[-1][0] != points.name:
            found.append((points.name, []))
        found[-1][1].extend(points.values)
        steps.setdefault(points.name, []).extend(points.steps)
    assert all(each == list(range(len(each))) for each in steps.values())
    return found


def test_a_run_is_told_without_what_differs_between_servers():
    info = info_of(DOCUMENT)
    assert list(info.config) == ["a", "b"]
    other = dict.fromkeys(("uuid", "made_by", "user", "date_created", "date_updated", "seen"), "other")
    assert info_of({**DOCUMENT, **other, "generation": 1}) == info
    assert info == RunInfo(
        id="first",
        name="the first",
        project="mnist",
        status="FAILED",
        description="d",
        tags=["b", "a"],
        group="g",
        job_type="train",
        notes="n",
        started="2026-01-01T00:00:00.000000Z",
        ended="2026-01-02T00:00:00.000000Z",
        config={"b": 1, "a": {"c": 0.5}},
        provenance={"host": "h"},
    )


def test_a_run_of_a_stock_server_has_its_uuid_and_its_date():
    told = {"uuid": "u", "name": "n", "status": "COMPLETED", "date_created": "2026-02-01T00:00:00Z", "description": ""}
    assert info_of(told) == RunInfo(id="u", name="n", started="2026-02-01T00:00:00Z")
    assert INFO.id != "u"


@given(
    late=st.dictionaries(st.sampled_from("abc"), st.integers(0, 30)),
    stretch_points=st.integers(1, 30),
    more=st.integers(0, 30),
)
def test_metrics_are_whole_and_as_of_the_start_however_they_come(late, stretch_points, more):
    source = FakeSource("r", {name: [float(at) for at in range(30)] for name in "abc"} | {"none": []})
    counts = snapshot(source).counts
    source.late, source.stretch_points = late, stretch_points
    for values in source.metrics.values():  # what arrives meanwhile
        values += [99.0] * more
    assert read(source, counts=counts) == [(name, [float(at) for at in range(30)]) for name in "abc"]


def test_metrics_of_these_names_alone_are_asked_for():
    source = FakeSource("r", {name: [0.5] for name in "abc"})
    assert read(source, names=("b", "missing")) == [("b", [0.5])]
    source.asked.clear()
    assert read(source, counts={"a": 1}, names=("missing",)) == []
    assert source.asked == []


def test_the_config_is_no_metric_and_other_names_of_steplog_are():
    names = ["loss", "steplog/config", "steplog/config/removed", "steplog/exception", "system/cpu"]
    found = snapshot(FakeSource("r", {name: [1, 2] for name in names}, config_omitted=3))
    assert (list(found.counts), found.total) == (["loss", "steplog/exception", "system/cpu"], 6)
    assert found.omitted == 3


def test_points_that_are_gone_meanwhile_are_an_error():
    source = FakeSource("r", {"a": [0.5] * 10})
    counts = snapshot(source).counts
    source.metrics["a"].clear()
    with pytest.raises(ServerUnavailableError, match="10 points of 'a'"):
        read(source, counts=counts)
