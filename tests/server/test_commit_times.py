"""Commits are counted with what they took; what was rolled back is not."""

from __future__ import annotations

import pytest

from steplog.server.sql.commit_times import CommitTimes


def test_only_what_was_committed_counts():
    times = iter([1.0, 1.5, 10.0, 20.0, 20.25])
    counted = CommitTimes(lambda: next(times))
    with counted.timed():
        pass
    with pytest.raises(ValueError, match="rolled back"), counted.timed():
        raise ValueError("rolled back")
    with counted.timed():
        counted.note_retry()
    expected = {"commits_total": 2, "commit_seconds_total": 0.75, "commit_retries_total": 1}
    assert counted.figures() == expected
