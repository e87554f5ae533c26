"""A run's configuration: a mapping of names to JSON values, each change of which is logged.

::

    steplog/config            an object of the keys that were set
    steplog/config/removed    a list of the keys that were removed

1. Whoever writes changes its own keys alone: the server, and who reads it, merge by top-level key.
2. A change never waits. What the run had before it was opened here is looked for at the first read.
3. What is handed out cannot be changed in place, since nothing would log that: lists and dicts are subclasses whose
   mutators raise. Copies of them are plain.
4. A key that is the name of a mapping's method is reached as an item alone.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn

from steplog.journal.values import Values

__all__ = ["CONFIG_NAME", "REMOVED_NAME", "Config", "FrozenDict", "FrozenList", "as_config", "log_config"]

CONFIG_NAME = "steplog/config"
REMOVED_NAME = "steplog/config/removed"
_BYTES_MAX = 16 * 1024 * 1024  # of a config that is set at once
_REMOVED: Any = object()


def as_config(given: Any) -> dict[str, Any]:
    """A mapping as a dict, or the attributes of an object such as an ``argparse.Namespace``. Raises TypeError."""
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, type) or not hasattr(given, "__dict__"):
        raise TypeError(f"a config is a mapping, or an object with attributes, not {type(given).__name__}")
    return dict(vars(given))


def log_config(log: Callable[[str, Any], Any], values: Values, name: str, value: Any) -> Any:
    """Log a record of a config, and return what was kept of its value. Raises as ``log`` does.

    Where the keys are too large for one record, each goes by itself; a value that is too large even so is cut, as
    ``log`` does.
    """
    whole = Values(_BYTES_MAX, values.strict)
    kept = whole.plain(value)
    values.count_coerced(whole.coerced)
    if isinstance(kept, list) or (isinstance(kept, dict) and _size_of(kept) <= values.bytes_max):
        log(name, kept)
        return kept
    parts = {}
    for key, item in (kept if isinstance(kept, dict) else value).items():
        text = key if isinstance(key, str) else str(key)
        rest = Values(values.bytes_max - _size_of({text: 0}), values.strict)
        parts[text] = rest.plain(item)
        values.count_coerced(rest.coerced)
        log(name, {text: parts[text]})
    return parts


def _size_of(kept: dict[str, Any]) -> int:
    return len(json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))


class FrozenDict(dict[str, Any]):
    """A dict in a config; ``key`` is the config's own that it is below."""

    __slots__ = ("_key",)

    def __init__(self, items: Mapping[str, Any], key: str) -> None:
        super().__init__(items)
        self._key = key

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(f'what is in a config is not changed in place; assign it: run.config["{self._key}"] = …')

    __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = _refuse

    def copy(self) -> dict[str, Any]:
        """A plain dict, all the way down."""
        return {name: _plain(value) for name, value in self.items()}

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> dict[str, Any]:
        return self.copy()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (self.copy(),)


class FrozenList(list[Any]):
    """A list in a config; see ``FrozenDict``."""

    __slots__ = ("_key",)

    def __init__(self, items: Iterable[Any], key: str) -> None:
        super().__init__(items)
        self._key = key

    _refuse = FrozenDict._refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = extend = insert = pop = remove = clear = sort = reverse = _refuse

    def copy(self) -> list[Any]:
        """A plain list, all the way down."""
        return [_plain(value) for value in self]

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> list[Any]:
        return self.copy()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return list, (self.copy(),)


