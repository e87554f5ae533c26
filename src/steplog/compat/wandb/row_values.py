"""What of a row is logged: flat names, and values as they are kept.

::

    {"a": {"b": 1}}                                a.b
    an array or tensor of one element              the element
    one of more than 32                            a histogram of 32 bins, as wandb has it
    wandb's own values, figures                    ``logged_values.logged``
    a name of over 256 bytes, or of none           cut, left out; counted

Remembered for the summary are plain values, lists of them, and wandb's own: a tensor would keep its graph alive.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from steplog.compat.field_limits import NAME_BYTES_MAX, fitting_name
from steplog.compat.wandb.logged_values import logged
from steplog.compat.wandb.media import NOT_KEPT
from steplog.compat.wandb.table import Histogram
from steplog.journal.jsonable import element

__all__ = ["PLAIN", "collect", "find", "merge", "plain_value"]

PLAIN = frozenset((float, int, bool, str, type(None)))
_DEPTH_MAX = 32  # of dicts in dicts
_LISTED_MAX = 32  # elements of an array that is kept as a list
_BINS = 32


def collect(data: Mapping[Any, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values by flat name; and those to remember, as they were nested."""
    values: dict[str, Any] = {}
    last: dict[str, Any] = {}
    _collect(data, "", values, last, 0)
    return values, last


def _collect(data: Mapping[Any, Any], before: str, values: dict[str, Any], last: dict[str, Any], depth: int) -> None:
    for each, value in data.items():
        key = each if each.__class__ is str else str(each)
        if value.__class__ not in PLAIN:
            if _has_names(value):
                if depth < _DEPTH_MAX:  # a deeper one, which may be circular, is steplog's to cut
                    below: dict[str, Any] = {}
                    last[key] = below
                    _collect(value, f"{before}{key}.", values, below, depth + 1)
                    continue
            else:
                value = plain_value(value)  # noqa: PLW2901
            if value.__class__ not in PLAIN and (value := logged(value)) is NOT_KEPT:
                continue
        name = before + key
        if not (name and name.isascii() and len(name) <= NAME_BYTES_MAX) and not (
            name := fitting_name(name, "wandb.log()")
        ):
            continue
        values[name] = value
        if value.__class__ in PLAIN:
            last[key] = value
        elif value.__class__ in (list, tuple) and PLAIN.issuperset(map(type, value)):
            last[key] = list(value)
        elif value.__class__ is dict and "_type" in value:
            last[key] = value


def _has_names(value: Any) -> bool:
    return (value.__class__ is dict or isinstance(value, Mapping)) and bool(value) and "_type" not in value


def merge(last: dict[str, Any], row: Mapping[str, Any]) -> None:
    """Put the values of a row over the last ones, dict by dict."""
    for key, value in row.items():
        before = last.get(key)
        if value.__class__ is dict and before.__class__ is dict and "_type" not in value:
            merge(before, value)
        else:
            last[key] = value


def find(values: Mapping[str, Any], name: str) -> Any:
    """A value by its name, or by ``a.b`` in a dict; None: there is none."""
    if name in values:
        return values[name]
    first, dot, rest = name.partition(".")
    below = values.get(first) if dot else None
    return find(below, rest) if isinstance(below, Mapping) else None


def plain_value(value: Any, depth: int = 0) -> Any:
    """Of an array or tensor with one element that, of a large one a histogram, also in dicts; else the value."""
    if value.__class__ in PLAIN:
        return value
    if not _is_array(value):
        if not isinstance(value, Mapping) or depth == _DEPTH_MAX:
            return value
        return {str(key): plain_value(item, depth + 1) for key, item in value.items()}
    number = element(value)  # it waits for a GPU, once
    if number is None:
        with suppress(Exception):  # the user's code; Run.log says what is wrong with the value
            size = math.prod(value.shape)
            number = element(value.reshape(())) if size == 1 else _histogram(value) if size > _LISTED_MAX else None
    return value if number is None else number


def _is_array(value: Any) -> bool:
    try:
        return hasattr(value, "dtype")
    except Exception:  # noqa: BLE001 - the user's code, and this is no reason to stop a training
        return False


def _histogram(values: Any) -> Any:
    """Of an array or tensor of numbers; None: it has none."""
    import numpy

    if hasattr(values, "detach"):  # a tensor of torch; numpy has no bfloat16
        values = values.detach().cpu().double()
    numbers = numpy.asarray(values, dtype=float).ravel()
    finite = numbers[numpy.isfinite(numbers)]
    return Histogram(finite, num_bins=_BINS).kept() if finite.size else None
