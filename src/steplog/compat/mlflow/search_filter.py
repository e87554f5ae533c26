"""MLflow's filters of runs and experiments, and their order. Pure.

::

    filter      clause (AND clause)*
    clause      field operator value
    field       metrics.KEY | params.KEY | tags.KEY | attributes.NAME | NAME        a KEY may be in "" or ``
    operator    = != < <= > >= LIKE ILIKE IN NOT IN IS NULL, IS NOT NULL
    value       number | 'text' | "text" | ('text', …)
    order       field [ASC | DESC]

Metrics and times compare with numbers, all else with texts. What is missing meets only IS NULL, and comes last in any
order.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from operator import eq, ge, gt, le, lt, ne
from typing import Any, NamedTuple, TypeVar

from steplog.compat.mlflow.exceptions import MlflowException

__all__ = ["Clause", "clauses_of", "in_order", "is_met"]

_KINDS = {"metric": "metrics", "param": "params", "parameter": "params", "parameters": "params", "tag": "tags"}
_KINDS |= dict.fromkeys(("attribute", "attr", "run"), "attributes")
_KINDS |= {name: name for name in ("metrics", "params", "tags", "attributes")}
_NAMES = {"created": "start_time", "run name": "run_name", "run_uuid": "run_id", "creation_time": "start_time"}
_FIELD = r"""(?:(?P<kind>[A-Za-z]+)\.)?(?P<key>"[^"]*"|`[^`]*`|[^\s=!<>"'`,]+)"""
_OPERATOR = r"(?:[<>!]=|==|=|<|>|(?:NOT\s+)?I?LIKE\b|(?:NOT\s+)?IN\b|IS\s+(?:NOT\s+)?NULL\b)"
_TEXT = r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*\""""
_VALUE = rf"""(?:{_TEXT}|\([^()]*\)|[-+]?[0-9.][0-9.eE+-]*|(?:nan|inf)\b)?"""
_CLAUSE = re.compile(rf"\s*{_FIELD}\s*(?P<operator>{_OPERATOR})\s*(?P<value>{_VALUE})\s*", re.IGNORECASE)
_AND = re.compile(r"AND\b", re.IGNORECASE)
_ORDER = re.compile(rf"\s*{_FIELD}(?:\s+(?P<way>ASC|DESC))?\s*", re.IGNORECASE)
_COMPARED = {"=": eq, "==": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
_TIMES = ("start_time", "end_time", "last_update_time")

T = TypeVar("T")
_Look = Callable[[T, str, str], Any]  # of a field: its kind and its key; None: it is missing


class Clause(NamedTuple):
    """A field of ``kind`` metrics, params, tags or attributes, compared with a value."""

    kind: str
    key: str
    operator: str
    value: Any


def clauses_of(text: str | None) -> list[Clause]:
    """All of them have to be met. Raises MlflowException for a filter that cannot be read."""
    found: list[Clause] = []
    rest = (text or "").strip()
    while rest:
        match = _CLAUSE.match(rest)
        if match is None:
            raise _unreadable(rest)
        found.append(_clause(match))
        rest = rest[match.end() :]
        if rest:
            joined = _AND.match(rest)
            if joined is None:
                raise _unreadable(rest)
            rest = rest[joined.end() :].strip()
            if not rest:
                raise _unreadable("AND")
    return found


def _unreadable(rest: str) -> MlflowException:
    words = f"the filter cannot be read from {rest!r:.80}; it is field operator value, joined by AND"
    return MlflowException.invalid_parameter_value(f"{words}: \"metrics.acc > 0.9 AND params.opt = 'sgd'\"")


def _field(match: re.Match[str]) -> tuple[str, str]:
    key = match["key"]
    key = key[1:-1] if key[0] in '"`' else key
    if match["kind"] is None:
        return "attributes", _NAMES.get(key.lower(), key)
    kind = _KINDS.get(match["kind"].lower())
    if kind is None:
        words = f"a field is metrics.…, params.…, tags.… or attributes.…, not {match['kind']}.{key}"
        raise MlflowException.invalid_parameter_value(words)
    return kind, _NAMES.get(key.lower(), key) if kind == "attributes" else key


def _clause(match: re.Match[str]) -> Clause:
    kind, key = _field(match)
    operator, text = " ".join(match["operator"].upper().split()), match["value"]
    if operator.endswith("NULL"):
        return Clause(kind, key, operator, None)
    if operator.endswith("IN"):
        return Clause(kind, key, operator, [_unquoted(each) for each in re.findall(_TEXT, text)])
    if kind == "metrics" or (kind == "attributes" and key in _TIMES):
        try:
            return Clause(kind, key, operator, float(_unquoted(text)))
        except ValueError:
            words = f"{kind}.{key} is compared with a number, not {text!r:.80}"
            raise MlflowException.invalid_parameter_value(words) from None
    if not text or text[0] not in "'\"":
        words = f"{kind}.{key} is compared with a text in quotes, not {text!r:.80}"
        raise MlflowException.invalid_parameter_value(words)
    return Clause(kind, key, operator, _unquoted(text))


def _unquoted(text: str) -> str:
    if text[:1] not in ("'", '"'):
        return text
    return re.sub(r"\\(.)", r"\1", text[1:-1].replace("''", "'") if text[0] == "'" else text[1:-1])


def is_met(clause: Clause, value: Any) -> bool:
    """Whether a value of the clause's field, None if it is missing, is as the clause wants it."""
    operator, wanted = clause.operator, clause.value
    if operator.endswith("NULL"):
        return (value is None) == (operator == "IS NULL")
    if value is None:
        return False
    value = float(value) if isinstance(wanted, float) else str(value)
    if operator.endswith("LIKE"):
        pattern = "".join({"%": ".*", "_": "."}.get(each, re.escape(each)) for each in wanted)
        flags = re.DOTALL | (re.IGNORECASE if "ILIKE" in operator else 0)
        return (re.fullmatch(pattern, value, flags) is not None) != operator.startswith("NOT")
    if operator.endswith("IN"):
        return (value in wanted) != operator.startswith("NOT")
    return bool(_COMPARED[operator](value, wanted))


def in_order(items: Iterable[T], order_by: list[str] | None, look: _Look[T]) -> list[T]:
    """Sorted by the first field, then the next; equal ones stay as they are. Raises MlflowException."""
    found = list(items)
    for text in reversed(order_by or []):
        match = _ORDER.fullmatch(text)
        if match is None:
            words = f'an order is a field, and ASC or DESC: "metrics.acc DESC", not {text!r:.80}'
            raise MlflowException.invalid_parameter_value(words)
        kind, key = _field(match)
        values = {id(item): look(item, kind, key) for item in found}
        there = [item for item in found if not _is_none(values[id(item)])]
        last = [item for item in found if _is_none(values[id(item)])]
        descending = (match["way"] or "").upper() == "DESC"
        there.sort(key=lambda item: values[id(item)], reverse=descending)
        found = there + last
    return found


def _is_none(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
