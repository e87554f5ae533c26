"""Runs: what the user holds. ``init`` makes one, ``attach`` joins one, ``log`` records, ``finish`` ends it.

``Run.log`` is the hot path. The class has a method of this name, which opens a run that was built by hand; from then on
the instance has one of its own, which is the journal's append itself, with nothing in between.
"""

from __future__ import annotations

import html
import logging
import threading
import time
from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any

from steplog import safeguard
from steplog.config import Config
from steplog.context import ActiveRun
from steplog.identity import RunOrg, RunProject, RunStatus, RunUser
from steplog.lifecycle import crash_record, exit_code, messages
from steplog.lifecycle.disabled import DisabledRun
from steplog.lifecycle.exit_progress import ExitProgress
from steplog.lifecycle.open_run import OpenRun, find_manifest, join, open_runs
from steplog.report import Report, Stats

if TYPE_CHECKING:
    from steplog.client import TellurioClient

__all__ = ["FINISHING_INTERVAL_S", "Run", "finish", "flush", "get_active_run", "log", "set_active_run"]

FINISHING_INTERVAL_S = 0.02
_log = logging.getLogger("steplog")


class Run:
    """A run on the server. ``init`` makes it; one that is built by hand logs and finishes too.

    ``status`` is a ``RunStatus`` or its value; dates are datetimes or ISO 8601 texts, as they come.
    A run built by hand is opened at its first ``log``, ``flush`` or ``finish``; that one call may touch the disk.
    """

    def __init__(
        self,
        uuid: str | None,
        name: str | None,
        description: str | None,
        status: RunStatus | str,
        date_created: Any = None,
        date_updated: Any = None,
        organization: RunOrg | None = None,
        project: RunProject | None = None,
        user: RunUser | None = None,
    ) -> None:
        self.uuid = uuid
        self.name = name
        self.description = description
        self.status = RunStatus(status)
        self.date_created = date_created
        self.date_updated = date_updated
        self.organization = organization
        self.project = project
        self.user = user
        self._opened: OpenRun | DisabledRun | None = None
        self._config: Config | None = None
        self._report: Report | None = None
        self._tokens: list[Token[tuple[Run, ...]]] = []
        self._entered = False
        self._finishing: dict[int, int] = {}  # under 0: the thread that finishes the run

    def __repr__(self) -> str:
        project = self.project.display_name if self.project is not None else None
        return f"<Run uuid={self.uuid} name={self.name!r} status={self.status.value} project={project!r}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the name, which leads to the run's page where it has one."""
        name, status = html.escape(str(self.name or self.uuid)), html.escape(self.status.value)
        url = self.url or ""
        if not url.startswith(("http://", "https://")):
            return f"run <b>{name}</b> ({status})"
        return f'run <a href="{html.escape(url)}" target="_blank" rel="noopener noreferrer">{name}</a> ({status})'

    @property
    def id(self) -> str | None:
        """The run's uuid; until a server has made it, its local id."""
        return self.uuid

    @property
    def url(self) -> str | None:
        """The run's web address; None while it has none."""
        return self._opened.url() if self._opened is not None else None

    @property
    def config(self) -> Config:
        """What the run was made with: a mapping of JSON values, each change of which is logged."""
        if self._config is None:
            self._config = Config(self._log_config)
        return self._config

    def _log_config(self, name: str, value: dict[str, Any]) -> None:
        self.log(name, value)  # looked up now: the run may have been opened since

    # -- logging ----------------------------------------------------------------------------------------------------

    def log(
        self,
        name: str | Mapping[str, Any],
        value: Any = ...,
        step: int | None = None,
        client: TellurioClient | None = None,
    ) -> None:
        """Record one metric, or with a mapping several with one time.

        Returns at once, whatever the server, the network and the disk do.

        Args:
            name: 1 to 256 bytes of UTF-8; or a mapping of names to values, and no value.
            value: any JSON value, or a number of NumPy's or a tensor library's; NaN and infinities are values.
            step: an int64 other than its minimum; None: the server gives the next one of this name.
            client: deliver over this client from now on.

        Raises:
            TypeError, ValueError: name, step or value is wrong; nothing is recorded then.
            RunFinishedError: the run is finished.
        """
        self._open(client).log(name, value, step, client)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record several metrics at once, with one time. Raises as ``log`` does."""
        self.log(metrics, step=step)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until what has been logged by now, by any process of this host, is delivered; whether it is.

        ``timeout`` is in seconds; None: the setting ``finish_timeout_s``. The run goes on.
        """
        opened = self._open(None)
        return opened.flush(opened.settings.finish_timeout_s if timeout is None else timeout)

    def stats(self) -> Stats:
        """The counts of this run, now."""
        return self._opened.stats() if self._opened is not None else Stats()

    # -- the end ----------------------------------------------------------------------------------------------------

    def finish(
        self,
        client: TellurioClient | None = None,
        status: RunStatus | str = RunStatus.COMPLETED,
        *,
        timeout: float | None = None,
    ) -> Report:
        """Deliver everything, then send the status. A second call does nothing, and returns the same report.

        Args:
            client: deliver over this client from now on.
            status: how the run ended.
            timeout: in seconds; None: the setting ``finish_timeout_s``, and 5 s for a server that has not answered for
                10 s. A deadline that passes is no exception: the report says how many records are ``pending``, and they
                stay in the journal with the status.

        Raises:
            requests.HTTPError: the server refuses the status; the run stays open then.
            ValueError: the run was built without uuid, project or organization.
        """
        status = RunStatus(status)
        if (before := self._report) is not None:
            return before
        opened = self._open(client)
        opened.use(client)
        timeout_s = opened.settings.finish_timeout_s if timeout is None else timeout
        if self._is_ours_to_finish(time.monotonic() + timeout_s):
            try:
                self._finish(opened, status, timeout_s, ExitProgress(whatever=timeout is not None))
            finally:
                self._finishing.clear()
        return opened.report() if self._report is None else self._report

    def _finish(
        self, opened: OpenRun | DisabledRun, status: RunStatus, timeout_s: float, progress: ExitProgress
    ) -> None:
        refused = opened.finish(status.value, timeout_s, progress)
        if refused is not None:
            import requests

            raise requests.HTTPError(refused.words)
        self._over(opened, status)

    def _is_ours_to_finish(self, deadline: float) -> bool:
        """False once another thread has done it, or is still at it at the deadline.

        A signal handler that has interrupted ``finish`` is the same thread and must not wait for itself.
        """
        thread = threading.get_ident()
        while self._report is None and self._finishing.setdefault(0, thread) != thread:
            if time.monotonic() >= deadline:
                return False
            time.sleep(FINISHING_INTERVAL_S)
        return self._report is None

    def supersede(self) -> None:
        """Mark the run FAILED, in the background: another one took its place. Not one that was entered."""
        if self._opened is not None and self._report is None and not self._entered:
            self._opened.finish_in_background(RunStatus.FAILED.value)
            messages.say(
                self._opened.settings.quiet,
                logging.INFO,
                f"run {self.name} is FAILED: init() came before its end; use `with init(...) as run:` or run.finish()",
            )
            if isinstance(self._opened, OpenRun):
                safeguard.settle_later(self._opened)
            self._over(self._opened, RunStatus.FAILED)

    def _over(self, opened: OpenRun | DisabledRun, status: RunStatus) -> None:
        self._report = opened.report()
        self.status = status
        _active.forget(self)
        safeguard.disarm(self)

    def __enter__(self) -> Run:
        self._open(None)
        self._entered = True  # whoever enters a run takes care of it
        safeguard.arm()
        self._tokens.append(_active.enter(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _active.leave(self._tokens.pop())
        self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        if error is None or (isinstance(error, SystemExit) and not exit_code.is_failure(error.code)):
            self.finish()
            return
        if self._opened is not None and self._report is None:
            crash_record.keep_exception(self._opened.log, self._opened.settings, error)
        try:
            self.finish(status=RunStatus.CRASHED)
        except Exception as second:  # noqa: BLE001 - the program's own exception goes on unreplaced
            _log.warning("steplog: the status of run %s could not be sent: %s", self.name, second)

    async def __aenter__(self) -> Run:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """As ``__exit__``, in a thread, so that the event loop goes on."""
        import asyncio  # a tenth of what an init() imports, for those who have imported it already

        _active.leave(self._tokens.pop())
        await asyncio.to_thread(self._leave, error)

    # -- opening ----------------------------------------------------------------------------------------------------

    def _open(self, client: TellurioClient | None) -> OpenRun | DisabledRun:
        if self._opened is None:
            if not self.uuid or self.project is None or self.organization is None:
                raise ValueError("Run object is missing required identifiers.")
            found = find_manifest(self.uuid)
            owner = found is None or not found.owner
            names = self.organization.slug, self.project.slug, self.name
            return self._opened_as(join(self.uuid, *names, client, found=found, owner=owner))
        return self._opened

    def _opened_as(self, opened: OpenRun | DisabledRun) -> OpenRun | DisabledRun:
        opened.holder = self
        self._opened = opened
        self.__dict__["log"] = opened.log
        safeguard.arm()
        return opened

    def __getstate__(self) -> dict[str, Any]:
        """What travels into another process: who the run is. There it is opened anew."""
        kept = {name: value for name, value in self.__dict__.items() if name != "log"}
        return kept | {"_opened": None, "_config": None, "_tokens": [], "_entered": False, "_finishing": {}}


_active: ActiveRun[Run] = ActiveRun(lambda: [opened.holder for opened in open_runs() if isinstance(opened.holder, Run)])


def set_active_run(run: Run | None) -> None:
    """Make ``run`` the process's default; None: there is none."""
    _active.default = run


def get_active_run() -> Run:
    """The active run. Raises ValueError when there is none, or when there are several and none is named."""
    return _active.get()


def log(
    name: str | Mapping[str, Any], value: Any = ..., step: int | None = None, client: TellurioClient | None = None
) -> None:
    """Record one metric of the active run; see ``Run.log`` and ``get_active_run``."""
    _active.get().log(name, value, step, client)


def flush(timeout: float | None = None) -> bool:
    """Wait until what the active run has logged by now is delivered; see ``Run.flush``."""
    return _active.get().flush(timeout)


def finish(status: RunStatus | str = RunStatus.COMPLETED, *, timeout: float | None = None) -> Report:
    """Finish the active run; see ``Run.finish``."""
    return _active.get().finish(status=status, timeout=timeout)
