"""The run of a ``SummaryWriter``.

1. It is looked for at the first value: the active run; without one, a run of the log directory, which is begun.
   Writers of one log directory share it.
2. A run that a writer has begun ends when the last of its writers is closed. A writer that goes on after that, or
   another one of the same log directory in the same process, resumes it.
3. A run that was joined is ended by whoever began it. Once that has happened, the run that is active then is joined;
   if there is none, what comes is dropped, and that is said once.
4. ``flush`` waits 5 s at most, and does not wait again until a flush finds all delivered: programs call it at each
   epoch or step, and a kill of the process loses nothing anyway.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import steplog
from steplog.compat.field_limits import fitting_name
from steplog.compat.tensorboard import log_dirs
from steplog.compat.unsupported import unsupported
from steplog.errors import RunFinishedError, SteplogError
from steplog.reentrant_lock import ReentrantLock

if TYPE_CHECKING:
    from steplog import Run

__all__ = ["WriterRun", "checked_tag"]

_FLUSH_S = 5.0
_log = logging.getLogger("steplog")
_lock = ReentrantLock()


class _OwnRun:
    """A run that writers have begun."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.pid = os.getpid()
        self.writers: set[int] = set()
        self.error: BaseException | None = None


_own: dict[str, _OwnRun] = {}  # by log directory
_ended: dict[str, str] = {}  # the uuid, by log directory


class _Used(NamedTuple):
    """The run that a writer logs to, what comes before its tags there, and the names that they have so far, by tag."""

    run: Run
    prefix: str
    names: dict[str, str]

    def name(self, tag: str) -> str:
        """The name of a tag. Raises TypeError."""
        name = self.names[tag] = checked_tag(self.prefix + tag if tag.__class__ is str else tag)
        return name


class WriterRun:
    """The run of one writer; safe in any thread."""

    def __init__(self, log_dir: str, *, goes_on: bool = False, names: log_dirs.Names | None = None) -> None:
        self.log_dir = log_dir
        self.names = log_dirs.names(log_dir) if names is None else names  # of a run of its own
        self._key = os.path.abspath(log_dir)
        self._goes_on = goes_on
        self._used: _Used | None = None
        self._told = False
        self._is_delivered = True  # what the last flush was of

    def run(self) -> Run:
        """The run. Raises as ``steplog.init`` does, where it begins one."""
        return self._use().run

    def _use(self) -> _Used:
        with _lock:
            if self._used is not None:
                return self._used
            own = _own.get(self._key)
            if own is None and (active := _active()) is not None:
                return self._change(active, log_dirs.prefix(active, self.log_dir))
            if own is None:
                own = _own[self._key] = _OwnRun(self._begun())
            own.writers.add(id(self))
            return self._change(own.run, "")

    def _change(self, run: Run, prefix: str) -> _Used:
        self._used = used = _Used(run, prefix, {})
        return used

    def is_own(self) -> bool:
        """Whether the run is one that writers have begun. Begins it."""
        run = self.run()
        with _lock:
            return any(own.run is run for own in _own.values())

    def log(self, tag: str, value: Any, step: int | None) -> None:
        """Log a value; see ``Run.log``."""
        used = self._used or self._use()
        try:
            used.run.log(used.names.get(tag) or used.name(tag), value, step)
        except RunFinishedError as error:
            if self._joins_another():
                self.log(tag, value, step)
            else:
                self._say_dropped(error)

    def configure(self, values: dict[str, Any]) -> None:
        """Set keys of the run's config."""
        try:
            self.run().config.update(values)
        except RunFinishedError as error:
            if self._joins_another():
                self.configure(values)
            else:
                self._say_dropped(error)

    def _joins_another(self) -> bool:
        """The run is over; whether another one is active, which is joined."""
        with _lock:
            active = _active()
            if active is None or (self._used is not None and active is self._used.run):
                return False
            self._change(active, log_dirs.prefix(active, self.log_dir))
            return True

    def flush(self) -> None:
        """Wait until what was logged is delivered; not again while a server does not take it."""
        if (used := self._used) is not None:
            from steplog.settings import resolve  # late, as all that a run needs

            limit_s = min(_FLUSH_S, resolve().finish_timeout_s) if self._is_delivered else 0.0
            self._is_delivered = used.run.flush(limit_s)

    def close(self, error: BaseException | None = None) -> None:
        """Let go of the run; end it, if writers have begun it and this is the last one. ``error`` makes it CRASHED."""
        with _lock:
            own = _own.get(self._key)
            is_last = False
            used = self._used
            if own is not None and used is not None and own.run is used.run and own.pid == os.getpid():
                own.error = own.error or error
                own.writers.discard(id(self))
                is_last = not own.writers
                if is_last:
                    _ended[self._key] = str(own.run.uuid)
                    del _own[self._key]
                self._used = None
        if own is not None and is_last:
            unsupported.tell(own.run)
            try:
                own.run.finish(error=own.error)
            except (SteplogError, OSError) as refused:  # the program goes on, and ends it again
                _log.warning("steplog: the end of run %s was not taken by the server: %s", own.run.name, refused)

    def _begun(self) -> Run:
        """A run of the log directory: a new one, or the one that this process has ended."""
        if (uuid := _ended.get(self._key)) is not None:
            with suppress(SteplogError, OSError):  # deleted, disabled, not to be reached: another one is begun
                return steplog.attach(uuid, owner=True)
        from steplog.settings import resolve

        return steplog.init(
            project=resolve().project or self.names.project,
            name=self.names.name,
            group=self.names.group,
            resume="allow" if self._goes_on else None,
            activate=False,
        )

    def _say_dropped(self, error: RunFinishedError) -> None:
        if not self._told:
            self._told = True
            _log.warning("steplog: the SummaryWriter of %s goes on after its run: %s", self.log_dir, error)

    def __getstate__(self) -> dict[str, Any]:
        used = self._used
        return self.__dict__ | {"_used": None if used is None else used._replace(names={})}


def _active() -> Run | None:
    """The active run, unless a writer has begun it."""
    from steplog.run import active_run

    run = active_run.find()
    return None if any(own.run is run for own in _own.values()) else run


def checked_tag(tag: str | bytes | None) -> str:
    """The name of a metric; see ``fitting_name``. Raises TypeError where it is no text.

    Of bytes and None, the event files of the original have their text, and none.
    """
    if not isinstance(tag, (str, bytes, type(None))):
        raise TypeError(f"a tag is a str, not {type(tag).__name__}")
    text = tag.decode("utf-8", "replace") if isinstance(tag, bytes) else tag or ""
    return fitting_name(text, "SummaryWriter.add_…()") or "_"


def _after_fork_in_child() -> None:
    global _lock
    _lock = ReentrantLock()


os.register_at_fork(after_in_child=_after_fork_in_child)
