"""Files of any content: a reader gives records or says what is wrong, and never another error."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from formats.points import INFO, VALUES, stretch, written
from formats.test_round_trips import FORMATS
from steplog import FormatError
from steplog.transfer.planes import Encoder

TEXTS = st.lists(
    st.sampled_from(
        ["name", "step", "time", "value", "run", ",", ";", "\n", "\r\n", '"', "1", "nan", "1e999", "-", "_"]
    )
    | st.sampled_from(
        ["{", "}", "[", "]", ":", '{"run":{"id":"a"}}\n', "\ufeff", "\ue000 the end \ue000", "\x00", "é"]
    ),
    max_size=40,
).map("".join)


def consume(kind: str, path: Path) -> None:
    """Read and encode everything."""
    with contextlib.suppress(FormatError):
        for run in FORMATS[kind][2].runs(path):
            for stream in run.streams:
                encoder = Encoder("writer")
                for batch in stream.read():
                    encoder.encode(0, batch)
            run.remarks()


def samples(kind: str) -> list[bytes]:
    """An export, and files of others."""
    export = written(FORMATS[kind][0], (INFO, [stretch("m", VALUES), stretch("n", [0.5, 1.5])]))
    others = {
        "csv": [b"step,loss,acc\n1,2,3\n2,nan,\n" * 2, b"name,value\nloss,1\nacc,x\n"],
        "jsonl": [b'{"_step":1,"loss":0.5,"_timestamp":17.5}\n{"a":[1]}\n', b'{"name":"a","value":1}\n' * 3],
    }
    return [export, *others.get(kind, [])]


def damage(content: bytes, changes: list[tuple[str, int, int]]) -> bytes:
    """With bytes changed, cut out, or copied to elsewhere."""
    found = bytearray(content)
    for how, place, amount in changes:
        at = place % (len(found) + 1)
        if how == "change":
            found[at : at + 1] = bytes([amount])
        elif how == "cut":
            del found[at : at + amount]
        else:
            found[at:at] = found[(place * 7) % (len(found) + 1) :][: amount % 20]
    return bytes(found)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_any_text_is_read_or_refused(tmp_path: Path, kind: str):
    path = tmp_path / f"a.{kind}"

    @settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
    @given(st.binary(max_size=60) | TEXTS.map(str.encode))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        consume(kind, path)

    check()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, kind: str):
    if kind == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'steplog[parquet]'")
    path = tmp_path / f"a.{kind}"

    hows = st.tuples(st.sampled_from(["change", "cut", "copy"]), st.integers(0, 10_000), st.integers(0, 255))

    @settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
    @given(st.sampled_from(samples(kind)), st.lists(hows, min_size=1, max_size=5))
    def check(content: bytes, changes: list[tuple[str, int, int]]) -> None:
        path.write_bytes(damage(content, changes))
        consume(kind, path)

    check()


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_whose_name_is_no_text_is_a_run(tmp_path: Path, kind: str):
    path = tmp_path / os.fsdecode(b"\xff.x")
    path.mkdir()
    (path / f"metrics.{kind}").write_text("loss\n1\n" if kind == "csv" else '{"loss":1}\n')
    (run,) = FORMATS[kind][2].runs(path)
    assert run.info.name == "\ufffd.x"
