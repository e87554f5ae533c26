"""``steplog.compat.tensorboard``: what the methods of ``SummaryWriter`` log."""

from __future__ import annotations

import decimal
import math
import sys
import types
from pathlib import Path
from typing import Any

import numpy
import pytest

import steplog
from apart import apart
from compat.offline import Offline
from steplog.compat.tensorboard import SummaryWriter
from steplog.compat.tensorboard.values import histogram, is_near, number, pr_curve_of
from steplog.compat.unsupported import unsupported


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offline:
    return Offline(tmp_path, monkeypatch)


class Tensor:
    """What a writer sees of a tensor of PyTorch."""

    def __init__(self, *elements: float) -> None:
        self.elements = elements
        self.reads = 0

    def size(self) -> Any:
        return self.elements

    def numel(self) -> int:
        return len(self.elements)

    def item(self) -> float:
        self.reads += 1
        return self.elements[0]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (0.1, 0.1),
        (3, 3),
        (True, 1),
        ("0.5", 0.5),
        (numpy.float32(0.5), 0.5),
        (numpy.float64(0.1), 0.1),
        (numpy.int64(7), 7),
        (numpy.bool_(True), 1),
        (numpy.array([[0.25]]), 0.25),
        ([2.0], 2.0),
        (Tensor(0.75), 0.75),
        (decimal.Decimal("0.5"), 0.5),
        (math.inf, math.inf),
    ],
)
def test_a_scalar_is_the_number_in_what_was_given(given: Any, kept: float):
    found = number(given)
    assert (found, type(found)) == (kept, type(kept))


@pytest.mark.parametrize("given", [numpy.zeros(2), numpy.zeros(0), Tensor(1.0, 2.0)])
def test_several_elements_are_no_scalar(given: Any):
    with pytest.raises(AssertionError, match="one number"):
        number(given)


@pytest.mark.parametrize("given", [None, object(), {}])
def test_what_is_no_number_is_refused_as_the_original_does(given: Any):
    with pytest.raises(NotImplementedError, match="a number or a tensor"):
        number(given)


def test_a_tensor_is_read_once():
    tensor = Tensor(0.5)
    number(tensor)
    assert tensor.reads == 1


def test_a_float_is_near_its_32_bits_and_nothing_else():
    assert is_near(0.1, float(numpy.float32(0.1)))
    assert is_near(1e300, math.inf)
    assert is_near(math.nan, math.nan)
    assert not is_near(0.1, 0.1000001)


