"""Media in a run: what ``log`` took is the file on this machine, whatever the program does with it afterwards."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import steplog
from apart import apart
from media import samples
from polling import wait_until
from steplog.blobs.entries import FileEntry
from steplog.blobs.waiting_files import WaitingFiles
from steplog.journal.directories import RunPaths
from steplog.media_value import LOGGED_BYTES_MAX

numpy = pytest.importorskip("numpy")
PIL = pytest.importorskip("PIL.Image")


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("STEPLOG_MODE", "offline")
    return tmp_path / "spool"


def records() -> dict[str, Any]:
    return {record.name: record.value for record in steplog.read_journal() if not record.name.startswith("steplog/")}


def file_of(record: dict[str, Any], spool: Path) -> bytes:
    """The file that a record names, once it is on disk."""
    (directory,) = (path for path in spool.iterdir() if path.is_dir() and path.suffix)  # <run>.<host>
    waiting = WaitingFiles(RunPaths("", None, directory))

    def entry() -> FileEntry | None:
        return next((found for found in waiting.entries() if found.id == record["file"]), None)

    wait_until(entry)
    found = entry()
    assert found is not None
    return waiting.read(found.sha256, 0, found.size)


def noise(*shape: int) -> numpy.ndarray:
    return numpy.random.default_rng(0).integers(0, 256, shape, dtype=numpy.uint8)


@apart
def test_a_program_may_change_its_arrays_as_soon_as_log_returns(spool):
    picture, frames, samples_of_sound = noise(60, 80, 3), noise(4, 30, 40, 3), noise(800).astype(numpy.int16)
    before = picture.copy(), frames.copy(), samples_of_sound.copy()
    run = steplog.init("team", "mnist", "run")
    run.log("image", steplog.Image(picture), step=1)
    run.log("video", steplog.Video(frames), step=1)
    run.log("audio", steplog.Audio(samples_of_sound, 8000), step=1)
    for array in (picture, frames, samples_of_sound):
        array[:] = 0
    logged = records()
    with PIL.open(io.BytesIO(file_of(logged["image"], spool))) as image:
        assert (numpy.asarray(image) == before[0]).all()
    with PIL.open(io.BytesIO(file_of(logged["video"], spool))) as image:
        for number, frame in enumerate(before[1]):
            image.seek(number)
            assert (numpy.asarray(image.convert("RGB")) == frame).all()
    with wave.open(io.BytesIO(file_of(logged["audio"], spool))) as file:
        assert file.readframes(800) == before[2].tobytes()
    assert run.stats().coerced == 0
    run.finish(timeout=1)


@apart
def test_files_and_tables_and_lists_of_images_are_kept(spool, tmp_path):
    picture = samples.pillow_file("jpeg")
    (tmp_path / "a.jpg").write_bytes(picture)
    run = steplog.init("team", "mnist", "run")
    table = steplog.Table(["image", "text"], [[steplog.Image(noise(5, 6)), "x" * 70_000]])
    run.log({"file": steplog.Image(tmp_path / "a.jpg"), "table": table, "list": [steplog.Image(noise(7, 8))] * 2})
    (tmp_path / "a.jpg").unlink()
    logged = records()
    assert file_of(logged["file"], spool) == picture
    rows = json.loads(file_of(logged["table"], spool))["data"]
    for record, size in ((rows[0][0], (6, 5)), (logged["list"][0], (8, 7)), (logged["list"][1], (8, 7))):
        with PIL.open(io.BytesIO(file_of(record, spool))) as image:
            assert image.size == size
    assert run.stats().files == 5
    run.finish(timeout=1)


@apart
def test_what_is_too_large_raises_and_leaves_no_record_and_no_file(spool):
    run = steplog.init("team", "mnist", "run")
    large = numpy.zeros((LOGGED_BYTES_MAX, 2), bool)
    with pytest.raises(ValueError, match=r"run\.save"):
        run.log("image", steplog.Image(large))
    with pytest.raises(ValueError, match=r"run\.save"):
        run.log("images", [steplog.Image(noise(2, 2)), steplog.Image(large)])
    run.log("end", 1)
    assert records() == {"end": 1}
    assert run.stats().files_pending == 0
    run.finish(timeout=1)


@apart
def test_a_file_that_is_gone_when_it_is_logged_stops_no_training(spool, tmp_path):
    (tmp_path / "a.png").write_bytes(samples.pillow_file("png"))
    value = steplog.Image(tmp_path / "a.png", caption="gone")
    (tmp_path / "a.png").unlink()
    run = steplog.init("team", "mnist", "run")
    run.log("image", value)
    assert records()["image"] == "<steplog.Image 'gone'>"
    assert run.stats().coerced == 1
    run.finish(timeout=1)
