"""What a format's writer has written its reader reads: every point, and what the format keeps of the run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from formats.imports import records
from formats.points import BEGAN_NS, INFO, VALUES, cut, stretch, written
from steplog.formats import csv_file, csv_reader, jsonl_file, jsonl_reader, parquet_file, parquet_reader
from steplog.formats.imported import ImportedRun
from steplog.formats.run_info import RunInfo

OTHER = RunInfo(id="second", name="é", status="FAILED")
LABELS = {"first": "a,b", "second": "é"}
MANY = [step / 7 for step in range(20_000)]
FORMATS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Any, bool]] = {
    "csv": (csv_file.Writer, partial(csv_file.Writer, labels=LABELS), csv_reader, False),
    "jsonl": (jsonl_file.Writer, jsonl_file.Writer, jsonl_reader, True),
    "parquet": (parquet_file.Writer, partial(parquet_file.Writer, labels=LABELS), parquet_reader, True),
}


@pytest.fixture(params=FORMATS)
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'steplog[parquet]'")
    return str(request.param)


def read(kind: str, folder: Path, content: bytes) -> list[ImportedRun]:
    path = folder / f"a.{kind}"
    path.write_bytes(content)
    reader = FORMATS[kind][2]
    assert reader.recognizes(path)
    return list(reader.runs(path))


def plain(run: ImportedRun) -> list[tuple[Any, ...]]:
    """With JSON texts as what they say."""
    return [(*row[:3], msgspec.json.decode(row[3]) if isinstance(row[3], bytes) else row[3]) for row in records(run)]


def points(name: str, values: list[Any]) -> list[tuple[Any, ...]]:
    return [(name, step, BEGAN_NS + step, value) for step, value in enumerate(values)]


def test_every_point_comes_back(tmp_path: Path, kind: str):
    runs = [(INFO, [*cut("m", VALUES, [3, 9]), stretch("many", MANY), stretch("n/é,1", [1, 2])])]
    (run,) = read(kind, tmp_path, written(FORMATS[kind][0], *runs))
    assert repr(plain(run)) == repr(points("m", VALUES) + points("many", MANY) + points("n/é,1", [1, 2]))
    if FORMATS[kind][3]:
        assert (run.info, run.is_anonymous) == (INFO, False)
    else:
        assert (run.info.name, run.is_anonymous) == ("a", True)


def test_several_runs_in_a_file_come_back_apart(tmp_path: Path, kind: str):
    runs = [(INFO, [stretch("m", MANY), stretch("n", VALUES)]), (OTHER, [stretch("m", [0.5])])]
    one, two = read(kind, tmp_path, written(FORMATS[kind][1], *runs))
    assert repr(plain(one)) == repr(points("m", MANY) + points("n", VALUES))
    assert repr(plain(two)) == repr(points("m", [0.5]))
    assert plain(one) != []
    if FORMATS[kind][3]:
        assert [one.info, two.info] == [INFO, OTHER]
    else:
        assert [one.info.name, two.info.name] == list(LABELS.values())
