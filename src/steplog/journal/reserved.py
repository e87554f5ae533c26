"""Names under which records are steplog's own: of what a run is, not of what it measures. Pure.

Their records are delivered in order, as all others, and are in no count of values (``slot.UNCOUNTED``).
"""

from __future__ import annotations

__all__ = ["FILES_NAME", "RESERVED", "RUN_NAME", "STATUS_NAME"]

RUN_NAME = "steplog/run"  # a JSON object of what was set: name, tags, when it started
STATUS_NAME = "steplog/status"
FILES_NAME = "steplog/files"
RESERVED = frozenset((RUN_NAME, STATUS_NAME, FILES_NAME))
