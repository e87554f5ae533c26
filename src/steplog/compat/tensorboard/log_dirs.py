"""What a log directory says: the names of a run, and what is put before the tags of one of several writers.

::

    log directory       a run of its own                      tags in a run that has runs/a already
    runs/a              a, in the project runs                loss
    runs/a/train        a/train of the group a, in runs       train/loss
    runs/a/epoch/3      3, in the project epoch               epoch/3/loss
    runs/b              b, in the project runs                b/loss
    b                   b, in the project runs                b/loss

The last component of a directory is a part of the run above if it is one of ``PARTS``. In a run that has several
writers, tags are named from the directory of the first of them.
"""

from __future__ import annotations

import os
import weakref
from datetime import datetime
from typing import Any, NamedTuple

__all__ = ["PARTS", "Names", "default_log_dir", "names", "prefix"]

PARTS = frozenset(("train", "training", "val", "valid", "validation", "eval", "evaluation", "test", "testing", "dev"))
_PROJECT = "runs"
_roots: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()  # by run


class Names(NamedTuple):
    """What a run of its own is called."""

    project: str
    name: str
    group: str | None


def default_log_dir(comment: str, now: datetime, host: str) -> str:
    """As TensorBoard's writers name it."""
    return os.path.join(_PROJECT, f"{now:%b%d_%H-%M-%S}_{host}{comment}")


def names(log_dir: str) -> Names:
    """What a run of this log directory is called."""
    above, part = _split(log_dir)
    project = os.path.basename(os.path.dirname(above)) or _PROJECT
    name = os.path.basename(above)
    return Names(project, f"{name}/{part}", name) if part else Names(project, name, None)


def prefix(run: Any, log_dir: str) -> str:
    """What is put before the tags of a writer of this log directory: nothing, or a path that ends in a slash."""
    root = _roots.setdefault(run, os.path.abspath(_split(log_dir)[0]))
    steps = os.path.relpath(os.path.abspath(log_dir), root).split(os.sep)
    return "".join(f"{step}/" for step in steps if step not in (os.curdir, os.pardir))


def _split(log_dir: str) -> tuple[str, str]:
    """The directory of the run, and which part of it this is; ""."""
    whole = os.path.normpath(log_dir)
    above, last = os.path.split(whole)
    if last.lower() in PARTS and os.path.basename(above):
        return above, last
    return (whole if os.path.basename(whole) not in (os.curdir, os.pardir, "") else os.path.abspath(whole)), ""
