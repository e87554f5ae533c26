"""Valid input made invalid, by a seeded ``random.Random``: bytes, and values as msgpack and JSON have them."""

from __future__ import annotations

from random import Random
from typing import Any

__all__ = ["NUMBERS", "TEXTS", "changed", "changed_value"]

_BITS = (7, 8, 15, 16, 31, 32, 47, 48, 63, 64)
NUMBERS = sorted({sign * (1 << bits) + more for bits in (0, *_BITS) for sign in (1, -1) for more in (-1, 0, 1)})
TEXTS = ["", "\0", "a" * 64, "b" * 257, "é" * 128, "\ud800", "../..", "\x1b[2J", '"', "steplog/config"]
_FLOATS = [0.0, -0.0, 1e308, 5e-324, float("nan"), float("inf"), float("-inf")]
_STRETCH_MAX = 64


def changed(random: Random, data: bytes, other: bytes) -> bytes:
    """``data`` with one to four mistakes in it; some are parts of ``other``."""
    mutated = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        random.choice(_MISTAKES)(random, mutated, other)
    return bytes(mutated)


def _place(random: Random, data: bytearray) -> int:
    return random.randrange(len(data) + 1)


def _flip_a_bit(random: Random, data: bytearray, other: bytes) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _set_a_number(random: Random, data: bytearray, other: bytes) -> None:
    size = random.choice((1, 2, 4, 8))
    place = random.randrange(max(1, len(data) - size + 1))
    if random.random() < 0.5:
        place -= place % size
    number = random.choice(NUMBERS) & (1 << 8 * size) - 1
    data[place : place + size] = number.to_bytes(size, random.choice(("little", "big")))


def _cut(random: Random, data: bytearray, other: bytes) -> None:
    del data[_place(random, data) :]


def _remove(random: Random, data: bytearray, other: bytes) -> None:
    place = _place(random, data)
    del data[place : place + random.randrange(_STRETCH_MAX)]


def _clear(random: Random, data: bytearray, other: bytes) -> None:
    place = _place(random, data)
    length = len(data[place : place + random.randrange(_STRETCH_MAX)])
    data[place : place + length] = bytes((random.choice((0, 0, 255)),)) * length


def _insert(random: Random, data: bytearray, other: bytes) -> None:
    place = _place(random, data)
    data[place:place] = random.randbytes(random.randrange(_STRETCH_MAX))


def _repeat(random: Random, data: bytearray, other: bytes) -> None:
    start, place = _place(random, data), _place(random, data)
    data[place:place] = data[start : start + random.randrange(4 * _STRETCH_MAX)]


def _splice(random: Random, data: bytearray, other: bytes) -> None:
    start = random.randrange(len(other) + 1)
    place = _place(random, data)
    taken = other[start : start + random.randrange(1, len(other) + 2)]
    data[place : place + random.choice((0, len(taken), len(data)))] = taken


_MISTAKES = [_flip_a_bit, _flip_a_bit, _set_a_number, _set_a_number, _cut, _remove, _clear, _insert, _repeat, _splice]


def changed_value(random: Random, value: Any) -> Any:
    """``value`` with something in it replaced, left out or put twice."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        copy = dict(value)
        key = random.choice(list(copy))
        if random.random() < 0.1:
            del copy[key]
        elif random.random() < 0.1:
            copy[random.choice([*NUMBERS, *TEXTS])] = copy.pop(key)
        else:
            copy[key] = changed_value(random, copy[key])
        return copy
    if isinstance(value, (list, tuple)) and value and random.random() < 0.9:
        items = list(value)
        index = random.randrange(len(items))
        items[index : index + 1] = random.choice(([], [items[index]] * 2, [changed_value(random, items[index])]))
        return items
    if isinstance(value, bytes) and random.random() < 0.9:
        return changed(random, value, value)
    if isinstance(value, int) and random.random() < 0.5:
        return value + random.choice((-32, -1, 1, 32))
    return random.choice(
        [
            random.choice(NUMBERS),
            random.choice(NUMBERS),
            random.choice(TEXTS),
            random.choice(_FLOATS),
            random.choice([None, True, b"", {}, [], {"a": {}}]),
            _nested(random.choice((10, 600))),
        ]
    )


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value
