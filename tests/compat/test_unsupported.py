"""What cannot be kept is counted, said once with what to do, and is a metric of the run."""

from __future__ import annotations

import os
import signal
import textwrap
from pathlib import Path

import pytest

from apart import apart
from compat.processes import SOURCE, python, write
from steplog import get_active_run, init, read_journal
from steplog.compat.unsupported import KINDS_MAX, METRIC, OTHERS, Unsupported

PRELUDE = "import os, signal, sys\nimport steplog\nfrom steplog.compat.unsupported import unsupported\n"
BEGIN = "run = steplog.init(project='p', mode='offline')\n"
NOTES = (
    "for _ in range(3):\n    unsupported.note('wandb.watch()', 'log it')\nunsupported.note('wandb.save()', 'copy it')\n"
)
COUNTS = {"wandb.watch()": 3, "wandb.save()": 1}
SAID = [
    "steplog: not recorded, since steplog has no counterpart of it:",
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


def ran(where: Path, monkeypatch: pytest.MonkeyPatch, program: str, **variables: str) -> tuple[int, list[str]]:
    """The exit code, and what was said of what is not recorded."""
    monkeypatch.setenv("STEPLOG_DIR", str(where / "state"))
    write(where, {"program.py": PRELUDE + textwrap.dedent(program)})
    done = python(where, os.environ | {"PYTHONPATH": SOURCE} | variables, "program.py")
    said = done.stderr.splitlines()
    return done.returncode, [
        line for line in said if line in SAID or "not recorded" in line or line.startswith("steplog:   ")
    ]


def logged() -> list[object]:
    return [record.value for record in read_journal() if record.name == METRIC]


@pytest.mark.parametrize("way", ENDS)
@apart
def test_it_is_said_once_and_is_in_the_run_however_that_ends(tmp_path, monkeypatch, way):
    code, end = ENDS[way]
    assert ran(tmp_path, monkeypatch, BEGIN + NOTES + end) == (code, SAID)
    assert logged()[-1] == COUNTS


@apart
def test_a_killed_run_has_a_count_of_at_least_half(tmp_path, monkeypatch):
    many = "for _ in range(1000):\n    unsupported.note('wandb.Image', 'log a number')\n"
    kill = "os.kill(os.getpid(), signal.SIGKILL)\n"
    assert ran(tmp_path, monkeypatch, BEGIN + many + kill) == (-signal.SIGKILL, [])
    assert logged()[-1] == {"wandb.Image": 512}
    assert len(logged()) == 10


@apart
def test_what_is_noted_before_a_run_begins_is_in_the_run_that_ends(tmp_path, monkeypatch):
    assert ran(tmp_path, monkeypatch, NOTES + BEGIN) == (0, SAID)
    assert logged() == [COUNTS]


def test_without_a_run_it_is_said_at_exit(tmp_path, monkeypatch):
    assert ran(tmp_path, monkeypatch, NOTES) == (0, SAID)


@apart
def test_quiet_says_nothing_and_logs_it_all_the_same(tmp_path, monkeypatch):
    assert ran(tmp_path, monkeypatch, BEGIN + NOTES, STEPLOG_QUIET="1") == (0, [])
    assert logged()[-1] == COUNTS


def test_a_forked_child_says_its_own_and_not_its_parents(tmp_path, monkeypatch):
    fork = """
    pid = os.fork()
    if pid == 0:
        unsupported.note("wandb.alert()", "mail it")
        sys.exit(0)
    os.waitpid(pid, 0)
    """
    child = "steplog:   wandb.alert() (once): mail it"
    assert ran(tmp_path, monkeypatch, BEGIN + NOTES + textwrap.dedent(fork)) == (0, [SAID[0], child, *SAID])


@apart
def test_a_second_run_is_told_only_of_what_came_after_the_first(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path))
    unsupported = Unsupported()
    for what in ("wandb.watch()", "wandb.save()"):
        with init(project="p", mode="offline"):
            unsupported.note(what, "log it")
            unsupported.tell(get_active_run())
    told = [record.getMessage() for record in caplog.records if "(once)" in record.getMessage()]
    assert told == ["steplog:   wandb.watch() (once): log it", "steplog:   wandb.save() (once): log it"]
    assert all(value in ({"wandb.watch()": 1}, {"wandb.save()": 1}) for value in logged())


@apart
def test_more_kinds_than_can_be_told_apart_are_counted_together():
    unsupported = Unsupported()
    for kind in range(KINDS_MAX + 7):
        unsupported.note(f"call {kind}", "log it")
    unsupported.note("call 0", "log it")
    counts = unsupported.counts()
    assert (len(counts), counts["call 0"], counts[OTHERS]) == (KINDS_MAX + 1, 2, 7)
