"""What a ``SummaryWriter`` is given, as values of a run.

A histogram is ``{"_type": "histogram", "values": counts, "bins": edges}``, with an edge more than counts; empty bins
beside each other are one. A precision-recall curve is a table, a row a threshold. NumPy is imported where one of them
is made.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "BINS_MAX",
    "histogram",
    "histogram_of",
    "histogram_of_limits",
    "hyperparameters",
    "is_near",
    "number",
    "pr_curve",
    "pr_curve_of",
]

BINS_MAX = 512
_THRESHOLDS_MAX = 127  # as TensorBoard has at most
_CURVE = ("threshold", "true_positives", "false_positives", "true_negatives", "false_negatives", "precision", "recall")


def number(value: Any) -> float | int:
    """The number in what ``add_scalar`` takes: a Python, NumPy or tensor number, an array of one element, its text.

    Raises AssertionError for several elements and NotImplementedError for another type, as the original does.
    """
    if isinstance(value, (int, float, str)):
        if value.__class__ is bool:
            return int(value)
        return value if value.__class__ is int else float(value)
    if isinstance(value, (list, tuple)) and len(value) == 1:
        return number(value[0])
    if hasattr(value, "item"):
        size = getattr(value, "size", 1)
        count = value.numel() if callable(size) else size
        if count != 1:
            raise AssertionError(
                f"add_scalar() takes one number, not {count} elements; log their mean, or each by itself"
            )
        found = value.item()
        return found if found.__class__ in (float, int) else number(found)
    if hasattr(value, "__float__") or hasattr(value, "__index__"):
        return float(value)
    raise NotImplementedError(f"add_scalar() takes a number or a tensor of one element, not {type(value).__name__}")


def hyperparameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """What ``add_hparams`` takes, as a config: without None, a function by its name."""
    named = {key: getattr(value, "__name__", value) if callable(value) else value for key, value in given.items()}
    return {key: value for key, value in named.items() if value is not None}


def is_near(value: float, single: float) -> bool:
    """Whether ``single`` is what a 32-bit float keeps of ``value``."""
    try:
        kept: float = struct.unpack("f", struct.pack("f", value))[0]
    except (OverflowError, struct.error):
        kept = math.copysign(math.inf, value)
    return kept == single or (kept != kept and single != single)


def _array(values: Any) -> Any:
    """A NumPy array of what ``add_histogram`` takes. Waits for a tensor on a GPU, as the original does."""
    import numpy

    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":
            values = values.float()
        return values.numpy()
    return numpy.asarray(values)


def histogram_of(values: Any, bins: Any, max_bins: int | None) -> dict[str, Any]:
    """The histogram of values; ``bins`` as NumPy has them, or "tensorflow". Raises ValueError if there are none."""
    import numpy

    flat = _array(values).astype(float).reshape(-1)
    if not flat.size:
        raise ValueError("add_histogram() got no values")
    edges = _default_edges() if isinstance(bins, str) and bins == "tensorflow" else bins
    counts, limits = numpy.histogram(flat, bins=edges)
    return histogram(counts.tolist(), limits.tolist(), max_bins)


def histogram(counts: Sequence[float], edges: Sequence[float], max_bins: int | None = None) -> dict[str, Any]:
    """The histogram of these bins, without the empty ones at both ends."""
    most = BINS_MAX if max_bins is None else max(1, min(max_bins, BINS_MAX))
    filled = [place for place, count in enumerate(counts) if count]
    begin, end = (filled[0], filled[-1] + 1) if filled else (0, 0)
    kept: list[float] = []
    limits = [edges[begin]]
    for place in range(begin, end):
        if kept and not kept[-1] and not counts[place]:
            limits[-1] = edges[place + 1]
        else:
            kept.append(counts[place])
            limits.append(edges[place + 1])
    together = -(-len(kept) // most) or 1
    if together > 1:
        kept = [sum(kept[place : place + together]) for place in range(0, len(kept), together)]
        limits = [*limits[:-1:together], limits[-1]]
    return {"_type": "histogram", "values": kept, "bins": limits}


def histogram_of_limits(counts: Sequence[float], limits: Sequence[float], least: float) -> dict[str, Any]:
    """The histogram of bins that are given by their upper limits, and the least value."""
    if not limits:
        return histogram([], [least])
    if not counts[0]:  # TensorBoard's leftmost limit is one of an empty bin
        return histogram(counts[1:], limits)
    return histogram(counts, [min(least, limits[0]), *limits])


@functools.cache
def _default_edges() -> Any:
    """TensorBoard's: each a tenth further from 0 than the one before, from 1e-12 to 1e20."""
    import numpy

    positive, edge = [], 1e-12
    while edge < 1e20:
        positive.append(edge)
        edge *= 1.1
    return numpy.array([-each for each in reversed(positive)] + [0.0] + positive)


def pr_curve_of(labels: Any, predictions: Any, thresholds: int, weights: Any) -> dict[str, Any]:
    """The curve of predictions between 0 and 1 of labels that are true or false."""
    import numpy

    count = min(thresholds, _THRESHOLDS_MAX)
    truth, weight = _array(labels).astype(float).reshape(-1), 1.0 if weights is None else _array(weights).reshape(-1)
    bins = numpy.clip((_array(predictions).reshape(-1) * (count - 1)).astype(int), 0, count - 1)
    right = numpy.bincount(bins, truth * weight, minlength=count)
    wrong = numpy.bincount(bins, (1.0 - truth) * weight, minlength=count)
    true_positives = right[::-1].cumsum()[::-1]
    false_positives = wrong[::-1].cumsum()[::-1]
    positives = numpy.maximum(true_positives + false_positives, 1e-7)
    return pr_curve(
        true_positives,
        false_positives,
        false_positives[0] - false_positives,
        true_positives[0] - true_positives,
        true_positives / positives,
        true_positives / max(true_positives[0], 1e-7),
    )


def pr_curve(*columns: Any) -> dict[str, Any]:
    """The table of a curve's counts, precision and recall."""
    lists = [_array(column).reshape(-1).tolist() for column in columns]
    last = max(len(lists[0]) - 1, 1)
    rows = [[place / last, *row] for place, row in enumerate(zip(*lists, strict=False))]
    return {"_type": "table", "columns": list(_CURVE), "data": rows}
