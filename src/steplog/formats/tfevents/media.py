"""Images, audio and histograms in an event file, read and written. Pure.

==========  ================================================  =======================================================
kind        of older writers, a field of a ``Summary.Value``  a tensor with a plugin's metadata
==========  ================================================  =======================================================
images      4: 1 height, 2 width, 4 encoded                   strings: width, height, then each encoded image
audio       6: 1 sample_rate (float), 4 encoded               strings of shape [k, 2]: encoded, label; or of shape [k]
histograms  5: 1 min, 2 max, 6 right edges, 7 counts          doubles of shape [k, 3]: left, right, count
==========  ================================================  =======================================================

They are read as values of steplog's, whose files' ids are hashes of their contents; what no browser shows is none. Of
several images at one step the value is a list. What is written has the tensor, and beside it the value's JSON.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from steplog.formats.protobuf import bytes_field, double_of, fields, varint_field
from steplog.media.signatures import FIRST_BYTES, signature_of

__all__ = ["PLUGINS", "MediaContent", "MediaPoint", "media_of", "shown"]

PLUGINS = {4: "images", 5: "histograms", 6: "audio"}  # by the fields of older writers
_STRING, _DOUBLE = 7, 2  # types of a tensor
_BINS_MAX = 10_000
_WAV = varint_field(2, 11)  # of the metadata of the plugin audio


class MediaContent(NamedTuple):
    """A file in an event."""

    id: str
    data: bytes
    type: str
    suffix: str


class MediaPoint(NamedTuple):
    """A value, and the contents that it names."""

    value: Any
    contents: list[MediaContent]


def media_of(
    plugin: str,
    old: bytes | None,
    strings: Callable[[], Sequence[bytes]],
    numbers: Callable[[], Sequence[float]],
) -> MediaPoint | None:
    """What an event of a plugin has: as a field of older writers, or in a tensor. None: nothing that can be shown.

    Raises FormatError where it is damaged.
    """
    if plugin == "images":
        return _images(old, strings)
    if plugin == "audio":
        return _audio(old, strings)
    made = _histogram(*(_of_tensor(numbers()) if old is None else _of_proto(old)))
    return None if made is None else MediaPoint(made, [])


def _images(old: bytes | None, strings: Callable[[], Sequence[bytes]]) -> MediaPoint | None:
    if old is None:
        width, height, *encoded = strings() or (b"", b"")
        size = {name: int(text) for name, text in (("width", width), ("height", height)) if text.isdigit()}
    else:
        parts = {number: (value, data) for number, value, data in fields(old)}
        size = {name: parts[number][0] for name, number in (("width", 2), ("height", 1)) if number in parts}
        encoded = [parts[4][1]] if 4 in parts else []
    contents = [each for each in map(_content("image"), encoded) if each is not None]
    if not contents or len(contents) < len(encoded):
        return None
    values = [{"_type": "image", "file": each.id, "type": each.type, **size} for each in contents]
    return MediaPoint(values[0] if len(values) == 1 else values, contents)


def _audio(old: bytes | None, strings: Callable[[], Sequence[bytes]]) -> MediaPoint | None:
    rate: dict[str, int] = {}
    if old is None:
        found = strings()
        is_labelled = len(found) > 1 and len(found) % 2 == 0 and _content("audio")(found[1]) is None
        encoded = found[::2] if is_labelled else found
    else:
        parts = {number: data for number, _, data in fields(old)}
        encoded = [parts[4]] if 4 in parts else []
        if len(parts.get(1, b"")) == 4:
            (told,) = struct.unpack("<f", parts[1])
            rate = {"sample_rate": int(told)} if math.isfinite(told) and told > 0 else {}
    contents = [each for each in map(_content("audio"), encoded) if each is not None]
    if not contents or len(contents) < len(encoded):
        return None
    values = [{"_type": "audio", "file": each.id, "type": each.type, **rate} for each in contents]
    return MediaPoint(values[0] if len(values) == 1 else values, contents)


def _content(kind: str) -> Callable[[bytes], MediaContent | None]:
    def made(data: bytes) -> MediaContent | None:
        found = signature_of(data[:FIRST_BYTES])
        if found is None or kind not in found.kinds:
            return None
        digest = hashlib.blake2b(b"tfevents" + data, digest_size=16).hexdigest()
        return MediaContent(digest, data, found.type, found.suffix)

    return made


_Bins = tuple[list[float], list[float], list[float]]  # left and right edges, counts


def _of_proto(data: bytes) -> _Bins:
    low = high = 0.0
    limits: list[float] = []
    counts: list[float] = []
    for number, _, content in fields(data):
        if number in (1, 2):
            low, high = (double_of(content), high) if number == 1 else (low, double_of(content))
        elif number in (6, 7):
            numbers = struct.unpack(f"<{len(content) // 8}d", content[: len(content) // 8 * 8])
            (limits if number == 6 else counts).extend(numbers)
    lefts = [max(edge, low) for edge in (-math.inf, *limits[:-1])]
    return lefts, [min(edge, high) for edge in limits], counts


def _of_tensor(numbers: Sequence[float]) -> _Bins:
    return list(numbers[::3]), list(numbers[1::3]), list(numbers[2::3])


def _histogram(lefts: list[float], rights: list[float], counts: list[float]) -> dict[str, Any] | None:
    """The value of these bins, without the empty ones at both ends."""
    if not len(lefts) == len(rights) == len(counts) or len(counts) > _BINS_MAX:
        return None
    filled = [place for place, count in enumerate(counts) if count]
    if not filled:
        return {"_type": "histogram", "values": [], "bins": [0.0]} if counts else None
    kept = slice(filled[0], filled[-1] + 1)
    edges = [*lefts[kept], rights[filled[-1]]]
    if not all(map(math.isfinite, (*edges, *counts))) or any(low > high for low, high in pairwise(edges)):
        return None
    values = [int(count) if float(count).is_integer() else count for count in counts[kept]]
    return {"_type": "histogram", "values": values, "bins": edges}


def shown(value: Any, content_of: Callable[[str], bytes | None]) -> tuple[str, bytes, bytes] | None:
    """For TensorBoard to show: the plugin, what its metadata have, and the tensor. None of what it does not show."""
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(each, dict) for each in values):
        return None
    kinds = {each.get("_type") for each in values}
    if kinds == {"histogram"} and len(values) == 1:
        return _shown_histogram(values[0])
    if kinds not in ({"image"}, {"audio"}):
        return None
    contents = [content_of(each["file"]) if isinstance(each.get("file"), str) else None for each in values]
    there = [each for each in contents if each is not None]
    if len(there) < len(contents):
        return None
    if kinds == {"image"}:
        size = [str(values[0].get(name, "")).encode() for name in ("width", "height")]
        return "images", b"", _strings([*size, *there], [len(there) + 2])
    if any(each.get("type") != "audio/wav" for each in values):
        return None
    labels = [str(each.get("caption") or "").encode() for each in values]
    pairs = [part for pair in zip(there, labels, strict=True) for part in pair]
    return "audio", _WAV, _strings(pairs, [len(there), 2])


def _shown_histogram(value: Mapping[str, Any]) -> tuple[str, bytes, bytes] | None:
    counts, edges = value.get("values"), value.get("bins")
    if not isinstance(counts, list) or not isinstance(edges, list) or len(edges) != len(counts) + 1:
        return None
    if not all(isinstance(number, (int, float)) for number in (*counts, *edges)):
        return None
    rows = [number for bin_, count in zip(pairwise(edges), counts, strict=True) for number in (*bin_, count)]
    shape = _shape([len(counts), 3])
    packed = struct.pack(f"<{len(rows)}d", *rows)
    return "histograms", b"", varint_field(1, _DOUBLE) + bytes_field(2, shape) + bytes_field(4, packed)


def _strings(parts: Sequence[bytes], shape: Sequence[int]) -> bytes:
    return varint_field(1, _STRING) + bytes_field(2, _shape(shape)) + b"".join(bytes_field(8, part) for part in parts)


def _shape(sizes: Sequence[int]) -> bytes:
    return b"".join(bytes_field(2, varint_field(1, size)) for size in sizes)
