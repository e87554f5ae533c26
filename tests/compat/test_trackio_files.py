"""trackio's files on steplog: images, videos, sounds, pages, saved files and artifacts."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy
import pytest

import steplog.compat.trackio as trackio
from apart import apart
from compat.files_kept import logged
from compat.offline import Offline
from steplog.compat.trackio.media import as_json
from steplog.compat.unsupported import unsupported

PIXELS = numpy.arange(4 * 5 * 3, dtype=numpy.uint8).reshape(4, 5, 3)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offline:
    return Offline(tmp_path, monkeypatch)


def test_media_are_files_with_their_captions(tmp_path):
    clip = tmp_path / "a.mp4"
    clip.write_bytes(b"0123")
    frames = numpy.zeros((6, 3, 4, 5), numpy.uint8)
    expected = {
        "image": trackio.Image(PIXELS, caption="c"),
        "video": trackio.Video(frames, caption="c", fps=8),
        "audio": trackio.Audio(numpy.zeros(8), caption="c", sample_rate=8000),
        "html": trackio.Html("<b>", caption="c"),
    }
    for kind, value in expected.items():
        record = logged(as_json(value)).record
        assert (record["_type"], record["caption"]) == (kind, "c")
    assert logged(as_json(trackio.Video(str(clip)))).file() == b"0123"
    batch = logged(as_json(trackio.Video(numpy.stack([frames] * 4)))).record
    assert (batch["width"], batch["height"], batch["frames"]) == (10, 8, 6)
    assert logged(as_json([trackio.Image(PIXELS)] * 2)).record[1]["width"] == 5


def test_floats_of_a_sound_are_scaled_to_their_peak_and_integers_to_16_bits():
    for given, expected in (
        (numpy.array([0.0, 0.25, -0.5]), [0, 16383, -32767]),
        (numpy.array([0, 1000], numpy.int16), [0, 1000]),
        (numpy.array([0, 128, 255], numpy.uint8), [-32768, 128, 32767]),
        (numpy.array([0, 65535], numpy.uint16), [-32768, 32767]),
        (numpy.array([-128, 127], numpy.int8), [-32768, 32512]),
    ):
        kept = logged(as_json(trackio.Audio(given, sample_rate=8000)))
        with wave.open(io.BytesIO(kept.file())) as file:
            assert numpy.frombuffer(file.readframes(9), "<i2").tolist() == expected


def test_a_figure_is_an_image_and_in_html_a_drawing():
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="needs matplotlib: pip install matplotlib")
    pyplot.switch_backend("Agg")
    figure = pyplot.figure()
    assert [logged(as_json(each)).record["_type"] for each in (figure, pyplot)] == ["image", "image"]
    assert logged(as_json(trackio.Html(figure))).file().startswith(b"<svg")
    pyplot.close("all")


@pytest.mark.parametrize(
    "make",
    [
        lambda: trackio.Image("missing.png"),
        lambda: trackio.Image(PIXELS.astype(float)),
        lambda: trackio.Image(5),
        lambda: trackio.Video("missing.mp4"),
        lambda: trackio.Video(numpy.zeros((1, 3, 2, 2))),
        lambda: trackio.Audio(numpy.zeros(3)),
        lambda: trackio.Html(5),
        lambda: trackio.Object3D(__file__),
    ],
)
def test_what_trackio_refuses_raises_when_it_is_made(make):
    with pytest.raises(ValueError, match=r".+"):
        make()


def test_a_medium_that_cannot_be_kept_is_counted_and_a_table_has_null():
    unsupported.forget()
    wrong = trackio.Video(numpy.zeros((3, 3), numpy.uint8))
    assert as_json(wrong) is None
    table = as_json(trackio.Table(columns=["n", "i", "ok"], data=[[1, wrong, trackio.Image(PIXELS)]]))
    row = logged(table).record["data"][0]
    assert (row[:2], row[2]["_type"]) == ([1, None], "image")
    assert unsupported.counts() == {"trackio.log() of trackio.Video, not readable": 2}


@apart
def test_a_row_keeps_what_can_be_kept(offline: Offline):
    trackio.init(project="p", name="a")
    trackio.log({"image": trackio.Image(PIXELS), "wrong": trackio.Video(numpy.zeros(3, numpy.uint8)), "loss": 1.0})
    trackio.finish()
    assert [value["_type"] for _, value in offline.points("a", "image")] == ["image"]
    assert offline.points("a", "loss") == [(0, 1.0)]
    assert offline.names("a") == ["compat/unsupported", "image", "loss"]


@apart
def test_saved_files_are_named_from_here_on(offline: Offline, tmp_path: Path):
    Path("ckpt").mkdir()
    Path("ckpt/a.pt").write_text("a")
    (tmp_path / "away.txt").write_text("b")
    run = trackio.init(project="p", name="a")
    assert trackio.save("ckpt/*.pt") == "ckpt/*.pt"
    trackio.save(tmp_path / "away.txt")
    assert {file.path: file.read() for file in run._run.files()} == {"ckpt/a.pt": b"a", "away.txt": b"b"}
    with pytest.raises(ValueError, match="No files found"):
        trackio.save("*.none")


@apart
def test_an_artifact_is_logged_used_and_downloaded(offline: Offline, tmp_path: Path):
    Path("model/deep").mkdir(parents=True)
    Path("model/weights.pt").write_text("w")
    Path("model/deep/config.json").write_text("{}")
    trackio.init(project="p", name="a")
    artifact = trackio.Artifact("net", "my model", metadata={"acc": 0.5})
    artifact.add_dir("model")
    artifact.add_file("model/weights.pt", name="best.pt")
    artifact.add_reference("s3://bucket/data", name="data")
    with pytest.raises(RuntimeError, match="not been logged"):
        artifact.wait()
    assert trackio.log_artifact(artifact, aliases=["best"]) is artifact
    with pytest.raises(RuntimeError, match="already been logged"):
        trackio.log_artifact(artifact)
    with pytest.raises(RuntimeError, match="already been logged"):
        artifact.add_file("model/weights.pt")
    used = trackio.use_artifact("net:best")
    assert used.metadata == {"acc": 0.5}
    assert used.get_entry_uri("data") == "s3://bucket/data"
    assert {row["path"] for row in used.manifest or ()} == {"weights.pt", "deep/config.json", "best.pt", "data"}
    with pytest.raises(FileNotFoundError, match="does not fetch"):
        used.download(tmp_path / "there")
    assert (tmp_path / "there" / "deep" / "config.json").read_text() == "{}"
    folder = trackio.log_artifact("model", name="whole", type="model")
    assert Path(folder.download(tmp_path / "whole"), "weights.pt").read_text() == "w"


@apart
def test_artifacts_that_are_none_raise_as_trackios_do(offline: Offline):
    run = trackio.init(project="p", name="a")
    for call in (
        lambda: trackio.Artifact("a b"),
        lambda: trackio.Artifact("a").add_file("missing"),
        lambda: trackio.Artifact("a").add_dir("missing"),
        lambda: trackio.Artifact("a").add_reference("missing"),
        lambda: trackio.log_artifact(trackio.Artifact("a")),
        lambda: trackio.log_artifact(trackio.Artifact("a"), name="b"),
        lambda: trackio.use_artifact("nothing"),
    ):
        with pytest.raises(ValueError, match=r".+"):
            call()
    run.finish()
