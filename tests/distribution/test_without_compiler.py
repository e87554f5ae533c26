"""Without a C compiler steplog is installed, quietly; ``doctor`` and the first ``stats()`` say what that costs."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from distribution.building import DEADLINE_S, ROOT, copy_of_tree, needs_setuptools
from steplog import installation
from steplog.journal import compiled

pytestmark = pytest.mark.skipif(
    compiled.why_pure() == "free-threaded", reason="free-threaded Python compiles nothing, with or without a compiler"
)
needs_pip = pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="pip is not in this environment")
LINE = re.compile(r"steplog: log\(\) is not compiled: (.*)\. To have it compiled, (.*)\n")
STATS = """
import steplog
run = steplog.init("me", "p")
run.log("loss", 0.5)
print(*(run.stats().append for _ in range(3)))
run.finish()
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> tuple[Path, str]:
    """Where pip has installed the tree without a compiler, and what pip said."""
    tree = copy_of_tree(tmp_path_factory.mktemp("sources") / "tree")
    target: Path = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--disable-pip-version-check", "--root-user-action=ignore", "--target", str(target), str(tree)]
    environment = os.environ | {"CC": "/bin/false", "PIP_NO_CACHE_DIR": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return target, done.stdout + done.stderr


def run_with(installed: Path, directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program of the installation, in an environment that has its requirements."""
    places = {"PYTHONPATH": str(installed), "STEPLOG_DIR": str(directory / "state"), "STEPLOG_MODE": "offline"}
    command = [sys.executable, *arguments]
    own = os.environ | places | environment
    return subprocess.run(command, cwd=directory, env=own, capture_output=True, text=True, timeout=DEADLINE_S)


@pytest.mark.slow
@needs_pip
@needs_setuptools
class TestInstalled:
    """One installation, looked at from all sides."""

    def test_pip_says_nothing_of_it_and_what_it_installs_logs(self, installed, tmp_path):
        target, said = installed
        assert not re.search(r"warn|error|fail", said, re.IGNORECASE), said
        done = run_with(target, tmp_path, str(Path(__file__).parent / "smoke.py"), "pure")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"steplog in {target / 'steplog'}: 1000 values kept")

    def test_the_first_stats_of_a_process_say_it_once(self, installed, tmp_path):
        done = run_with(installed[0], tmp_path, "-c", STATS)
        assert done.stdout == "pure pure pure\n", done.stderr
        ((cost, remedy),) = LINE.findall(done.stderr)
        assert cost == installation.UNCOMPILED_COST
        assert f"pip install --force-reinstall --no-deps --no-cache-dir {tree_of(installed[0])}" in remedy

    def test_neither_a_quiet_program_nor_one_that_asked_for_it_is_told(self, installed, tmp_path):
        for name in ("STEPLOG_QUIET", "STEPLOG_PURE"):
            done = run_with(installed[0], tmp_path, "-c", STATS, **{name: "1"})
            assert done.stdout == "pure pure pure\n", done.stderr
            assert "compiled" not in done.stderr

    def test_doctor_notes_it_with_what_to_type(self, installed, tmp_path):
        done = run_with(installed[0], tmp_path, "-m", "steplog", "doctor", "--json")
        (check,) = (check for check in json.loads(done.stdout)["checks"] if check["name"] == "python")
        assert check["state"] == "note"
        assert "log() in Python, not compiled. A number takes " in check["words"]
        assert f"{installation.UNCOMPILED_COST[1:]}. To have it compiled, " in check["words"]
        assert check["words"].endswith(f"--no-cache-dir {tree_of(installed[0])}")
        assert done.returncode == 0


def tree_of(installed: Path) -> str:
    """What pip was given."""
    (origin,) = installed.glob("steplog-*.dist-info/direct_url.json")
    return str(json.loads(origin.read_text("utf-8"))["url"]).removeprefix("file://")


def test_the_cost_is_what_the_page_on_speed_has_measured():
    page = (ROOT / "docs" / "speed.md").read_text("utf-8")
    words = [float(figure) for figure in re.findall(r"\d\.\d+", installation.UNCOMPILED_COST)]
    measured = []
    for kind in ("pure", "c"):
        rows = re.findall(rf"log\(\) {kind}, 1 a step\b.*\b{kind} (\d+) ns", page)
        assert rows, "the page has no row of this figure any more"
        measured.append(sum(map(int, rows)) / len(rows) / 1000)
    assert words == pytest.approx(measured, rel=0.5), "say it in steplog/installation.py as it is measured now"


class Fake(importlib.metadata.Distribution):
    """Of version 1.2, with this ``direct_url.json``."""

    def __init__(self, url: object) -> None:
        self.url = url

    def read_text(self, filename: str) -> str | None:
        """The two files that are read."""
        if filename == "direct_url.json":
            return None if self.url is None else json.dumps(self.url)
        return "Metadata-Version: 2.1\nName: steplog\nVersion: 1.2\n"

    def locate_file(self, path: object) -> Path:
        """Nothing is."""
        raise NotImplementedError


@pytest.mark.parametrize(
    ("origin", "typed"),
    [
        (None, "steplog==1.2"),
        ({"url": "file:///a%20b/steplog", "dir_info": {}}, "'/a b/steplog'"),
        ({"url": "file:///src/steplog", "dir_info": {"editable": True}}, "-e /src/steplog"),
        ({"url": "file:///dist/steplog-1.2-cp311-cp311-linux_x86_64.whl", "archive_info": {}}, "steplog==1.2"),
        ({"url": "file:///dist/steplog-1.2.tar.gz", "archive_info": {}}, "/dist/steplog-1.2.tar.gz"),
        ({"url": "https://h/s.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}, "git+https://h/s.git@abc"),
    ],
)
def test_what_to_type_installs_from_where_it_was_installed(monkeypatch, origin, typed):
    monkeypatch.setattr(importlib.metadata.Distribution, "from_name", lambda name: Fake(origin))
    assert installation.compile_again().endswith(f" {typed}")


def test_a_copy_that_is_not_installed_is_installed_from_the_index(monkeypatch):
    def missing(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata.Distribution, "from_name", missing)
    assert installation.compile_again().endswith(" steplog")
