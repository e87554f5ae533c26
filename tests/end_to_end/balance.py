"""The balance of a run that ends: each value given to ``log`` has exactly one end, and is counted there.

``logged = delivered + pending + rejected + dropped + abandoned + lost``, held against what the writers claimed: a
claimed position carries a value, and a call that was not taken claims none. Calls that a signal interrupted, whose
positions stay empty, are for tests of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steplog import Report

Finish = Callable[..., Report]


def balanced(run: Any) -> Finish:
    """``run.finish``, which checks the balance of its report."""
    finish: Finish = run.finish

    def checked(*arguments: Any, **given: Any) -> Report:
        report = finish(*arguments, **given)
        check(run, report)
        return report

    return checked


def check(run: Any, report: Report) -> None:
    """That the report counts each value once, where no other process may still log."""
    lost, opened = report.lost or 0, run._opened
    ends = report.delivered + report.pending + report.rejected + report.abandoned + lost + sum(report.dropped.values())
    assert report.logged == ends, report
    if getattr(opened, "lease", None) is None or not opened.opened.closed:
        return
    own, journals = opened.opened.journal, list(opened.lease.outbox.journals.values())
    if report.lost is None or any(journal.alive for journal in journals if journal is not own):
        return
    claimed = sum(max(journal.cursor.delivered, journal.written()) for journal in journals if journal is not own)
    claimed += opened.opened.writer.append.segment.header.base
    refused = sum(calls for reason, calls in report.dropped.items() if reason != "oldest")
    assert report.logged == claimed + refused, (
        f"{claimed} positions were claimed, {refused} calls were not taken: {report}"
    )
