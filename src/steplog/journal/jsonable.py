"""Values of other libraries as JSON has them: None, bool, int, float, str, and lists and dicts of these.

======================================================  ==============================================================
NumPy's numbers, arrays and tensors of one element      the element (``item``)
other arrays and tensors                                lists (``tolist``), if they fit
dates and times of NumPy's                              as those of ``datetime``
``__index__``, ``__float__``: Decimal, Fraction, …      int, float
``complex``                                             ``{"real": …, "imag": …}``
an ``Enum``                                             its value
dataclasses, msgspec Structs, pydantic's models         a dict of the fields
any mapping, sequence, set                              dict; list; list, sorted where that can be
``datetime``, ``date``, ``time``                        ISO 8601
``timedelta``                                           its seconds
``UUID``, a path                                        its text
bytes and other buffers of them                         their text if that is UTF-8, else "data:;base64,…" (RFC 2397)
a ``MediaValue``                                        what it is as JSON; if it takes a file, which ``keep`` takes
keys of dicts                                           texts, as JSON has it: ``1`` is "1", ``None`` is "null"
**anything else**                                       *coerced*: its ``repr``, of ``REPR_CHARACTERS_MAX`` at most
======================================================  ==============================================================

Coerced, too, is what is circular, deeper than ``DEPTH_MAX``, or raises when it is looked at, ``repr`` included. Only
exceptions that end a program, such as KeyboardInterrupt, come through.
"""

from __future__ import annotations

import base64
import math
import operator
import os
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import fields
from datetime import date, time, timedelta
from enum import Enum
from typing import Any, SupportsComplex, SupportsFloat, SupportsIndex
from uuid import UUID

from steplog.media_value import Content, MediaValue, TooLargeToLogError

__all__ = [
    "DEPTH_MAX",
    "INT64",
    "REPR_CHARACTERS_MAX",
    "Copy",
    "NoRoomError",
    "TooLargeError",
    "element",
    "keep_nothing",
    "short_repr",
]

DEPTH_MAX = 32
REPR_CHARACTERS_MAX = 1000
INT64 = range(-(2**63), 2**63)

_brief = reprlib.Repr()
_brief.maxlevel = 4
_brief.maxstring = _brief.maxother = _brief.maxlong = REPR_CHARACTERS_MAX


class TooLargeError(ValueError):
    """The value takes more bytes than it may."""


class NoRoomError(Exception):
    """There is no room for the file of a value: the call is not taken."""


def keep_nothing(content: Content) -> str:
    """For where no files are kept. Raises TypeError."""
    raise TypeError(f"no file of kind {content.kind!r} is kept here")


def short_repr(value: object) -> str:
    """The ``repr``, bounded; also where it raises."""
    try:
        text = _brief.repr(value)
    except Exception as error:  # noqa: BLE001 - the user's code, and this is no reason to stop a training
        text = f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    return text if len(text) <= REPR_CHARACTERS_MAX else f"{text[: REPR_CHARACTERS_MAX - 1]}…"


