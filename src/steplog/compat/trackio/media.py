"""trackio's kinds of values.

::

    Image, Video, Audio, Html, Object3D    a file, which the value names
    Table, Histogram                       as steplog's own, so that the page shows them
    Markdown, Trace                        the JSON that trackio keeps of them
    a figure of Matplotlib or Plotly       an image; a page

A file is read, and a figure drawn, when it is logged. What cannot be kept then is counted.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import steplog
from steplog.compat.kept_media import KeptMedia, content_of_file, content_of_text, kept_or_counted
from steplog.compat.pixels import video_of
from steplog.compat.table_values import KeptTable
from steplog.compat.unsupported import unsupported
from steplog.media_value import MediaValue

__all__ = [
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
    "needs_copy",
]

_BINS_MAX = 512
_FPS = 24
_SHAPES = ("glb", "gltf", "obj", "stl", "ply", "splat")
_FULL = 32767.0
_LIBRARIES = ("matplotlib", "plotly")


class TrackioMedia:
    """A file of a run. Raises ValueError where there is none."""

    TYPE = "trackio.media"

    def __init__(self, value: Any = None, caption: str | None = None) -> None:
        self.caption = caption
        self._value = value
        if isinstance(value, (str, os.PathLike)) and not os.path.isfile(value):
            raise ValueError(f"File not found: {value}")

    def _made(self) -> MediaValue:
        """The value of steplog's. Raises TypeError, ValueError, OSError, TooLargeToLogError."""
        raise NotImplementedError

    def as_media(self) -> MediaValue | None:
        """What is logged; None: it was counted."""
        call = f"trackio.log() of trackio.{type(self).__name__}"
        try:
            found = kept_or_counted(self._made, call)
        except (TypeError, ValueError) as error:
            unsupported.note(f"{call}, not readable", f"it is not kept: {error!s:.200}")
            return None
        return found.with_fields({"caption": self.caption}) if found is not None else None


def _is_array(value: Any) -> bool:
    return hasattr(value, "dtype") and hasattr(value, "shape")


def _check_bytes(value: Any) -> None:
    if _is_array(value) and str(value.dtype) != "uint8":
        raise ValueError(f"Invalid value dtype, expected np.uint8, got {value.dtype}")
    if not _is_array(value) and not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"Invalid value type, expected a path or an array, got {type(value)}")


class Image(TrackioMedia):
    """An image, of a file, of Pillow, or of an array of uint8. Raises ValueError for anything else."""

    TYPE = "trackio.image"

    def __init__(self, value: Any, caption: str | None = None) -> None:
        super().__init__(value, caption)
        if type(value).__module__.partition(".")[0] != "PIL":
            _check_bytes(value)

    def _made(self) -> MediaValue:
        return steplog.Image(self._value)


class Video(TrackioMedia):
    """A video, of a file or of frames (frames, channels, height, width) of uint8; a batch of them is tiled."""

    TYPE = "trackio.video"

    def __init__(
        self,
        value: Any,
        caption: str | None = None,
        fps: int | None = None,
        format: str | None = None,  # noqa: A002 - trackio's word
    ) -> None:
        super().__init__(value, caption)
        _check_bytes(value)
        self._fps = fps or _FPS

    def _made(self) -> MediaValue:
        if not _is_array(self._value):
            return KeptMedia(content_of_file(self._value, "video"))
        if self._value.ndim not in (4, 5):
            raise ValueError(f"a video has 4 dimensions, a batch of them 5, not {self._value.ndim}")
        videos = (self._value if self._value.ndim == 5 else self._value[None]).transpose(0, 1, 3, 4, 2)
        return video_of(videos, self._fps)


class Audio(TrackioMedia):
    """A sound, of a file or of samples: floats are scaled to their peak. Raises ValueError without a sample rate."""

    TYPE = "trackio.audio"

    def __init__(
        self,
        value: Any,
        caption: str | None = None,
        sample_rate: int | None = None,
        format: str | None = None,  # noqa: A002 - trackio's word
    ) -> None:
        super().__init__(value, caption)
        if _is_array(value) and sample_rate is None:
            raise ValueError("Sample rate is required when value is an ndarray")
        self._sample_rate = sample_rate

    def _made(self) -> MediaValue:
        if not _is_array(self._value):
            return steplog.Audio(self._value)
        import numpy

        samples = numpy.nan_to_num(self._value)
        if samples.dtype.kind == "f":
            peak = float(numpy.abs(samples).max()) if samples.size else 0.0
            samples = (samples / (peak or 1.0) * _FULL).clip(-_FULL - 1, _FULL).astype(numpy.int16)
        elif samples.dtype.kind in "iu" and samples.dtype.itemsize == 1:
            wide = samples.astype(numpy.int32)
            samples = (wide * 257 - 32768 if samples.dtype.kind == "u" else wide * 256).astype(numpy.int16)
        elif samples.dtype == numpy.uint16:
            samples = (samples.astype(numpy.int32) - 32768).astype(numpy.int16)
        return steplog.Audio(samples, self._sample_rate)


