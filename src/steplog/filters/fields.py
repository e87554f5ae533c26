"""What a filter compares, and how that is written. Pure.

::

    DEFAULT_FIELDS   what a table of runs shows if nothing is asked for
    RUN_FIELDS       all that a run has beside its config and metrics
    DATE_FIELDS      those that are dates
    NUMBER_FIELDS    those that are numbers
    SEARCHED         all texts of a run, in which words are looked for; a condition's field alone
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

__all__ = [
    "AGGREGATES",
    "BARE",
    "CHARACTERS_MAX",
    "CONDITIONS_MAX",
    "DATE_FIELDS",
    "DEFAULT_FIELDS",
    "MISSING",
    "NOT_FINITE",
    "NUMBER",
    "NUMBER_FIELDS",
    "OPERATORS",
    "PLAIN",
    "RUN_FIELDS",
    "SEARCHED",
    "WORDS",
    "Condition",
    "Field",
    "Value",
    "quoted",
    "value_text",
]

DEFAULT_FIELDS = ("status", "name", "id", "tag", "group", "job_type", "user", "started", "ended", "duration")
RUN_FIELDS = (*DEFAULT_FIELDS, "lost", "seen", "last_point", "generation", "description", "notes")
DATE_FIELDS = ("started", "ended", "seen", "last_point")
NUMBER_FIELDS = ("duration", "lost", "generation")
SEARCHED = "words"
AGGREGATES = ("last", "min", "max", "count")
OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "~")
CHARACTERS_MAX = 64 * 1024
CONDITIONS_MAX = 100

Value = int | float | str | bool | None

WORDS: Mapping[str, Value] = {"true": True, "false": False, "null": None}
NOT_FINITE: Mapping[str, float] = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
BARE = re.compile(r"[A-Za-z0-9_./-]+")
_SEGMENT = re.compile(r"[A-Za-z0-9_/-]+")
NUMBER = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_.:+-])")
PLAIN = re.compile(r"[A-Za-z0-9_.:-]+")


class _Missing(Enum):
    MISSING = "missing"


MISSING = _Missing.MISSING


class Field(NamedTuple):
    """What is compared, sorted by, or shown.

    Attributes:
        kind: "run", "config" or "metric".
        path: the field's name; the keys from the top of the config; or the metric's name and one of AGGREGATES.
    """

    kind: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        """As ``parse_field`` reads it."""
        if self.kind == "run":
            return self.path[0]
        if self.kind == "config":
            return ".".join(("config", *map(_segment, self.path)))
        name, aggregate = self.path
        bare = BARE.fullmatch(name) and not name.startswith(("config.", "-")) and name != "config"
        return f"{name if bare else quoted(name)}.{aggregate}"


class Condition(NamedTuple):
    """A field compared with a value."""

    field: Field
    operator: str
    value: Value

    def __str__(self) -> str:
        """As ``parse_filter`` reads it."""
        return f"{self.field}{self.operator}{value_text(self.value)}"


def quoted(text: str) -> str:
    """As a JSON string."""
    return json.dumps(text, ensure_ascii=False)


def value_text(value: Value) -> str:
    """As ``parse_filter`` reads a value."""
    if isinstance(value, str):
        plain = PLAIN.fullmatch(value) and value not in WORDS and not NUMBER.match(value)
        return value if plain else quoted(value)
    return json.dumps(value)


def _segment(key: str) -> str:
    return key if _SEGMENT.fullmatch(key) else quoted(key)