def _frozen(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return FrozenDict({name: _frozen(item, key) for name, item in value.items()}, key)
    return FrozenList([_frozen(item, key) for item in value], key) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    return value.copy() if isinstance(value, (FrozenDict, FrozenList)) else value


class Config(MutableMapping[str, Any]):
    """``log`` logs a record and returns what was kept of its value, ``begin`` gives what there was before.

    A value that cannot be logged raises as ``Run.log`` does, and changes nothing. ``changing`` is held meanwhile: of
    two threads that set one key, the last one logged is the one that is read.
    """

    __slots__ = ("__weakref__", "_before", "_begin", "_changes", "_changing", "_log")

    def __init__(
        self,
        log: Callable[[str, Any], Any],
        begin: Callable[[], Mapping[str, Any]] = dict,
        changes: Mapping[str, Any] | None = None,
        removed: Iterable[str] = (),
        changing: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        set_one = object.__setattr__
        set_one(self, "_log", log)
        set_one(self, "_begin", begin)
        set_one(self, "_changing", changing)
        set_one(self, "_before", None)
        set_one(self, "_changes", {key: _frozen(value, key) for key, value in (changes or {}).items()})
        self._changes.update(dict.fromkeys(removed, _REMOVED))

    def parts(self) -> tuple[dict[str, Any] | None, dict[str, Any], list[str]]:
        """Internal: what there was before, if that has been looked for; what was set and removed since. Plain."""
        changes, found = self._changes.copy(), self._before
        before = None if found is None else {key: _plain(value) for key, value in found.items()}
        kept = {key: _plain(value) for key, value in changes.items() if value is not _REMOVED}
        return before, kept, [key for key, value in changes.items() if value is _REMOVED]

    def _found(self) -> dict[str, Any]:
        before: dict[str, Any] | None = self._before
        if before is None:
            before = {key: _frozen(value, key) for key, value in self._begin().items()}
            object.__setattr__(self, "_before", before)
        return before

    def _values(self) -> dict[str, Any]:
        changed = {**self._found(), **self._changes}
        return {key: value for key, value in changed.items() if value is not _REMOVED}

    def _change(self, values: dict[str, Any]) -> None:
        with self._changing():
            kept = self._log(CONFIG_NAME, values) if values else {}
            self._changes.update({key: _frozen(value, key) for key, value in kept.items()})

    def _remove(self, keys: list[str]) -> None:
        if keys:
            with self._changing():
                self._log(REMOVED_NAME, keys)
                self._changes.update(dict.fromkeys(keys, _REMOVED))

    def __getitem__(self, key: str) -> Any:
        if "yaml" in sys.modules:
            _represent_in_yaml()
        changed = self._changes.get(key, self)
        if changed is self:
            return self._found()[key]
        if changed is _REMOVED:
            raise KeyError(key)
        return changed

    def __setitem__(self, key: str, value: Any) -> None:
        self._change({key: value})

    def __delitem__(self, key: str) -> None:
        self[key]  # raises KeyError
        self._remove([key])

    def update(self, *others: Any, **values: Any) -> None:
        """Change several values in one record."""
        self._change(dict(*others, **values))

    def clear(self) -> None:
        """Remove all values in one record."""
        self._remove(list(self))

    def copy(self) -> dict[str, Any]:
        """A plain dict, all the way down."""
        return {key: _plain(value) for key, value in self._values().items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    def __getattr__(self, name: str) -> Any:
        if not _is_special(name):
            try:
                return self[name]
            except KeyError:
                pass
        raise AttributeError(f"the config has no {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(Config, name) or _is_special(name):
            raise AttributeError(f'{name!r} belongs to the config itself; as a key it is run.config["{name}"] = …')
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if hasattr(Config, name) or name not in self:
            raise AttributeError(f"the config has no {name!r} to delete")
        del self[name]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(key for key in self if key.isidentifier())})

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (self.copy(),)

    def __copy__(self) -> dict[str, Any]:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> dict[str, Any]:
        return copy.deepcopy(self.copy(), memo)

    def __repr__(self) -> str:
        return f"Config({self._values()!r})"


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _represent_in_yaml() -> None:
    """PyYAML goes by the exact type: teach it ours, where the program uses it."""
    representer = getattr(sys.modules["yaml"], "representer", None)
    for made in ("SafeRepresenter", "Representer"):
        known = getattr(representer, made, None)
        if known is not None and FrozenDict not in known.yaml_multi_representers:
            known.add_multi_representer(FrozenDict, lambda dumper, data: dumper.represent_dict(data.copy()))
            known.add_multi_representer(FrozenList, lambda dumper, data: dumper.represent_list(data.copy()))
