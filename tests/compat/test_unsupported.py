"""What cannot be kept is counted, said once with what to do, and is a metric of the run."""

from __future__ import annotations

import json
import signal
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

from compat.processes import environment, python, write
from steplog.compat.unsupported import KINDS_MAX, METRIC, OTHERS, Unsupported

READ = f"""
import json, steplog
for record in steplog.read_journal():
    if record.name == {METRIC!r}:
        print(json.dumps(record.value))
"""
PRELUDE = "import os, signal, sys\nimport steplog\nfrom steplog.compat.unsupported import unsupported\n"
BEGIN = "run = steplog.init(project='p', mode='offline')\n"
NOTES = (
    "for _ in range(3):\n    unsupported.note('wandb.watch()', 'log it')\nunsupported.note('wandb.save()', 'copy it')\n"
)
COUNTS = {"wandb.watch()": 3, "wandb.save()": 1}
SAID = [
    "steplog: not recorded, or not whole:",
    "steplog:   wandb.watch() (3 times): log it",
    "steplog:   wandb.save() (once): copy it",
]
ENDS = {
    "finish": (0, "unsupported.tell(run)\nrun.finish()\n"),
    "the active run's finish": (0, "unsupported.tell()\nsteplog.finish()\n"),
    "the end of the program": (0, ""),
    "an exception": (1, "1 / 0\n"),
    "SIGTERM": (-signal.SIGTERM, "os.kill(os.getpid(), signal.SIGTERM)\n"),
}


class Ran(NamedTuple):
    """A program that has ended: what it said of what is not recorded, and what its runs have of the metric."""

    code: int
    said: list[str]
    logged: list[dict[str, int]]


def ran(where: Path, program: str, **variables: str) -> Ran:
    write(where, {"program.py": PRELUDE + textwrap.dedent(program)})
    env = environment() | {"STEPLOG_DIR": str(where / "state")} | variables
    done = python(where, env, "program.py")
    said = [line for line in done.stderr.splitlines() if line in SAID or line.startswith("steplog:   ")]
    return Ran(done.returncode, said, [json.loads(line) for line in python(where, env, "-c", READ).stdout.splitlines()])


@pytest.mark.parametrize("way", ENDS)
def test_it_is_said_once_and_is_in_the_run_however_that_ends(tmp_path, way):
    code, end = ENDS[way]
    done = ran(tmp_path, BEGIN + NOTES + end)
    assert (done.code, done.said, done.logged[-1]) == (code, SAID, COUNTS)


def test_a_killed_run_has_a_count_of_at_least_half(tmp_path):
    many = "for _ in range(1000):\n    unsupported.note('wandb.Image', 'log a number')\n"
    done = ran(tmp_path, BEGIN + many + "os.kill(os.getpid(), signal.SIGKILL)\n")
    assert done == (-signal.SIGKILL, [], [{"wandb.Image": 2**power} for power in range(10)])


def test_what_is_noted_before_a_run_begins_is_in_the_run_that_ends(tmp_path):
    assert ran(tmp_path, NOTES + BEGIN) == (0, SAID, [COUNTS])


def test_without_a_run_it_is_said_at_exit(tmp_path):
    assert ran(tmp_path, NOTES) == (0, SAID, [])


def test_what_fails_before_the_end_keeps_nothing_else_from_being_said(tmp_path):
    fails = "from steplog.safeguard import before_end\nbefore_end(lambda: 1 / 0)\n"
    done = ran(tmp_path, BEGIN + fails + NOTES)
    assert (done.code, done.said, done.logged[-1]) == (0, SAID, COUNTS)


def test_quiet_says_nothing_and_logs_it_all_the_same(tmp_path):
    done = ran(tmp_path, BEGIN + NOTES, STEPLOG_QUIET="1")
    assert (done.said, done.logged[-1]) == ([], COUNTS)


def test_a_forked_child_says_its_own_and_not_its_parents(tmp_path):
    fork = """
    pid = os.fork()
    if pid == 0:
        unsupported.note("wandb.alert()", "mail it")
        sys.exit(0)
    os.waitpid(pid, 0)
    """
    child = "steplog:   wandb.alert() (once): mail it"
    assert ran(tmp_path, BEGIN + NOTES + textwrap.dedent(fork)).said == [SAID[0], child, *SAID]


def test_a_second_run_is_told_only_of_what_came_after_the_first(tmp_path):
    program = """
    for what in ("wandb.watch()", "wandb.save()"):
        with steplog.init(project="p", mode="offline") as run:
            unsupported.note(what, "log it")
            unsupported.tell(run)
    """
    done = ran(tmp_path, program)
    assert done.said == [
        line for what in ("watch", "save") for line in (SAID[0], f"steplog:   wandb.{what}() (once): log it")
    ]
    assert sorted(map(str, done.logged)) == [str({"wandb.save()": 1}), str({"wandb.watch()": 1})]


def test_more_kinds_than_can_be_told_apart_are_counted_together(monkeypatch):
    unsupported = Unsupported()
    monkeypatch.setattr("steplog.compat.unsupported.before_end", lambda call: None)
    for kind in range(KINDS_MAX + 7):
        unsupported.note(f"call {kind}", "log it")
    unsupported.note("call 0", "log it")
    counts = unsupported.counts()
    assert (len(counts), counts["call 0"], counts[OTHERS]) == (KINDS_MAX + 1, 2, 7)
