"""The line at the end of a run: what is delivered, what is kept and where, and what is lost."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from delivery.parts import Book
from steplog.lifecycle import messages
from steplog.report import Stats

LOST = "lost, which neither shared memory nor the disk takes"


def ended(
    pending: int,
    durable: int = 0,
    *,
    memory: bool = False,
    sent: bool = False,
    transport: object = "one",
    mode: str = "online",
    **more: Any,
) -> SimpleNamespace:
    """A run of five records at its end, of which so many are on disk, with what ``saying`` looks at."""
    book = Book().write(5)
    book.journal.set_cursor(replace(book.journal.cursor, durable=durable, delivered=5 - pending))
    return SimpleNamespace(
        name=lambda: "brave",
        stats=lambda: Stats(logged=5, delivered=5 - pending, pending=pending, **more),
        settings=SimpleNamespace(quiet=False),
        lease=SimpleNamespace(outbox=SimpleNamespace(status_sent=sent)),
        opened=SimpleNamespace(journal=book.journal, directory=Path("/memory/w") if memory else None),
        paths=SimpleNamespace(memory=Path("/memory") if memory else None, spool=Path("/spool")),
        manifest=SimpleNamespace(mode=mode),
        transport=transport,
    )


SYNC = "the next run on this machine sends it; or type: steplog sync"


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (ended(0, sent=True), "5 delivered"),
        (ended(0), f"5 delivered; it is kept in /spool; {SYNC}"),
        (ended(5), f"5 records are {LOST}; set STEPLOG_DIR"),
        (ended(5, 5), f"5 records are kept in /spool; {SYNC}"),
        (ended(5, 3), f"3 records are kept in /spool; {SYNC}; 2 records are {LOST}; set STEPLOG_DIR"),
        (ended(4, 2), f"1 delivered; 1 record is kept in /spool; {SYNC}; 3 records are {LOST}; set STEPLOG_DIR"),
        (ended(1), f"4 delivered; 1 record is {LOST}; set STEPLOG_DIR"),
        (ended(5, memory=True), f"5 records are kept in /memory; {SYNC}"),
        (ended(5, memory=True, last_error="refused"), f"5 records are kept in /memory (refused); {SYNC}"),
        (ended(5, memory=True, mode="offline"), "5 records are kept in /memory; to send it, type: steplog sync"),
    ],
)
def test_what_is_left_is_said_to_be_kept_only_where_it_outlives_the_process(run, words, caplog):
    with caplog.at_level(logging.INFO, "steplog"):
        messages.ended(run)
    assert [record.message for record in caplog.records] == [f"steplog: run brave: {words}"]


@pytest.mark.parametrize(
    ("run", "level"),
    [(ended(0, sent=True), "INFO"), (ended(5, 5), "WARNING"), (ended(5, 5, transport=None, mode="offline"), "INFO")],
)
def test_records_that_stay_behind_are_a_warning_unless_the_run_goes_nowhere(run, level, caplog):
    with caplog.at_level(logging.INFO, "steplog"):
        messages.ended(run)
    assert [record.levelname for record in caplog.records] == [level]


def test_a_run_without_custody_whose_records_are_delivered_says_just_that(caplog):
    run = ended(0)
    run.lease = None
    with caplog.at_level(logging.INFO, "steplog"):
        messages.ended(run)
    assert [record.message for record in caplog.records] == ["steplog: run brave: 5 delivered"]
