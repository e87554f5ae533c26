"""A run may be called anything, and its file has a name of its own."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.transfer.file_names import STEM_BYTES_MAX, stem_of, stems_of


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("brave_pasta_123", "brave_pasta_123"),
        ("lr=0.1, salt & pepper", "lr=0.1_ salt _ pepper"),
        ("a/b", "a_b"),
        ("..", ""),
        ("../../etc/passwd", "_._.._etc_passwd"),
        (".hidden", "_hidden"),
        ("-rf", "_rf"),
        ("trailing. ", "trailing"),
        ("étude 漢字", "étude 漢字"),
        ("x" * 300, "x" * STEM_BYTES_MAX),
        ("é" * 300, "é" * (STEM_BYTES_MAX // 2)),
        ("x\x00\n\x1b\u202e", "x____"),
    ],
)
def test_a_name_becomes_one_of_a_file(name, stem):
    assert stem_of(name) == stem


@given(st.text())
def test_no_stem_leaves_its_directory_or_hides(name):
    stem = stem_of(name)
    assert os.path.basename(stem) == stem
    assert not stem.startswith((".", "-"))
    assert len(stem.encode()) <= STEM_BYTES_MAX


def test_runs_that_would_have_one_name_have_their_ids_behind_it():
    runs = [("1", "a/b"), ("2", "A_b"), ("3", "c"), ("4", ".."), ("5", "d")]
    assert stems_of(runs, ["D"]) == {"1": "a_b-1", "2": "A_b-2", "3": "c", "4": "4", "5": "d-5"}
    assert stems_of(reversed(runs), ["D"]) == stems_of(runs, ["D"])
