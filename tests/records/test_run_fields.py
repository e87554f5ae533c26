"""What records say about a run comes to the same in whatever order they arrive, and nothing in them is an error."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from steplog.records.run_fields import (
    CONFIG_KEYS_KEPT,
    DESCRIPTION_CHARACTERS_MAX,
    FIELDS,
    JSON_FIELDS,
    PROVENANCE_BYTES_MAX,
    TAG_BYTES_MAX,
    TAGS_MAX,
    TEXT_CHARACTERS_MAX,
    TIME_MIN_NS,
    Change,
    FieldError,
    Order,
    changes_of,
    field_value,
    merge,
)
from strategies import JSON_TEXTS

Record = tuple[str, int, int, bytes]  # name, time, position, JSON text


class Server:
    """What a server keeps: fields, config, and of each writer how far it is and the latest time of its records."""

    def __init__(self) -> None:
        self.fields: dict[str, tuple[Order, str | None]] = {}
        self.config: dict[str, tuple[Order, str | None]] = {}
        self.writers: dict[str, tuple[int, int]] = {}

    def take(self, generation: int, writer: str, records: list[Record]) -> None:
        """Apply what is new of a range."""
        mark, said_ns = self.writers.get(writer, (0, TIME_MIN_NS))
        changes = changes_of([record for record in records if record[2] >= mark])
        for kept, changed in ((self.fields, changes.fields), (self.config, changes.config)):
            orders = {key: order for key, (order, _) in kept.items()}
            said = [(key, each.order(generation, writer, said_ns), each.value) for key, each in changed.items()]
            kept |= merge(orders, said)
        end = max([mark, *(position + 1 for _, _, position, _ in records)])
        self.writers[writer] = end, max(said_ns, changes.latest_ns)

    def values(self) -> tuple[dict[str, str | None], dict[str, str | None]]:
        """Fields and config without their orders."""
        return tuple({key: value for key, (_, value) in kept.items()} for kept in (self.fields, self.config))  # type: ignore[return-value]


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


def expected(written: dict[tuple[int, str], list[Record]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Each field and each key by the record with the greatest (generation, time so far, writer, position)."""
    fields: dict[str, Any] = {}
    config: dict[str, Any] = {}
    ranked = []
    for (generation, writer), records in written.items():
        latest = 0
        for name, time_ns, position, text in records:
            latest = max(latest, time_ns)
            ranked.append(((generation, latest, writer, position), name, json.loads(text)))
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
    server, sent = Server(), dict.fromkeys(written, 0)
    while left := [writer for writer, records in written.items() if sent[writer] < len(records)]:
        writer = chance.choice(left)
        first, end = chance.randint(0, sent[writer]), chance.randint(sent[writer], len(written[writer]))
        for _ in range(chance.randint(1, 2)):
            server.take(*writer, written[writer][first:end])
        sent[writer] = end
    fields, config = server.values()
    assert (fields, {key: None if value is None else json.loads(value) for key, value in config.items()}) == expected(
        written
    )


def test_the_later_generation_counts_whatever_the_clocks_say():
    server = Server()
    early, late = b'{"lr": 1}', b'{"lr": 2}'
    server.take(2, "resumer", [("steplog/config", 5, 0, late)])
    server.take(1, "killed", [("steplog/config", 10**18, 0, early)])
    assert server.config == {"lr": (Order(2, 5, "resumer", 0), "2")}


def test_a_key_stays_removed_when_an_older_value_arrives_and_null_is_a_value():
    server = Server()
    server.take(1, "b", [("steplog/config/removed", 8, 0, b'["lr", 3, null]')])
    server.take(1, "a", [("steplog/config", 7, 0, b'{"lr": 1, "seed": null}')])
    assert server.values()[1] == {"lr": None, "seed": "null"}


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


def test_a_range_of_changes_to_one_key_is_one_change_not_before_those_before_it():
    chance = random.Random(7)
    records = [("steplog/config", chance.randrange(50), at, b'{"lr": %d}' % at) for at in range(1000)]
    latest = max(time_ns for _, time_ns, _, _ in records)
    assert changes_of(records) == ({}, {"lr": Change(latest, 999, "999")}, latest)
