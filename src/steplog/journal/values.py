"""What ``log`` makes of its arguments: a name, a step, and a float, an int, a bool or JSON text.

It comes *before* a position is claimed: user code may run here (``__float__``, ``item``, ``repr``), and take long,
raise, or log. A GPU tensor is waited for: log it every so often, or after a synchronization.

A wrong name or step raises. A value never stops a training run:

* ``bool``, ``int``, ``float`` and what converts to them stay so, NaN and infinities too; an int beyond 64 bits is text.
* All else is JSON text, UTF-8 (see jsonable). In lists and dicts NaN and infinities are the strings "NaN", "Infinity",
  "-Infinity"; a lone surrogate becomes "?".
* What has only its ``repr`` is *coerced* to that: counted, and logged once a type and process. So is a value of more
  than ``bytes_max`` as JSON; text is cut, and ends in "…".

With ``strict`` coercion raises TypeError, or ValueError for what is too large, too deep or circular.
"""

from __future__ import annotations

import contextlib
import json
import logging
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from steplog.journal import slot
from steplog.journal.hints import hint
from steplog.journal.jsonable import DEPTH_MAX, INT64, Copy, TooLargeError, element, keep_nothing, short_repr
from steplog.journal.range import NAME_BYTES_MAX
from steplog.media_value import Content
from steplog.reentrant_lock import ReentrantLock

__all__ = ["Scalar", "Values", "checked_name", "checked_step", "restored"]

Scalar = float | int | bytes
_BYTES_MIN = 8  # of an "…" between quotes
_log = logging.getLogger("steplog")
_said: set[tuple[str, str]] = set()


def checked_name(name: Any) -> str:
    """The name. Raises TypeError or ValueError."""
    if not isinstance(name, str):
        raise TypeError(f"a metric's name is a str, not {type(name).__name__}")
    text = str.__str__(name)  # a subclass may override str()
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("a metric's name is text that UTF-8 can hold; this one has a lone surrogate") from None
    if not 0 < size <= NAME_BYTES_MAX:
        raise ValueError(f"a metric's name has 1 to {NAME_BYTES_MAX} bytes of UTF-8, not {size}")
    return text


def checked_step(step: Any) -> int:
    """The step as in the slot, also of what holds a whole float. Raises TypeError or ValueError."""
    if step is None:
        return slot.NO_STEP
    if type(step).__name__.startswith("bool") or not hasattr(step, "__index__"):  # NumPy 2.2's bool has one
        step = _whole_step(step)
    try:
        number = operator.index(step)
    except TypeError:  # NumPy's arrays and tensors have __index__ for some of their elements alone
        number = _whole_step(step)
    if not slot.NO_STEP < number <= slot.STEP_MAX:
        raise ValueError(f"a step lies between {slot.NO_STEP + 1} and {slot.STEP_MAX}; this one is {step!r:.40}")
    return number


def _whole_step(step: Any) -> int:
    found = step if isinstance(step, float) or step.__class__ in (bool, int) else element(step)
    if found is None or isinstance(found, bool) or not isinstance(found, (int, float)):
        raise TypeError(f"a step is an integer, or a float that is whole, not {type(step).__name__}")
    if isinstance(found, float) and not found.is_integer():
        raise ValueError(f"a step is whole; this one is {found!r}")
    return int(found)


