"""A run as ``wandb.Api`` gives it: read by ``steplog.open``, written by ``steplog.attach``.

1. What a table of runs says is there at once. The rest is asked for at the first use: the config and the like by one
   request, the summary by one, a history each time.
2. A row of a history has the values of a step: ``_step``, ``_timestamp`` (seconds since the epoch), ``_runtime``
   (seconds since the run started), and by name what was logged there. With ``keys`` it has those alone, and is a row
   only if all of them are there.
3. ``summary/…``, ``compat/…`` and ``system/…`` are in no history; ``stream="system"`` is that of ``system/…``.
4. ``update`` writes what was changed: name, tags, notes, group, config, summary.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NoReturn

import steplog
from steplog.compat.wandb.api_files import File
from steplog.compat.wandb.api_filters import state_of
from steplog.compat.wandb.errors import CommError
from steplog.identity import slug_of
from steplog.naming import Named
from steplog.reading.open_run import open_there

__all__ = ["ApiSummary", "Run", "frame", "normalized"]

_HIDDEN = ("summary/", "compat/", "system/", "steplog/")
_SUMMARY = "summary/"
_SYSTEM = "system/"
_AGGREGATES = ("min", "max", "mean", "first", "last", "best")
_OF_ROW = ("_step", "_timestamp", "_runtime")
_LOCAL_ID = re.compile(r"[0-9a-f]{32}")  # of a run that no server had when it was read
_FLUSH_S = 30.0
_POLL_S = 5.0


@contextmanager
def normalized() -> Iterator[None]:
    """Raise CommError for what steplog and its server refuse."""
    try:
        yield
    except CommError:
        raise
    except (steplog.SteplogError, ValueError, LookupError, OSError) as error:  # requests' errors are OSErrors
        raise CommError(str(error), error) from error


class ApiSummary(dict[str, Any]):
    """The values by name; a change is written by ``update``, or by that of the run."""

    def __init__(self, values: Mapping[str, Any], write: Callable[[], None]) -> None:
        super().__init__(values)
        self._write = write

    @property
    def _json_dict(self) -> dict[str, Any]:
        return dict(self)

    def update(self, *others: Any, **values: Any) -> None:
        """Set values, and write what was changed."""
        super().update(*others, **values)
        self._write()


class Run:
    """A run of a project, to read; ``row`` is what a table of runs says of it."""

    def __init__(
        self, entity: str, project: str, row: Mapping[str, Any], *, opened: Any = None, client: Any = None
    ) -> None:
        self.entity, self.project = entity, project
        self.storage_id: str = str(row["uuid"])
        self.id: str = str(row.get("id") or self.storage_id)
        self.name: str | None = row.get("name")
        self.state = state_of(row.get("status"))
        self.tags: list[str] = list(row.get("tag") or ())
        self.group: str | None = row.get("group")
        self.job_type: str | None = row.get("job_type")
        self.notes: str | None = row.get("notes")
        self.username = row.get("user") or entity
        self.user = _User(self.username)
        self._started: datetime | None = row.get("started")
        self.created_at = _text(self._started)
        self.heartbeat_at = _text(row.get("seen"))
        self.sweep: None = None
        self.sweep_name: None = None
        self._opened, self._client = opened, client
        self._config: dict[str, Any] | None = None
        self._summary: ApiSummary | None = None
        self._written: dict[str, Any] = self._fields()
        self._read: tuple[dict[str, Any], dict[str, Any]] = ({}, {})  # config and summary as they were read

    @classmethod
    def opened(cls, where: str, run: str) -> Run:
        """By its id, uuid or name; ``where``: project, or namespace and project, or "". Raises CommError."""
        path = f"{where}/{run}" if where and not _LOCAL_ID.fullmatch(run) else run
        with normalized():
            found = steplog.open(path)
            if run not in (found.key, found.uuid, found.name):
                raise CommError(f"there is no run {path!r}; its id is given whole, and the closest is {found.name!r}")
            row = {
                "uuid": found.uuid,
                "id": found.key,
                "name": found.name,
                "status": found.status,
                "tag": found.tags,
                "group": found.group,
                "job_type": found.job_type,
                "notes": found.notes,
                "started": found.started,
            }
            return cls(found.namespace, found.project, row, opened=found)

    def __repr__(self) -> str:
        return f"<Run {'/'.join(self.path)} ({self.state})>"

    displayName = property(lambda self: self.name)  # noqa: N815 - wandb's names, as those below
    jobType = property(lambda self: self.job_type)  # noqa: N815
    createdAt = property(lambda self: self.created_at)  # noqa: N815
    heartbeatAt = property(lambda self: self.heartbeat_at)  # noqa: N815

    @property
    def path(self) -> list[str]:
        """Entity, project and id."""
        return [self.entity, self.project, self.id]

    @property
    def url(self) -> str | None:
        """The address of its page."""
        with normalized():
            address: str | None = self._reader().url
            return address

    @property
    def config(self) -> dict[str, Any]:
        """Its config, a dict, a change of which ``update`` writes."""
        if self._config is None:
            with normalized():
                self._config = self._reader().config
            self._read[0].update(self._config)
        return self._config

    rawconfig = config

    @property
    def json_config(self) -> str:
        """The config as wandb's JSON."""
        import json

        return json.dumps({key: {"value": value, "desc": None} for key, value in self.config.items()})

    @property
    def summary(self) -> ApiSummary:
        """The last value of each metric, and what was set."""
        if self._summary is None:
            with normalized():
                values = _summary_of(self._reader().summary)
                last = self.lastHistoryStep
            if last >= 0:
                values.setdefault("_step", last)
            self._summary = ApiSummary(values, self.update)
            self._read[1].update(self._summary)
        return self._summary

    summary_metrics = summary

    @property
    def system_metrics(self) -> dict[str, Any]:
        """The last value of each metric of the machine."""
        with normalized():
            found = self._reader().summary
        return {name.removeprefix(_SYSTEM): value for name, value in found.items() if name.startswith(_SYSTEM)}

    @property
    def metadata(self) -> dict[str, Any]:
        """Where it was started from."""
        with normalized():
            provenance: dict[str, Any] = self._reader().provenance
            return provenance

    @property
    def description(self) -> str | None:
        """Its notes."""
        return self.notes

    @property
    def lastHistoryStep(self) -> int:  # noqa: N802 - wandb's name
        """The greatest step of its history; -1 without one."""
        with normalized():
            rows = self._reader().series()
            steps = [row["max_step"] for row in rows if not row["name"].startswith(_HIDDEN) and row["count"]]
        return max((step for step in steps if step is not None), default=-1)

    @property
    def _attrs(self) -> dict[str, Any]:
        return {
            "id": self.storage_id,
            "name": self.id,
            "displayName": self.name,
            "state": self.state,
            "createdAt": self.created_at,
            "heartbeatAt": self.heartbeat_at,
            "tags": self.tags,
            "group": self.group,
            "jobType": self.job_type,
            "notes": self.notes,
            "user": {"username": self.username, "name": self.username},
            "config": self.config,
            "summaryMetrics": dict(self.summary),
        }

    def history(
        self,
        samples: int = 500,
        keys: Sequence[str] | None = None,
        x_axis: str = "_step",
        pandas: bool = True,
        stream: str = "default",
    ) -> Any:
        """Its rows, as a DataFrame where pandas is installed; of more than ``samples`` evenly so many."""
        if keys is not None and not isinstance(keys, (list, tuple)):
            raise CommError("keys must be specified in a list")
        wanted = None if keys is None else tuple(dict.fromkeys((x_axis, *keys)))
        rows = list(self._rows(wanted, None, None, system=stream == "system"))
        if len(rows) > samples > 0:
            last = max(samples - 1, 1)
            rows = [rows[at * (len(rows) - 1) // last] for at in range(samples)]
        if pandas:
            try:
                from pandas import DataFrame
            except ImportError:
                return rows
            return DataFrame.from_records(rows)
        return rows

    def scan_history(
        self,
        keys: Sequence[str] | None = None,
        page_size: int = 1000,
        min_step: int = 0,
        max_step: int | None = None,
        use_cache: bool = True,
    ) -> Iterator[dict[str, Any]]:
        """All its rows, up to ``max_step``, which is not included; about ``page_size`` of them are in memory."""
        if keys is not None and (isinstance(keys, str) or not all(isinstance(key, str) for key in keys)):
            raise ValueError("keys must be specified in a list" if isinstance(keys, str) else "keys are texts")
        wanted = None if keys is None else tuple(keys)
        return self._pages(wanted, min_step, self.lastHistoryStep + 1 if max_step is None else max_step, page_size)

    beta_scan_history = scan_history

    def _pages(self, keys: tuple[str, ...] | None, start: int, stop: int, page_size: int) -> Iterator[dict[str, Any]]:
        """A stretch of steps after the other, longer ones where there are few rows."""
        width, first = max(page_size, 1), True
        while start < stop:
            end = min(start + width, stop)
            count = 0
            for row in self._rows(keys, None if first and start == 0 else start, end - 1):
                count += 1
                yield row
            width = width * 2 if count < page_size // 2 else max(page_size, 1)
            start, first = end, False

    def _rows(
        self, keys: tuple[str, ...] | None, start: int | None, end: int | None, *, system: bool = False
    ) -> Iterator[dict[str, Any]]:
        with normalized():
            reader = self._reader()
            there = [row["name"] for row in reader.series()]
            if system:
                names = [name for name in there if name.startswith(_SYSTEM)]
            else:
                names = [name for name in there if not name.startswith(_HIDDEN)]
            if keys is not None:
                wanted = [key for key in keys if key not in _OF_ROW]
                if not set(wanted) <= set(there):
                    return
                names = wanted or names
            if not names:
                return
            table = reader.history(names, start, end)
        began = self._started.timestamp() if self._started is not None else 0.0
        columns = table.columns[2:]
        for found in table:
            moment = found["time"]
            row = {"_step": found["step"]}
            if moment is not None:
                row |= {"_timestamp": moment.timestamp(), "_runtime": moment.timestamp() - began}
            for name, column in zip(names, columns, strict=True):
                if found[column] is not None:
                    row[name] = found[column]
            if keys is None:
                yield row
            elif all(key in row for key in keys):
                yield {key: row[key] for key in keys}

    def load(self, force: bool = False) -> dict[str, Any]:
        """Ask for everything anew."""
        if force:
            self.__dict__.update(Run.opened(*self._address().rpartition("/")[::2]).__dict__)
        return self._attrs

    load_full_data = load

    def wait_until_finished(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Look every few seconds until the run is over."""
        while self.state == "running":
            sleep(_POLL_S)
            self.load(force=True)

    def update(self) -> None:
        """Write what was changed."""
        fields = {name: value for name, value in self._fields().items() if value != self._written[name]}
        config = _changed(self._read[0], self._config)
        summary = _changed(self._read[1], self._summary)
        if not (fields or config or summary):
            return
        with normalized():
            run = steplog.attach(self._address())
            for name, value in fields.items():
                setattr(run, name, value)
            if config:
                run.config.update(config)
            for name, value in summary.items():
                run.log(_SUMMARY + name, value)
            if not run.flush(_FLUSH_S):
                raise CommError(
                    f"run {self.name} is changed on this machine, and not on the server yet; it arrives later"
                )
        self._written = self._fields()
        self._read[0].update(config)
        self._read[1].update(summary)

    save = update

    def delete(self, delete_artifacts: bool = False) -> None:
        """Move it to the trash of its server, for a day."""
        with normalized():
            steplog.attach(self._address()).delete()

    def stop(self) -> NoReturn:
        """Raises CommError."""
        raise CommError("a run is ended by its own program: stop that, by Ctrl-C or by a signal")

    def update_state(self, state: str) -> bool:
        """A state is the program's own."""
        return False

    def files(self, names: Any = None, pattern: str | None = None, per_page: int = 50) -> list[File]:
        """The files that were saved with it: all, those of these names, or those that ``pattern`` (SQL's) means."""
        wanted = [names] if isinstance(names, str) else names
        like = None if pattern is None else re.compile(re.escape(pattern).replace("%", ".*").replace("_", "."))
        with normalized():
            found = self._reader().files()
        return [
            File(each)
            for each in found
            if (wanted is None or each.path in wanted) and (like is None or like.fullmatch(each.path))
        ]

    def file(self, name: str) -> File:
        """A file by its name. Raises CommError where there is none."""
        for each in self.files([name]):
            return each
        raise CommError(f"the run {self.name} has no file {name!r}")

    def console_logs(self, *, per_page: int = 1000, last: int | None = None) -> list[Any]:
        """There are none."""
        return []

    def upload_file(self, path: str, root: str = ".") -> File:
        """Keep a file with it, by its path below ``root``; waits until the server has it. Raises CommError."""
        with normalized():
            run = steplog.attach(self._address())
            (name,) = run.save(path, base_path=root) or [""]
            if not name or not run.flush(_FLUSH_S):
                raise CommError(f"the file {path!r} is not with the run {self.name} yet")
        return self.file(name)

    def logged_artifacts(self, per_page: int = 100) -> list[Any]:
        """The versions of artifacts that it has logged."""
        from steplog.compat.wandb.api_artifacts import logged_by

        with normalized():
            return logged_by(self.entity, self.project, self.storage_id)

    def used_artifacts(self, per_page: int = 100) -> list[Any]:
        """No list is kept of them here."""
        return []

    def use_artifact(self, artifact: Any, use_as: str | None = None) -> Any:
        """The artifact, which the server then knows it to use."""
        with normalized():
            steplog.attach(self._address()).use_artifact(artifact.name)
        return artifact

    def log_artifact(self, artifact: Any, aliases: Any = None, tags: Any = None) -> Any:
        """Keep an artifact as one of it; waits until the server has it. Raises CommError."""
        with normalized():
            run = steplog.attach(self._address())
            artifact.entity, artifact.project = self.entity, self.project
            artifact.hand_over(run, [aliases] if isinstance(aliases, str) else list(aliases or ()), list(tags or ()))
            artifact.wait(_FLUSH_S)
        return artifact

    def display(self, height: int = 420, hidden: bool = False) -> bool:
        """Nothing is shown."""
        return False

    def to_html(self, height: int = 420, hidden: bool = False) -> str:
        """The run's page in a frame."""
        return frame(self.url or "", height)

    def _fields(self) -> dict[str, Any]:
        return {"name": self.name, "tags": list(self.tags), "notes": self.notes, "group": self.group}

    def _address(self) -> str:
        """What means this run alone: a local id, or a uuid with where it is, so that one project is asked."""
        parts = (self.storage_id,) if self._is_local else (self.entity, self.project, self.storage_id)
        return "/".join(filter(None, parts))

    @property
    def _is_local(self) -> bool:
        """Whether no server had the run."""
        return _LOCAL_ID.fullmatch(self.storage_id) is not None

    def _reader(self) -> Any:
        if self._opened is None:
            if self._client is None or self._is_local:
                self._opened = steplog.open(self._address())
            else:
                names = Named(self.storage_id, self.name or "", "", slug_of(self.entity), slug_of(self.project))
                self._opened = open_there(names, self._client)
        return self._opened


def frame(url: str, height: int) -> str:
    """A page in a page."""
    import html

    return f'<iframe src="{html.escape(url)}" style="border:none;width:100%;height:{height}px"></iframe>'


class _User:
    def __init__(self, username: str) -> None:
        self.username = self.name = username


def _changed(before: Mapping[str, Any], now: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is new or another; nothing if it was not looked at."""
    nothing = object()
    return {key: value for key, value in (now or {}).items() if before.get(key, nothing) != value}


def _summary_of(last: Mapping[str, Any]) -> dict[str, Any]:
    """The summary as wandb has it: what was set comes before what was logged; ``loss.min`` is in a dict."""
    values = {name: value for name, value in last.items() if not name.startswith(_HIDDEN)}
    given = {name.removeprefix(_SUMMARY): value for name, value in last.items() if name.startswith(_SUMMARY)}
    aggregates: dict[str, dict[str, Any]] = {}
    for name, value in given.items():
        base, _, aggregate = name.rpartition(".")
        if aggregate in _AGGREGATES and base in values and base not in given:
            aggregates.setdefault(base, {})[aggregate] = value
        elif value is not None:
            values[name] = value
        else:
            values.pop(name, None)  # it was removed
    return {**values, **aggregates}


def _text(moment: Any) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(moment, datetime) else None
