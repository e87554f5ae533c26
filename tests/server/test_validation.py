"""Fields of a request are taken as Django REST framework takes them."""

from __future__ import annotations

import msgspec
import pytest

from steplog.server.validation import Fields, ValidationError


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("-3", -3), ("3.0", 3), ("-0.0", 0), ("3e2", 300), ('"3"', 3), ("null", None)],
)
def test_an_integer_is_one_however_json_writes_it(text, value):
    fields = Fields({"step": msgspec.Raw(text.encode())})
    assert fields.integer("step", -1000, 1000) == value
    fields.check()


@pytest.mark.parametrize("text", ["3.5", "1e300", "9007199254740994.0", "true", '"x"', "[3]", '"3.0"', "1001", "-1001"])
def test_what_is_no_integer_or_out_of_range_is_refused(text):
    fields = Fields({"step": msgspec.Raw(text.encode())})
    assert fields.integer("step", -1000, 1000) is None
    with pytest.raises(ValidationError):
        fields.check()
