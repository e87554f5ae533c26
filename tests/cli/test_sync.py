"""``steplog sync`` and ``steplog clean``, as a user types them."""

from __future__ import annotations

import json
import os
from pathlib import Path

from click.testing import CliRunner, Result

import steplog
from apart import apart
from steplog.cli import main


def typed(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(main, arguments, input=answer)


def leave_a_run(directory: Path) -> None:
    """A machine with nothing configured, and a run that waits on it."""
    os.environ["STEPLOG_DIR"] = str(directory / "state")
    run = steplog.init(project="mnist", name="waits", mode="offline")
    run.log({"loss": 0.5, "accuracy": 0.1})
    run.finish(timeout=2)


@apart
def test_sync_says_of_each_run_what_it_did_and_why_something_is_left(tmp_path: Path):
    leave_a_run(tmp_path)
    done = typed("sync")
    assert done.exit_code == 1
    assert done.output == "waits: 0 delivered, 2 kept here: there is no server: steplog serve, or steplog login\n"
    (told,) = json.loads(typed("sync", "waits", "--json").output)
    assert (told["name"], told["pending"]) == ("waits", 2)


@apart
def test_a_run_that_is_not_here_is_one_line_and_exit_code_two(tmp_path: Path):
    leave_a_run(tmp_path)
    for command in ("sync", "clean"):
        done = typed(command, "nobody")
        assert done.exit_code == 2
        assert "no run on this host is called 'nobody'" in done.output


@apart
def test_clean_asks_before_it_removes_what_is_not_delivered(tmp_path: Path):
    leave_a_run(tmp_path)
    assert typed("clean").output == "0 runs removed\n"
    refused = typed("clean", "waits", answer="n\n")
    assert refused.exit_code == 1, refused.output
    assert [run.name for run in steplog.journals()] == ["waits"]
    assert typed("clean", "waits", "--yes").output == "1 run removed\n"
    assert steplog.journals() == []
    assert typed("sync").output == "nothing waits on this machine\n"
