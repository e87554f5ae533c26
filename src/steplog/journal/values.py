"""What ``log`` makes of a value: a float, an int, a bool, or JSON text.

Values are brought to that *before* a position is claimed, because user code may run here (``__float__``,
``__index__``, ``item``), and may take long, raise, or log.

* ``bool``, ``int`` and ``float``, and what converts to them: NumPy scalars, 0-d arrays and tensors (``item``),
  ``__index__``, ``__float__``. NaN and infinities are values. An int beyond 64 bits is JSON text.
* ``None``, ``str``, ``list``, ``tuple`` and ``dict`` are JSON text, UTF-8. JSON has no NaN: inside of them NaN and
  infinities are the strings "NaN", "Infinity", "-Infinity". A lone surrogate, which UTF-8 has not, becomes "?".

Limits: JSON text of ``value_bytes_max`` bytes and ``DEPTH_MAX`` levels.
"""

from __future__ import annotations

import json
import math
import operator
from typing import Any, SupportsComplex, SupportsFloat, SupportsIndex

from steplog.journal import slot

__all__ = ["DEPTH_MAX", "Scalar", "convert", "restored"]

DEPTH_MAX = 32
Scalar = float | int | bytes
_INT64 = range(-(2**63), 2**63)


def convert(value: object, value_bytes_max: int) -> tuple[int, Scalar]:
    """The slot kind of ``value`` and its scalar; bytes for KIND_JSON.

    Raises TypeError where nothing converts it, ValueError where it is too large, too deep or circular.
    """
    value = _plain(value)
    if isinstance(value, bool):
        return slot.KIND_BOOL, int(value)
    if isinstance(value, int):
        return (slot.KIND_INT, value) if value in _INT64 else (slot.KIND_JSON, _checked(str(value), value_bytes_max))
    if isinstance(value, float):
        return slot.KIND_FLOAT, value
    if isinstance(value, (list, tuple, dict)):
        _check_shape(value, value_bytes_max)
    return slot.KIND_JSON, _checked(_json(value), value_bytes_max)


def restored(kind: int, scalar: Scalar) -> object:
    """The value again, as far as it was kept: what ``convert`` makes the same of."""
    if isinstance(scalar, bytes):
        return json.loads(scalar)
    return bool(scalar) if kind == slot.KIND_BOOL else scalar


def _plain(value: object) -> Any:
    """The value as an instance of what JSON knows; numbers of other makers as ours."""
    if value is None or isinstance(value, (bool, str, list, tuple, dict)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    item = getattr(value, "item", None)
    if item is not None and getattr(value, "ndim", None) == 0:
        return _number(item())
    return _converted(value)


def _converted(value: object) -> int | float:
    if isinstance(value, SupportsIndex):
        return operator.index(value)
    if isinstance(value, SupportsFloat):
        return float(value)
    raise TypeError(f"a value of type {type(value).__name__} cannot be logged")


def _number(value: object) -> bool | int | float:
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, SupportsComplex):
        raise TypeError(f"a value of type {type(value).__name__} cannot be logged")
    return _converted(value)  # NumPy's long double is its own item


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
    except ValueError:  # a NaN, here or there
        return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)


def _check_shape(value: object, value_bytes_max: int) -> None:
    """Refuse what is too deep, and what holds the same list so often that to write it out would take for ever."""
    level: list[Any] = [value]
    for _ in range(DEPTH_MAX):
        if 2 * sum(map(len, level)) > value_bytes_max:  # an item takes two bytes at least, itself and a comma
            raise ValueError(f"the value takes more bytes as JSON than value_bytes_max, which is {value_bytes_max}")
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (list, tuple, dict))
        ]
        if not level:
            return
    raise ValueError(f"the value is circular, or deeper than {DEPTH_MAX} levels")


def _finite(value: object) -> object:
    """The same with each NaN and infinity as a string."""
    if isinstance(value, dict):
        return {_finite(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if value is None or isinstance(value, (str, bool)):
        return value
    number = _plain(value)
    if isinstance(number, float) and not math.isfinite(number):
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    return number


def _checked(text: str, value_bytes_max: int) -> bytes:
    data = text.encode("utf-8", "replace")
    if len(data) > value_bytes_max:
        raise ValueError(f"the value takes {len(data)} bytes as JSON, and value_bytes_max is {value_bytes_max}")
    return data
