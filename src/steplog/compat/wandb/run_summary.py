"""``wandb.summary``: what a run comes to, a value a name.

::

    read      what was set here, else the last value logged here (or its minimum and so on, as ``define_metric`` says),
              else, of a run that goes on, what it had before
    set       is also logged as the metric ``summary/NAME``, so that it touches no curve; a dict as ``summary/NAME.KEY``

A dict in it is a summary of its own: ``summary["a"]["b"] = 1``. ``_step``, ``_runtime`` and ``_timestamp`` are there
once something is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from steplog.compat.wandb.metric_definitions import MetricDefinitions
from steplog.compat.wandb.row_values import plain_value
from steplog.compat.wandb.rows import Rows

__all__ = ["PREFIX", "Summary"]

PREFIX = "summary/"


class _SummaryValues:
    """Values by name, of which dicts are such again."""

    def _found(self) -> dict[str, Any]:
        raise NotImplementedError

    def _set(self, values: Mapping[str, Any]) -> None:
        raise NotImplementedError

    def _remove(self, key: str) -> None:
        raise NotImplementedError

    def keys(self) -> list[str]:
        """The names."""
        return list(self._found())

    def values(self) -> list[Any]:
        """Of ``keys``."""
        return list(self._found().values())

    def items(self) -> list[tuple[str, Any]]:
        """Of ``keys``."""
        return list(self._found().items())

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or ``default``."""
        return self._found().get(key, default)

    def update(self, d: Mapping[str, Any] | None = None, **values: Any) -> None:
        """Set several."""
        self._set({**(d or {}), **values})

    def __getitem__(self, key: str) -> Any:
        value = self._found()[key]
        return _Part(self, key) if isinstance(value, dict) else value

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        try:
            return self[key]
        except KeyError:
            raise AttributeError(f"the summary has no {key!r}") from None

    def __setitem__(self, key: str, value: Any) -> None:
        self._set({key: value})

    def __setattr__(self, key: str, value: Any) -> None:
        self._set({key: value})

    def __delitem__(self, key: str) -> None:
        self._remove(key)

    def __delattr__(self, key: str) -> None:
        self._remove(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found())

    def __contains__(self, key: object) -> bool:
        return key in self._found()

    def __len__(self) -> int:
        return len(self._found())

    def __repr__(self) -> str:
        return repr(self._found())


class _Part(_SummaryValues):
    """A dict in a summary."""

    def __init__(self, above: _SummaryValues, key: str) -> None:
        self.__dict__.update(_above=above, _key=key)

    def _found(self) -> dict[str, Any]:
        found = self._above._found().get(self._key)
        return found if isinstance(found, dict) else {}

    def _set(self, values: Mapping[str, Any]) -> None:
        self._above._set({self._key: {**self._found(), **values}})

    def _remove(self, key: str) -> None:
        self._above._set({self._key: {name: value for name, value in self._found().items() if name != key}})


class Summary(_SummaryValues):
    """Of one run; ``log`` logs names and values, ``before`` gives what a run that goes on had."""

    def __init__(
        self,
        rows: Rows,
        definitions: MetricDefinitions,
        log: Callable[[dict[str, Any]], None],
        before: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.__dict__.update(
            _rows=rows, _definitions=definitions, _log=log, _begin=before, _before=None, _own={}, _began=time.time()
        )

    def _found(self) -> dict[str, Any]:
        if self._before is None:
            self.__dict__["_before"] = dict(self._begin())
        with self._rows.lock:
            logged = dict(self._rows.last)
            for name in logged if self._definitions.defined else ():
                instead = self._definitions.summary_of(name)
                if instead is not None:
                    logged[name] = instead
        found = {**self._before, **{name: value for name, value in logged.items() if value != {}}, **self._own}
        if found:
            now = time.time()
            found |= {"_step": max(self._rows.counter.next - 1, 0), "_runtime": now - self._began, "_timestamp": now}
        return {name: value for name, value in found.items() if value is not ...}

    def _set(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            self._own[str(name)] = plain_value(value)
        self._log({PREFIX + str(name): value for name, value in values.items()})

    def _remove(self, key: str) -> None:
        if key not in self._found():
            raise KeyError(key)
        self._own[key] = ...
        self._log({PREFIX + key: None})
