"""Videos, sounds, pages, shapes and figures of wandb's: which files are made of them, and what raises."""

from __future__ import annotations

import io
import json
import wave
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
import pytest

import steplog
import steplog.compat.wandb as wandb
from apart import apart
from compat.files_kept import logged
from compat.wandb.logged import rows
from steplog.compat.unsupported import unsupported
from steplog.compat.wandb.logged_values import logged as kept_of
from steplog.compat.wandb.media import NOT_KEPT

FRAMES = numpy.arange(5 * 3 * 4 * 6, dtype=numpy.uint8).reshape(5, 3, 4, 6)


def test_frames_are_an_animated_png():
    kept = logged(wandb.Video(FRAMES, caption="c", fps=8).kept())
    assert {name: kept.record[name] for name in ("_type", "type", "frames", "width", "height", "caption", "fps")} == {
        "_type": "video",
        "type": "image/apng",
        "frames": 5,
        "width": 6,
        "height": 4,
        "caption": "c",
        "fps": 8,
    }
    pytest.importorskip("PIL.Image", reason="compares with Pillow: pip install pillow")
    picture = kept.picture()
    assert picture.n_frames == 5
    picture.seek(4)
    assert (numpy.asarray(picture.convert("RGB")) == FRAMES[4].transpose(1, 2, 0)).all()


def test_a_batch_of_videos_is_tiled():
    record = logged(wandb.Video(numpy.stack([FRAMES] * 3)).kept()).record
    assert (record["width"], record["height"], record["frames"]) == (18, 4, 5)


def test_a_video_of_a_file_or_of_bytes_is_kept_as_it_is(tmp_path: Path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"0123")
    kept = logged(wandb.Video(str(path), caption="c").kept())
    assert (kept.file(), kept.record["type"], kept.contents[0].suffix) == (b"0123", "video/mp4", ".mp4")
    kept = logged(wandb.Video(io.BytesIO(b"GIF89a"), format="gif").kept())
    assert (kept.file(), kept.record["type"]) == (b"GIF89a", "image/gif")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: wandb.Video("a.avi"), ValueError),
        (lambda: wandb.Video("missing.mp4"), FileNotFoundError),
        (lambda: wandb.Video(FRAMES, format="avi"), ValueError),
        (lambda: wandb.Video(numpy.zeros((3, 4, 4))), ValueError),
        (lambda: wandb.Video(io.BytesIO(b"x")), ValueError),
        (lambda: wandb.Video(5), ValueError),
        (lambda: wandb.Audio([0.0, 1.0]), ValueError),
        (lambda: wandb.Audio("missing.wav"), FileNotFoundError),
        (lambda: wandb.Html(5), ValueError),
        (lambda: wandb.Object3D("a.xyz"), ValueError),
        (lambda: wandb.Object3D(numpy.zeros((4, 5))), ValueError),
        (lambda: wandb.Object3D(5), ValueError),
        (lambda: wandb.Object3D.from_point_cloud([], [], point_cloud_type="other"), ValueError),
        (lambda: wandb.Object3D(io.StringIO("x")), ValueError),
        (lambda: wandb.Molecule(5), ValueError),
        (lambda: wandb.Molecule("a.xyz"), ValueError),
        (lambda: wandb.Plotly(object()), ValueError),
        (lambda: wandb.data_types.Bokeh(object()), TypeError),
        (lambda: wandb.Classes([{"id": 1}]), AssertionError),
    ],
)
def test_what_wandb_refuses_raises_when_it_is_made(make, kind):
    with pytest.raises(kind):
        make()


def test_samples_are_a_wave_file():
    kept = logged(wandb.Audio([0.0, 0.5, -1.0], sample_rate=8000, caption="c").kept())
    assert (kept.record["_type"], kept.record["type"], kept.record["caption"]) == ("audio", "audio/wav", "c")
    with wave.open(io.BytesIO(kept.file())) as file:
        assert (file.getframerate(), file.getnframes()) == (8000, 3)
        assert numpy.frombuffer(file.readframes(3), "<i2").tolist() == [0, 16384, -32767]


def test_a_page_is_a_text_an_open_file_or_a_path(tmp_path: Path):
    path = tmp_path / "a.html"
    path.write_text("<p>file</p>")
    for given, text in (
        ("<b>text</b>", "<b>text</b>"),
        (io.StringIO("<i>open</i>"), "<i>open</i>"),
        (str(path), "<p>file</p>"),
    ):
        kept = logged(wandb.Html(given).kept())
        assert (kept.file().decode(), kept.record["_type"], kept.record["type"]) == (text, "html", "text/html")
    assert wandb.Html(str(path), data_is_not_path=True).html == str(path)