class Object3D(TrackioMedia):
    """A file of a shape. Raises ValueError for another one."""

    TYPE = "trackio.object3d"

    def __init__(self, value: Any, caption: str | None = None, *_: Any, **__: Any) -> None:
        super().__init__(value, caption)
        if not _is_array(value) and Path(str(value)).suffix[1:].lower() not in _SHAPES:
            raise ValueError(f"Object3D takes an array of points, or a file of the type {', '.join(_SHAPES)}")

    def _made(self) -> MediaValue:
        from steplog.compat.kept_media import content_of_json

        if _is_array(self._value):
            content = content_of_json(self._value, ".pts.json")
        else:
            content = content_of_file(self._value, "file")
        return KeptMedia(content).with_fields({"format": "object3D"})


class Html(TrackioMedia):
    """A page: its text, a file, or a figure of Plotly's or Matplotlib's. Raises ValueError for anything else."""

    TYPE = "trackio.html"

    def __init__(
        self, data: Any = None, inject: bool = True, data_is_not_path: bool = False, caption: str | None = None
    ) -> None:
        super().__init__(None, caption)
        self._html = _html(data)

    def _made(self) -> MediaValue:
        return KeptMedia(content_of_text(self._html, "html", ".html"))


def _html(data: Any) -> str:
    if hasattr(data, "to_html"):
        return str(data.to_html(full_html=True, include_plotlyjs="cdn"))
    if hasattr(data, "to_jshtml"):
        return str(data.to_jshtml())
    figure = data.gcf() if isinstance(data, ModuleType) and hasattr(data, "gcf") else data
    if hasattr(figure, "savefig"):
        written = io.StringIO()
        figure.savefig(written, format="svg", bbox_inches="tight")
        return written.getvalue()[written.getvalue().index("<svg") :]
    if hasattr(data, "read"):
        if hasattr(data, "seek"):
            data.seek(0)
        found = data.read()
        return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)
    if isinstance(data, (str, os.PathLike)):
        path = Path(data)
        is_file = path.suffix.lower() in (".html", ".htm") and path.is_file()
        return path.read_text("utf-8") if is_file else str(data)
    raise ValueError(f"Invalid data type for Html: {type(data)}; it takes a text, a path, a file or a figure")


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

    def _as_json(self) -> Any:
        columns = list(dict.fromkeys(name for row in self.data for name in row))
        rows = [[as_json(row.get(name)) for name in columns] for row in self.data]
        return KeptTable(columns, rows, "a trackio.Table")


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
        edges = self.bins.tolist() or [0.0]
        return {"_type": "histogram", "bins": edges, "values": self.histogram.tolist()}


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


def needs_copy(value: Any) -> bool:
    """Whether ``as_json`` may make another value of it."""
    return isinstance(value, (*_KINDS, Mapping, list, tuple, set)) or _library(value) in _LIBRARIES


def as_json(value: Any) -> Any:
    """A value with what is kept of trackio's own kinds of values in it; null is a medium that is not kept."""
    if isinstance(value, (Table, Histogram, Markdown, Trace)):
        return value._as_json()
    if isinstance(value, TrackioMedia):
        return value.as_media()
    if isinstance(value, Mapping):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [as_json(each) for each in value]
    return _figure(value) if _library(value) in _LIBRARIES else value


def _library(value: Any) -> str:
    name = value.__name__ if isinstance(value, ModuleType) else type(value).__module__
    return str(name).partition(".")[0]


def _figure(value: Any) -> Any:
    """A figure that was logged as it is; anything else of its library is that."""
    figure = value.gcf() if isinstance(value, ModuleType) and hasattr(value, "gcf") else value
    if _library(value) == "matplotlib" and hasattr(figure, "savefig"):
        return kept_or_counted(lambda: steplog.Image(figure), "trackio.log() of a figure of matplotlib")
    return Html(value).as_media() if hasattr(value, "to_html") or hasattr(value, "to_jshtml") else value


_KINDS = (Table, Histogram, Markdown, Trace, TrackioMedia)
