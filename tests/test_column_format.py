"""Columns on the wire come out as they went in, and where the header says."""

from __future__ import annotations

import json
import math
import random
import struct
import sys
from array import array
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from steplog.column_format import (
    Column,
    Table,
    decode,
    decode_stream,
    encode,
    float_texts,
    json_text,
    json_value,
    numbers,
    texts,
)
from steplog.errors import FormatError

INT64 = st.integers(-(2**63), 2**63 - 1)
COLUMNS = st.one_of(
    st.lists(st.floats(), max_size=9).map(lambda values: numbers("a", "f8", values)),
    st.lists(st.floats(width=32), max_size=9).map(lambda values: numbers('é " name', "f4", values)),
    st.lists(INT64, max_size=9).map(lambda values: numbers("steps", "i8", values)),
    st.lists(st.integers(0, 2**32 - 1), max_size=9).map(lambda values: numbers("", "u4", values)),
    st.lists(st.text(max_size=5).map(json.dumps).map(str.encode) | st.just(b""), max_size=9).map(
        lambda values: texts("json", values)
    ),
)


def read_by_the_book(content: bytes) -> list[tuple[dict[str, Any], list[list[Any]]]]:
    """Tables, read with nothing but what the format's description says."""
    tables, start = [], 0
    while start < len(content):
        (length,) = struct.unpack_from("<I", content, start)
        data = start + 4 + length
        header = json.loads(content[start + 4 : data])
        assert data % 8 == 0
        found, end = [], data
        for column in header["columns"]:
            assert column["offset"] % 8 == 0
            first = data + column["offset"]
            end = first + column["bytes"]
            if column["type"] == "json":
                ends = struct.unpack_from(f"<{column['count']}I", content, first)
                begin = first + 4 * column["count"]
                bounds = zip((0, *ends), ends, strict=False)
                found.append([content[begin + a : begin + b] for a, b in bounds])
            else:
                code = {"f8": "d", "f4": "f", "i8": "q", "u4": "I"}[column["type"]]
                found.append(list(struct.unpack_from(f"<{column['count']}{code}", content, first)))
        tables.append((header, found))
        start = end + -end % 8
    return tables


@given(st.lists(st.lists(COLUMNS, max_size=4), max_size=3))
@example([[]])
def test_columns_come_out_as_they_went_in(tables):
    content = b"".join(encode(columns, {"at": at}) for at, columns in enumerate(tables))
    expected = [Table({column.name: column for column in columns}, {"at": at}) for at, columns in enumerate(tables)]
    assert list(decode(content)) == expected
    by_the_book = read_by_the_book(content)
    assert [header["at"] for header, _ in by_the_book] == list(range(len(tables)))
    for columns, (_, found) in zip(tables, by_the_book, strict=True):
        plain = [
            [bytes(value or b"") if column.type == "json" else value for value in column.values()] for column in columns
        ]
        assert repr(plain) == repr(found)


def test_a_column_of_json_keeps_its_missing_values():
    (table,) = decode(encode([texts("tags", [b'["a"]', b"", b"null"])]))
    values = table.columns["tags"].values()
    assert [None if value is None else bytes(value) for value in values] == [b'["a"]', None, b"null"]


def test_the_bits_of_a_nan_are_kept():
    words = array("q", [0x7FF8_0000_0000_0001, -1, 0x7FF0_0000_0000_0000])
    (table,) = decode(encode([Column("value", "f8", 3, words.tobytes())]))
    kept = table.columns["value"].values()
    assert array("q", kept.tobytes()) == words
    assert math.isnan(kept[0])


def test_numbers_are_little_endian_whatever_the_machine_is(monkeypatch):
    swapped = array("q", [1, -2])
    swapped.byteswap()  # as a big-endian machine has them
    monkeypatch.setattr(sys, "byteorder", {"little": "big", "big": "little"}[sys.byteorder])
    column = numbers("a", "i8", swapped)
    assert column.content == struct.pack("<qq", 1, -2)
    assert column.values() == swapped


@pytest.mark.parametrize("kind", ["i8", "u4"])
def test_an_integer_that_does_not_fit_is_not_cut(kind):
    with pytest.raises(OverflowError):
        numbers("a", kind, [2**63])


