"""What an event of TensorBoard says, given as the object that is written to an event file.

A number, a text and hyperparameters are what an import reads of the file (``formats.tfevents``), a histogram is a JSON
value, and what is neither is counted. Of the text ``note`` TensorBoard's tag is ``note/text_summary``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

from steplog.compat.tensorboard.values import histogram, histogram_of_limits, pr_curve
from steplog.compat.unsupported import unsupported
from steplog.formats.protobuf import bytes_field, fields, text_of
from steplog.formats.tfevents.event import EventParser

__all__ = ["ADVICE", "SUMMARY", "EventReader", "step_of"]

ADVICE = "the event file has it, the run has not: tensorboard --logdir shows it"
SUMMARY = 5  # the field of an Event
_TEXT_SUMMARY = "/text_summary"
_TENSOR, _METADATA, _CONTENT = 8, 9, 4  # fields of a value; of a tensor
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
        histograms = dict(_tensor_histograms(event)) if "histograms" in parsed.left_out else {}
        for tag, value in histograms.items():
            yield tag, value, parsed.step
        if parsed.config:
            self._configure(parsed.config)
        for kind in parsed.left_out:
            if kind != "histograms" or not histograms:
                unsupported.note(f"TensorBoard's {kind}", ADVICE)
        for tag, value in parsed.points:
            yield tag[: -len(_TEXT_SUMMARY)] if tag.endswith(_TEXT_SUMMARY) else tag, value, parsed.step


def _tensor_histograms(event: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those of TensorFlow 2: a tensor of doubles, a row (left edge, right edge, count) a bin."""
    summaries = [data for number, _, data in fields(event) if number == SUMMARY]
    for value in (data for summary in summaries for number, _, data in fields(summary) if number == 1):
        parts = {number: data for number, _, data in fields(value)}
        tensor = {number: data for number, _, data in fields(parts.get(_TENSOR, b""))}
        content = tensor.get(_CONTENT, b"")
        numbers = struct.unpack(f"<{len(content) // 8}d", content[: len(content) // 8 * 8])
        if b"histograms" in parts.get(_METADATA, b"") and numbers:
            yield text_of(parts[1]), histogram(numbers[2::3], [numbers[0], *numbers[1::3]])
