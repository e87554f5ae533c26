"""``wandb.Run``: a run of steplog's, with wandb's names."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import steplog
from steplog.compat.field_limits import fitting_tags, fitting_text
from steplog.compat.notices import say, say_once
from steplog.compat.unsupported import unsupported
from steplog.compat.wandb import open_runs
from steplog.compat.wandb.errors import UsageError
from steplog.compat.wandb.metric_definitions import Metric, MetricDefinitions
from steplog.compat.wandb.rows import Rows
from steplog.compat.wandb.run_config import Config
from steplog.compat.wandb.run_files import RunFiles
from steplog.compat.wandb.run_summary import PREFIX, Summary
from steplog.compat.wandb.saved_files import SavedFiles
from steplog.compat.wandb.settings import Settings
from steplog.compat.wandb.step_counter import StepCounter
from steplog.errors import SteplogError

__all__ = ["Run", "RunStatus"]


@dataclass
class RunStatus:
    """What of a run is delivered."""

    sync_items_total: int = 0
    sync_items_pending: int = 0
    sync_time: datetime | None = None


class Run(RunFiles):
    """A run that ``wandb.init`` has begun, or one of steplog's that was open, and is not its to end (``is_own``).

    ``start`` is the step of its first row; ``config`` what the run had before, if it goes on.
    """

    def __init__(
        self,
        run: steplog.Run,
        settings: Settings,
        *,
        is_own: bool = True,
        resumed: bool = False,
        start: int = 0,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self._run = run
        self._settings = settings
        self._is_own = is_own
        self._is_finished = False
        self._is_concluded = False
        self._is_seeded = False
        self._at_end: list[Callable[[bool], None]] = []
        self._made_in = os.getpid()
        self._saved = SavedFiles(run, self._make_dir)
        self.resumed = resumed
        self.starting_step = start
        self.start_time = time.time()
        self._counter = StepCounter(self.starting_step)
        self._definitions = MetricDefinitions()
        self._rows = Rows(run, self._counter, self._definitions, has_steps=settings.mode != "shared")
        self.log = self._rows.log  # type: ignore[method-assign]  # with nothing in between
        self.config = Config(self._log_config, config, bool(settings.allow_val_change))
        self.summary = Summary(self._rows, self._definitions, self._rows.log_aside, self._summary_before)

    def __repr__(self) -> str:
        return f"<wandb.Run {self.name or self.id} of {self._run!r}>"

    def _repr_html_(self) -> str:
        return self._run._repr_html_()

    def log(
        self, data: dict[str, Any], step: int | None = None, commit: bool | None = None, sync: bool | None = None
    ) -> None:
        """Log a row: at ``step``, else at the counter, which ``commit`` moves on.

        Raises TypeError for what is no dict, TypeError or ValueError for a step that is no whole number.
        """
        self._rows.log_any(data, step, commit, sync)

    def define_metric(
        self,
        name: str,
        step_metric: str | Metric | None = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: str | None = None,
        goal: str | None = None,
        overwrite: bool | None = None,
    ) -> Metric:
        """Say which metric gives a name, or all that begin so (``train/*``), its steps, and what the summary keeps."""
        options = {"step_sync": step_sync, "hidden": hidden, "summary": summary, "goal": goal, "overwrite": overwrite}
        if summary and self.resumed and not self._is_seeded:
            self._is_seeded = True
            self._definitions.go_on(self._extremes_before())
        with self._rows.lock:
            return self._definitions.define(name, step_metric, **options)

    def _extremes_before(self) -> dict[str, dict[str, Any]]:
        try:
            rows = {row["name"]: row for row in steplog.open(self._run).series()}
        except (SteplogError, ValueError, OSError) as error:
            say(f"what run {self.name} had before is not known, and not in its summary: {error}")
            return {}
        return {
            name: {"min": row["min"], "max": row["max"], "first": rows.get(f"{PREFIX}{name}.first", {}).get("last")}
            for name, row in rows.items()
        }

    def _log_config(self, values: dict[str, Any]) -> None:
        try:
            self._run.config.update(values)
        except steplog.RunFinishedError:
            say_once(f"run {self.name} is over: its config is not recorded any more")

    def _summary_before(self) -> Mapping[str, Any]:
        if not self.resumed:
            return {}
        try:
            found = steplog.open(self._run).summary
        except (SteplogError, ValueError, OSError) as error:
            say(f"what run {self.name} had in its summary before is not known: {error}")
            return {}
        own = {name[len(PREFIX) :]: value for name, value in found.items() if name.startswith(PREFIX)}
        return {**{name: value for name, value in found.items() if not name.startswith(PREFIX)}, **own}

    @property
    def id(self) -> str:
        """The id that the run was given, else its uuid."""
        return str(self._settings.run_id or self._run.key or self._run.uuid)

    @property
    def name(self) -> str | None:
        """The run's name, which may be set."""
        return self._run.name

    @name.setter
    def name(self, name: str) -> None:
        self._set("name", fitting_text("name", name))

    @property
    def notes(self) -> str | None:
        """Free text, which may be set."""
        return self._run.notes

    @notes.setter
    def notes(self, notes: str | None) -> None:
        self._set("notes", fitting_text("notes", notes))

    @property
    def tags(self) -> tuple[str, ...]:
        """They may be set: ``run.tags += ("best",)``."""
        return self._run.tags

    @tags.setter
    def tags(self, tags: Iterable[str] | None) -> None:
        self._set("tags", fitting_tags(tags))

    def _set(self, field: str, value: Any) -> None:
        if value is None and field == "name":
            return
        try:
            setattr(self._run, field, value)
        except steplog.RunFinishedError:
            raise UsageError(f"Run ({self.id}) is finished. Its {field} cannot be set any more.") from None

    @property
    def group(self) -> str:
        """The group's name, or ""."""
        return self._run.group or ""

    @property
    def job_type(self) -> str:
        """The kind of work, or ""."""
        return self._run.job_type or ""

    @property
    def project(self) -> str:
        """The project's name."""
        return "" if self._run.project is None else self._run.project.display_name or self._run.project.slug

    @property
    def entity(self) -> str:
        """The namespace; "" until a server has said which."""
        return "" if self._run.organization is None else self._run.organization.slug

    @property
    def path(self) -> str:
        """``entity/project/id``."""
        slug = "" if self._run.project is None else self._run.project.slug
        return "/".join(part for part in (self.entity, slug, self.id) if part)

    @property
    def url(self) -> str | None:
        """The page of the run, if a server has it."""
        return self._run.url

    @property
    def project_url(self) -> str | None:
        """The page of the project, if a server has it."""
        return None if self.url is None else self.url.partition("/runs/")[0] + "/"

    @property
    def sweep_id(self) -> str | None:
        """As set in the environment."""
        found: str | None = self._settings.sweep_id
        return found

    @property
    def sweep_url(self) -> None:
        """None: there are no sweeps."""

    def get_sweep_url(self) -> None:
        """None: there are no sweeps."""

    @property
    def _attach_id(self) -> str:
        """What ``wandb._attach`` of a worker takes."""
        return str(self._run.uuid)

    @property
    def step(self) -> int:
        """The step of the next row without one."""
        return 0 if self.disabled else self._counter.next

    @property
    def offline(self) -> bool:
        """Whether the run stays on this machine until ``steplog sync``."""
        return self._settings._offline

    @property
    def disabled(self) -> bool:
        """Whether nothing is logged."""
        return self._settings._noop

    @property
    def mode(self) -> str:
        """online, offline, disabled or shared."""
        return str(self._settings.mode)

    @property
    def settings(self) -> Settings:
        """A copy."""
        known = {"run_id": self.id, "project": self.project, "entity": self.entity or None, "run_name": self.name}
        return self._settings.model_copy(update=known)

    @property
    def config_static(self) -> Mapping[str, Any]:
        """A copy of the config."""
        return self.config.as_dict()

    @property
    def is_over(self) -> bool:
        """Whether it has ended, by ``finish`` or by steplog's."""
        return self._is_finished or self._run._report is not None

    @property
    def steplog_run(self) -> steplog.Run:
        """The run of steplog's that this one logs to."""
        return self._run

    @property
    def sync_dir(self) -> str:
        """Where files of the run may be put; made at the first look."""
        root = Path(self._settings.root_dir or os.getcwd(), "steplog-runs")
        begun = f"{datetime.fromtimestamp(self.start_time).astimezone():%Y%m%d_%H%M%S}"
        folder = root / f"{begun}-{self.id.replace(os.sep, '-')}"
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    @property
    def dir(self) -> str:
        """A folder whose files are kept with the run when it ends; made at the first look."""
        return str(self._saved.folder())

    def _make_dir(self) -> str:
        folder = Path(self.sync_dir, "files")
        folder.mkdir(exist_ok=True)
        return str(folder)

    def get_url(self) -> str | None:
        """``url``."""
        return self.url

    def get_project_url(self) -> str | None:
        """``project_url``."""
        return self.project_url

    def project_name(self) -> str:
        """``project``."""
        return self.project

    def display(self, height: int = 420, hidden: bool = False) -> bool:
        """False: nothing is shown in place; see ``url``."""
        return False

    def to_html(self, height: int = 420, hidden: bool = False) -> str:
        """A link to the run's page."""
        return self._repr_html_()

    def status(self) -> RunStatus:
        """How much is delivered."""
        stats = self._run.stats()
        return RunStatus(stats.logged, stats.pending)

    def mark_preempting(self) -> None:
        """Deliver what there is: the machine may go soon."""
        self._run.flush()

    def pin_config_keys(self, keys: Iterable[str] = ()) -> None:
        """Do nothing: which columns a table shows is chosen on its page."""

    def write_logs(self, text: str) -> None:
        """Counted: what a program prints is not kept."""
        unsupported.note("run.write_logs()", 'log it as a value: run.log({"note": text})')

    def _label(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    def finish(self, exit_code: int | None = None, quiet: bool | None = None) -> None:
        """Deliver everything, and end the run: COMPLETED, or FAILED with an ``exit_code`` but 0."""
        self._finish(bool(exit_code), "FAILED" if exit_code else "COMPLETED", None)

    def join(self, exit_code: int | None = None) -> None:
        """``finish``."""
        self.finish(exit_code)

    def _finish(self, failed: bool, status: str | None, error: BaseException | None) -> None:
        if self._is_finished:
            return
        self._is_finished = True
        if (sync := sys.modules.get("steplog.compat.tensorboard_sync")) is not None:
            sync.flush()  # what a writer of TensorFlow's has not flushed
        self.conclude()
        limit_s = float(self._settings.finish_timeout or 0) or None
        try:
            if self._is_own and os.getpid() == self._made_in:  # what a forked child has logged, the parent delivers
                self._run.finish(status=status, error=error, timeout=limit_s)
        except OSError as refused:  # what requests raises, too
            say(f"the end of run {self.name} was not taken by the server: {refused}")
        finally:
            open_runs.forget(self)
        for call in self._at_end:
            call(failed)

    def call_at_end(self, call: Callable[[bool], None]) -> None:
        """Internal: call it once the run is finished, with whether that failed."""
        self._at_end.append(call)

    def conclude(self) -> None:
        """Internal: log what is only known at the end, and keep the files of ``dir``. Never raises."""
        if os.getpid() != self._made_in or self._is_concluded:
            return
        self._is_concluded = True
        try:
            self._saved.keep_rest()
            self.config.persist()
            if found := self._definitions.summaries():
                self._rows.log_aside({PREFIX + name: value for name, value in found.items()})
        except Exception as error:  # noqa: BLE001 - a training that ends does not fail by this
            say(f"run {self.name}: its config and summary could not be completed: {error!r}")
        unsupported.tell(self._run)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_fine = error is None or (isinstance(error, SystemExit) and error.code in (None, 0))
        self._finish(not is_fine, "COMPLETED" if is_fine else None, None if is_fine else error)

    def __deepcopy__(self, memo: Any) -> Run:
        return self

    def __reduce__(self) -> Any:
        run = self._run
        where = run.uuid, *(None if place is None else place.slug for place in (run.organization, run.project))
        settings = self._settings.model_copy(update={"run_id": self.id})
        state = settings, self._counter.next, dict(self.config)
        return _in_another_process, (run if self.disabled else None, where, *state)


def _in_another_process(
    run: steplog.Run | None, where: tuple[str | None, ...], settings: Settings, step: int, config: dict[str, Any]
) -> Run:
    """The run as a worker has it, which logs to it and does not end it."""
    if run is None:
        uuid, namespace, project = where
        run = steplog.attach(uuid, namespace_slug=namespace or None, project_slug=project, missing="ignore")
    return Run(run, settings, is_own=False, start=step, config=config)
