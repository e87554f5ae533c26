"""wandb's values that are more than JSON: what they have in common.

::

    a value of wandb.log                   is kept as
    Histogram, Table, the charts of plot   a JSON object (``histogram``, ``table``, ``plot``)
    Image, Video, Audio, Html, …           a file, which the value names (``image``, ``media_files``)
    a figure of Matplotlib, a picture      an image; a figure of Plotly or Bokeh: its JSON as a file
    a list of such values                  a list of what is kept of them; null is one that is not

1. A wrong value raises when it is made, as wandb's does. Where it is logged, what cannot be kept is counted.
2. A value has its content from when it is made (``compat.kept_media``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steplog.compat.kept_media import KeptMedia, frozen, kept_or_counted
from steplog.compat.unsupported import unsupported
from steplog.media_value import MediaValue, TooLargeToLogError

__all__ = ["NOT_KEPT", "BatchableMedia", "Classes", "Media", "WBValue"]

NOT_KEPT: Any = object()  # what ``kept`` gives where nothing is

_ADVICE = "steplog has no such value; write it to a file, and save that: wandb.save(path)"


class WBValue:
    """A value that is not as JSON has it."""

    def kept(self) -> Any:
        """What is logged of it: a JSON value, one of steplog's media values, or ``NOT_KEPT``, which is counted."""
        raise NotImplementedError

    def to_json(self, run_or_artifact: object = None) -> Any:
        """The same."""
        return self.kept()


class Media(WBValue):
    """What is a file."""

    _log_type = "file"
    _caption: str | None = None
    _path: str | None = None  # of a file that was given
    _value: Callable[[], MediaValue] | None = None  # None: of this kind nothing is kept
    _is_logged = False

    def _take(self, make: Callable[[], MediaValue]) -> None:
        """Have the content of what ``make`` gives. Raises as that does, but for what is too large to log."""
        try:
            value: KeptMedia | None = frozen(make())
        except TooLargeToLogError:
            value = None
        self._value = make if value is None else lambda: value

    def _refer(self, path: str, make: Callable[[], KeptMedia]) -> None:
        """Read the file when it is logged. Raises OSError where there is none."""
        with open(path, "rb"):
            self._path, self._value = path, make

    def _fields(self) -> dict[str, Any]:
        """What the record says besides; it may hold other values."""
        return {}

    def value(self) -> KeptMedia | None:
        """What is logged; None: it is counted, as it is too large, or cannot be read."""
        call = f"wandb.log() of wandb.{type(self).__name__}"
        if self._value is None:
            unsupported.note(call, _ADVICE)
            return None
        make = self._value
        found = kept_or_counted(make, call)
        return found.with_fields({"caption": self._caption, **self._fields()}) if found is not None else None

    def kept(self) -> Any:
        """As ``value``."""
        self._is_logged = True
        found = self.value()
        return NOT_KEPT if found is None else found

    def to_json(self, run_or_artifact: object = None) -> Any:
        """Its kind, and what it says of itself."""
        caption = {} if self._caption is None else {"caption": self._caption}
        return {"_type": self._log_type, **caption}

    def file_is_set(self) -> bool:
        """Whether it has a file."""
        return self._value is not None

    def is_bound(self) -> bool:
        """Whether it has been logged."""
        return self._is_logged


class BatchableMedia(Media):
    """Media of which a list is logged as one."""


class Classes(Media):
    """The names of classes, as the masks of images have them; a JSON value."""

    _log_type = "classes"

    def __init__(self, class_set: Any) -> None:
        for each in class_set:
            if "id" not in each or "name" not in each:
                raise AssertionError("a class has an id and a name")
        self._class_set = list(class_set)

    def kept(self) -> Any:
        """Ids and names."""
        return self.to_json()

    def to_json(self, run_or_artifact: object = None) -> Any:
        """The same."""
        return {"_type": self._log_type, "class_set": self._class_set}
