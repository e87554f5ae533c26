"""Records of an event file, as they are written. Pure.

A number is a ``simple_value``, the nearest float, which is what TensorBoard shows; where it is another, or an integer,
the exact one follows (``event``). A text is one of the plugin ``text``, and so is any other JSON value, marked as
JSON; images, audio and histograms are of the plugins that show them (``media``). The config is shown by the plugin
``hparams``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from steplog.column_format import json_value
from steplog.formats.crc32c import PLANES_MAX, crc32c, crc32c_of_planes, masked, masked_lanes
from steplog.formats.protobuf import bytes_field, double_field, float_field, varint, varint_field
from steplog.formats.tfevents.event import EXACT_FLOAT, EXACT_INT, EXACT_JSON, HPARAMS, INFO_PLUGIN, JSON_TEXT
from steplog.formats.tfevents.media import shown

__all__ = ["config_event", "float_events", "framed", "info_event", "int_events", "json_events", "version_event"]

_VERSION = b"brain.Event:2"
_INFO_TAG = b"steplog/run"
_CONFIG_TAG = b"_hparams_/session_start_info"
_STRING = 7  # of a tensor
_FIXED64 = 1
_HEAD_BYTES = 8


def framed(records: Sequence[bytes]) -> bytes:
    """The records with their lengths and checksums."""
    by_length: dict[int, list[int]] = {}
    for place, record in enumerate(records):
        by_length.setdefault(len(record), []).append(place)
    parts = [b""] * (3 * len(records))
    parts[1::3] = records
    for length, places in by_length.items():
        head = length.to_bytes(_HEAD_BYTES, "little")
        head += masked(crc32c(head)).to_bytes(4, "little")
        for place, tail in zip(places, _tails([records[place] for place in places]), strict=True):
            parts[3 * place] = head
            parts[3 * place + 2] = tail
    return b"".join(parts)


def _tails(records: Sequence[bytes]) -> Iterable[bytes]:
    """The checksums of records of one length."""
    count, length = len(records), len(records[0])
    if not 0 < length <= PLANES_MAX:
        return (masked(crc32c(record)).to_bytes(4, "little") for record in records)
    joined = b"".join(records)
    lanes = masked_lanes(crc32c_of_planes([joined[place::length] for place in range(length)]), count)
    tails = lanes.to_bytes(8 * count, "little")
    return (tails[begin : begin + 4] for begin in range(0, len(tails), 8))


def version_event(wall_time: float) -> bytes:
    """What a file begins with."""
    return double_field(1, wall_time) + bytes_field(3, _VERSION)


def info_event(wall_time: float, info: bytes) -> bytes:
    """The JSON of a run."""
    tensor = varint_field(1, _STRING) + bytes_field(2, b"") + bytes_field(8, info)
    return _event(wall_time, 0, bytes_field(1, _INFO_TAG) + _metadata(INFO_PLUGIN) + bytes_field(8, tensor))


def config_event(wall_time: float, config: Mapping[str, Any]) -> bytes:
    """The config as hyperparameters."""
    entries = (
        bytes_field(1, bytes_field(1, key.encode()) + bytes_field(2, _hyperparameter(value)))
        for key, value in config.items()
    )
    content = bytes_field(3, b"".join(entries))
    return _event(wall_time, 0, bytes_field(1, _CONFIG_TAG) + _metadata(HPARAMS, content=content))


def _hyperparameter(value: Any) -> bytes:
    """A ``google.protobuf.Value`` of the types that the plugin knows: a number, a text, a bool."""
    if isinstance(value, bool):
        return varint(4 << 3) + varint(value)
    if isinstance(value, (int, float)):
        number = _nearest(value)
        if math.isfinite(number):
            return double_field(2, number)
    return bytes_field(3, value.encode() if isinstance(value, str) else msgspec.json.encode(value))


def _nearest(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def float_events(name: str, steps: Sequence[int], walls: Sequence[float], values: Sequence[float]) -> list[bytes]:
    """Events of floats."""
    floats = _floats(values)
    exact = varint(EXACT_FLOAT << 3 | _FIXED64)
    begin = bytes_field(1, name.encode()) + _float_tag()
    whole = list(struct.unpack(f"<{len(values)}f", floats))
    doubles = struct.pack(f"<{len(values)}d", *values)
    summaries = [
        begin + floats[4 * place : 4 * place + 4]
        if value == rounded or value != value
        else begin + floats[4 * place : 4 * place + 4] + exact + doubles[8 * place : 8 * place + 8]
        for place, (value, rounded) in enumerate(zip(values, whole, strict=True))
    ]
    return _events(steps, walls, summaries)


def int_events(name: str, steps: Sequence[int], walls: Sequence[float], values: Sequence[int]) -> list[bytes]:
    """Events of integers."""
    floats = _floats(values)
    exact = varint(EXACT_INT << 3 | _FIXED64)
    begin = bytes_field(1, name.encode()) + _float_tag()
    whole = struct.pack(f"<{len(values)}q", *values)
    summaries = [
        begin + floats[4 * place : 4 * place + 4] + exact + whole[8 * place : 8 * place + 8]
        for place in range(len(values))
    ]
    return _events(steps, walls, summaries)


def json_events(
    name: str,
    steps: Sequence[int],
    walls: Sequence[float],
    values: Sequence[bytes],
    content_of: Callable[[str], bytes | None] = lambda file_id: None,
) -> list[bytes]:
    """Events of what ``column_format.json_text`` made; ``content_of`` an id of a file: its content, None: not here."""
    return [
        record
        for step, wall, text in zip(steps, walls, values, strict=True)
        for record in _json_event(name, step, wall, text, content_of)
    ]


def _json_event(
    name: str, step: int, wall: float, text: bytes, content_of: Callable[[str], bytes | None]
) -> list[bytes]:
    value = json_value(text)
    if type(value) is float:
        return float_events(name, (step,), (wall,), (value,))
    if type(value) is int and -(2**63) <= value < 2**63:
        return int_events(name, (step,), (wall,), (value,))
    if isinstance(value, str) and value.isascii() | _is_unicode(value):
        return [_text_event(name, step, wall, value.encode(), "")]
    media = shown(value, content_of) if isinstance(value, (dict, list)) else None
    if media is not None:
        plugin, content, tensor = media
        exact = bytes_field(EXACT_JSON, text)
        summary = bytes_field(1, name.encode()) + _metadata(plugin, content=content) + bytes_field(8, tensor) + exact
        return [_event(wall, step, summary)]
    return [_text_event(name, step, wall, text, JSON_TEXT)]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a pair, which JSON can have
        return False
    return True


def _text_event(name: str, step: int, wall: float, text: bytes, description: str) -> bytes:
    shape = bytes_field(2, varint_field(1, 1))
    tensor = varint_field(1, _STRING) + bytes_field(2, shape) + bytes_field(8, text)
    return _event(wall, step, bytes_field(1, name.encode()) + _metadata("text", description) + bytes_field(8, tensor))


def _floats(values: Sequence[float]) -> bytes:
    """The nearest floats; infinity beyond them."""
    try:
        return struct.pack(f"<{len(values)}f", *values)
    except OverflowError:
        return b"".join(map(_float, values))


def _float(value: float) -> bytes:
    try:
        return struct.pack("<f", value)
    except OverflowError:
        return struct.pack("<f", math.copysign(math.inf, value))


def _float_tag() -> bytes:
    return float_field(2, 0.0)[:1]


def _metadata(plugin: str, description: str = "", content: bytes = b"") -> bytes:
    data = bytes_field(1, plugin.encode()) + (bytes_field(2, content) if content else b"")
    return bytes_field(9, bytes_field(1, data) + (bytes_field(3, description.encode()) if description else b""))


def _event(wall: float, step: int, value: bytes) -> bytes:
    return double_field(1, wall) + varint_field(2, step) + bytes_field(5, bytes_field(1, value))


def _events(steps: Sequence[int], walls: Sequence[float], values: Sequence[bytes]) -> list[bytes]:
    """``_event`` of each, where most values are of one length."""
    packed = struct.pack(f"<{len(walls)}d", *walls)
    wall_tag = double_field(1, 0.0)[:1]
    heads: dict[int, bytes] = {}
    for length in {len(value) for value in values}:
        inner = bytes_field(1, bytes(length))
        heads[length] = bytes_field(5, inner)[: -len(inner)] + inner[: len(inner) - length]
    return [
        wall_tag + packed[begin : begin + 8] + varint_field(2, step) + heads[len(value)] + value
        for begin, step, value in zip(range(0, len(packed), 8), steps, values, strict=True)
    ]
