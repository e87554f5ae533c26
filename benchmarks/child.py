"""Run one function: ``python -m benchmarks.child MODULE:FUNCTION ARGUMENTS ANSWER``.

ARGUMENTS are JSON; the result is written as JSON to the file ANSWER.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

if __name__ == "__main__":
    module, _, function = sys.argv[1].partition(":")
    result = getattr(importlib.import_module(module), function)(**json.loads(sys.argv[2]))
    Path(sys.argv[3]).write_text(json.dumps(result), "utf-8")
