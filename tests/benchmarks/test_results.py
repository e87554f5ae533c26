"""Groups that are measured at different times are put together, and a page says when and of what each was."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from benchmarks.figure import Figure
from benchmarks.groups import CHAPTERS, GROUPS, chosen
from benchmarks.page import filled, regions
from benchmarks.results import Results

ROOT = Path(__file__).parents[2]
MONDAY = {"machine": "M", "date": "2030-01-07", "steplog": "1", "commit": "abc"}
TUESDAY = MONDAY | {"date": "2030-01-08", "commit": "def"}


def figure(group: str, name: str = "n", value: float | None = 1.0) -> Figure:
    return Figure(group=group, name=name, unit="ms", value=value)


def test_every_group_is_a_module_with_figures_and_every_such_module_is_a_group():
    modules = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "\ndef figures(" in path.read_text("utf-8")}
    assert set(GROUPS) == modules
    for name in ("log_cost", "size", "reading"):
        assert inspect.isgeneratorfunction(import_module(f"benchmarks.{name}").figures)


def test_every_group_belongs_to_a_chapter_and_says_what_it_is_about():
    assert {group.chapter for group in GROUPS.values()} == set(CHAPTERS)
    assert all(group.heading and group.about.endswith(".") for group in GROUPS.values())


def test_quick_without_groups_takes_some_and_with_all_it_takes_all():
    some = chosen([], quick=True, peers=False)
    assert 4 <= len(some) <= 10
    assert some == [name for name in GROUPS if name in some]
    assert chosen(["all"], quick=True, peers=False) == chosen([], quick=False, peers=False) == list(GROUPS)
    assert chosen(["size", "tails", "size"], quick=True, peers=True) == ["size", "tails"]
    assert chosen([], quick=True, peers=True) == []
    with pytest.raises(ValueError, match="nothing, void"):
        chosen(["void", "size", "nothing"], quick=False, peers=False)


def test_a_group_that_is_measured_later_is_put_beside_those_of_before(tmp_path):
    file = tmp_path / "out" / "figures.json"
    Results(file).put("tails", MONDAY, 1.0, [figure("tails"), figure("tails", "m", None)])
    Results(file).put("log_cost", TUESDAY, 2.0, [figure("log_cost", value=0.5)])
    told = Results(file)
    assert told.groups() == ["log_cost", "tails"]
    assert (told.run("log_cost"), told.run("tails")) == (TUESDAY, MONDAY)
    assert told.figures("tails") == [figure("tails"), figure("tails", "m", None)]
    told.put("tails", TUESDAY, 1.0, [figure("tails", value=7.0)])
    assert Results(file).figures("tails") == [figure("tails", value=7.0)]
    assert Results(file).figures("size") == []


def test_a_page_has_a_heading_a_table_and_the_commit_of_each_group(tmp_path):
    results = Results(tmp_path / "figures.json")
    results.put("size", TUESDAY, 130.0, [figure("size")])
    results.put("log_cost", MONDAY, 7.0, [figure("log_cost", "log() c, 1 a step, Python 3", 0.5)])
    text = filled("<!-- figures: begin -->\nold\n<!-- figures: end -->\n", regions(results))
    found = [text.index(words) for words in ("## Logging", "### A call", "commit abc", "| log() c, 1", "## Delivery")]
    assert found == sorted(found)
    assert text.index("## Delivery") < text.index(
        "`python -m benchmarks size`, 2 min. M. Measured 2030-01-08, steplog 1"
    )
    assert "old" not in text
    assert "## Reading" not in text


def test_what_was_measured_at_once_says_so_once(tmp_path):
    results = Results(tmp_path / "figures.json")
    for group in ("size", "log_cost"):
        results.put(group, MONDAY, 7.0, [figure(group)])
    assert regions(results)["figures"].count("commit abc") == 1


def test_the_summary_names_each_run_that_it_is_of(tmp_path):
    results = Results(tmp_path / "figures.json")
    results.put("size", MONDAY, 7.0, [figure("size")])
    assert "summary" not in regions(results)
    results.put("log_cost", MONDAY, 7.0, [figure("log_cost", "log() c, 1 a step, Python 3", 0.583)])
    results.put("throughput", TUESDAY, 7.0, [figure("throughput", "metrics a second, many", 1434.0)])
    lines = regions(results)["summary"].splitlines()
    assert lines[2:4] == [
        "| `log()` of one float, median | 0.583 × `deque.append` in a method |",
        "| into the embedded server | 1,434 thousand metrics a second |",
    ]
    assert [line[-12:] for line in lines[-2:]] == [" commit abc.", " commit def."]


def test_a_page_is_filled_from_earlier_runs_without_measuring_anything(tmp_path):
    Results(tmp_path / "figures.json").put("size", MONDAY, 7.0, [figure("size", "bytes of something")])
    (tmp_path / "page.md").write_text("<!-- figures: begin -->\n<!-- figures: end -->\n", "utf-8")
    command = [sys.executable, "-m", "benchmarks", "--only-write", "--write", str(tmp_path / "page.md")]
    done = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "bytes of something" in (tmp_path / "page.md").read_text("utf-8")
    assert Results(tmp_path / "figures.json").run("size") == MONDAY
