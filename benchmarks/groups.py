"""The groups: what each answers, how long it takes, and which of them ``--quick`` takes by itself."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CHAPTERS", "GROUPS", "Group", "chosen"]


@dataclass(frozen=True)
class Group:
    """``minutes``: a full run on two cores. ``quick``: one of those that tell in two minutes whether it is fast."""

    chapter: str
    heading: str
    minutes: float
    quick: bool = False


LOGGING, DELIVERY, SERVER, READING, FILES, PAGE = CHAPTERS = (
    "Logging",
    "Delivery",
    "The server",
    "Reading",
    "Files and media",
    "The page",
)
GROUPS = {
    "log_cost": Group(LOGGING, "A call", 0.5, quick=True),
    "free_threading": Group(LOGGING, "A call without the GIL", 0.5),
    "tails": Group(LOGGING, "The slowest calls", 4.0),
    "busy_thread": Group(LOGGING, "The longest call beside a busy thread", 2.5),
    "slices": Group(LOGGING, "Waiting for the GIL", 1.5),
    "loop_tax": Group(LOGGING, "What a training pays", 4.0),
    "startup": Group(LOGGING, "Import, start and finish", 1.0, quick=True),
    "memory": Group(LOGGING, "Memory", 0.5, quick=True),
    "growth": Group(LOGGING, "Names, records, processes and runs", 2.0),
    "compat": Group(LOGGING, "wandb's calls", 0.5, quick=True),
    "kept_scripts": Group(LOGGING, "Public scripts that are kept whole", 0.5),
    "throughput": Group(DELIVERY, "Metrics a second", 1.5, quick=True),
    "size": Group(DELIVERY, "Bytes a metric", 0.5, quick=True),
    "exchange": Group(DELIVERY, "A request", 0.5, quick=True),
    "range_path": Group(DELIVERY, "Code that a request passes", 0.5),
    "stock": Group(DELIVERY, "A stock server 50 ms away", 2.0),
    "writers": Group(DELIVERY, "Finishing with many writers", 1.0),
    "server_load": Group(SERVER, "Many runs, SQLite", 4.0),
    "team": Group(SERVER, "Many runs, PostgreSQL", 6.0),
    "floods": Group(SERVER, "Under floods", 3.0),
    "deleting": Group(SERVER, "While a project is deleted", 3.0),
    "team_deleting": Group(SERVER, "While a project is deleted, PostgreSQL", 4.0),
    "backup": Group(SERVER, "During a backup", 1.0),
    "reading": Group(READING, "A curve, a history", 3.0),
    "curves": Group(READING, "Long curves, many curves", 2.0),
    "tables": Group(READING, "A table of runs", 3.0),
    "export": Group(READING, "Export", 2.0),
    "importing": Group(READING, "Import", 1.0),
    "media": Group(FILES, "An image", 0.5),
    "blobs": Group(FILES, "Logging beside media", 1.0),
    "file_uploads": Group(FILES, "Metrics beside uploads", 1.0),
    "file_delivery": Group(FILES, "A large file, an outage and a kill", 2.0),
    "page_load": Group(PAGE, "From the address to the charts", 4.0),
    "page_frames": Group(PAGE, "Zooming", 1.0),
    "page_bytes": Group(PAGE, "An open page", 5.0),
}


def chosen(asked: list[str], *, quick: bool, peers: bool) -> list[str]:
    """The groups to run. Raises ValueError with the names that are none."""
    if wrong := set(asked) - set(GROUPS) - {"all"}:
        raise ValueError(", ".join(sorted(wrong)))
    if asked:
        return list(GROUPS) if "all" in asked else list(dict.fromkeys(asked))
    return [] if peers else [name for name, group in GROUPS.items() if group.quick or not quick]
