"""Values of media are shown in a few words, and others as they are."""

from __future__ import annotations

from typing import Any

import pytest

from steplog.cli.media_text import media_text
from steplog.cli.printing import value as shown

FILE = "0" * 32
IMAGE = {"_type": "image", "file": FILE, "type": "image/png", "width": 28, "height": 20}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (IMAGE, "image 28×20 image/png"),
        (IMAGE | {"caption": "seven"}, 'image 28×20 image/png "seven"'),
        ([IMAGE, IMAGE], "2 × image 28×20 image/png"),
        ({"_type": "audio", "file": FILE, "type": "audio/wav", "duration_s": 1.5}, "audio 1.5 s audio/wav"),
        (
            {"_type": "video", "file": FILE, "type": "image/apng", "width": 4, "height": 4, "frames": 9},
            "video 4×4 9 frames image/apng",
        ),
        ({"_type": "table", "columns": ["a", "b"], "data": [[1, 2]]}, "table 1 row × 2 columns"),
        (
            {"_type": "table", "file": FILE, "type": "application/json", "columns": ["a"], "rows": 9000},
            "table 9,000 rows × 1 column",
        ),
        ({"_type": "histogram", "values": [1, 2], "bins": [0, 0.5, 1]}, "histogram 2 bins, 0 to 1"),
        ({"_type": "html", "file": FILE, "type": "text/html"}, "html text/html"),
        ({"_type": "image", "width": "x" * 9, "height": None, "file": 3}, "image"),
        ({"_type": "table", "columns": 3, "data": "x"}, "table"),
        ({"_type": "histogram", "values": [1], "bins": ["x"]}, "histogram 1 bin"),
    ],
)
def test_a_value_of_media_is_a_few_words(value: Any, words: str):
    assert media_text(value) == words
    assert shown(value) == words


@pytest.mark.parametrize(
    "value", [{"_type": "mine", "a": 1}, {"a": 1}, [IMAGE, 1], [], "image", 3, None, {"_type": 3, "file": FILE}]
)
def test_another_value_is_not_taken_for_media(value: Any):
    assert media_text(value) == ""


def test_a_caption_cannot_command_the_terminal():
    assert "\x1b" not in shown(IMAGE | {"caption": "\x1b[2J"})
