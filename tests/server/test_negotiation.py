"""What ``Accept``, ``Accept-Encoding`` and ``If-None-Match`` ask for, after RFC 9110."""

from __future__ import annotations

import pytest

from steplog.server.negotiation import Accepted, accepted, chosen_type, is_known

OFFERED = ["application/json", "application/vnd.steplog.columns", "text/csv"]


@pytest.mark.parametrize(
    ("header", "coding", "plain"),
    [
        (None, None, True),
        ("", None, True),
        ("gzip", "gzip", True),
        ("GZIP", "gzip", True),
        ("x-gzip", "gzip", True),
        ("deflate", "deflate", True),
        ("deflate, gzip", "gzip", True),
        ("gzip, deflate, br, zstd", "gzip", True),
        ("gzip;q=0.5, deflate;q=0.8", "deflate", True),
        ("gzip ; q=0.5 , deflate ; q=0.4", "gzip", True),
        ("gzip;q=0", None, True),
        ("gzip;q=0.000, deflate;q=0.001", "deflate", True),
        ("identity", None, True),
        ("identity, gzip;q=0.9", None, True),
        ("identity;q=0.5, gzip;q=0.5", "gzip", True),
        ("identity;q=0, gzip", "gzip", False),
        ("identity;q=0", None, False),
        ("br", None, True),
        ("*", "gzip", True),
        ("gzip;q=0, *", "deflate", True),
        ("*;q=0", None, False),
        ("*;q=0, identity", None, True),
        ("br, *;q=0", None, False),
        ("gzip;q=2, deflate;q=nan, identity;level=1", None, True),
        (", ,gzip,,", "gzip", True),
        ("gzip," * 2000, None, True),
    ],
)
def test_the_coding_is_the_one_that_weighs_most(header, coding, plain):
    assert accepted(header) == Accepted(coding, plain)


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (None, False),
        ("", False),
        ('"a"', True),
        ('W/"a"', True),
        ('"b", W/"a"', True),
        ('"b,W/", "a"', True),
        ('"b,c" ,, W/"a" , "d"', True),
        ("*", True),
        (" * ", True),
        ('"b"', False),
        ('"A"', False),
        ("a", False),
        ('"a', False),
        ('w/"b"', False),
        ('"a",' * 2000, False),
    ],
)
def test_a_tag_is_known_if_it_is_listed_weak_or_not(header, known):
    assert is_known('W/"a"', header) is known
    assert is_known('"a"', header) is known


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV ; header=present", "text/csv"),
        ("text/*", "text/csv"),
        ("application/*", "application/json"),
        ("text/html, */*;q=0.1", "application/json"),
        ("application/json;q=0.2, text/csv;q=0.3", "text/csv"),
        ("application/json;q=0, */*", "application/vnd.steplog.columns"),
        ("application/json;q=0.5, application/*;q=0.9, text/csv;q=0.6", "application/vnd.steplog.columns"),
        ("text/csv;q=1.000, application/vnd.steplog.columns", "application/vnd.steplog.columns"),
        (" , text/csv,", "text/csv"),
        ("text/csv;q=0", None),
        ("text/csv;q=2", None),
        ("text/csv;q=nan", None),
        ("text/html", None),
        ("text/html," * 2000, "application/json"),
        ("image/*, application", None),
    ],
)
def test_the_type_with_the_highest_quality_is_chosen(header, chosen):
    assert chosen_type(header, OFFERED) == chosen
