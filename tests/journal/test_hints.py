"""The warning of a value that does not convert says what to log in its place."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from steplog.journal import values
from steplog.journal.hints import hint
from steplog.journal.values import Values


def of(module: str, *names: str) -> object:
    """A value of a class of another library's; each name's class is derived from the one before."""
    made: type = object
    for name in names:
        made = type(name, (made,), {"__module__": module})
    return made()


def values_of(bytes_max: int = 10_000, *, strict: bool = False) -> Values:
    """Those of a run, which keeps files."""
    made = Values(bytes_max, strict)
    made.keep = lambda content: "0" * 32
    return made


@pytest.mark.parametrize(
    ("value", "instead"),
    [
        (of("PIL.Image", "Image", "PngImageFile"), "steplog.Image(value)"),
        (of("matplotlib.figure", "Figure"), "steplog.Image(value)"),
        (of("matplotlib.axes._axes", "Axes", "PolarAxes"), "steplog.Image(value)"),
        (of("plotly.basedatatypes", "BaseFigure", "Figure"), "steplog.Html(value.to_html())"),
        (of("pandas", "DataFrame"), "steplog.Table(dataframe=value)"),
        (of("polars.dataframe.frame", "DataFrame"), "steplog.Table(dataframe=value)"),
    ],
)
def test_a_value_of_a_library_is_told_what_to_log_instead(value, instead, caplog):
    values._said.clear()
    with caplog.at_level(logging.WARNING, "steplog"):
        values_of().convert(value)
    values._said.clear()
    (said,) = caplog.messages
    assert said.endswith(f"; log {instead}")
    with pytest.raises(TypeError, match=r"cannot be logged: .*; log steplog\."):
        values_of(strict=True).convert(value)


def test_an_array_that_is_too_large_is_told_of_images_and_histograms(caplog):
    values._said.clear()
    with caplog.at_level(logging.WARNING, "steplog"):
        values_of(1000).convert(np.zeros((64, 64, 3)))
    values._said.clear()
    (said,) = caplog.messages
    assert "value_bytes_max, which is 1000; log steplog.Image(value), steplog.Histogram(value), or a number" in said


def test_where_no_files_are_kept_nothing_is_hinted_at():
    with pytest.raises(TypeError) as refused:
        Values(1000, strict=True).convert(of("pandas", "DataFrame"))
    assert str(refused.value) == "a value of type DataFrame cannot be logged: nothing converts it"


def test_other_values_get_no_hint():
    class Image:
        pass

    assert [hint(value) for value in (Image(), object(), 1, "a", [np.zeros(3)], Image)] == [""] * 6
