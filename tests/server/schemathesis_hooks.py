"""What schemathesis is told of this API: how to send what it has no serializer for."""

from __future__ import annotations

import zlib
from typing import Any

import schemathesis

__all__ = ["as_msgpack"]


@schemathesis.serializer("application/msgpack")
def as_msgpack(_context: Any, value: Any) -> bytes:
    """Random bytes, in the coding that the route wants: no schema has the form of a range."""
    return zlib.compress(repr(value).encode("utf-8", "replace"))
