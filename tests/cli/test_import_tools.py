"""What each tool has written is imported by the command that ``docs/coming-from.md`` gives, and once."""

from __future__ import annotations

import gzip
import re
import shlex
import tarfile
from pathlib import Path

import pytest

from cli.conftest import COMMAND
from server.process import ServerProcess

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
TOOLS = {  # of each section: the file of the golden ones, where it belongs, and each run with how many records it has
    "wandb": ("wandb-0.31.tar.gz", "", {"first run": 48, "failed01": 13, "killed01": 15, "twice001": 26}),
    "MLflow": ("mlflow-3.17.db.gz", "mlflow.db", {"first: a 'quoted' name": 7, "child": 1, "broken": 0, "going": 5}),
    "MLflow files": ("mlruns-3.17.tar.gz", "", {"first: a 'quoted' name": 7, "child": 1, "broken": 0, "going": 5}),
    "TensorBoard": ("tensorboard-2.21.tar.gz", "", {"x": 86, "keras/train": 61}),
    "trackio": ("trackio-0.43.db.gz", "trackio/mnistdemo.db", {"first": 12, "second": 1}),
    "CSV": ("", "metrics.csv", {"work": 2}),
}


def commands() -> dict[str, str]:
    """Of each section of the page its commands ``steplog import``."""
    found: dict[str, str] = {}
    for section in (ROOT / "docs" / "coming-from.md").read_text("utf-8").split("\n## ")[1:]:
        title = section.partition("\n")[0].partition(" ")[0]
        for command in re.findall(r"^steplog import .*$", section, re.MULTILINE):
            found[f"{title} files" if title in found else title] = command
    return found


def unpack(name: str, place: str, folder: Path) -> None:
    if name.endswith(".tar.gz"):
        with tarfile.open(GOLDEN / name) as archive:
            archive.extractall(folder, filter="data")
        return
    path = folder / place
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.decompress((GOLDEN / name).read_bytes()) if name else b"step,loss\n0,0.5\n1,0.25\n")


def test_the_page_has_a_command_for_each_tool():
    assert commands().keys() == TOOLS.keys()


@pytest.mark.parametrize("tool", TOOLS)
def test_the_command_of_the_page_imports_what_the_tool_has_written_once(
    steplog: COMMAND, server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
):
    name, place, counts = TOOLS[tool]
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    unpack(name, place, folder)
    if tool == "MLflow files":  # the same runs as those of the database, which are there by now
        server.ask("DELETE", "/me/projects/mnist-demo/")
    _, command, *arguments = shlex.split(commands()[tool], comments=True)
    for sent in (True, False):
        done = steplog(command, *arguments, url=server.url)
        assert done.exit_code == 0, done.output
        lines = [line for line in done.output.splitlines() if not line.startswith("steplog: ")]
        found = {}
        for line in lines:
            run, _, words = line.partition("/")[2].rpartition(": ")
            found[run] = int(re.findall(r"\d+", words)[0 if sent or " already there" not in words else 1])
        assert found == counts
        assert sent or all(": 0 records sent" in line for line in lines)