def test_shapes_molecules_and_figures_are_files_whose_format_is_said(tmp_path: Path):
    mesh = tmp_path / "a.obj"
    mesh.write_text("v 0 0 0")
    molecule = tmp_path / "a.pdb"
    molecule.write_text("ATOM")
    figure = type("Figure", (), {"to_plotly_json": lambda self: {"data": [{"x": numpy.arange(2)}]}})()
    values: dict[str, tuple[Any, bytes | dict[str, Any] | list[Any]]] = {
        "object3D": (wandb.Object3D(str(mesh)), b"v 0 0 0"),
        "molecule": (wandb.Molecule(str(molecule)), b"ATOM"),
        "plotly": (wandb.Plotly(figure), {"data": [{"x": [0, 1]}]}),
    }
    for name, (value, content) in values.items():
        kept = logged(value.kept())
        assert (kept.record["_type"], kept.record["format"]) == ("file", name)
        assert (kept.file() if isinstance(content, bytes) else json.loads(kept.file())) == content
    cloud = wandb.Object3D.from_point_cloud(numpy.zeros((1, 3)), [wandb.box3d(**BOX)], vectors=None)
    found = json.loads(logged(cloud.kept()).file())
    assert (found["type"], found["points"], len(found["boxes"][0]["corners"])) == ("lidar/beta", [[0, 0, 0]], 8)
    assert json.loads(logged(wandb.Object3D(numpy.ones((1, 6))).kept()).file()) == [[1.0] * 6]


BOX: dict[str, Any] = {"center": (0, 0, 0), "size": (2, 4, 6), "orientation": (1, 0, 0, 0), "color": (0, 0, 0)}


def test_a_box_among_points_is_its_eight_corners():
    box = wandb.box3d(**BOX, label="a", score=0.5)
    assert sorted(box["corners"])[0] == (-1.0, -2.0, -3.0)
    assert (box["label"], box["score"], len(set(box["corners"]))) == ("a", 0.5, 8)
    turned = wandb.box3d(**{**BOX, "orientation": (2**-0.5, 0, 0, 2**-0.5)})
    assert numpy.abs(numpy.array(turned["corners"])).max(axis=0) == pytest.approx([2, 1, 3])
    with pytest.raises(AssertionError):
        wandb.box3d(**{**BOX, "size": (1, 2)})


def test_a_figure_that_is_logged_as_it_is_becomes_an_image_or_its_json():
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="needs matplotlib: pip install matplotlib")
    pyplot.switch_backend("Agg")
    figure, axes = pyplot.subplots()
    axes.plot([1, 2])
    for given in (figure, axes, pyplot, [figure, figure]):
        record = logged(kept_of(given)).record
        assert [each["_type"] for each in (record if isinstance(record, list) else [record])] in (
            ["image"],
            ["image"] * 2,
        )
    pyplot.close("all")


@apart
def test_of_a_library_what_is_no_picture_is_counted_under_its_name():
    run = wandb.init()
    for library in ("matplotlib.figure", "plotly.graph_objs", "PIL.Image", "bokeh.models"):
        wandb.log({"chart": type("Thing", (), {"__module__": library})(), "loss": 1.0}, step=0)
    wandb.log({"chart": ModuleType("matplotlib.nothing")}, step=0)
    assert rows(run) == {0: {"loss": 1.0}}
    assert set(unsupported.counts()) == {
        "wandb.log() of a Thing of matplotlib",
        "wandb.log() of a Thing of plotly",
        "wandb.log() of a Thing of PIL",
        "wandb.log() of a Thing of bokeh",
        "wandb.log() of a module of matplotlib",
    }


@apart
def test_of_a_list_with_media_that_are_not_kept_the_rest_is():
    run = wandb.init()
    wandb.log({"all": [wandb.Histogram(np_histogram=([1], [0, 1])), wandb.Graph()], "n": 1})
    wandb.log({"all": [wandb.Graph()], "n": 2})
    assert rows(run)[0]["all"] == [{"_type": "histogram", "values": [1], "bins": [0, 1]}, None]
    assert rows(run)[1] == {"n": 2}
    assert unsupported.counts() == {"wandb.log() of wandb.Graph": 2}


@apart
def test_a_reference_to_elsewhere_is_counted_where_it_is_logged():
    wandb.init()
    wandb.log({"a": wandb.Image("s3://bucket/a.png"), "b": wandb.Audio("https://example.org/a.wav")})
    assert unsupported.counts() == {"wandb.log() of wandb.Image": 1, "wandb.log() of wandb.Audio": 1}


def test_classes_and_joined_tables_are_json_values():
    assert logged(wandb.Classes([{"id": 1, "name": "a"}]).kept()).record == {
        "_type": "classes",
        "class_set": [{"id": 1, "name": "a"}],
    }
    joined = wandb.JoinedTable(wandb.Table(["id"], [[1]]), wandb.Table(["id"], [[2]]), "id")
    record = logged(joined.kept()).record
    assert (record["table1"]["data"], record["table2"]["data"], record["join_key"]) == ([[1]], [[2]], "id")


def test_what_has_no_file_says_so():
    graph = wandb.Graph()
    assert (graph.file_is_set(), graph.kept() is NOT_KEPT, graph.is_bound()) == (False, True, True)
    page = wandb.Html("<p>")
    assert (page.file_is_set(), page.is_bound(), page.to_json()) == (True, False, {"_type": "html-file"})
    assert issubclass(wandb.Table, wandb.data_types.WBValue)


@apart
def test_media_that_are_not_kept_in_the_summary_are_counted_and_stop_nothing():
    run = wandb.init()
    run.summary["image"] = wandb.Graph()
    run.summary.update({"best": 1, "all": [wandb.Graph()]})
    run.config.update({"logo": wandb.Graph()})
    assert steplog.open(run.steplog_run).summary["summary/best"] == 1
    assert unsupported.counts() == {"wandb.log() of wandb.Graph": 2}
