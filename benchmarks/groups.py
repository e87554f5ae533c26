"""The groups: what each answers, and which of them ``--quick`` takes by itself."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CHAPTERS", "GROUPS", "Group", "chosen"]


@dataclass(frozen=True)
class Group:
    """``about``: said under the heading. ``quick``: one of those that tell in two minutes whether it is fast."""

    chapter: str
    heading: str
    about: str
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
    "log_cost": Group(
        LOGGING,
        "A call",
        "The median of a call while the sender delivers, timer included, beside the floor and the no-op in the same "
        "turns. *c* is the compiled append, *pure* the one in Python, *locked* the one of a build without a GIL.",
        quick=True,
    ),
    "free_threading": Group(
        LOGGING,
        "A call without the GIL",
        "One run, in an interpreter without a GIL. *log()* and the floor, one deque, are called by one thread, and "
        "by four at once.",
    ),
    "tails": Group(
        LOGGING,
        "The slowest calls",
        "p99.9 above the no-op's: each `log()` is timed beside an empty function in the same turn of a paced loop, "
        "so that both see the same machine. The server is stopped (SIGSTOP), each `fdatasync` takes ten seconds "
        "(strace), the disk is a file system of 256 KiB, or a second thread computes endlessly.",
        quick=True,
    ),
    "busy_thread": Group(
        LOGGING,
        "The longest call beside a busy thread",
        "The longest of 200,000 calls beside a thread that computes in Python, from the first call after `init` on, "
        "above an empty function's longest. *Values* are objects of up to 4 KiB.",
    ),
    "slices": Group(
        LOGGING,
        "Waiting for the GIL",
        "What the agent's threads used of a processor while a training thread waited for the GIL once: all of them "
        "in a second, and the longest.",
    ),
    "loop_tax": Group(
        LOGGING,
        "What a training pays",
        "A metric a step in a training loop, judged by processor time: all our threads and the calls themselves, "
        "with everything delivered before the block ends. Wall time counts only where the control's own spread is "
        "below the line.",
        quick=True,
    ),
    "startup": Group(
        LOGGING,
        "Import, start and finish",
        "In fresh processes, in turns with ones that import requests.",
        quick=True,
    ),
    "memory": Group(
        LOGGING,
        "Memory",
        "Private memory above that of an interpreter with requests imported. Segments of shared memory are counted "
        "apart.",
        quick=True,
    ),
    "growth": Group(
        LOGGING,
        "Names, records, processes and runs",
        "What a call costs at the far end, divided by what it costs at the near one: flat is 1.",
    ),
    "compat": Group(
        LOGGING,
        "wandb's calls",
        "`log` of four numbers by [wandb's calls](coming-from.md#wandb), in turns with `run.log` of the same "
        "mapping, and with wandb itself (offline) and trackio where they are installed. All are open in one "
        "process, which delivers.",
        quick=True,
    ),
    "kept_scripts": Group(
        LOGGING,
        "Public scripts that are kept whole",
        "Which share of public scripts calls nothing but what the module supports. The shares are of a count by "
        "hand of 2026-11-26; every call is made and looked up at the server.",
    ),
    "throughput": Group(
        DELIVERY,
        "Metrics a second",
        "Of 8 names, from the first `log()` to the end of `finish()`, with everything stored by the embedded server.",
        quick=True,
    ),
    "size": Group(
        DELIVERY,
        "Bytes a metric",
        "Eight noisy curves of float64.",
        quick=True,
    ),
    "exchange": Group(
        DELIVERY,
        "A request",
        "One exchange with a server that answers at once, in turns over a local socket and over TCP.",
        quick=True,
    ),
    "range_path": Group(
        DELIVERY,
        "Code that a request passes",
        "Functions of ours that one delivered range passes in a thread, counted by a profiler.",
    ),
    "stock": Group(
        DELIVERY,
        "A stock server 50 ms away",
        "A stock server takes one metric a request. Each name stays on one connection, because such a server "
        "numbers steps as they arrive, so the number of names bounds the gain.",
    ),
    "writers": Group(
        DELIVERY,
        "Finishing with many writers",
        "`finish()` of a run whose worker processes have just ended, with a batch of each still to be sent.",
    ),
    "server_load": Group(
        SERVER,
        "Many runs, SQLite",
        "*Thin* is ordinary training: 50 metrics a second of each of 200 runs, a request a second each. *Dense* is "
        "full requests: 8,192 records of 8 metrics, from 8 runs. CPU is that of server and packer together.",
    ),
    "team": Group(
        SERVER,
        "Many runs, PostgreSQL",
        "As above, by one server process and by two over one PostgreSQL, with commits that wait for the disk. Clients "
        "send as fast as they are answered; paced ones a request a second each. All of them share the processors; a "
        "CPU second is one of servers and database.",
    ),
    "floods": Group(
        SERVER,
        "Under floods",
        "The p99 of a working client while others flood the server, by its p99 beside a control that takes as much "
        "of the processors.",
    ),
    "deleting": Group(
        SERVER,
        "While a project is deleted",
        "Four clients write a metric each every 50 ms while a project of gigabytes is deleted; the database is not "
        "in the page cache when the deletion begins.",
    ),
    "team_deleting": Group(
        SERVER,
        "While a project is deleted, PostgreSQL",
        "The same with PostgreSQL.",
    ),
    "backup": Group(
        SERVER,
        "During a backup",
        "Four clients write a metric each every 50 ms while the database is backed up.",
    ),
    "reading": Group(
        READING,
        "A curve, a history",
        "A curve of 1,000 points from the embedded server, and the whole history of a metric over loopback.",
    ),
    "curves": Group(
        READING,
        "Long curves, many curves",
        "A curve of one metric of 10⁸ and 10⁹ points, and of many runs in one request.",
    ),
    "tables": Group(
        READING,
        "A table of runs",
        "The first page of a table of 50,000 runs with 40 metrics and 30 config entries each, over loopback, from "
        "SQLite and from PostgreSQL.",
    ),
    "export": Group(
        READING,
        "Export",
        "A run of 10⁶ and 10⁷ points to a file, from the request to the file's rename.",
    ),
    "importing": Group(
        READING,
        "Import",
        "`steplog import` of an event file of TensorBoard with a million points, the interpreter's start included.",
    ),
    "media": Group(
        FILES,
        "An image",
        "What `log` of an image takes in the caller, and how fast its file is made beside Pillow's PNG.",
    ),
    "blobs": Group(
        FILES,
        "Logging beside media",
        "`log()` of a number while images of 0.75 MiB are taken in, made into files and sent, in turns with numbers "
        "alone; and how fast a file is copied.",
    ),
    "file_uploads": Group(
        FILES,
        "Metrics beside uploads",
        "How long a dense batch takes while eight clients upload files to the same server. The control's uploads go "
        "to another server of this machine.",
    ),
    "file_delivery": Group(
        FILES,
        "A large file, an outage and a kill",
        "A large file from a program to the server, beside a plain copy with fsync, and `log()` of a number meanwhile. "
        "Files that were each saved twice must be there, once, after an outage of the server and a kill of the "
        "program.",
    ),
    "page_load": Group(
        PAGE,
        "From the address to the charts",
        "From the address to the last chart in view, in headless Chromium, in turns with other dashboards that are "
        "filled with the same values.",
    ),
    "page_frames": Group(
        PAGE,
        "Zooming",
        "The time of a frame while a chart is zoomed by the wheel, in headless Chromium.",
    ),
    "page_bytes": Group(
        PAGE,
        "An open page",
        "Requests and answers of a page that stays open, with their headers, as Chromium counts them.",
    ),
}


def chosen(asked: list[str], *, quick: bool, peers: bool) -> list[str]:
    """The groups to run. Raises ValueError with the names that are none."""
    if wrong := set(asked) - set(GROUPS) - {"all"}:
        raise ValueError(", ".join(sorted(wrong)))
    if asked:
        return list(GROUPS) if "all" in asked else list(dict.fromkeys(asked))
    return [] if peers else [name for name, group in GROUPS.items() if group.quick or not quick]
