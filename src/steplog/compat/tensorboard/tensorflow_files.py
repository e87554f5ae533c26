"""Event files that TensorFlow's writers write, which are its own code: they are read as they grow.

1. A writer is one of ``tf.summary.create_file_writer``, as Keras' callback ``TensorBoard`` has them. Its event file is
   read whenever it has been flushed, which TensorFlow does at the end of ``with writer.as_default():``, or closed.
2. Where no local file comes of it, as of one that is made within a graph, it is counted.
"""

from __future__ import annotations

import contextlib
import functools
import os
import weakref
from collections.abc import Callable
from typing import Any

from steplog.compat.tensorboard.events import EventReader
from steplog.compat.unsupported import unsupported
from steplog.reentrant_lock import ReentrantLock

__all__ = ["Configure", "EventFileTail", "FollowedWriters", "Sink", "say_not_logged"]

_HEAD_BYTES, _CHECKSUM_BYTES = 12, 4  # of a record: a length and its checksum before it, another behind it
_ADVICE = "its files are not followed; to have them as a run, type: steplog import LOG_DIR"


Sink = Callable[[str, str, Any, int], None]  # of a log directory, a tag, a value, a step
Configure = Callable[[dict[str, Any]], None]  # of hyperparameters


class EventFileTail:
    """What has been added to an event file since the last look."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._position = 0

    def records(self) -> list[bytes]:
        """The whole records; what is cut is left for the next look. Raises OSError."""
        with open(self._path, "rb") as file:
            file.seek(self._position)
            data = file.read()
        found, begin = [], 0
        while begin + _HEAD_BYTES <= len(data):
            content = begin + _HEAD_BYTES
            end = content + int.from_bytes(data[begin : begin + 8], "little")
            if end + _CHECKSUM_BYTES > len(data):
                break
            begin = end + _CHECKSUM_BYTES
            found.append(data[content:end])
        self._position += begin
        return found


class _Followed:
    """A writer's event file, whose values go to ``sink``."""

    def __init__(self, writer: Any, log_dir: str, path: str, sink: Sink, configure: Configure) -> None:
        self.is_closed = False
        self._writer = weakref.ref(writer)
        self._log_dir = log_dir
        self._tail = EventFileTail(path)
        self._reader = EventReader(configure)
        self._sink = sink
        self._lock = ReentrantLock()
        for name in ("flush", "close"):
            setattr(writer, name, self._then_read(getattr(writer, name), is_last=name == "close"))

    def _then_read(self, act: Callable[[], Any], is_last: bool) -> Callable[[], Any]:
        @functools.wraps(act)
        def method() -> Any:
            result = act()
            self.read()
            self.is_closed = self.is_closed or is_last
            return result

        return method

    def flush(self) -> None:
        writer = self._writer()
        if writer is None:
            self.read()
            self.is_closed = True
        else:
            writer.flush()

    def read(self) -> None:
        """Never raises."""
        with self._lock:
            try:
                records = self._tail.records()
            except OSError as error:
                say_not_logged(self._log_dir, error)
                return
            for record in records:
                try:
                    for tag, value, step in self._reader.parsed(record):
                        self._sink(self._log_dir, tag, value, step)
                except Exception as error:  # noqa: BLE001 - the training goes on, and its event file has it
                    say_not_logged(self._log_dir, error)


def say_not_logged(log_dir: str, error: Exception) -> None:
    """Say, once a reason, that the run lacks what a writer was given."""
    from steplog.compat.notices import say_once  # late, as all that a run needs

    say_once(f"not logged of {log_dir}: {error!s:.300}", always=True)


class FollowedWriters:
    """The writers of a process that are followed."""

    def __init__(self, sink: Sink, configure: Configure) -> None:
        self._sink = sink
        self._configure = configure
        self._followed: list[_Followed] = []

    def wrapped(self, create: Callable[..., Any], is_on: Callable[[], bool]) -> Callable[..., Any]:
        """``create_file_writer``, whose writers are followed if ``is_on`` says so when they are made."""

        @functools.wraps(create)
        def create_file_writer(*arguments: Any, **named: Any) -> Any:
            if not is_on():
                return create(*arguments, **named)
            log_dir = _path(arguments[0] if arguments else named.get("logdir"))
            before = _files(log_dir)
            writer = create(*arguments, **named)
            begun = _files(log_dir) - before
            if len(begun) == 1:
                from steplog.safeguard import before_end  # late, as all that a run needs

                before_end(self.flush)
                path = os.path.join(log_dir, *begun)
                self._followed = [each for each in self._followed if not each.is_closed]
                self._followed.append(_Followed(writer, log_dir, path, self._sink, self._configure))
            elif log_dir:
                unsupported.note("tf.summary.create_file_writer()", _ADVICE)
            return writer

        return create_file_writer

    def flush(self) -> None:
        """Have the writers write, and read it."""
        for followed in self._followed:
            with contextlib.suppress(Exception):  # of TensorFlow, where the process ends
                followed.flush()


def _path(log_dir: Any) -> str:
    if hasattr(log_dir, "numpy"):
        log_dir = log_dir.numpy()
    return "" if log_dir is None else os.fsdecode(log_dir)


def _files(log_dir: str) -> set[str]:
    try:
        return {name for name in os.listdir(log_dir) if "tfevents" in name}
    except OSError:
        return set()
