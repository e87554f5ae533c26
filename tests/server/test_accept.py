"""The best type that a request accepts is chosen, and none that it does not."""

from __future__ import annotations

import pytest

from steplog.server.accept import accepted

OFFERED = ["application/json", "application/vnd.steplog.columns", "text/csv"]


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
        ("image/*, application", None),
    ],
)
def test_the_type_with_the_highest_quality_is_chosen(header, chosen):
    assert accepted(header, OFFERED) == chosen
