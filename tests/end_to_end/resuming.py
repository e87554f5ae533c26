"""What becomes of a run that is begun again: the table that the tests check and the docs show.

A first process begins a run and ends in one of ``ENDS``; then a second one calls ``init`` with the same name, or the
same id and one of ``RESUMES``; the server is one of ``SERVERS``.
"""

from __future__ import annotations

__all__ = ["ENDS", "RESUMES", "SERVERS", "outcome", "rows"]

GOES_ON = "goes on"
NEW = "a new run"
ADDS = "adds to it"
TAKES_OVER = "takes it over"
SHARED = "goes on; the last status counts"
RAISES = "`RunExistsError`"

ENDS = {
    "completed": "COMPLETED",
    "failed": "FAILED",
    "crashed": "ended by an exception",
    "killed": "killed, its records still here",
    "killed, delivered": "killed, all of it on the server",
    "running here": "still running, on this machine",
    "running elsewhere": "still running, on another machine",
}
RESUMES = (None, "never", "allow", "must")
SERVERS = {
    "embedded": "the embedded server",
    "stock": "a stock server",
    "offline": "offline, then `steplog sync`",
}


def outcome(end: str, resume: str | None, server: str) -> str:
    """What becomes of the second process."""
    if resume is None:
        return NEW
    if resume == "never":
        return NEW if server == "offline" else RAISES
    if end == "running here":
        return ADDS
    if end == "running elsewhere":
        return SHARED if server == "stock" else TAKES_OVER
    return GOES_ON


def rows() -> list[tuple[str, ...]]:
    """The table for people: a head, then a line for each end, with ``allow`` and ``must`` in one."""
    head = ("the run before", "`resume`", *SERVERS.values())
    lines = []
    for end, words in ENDS.items():
        for named, resume in (("–", None), ('`"never"`', "never"), ('`"allow"`, `"must"`', "allow")):
            lines.append((words, named, *(outcome(end, resume, server) for server in SERVERS)))
    merged: list[tuple[str, ...]] = []
    for named in ("–", '`"never"`', '`"allow"`, `"must"`'):
        by_result: dict[tuple[str, ...], list[str]] = {}
        for words, its, *results in lines:
            if its == named:
                by_result.setdefault(tuple(results), []).append(words)
        for results, ends in by_result.items():
            what = "any" if len(ends) == len(ENDS) else "ended, in whatever way" if len(ends) > 1 else ends[0]
            merged.append((what, named, *results))
    return [head, *merged]
