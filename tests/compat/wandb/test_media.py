"""Images and the like: whatever wandb takes is taken, nothing is kept, and that is counted."""

from __future__ import annotations

import io
from types import ModuleType

import steplog
import steplog.compat.wandb as wandb
from apart import apart
from compat.wandb.logged import rows
from steplog.compat.unsupported import unsupported

MEDIA = {
    "Image": lambda: wandb.Image([[0, 255]], mode="L", caption="c", grouping=1, classes=[], boxes={}, masks={}),
    "Video": lambda: wandb.Video("missing.mp4", caption="c", fps=4, format="mp4"),
    "Audio": lambda: wandb.Audio([0.0, 1.0], sample_rate=8000, caption="c"),
    "Html": lambda: wandb.Html("<b>bold</b>", inject=False, data_is_not_path=True),
    "Object3D": lambda: wandb.Object3D.from_point_cloud([[0, 0, 0]], []),
    "Molecule": lambda: wandb.Molecule.from_smiles("CC"),
    "Plotly": lambda: wandb.Plotly(object()),
    "Graph": lambda: wandb.Graph(),
}
ROWS = ({"loss": 1.0}, {"deep.n": 2})


@apart
def test_media_are_taken_left_out_and_counted():
    run = wandb.init()
    for make in MEDIA.values():
        wandb.log({"m": make(), "loss": 1.0})
        wandb.log({"m": [make(), make()], "deep": {"m": make(), "n": 2}})
        wandb.log({"m": make()})
    assert rows(run) == {3 * at + more: row for at in range(len(MEDIA)) for more, row in enumerate(ROWS)}
    assert run.step == 3 * len(MEDIA)
    assert unsupported.counts() == {f"wandb.log() of wandb.{kind}": 5 for kind in MEDIA}


@apart
def test_of_a_list_with_media_the_rest_is_kept():
    run = wandb.init()
    wandb.log({"all": [wandb.Histogram(np_histogram=([1], [0, 1])), wandb.Image("x.png")]})
    assert rows(run)[0]["all"] == [{"_type": "histogram", "values": [1], "bins": [0, 1]}, None]


@apart
def test_a_figure_of_another_library_is_counted_under_its_name():
    run = wandb.init()
    for library in ("matplotlib.figure", "plotly.graph_objs", "PIL.Image", "bokeh.models"):
        wandb.log({"chart": type("Figure", (), {"__module__": library})(), "loss": 1.0}, step=0)
    wandb.log({"chart": ModuleType("matplotlib.pyplot")}, step=0)
    assert rows(run) == {0: {"loss": 1.0}}
    assert unsupported.counts() == {
        "wandb.log() of a Figure of matplotlib": 1,
        "wandb.log() of a Figure of plotly": 1,
        "wandb.log() of a Figure of PIL": 1,
        "wandb.log() of a Figure of bokeh": 1,
        "wandb.log() of a module of matplotlib": 1,
    }


@apart
def test_media_in_the_summary_are_counted_and_stop_nothing():
    run = wandb.init()
    run.summary["image"] = wandb.Image("x.png")
    run.summary.update({"best": 1, "all": [wandb.Image("x.png")]})
    run.config.update({"logo": wandb.Image("x.png")})
    assert steplog.open(run.steplog_run).summary["summary/best"] == 1
    assert unsupported.counts() == {"wandb.log() of wandb.Image": 2}


def test_nothing_is_opened_or_read_when_media_are_made():
    stream = io.BytesIO(b"not a video")
    wandb.Video(stream)
    wandb.Image("missing.png")
    wandb.Html(io.StringIO("text"))
    assert stream.tell() == 0


def test_what_a_run_lacks_can_still_be_told_by_its_kind():
    assert wandb.Image("x.png").to_json() == {"_type": "image-file"}
    assert issubclass(wandb.Table, wandb.data_types.WBValue)
    assert wandb.box3d(center=(0, 0, 0), size=(1, 1, 1), orientation=(0, 0, 0, 1), color=(0, 0, 0)) == {
        "center": (0, 0, 0),
        "size": (1, 1, 1),
        "orientation": (0, 0, 0, 1),
        "color": (0, 0, 0),
    }
