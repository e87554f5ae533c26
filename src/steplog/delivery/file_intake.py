"""The thread *files* of an agent: has what runs took of files become files on disk (``WaitingFiles.take_in``).

It starts with the first file, not in ``log``. To compress and to hash it takes at most ``share_max`` of a processor,
unless somebody waits for a run, or media take half of the memory that they may: the next ones would be dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from steplog.blobs.waiting_files import WaitingFiles
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.loop import Loop

__all__ = ["FileIntake"]

_POLL_S = 1.0
_SECURE_LOOK_S = 0.005
_LOOK_S = 0.1  # for who waits
_IDLE_S = 3600.0  # until woken


class FileIntake:
    """``attempt`` does something and counts what it raises; ``hurries``: whether somebody waits."""

    def __init__(
        self,
        attempt: Callable[[Callable[[], object]], None],
        share_max: float,
        hurries: Callable[[], bool],
    ) -> None:
        self.on_files: Callable[[], None] = lambda: None  # there are new ones on disk
        self._attempt = attempt
        self._share_max = share_max
        self._hurries = hurries
        self._loop = Loop()
        self._waiting: dict[int, WaitingFiles] = {}  # by their own id, so that none is there twice
        self._said: set[int] = set()  # whose trouble was

    @property
    def wanted(self) -> bool:
        """Whether there is something to do, and no thread yet."""
        return bool(self._waiting) and not self._loop.started

    def add(self, files: WaitingFiles) -> None:
        """Take in what is there. Called in ``log``; safe in a signal handler."""
        self._waiting[id(files)] = files
        self._loop.wake()

    def start(self, fault: Callable[[str, BaseException], None]) -> None:
        """Start the thread, once. Raises RuntimeError where none can be started."""
        self._loop.start(self._round, "steplog-files", fault)

    def secure(self, files: WaitingFiles, timeout_s: float, fault: Callable[[str, BaseException], None]) -> bool:
        """Wait until the end of this process loses none of these; whether so within ``timeout_s``.

        Where no thread can be started they are taken in here.
        """
        deadline = time.monotonic() + timeout_s
        try:
            if files.at_risk():
                self.start(fault)
                self.add(files)
        except RuntimeError:
            while files.at_risk() and files.take_in():
                pass
        while files.at_risk() and time.monotonic() < deadline:
            time.sleep(_SECURE_LOOK_S)
        return not files.at_risk()

    def _round(self) -> None:
        self._loop.rest(_POLL_S)
        for key, files in self._waiting.copy().items():
            self._attempt(partial(self._take_in, files))
            self._tell(key, files)
            if files.has_work():
                continue
            self._waiting.pop(key, None)
            if files.has_work():  # it came meanwhile
                self._waiting[key] = files
        if not self._waiting:
            self._loop.rest(_IDLE_S)

    def _take_in(self, files: WaitingFiles) -> None:
        """One batch after the other, as long as there are any."""
        while True:
            begun, worked = time.monotonic(), time.thread_time()
            if not files.take_in():
                return
            self.on_files()
            files.room.refresh()
            until = begun + (time.thread_time() - worked) / self._share_max
            while (left_s := until - time.monotonic()) > 0 and not self._is_urgent(files):
                self._loop.sleep(min(left_s, _LOOK_S))

    def _is_urgent(self, files: WaitingFiles) -> bool:
        return bool(files.at_risk()) or self._hurries() or files.room.is_half_full()

    def _tell(self, key: int, files: WaitingFiles) -> None:
        if files.trouble is None:
            self._said.discard(key)
        elif key not in self._said:
            self._said.add(key)
            deferred_log.warning(
                "steplog cannot write the files of run %s to disk: %s. They stay where they are, and it tries again.",
                files.paths.local_id[:8],
                files.trouble,
            )
