"""``wandb.config``: values by key and by attribute, over the run's own config.

1. A key that is set keeps its value: another one raises ConfigError, unless ``allow_val_change`` is given.
2. Values are plain as they are read, and may be changed in place. What then differs from what was logged is logged at
   the next change, and when the run ends, which is said once. What a record has no place for is read as it was given
   all the same: NaN and infinities, and what is longer than a value may be.
3. Keys are texts, without "-" around them. Those that begin with "_" are not among ``keys`` and ``items``.
"""

from __future__ import annotations

import copy
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from steplog.compat.notices import say_once
from steplog.compat.wandb.config_sources import parse_config
from steplog.compat.wandb.errors import ConfigError
from steplog.journal.jsonable import element
from steplog.journal.values import Values
from steplog.reentrant_lock import ReentrantLock

__all__ = ["Config"]

_BYTES_MAX = 16 * 1024 * 1024


class Config:
    """``log`` logs values; ``items`` are there before."""

    def __init__(
        self,
        log: Callable[[dict[str, Any]], object] = dict,
        items: Mapping[str, Any] | None = None,
        allow_val_change: bool = False,
    ) -> None:
        values = copy.deepcopy(dict(items or {}))
        logged = copy.deepcopy(values)
        self.__dict__.update(
            _items=values, _logged=logged, _log=log, _allows=allow_val_change, _locked=set(), _lock=ReentrantLock()
        )
        _all.add(self)

    def __repr__(self) -> str:
        return str(dict(self))

    def keys(self) -> list[str]:
        """Those that do not begin with "_"."""
        return [key for key in list(self._items) if not key.startswith("_")]

    def values(self) -> list[Any]:
        """Of ``keys``."""
        return [self._items[key] for key in self.keys()]

    def items(self) -> list[tuple[str, Any]]:
        """Of ``keys``."""
        return [(key, self._items[key]) for key in self.keys()]

    def as_dict(self) -> dict[str, Any]:
        """A copy."""
        return dict(self)

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or ``default``."""
        return self._items.get(key, default)

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __getattr__(self, key: str) -> Any:
        try:
            return self.__dict__["_items"][key]
        except KeyError:
            raise AttributeError(f"{type(self)!r} object has no attribute {key!r}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __setitem__(self, key: Any, value: Any) -> None:
        self._change({key: value}, None)

    __setattr__ = __setitem__

    def update(self, d: Any, allow_val_change: bool | None = None) -> None:
        """Set several: a mapping, an object with attributes, flags, or a file."""
        self._change(parse_config(d), allow_val_change)

    def setdefaults(self, d: Any) -> None:
        """Set those that are not set."""
        values = parse_config(d)
        with self._lock:
            self._change({key: value for key, value in values.items() if _key(key) not in self._items}, None)

    def update_locked(self, d: Any, user: str | None = None, _allow_val_change: bool | None = None) -> None:
        """Set several, which nothing but this changes from now on, as those of a sweep."""
        values = parse_config(d)
        with self._lock:
            self._locked.difference_update(map(_key, values))
            self._change(values, _allow_val_change)
            self._locked.update(map(_key, values))

    def merge_locked(self, d: Any, user: str | None = None, _allow_val_change: bool | None = None) -> None:
        """``update_locked``, but of a dict its keys."""
        values = {_key(key): value for key, value in parse_config(d).items()}
        with self._lock:
            merged = {key: _merged(self._items.get(key), value) for key, value in values.items()}
            self.update_locked(merged, user, _allow_val_change)

    def persist(self) -> None:
        """Log what was changed in place."""
        with self._lock:
            changed = {
                key: value
                for key, value in self._items.copy().items()  # a signal's function may set a key meanwhile
                if isinstance(value, (dict, list)) and value != self._logged.get(key)
            }
            if changed:
                say_once(
                    f"config: {', '.join(changed)} changed in place, which is logged now; "
                    "to have it logged at once, assign it: wandb.config.update({…}, allow_val_change=True)"
                )
                self._store(changed)

    def _change(self, given: Mapping[Any, Any], allows: bool | None) -> None:
        values = {_key(key): value for key, value in given.items()}
        with self._lock:
            for key in [key for key in values if key in self._locked]:
                say_once(f"config: {key} is locked, and stays as it is")
                del values[key]
            if not (self._allows if allows is None else allows):
                self._check(values)
            self.persist()
            if values:
                self._store(values)

    def _check(self, values: Mapping[str, Any]) -> None:
        """Raise ConfigError where one of these is set to another value."""
        for key in [key for key in values if key in self._items]:
            if not _same(_as_read(values[key]), self._items[key]):
                raise ConfigError(
                    f'Attempted to change value of key "{key}" from {self._items[key]} to {values[key]}\n'
                    "If you really want to do this, pass allow_val_change=True to config.update()"
                )

    def _store(self, values: dict[str, Any]) -> None:
        self._log(values)
        self._items.update({key: _as_read(value) for key, value in values.items()})
        self._logged.update({key: _copied(self._items[key]) for key in values})

    def __deepcopy__(self, memo: Any) -> Config:
        return self

    def __reduce__(self) -> Any:
        return Config, (dict, dict(self._items))


def _copied(value: Any) -> Any:
    """A copy of plain values, which another thread may be changing in place."""
    if value.__class__ is dict:
        return {key: _copied(item) for key, item in value.copy().items()}
    return [_copied(item) for item in value] if value.__class__ is list else value


def _merged(before: Any, value: Any) -> Any:
    if not (isinstance(before, dict) and isinstance(value, Mapping)):
        return value
    return {**before, **{key: _merged(before.get(key), item) for key, item in value.items()}}


def _key(key: Any) -> str:
    return str(key).strip("-")


def _as_read(value: Any) -> Any:
    """Plain, and no other than it was given."""
    plain = Values(_BYTES_MAX).plain(value)
    with suppress(Exception):  # the user's code
        return _numbers_of(value, plain)
    return plain


def _numbers_of(given: Any, plain: Any) -> Any:
    """``plain`` with the numbers that JSON does not have, which are texts in it."""
    if isinstance(plain, str):
        found = given if isinstance(given, float) else element(given)
        return float(found) if isinstance(found, float) else plain
    if isinstance(plain, list):
        items = given.tolist() if hasattr(given, "tolist") else given
        return [_numbers_of(*pair) for pair in zip(items, plain, strict=True)]
    if isinstance(plain, dict):
        of = list(given.values()) if isinstance(given, Mapping) else [getattr(given, name) for name in plain]
        return {name: _numbers_of(item, plain[name]) for name, item in zip(plain, of, strict=True)}
    return plain


def _same(value: Any, before: Any) -> bool:
    return bool(value == before) or (value != value and before != before)


def _after_fork_in_child() -> None:
    for config in _all:
        config.__dict__["_lock"] = ReentrantLock()  # another thread may have held it


_all: weakref.WeakSet[Config] = weakref.WeakSet()
os.register_at_fork(after_in_child=_after_fork_in_child)
