"""Which artifact of steplog's a name of wandb's means: ``entity/project/name:alias``, or less of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import steplog
from steplog.compat.wandb.errors import CommError

__all__ = ["found", "safe_name"]

_UNSAFE = re.compile(r"[^a-zA-Z0-9_\-.]")
_LENGTH_MAX = 128
_END_LENGTH = 63


def safe_name(name: str) -> str:
    """A name as an artifact may have it: other characters become "_", and the middle of a long one goes."""
    clean = _UNSAFE.sub("_", name)
    return clean if len(clean) <= _LENGTH_MAX else f"{clean[:_END_LENGTH]}..{clean[-_END_LENGTH:]}"


def found(text: str, ask: Callable[[str], Any], kind: str | None = None) -> Any:
    """The artifact of steplog's; where the entity is no namespace, that of the key's own.

    Raises CommError where there is none, ValueError for a name that is none, and where it is of another type.
    """
    parts = text.strip("/").split("/")
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise ValueError(f"Invalid artifact path: {text!r}; it is 'entity/project/name:alias', or its end")
    refused: Exception | None = None
    for wanted in dict.fromkeys(("/".join(parts), "/".join(parts[-2:]))):
        try:
            artifact = ask(wanted)
        except (steplog.SteplogError, OSError) as error:
            refused = refused or error
            continue
        if kind is not None and artifact.type != safe_name(kind):
            raise ValueError(f"Supplied type {kind} does not match type {artifact.type} of artifact {text}")
        return artifact
    raise CommError(f"artifact {text!r} is not to be had: {refused}", refused)
