"""``ReadOnlyRun``: a run to read, of a server or of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from operator import index
from typing import Any, Literal, NamedTuple

import msgspec

from steplog.column_format import json_text
from steplog.errors import SteplogError
from steplog.files.of_run import FilesOfRun
from steplog.files.run_file import RunFile
from steplog.identity import RunStatus
from steplog.naming import Named, listed
from steplog.printable import printable
from steplog.reading.arrow_table import ArrowColumn, ArrowTable, column_of
from steplog.reading.points import Selection, SeriesPoints
from steplog.reading.source import RunSource
from steplog.reading.wide import long, wide

__all__ = ["Place", "ReadOnlyRun"]

_RESERVED = "steplog/"
_NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_EXACT = 2**53  # all integers up to here are numbers of float64
_INTEGERS = ("count", "first_step", "last_step", "max_step")
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class Place(NamedTuple):
    """Where a run is: what it is called, how it is read, its server, its files, and its JSON if that is known."""

    names: Named
    source: RunSource
    base_url: str
    files: Callable[[], FilesOfRun]
    document: dict[str, Any] | None = None


class ReadOnlyRun:
    """A run that is read, made by ``steplog.open``.

        run = steplog.open("brave_pasta_123")
        run.summary["loss"]
        frame = pandas.DataFrame.from_arrow(run.history(["loss", "accuracy"]))

    What the run says of itself, and its ``series``, are asked for at the first use and kept until ``refresh``;
    ``history`` is asked for anew each time. Each may raise ServerUnavailableError, RunNotFoundError (the run was
    deleted), InvalidAPIKeyError.
    """

    def __init__(self, find: Callable[[], Place]) -> None:
        """Internal: ``find`` says where the run is now."""
        self._find = find
        self._place = find()
        self._document = self._place.document
        self._config: dict[str, Any] | None = None
        self._rows: list[dict[str, Any]] | None = None

    def __repr__(self) -> str:
        status, names = "", self._place.names
        with suppress(SteplogError, OSError):  # to print it is never an error
            names, status = names._replace(name=self.name), f", {self.status.value}"
        return f"<ReadOnlyRun {printable(listed([names]))}{status}>"

    @property
    def source(self) -> RunSource:
        """Internal: what it is read from."""
        return self._place.source

    @property
    def file_source(self) -> FilesOfRun:
        """Internal: what its files are read from."""
        return self._place.files()

    @property
    def uuid(self) -> str:
        """The uuid; of a run that no server has yet, its local id."""
        return self._place.names.uuid

    @property
    def id(self) -> str:
        """The same, as of ``Run``."""
        return self.uuid

    @property
    def key(self) -> str | None:
        """The id that the run was given by the caller of ``init`` that made it."""
        return self._text("id")

    @property
    def name(self) -> str:
        """Its name."""
        return self._text("name") or ""

    @property
    def namespace(self) -> str:
        """The slug of the namespace that its project is in."""
        return self._place.names.namespace

    @property
    def project(self) -> str:
        """The slug of its project."""
        return self._place.names.project

    @property
    def status(self) -> RunStatus:
        """Its status."""
        return RunStatus(self._told()["status"])

    @property
    def description(self) -> str | None:
        """Its description."""
        return self._text("description")

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags."""
        return tuple(self._told().get("tags") or ())

    @property
    def group(self) -> str | None:
        """What it belongs to."""
        return self._text("group")

    @property
    def job_type(self) -> str | None:
        """What it does."""
        return self._text("job_type")

    @property
    def notes(self) -> str | None:
        """Its notes."""
        return self._text("notes")

    @property
    def started(self) -> datetime | None:
        """When it started, in UTC; on a stock server, when it was created."""
        return _datetime(self._told().get("started") or self._told().get("date_created"))

    @property
    def ended(self) -> datetime | None:
        """When it ended, in UTC; None: it has not, or the server does not keep that."""
        return _datetime(self._told().get("ended"))

    @property
    def provenance(self) -> dict[str, Any]:
        """Where it was started from: host, command line, repository, …; empty if nobody knows."""
        return dict(self._told().get("provenance") or {})

    @property
    def url(self) -> str | None:
        """The address of its page, if it has one."""
        from steplog.delivery.wire import web_path
        from steplog.identity import slug_of

        if not self._place.base_url:
            return None
        return self._place.base_url + web_path(self.namespace, self.project, slug_of(self.name))

    @property
    def config(self) -> dict[str, Any]:
        """Its config, a dict of its own."""
        if self._config is None:
            told = self._told().get("config")
            self._config = self.source.config() if told is None else told
        return dict(self._config)

    @property
    def summary(self) -> dict[str, Any]:
        """The last value of each metric, without those under ``steplog/``; NaN and infinities are floats."""
        return {row["name"]: _number(row["last"]) for row in self._series()}

    def series(self) -> ArrowTable:
        """The metrics, without those under ``steplog/``, in the order in which they first arrived, a row each.

        ``name``, ``count``, ``first_step`` (of the first point), ``last_step`` (of the last one), ``max_step``,
        ``last`` (float64; what no float64 holds, such as a text, is in ``last_json``), ``min``, ``max``,
        ``last_time``.
        """
        rows = self._series()
        texts = {name: [row.get(name) for row in rows] for name in ("name", *_INTEGERS)}
        last = [_number(row["last"]) for row in rows]
        floats = [value if _is_float(value) else None for value in last]
        rest = [None if _is_float(value) else json_text(value) for value in last]
        ranges = [column_of(key, "f8", [_as_float(_number(row.get(key))) for row in rows]) for key in ("min", "max")]
        times = [None if row.get("last_time") is None else _nanoseconds(row["last_time"]) for row in rows]
        return ArrowTable(
            [
                ArrowColumn("name", "text", texts["name"]),
                *(column_of(key, "i8", texts[key]) for key in _INTEGERS),
                column_of("last", "f8", floats),
                column_of("last_json", "json", rest),
                *ranges,
                column_of("last_time", "time", times),
            ]
        )

    def history(
        self,
        names: str | Sequence[str] | None = None,
        start: int | None = None,
        end: int | None = None,
        last: int | None = None,
        *,
        form: Literal["wide", "long"] = "wide",
    ) -> ArrowTable:
        """The points of some metrics as a table, which pandas, polars, DuckDB and pyarrow take as it is.

        Args:
            names: a metric, or several; None: all, except those under ``steplog/``.
            start: the least step.
            end: the greatest step, which is included.
            last: of each metric only the last so many of the points that match.
            form: "wide": a row a step, ascending, with the columns ``step``, ``time`` (that of the row's latest point)
                and one a metric, in the order of ``names``. Of several values of a metric at one step the last that
                arrived counts; where there is none it is missing. A metric called ``step`` or ``time`` is ``step_`` or
                ``time_``. "long": a row a point, metric after metric, in the order of arrival: ``name``, ``step``,
                ``time``, ``value`` (float64) and ``json``, which has what no float64 holds.

        Raises:
            MetricNotFoundError: the run has no metric of a name.
            ServerUnavailableError, RunNotFoundError, InvalidAPIKeyError: as all of a run.
        """
        if form not in ("wide", "long"):
            raise ValueError(f'form is "wide" or "long", not {form!r}')
        wanted = _names(names)
        points = self.points(Selection(wanted, _step("start", start), _step("end", end), _count(last)))
        return wide(points, wanted) if form == "wide" else long(points)

    def files(self, prefix: str = "", *, logged: bool = False) -> list[RunFile]:
        """The saved files of the run, by path: what its server has, and what waits on this machine; see ``Run.files``.

        Raises ServerUnavailableError, InvalidAPIKeyError, RunNotFoundError.
        """
        return self._place.files().files(prefix, logged=logged)

    def file(self, which: str | Mapping[str, Any]) -> RunFile:
        """A file of the run: by its path, its id, or the value of the history that names it.

        Raises RunFileNotFoundError, and as ``files``.
        """
        return self._place.files().file(which)

    def points(self, selection: Selection) -> Iterator[SeriesPoints]:
        """Internal: the points as they come; without names, of all metrics but those under ``steplog/``."""
        for part in self.source.points(selection):
            if selection.names is not None or not part.name.startswith(_RESERVED):
                yield part

    def refresh(self) -> None:
        """Ask for everything anew at its next use. A run that was on this machine alone may be on its server now."""
        self._place = self._find()
        self._document, self._config, self._rows = self._place.document, None, None

    def _told(self) -> dict[str, Any]:
        if self._document is None:
            self._document = self.source.document()
        return self._document

    def _text(self, field: str) -> str | None:
        text = self._told().get(field)
        return text if isinstance(text, str) and text else None

    def _series(self) -> list[dict[str, Any]]:
        if self._rows is None:
            self._rows = [row for row in self.source.series() if not row["name"].startswith(_RESERVED)]
        return self._rows


def _names(given: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    names = (given,) if isinstance(given, str) else tuple(given)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"the name of a metric is a str, not {type(name).__name__}")
    return tuple(dict.fromkeys(names))


def _step(what: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} is a step, an integer, not {type(value).__name__}")
    return max(-(2**63) + 1, min(index(value), 2**63 - 1))


def _count(value: Any) -> int | None:
    count = _step("last", value)
    if count is not None and count < 1:
        raise ValueError(f"last is how many points of each metric are wanted, at least 1, not {count}")
    return None if count is None or count > _EXACT else count


def _number(value: Any) -> Any:
    """A value of the API, whose NaN and infinities are texts."""
    return _NOT_FINITE.get(value, value) if isinstance(value, str) else value


def _is_float(value: Any) -> bool:
    return isinstance(value, float) or (type(value) is int and abs(value) <= _EXACT)


def _as_float(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _datetime(text: Any) -> datetime | None:
    return msgspec.convert(text, datetime) if isinstance(text, str) and text else None


def _nanoseconds(text: str) -> int:
    passed = msgspec.convert(text, datetime) - _EPOCH
    return ((passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds) * 1000
