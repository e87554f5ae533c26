"""A run's configuration, logged whole at each change, as the metric ``steplog/config``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

__all__ = ["CONFIG_NAME", "Config", "as_config"]

CONFIG_NAME = "steplog/config"


def as_config(given: Any) -> dict[str, Any]:
    """A mapping as a dict, or the attributes of an object such as an ``argparse.Namespace``. Raises TypeError."""
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, type) or not hasattr(given, "__dict__"):
        raise TypeError(f"a config is a mapping, or an object with attributes, not {type(given).__name__}")
    return dict(vars(given))


class Config(MutableMapping[str, Any]):
    """Changes are logged; a value that cannot be logged raises as ``Run.log`` does, and changes nothing."""

    def __init__(self, log: Callable[[str, Any], None]) -> None:
        self._log = log
        self._values: dict[str, Any] = {}

    def _change(self, values: dict[str, Any]) -> None:
        self._log(CONFIG_NAME, values)
        self._values = values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._change(self._values | {key: value})

    def __delitem__(self, key: str) -> None:
        values = dict(self._values)
        del values[key]
        self._change(values)

    def update(self, *others: Any, **values: Any) -> None:
        """Change several values in one record."""
        self._change(self._values | dict(*others, **values))

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Config({self._values!r})"
