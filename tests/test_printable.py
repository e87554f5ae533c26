"""Text from elsewhere, on one line and without what a terminal obeys."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("loss 0.5, é, 損失", "loss 0.5, é, 損失"),
        ("\x1b[2Jred\x07", "?[2Jred?"),
        ("one\r\ntwo\tthree\x85four\u2028five", "one  two three four five"),
        ("a\u202etxt.exe\u2066\u200f\u061c\ufeff", "a?txt.exe????"),
        ("\u3000\xa0", "  "),
        ("\ud800\ue000\x7f", "???"),
    ],
)
def test_each_kind_of_character_that_cannot_be_shown_is_replaced(text, shown):
    assert printable(text, replacement="?") == shown
    assert printable(text) == shown.replace("?", " ")


@pytest.mark.parametrize(("limit", "shown"), [(None, "abc\x20def"), (7, "abc def"), (6, "abc d…"), (1, "…")])
def test_a_text_that_is_longer_than_the_limit_ends_in_an_ellipsis(limit, shown):
    assert printable("abc\ndef", limit) == shown


@given(st.text(), st.none() | st.integers(1, 20))
def test_any_text_becomes_one_printable_line_within_the_limit(text, limit):
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) == (len(text) if limit is None else min(len(text), limit))


@pytest.mark.parametrize("values", [("a\x1b[2J\nb",), ("plain",), (7, 2.5), (OSError("bad\x07"),), ()])
def test_what_the_logger_is_given_is_logged_on_one_line_and_numbers_stay_numbers(values, caplog):
    with caplog.at_level(logging.INFO, "steplog"):
        logging.getLogger("steplog").info(
            " ".join(["%d", "%.1f"] if values[:1] == (7,) else ["%s"] * len(values)), *values
        )
    (record,) = caplog.records
    assert record.getMessage().isprintable()
    assert [type(value) for value in record.args or ()] in ([type(value) for value in values], [str] * len(values))
