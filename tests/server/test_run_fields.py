"""What records say about a run comes to the same in whatever order they arrive, and nothing in them is an error."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from steplog.server.run_fields import (
    CONFIG_KEYS_KEPT,
    DESCRIPTION_CHARACTERS_MAX,
    FIELDS,
    JSON_FIELDS,
    PROVENANCE_BYTES_MAX,
    TAG_BYTES_MAX,
    TAGS_MAX,
    TEXT_CHARACTERS_MAX,
    Change,
    FieldError,
    Order,
    changes_of,
    field_value,
    merge,
)
from strategies import JSON_TEXTS

Record = tuple[str, int, int, bytes]  # name, time, position, JSON text
State = dict[str, tuple[Order, str | None]]

KEYS = st.sampled_from("abcd")
RECORDS = st.one_of(
    st.dictionaries(KEYS, st.integers(0, 9)).map(lambda value: ("steplog/config", value)),
    st.lists(KEYS, max_size=3).map(lambda value: ("steplog/config/removed", value)),
    st.fixed_dictionaries(
        {}, optional={"group": st.sampled_from(["x", "y", None]), "notes": st.text("n", max_size=2)}
    ).map(lambda value: ("steplog/run", value)),
)
CLOCKS = st.integers(0, 3)  # of records: they collide, and go back


@st.composite
def journals(draw: st.DrawFn) -> dict[tuple[int, str], list[Record]]:
    """The records of some writers, each of a generation."""
    writers = draw(
        st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["u", "v", "w"])), max_size=4, unique_by=lambda w: w[1])
    )
    return {
        writer: [
            (name, draw(CLOCKS), position, json.dumps(value).encode())
            for position, (name, value) in enumerate(draw(st.lists(RECORDS, max_size=6)))
        ]
        for writer in writers
    }


def deliver(state: tuple[State, State], generation: int, writer: str, records: list[Record]) -> None:
    """As a server does it with a range."""
    for kept, changes in zip(state, changes_of(records), strict=True):
        orders = {key: order for key, (order, _) in kept.items()}
        kept |= merge(orders, [(key, each.order(generation, writer), each.value) for key, each in changes.items()])


def expected(written: dict[tuple[int, str], list[Record]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Each field and each key by the record with the greatest (generation, time, writer, position)."""
    fields: dict[str, Any] = {}
    config: dict[str, Any] = {}
    ranked = [
        ((generation, time_ns, writer, position), name, json.loads(text))
        for (generation, writer), records in written.items()
        for name, time_ns, position, text in records
    ]
    for _, name, value in sorted(ranked, key=lambda each: each[0]):
        if name == "steplog/run":
            fields |= value
        elif name == "steplog/config":
            config |= value
        else:
            config |= dict.fromkeys(value)
    return {field: value or None for field, value in fields.items()}, config


