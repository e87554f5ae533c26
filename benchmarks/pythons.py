"""Other interpreters to measure in: ``--python``.

Each needs steplog's dependencies; where steplog itself is measured from its sources, it gets these. Its compiled append
is what ``python setup.py build_ext --inplace`` has built by that interpreter.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["Python", "python_at", "pythons_at"]

TIMEOUT_S = 30
ASK = (
    "import json, platform, sysconfig;"
    "print(json.dumps([platform.python_version(), bool(sysconfig.get_config_var('Py_GIL_DISABLED'))]))"
)


@dataclass(frozen=True)
class Python:
    """An interpreter; ``version`` as in ``3.14.0`` or, without a GIL, ``3.14.0t``."""

    path: str
    version: str
    free_threaded: bool

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """For its processes. No extension may turn the GIL on again where there is none."""
        return dict(given) | ({"PYTHON_GIL": "0"} if self.free_threaded else {})


def pythons_at(paths: Iterable[str]) -> list[Python]:
    """This interpreter where no other is named. Raises RuntimeError with the number of one that does not start."""
    return [python_at(path, number) for number, path in enumerate(paths, 1)] or [python_at(sys.executable)]


def python_at(path: str, number: int = 1) -> Python:
    """What the interpreter says of itself. Raises RuntimeError."""
    try:
        done = subprocess.run([path, "-c", ASK], capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
        version, free_threaded = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise RuntimeError(f"interpreter {number} of --python does not start") from error
    return Python(path, version + "t" * free_threaded, free_threaded)
