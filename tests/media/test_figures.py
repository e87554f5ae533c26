"""Figures of Matplotlib's as images."""

from __future__ import annotations

import io

import pytest

import steplog
from media.keeping import Keeping

matplotlib = pytest.importorskip("matplotlib")
PIL = pytest.importorskip("PIL.Image")
matplotlib.use("Agg")
pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture
def figure():
    made, axes = pyplot.subplots(figsize=(3, 2), dpi=50)
    axes.plot([1, 2, 3])
    yield made
    pyplot.close(made)


def test_a_figure_is_drawn_as_it_is_when_it_is_logged(figure):
    keeping = Keeping()
    value = steplog.Image(figure, caption="loss")
    before = keeping.log(value)
    figure.axes[0].set_facecolor("red")
    after = keeping.log(value)
    assert before == {**after, "file": before["file"]}
    assert (before["type"], before["width"], before["height"], before["caption"]) == ("image/png", 150, 100, "loss")
    with PIL.open(io.BytesIO(keeping.file(before))) as first, PIL.open(io.BytesIO(keeping.file(after))) as second:
        assert first.getpixel((75, 20))[:3] == (255, 255, 255)
        assert second.getpixel((75, 20))[:3] == (255, 0, 0)


def test_axes_and_parts_of_a_figure_and_pyplot_are_the_whole_figure(figure):
    part = figure.subfigures()
    axes = part.subplots()
    axes.plot([3, 1])
    records = [Keeping().log(steplog.Image(given)) for given in (figure, figure.axes[0], part, axes, pyplot)]
    assert records == [records[0]] * 5


def test_drawing_leaves_the_figure_as_it_was(figure):
    canvas, dpi, size = figure.canvas, figure.dpi, tuple(figure.get_size_inches())
    Keeping().log(steplog.Image(figure))
    assert (figure.canvas, figure.dpi, tuple(figure.get_size_inches())) == (canvas, dpi, size)


def test_the_size_is_that_of_the_file_also_where_savefig_cuts_margins(figure):
    with matplotlib.rc_context({"savefig.bbox": "tight"}):
        keeping = Keeping()
        record = keeping.log(steplog.Image(figure))
        with PIL.open(io.BytesIO(keeping.file(record))) as image:
            assert image.size == (record["width"], record["height"])


def test_a_figure_has_no_mode_and_another_module_is_no_figure(figure):
    with pytest.raises(ValueError, match="mode"):
        steplog.Image(figure, mode="L")
    with pytest.raises(TypeError):
        steplog.Image(io)


def test_an_array_of_axes_raises_type_error():
    made, axes = pyplot.subplots(2, 2)
    with pytest.raises(TypeError, match="numbers"):
        steplog.Image(axes)
    pyplot.close(made)
