"""Objects, as long as something else holds them. Pure.

Any thread adds and lists them at any time. ``weakref.WeakSet`` raises where one adds while another lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar
from weakref import ref

__all__ = ["Living"]

T = TypeVar("T")


class Living(Generic[T]):
    """A set of them, by identity."""

    def __init__(self) -> None:
        self._refs: dict[int, ref[T]] = {}

    def add(self, item: T) -> None:
        """Keep it for as long as it lives."""
        key, refs = id(item), self._refs
        refs[key] = ref(item, lambda _: refs.pop(key, None))

    def __iter__(self) -> Iterator[T]:
        """Those that live now."""
        found = [each() for each in self._refs.copy().values()]  # a copy in one step
        return iter([item for item in found if item is not None])

    def clear(self) -> None:
        """Forget all."""
        self._refs.clear()
