"""What a format keeps of a run, by writing and reading one: the table in ``docs/files.md`` says the same."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from formats.points import BEGAN_NS, stretch
from steplog.formats import csv_file, csv_reader, jsonl_file, jsonl_reader, parquet_file
from steplog.formats.imported import ImportedRun
from steplog.formats.run_info import RunInfo
from steplog.formats.tfevents import runs as tfevents
from steplog.reading.wide import wide

PAGE = Path(__file__).parents[2] / "docs" / "files.md"
FORMATS = ("csv", "csv --wide", "jsonl", "parquet", "parquet --wide", "tfevents")
INFO = RunInfo(
    id="first",
    name="the first",
    project="My Project",
    status="FAILED",
    description="d",
    tags=["b", "a"],
    group="g",
    job_type="train",
    notes="n",
    started="2023-11-14T22:13:20.000000Z",
    ended="2023-11-14T23:00:00.000000Z",
    config={"lr": 0.1, "nested": {"a": [1, None]}},
    provenance={"host": "h"},
)
METRICS: dict[str, list[Any]] = {
    "train/loss": [0.1, 1e-5, 5e-324],
    "not finite": [math.nan, math.inf, -math.inf],
    "integers": [0, 1, -5],
    "large": [2**53 + 1, 2**62],
    "mixed": [1, 0.5, math.nan],
    "bools": [True, False],
    "texts": ["x", "é, \n", "1.5"],
    "called as a number": ["NaN", "Infinity"],
    "json": [{"a": [1, None]}, [], None],
    "steplog/exception": [{"type": "E"}],
}
REPEATED = stretch("repeated", [1.5, 2.5, 3.5])._replace(steps=[5, 5, 2])
EARLIER = stretch("earlier", [0.5], 100)
LATER = stretch("later", [0.5], 100)._replace(times=[BEGAN_NS + 10**9])
POINTS = [*(stretch(name, values) for name, values in METRICS.items()), REPEATED, EARLIER, LATER]
Found = dict[str, list[tuple[int | None, int, Any]]]


def write(kind: str, directory: Path) -> Path:
    """The run as a file of this format, or a directory."""
    name, _, is_wide = kind.partition(" ")
    path = directory / ("run" if name == "tfevents" else f"the first.{name}")
    if name == "tfevents":
        path.mkdir()
        finish(tfevents.Writer(path))
        return path
    with open(path, "wb") as file:
        if not is_wide:
            module = {"csv": csv_file, "jsonl": jsonl_file, "parquet": parquet_file}[name]
            finish(module.Writer(file))
            return path
        table = wide(POINTS)
        (batch,) = table.batches()
        columns = {column.name: column.kind for column in batch[2:]}
        names = list(columns)
        writer = csv_file.WideWriter(file, names) if name == "csv" else parquet_file.WideWriter(file, columns, names)
        writer.begin(INFO)
        writer.rows(batch)
        writer.close()
    return path


def finish(writer: Any) -> None:
    writer.begin(INFO)
    for points in POINTS:
        writer.points(points)
    writer.end()
    writer.close()


def read(kind: str, path: Path) -> tuple[RunInfo, Found]:
    """What an import makes of it."""
    runs: Callable[[Path], Iterator[ImportedRun]] = {"csv": csv_reader.runs, "jsonl": jsonl_reader.runs}.get(
        kind.partition(" ")[0], tfevents.runs
    )
    if kind.startswith("parquet"):
        from steplog.formats import parquet_reader

        runs = parquet_reader.runs
    (run,) = runs(path)
    found: Found = {}
    for stream in run.streams:
        for batch in stream.read():
            for name, step, time, value in zip(*batch, strict=True):
                plain = msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value
                found.setdefault(name, []).append((step, time, plain))
    return run.info, found


def values(found: Found, name: str) -> str:
    return repr([value for _, _, value in found.get(name, [])])


def steps(found: Found, name: str) -> list[int | None]:
    return [step for step, _, _ in found.get(name, [])]


def kept(info: RunInfo, found: Found) -> dict[str, bool]:
    """What has come back; the words are those of the table."""
    wanted: Found = {
        points.name: list(zip(points.steps, points.times or (), METRICS.get(points.name, []), strict=False))
        for points in POINTS
    }
    times = {name: [time for _, time, _ in found.get(name, [])] for name in METRICS}

    def has(*names: str) -> bool:
        return all(values(found, name) == repr(METRICS[name]) for name in names)

    return {
        "its id, by which a second import knows it": info.id == INFO.id,
        "name": info.name == INFO.name,
        "project, status, description, tags, group, job type, notes, provenance": all(
            getattr(info, field) == getattr(INFO, field)
            for field in ("project", "status", "description", "tags", "group", "job_type", "notes", "provenance")
        ),
        "start and end": (info.started, info.ended) == (INFO.started, INFO.ended),
        "config": info.config == INFO.config,
        "names of metrics": found.keys() == wanted.keys(),
        "steps": all(steps(found, name) == [*range(len(METRICS[name]))] for name in ("train/loss", "integers")),
        "several values at one step, and their order": steps(found, "repeated") == [5, 5, 2],
        "a time for each value": found["later"][0][1] - found["earlier"][0][1] > 10**8,
        "times to the microsecond": all(
            [time // 1000 for time in times[name]] == [time // 1000 for _, time, _ in wanted[name]] for name in METRICS
        ),
        "times to the nanosecond": all(times[name] == [time for _, time, _ in wanted[name]] for name in METRICS),
        "floats, to the bit": has("train/loss"),
        "NaN and infinities": has("not finite"),
        "integers, as such": has("integers"),
        "integers beyond 2⁵³": has("large"),
        "integers among floats": has("mixed"),
        "bools": has("bools"),
        "texts": has("texts"),
        'texts like "NaN"': has("called as a number"),
        "null, lists, objects": has("json", "steplog/exception"),
    }


@pytest.mark.parametrize("kind", FORMATS)
def test_the_page_says_what_a_format_keeps(tmp_path: Path, kind: str):
    if kind.startswith("parquet"):
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'steplog[parquet]'")
    found = {aspect: "yes" if there else "–" for aspect, there in kept(*read(kind, write(kind, tmp_path))).items()}
    assert table_of_the_page()[kind] == found


def table_of_the_page() -> dict[str, dict[str, str]]:
    """Of each format the cells, by aspect."""
    (part,) = re.findall(r"<!-- begin: kept -->\n(.*?)<!-- end -->", PAGE.read_text("utf-8"), re.DOTALL)
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines()]
    assert [name.strip("`") for name in head[1:]] == list(FORMATS)
    return {kind: {row[0]: row[at] for row in rows} for at, kind in enumerate(FORMATS, 1)}