class Copy:
    """Copies a value. Raises TooLargeError once the copy is sure to exceed ``bytes_max`` as JSON.

    ``keep`` takes the file of a value, and gives its id, which is ``kept``. Raises NoRoomError, TooLargeToLogError.
    """

    def __init__(self, bytes_max: int, keep: Callable[[Content], str] = keep_nothing) -> None:
        self._keep = keep
        self.kept: list[str] = []
        self.coerced: list[tuple[object, Exception]] = []  # each with why
        self._bytes_left = bytes_max
        self._above: list[int] = []  # ids of the values around
        self._depth = 0

    def of(self, value: object) -> Any:
        """The copy. NaN and infinities are kept only where they are all of it."""
        if value is None or value.__class__ is bool or value.__class__ is float:
            return value
        if id(value) in self._above:
            return self._coerce(value, ValueError("it is circular"))
        self._above.append(id(value))
        try:
            return self._known(value)
        except (TooLargeError, TooLargeToLogError, NoRoomError):
            raise
        except Exception as error:  # noqa: BLE001 - the user's code, and this is no reason to stop a training
            return self._coerce(value, error)
        finally:
            self._above.pop()

    def _known(self, value: Any) -> Any:
        if isinstance(value, Enum):
            return self.of(value.value)
        if isinstance(value, str):
            return self._text(str.__str__(value))
        if isinstance(value, int):
            return _whole(int(value))
        if isinstance(value, float):
            return float(value)
        if isinstance(value, (list, tuple, Sequence, Set)) and not isinstance(value, (bytes, bytearray, memoryview)):
            return self._list(_in_order(value) if isinstance(value, Set) else value)
        if isinstance(value, Mapping):
            return self._dict(value)
        if isinstance(value, type):
            raise TypeError("it is a class")
        return self._media(value) if isinstance(value, MediaValue) else self._foreign(value)

    def _media(self, value: MediaValue) -> Any:
        return self.of(value.logged(self._kept, self._part))

    def _kept(self, content: Content) -> str:
        self.kept.append(self._keep(content))
        return self.kept[-1]

    def _part(self, value: object, bytes_max: int) -> Any:
        """The copy of what goes to a file of its own, and does not count here."""
        copy = Copy(bytes_max, self._keep)
        copy._above = self._above
        try:
            return copy.of(value)
        except TooLargeError:
            raise TooLargeToLogError(
                f"the value takes more bytes as JSON than log() takes, which is {bytes_max:,}: "
                "make it smaller, or write it to a file and call run.save(path)"
            ) from None
        finally:
            self.coerced.extend(copy.coerced)
            self.kept.extend(copy.kept)

    def _foreign(self, value: Any) -> Any:
        shape = () if getattr(value, "ndim", None) == 0 else getattr(value, "shape", None)
        if isinstance(shape, tuple) and not isinstance(value, memoryview):
            return self._array(value, shape)
        names = _fields_of(value)
        if names is not None:
            return self._dict({name: getattr(value, name) for name in names})
        if callable(getattr(value, "model_dump", None)):
            return self.of(value.model_dump())
        if isinstance(value, (date, time)):
            return value.isoformat()
        if isinstance(value, timedelta):
            return value.total_seconds()
        if isinstance(value, UUID):
            return str(value)
        if isinstance(value, os.PathLike):
            return self.of(os.fspath(value))
        number = _number(value)
        return self.of(_bytes_of(value, self._bytes_left)) if number is None else number

    def _array(self, value: Any, shape: tuple[int, ...]) -> Any:
        kind = getattr(getattr(value, "dtype", None), "kind", None)
        if kind in ("m", "M"):  # as nanoseconds their elements would come as bare ints
            value = value.astype(f"{kind}8[us]")
        if math.prod(shape) != 1 or hasattr(value, "filled"):  # a masked one's item is what is masked
            self._take(2 * math.prod(shape))
            self._bytes_left += 2 * math.prod(shape)  # the lists count them again
            return self.of(value.tolist())
        item = value.item()
        # NumPy's long doubles are their own items.
        return self.of(item) if getattr(item, "shape", None) is None else _number(item)

    def _list(self, items: Iterable[object]) -> list[Any]:
        with self._level(2 * len(items)):  # type: ignore[arg-type]  # an item takes two bytes, itself and a comma
            return [_finite(self.of(item)) for item in items]

    def _dict(self, items: Mapping[Any, object]) -> dict[str, Any]:
        with self._level(4 * len(items)):
            return {self._key(key): _finite(self.of(item)) for key, item in dict(items).items()}

    @contextmanager
    def _level(self, size: int) -> Iterator[None]:
        if self._depth >= DEPTH_MAX:
            raise ValueError(f"it is deeper than {DEPTH_MAX} levels")
        self._take(size)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def _key(self, key: object) -> str:
        plain = _finite(self.of(key))
        if isinstance(plain, str):
            return plain
        if plain is None or isinstance(plain, bool):
            return {None: "null", True: "true", False: "false"}[plain]
        return repr(plain) if isinstance(plain, (int, float)) else self._coerce(key, TypeError("it is a key"))

    def _text(self, text: str) -> str:
        self._take(len(text))
        return text

    def _take(self, size: int) -> None:
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise TooLargeError("the value is too large")

    def _coerce(self, value: object, error: Exception) -> str:
        self.coerced.append((value, error))
        return self._text(short_repr(value))


def element(value: Any) -> object:
    """What a NumPy number or 0-d tensor holds, else None."""
    try:
        kind = getattr(value.dtype, "kind", None)
        return value.item() if value.shape == () and kind not in ("m", "M") and not hasattr(value, "filled") else None
    except Exception:  # noqa: BLE001 - the user's code; the copy meets it again, and then it counts
        return None


def _finite(plain: Any) -> Any:
    # JSON has no NaN: as in proto3.
    if isinstance(plain, float) and not math.isfinite(plain):
        return "NaN" if math.isnan(plain) else "Infinity" if plain > 0 else "-Infinity"
    return plain


def _whole(number: int) -> int:
    if number not in INT64:
        str(number)  # raises ValueError where it has more digits than Python will print
    return number


def _in_order(values: Set[Any]) -> list[Any]:
    try:
        return sorted(values)
    except Exception:  # noqa: BLE001 - whatever the comparison raises, sets have no order
        return list(values)


def _fields_of(value: object) -> Iterable[str] | None:
    made = type(value)
    if hasattr(made, "__dataclass_fields__"):
        return [field.name for field in fields(value)]  # type: ignore[arg-type]
    names: Iterable[str] | None = getattr(made, "__struct_fields__", None)
    return names


def _number(value: Any) -> Any:
    if isinstance(value, SupportsIndex):
        return _whole(operator.index(value))
    of_numpy = getattr(getattr(value, "dtype", None), "kind", None)
    # Before 3.11 complex itself had no __complex__.
    of_two_parts = isinstance(value, (complex, SupportsComplex))
    if of_two_parts and (of_numpy == "c" or not isinstance(value, SupportsFloat)):
        found = complex(value)
        return {"real": _finite(found.real), "imag": _finite(found.imag)}
    if not isinstance(value, SupportsFloat):
        return None
    number = float(value)
    if math.isinf(number) and number != value:
        raise OverflowError("it is too large for a float")
    return number


def _bytes_of(value: Any, bytes_max: int) -> object:
    try:
        view = memoryview(value)
    except TypeError:
        raise TypeError("nothing converts it") from None
    with view:
        if view.nbytes > bytes_max:
            raise TooLargeError("the value is too large")
        if view.format not in ("B", "b", "c"):
            return view.tolist()
        content = view.tobytes()
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"data:;base64,{base64.b64encode(content).decode()}"