def test_a_histogram_has_no_empty_ends_and_one_bin_for_a_gap():
    assert histogram([0, 2, 0, 0, 3, 0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == {
        "_type": "histogram",
        "values": [2, 0, 3],
        "bins": [1.0, 2.0, 4.0, 5.0],
    }


@pytest.mark.parametrize(
    ("most", "values", "bins"), [(2, [3, 3], [0, 2, 3]), (1, [6], [0, 3]), (9, [1, 2, 3], [0, 1, 2, 3])]
)
def test_a_histogram_of_too_many_bins_joins_them(most: int, values: list[int], bins: list[int]):
    made = histogram([1, 2, 3], [0, 1, 2, 3], most)
    assert (made["values"], made["bins"]) == (values, bins)


def test_a_curve_counts_what_lies_above_each_threshold():
    made = pr_curve_of(numpy.array([0, 1, 1]), numpy.array([0.1, 0.9, 0.3]), 3, None)
    rows = [dict(zip(made["columns"], row, strict=True)) for row in made["data"]]
    assert [row["threshold"] for row in rows] == [0, 0.5, 1]
    assert [(row["true_positives"], row["false_positives"]) for row in rows] == [(2, 1), (1, 0), (0, 0)]
    assert [(row["precision"], row["recall"]) for row in rows] == [(2 / 3, 1), (1, 0.5), (0, 0)]


@apart
def test_scalars_are_logged_under_their_tags_at_their_steps(offline: Offline):
    with SummaryWriter("runs/a") as writer:
        writer.add_scalar("train/loss", 0.1, 7)
        writer.add_scalar("train/loss", 0.2, global_step=9.7)
        writer.add_scalar(tag="train/loss", scalar_value=0.3, global_step=numpy.int64(11), walltime=None)
        writer.add_scalars("lr", {"one": 1, "two": 2.5}, 3)
    assert offline.points("a", "train/loss") == [(7, 0.1), (9, 0.2), (11, 0.3)]
    assert (offline.points("a", "lr/one"), offline.points("a", "lr/two")) == ([(3, 1)], [(3, 2.5)])


@apart
def test_a_value_without_a_step_is_the_next_of_its_tag(offline: Offline):
    with SummaryWriter("runs/a") as writer:
        for value in (0.5, 0.25):
            writer.add_scalar("loss", value)
        with writer.use_metadata(global_step=70):
            writer.add_scalar("loss", 0.125)
            writer.add_scalar("loss", 0.0625, 80)
    assert offline.points("a", "loss") == [(0, 0.5), (1, 0.25), (70, 0.125), (80, 0.0625)]


@apart
def test_texts_tensors_histograms_and_curves_are_json_values(offline: Offline):
    with SummaryWriter("runs/a") as writer:
        writer.add_text("note", "no warm-up", 1)
        writer.add_tensor("logits", numpy.zeros((2, 2)), 2)
        writer.add_histogram("weights", numpy.array([0.5, 0.5, 2.5]), 3, bins=[0, 1, 2, 3])
        writer.add_histogram_raw("raw", 0.25, 3, 5, 9, 30, [1.0, 2.0, 3.0], [2, 0, 3], 4)
        writer.add_pr_curve("curve", numpy.array([0, 1]), numpy.array([0.1, 0.9]), 5, num_thresholds=2)
    assert offline.points("a", "note") == [(1, "no warm-up")]
    assert offline.points("a", "logits") == [(2, [[0, 0], [0, 0]])]
    weights = {"_type": "histogram", "values": [2, 0, 1], "bins": [0, 1, 2, 3]}
    assert offline.points("a", "weights") == [(3, weights)]
    assert offline.points("a", "raw") == [(4, {"_type": "histogram", "values": [2, 0, 3], "bins": [0.25, 1, 2, 3]})]
    ((step, curve),) = offline.points("a", "curve")
    assert (step, curve["_type"], curve["data"][0][-2:]) == (5, "table", [0.5, 1])


@apart
def test_what_needs_numpy_is_counted_where_that_is_missing(offline: Offline, monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    with SummaryWriter("runs/a") as writer:
        writer.add_histogram("weights", [0.5, 2.5], 3)
        writer.add_pr_curve("curve", [0, 1], [0.1, 0.9], 5)
        writer.add_scalar("loss", 0.5, 1)
        assert unsupported.counts() == {"SummaryWriter.add_histogram()": 1, "SummaryWriter.add_pr_curve()": 1}
    assert offline.points("a", "loss") == [(1, 0.5)]


@apart
def test_hyperparameters_are_the_config_and_their_numbers_metrics(offline: Offline):
    with SummaryWriter("runs/a") as writer:
        writer.add_hparams({"lr": 0.1, "bias": True, "off": None, "act": max}, {"hparam/loss": 0.3}, None, "run", 5)
        writer.add_hparams({"lr": 0.1, "bias": True, "act": max}, {"hparam/loss": 0.2}, name="b", global_step=6)
        with pytest.raises(TypeError, match="a dict of hyperparameters"):
            writer.add_hparams([("lr", 0.1)], {})
    assert steplog.open("a").config == {"lr": 0.1, "bias": True, "act": "max"}
    assert offline.points("a", "hparam/loss") == [(5, 0.3), (6, 0.2)]


@apart
def test_what_cannot_be_kept_is_counted_and_stops_nothing(offline: Offline):
    writer = SummaryWriter("runs/a", max_queue=1, flush_secs=1, filename_suffix=".x", comet_config={}, other=1)
    writer.add_graph(None, None)
    writer.add_onnx_graph("model.onnx")
    writer.add_openvino_graph("model.xml")
    writer.add_embedding(None, metadata=["a"], tag="t")
    writer.add_mesh("mesh", None, None, None, {}, 1)
    writer.add_custom_scalars({})
    writer.add_custom_scalars_multilinechart(["a"])
    writer.add_custom_scalars_marginchart(["a", "b", "c"])
    writer.export_scalars_to_json("scalars.json")
    writer.add_scalar("loss", 0.5, 1, walltime=12.5)
    writer.add_scalar("x" * 300, 0.5, 1)
    counts = unsupported.counts()
    methods = sorted(what.removeprefix("SummaryWriter.").removesuffix("()") for what in counts if what.endswith("()"))
    mine = [name for name in vars(SummaryWriter) if name.startswith(("add_", "export_"))]
    kept = {"scalar", "scalars", "hparams", "text", "tensor", "histogram", "histogram_raw", "pr_curve", "pr_curve_raw"}
    files = {"image", "images", "image_with_boxes", "figure", "video", "audio"}
    assert methods == sorted(set(mine) - {f"add_{name}" for name in kept | files})
    assert len(counts) == len(methods) + 2
    writer.close()
    assert offline.names("a") == ["compat/unsupported", "loss", "x" * 256]


@apart
def test_a_figure_is_closed_as_the_original_closes_it(offline: Offline, monkeypatch: pytest.MonkeyPatch):
    closed: list[Any] = []
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", types.SimpleNamespace(close=closed.append))
    writer = SummaryWriter("runs/a")
    writer.add_figure("one", "figure", 1)
    writer.add_figure("two", ["first", "second"], 1)
    writer.add_figure("kept", "open", 1, close=False)
    assert closed == ["figure", "first", "second"]


@apart
def test_write_to_disk_false_logs_nothing_and_begins_no_run(offline: Offline):
    with SummaryWriter("runs/a", write_to_disk=False) as writer:
        writer.add_scalar("loss", 0.5, 1)
        writer.add_hparams({"lr": 0.1}, {})
        writer.add_image("image", None)
        writer.flush()
    assert (offline.runs(), list(offline.work.iterdir()), unsupported.counts()) == ([], [], {})


@apart
def test_a_wrong_tag_raises_as_the_original_does(offline: Offline):
    with pytest.raises(TypeError, match="a tag is a str"):
        SummaryWriter("runs/a").add_scalar(7, 0.5, 1)  # type: ignore[arg-type]


@apart
def test_a_tag_of_bytes_or_none_is_kept_as_the_original_does(offline: Offline):
    with SummaryWriter("runs/a") as writer:
        writer.add_scalar(b"loss", 0.5, 1)  # type: ignore[arg-type]
        writer.add_scalar(None, 0.25, 1)  # type: ignore[arg-type]
    assert (offline.points("a", "loss"), offline.points("a", "_")) == ([(1, 0.5)], [(1, 0.25)])