def test_a_table_cut_anywhere_is_refused():
    content = encode([numbers("a", "u4", [1]), texts("b", [b"1", b'"x"'])])
    assert len(list(decode(content))) == 1
    for length in range(1, len(content)):
        with pytest.raises(FormatError):
            list(decode(content[:length]))


@pytest.mark.parametrize(
    "place",
    [
        {"type": "f2"},
        {"count": 2},
        {"count": -1, "bytes": -8},
        {"offset": 4},
        {"offset": -8},
        {"type": "json", "count": 1},
        {"type": "json", "count": 3},
        {"name": None},
    ],
)
def test_a_header_that_says_what_the_data_is_not_is_refused(place):
    column = {"name": "a", "type": "i8", "offset": 0, "bytes": 8, "count": 1} | place
    header = json.dumps({"columns": [column]}).encode()
    header += b" " * (-(4 + len(header)) % 8)
    with pytest.raises(FormatError):
        list(decode(struct.pack("<I", len(header)) + header + struct.pack("<II", 3, 2)))


JSON = st.recursive(
    st.none() | st.booleans() | INT64 | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(JSON)
@example("NaN")
@example("Infinity")
@example("-Infinity")
@example(2**70)
def test_a_json_value_comes_back_as_it_was(value):
    text = json_text(value)
    assert json_value(text) == value
    assert json.loads(text) == value
    assert json_value(json_text(msgspec.Raw(json.dumps(value).encode()))) == value


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_lacks_is_told_from_the_text_of_its_name(number):
    text = json_text(number)
    assert repr(json_value(text)) == repr(number)
    assert isinstance(json.loads(text), str)
    assert json_value(json_text(json.loads(text))) == json.loads(text)


def test_a_json_value_that_is_none_is_refused():
    for text in (b"", b"nan", b'"a', b"[" * 10_000):
        with pytest.raises(FormatError):
            json_value(text)
    assert json_value(b"1e400") == math.inf


def many_tables(source: random.Random) -> bytes:
    tables = []
    for number in range(40):
        count = source.choice([0, 1, 3, 50])
        columns = [numbers("a", "i8", range(count)), numbers("b", "u4", range(count))]
        tables.append(encode([*columns, texts("c", [b"x" * at for at in range(count)])], {"number": number}))
    return b"".join(tables)


@pytest.mark.parametrize("seed", range(5))
def test_tables_that_come_in_pieces_are_those_that_come_at_once(seed):
    source = random.Random(seed)
    content = many_tables(source)
    ends = sorted(source.randrange(len(content) + 1) for _ in range(source.choice([0, 3, 2000])))
    pieces = [content[start:end] for start, end in zip([0, *ends], [*ends, len(content)], strict=True)]
    assert list(decode_stream(pieces)) == list(decode(content))
    assert list(decode_stream([content[at : at + 1] for at in range(len(content))])) == list(decode(content))


def test_a_table_is_given_out_as_soon_as_it_is_whole():
    one = encode([numbers("a", "i8", [1])], {"at": 1})

    def pieces() -> Iterator[bytes]:
        yield one + one[:9]
        raise EOFError

    tables = decode_stream(pieces())
    assert next(tables).about == {"at": 1}
    with pytest.raises(EOFError):
        next(tables)


def test_a_stream_that_ends_within_a_table_is_refused():
    content = encode([numbers("a", "i8", [1, 2])])
    for length in range(1, len(content)):
        with pytest.raises(FormatError, match="cut"):
            list(decode_stream([content, content[:length]]))


def test_a_table_that_says_it_is_huge_is_refused_before_it_has_come():
    place = {"name": "a", "type": "f8", "offset": 0, "bytes": 8 * 2**40, "count": 2**40}
    header = json.dumps({"columns": [place]}).encode()
    header += b" " * (-(4 + len(header)) % 8)
    with pytest.raises(FormatError, match="a table of"):
        list(decode_stream([struct.pack("<I", len(header)) + header]))


@given(st.lists(st.floats()))
@example([1e308, 1e308])
@example([math.inf, -math.inf])
def test_texts_of_many_floats_are_those_of_each(values):
    texts = float_texts(values)
    assert texts is None or texts == [json_text(value).decode() for value in values]
    assert texts is not None or not math.isfinite(sum(values))
