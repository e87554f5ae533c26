"""What an event of TensorBoard says, given as the object that is written to an event file.

A number, a text and hyperparameters are what an import reads of the file (``formats.tfevents``). A histogram is a JSON
value, a tensor nested lists, an image or a sound a file. What is none of them is counted. Of the text ``note``
TensorBoard's tag is ``note/text_summary``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import steplog
from steplog.compat.tensorboard import media
from steplog.compat.tensorboard.values import histogram, histogram_of_limits, pr_curve
from steplog.compat.unsupported import unsupported
from steplog.formats.protobuf import bytes_field, fields, text_of
from steplog.formats.tfevents.event import EventParser, tensor_numbers, tensor_strings

__all__ = ["ADVICE", "SUMMARY", "EventReader", "step_of"]

ADVICE = "the event file has it, the run has not: tensorboard --logdir shows it"
SUMMARY = 5  # the field of an Event
_TEXT_SUMMARY = "/text_summary"
_IMAGE, _AUDIO, _TENSOR, _METADATA = 4, 6, 8, 9  # fields of a value
_ENCODED = 4  # the field of an Image, and of an Audio, that is its file
_TENSOR_KINDS = {"": "tensors", "scalars": "tensors", "tensor": "values of the plugin tensor"}  # by plugin
_CURVE_ROWS = 6  # of a tensor of the plugin pr_curves: four counts, precision, recall


def step_of(event: Any, step: Any = None) -> int | None:
    """The step that an event was added with; None: without one."""
    return int(event.step) if step is not None or event.step else None


class EventReader:
    """Reads the events of one writer, in their order; ``configure`` takes hyperparameters."""

    def __init__(self, configure: Callable[[dict[str, Any]], None]) -> None:
        self._parser = EventParser()
        self._configure = configure

    def values(self, event: Any) -> Iterator[tuple[str, Any]]:
        """The tags and values of an event."""
        for value in event.summary.value:
            kind = value.WhichOneof("value")
            if kind == "simple_value":
                yield value.tag, value.simple_value
            elif kind == "histo":
                histo = value.histo
                yield value.tag, histogram_of_limits(list(histo.bucket), list(histo.bucket_limit), histo.min)
            elif value.metadata.plugin_data.plugin_name == "pr_curves" and value.tensor.float_val:
                numbers = list(value.tensor.float_val)
                width = len(numbers) // _CURVE_ROWS
                yield value.tag, pr_curve(*(numbers[row * width : (row + 1) * width] for row in range(_CURVE_ROWS)))
            else:
                for tag, found, _ in self.parsed(bytes_field(SUMMARY, bytes_field(1, value.SerializeToString()))):
                    yield tag, found
        if not event.summary.value:
            for tag, found, _ in self.parsed(event.SerializeToString()):
                yield tag, found

    def parsed(self, event: bytes) -> Iterator[tuple[str, Any, int]]:
        """The tags, values and steps of an event as it is in its file. Raises FormatError where it is damaged."""
        parsed = self._parser.parse(event)
        if parsed.config:
            self._configure(parsed.config)
        left = Counter(parsed.left_out)
        for kind, tag, value in _others(event) if left else ():
            if left[kind] > 0:
                left[kind] -= 1
                if value is not None:
                    yield tag, value, parsed.step
        for kind, count in left.items():
            for _ in range(count):
                unsupported.note(f"TensorBoard's {kind}", ADVICE)
        for tag, value in parsed.points:
            yield tag[: -len(_TEXT_SUMMARY)] if tag.endswith(_TEXT_SUMMARY) else tag, value, parsed.step


def _others(event: bytes) -> Iterator[tuple[str, str, Any]]:
    """What is no number and no text: its kind, as the parser calls it, its tag, and its value; None: it is counted."""
    summaries = [data for number, _, data in fields(event) if number == SUMMARY]
    for value in (data for summary in summaries for number, _, data in fields(summary) if number == 1):
        parts = {number: data for number, _, data in fields(value)}
        tag = text_of(parts.get(1, b"")) or "_"
        plugin = _plugin(parts.get(_METADATA, b""))
        if _IMAGE in parts:
            yield "images", tag, _file(parts[_IMAGE], "image")
        elif _AUDIO in parts:
            yield "audio clips", tag, _file(parts[_AUDIO], "audio clip")
        elif _TENSOR in parts and plugin in ("images", "audio"):
            yield from _tensor_files(tag, parts[_TENSOR], plugin)
        elif _TENSOR in parts and plugin == "histograms":
            numbers = tensor_numbers(parts[_TENSOR])
            if numbers:
                yield "histograms", tag, histogram(numbers[2::3], [numbers[0], *numbers[1::3]])
        elif _TENSOR in parts and plugin in _TENSOR_KINDS:
            numbers, shape = tensor_numbers(parts[_TENSOR]), _shape(parts[_TENSOR])
            if 1 < len(numbers) == math.prod(shape):
                yield _TENSOR_KINDS[plugin], tag, _nested(list(numbers), shape)


def _plugin(metadata: bytes) -> str:
    data = next((data for number, _, data in fields(metadata) if number == 1), b"")
    return next((text_of(name) for number, _, name in fields(data) if number == 1), "")


def _file(message: bytes, kind: str) -> Any:
    """The image or the sound in a message."""
    data = next((found for number, _, found in fields(message) if number == _ENCODED), b"")
    made = steplog.Audio if kind == "audio clip" else steplog.Image
    return media.file_of(data, made, f"TensorBoard's {kind}s")


def _tensor_files(tag: str, tensor: bytes, plugin: str) -> Iterator[tuple[str, str, Any]]:
    """Of TensorFlow 2: width, height and files of images; files and labels of sounds. One, else a list."""
    texts = tensor_strings(tensor)
    if plugin == "images":
        kind, files = "images", [media.file_of(data, steplog.Image, "TensorBoard's images") for data in texts[2:]]
    else:
        kind, files = (
            "audio clips",
            [media.file_of(data, steplog.Audio, "TensorBoard's audio clips") for data in texts[::2]],
        )
    yield kind, tag, files[0] if len(files) == 1 else files or None


def _shape(tensor: bytes) -> list[int]:
    """The dimensions of a ``TensorProto``."""
    message = next((data for number, _, data in fields(tensor) if number == 2), b"")
    dimensions = [data for number, _, data in fields(message) if number == 2]
    return [next((size for number, size, _ in fields(each) if number == 1), 0) for each in dimensions]


def _nested(numbers: list[Any], shape: list[int]) -> list[Any]:
    """Lists in lists."""
    for size in reversed(shape[1:]):
        numbers = [numbers[at : at + size] for at in range(0, len(numbers), size)]
    return numbers
