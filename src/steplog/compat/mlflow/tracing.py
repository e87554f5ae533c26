"""``mlflow.tracing``: what is traced runs as it would without, and is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from steplog.compat.mlflow.counted import note

__all__ = ["Span", "disable", "enable", "start_span", "start_span_no_context", "trace"]

_ADVICE = "traces are not kept; log what you need: mlflow.log_metric(…), mlflow.log_dict(…)"


class Span:
    """Takes what it is told and keeps none of it."""

    name = span_id = trace_id = request_id = ""
    parent_id: str | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("set_", "add_", "record_", "end")):
            return lambda *_, **__: None
        raise AttributeError(name)


def trace(func: Callable[..., Any] | None = None, *_: Any, **__: Any) -> Any:
    """The function itself, also as a decorator with arguments."""
    note("trace", _ADVICE)
    return func if func is not None else lambda function: function


@contextmanager
def start_span(*_: Any, **__: Any) -> Iterator[Span]:
    """A span that keeps nothing."""
    note("start_span", _ADVICE)
    yield Span()


def start_span_no_context(*_: Any, **__: Any) -> Span:
    """A span that keeps nothing."""
    note("start_span_no_context", _ADVICE)
    return Span()


def enable() -> None:
    """Do nothing."""


def disable() -> None:
    """Do nothing."""
