"""Arrow data from columns, for the PyCapsule protocol, by nanoarrow (https://arrow.apache.org/nanoarrow). Pure.

1. Numbers are handed out where they are: the Arrow data hold the buffers, also when the table is gone.
2. Offsets of texts of one size are in memory once, of all batches of an export.
3. A batch has at most 2³¹ - 1 bytes of texts a column, as many as its offsets reach: a longer one is cut into several.
4. Arrow has no NUL in the name of a column: it is U+2400 there.

nanoarrow is imported with the first Arrow data that is asked for.
"""

from __future__ import annotations

import importlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, repeat
from typing import Any

__all__ = ["TEXT_BYTES_MAX", "ArrowData", "Column", "Repeated"]

TEXT_BYTES_MAX = 2**31 - 1
Column = tuple[str, str, Sequence[Any], "bytes | bytearray | None"]  # an ArrowColumn
_TEXTS = ("text", "json", "texts")


class Repeated(Sequence[Any]):
    """A text as often as there are rows, without a list of it."""

    __slots__ = ("rows", "value")

    def __init__(self, value: str | bytes, rows: int) -> None:
        self.value = value
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[Any]:
        return repeat(self.value, self.rows)

    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return Repeated(self.value, len(range(self.rows)[at]))
        range(self.rows)[at]  # raises IndexError
        return self.value


def _bitmap(flags: bytes | bytearray) -> bytes:
    """A bit for each byte, the least significant first; the bytes are 0 or 1."""
    size = (len(flags) + 7) // 8
    if 1 not in flags:
        return bytes(size)
    bits = 0
    for place in range(8):
        bits |= int.from_bytes(flags[place::8], "little") << place
    return bits.to_bytes(size, "little")


class ArrowData:
    """The Arrow data of one export. Raises ImportError without nanoarrow."""

    def __init__(self) -> None:
        try:
            nanoarrow = importlib.import_module("nanoarrow")
            self._stream = importlib.import_module("nanoarrow.c_array_stream").CArrayStream
            self._schema = importlib.import_module("nanoarrow.c_schema").c_schema
        except ImportError as error:
            raise ImportError(
                "Arrow data need nanoarrow (pip install nanoarrow); table.rows() and table.to_dict() do without"
            ) from error
        self._array, self._struct = nanoarrow.c_array_from_buffers, nanoarrow.struct
        text = nanoarrow.string()
        self._text = self._schema(text)
        self._types = {
            "f8": nanoarrow.float64(),
            "i8": nanoarrow.int64(),
            "time": nanoarrow.timestamp("ns", "UTC"),
            "text": text,
            "json": self._text.modify(metadata={b"steplog:type": b"json"}),
            "bool": nanoarrow.bool_(),
            "texts": nanoarrow.list_(text),
        }
        self._ends: dict[int, array[int]] = {}

    def schema(self, kinds: Mapping[str, str]) -> Any:
        """A struct of the columns."""
        fields = {name.replace("\0", "\u2400"): self._types[kind] for name, kind in kinds.items()}
        return self._schema(self._struct(fields))

    def stream(
        self, kinds: Mapping[str, str], batches: Sequence[Sequence[Column]], *, text_bytes_max: int = TEXT_BYTES_MAX
    ) -> Any:
        """The rows of the batches, whose columns are of these kinds."""
        schema = self.schema(kinds)
        made = [self._batch(schema, piece) for batch in batches for piece in _cut(batch, text_bytes_max)]
        return self._stream.from_c_arrays(made, self.schema(kinds), move=True)  # which takes the schema along

    def _batch(self, schema: Any, batch: Sequence[Column]) -> Any:
        length = len(batch[0][2]) if batch else 0
        children = [self._column(*column) for column in batch]
        return self._array(schema, length, [None], null_count=0, children=children, move=True)

    def _column(self, name: str, kind: str, values: Any, valid: bytes | bytearray | None) -> Any:
        bitmap = None if valid is None else _bitmap(valid)
        missing = 0 if valid is None else valid.count(0)
        buffers, children = [values], []
        if kind == "bool":
            buffers = [_bitmap(values)]
        elif kind in ("text", "json"):
            buffers = list(self._texts(values))
        elif kind == "texts":
            flat = [text for texts in values for text in texts]
            buffers = [array("i", accumulate(map(len, values), initial=0))]
            children = [self._array(self._text, len(flat), [None, *self._texts(flat)], null_count=0)]
        made = self._types[kind]
        return self._array(made, len(values), [bitmap, *buffers], null_count=missing, children=children)

    def _repeated_ends(self, size: int, rows: int) -> memoryview:
        """The offsets of texts of one size; those of fewer rows are the beginning of those of more."""
        ends = self._ends.get(size)
        if ends is None or len(ends) <= rows:
            ends = array("i", range(0, size * rows + 1, size)) if size else array("i", bytes(4 * rows + 4))
            self._ends[size] = ends
        return memoryview(ends)[: rows + 1]

    def _texts(self, values: Sequence[Any]) -> tuple[array[int] | memoryview, bytes]:
        """The offsets and the bytes."""
        if isinstance(values, Repeated):
            text = _utf8(values.value)
            return self._repeated_ends(len(text), len(values)), text * len(values)
        texts = list(map(_utf8, values))
        return array("i", accumulate(map(len, texts), initial=0)), b"".join(texts)


def _utf8(text: str | bytes) -> bytes:
    """A half of a surrogate pair is a question mark."""
    return text.encode(errors="replace") if isinstance(text, str) else text


def _cut(batch: Sequence[Column], bytes_max: int) -> Iterator[Sequence[Column]]:
    """The rows of a batch in pieces, each with at most ``bytes_max`` bytes of texts a column, or of one row."""
    long = [values for _, kind, values, _ in batch if kind in _TEXTS and _size(values) > bytes_max]
    if not long:
        yield batch
        return
    start, length = 0, len(batch[0][2])
    while start < length:
        end = max(start + 1, min(_fitting(values, start, bytes_max) for values in long))
        yield [
            (name, kind, values[start:end], None if valid is None else valid[start:end])
            for name, kind, values, valid in batch
        ]
        start = end


def _fitting(values: Sequence[Any], start: int, bytes_max: int) -> int:
    """The end of the rows from ``start`` on that fit."""
    size = 0
    for at in range(start, len(values)):
        size += _size(values[at])
        if size > bytes_max:
            return at
    return len(values)


def _size(value: Any) -> int:
    """Bytes of a text, or of texts; of str the most that they can be."""
    if isinstance(value, str):
        return 4 * len(value)
    if isinstance(value, bytes):
        return len(value)
    return len(value) * _size(value.value) if isinstance(value, Repeated) else sum(map(_size, value))
