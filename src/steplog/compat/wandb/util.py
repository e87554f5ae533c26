"""``wandb.util``: what public programs call of it."""

from __future__ import annotations

import importlib
import json
import re
import secrets
import string
from typing import Any

__all__ = [
    "from_human_size",
    "generate_id",
    "get_full_typename",
    "get_module",
    "is_numpy_array",
    "is_pandas_data_frame",
    "json_dumps_safer",
    "make_artifact_name_safe",
]

_CHARACTERS = string.ascii_lowercase + string.digits


def generate_id(length: int = 8) -> str:
    """Random letters and digits, for the id of a run."""
    return "".join(secrets.choice(_CHARACTERS) for _ in range(length))


def from_human_size(size: str, units: object = None) -> int:
    """The bytes of "20GB"; "GiB" is of 1024³. Raises ValueError."""
    match = re.fullmatch(r"([\d.]+)\s*([kmgtp]?)(i?)b?", size.strip().lower())
    if match is None:
        raise ValueError(f"{size!r} is no size, such as 20GB")
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** " kmgtp".index(unit or " "))


def get_module(name: str, required: Any = None, lazy: bool = True) -> Any:
    """A module, or None if it is not installed. Raises ``wandb.Error`` with the words ``required``."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if required:
            from steplog.compat.wandb.errors import Error

            raise Error(str(required)) from error
        return None


def make_artifact_name_safe(name: str) -> str:
    """With "_" in the place of what a name may not have."""
    safe = re.sub(r"[^a-zA-Z0-9_\-.]", "_", name)
    return safe if len(safe) <= 128 else f"{safe[:63]}..{safe[-63:]}"


def get_full_typename(o: object) -> str:
    """The module and the name of a type."""
    return f"{type(o).__module__}.{type(o).__qualname__}"


def is_numpy_array(obj: object) -> bool:
    """Whether it is one."""
    return get_full_typename(obj) == "numpy.ndarray"


def is_pandas_data_frame(obj: object) -> bool:
    """Whether it is one."""
    return type(obj).__module__.startswith("pandas.") and type(obj).__name__ == "DataFrame"


def json_dumps_safer(obj: Any, **kwargs: Any) -> str:
    """As JSON, what JSON does not have as its text."""
    return json.dumps(obj, default=lambda each: each.tolist() if hasattr(each, "tolist") else str(each), **kwargs)
