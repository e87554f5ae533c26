"""Other interpreters are measured by their versions, and their paths are told to nobody."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest
from benchmarks.free_threading import NEEDS
from benchmarks.free_threading import figures as without_gil
from benchmarks.pythons import python_at, pythons_at
from benchmarks.stage import SOURCES, Stage


def saying(path: Path, words: str) -> str:
    path.write_text(f"#!/bin/sh\necho '{words}'\n", "utf-8")
    path.chmod(0o755)
    return str(path)


def test_without_any_it_is_this_interpreter():
    (python,) = pythons_at([])
    assert (python.path, python.version.rstrip("t")) == (sys.executable, platform.python_version())


def test_a_build_without_a_gil_is_told_by_its_version_and_keeps_the_gil_off(tmp_path):
    python = python_at(saying(tmp_path / "python", '["3.14.1", true]'))
    assert (python.version, python.environment({"A": "1"})) == ("3.14.1t", {"A": "1", "PYTHON_GIL": "0"})
    with_gil = python_at(saying(tmp_path / "other", '["3.14.1", false]'))
    assert (with_gil.version, with_gil.environment({"A": "1"})) == ("3.14.1", {"A": "1"})


@pytest.mark.parametrize("words", ["", "no JSON", '"3.14"'])
def test_what_is_no_interpreter_is_said_by_its_number(tmp_path, words):
    paths = [sys.executable, saying(tmp_path / "python", words)]
    with pytest.raises(RuntimeError) as raised:
        pythons_at(paths)
    assert str(raised.value) == "interpreter 2 of --python does not start"
    with pytest.raises(RuntimeError, match="interpreter 1"):
        pythons_at([str(tmp_path / "absent")])


def test_without_a_build_without_a_gil_the_group_says_what_it_needs(tmp_path):
    with_gil = saying(tmp_path / "python", '["3.14.1", false]')
    with Stage(quick=True, peers=tmp_path) as stage:
        (found,) = without_gil(stage, [with_gil])
    assert (found.value, found.note) == (None, NEEDS)


def test_another_interpreter_gets_the_sources_that_are_measured(tmp_path):
    with Stage(quick=True, peers=tmp_path) as stage:
        paths = stage.environment()["PYTHONPATH"].split(":")
    assert paths[1] == str(SOURCES)