@given(journals(), st.randoms(use_true_random=False))
def test_any_order_of_ranges_cut_anyhow_and_sent_again_gives_the_same(written, chance):
    ranges = []
    for writer, records in written.items():
        first = 0
        while first < len(records):
            end = chance.randint(first + 1, len(records))
            ranges.append((writer, records[chance.randint(0, first) : end]))  # merged with some sent before
            first = end
    ranges += chance.sample(ranges, len(ranges) // 2)
    chance.shuffle(ranges)
    state: tuple[State, State] = ({}, {})
    for (generation, writer), records in ranges:
        deliver(state, generation, writer, records)
    fields, config = expected(written)
    assert {field: value for field, (_, value) in state[0].items()} == fields
    assert {key: None if value is None else json.loads(value) for key, (_, value) in state[1].items()} == config


def test_the_later_generation_counts_whatever_the_clocks_say():
    state: tuple[State, State] = ({}, {})
    early, late = b'{"lr": 1}', b'{"lr": 2}'
    deliver(state, 2, "resumer", [("steplog/config", 5, 0, late)])
    deliver(state, 1, "killed", [("steplog/config", 10**18, 9, early)])
    assert state[1] == {"lr": (Order(2, 5, "resumer", 0), "2")}


def test_a_key_stays_removed_when_an_older_value_arrives_and_null_is_a_value():
    state: tuple[State, State] = ({}, {})
    deliver(state, 1, "b", [("steplog/config/removed", 8, 0, b'["lr", 3, null]')])
    deliver(state, 1, "a", [("steplog/config", 7, 0, b'{"lr": 1, "seed": null}')])
    assert {key: value for key, (_, value) in state[1].items()} == {"lr": None, "seed": "null"}


@pytest.mark.parametrize(
    ("field", "sent", "kept"),
    [
        ("name", "a / b", "a / b"),
        ("description", "", None),
        ("notes", None, None),
        ("notes", "é" * DESCRIPTION_CHARACTERS_MAX, "é" * DESCRIPTION_CHARACTERS_MAX),
        ("group", "g\0\n", "g\0\n"),
        ("job_type", "x" * TEXT_CHARACTERS_MAX, "x" * TEXT_CHARACTERS_MAX),
        ("tags", ["b", "a", "b"], '["b","a"]'),
        ("tags", [], None),
        ("tags", None, None),
        ("tags", [f"{number:02}{'ü' * 63}" for number in range(TAGS_MAX)], ...),
        ("started", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000Z"),
        ("started", "2026-01-02T03:04:05.123456789+02:00", "2026-01-02T01:04:05.123457Z"),
        ("ended", None, None),
        ("provenance", {"git": {"dirty": None}, "argv": ["a", 1.5]}, '{"git":{"dirty":null},"argv":["a",1.5]}'),
        ("provenance", None, None),
    ],
)
def test_a_field_of_its_type_is_kept_in_one_form(field, sent, kept):
    value = field_value(field, json.dumps(sent).encode())
    assert value == (json.dumps(sent, separators=(",", ":"), ensure_ascii=False) if kept is ... else kept)
    assert field not in JSON_FIELDS or value is None or json.loads(value)


BAD = [
    ("name", ""),
    ("name", None),
    ("name", "x" * (TEXT_CHARACTERS_MAX + 1)),
    ("description", ["x"]),
    ("notes", "x" * (DESCRIPTION_CHARACTERS_MAX + 1)),
    ("group", 7),
    ("job_type", "x" * (TEXT_CHARACTERS_MAX + 1)),
    ("tags", "x"),
    ("tags", ["x", 1]),
    ("tags", [""]),
    ("tags", ["x" * (TAG_BYTES_MAX + 1)]),
    ("tags", ["ü" * (TAG_BYTES_MAX // 2 + 1)]),
    ("tags", [str(number) for number in range(TAGS_MAX + 1)]),
    ("started", "yesterday"),
    ("started", 1_700_000_000),
    ("started", "2026-01-02T03:04:05"),
    ("ended", "0001-01-01T00:00:00+14:00"),
    ("provenance", ["x"]),
    ("provenance", {"argv": "x" * PROVENANCE_BYTES_MAX}),
    ("report", None),
    ("report", {"lost": 1}),
]


@pytest.mark.parametrize(("field", "sent"), BAD)
def test_of_a_record_with_a_bad_field_the_rest_counts(field, sent):
    with pytest.raises(FieldError):
        field_value(field, json.dumps(sent).encode())
    other = "notes" if field == "group" else "group"
    text = json.dumps({field: sent, other: "kept", "of a later version": {}}).encode()
    assert changes_of([("steplog/run", 5, 1, text)]).fields == {other: Change(5, 1, "kept")}


NAMES = st.sampled_from(["steplog/run", "steplog/config", "steplog/config/removed", "steplog/status", "loss"])
TEXTS = st.one_of(
    JSON_TEXTS,
    st.binary(max_size=9),
    st.tuples(st.sampled_from(sorted(FIELDS)), JSON_TEXTS).map(lambda pair: b'{"%s":%s}' % (pair[0].encode(), pair[1])),
)


@given(st.lists(st.tuples(NAMES, st.integers(), st.integers(0, 9), TEXTS), max_size=5))
@example([(name, 0, 0, b"[" * 100_000) for name in ("steplog/run", "steplog/config", "steplog/config/removed")])
@example([("steplog/run", 0, 0, b'{"tags":' + b"[" * 100_000)])
@example([("steplog/run", 0, 0, b'{"provenance": {"a": %s}}' % (b"9" * 5000))])
@example([("steplog/run", 0, 0, b'{"started": "9999-12-31T23:59:59-10:00"}')])
def test_no_record_is_an_error(records):
    changes_of(records)


def test_of_a_config_with_too_many_keys_the_first_by_name_are_kept():
    keys = [f"k{number:06}" for number in range(2 * CONFIG_KEYS_KEPT)]
    random.Random(3).shuffle(keys)
    text = json.dumps(dict.fromkeys(keys, 1)).encode()
    assert set(changes_of([("steplog/config", 0, 0, text)]).config) == set(sorted(keys)[:CONFIG_KEYS_KEPT])


def test_a_range_of_changes_to_one_key_is_one_change():
    chance = random.Random(7)
    records = [("steplog/config", chance.randrange(50), at, b'{"lr": %d}' % at) for at in range(1000)]
    _, time_ns, position, text = max(records, key=lambda record: (record[1], record[2]))
    assert changes_of(records).config == {"lr": Change(time_ns, position, str(json.loads(text)["lr"]))}
