"""trackio's kinds of values: tables, histograms, Markdown and traces are JSON values, files are counted.

::

    Table, Histogram, Markdown, Trace      the JSON that trackio keeps of them
    Image, Video, Audio, Html, Object3D    counted where they are logged; making one neither reads nor encodes it

A medium in a table or a trace is null there, and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from steplog.compat.noting import note

__all__ = [
    "Artifact",
    "Audio",
    "Histogram",
    "Html",
    "Image",
    "Markdown",
    "Object3D",
    "Table",
    "Trace",
    "TrackioMedia",
    "Video",
    "as_json",
    "is_kept",
]

_FILES = "files are not kept; save it yourself, and log where it is: trackio.log({name: path})"
_BINS_MAX = 512


class TrackioMedia:
    """A file of a run: it is not kept."""

    TYPE = "trackio.media"

    def __init__(self, value: Any = None, caption: str | None = None, *_: Any, **__: Any) -> None:
        self.caption = caption
        self._value = value


class Image(TrackioMedia):
    """An image."""

    TYPE = "trackio.image"


class Video(TrackioMedia):
    """A video."""

    TYPE = "trackio.video"


class Audio(TrackioMedia):
    """A sound."""

    TYPE = "trackio.audio"


class Object3D(TrackioMedia):
    """Points or a mesh."""

    TYPE = "trackio.object3d"


class Html(TrackioMedia):
    """A page."""

    TYPE = "trackio.html"

    def __init__(
        self, data: Any = None, inject: bool = True, data_is_not_path: bool = False, caption: str | None = None
    ) -> None:
        super().__init__(data, caption)


class Artifact:
    """A named set of files: they are not kept."""

    def __init__(
        self,
        name: str,
        type: str = "unspecified",  # noqa: A002 - trackio's word
        description: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.type = type
        self.description = description
        self.metadata = dict(metadata or {})
        self.version: int | None = None
        self.aliases: tuple[str, ...] = ()
        self.size: int | None = None
        self.manifest: list[dict[str, Any]] = []
        self.project: str | None = None
        self.digest: str | None = None
        self.manifest_digest: str | None = None

    @property
    def qualified_name(self) -> str:
        """The name: there are no versions."""
        return self.name

    def add_file(self, local_path: Any, name: str | None = None) -> None:
        """Nothing is read."""

    def add_dir(self, local_dir: Any, name: str | None = None) -> None:
        """Nothing is read."""

    def add_reference(self, uri: str, name: str | None = None, *_: Any, **__: Any) -> None:
        """Nothing is read."""

    def wait(self, timeout: int | None = None) -> Artifact:
        """There is nothing to wait for."""
        return self

    def download(self, *_: Any, **__: Any) -> NoReturn:
        """Raises ValueError: there is nothing to download."""
        raise ValueError(f"the artifact {self.name!r} is not kept by steplog; read the file where it is")


class Table:
    """Rows as dicts, of rows and columns or of a data frame."""

    TYPE = "trackio.table"

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        data: Iterable[Any] | None = None,
        dataframe: Any = None,
        rows: Any = None,
        optional: Any = True,
        allow_mixed_types: bool = False,
        log_mode: str | None = "IMMUTABLE",
    ) -> None:
        if dataframe is not None:
            if not hasattr(dataframe, "to_dict"):
                raise TypeError("The `dataframe` argument must support `to_dict(orient='records')`.")
            self.data = [dict(row) for row in dataframe.to_dict(orient="records")]
        else:
            self.data = [_row(row, columns) for row in data or ()]

    def _as_json(self) -> dict[str, Any]:
        return {"_type": self.TYPE, "_value": [as_json(row) for row in self.data]}


def _row(row: Any, columns: Sequence[str] | None) -> dict[Any, Any]:
    if isinstance(row, Mapping):
        return dict(row)
    cells, names = list(row), list(columns or ())
    cells += [None] * (len(names) - len(cells))
    return {names[place] if place < len(names) else place: cell for place, cell in enumerate(cells)}


class Histogram:
    """Counts and the edges of their bins. Raises ValueError unless one of the two arguments is given."""

    TYPE = "trackio.histogram"

    def __init__(self, sequence: Any = None, np_histogram: Any = None, num_bins: int = 64) -> None:
        if (sequence is None) == (np_histogram is None):
            raise ValueError("Must provide either sequence or np_histogram, and not both")
        import numpy

        if np_histogram is not None:
            self.histogram, self.bins = (numpy.asarray(each) for each in np_histogram)
            return
        values = numpy.asarray(sequence).flatten()
        values = values[numpy.isfinite(values)]
        self.histogram, self.bins = numpy.array([]), numpy.array([])
        if len(values):
            self.histogram, self.bins = numpy.histogram(values, bins=min(num_bins, _BINS_MAX))

    def _as_json(self) -> dict[str, Any]:
        return {"_type": self.TYPE, "bins": self.bins.tolist(), "values": self.histogram.tolist()}


class Markdown:
    """A text. Raises ValueError for what is none."""

    TYPE = "trackio.markdown"

    def __init__(self, text: str = "") -> None:
        if not isinstance(text, str):
            raise ValueError("Markdown text must be a string")
        self.text = text

    def _as_json(self) -> dict[str, Any]:
        return {"_type": self.TYPE, "_value": self.text}


class Trace:
    """The messages of a conversation, and what was called for it. Raises TypeError for anything but lists of dicts."""

    TYPE = "trackio.trace"

    def __init__(
        self,
        messages: list[dict[str, Any]],
        metadata: dict[str, Any] | None = None,
        spans: list[dict[str, Any]] | None = None,
    ) -> None:
        parts: dict[str, Any] = {"messages": messages, "spans": [] if spans is None else spans}
        for name, given in parts.items():
            if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
                raise TypeError(f"`{name}` must be a list of dictionaries.")
        self.messages = [dict(each) for each in messages]
        self.metadata = dict(metadata or {})
        self.spans = [dict(each) for each in spans or ()]

    def _as_json(self) -> dict[str, Any]:
        parts = {"messages": self.messages, "metadata": self.metadata, "spans": self.spans}
        return {"_type": self.TYPE, **{name: as_json(part) for name, part in parts.items()}}


def is_kept(value: Any) -> bool:
    """Whether a value that is logged is one for steplog; what is not is counted."""
    if not isinstance(value, TrackioMedia):
        return True
    note(f"trackio.log() of trackio.{type(value).__name__}", _FILES)
    return False


def as_json(value: Any) -> Any:
    """A value with what trackio makes of its own kinds of values in it; a medium is null."""
    if isinstance(value, (Table, Histogram, Markdown, Trace)):
        return value._as_json()
    if isinstance(value, TrackioMedia):
        return value if is_kept(value) else None
    if isinstance(value, Mapping):
        return {str(key): as_json(each) for key, each in value.items()}
    return [as_json(each) for each in value] if isinstance(value, (list, tuple, set)) else value
