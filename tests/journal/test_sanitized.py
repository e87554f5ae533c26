"""The compiled append under the address and the undefined-behaviour sanitizer (``scripts/sanitize``)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SKIPPED = 77
SOURCE = ROOT / "src" / "steplog" / "journal" / "_append.c"
HOSTILE = ["tests/journal/test_append_hostile.py", "tests/journal/test_compiled_memory.py"]
FOUND = ("AddressSanitizer", "runtime error", "Segmentation fault")
PLANTED = {
    "a write after the end": ("room->end - room->next >= count * SLOT_BYTES", "(void)room, count < 1000"),
    "a segment that is gone": ("names == self->names\n                   && room == self->room", "room != NULL"),
    "a name not held": ("known->name = Py_NewRef(name);", "known->name = name;"),
    "a shift that is undefined": ("*kind = FLOAT_TO_INT;", "*kind = (uint64_t)(1 << (int)(48 + *bits % 2));"),
}


def sanitized(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The script's run. Skips where it cannot."""
    command = [sys.executable, str(ROOT / "scripts" / "sanitize"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode == SKIPPED:
        pytest.skip(done.stdout.strip())
    return done


@pytest.mark.slow
def test_hostile_calls_overrun_nothing_and_use_nothing_after_its_end():
    done = sanitized(*HOSTILE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.slow
def test_all_that_logs_through_a_writer_overruns_nothing():
    done = sanitized()
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found_by_the_sanitizers(bug, tmp_path):
    before, after = PLANTED[bug]
    text = SOURCE.read_text("utf-8")
    assert text.count(before) == 1
    planted = tmp_path / "_append.c"
    planted.write_text(text.replace(before, after), "utf-8")
    done = sanitized("--source", str(planted), *HOSTILE)
    assert done.returncode != 0
    assert any(words in done.stdout + done.stderr for words in FOUND), done.stdout + done.stderr
