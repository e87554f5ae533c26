"""Lines about what differs from another logger: each once, and not for ever."""

from __future__ import annotations

import pytest

from apart import apart
from steplog.compat import notices


@apart
def test_a_text_is_said_once_and_ever_new_ones_not_for_ever(caplog: pytest.LogCaptureFixture, monkeypatch):
    monkeypatch.setenv("STEPLOG_QUIET", "0")
    for number in range(2 * notices.SAID_MAX):
        for _ in range(2):
            notices.say_once(f"the value {number} is none")
    assert len(caplog.records) == len({record.message for record in caplog.records}) == notices.SAID_MAX


@apart
def test_quiet_leaves_out_all_but_what_is_lost(caplog: pytest.LogCaptureFixture, monkeypatch):
    monkeypatch.setenv("STEPLOG_QUIET", "1")
    notices.say("the entity is left out")
    notices.say("not logged of runs/a", always=True)
    assert [record.message for record in caplog.records] == ["steplog: not logged of runs/a"]
