"""Which runs are meant: conditions on their fields, config and metrics. Pure.

::

    filter     condition ("and" condition)*
    condition  field operator value
    field      words | status | name | id | tag | group | job_type | user | started | ended | duration |
               lost | seen | last_point | generation | description | notes
               config.PATH                 loss: config.lr, config.optim.lr, config."a.b"
               METRIC.last|min|max|count   split at the last dot: train/loss.last, "p(a<b)".max
    operator   = != < <= > >= ~            "~": contains
    value      number | true | false | null | JSON string | [A-Za-z0-9_.:-]+

In a field, what is outside ``[A-Za-z0-9_./-]`` is a JSON string. A filter is also a JSON array of triples
``[field, operator, value]``.

- Types are never coerced: numbers compare with numbers, texts with texts (by code point); true, false and null are
  equal to themselves alone. A value of another type matches only ``!=``.
- What is missing matches only ``!=``. A field that the run's JSON has as null is null.
- ``tag``: some tag is (``=``), none is (``!=``), some tag contains (``~``).
- ``started``, ``ended``, ``seen`` and ``last_point`` are dates in UTC; a day is its start. ``duration`` is in seconds,
  of a run that goes on until now; null without an end.
- ``lost``: at most how many values the report of the run's client says are lost; Infinity if it does not know.
- A metric's NaN and infinities are numbers, written as the texts NaN, Infinity and -Infinity. NaN is equal to itself.

::

    fields     what there is to compare, and its text
    parsing    text to conditions
    meaning    a run's value of a field, and whether it meets a condition
    dates      as they are written, and as they are compared
"""

from __future__ import annotations

from steplog.filters.fields import (
    AGGREGATES,
    CHARACTERS_MAX,
    CONDITIONS_MAX,
    DATE_FIELDS,
    DEFAULT_FIELDS,
    MISSING,
    OPERATORS,
    RUN_FIELDS,
    SEARCHED,
    Condition,
    Field,
    Value,
)
from steplog.filters.meaning import holds, matches, value_of
from steplog.filters.parsing import filter_of, parse_field, parse_fields, parse_filter

__all__ = [
    "AGGREGATES",
    "CHARACTERS_MAX",
    "CONDITIONS_MAX",
    "DATE_FIELDS",
    "DEFAULT_FIELDS",
    "MISSING",
    "OPERATORS",
    "RUN_FIELDS",
    "SEARCHED",
    "Condition",
    "Field",
    "Value",
    "filter_of",
    "holds",
    "matches",
    "parse_field",
    "parse_fields",
    "parse_filter",
    "value_of",
]
