"""A test leaves nothing for the next: what a process says once, and threads that log."""

from __future__ import annotations

import re
import signal
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import leftovers
import steplog
from end_to_end.programs import Host, line, no_programs_left
from leftovers import AGENT, SAID, no_agent_left, said_anew
from steplog.compat import notices
from steplog.lifecycle import messages
from users import open_to_all

SOURCE = Path(steplog.__file__).parent


def test_what_is_said_once_is_said_again_in_the_next_test(caplog):
    for _ in range(2):
        with said_anew():
            messages.say_once(False, "the disk is full")
            messages.say_once(False, "the disk is full")
            notices.say_once("tags are not kept", always=True)
    assert caplog.messages == ["steplog: the disk is full", "steplog: tags are not kept"] * 2


def test_every_module_that_keeps_what_it_has_said_is_known():
    keeps = re.compile(r"^(_said|_once)\b.*=", re.MULTILINE)
    found = {
        ".".join(("steplog", *path.relative_to(SOURCE).with_suffix("").parts)): match[1]
        for path in SOURCE.rglob("*.py")
        for match in keeps.finditer(path.read_text("utf-8"))
    }
    assert found == SAID


def test_the_threads_of_an_agent_are_known_by_their_names():
    texts = [path.read_text("utf-8") for path in (SOURCE / "delivery").glob("*.py")]
    assert {name for text in texts for name in re.findall(r'"(steplog-[a-z]+)', text)} == {*AGENT}


def test_a_thread_that_runs_on_is_named_and_one_that_ends_or_was_there_is_not(monkeypatch):
    monkeypatch.setattr(leftovers, "ENDS_S", 0.05)
    over = threading.Event()

    def begin(name: str, work: Callable[[], object]) -> None:
        threading.Thread(target=work, name=name, daemon=True).start()

    with pytest.raises(AssertionError, match=r"\['steplog-sender'\] run on"), no_agent_left():
        begin("steplog-sender", over.wait)
    with no_agent_left():
        begin("other", over.wait)
        begin("steplog-sender-2", lambda: None)
    over.set()


def test_a_program_that_a_failed_test_has_left_is_ended_and_leaves_no_warning(tmp_path):
    host = Host(tmp_path, None)
    with no_programs_left():
        one = host.start("print('ready', flush=True); sys.stdin.read()")
        assert line(one) == "ready"
        with no_programs_left():
            other = host.start("sys.stdin.read()")
        assert one.poll() is None
        assert other.returncode == -signal.SIGKILL
    assert one.returncode == -signal.SIGKILL
    for pipe in (one.stdin, one.stdout, one.stderr):
        assert pipe is not None
        assert pipe.closed


def test_a_directory_that_was_opened_to_all_and_those_above_are_closed_again(tmp_path):
    """The one above pytest's own was closed to all others: whoever ran in it found nothing any more."""
    inner = tmp_path / "kept" / "shared" / "closed"
    inner.mkdir(parents=True)
    modes = {inner: 0o700, inner.parent: 0o1777, inner.parent.parent: 0o700}
    for path, mode in modes.items():
        path.chmod(mode)
    with open_to_all(inner):
        assert [stat.S_IMODE(path.stat().st_mode) for path in modes] == [0o777, 0o1777, 0o711]
    assert {path: stat.S_IMODE(path.stat().st_mode) for path in modes} == modes
