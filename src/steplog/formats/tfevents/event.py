"""One record of an event file of TensorBoard: what it says. Pure.

    Event     1 wall_time (double, s)   2 step   3 file_version   5 summary
    Summary   1 value, repeated: 1 tag   2 simple_value (float)   4 image   5 histo   6 audio   8 tensor   9 metadata
    metadata  1 plugin_data: 1 plugin_name, 2 content   3 summary_description

TensorBoard's faster reader shows floats alone. So an export writes a ``simple_value`` and beside it, in fields that
other readers skip, what it does not hold: the double (``EXACT_FLOAT``) or the integer (``EXACT_INT``). Beside an image,
audio or a histogram it writes the JSON of the value (``EXACT_JSON``).

https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/util/event.proto, and ``summary.proto``,
``tensor.proto`` in ``core/framework``. A tag's metadata may be in its first event alone, so that a parser
has a memory.

What becomes a point: a ``simple_value``; a tensor of one number of the plugin ``scalars``, or of none; a string tensor
of the plugin ``text``: a text if it has one element, else a list; images, audio and histograms (``media``). The
hyperparameters of the plugin ``hparams`` become an event's config. All else is counted by its kind.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from steplog.errors import FormatError
from steplog.formats import protobuf
from steplog.formats.protobuf import fields, signed, text_of
from steplog.formats.tfevents.media import PLUGINS, MediaContent, media_of

__all__ = [
    "EXACT_FLOAT",
    "EXACT_INT",
    "EXACT_JSON",
    "HPARAMS",
    "INFO_PLUGIN",
    "JSON_TEXT",
    "NAME_BYTES_MAX",
    "Event",
    "EventParser",
    "tensor_numbers",
    "tensor_strings",
    "time_of",
]

EXACT_FLOAT = 1001
EXACT_INT = 1002  # an sfixed64
EXACT_JSON = 1003  # bytes
HPARAMS = "hparams"  # a plugin's name
INFO_PLUGIN = "steplog_run"  # our own, of the event that holds a run's RunInfo
JSON_TEXT = "JSON"  # the summary_description of a text that is a JSON value
NAME_BYTES_MAX = 256
_DEPTH_MAX = 32
_TIME_MAX = (1 << 63) - 1

_EVENT_KINDS = {4: "graphs", 6: "log messages", 8: "profiles", 9: "graphs"}  # fields of an Event
_PLUGINS = {"images": "images", "histograms": "histograms", "audio": "audio clips"}
_STRING = 7
_FIXED = {1: "f", 2: "d", 3: "i", 4: "B", 5: "h", 6: "b", 9: "q", 10: "?", 17: "H", 19: "e", 22: "I", 23: "Q"}
_REPEATED = {1: 5, 2: 6, 3: 7, 4: 7, 5: 7, 6: 7, 9: 10, 10: 11, 17: 7, 19: 13, 22: 16, 23: 17}  # dtype: field of values
_PACKED_FIXED = {5: "f", 6: "d"}


class Event(NamedTuple):
    """What a record says.

    Attributes:
        points: names and values: float, int, bool, str, a list of str, ``msgspec.Raw`` of JSON, or of media.
        left_out: kinds of what is no point, such as "graphs".
        info: the JSON of a run, if an export wrote it here.
        config: hyperparameters.
        contents: what values of media name.
    """

    wall_time: float
    step: int
    points: list[tuple[str, Any]]
    left_out: list[str]
    info: bytes | None
    config: dict[str, Any]
    contents: list[MediaContent]


class _Metadata(NamedTuple):
    plugin: str
    content: bytes
    description: str


_NO_METADATA = _Metadata("", b"", "")


class EventParser:
    """Parses the records of one file, in their order."""

    def __init__(self) -> None:
        self._metadata: dict[bytes, _Metadata] = {}

    def parse(self, data: bytes) -> Event:
        """Raises FormatError where the record is damaged."""
        event = Event(0.0, 0, [], [], None, {}, [])
        for number, value, content in fields(data):
            if number == 1:
                event = event._replace(wall_time=protobuf.double_of(content))
            elif number == 2:
                event = event._replace(step=signed(value))
            elif number == 5:
                for inner in fields(content):
                    if inner.number == 1:
                        event = self._value(inner.data, event)
            elif number in _EVENT_KINDS:
                event.left_out.append(_EVENT_KINDS[number])
        return event

    def _value(self, data: bytes, event: Event) -> Event:
        parts = {number: content for number, _, content in fields(data)}
        tag = parts.get(1, b"")
        first = self._metadata.get(tag)
        if first is None:
            first = self._metadata[tag] = _metadata(parts[9]) if 9 in parts else _NO_METADATA
        metadata = _metadata(parts[9]) if 9 in parts else first
        if metadata.plugin == INFO_PLUGIN:
            texts = tensor_strings(parts.get(8, b""))
            return event._replace(info=texts[0] if texts else None)
        if metadata.plugin == HPARAMS:
            event.config.update(_hyperparameters(metadata.content))
            return event
        values = _media(parts, metadata, event.contents) if _is_media(parts, metadata) else _values(parts, metadata)
        if not isinstance(values, list):
            event.left_out.append(values)
        elif not 0 < len(tag) <= NAME_BYTES_MAX:
            event.left_out.append(f"values without a name of 1 to {NAME_BYTES_MAX} bytes")
        else:
            event.points.extend((text_of(tag), value) for value in values)
        return event


def _metadata(data: bytes) -> _Metadata:
    parts = {number: content for number, _, content in fields(data)}
    plugin = {number: content for number, _, content in fields(parts.get(1, b""))}
    return _Metadata(text_of(plugin.get(1, b"")), plugin.get(2, b""), text_of(parts.get(3, b"")))


def _is_media(parts: dict[int, bytes], metadata: _Metadata) -> bool:
    if EXACT_JSON in parts or not parts.keys().isdisjoint(PLUGINS):
        return True
    return metadata.plugin in PLUGINS.values() and 8 in parts


def _media(parts: dict[int, bytes], metadata: _Metadata, contents: list[MediaContent]) -> list[Any] | str:
    """The value, in a list, and its contents in ``contents``; or which kind of thing it is that is left out."""
    if EXACT_JSON in parts:
        text = parts[EXACT_JSON]
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            raise FormatError("a value that is no JSON") from None
        return [msgspec.Raw(text)]
    number = next((number for number in PLUGINS if number in parts), None)
    plugin = metadata.plugin if number is None else PLUGINS[number]
    tensor, old = parts.get(8, b""), None if number is None else parts[number]
    made = media_of(plugin, old, lambda: tensor_strings(tensor), lambda: tensor_numbers(tensor))
    if made is None:
        return _PLUGINS[plugin]
    contents += made.contents
    return [made.value]


def _values(parts: dict[int, bytes], metadata: _Metadata) -> list[Any] | str:
    """The value, in a list; or which kind of thing it is that is left out."""
    for number, code in ((EXACT_FLOAT, "<d"), (EXACT_INT, "<q"), (2, "<f")):
        if number in parts:
            if len(parts[number]) != struct.calcsize(code):
                raise FormatError("a value that is no number")
            return list(struct.unpack(code, parts[number]))
    kind = _PLUGINS.get(metadata.plugin, f"values of the plugin {metadata.plugin}" if metadata.plugin else "tensors")
    if 8 not in parts:
        return kind
    if metadata.plugin == "text":
        return [_text(parts[8], metadata)]
    if metadata.plugin not in ("", "scalars"):
        return kind
    numbers = tensor_numbers(parts[8])
    return list(numbers) if len(numbers) == 1 else "tensors"


def _text(tensor: bytes, metadata: _Metadata) -> Any:
    texts = [text_of(text) for text in tensor_strings(tensor)]
    if len(texts) != 1:
        return texts
    if metadata.description == JSON_TEXT:
        try:
            json.loads(texts[0])
        except (ValueError, RecursionError):
            return texts[0]
        return msgspec.Raw(texts[0].encode())
    return texts[0]


def tensor_strings(tensor: bytes) -> list[bytes]:
    """The elements of a ``TensorProto`` of strings."""
    return [content for number, _, content in fields(tensor) if number == 8]


def tensor_numbers(tensor: bytes) -> Sequence[float] | Sequence[int]:
    """The elements of a ``TensorProto``; none of one whose type is no number."""
    parts = list(fields(tensor))
    dtype = next((value for number, value, _ in parts if number == 1), 0)
    if dtype not in _FIXED:
        return ()
    code = _FIXED[dtype]
    content = b"".join(data for number, _, data in parts if number == 4)
    if content:
        return _unpacked(code, content)
    field = _REPEATED[dtype]
    if field in _PACKED_FIXED:
        return _unpacked(_PACKED_FIXED[field], b"".join(data for number, _, data in parts if number == field))
    integers = [
        integer
        for number, value, data in parts
        if number == field
        for integer in (protobuf.packed_varints(data) if data else [value])
    ]
    if code == "e":  # the bits of a half, in an int32
        return _unpacked("e", b"".join(struct.pack("<H", integer & 0xFFFF) for integer in integers))
    if code == "?":
        return [bool(integer) for integer in integers]
    return integers if code in "IQ" else [signed(integer) for integer in integers]


def _unpacked(code: str, content: bytes) -> tuple[Any, ...]:
    size = struct.calcsize(f"<{code}")
    if len(content) % size:
        raise FormatError("a tensor that is cut")
    return struct.unpack(f"<{len(content) // size}{code}", content)


def _hyperparameters(content: bytes) -> dict[str, Any]:
    """Of the ``session_start_info`` in the plugin's data; a whole number is an integer, as the format has none."""
    config: dict[str, Any] = {}
    for number, _, info in fields(content):
        if number == 3:
            for key, _, entry in fields(info):
                if key == 1:
                    parts = {part: data for part, _, data in fields(entry)}
                    config[text_of(parts.get(1, b""))] = _json_value(parts.get(2, b""))
    return config


def _json_value(data: bytes, depth: int = 0) -> Any:
    """A ``google.protobuf.Value``."""
    if depth > _DEPTH_MAX:
        raise FormatError("a value that is nested too deeply")
    for number, value, content in fields(data):
        if number == 2:
            real = protobuf.double_of(content)
            return int(real) if real.is_integer() and abs(real) < 1 << 53 else real
        if number == 3:
            return text_of(content)
        if number == 4:
            return bool(value)
        if number == 5:
            entries = ({part: data for part, _, data in fields(entry)} for key, _, entry in fields(content) if key == 1)
            return {text_of(entry.get(1, b"")): _json_value(entry.get(2, b""), depth + 1) for entry in entries}
        if number == 6:
            return [_json_value(item, depth + 1) for key, _, item in fields(content) if key == 1]
    return None


def time_of(wall_time: float) -> int:
    """A time in s since the epoch in ns: the nearest, so that the way back gives the same double."""
    try:
        numerator, denominator = wall_time.as_integer_ratio()
    except (OverflowError, ValueError):  # infinity, or NaN
        return 0
    time = (2 * numerator * 1_000_000_000 + denominator) // (2 * denominator)
    return max(-_TIME_MAX, min(time, _TIME_MAX))
