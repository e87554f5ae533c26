"""The filter language: what a text says, what it matches, and what is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.errors import FilterError
from steplog.filters import (
    AGGREGATES,
    CHARACTERS_MAX,
    CONDITIONS_MAX,
    OPERATORS,
    Condition,
    Field,
    filter_of,
    matches,
    parse_field,
    parse_fields,
    parse_filter,
    value_of,
)

NOW = datetime(2026, 11, 3, tzinfo=timezone.utc)
RUN = {
    "name": "salt and pepper",
    "status": "RUNNING",
    "id": "sweep-7",
    "tags": ["baseline", "debug-2"],
    "group": None,
    "job_type": "train",
    "user": {"uuid": "5b…", "username": "ada", "slug": "ada"},
    "date_created": "2026-11-01T00:00:01.000000Z",
    "started": "2026-11-01T00:00:00.000000Z",
    "ended": None,
    "seen": "2026-11-02T23:59:59.000000Z",
    "last_point": None,
    "generation": 2,
    "description": "",
    "notes": "too much salt",
    "report": {"dropped": {"memory full": 2, "oldest": 3}, "abandoned": 1, "lost": 4, "rejected": 5},
    "config": {"lr": 0.1, "a.b": 1, "optim": {"name": "adam", "lr": 0.001}, "amp": True, "seed": "7", "warmup": None},
}
METRICS = {
    "train/loss": {"last": 0.25, "min": 0.2, "max": 4, "count": 100},
    "p(a<b)": {"last": "NaN", "min": -1, "max": "Infinity", "count": 3},
    "status": {"last": 1, "min": 1, "max": 1, "count": 1},
    "sample": {"last": "a text", "min": None, "max": None, "count": 1},
    "none": {"last": None, "min": None, "max": None, "count": 1},
}
MATCHING = """
train/loss.last<0.3
train/loss.last<.3 and train/loss.count>=100
train/loss.max=4
train/loss.max=4.0
train/loss.max > 3.9 and status = RUNNING
status.last=1
"p(a<b)".last=NaN
"p(a<b)".max>1e300
"p(a<b)".max=Infinity
"p(a<b)".last!=0
sample.last~text
sample.last="a text"
none.last=null
sample.min!=0
name~"salt and pepper"
name~and
id=sweep-7
tag=baseline
tag=baseline and tag!=debug
tag~debug
group=null
group!=a
ended=null
job_type>=train
user=ada
started>=2026-11-01
started<2026-11-01T00:00:00.000001Z
started="2026-11-01T01:00:00+01:00"
started="2026-10-31 23:00-01:00"
duration=172800
duration>3600
lost=15
lost>0 and lost<Infinity
lost!=Infinity
seen>2026-11-02
seen~2026-11-02T23
last_point=null
last_point!=2026-11-02
generation=2
generation>1.5
notes~salt
words~SALT and words~Debug and words~sweep and words~ADA and words~train
notes!=null
config.lr=0.1
config.lr=1e-1
config."a.b"=1
config.optim.name=adam
config.optim.lr<=0.001
config.amp=true
config.seed="7"
config.warmup=null
config.none!=null
missing.last!=0
[["train/loss.last", "<", 0.3], ["tag", "=", "baseline"], ["config.amp", "=", true], ["config.warmup", "=", null]]
[["config.\\"a.b\\"", "=", 1]]
[]
""".strip().splitlines()
OTHERS = """
train/loss.last>0.3
train/loss.last<"1"
train/loss.last<0.3 and status=COMPLETED
"p(a<b)".last>0
"p(a<b)".last<=0
"p(a<b)".last!=NaN
sample.min=null
sample.min<1
missing.last<0
missing.last=null
none.last<1
tag=debug
tag!=baseline
name~Salt
words~pepper and words~crashed
group~a
group=a
ended<2030-01-01
started=2026-11-02
duration<172800
lost=null
lost=Infinity
lost<15
seen=2026-11-02
last_point<2030-01-01
generation=1
notes="too much"
description=null
config.lr="0.1"
config.seed=7
config.amp=1
config.amp=false
config.amp>false
config.a.b=1
config.optim=adam
config.optim<z
config.none=null
config.none~a
config.warmup=0
[["config.seed", "=", 7]]
""".strip().splitlines()
REFUSED = [
    ("loss<1", 1, '"loss" is no field'),
    ("loss.mean<1", 1, "followed by .last, .min, .max or .count"),
    ('"loss.last"<1', 1, "is no field"),
    ("a.last<1 or b.last>2", 10, "or is not known here"),
    ("a.last<1 AND b.last>2", 10, 'expected "and"'),
    ("not a.last=1", 1, "not is not known here"),
    ("(a.last=1)", 1, 'expected a field; found "(a.last=1)"'),
    ("a.last", 7, "expected one of = != < <= > >= ~; found the end"),
    ("a.last==1", 8, 'expected a value; found "=1"'),
    ("a.last<", 8, "expected a value; found the end"),
    ("a.last<1 b.last>2", 10, 'expected "and"'),
    ("a.last=1 and", 13, "expected a field; found the end"),
    ("and a.last=1", 1, "and is not known here"),
    ("a.last=+5", 8, "expected a value"),
    ("a.last=1e999", 8, "not a finite number"),
    ("name=salt and pepper", 15, '"pepper" is no field'),
    ("name=7", 6, 'name is compared with a text: write "7"'),
    ("name~true", 6, '~ takes a text: write "true"'),
    ("words=salt", 7, "words takes ~"),
    ("words~7", 7, '~ takes a text: write "7"'),
    ("tag<a", 5, "tag takes =, != and ~"),
    ("tag=null", 5, "tag is compared with a text"),
    ("started>yesterday", 9, "started is compared with a date, such as 2026-11-01"),
    ("started>2026-02-30", 9, "started is compared with a date"),
    ("duration>1h", 10, "duration is compared with a number of seconds"),
    ("lost>some", 6, "lost is compared with a number"),
    ("lost=NaN", 6, "lost is compared with a number"),
    ("generation=Infinity", 12, "generation is compared with a number"),
    ("seen>7", 6, "seen is compared with a date"),
    ("notes=7", 7, 'notes is compared with a text: write "7"'),
    ('name="salt', 6, "a string that does not end"),
    ('name="\\ud800"', 6, "not a JSON string"),
    ("config.=1", 1, "a key of the config is empty"),
    ("config.a..b=1", 1, "a key of the config is empty"),
    ('[["a.last", "<"', 16, "not a JSON array"),
    ('[["a.last", "<"]]', None, "condition 1: expected [field, operator, value]"),
    ('[["a.last", "<", 1], ["b", "<", 1]]', 1, 'condition 2: "b" is no field'),
    ('[["a.last", "<", [1]]]', None, "condition 1: the value is"),
    ('[["a.last", "<>", 1]]', None, "condition 1: expected one of"),
    ('[["a.last", "<", NaN]]', None, "condition 1: not a finite number"),
    ('[["name", "=", "\\ud800"]]', None, "condition 1: the value is not valid Unicode"),
]

NAMES = st.one_of(st.text(min_size=1, max_size=12), st.text('ab./-_"\\<~ \u00e4\U0001f600', min_size=1, max_size=12))
KEYS = st.one_of(st.text(max_size=8), st.sampled_from(["a.b", "", "config", '"', "-"]))
FIELDS = st.one_of(
    st.builds(lambda name, what: Field("metric", (name, what)), NAMES, st.sampled_from(AGGREGATES)),
    st.lists(KEYS, min_size=1, max_size=3).map(lambda path: Field("config", tuple(path))),
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(["true", "null", "NaN", "1", "-0.5e3", ".5", "007", "1.2.3", "2026-11-01", "and"]),
)
CONDITIONS = st.one_of(
    st.builds(Condition, FIELDS, st.sampled_from(OPERATORS[:-1]), VALUES),
    st.builds(Condition, FIELDS, st.just("~"), VALUES.filter(lambda value: isinstance(value, str))),
    st.builds(lambda op, text: Condition(Field("run", ("name",)), op, text), st.sampled_from(OPERATORS), st.text()),
)


@pytest.mark.parametrize("text", MATCHING)
def test_a_run_meets_what_is_true_of_it(text):
    assert matches(parse_filter(text), RUN, METRICS, NOW)


@pytest.mark.parametrize("text", OTHERS)
def test_a_run_does_not_meet_what_is_not_true_of_it(text):
    assert not matches(parse_filter(text), RUN, METRICS, NOW)


@pytest.mark.parametrize(("text", "column", "words"), REFUSED)
def test_what_cannot_be_read_is_refused_in_words_with_the_column(text, column, words):
    with pytest.raises(FilterError) as caught:
        parse_filter(text)
    assert caught.value.column == column
    assert words in str(caught.value)


@pytest.mark.parametrize("operator", OPERATORS)
def test_what_is_missing_matches_nothing_but_unequal(operator):
    conditions = parse_filter(f'no.last{operator}"a" and config.no{operator}"a"')
    assert matches(conditions, RUN, METRICS, NOW) is (operator == "!=")


def test_a_blank_filter_has_no_condition():
    assert parse_filter(" \n") == ()
    assert matches((), RUN, METRICS)


def test_the_duration_of_a_run_that_has_ended_does_not_grow():
    run = RUN | {"status": "FAILED", "ended": "2026-11-01T00:01:30.250000Z"}
    assert value_of(parse_field("duration"), run, {}, NOW) == 90.25
    assert value_of(parse_field("duration"), RUN, {}) is None  # as in the database: no end, no duration


@pytest.mark.parametrize(
    ("report", "lost"),
    [
        (None, "null"),
        ({}, "null"),
        ("text", "null"),
        ({"dropped": {}, "abandoned": 0, "lost": 0, "rejected": 0}, "0"),
        ({"dropped": {}, "abandoned": 0, "lost": 0, "rejected": 7}, "7"),
        ({"dropped": {"oldest": 1}, "abandoned": 0, "lost": None, "rejected": 0}, "Infinity"),
    ],
)
def test_what_is_lost_is_what_the_report_says_at_most(report, lost):
    run = RUN | {"report": report}
    assert matches(parse_filter(f"lost={lost}"), run, {}, NOW)
    assert matches(parse_filter("lost>0"), run, {}, NOW) == (lost not in ("null", "0"))
    assert not matches(parse_filter("lost=3"), run, {}, NOW)


def test_a_run_of_a_server_that_knows_less_has_fewer_fields():
    run = {"name": "a", "status": "COMPLETED", "date_created": "2026-11-01T00:00:00Z"}
    assert matches(parse_filter("started=2026-11-01 and group=null and tag!=a and config.lr!=1"), run, {}, NOW)


def test_fields_have_commas_between_them():
    fields = parse_fields('name, config."a,b",train/loss.last')
    assert fields == (Field("run", ("name",)), Field("config", ("a,b",)), Field("metric", ("train/loss", "last")))
    with pytest.raises(FilterError, match="column 6: expected a comma"):
        parse_fields("name status")
    with pytest.raises(FilterError, match="column 6: at most 1 fields"):
        parse_fields("name,status", at_most=1)


@given(st.lists(CONDITIONS, max_size=4))
def test_a_filter_reads_as_it_is_printed(conditions):
    assert parse_filter(" and ".join(map(str, conditions))) == tuple(conditions)


@given(st.lists(CONDITIONS, max_size=4))
def test_triples_say_the_same_as_text(conditions):
    triples = [[str(field), operator, value] for field, operator, value in conditions]
    assert filter_of(triples) == parse_filter(json.dumps(triples)) == tuple(conditions)


@given(st.text() | st.text('abc.last<=~" \\and[]:{}1e-+', max_size=60))
def test_any_text_is_read_or_refused(text):
    try:
        conditions = parse_filter(text)
    except FilterError:
        return
    assert parse_filter(" and ".join(map(str, conditions))) == conditions


@given(CONDITIONS, st.dictionaries(NAMES, VALUES, max_size=3))
def test_unequal_is_the_opposite_of_equal(condition, lasts):
    metrics = {name: {"last": value, "min": None, "max": None, "count": 1} for name, value in lasts.items()}
    equal, unequal = (condition._replace(operator=operator) for operator in ("=", "!="))
    assert matches([equal], RUN, metrics) is not matches([unequal], RUN, metrics)


@pytest.mark.parametrize(
    "part",
    ['"', "\\", "[", '"\\"', "1", "1.", "1e", "a.", "and ", " ", "<", '"a"', "a.last<1 and ", "é", '[["a",'],
    ids=repr,
)
def test_hostile_text_is_read_or_refused_in_one_pass(part):
    """Were a character looked at once for each one before it, this would take an hour."""
    repeated = part * (CHARACTERS_MAX // len(part))
    for text in (repeated, f"a.last={repeated}"[:CHARACTERS_MAX], f'a.last="{repeated}'[:CHARACTERS_MAX]):
        with suppress(FilterError):
            assert len(parse_filter(text)) == 1 or not text.strip()


def test_a_filter_has_bounds():
    many = " and ".join(["a.last<1"] * CONDITIONS_MAX)
    assert len(parse_filter(many)) == CONDITIONS_MAX
    with pytest.raises(FilterError, match="at most 100 conditions"):
        parse_filter(f"{many} and a.last<1")
    with pytest.raises(FilterError, match="at most 100 conditions"):
        filter_of([["a.last", "<", 1]] * (CONDITIONS_MAX + 1))
    with pytest.raises(FilterError, match="at most 65536 characters"):
        parse_filter(" " * (CHARACTERS_MAX + 1))