class Values:
    """Converts one writer's values; ``coerced`` counts those logged as their ``repr``."""

    def __init__(self, bytes_max: int, strict: bool = False) -> None:
        self.bytes_max = max(bytes_max, _BYTES_MIN)
        self.strict = strict
        self.coerced = 0
        self._lock = ReentrantLock()
        self.keep: Callable[[Content], str] = keep_nothing  # takes the file of a media value; its id
        self.discard: Callable[[str], None] = lambda id_: None  # one whose record was not taken

    def convert(self, value: object) -> tuple[int, Scalar]:
        """Slot kind and scalar of ``value``; bytes for KIND_JSON. Raises only if ``strict``, and of media values.

        Raises TooLargeToLogError for one whose file is too large, NoRoomError where there is no room for it.
        """
        return self.converted(value)[:2]

    def converted(self, value: object) -> tuple[int, Scalar, Sequence[str]]:
        """As ``convert``, and the ids of the files that were kept for it."""
        if value.__class__ in (list, tuple, dict, str):
            text = _as_it_is(value, self.bytes_max)
            if text is not None:
                return slot.KIND_JSON, text, ()
        elif (number := _at_once(value)) is not None:
            return *number, ()
        copy, done = Copy(self.bytes_max, self.keep), False
        try:
            try:
                found = _stored(copy.of(value), self.bytes_max)
            except TooLargeError:
                return slot.KIND_JSON, self._too_large(value), ()
            if copy.coerced:
                self._coerce(*copy.coerced[0])
            done = True
            return *found, copy.kept
        finally:
            if not done:
                self.discard_all(copy.kept)

    def count_coerced(self, number: int = 1) -> None:
        """So many more were logged as their ``repr``."""
        with self._lock:
            self.coerced += number  # no call between load and store: a signal handler may come here, too

    def discard_all(self, ids: Iterable[str]) -> None:
        """Remove the files of a value that was not taken."""
        for id_ in ids:
            self.discard(id_)

    def plain(self, value: object) -> Any:
        """The value as it is kept: what JSON has, or a float. Raises as ``convert`` does."""
        return restored(*self.convert(value))

    def _too_large(self, value: object) -> bytes:
        error = TooLargeError(f"the value takes more bytes as JSON than value_bytes_max, which is {self.bytes_max}")
        self._coerce(value, error)
        return _cut(str.__str__(value) if isinstance(value, str) else short_repr(value), self.bytes_max)

    def _coerce(self, value: object, error: Exception) -> None:
        what = f"a value of type {type(value).__name__}"
        instead = hint(value) if self.keep is not keep_nothing else ""
        if self.strict:
            kind = ValueError if isinstance(error, ValueError) else TypeError
            raise kind(f"{what} cannot be logged: {_words(error)}{instead}") from error
        self.count_coerced()
        once = (type(value).__module__, type(value).__qualname__)
        if once not in _said:
            _said.add(once)  # first: the log's receiver may log such a value
            with contextlib.suppress(Exception):
                _log.warning("steplog: %s is logged as its repr: %s%s", what, _words(error), instead)


def restored(kind: int, scalar: Scalar) -> object:
    """The value again, as far as it was kept."""
    if isinstance(scalar, bytes):
        return json.loads(scalar)
    return bool(scalar) if kind == slot.KIND_BOOL else scalar


def _stored(plain: Any, bytes_max: int) -> tuple[int, Scalar]:
    if isinstance(plain, bool):
        return slot.KIND_BOOL, int(plain)
    if isinstance(plain, int) and plain in INT64:
        return slot.KIND_INT, plain
    if isinstance(plain, float):
        return slot.KIND_FLOAT, plain
    text = _json(plain)
    if len(text) > bytes_max:
        raise TooLargeError
    return slot.KIND_JSON, text


def _at_once(value: object) -> tuple[int, Scalar] | None:
    """A number, as most values are; else None."""
    if value.__class__ not in (float, int, bool):
        value = element(value)
    if value.__class__ is float:
        return slot.KIND_FLOAT, value
    if value.__class__ is bool or (value.__class__ is int and value in INT64):
        return slot.KIND_BOOL if value.__class__ is bool else slot.KIND_INT, int(value)
    return None


def _as_it_is(value: Any, bytes_max: int) -> bytes | None:
    """Its JSON, if it is nothing else; else None."""
    try:
        if value.__class__ is str or _is_small(value, bytes_max):
            text = _json(value)
            return text if len(text) <= bytes_max else None
    except (TypeError, ValueError, RecursionError, RuntimeError):  # RuntimeError: another thread changes it
        pass
    return None


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


def _is_small(value: object, bytes_max: int) -> bool:
    """Whether it is neither too deep, nor so self-similar that writing it would not end."""
    level: list[Any] = [value]
    for _ in range(DEPTH_MAX):
        if 2 * sum(map(len, level)) > bytes_max:  # an item takes two bytes at least, itself and a comma
            return False
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (list, tuple, dict))
        ]
        if not level:
            return True
    return False


def _words(error: Exception) -> str:
    try:
        return f"{error!s:.200}" or type(error).__name__
    except Exception:  # noqa: BLE001 - the user's code, and this is no reason to stop a training
        return type(error).__name__


def _cut(text: str, bytes_max: int) -> bytes:
    data, count = _json(text[: bytes_max + 1]), min(len(text), bytes_max)
    while len(data) > bytes_max:
        data = _json(text[:count] + "…")
        count = max(0, min(count - 1, count * bytes_max // len(data)))
    return data
