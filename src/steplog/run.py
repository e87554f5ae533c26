"""``Run``, what the user holds. Once it is open, its ``log`` is the journal's append, with nothing in between."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from steplog import safeguard
from steplog.config import Config, log_config
from steplog.context import ActiveRun
from steplog.identity import RunOrg, RunProject, RunStatus, RunUser
from steplog.journal.reserved import RUN_NAME
from steplog.journal.values import Values
from steplog.lifecycle import crash_record, exit_code, messages, renaming, run_fields, run_stats
from steplog.lifecycle.disabled import DisabledRun
from steplog.lifecycle.exit_progress import ExitProgress
from steplog.lifecycle.joining import find_manifest, join
from steplog.lifecycle.open_run import OpenRun, open_runs
from steplog.lifecycle.turns import Turns
from steplog.lifecycle.waits import in_event_loop
from steplog.report import Report, Stats
from steplog.run_files import RunFiles

if TYPE_CHECKING:
    from steplog.client import TellurioClient
    from steplog.lifecycle.run_state import RunState
    from steplog.lifecycle.steps import Steps

__all__ = ["Run", "active_run"]

_log = logging.getLogger("steplog")


class Run(RunFiles):
    """A run on the server.

    ``status`` is a ``RunStatus`` or its value; dates are datetimes or ISO 8601 texts.
    A run built by hand is opened by its first ``log``, ``flush`` or ``finish``, which may touch the disk.
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
        self.status = RunStatus(status)
        self.date_created = date_created
        self.date_updated = date_updated
        self.organization = organization
        self.project = project
        self.user = user
        self._fields: dict[str, Any] = {"name": name}
        if description is not None:
            self._fields["description"] = description
        self._name_end: renaming.JournalEnd | None = None  # of the record that set the name last
        self._is_new = False  # begun here: there was nothing before
        self._begun_in = os.getpid()
        self._steps: tuple[int, Steps] | None = None  # as seen by a process
        self._told: dict[str, Any] | None = None  # the server's description of the run, when it was opened
        self._state: RunState | None = None
        self._opened: OpenRun | DisabledRun | None = None
        self._config: Config | None = None
        self._config_parts: tuple[dict[str, Any] | None, dict[str, Any], list[str]] = (None, {}, [])
        self._report: Report | None = None
        self._last_stats: run_stats.LastStats | None = None  # of the end of the program
        self._entered = False
        self._is_passed_on = False  # it was open in the process that it comes from, which decides its status
        self._turns = Turns()

    def __repr__(self) -> str:
        project = self.project.display_name if self.project is not None else None
        uuid = self.uuid if self.uuid is None or self.uuid.isprintable() else repr(self.uuid)
        return f"<Run uuid={uuid} name={self.name!r} status={self.status.value} project={project!r}>"

    def _repr_html_(self) -> str:
        import html  # late: no run needs it but in a notebook

        name, status = html.escape(str(self.name or self.uuid)), html.escape(self.status.value)
        url = self.url or ""
        if not url.startswith(("http://", "https://")):
            return f"run <b>{name}</b> ({status})"
        return f'run <a href="{html.escape(url)}" target="_blank" rel="noopener noreferrer">{name}</a> ({status})'

    @property
    def id(self) -> str | None:
        """The uuid; until a server has created the run, its local id."""
        return self.uuid

    @property
    def key(self) -> str | None:
        """The id that the run was given by the caller of ``init`` that made it."""
        if self._told is not None and isinstance(key := self._told.get("id"), str):
            return key
        return (self._opened.manifest.key or None) if isinstance(self._opened, OpenRun) else None

    @property
    def url(self) -> str | None:
        """The address of the run's page, if it has one."""
        return self._opened.url() if self._opened is not None else None

    @property
    def name(self) -> str | None:
        """The run's name, which may be set; the server may append a suffix, and it is known once that has come."""
        end, opened = self._name_end, self._opened
        if end is not None and isinstance(opened, OpenRun) and (heard := renaming.heard(opened, end)) is not None:
            with renaming.changing(opened):
                if self._name_end is end:  # no other has been set meanwhile
                    self._fields["name"], self._name_end = heard, None
        name: str | None = self._fields["name"]
        return name

    @name.setter
    def name(self, name: str) -> None:
        self._set(name=name)

    @property
    def description(self) -> str | None:
        """Free text; may be set. Of a run that was joined, the first look at a field may ask the server."""
        return self._text("description")

    @description.setter
    def description(self, text: str | None) -> None:
        self._set(description=text)

    @property
    def tags(self) -> tuple[str, ...]:
        """Up to 64 texts, which may be set as any iterable of them."""
        return tuple(self._field("tags") or ())

    @tags.setter
    def tags(self, tags: Iterable[str] | None) -> None:
        self._set(tags=tags)

    @property
    def group(self) -> str | None:
        """What the run belongs to, such as an experiment of several runs; may be set."""
        return self._text("group")

    @group.setter
    def group(self, group: str | None) -> None:
        self._set(group=group)

    @property
    def job_type(self) -> str | None:
        """What the run does, such as "train" or "eval"; may be set."""
        return self._text("job_type")

    @job_type.setter
    def job_type(self, job_type: str | None) -> None:
        self._set(job_type=job_type)

    @property
    def notes(self) -> str | None:
        """Free text, of up to 65,536 characters; may be set."""
        return self._text("notes")

    @notes.setter
    def notes(self, notes: str | None) -> None:
        self._set(notes=notes)

    def _field(self, field: str) -> Any:
        if field not in self._fields:
            for name, value in ({} if self._is_new else self._known().fields).items():
                self._fields.setdefault(name, value)
        return self._fields.setdefault(field, None) or None

    def _text(self, field: str) -> str | None:
        text: str | None = self._field(field)
        return text

    def _set(self, **fields: Any) -> None:
        """Log the fields as one record, after they are checked."""
        values, opened = run_fields.checked(fields), self._open(None)
        run_fields.check_size(values, opened.settings.value_bytes_max)
        self._log_fields(values)

    def begin(self, fields: dict[str, Any], config: dict[str, Any], *, is_new: bool) -> None:
        """Internal: what ``init`` was given."""
        self._is_new = is_new
        if fields:
            self._log_fields(fields)
        if config:
            self.config.update(config)

    def _log_fields(self, values: dict[str, Any]) -> None:
        known = {name: value for name, value in values.items() if name in run_fields.FIELDS}
        with self._turns.changing():
            self.log(RUN_NAME, values)
            if "name" not in values or not isinstance(opened := self._opened, OpenRun):
                self._fields.update(known)
                return
            with renaming.changing(opened):
                self._name_end = renaming.end_of(opened)
                self._fields.update(known)
                renaming.rename(opened, values["name"])

    def told(self, uuid: str, name: str) -> None:
        """Internal: what the server calls the run, unless another name has been set that it has not heard of.

        Under the agent's lock.
        """
        self.uuid = uuid
        if self._name_end is None:
            self._fields["name"] = name

    @property
    def config(self) -> Config:
        """A mapping of JSON values, each change of which is logged: ``run.config["lr"] = 0.1``, ``run.config.lr``.

        Whoever writes changes its own keys alone. What a run that was joined or resumed had before is looked for at
        the first read: on the server, for two seconds at most, and in the journals here.
        """
        if (config := self._config) is not None:
            return config
        with self._turns.making():
            if self._config is None:
                before, changes, removed = self._config_parts
                begin = self._config_before if before is None else before.copy
                self._config = Config(self._log_config, begin, changes, removed, self._turns.changing)
            return self._config

    def _config_before(self) -> dict[str, Any]:
        return {} if self._is_new else self._known().config

    def _log_config(self, name: str, value: Any) -> Any:
        opened = self._open(None)
        log = self.log  # looked up late: opening the run replaces it
        values = opened.opened.writer.values if isinstance(opened, OpenRun) else Values(opened.settings.value_bytes_max)
        return log_config(log, values, name, value)

    @property
    def step(self) -> int | None:
        """The largest step of the run so far, as far as this process knows; None: there is none.

        It is read from the journal. The server is asked, for two seconds at most, of a run that was joined or resumed,
        and where values have left the journal since the last look.
        """
        opened = self._open(None)
        return self._seen_steps().greatest(opened) if isinstance(opened, OpenRun) else None

    def last_step(self, name: str) -> int | None:
        """The step of the last value of this name; None: there is none. Found as ``step`` is."""
        opened = self._open(None)
        return self._seen_steps().last(opened, name) if isinstance(opened, OpenRun) else None

    def _seen_steps(self) -> Steps:
        pid = os.getpid()
        with self._turns.making():
            if self._steps is None or self._steps[0] != pid:
                from steplog.lifecycle.steps import Steps

                self._steps = pid, Steps(is_new=self._is_new and self._begun_in == pid)
            return self._steps[1]

    def _known(self) -> RunState:
        """What the run had before it was opened here; asked for once."""
        with self._turns.making():
            if self._state is None:
                from steplog.lifecycle import run_state

                is_known = bool(self.uuid) and self.project is not None and self.organization is not None
                opened = self._open(None) if is_known else None
                found = run_state.known(opened, self._told) if isinstance(opened, OpenRun) else run_state.RunState()
                self._state = found
            return self._state

    def log(
        self,
        name: str | Mapping[str, Any],
        value: Any = ...,
        step: int | None = None,
        client: TellurioClient | None = None,
    ) -> None:
        """Record one metric, or several with one time. Never waits for the server, the network or the disk.

        Args:
            name: 1 to 256 bytes of UTF-8; or a mapping of names to values, without ``value``.
            value: any JSON value, NaN, an infinity, or a number of NumPy or a tensor library.
            step: an int64 except its minimum; None: the server's next one of this name.
            client: deliver over this client from now on.

        Raises:
            TypeError, ValueError: name, step or value is wrong; nothing is recorded.
            RunFinishedError: the run is finished.
        """
        self._open(client).log(name, value, step, client)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record several metrics with one time. Raises as ``log`` does."""
        self.log(metrics, step=step)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until what all processes of this host have logged by now is delivered; return whether it is.

        ``timeout`` is in seconds; None: ``finish_timeout_s``.
        """
        opened = self._open(None)
        return opened.flush(opened.settings.finish_timeout_s if timeout is None else timeout)

    def stats(self) -> Stats:
        """The counts."""
        if self._last_stats is not None and (late := self._last_stats.late()) is not None:
            return late
        return Stats() if self._opened is None else run_stats.told(self._opened.stats(), self._opened.settings.quiet)

    def finish(
        self,
        client: TellurioClient | None = None,
        status: RunStatus | str | None = None,
        *,
        error: BaseException | None = None,
        timeout: float | None = None,
    ) -> Report:
        """Deliver everything, then send the status. A second call returns the same report.

        Args:
            client: deliver over this client from now on.
            status: how the run ended; None: CRASHED with an ``error``, else COMPLETED.
            error: what ended it, which is recorded with its traceback (setting ``exceptions``).
            timeout: in seconds; None: the setting ``finish_timeout_s``, and 5 s if the server has been silent for 10 s.
                What is ``pending`` then stays in the journal, with the status.

        Raises:
            requests.HTTPError: the server refuses the status; the run stays open.
            ValueError: the run was built without uuid, project or organization.
            TypeError: the client is none, or the error no exception.
        """
        if (before := self._report) is not None:
            return before
        given: Any = client
        if isinstance(given, (str, RunStatus, BaseException)):
            words = f'status="{getattr(given, "value", given)}"'
            meant = 'status="CRASHED", error=…' if isinstance(given, BaseException) else words
            raise TypeError(f"finish() takes the client first; did you mean finish({meant})?")
        if error is not None and not isinstance(error, BaseException):
            raise TypeError(f"finish() takes an exception as the error, not {type(error).__name__}")
        usual = RunStatus.COMPLETED if error is None else RunStatus.CRASHED
        ends = usual if status is None else RunStatus(status)
        opened = self._open(client)
        opened.use(client)
        timeout_s = opened.settings.finish_timeout_s if timeout is None else timeout
        if self._turns.begin_finish(lambda: self._report is not None, time.monotonic() + timeout_s):
            if error is not None:
                crash_record.keep_exception(opened.log, opened.settings, error)
            try:
                self._finish(opened, ends, timeout_s, ExitProgress(whatever=timeout is not None))
            finally:
                self._turns.end_finish()
        return run_stats.report(opened.stats()) if self._report is None else self._report

    def _finish(
        self, opened: OpenRun | DisabledRun, status: RunStatus, timeout_s: float, progress: ExitProgress
    ) -> None:
        refused = opened.finish(status.value, timeout_s, progress)
        if refused is not None:
            import requests

            raise requests.HTTPError(refused.words)
        self._over(opened, RunStatus(opened.found_status) if opened.leaves_status else status)

    def delete(self, *, now: bool = False) -> None:
        """Delete the run: on the server it goes to the trash for 24 hours, ``now`` for good; what is here of it goes.

        ``log`` raises from then on. The server is asked at once, or not at all.

        Raises:
            ServerUnavailableError: there is no answer, or the run is on no server yet. Nothing has changed.
            RunNotFoundError, SteplogError: the server has no such run, or deletes none.
        """
        from steplog.lifecycle.deletion import delete

        opened = self._open(None)
        report = self._report or run_stats.report(opened.stats())
        if isinstance(opened, OpenRun):
            delete(opened, now)
        if self._report is None:
            self._over(opened, self.status)
            self._report = report

    def restore(self) -> None:
        """Take a deleted run out of the server's trash; another name is given where its own was taken since.

        To log to it again, ``attach`` it. Raises as ``delete`` does.
        """
        from steplog.lifecycle.deletion import restore

        if isinstance(opened := self._open(None), OpenRun):
            self._fields["name"] = restore(opened) or self.name

    def supersede(self) -> None:
        """Internal. Mark the run FAILED, unless it was entered; in the background, if it takes more than a moment."""
        if self._opened is not None and self._report is None and not self._entered:
            self._opened.finish_in_background(RunStatus.FAILED.value)
            messages.say(
                self._opened.settings.quiet,
                logging.INFO,
                f"run {self.name} is FAILED: init() came before its end; use `with init(...) as run:` or run.finish(); "
                'to go on with a run instead: init(..., name="...", resume="allow")',
            )
            if isinstance(self._opened, OpenRun) and (in_event_loop() or not self._opened.settle_soon()):
                safeguard.settle_later(self._opened)
            self._over(self._opened, RunStatus.FAILED)

    def ended(self, status: str) -> None:
        """Internal. The program has ended, and the run with it: a later ``finish`` returns the report."""
        if isinstance(opened := self._opened, OpenRun) and self._report is None:
            self._last_stats = run_stats.LastStats(opened.stats(), opened.opened.writer.dropped)
            self._report = run_stats.report(self._last_stats.stats)
            self.status = RunStatus(status)

    def _over(self, opened: OpenRun | DisabledRun, status: RunStatus) -> None:
        self._report = run_stats.report(opened.stats())
        self.status = status
        active_run.forget(self)
        safeguard.disarm(self)

    def __enter__(self) -> Run:
        self._open(None)
        self._entered = True  # the block finishes it
        safeguard.arm()
        active_run.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        active_run.leave(self)
        self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        if error is None or (isinstance(error, SystemExit) and not exit_code.is_failure(error.code)):
            self.finish()
            return
        try:
            self.finish(error=error)
        except Exception as second:  # noqa: BLE001 - the program's own exception is the one to raise
            _log.warning("steplog: the status of run %s could not be sent: %s", self.name, second)

    async def __aenter__(self) -> Run:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import asyncio  # late: a tenth of what init() imports

        active_run.leave(self)
        await asyncio.to_thread(self._leave, error)  # the event loop goes on

    def _open(self, client: TellurioClient | None) -> OpenRun | DisabledRun:
        if (opened := self._opened) is not None:
            return opened
        with self._turns.making():
            if self._opened is not None:
                return self._opened
            if not self.uuid or self.project is None or self.organization is None:
                raise ValueError("Run object is missing required identifiers.")
            found = find_manifest(self.uuid)
            owner = not self._is_passed_on and (found is None or not found.owner)
            names = self.organization.slug, self.project.slug, self.name
            return self._opened_as(join(self.uuid, *names, client, found=found, owner=owner, begins=False))

    def _opened_as(self, opened: OpenRun | DisabledRun) -> OpenRun | DisabledRun:
        opened.holder, opened.found_status = self, self.status.value
        self._opened = opened
        self.__dict__["log"] = opened.log
        safeguard.arm()
        return opened

    def __getstate__(self) -> dict[str, Any]:
        """The identity, and what is known of fields and config."""
        kept = {name: value for name, value in self.__dict__.items() if name != "log"}
        parts = self._config_parts if self._config is None else self._config.parts()
        if self._is_new and parts[0] is None:
            parts = {}, *parts[1:]
        opened = self._opened if isinstance(self._opened, DisabledRun) else None
        kept["_is_passed_on"] = self._is_passed_on or self._opened is not None
        fresh: dict[str, Any] = {"_opened": opened, "_config": None, "_entered": False, "_last_stats": None}
        return kept | fresh | {"_config_parts": parts, "_told": None, "_state": None, "_name_end": None, "_steps": None}


active_run: ActiveRun[Run] = ActiveRun(
    lambda: [opened.holder for opened in open_runs() if isinstance(opened.holder, Run)],
    lambda run: run._report is not None,
)
os.register_at_fork(after_in_child=active_run.forked)
