"""The machine of a figure, as it is published: processor model, number of cores, kernel major.minor, Python version.

Nothing else: a full kernel string, a host name or a load says more about one machine than about the figure.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

__all__ = ["kernel", "machine_line", "processor"]

_MODEL = re.compile(r"^model name\s*:\s*(.+?)\s*$", re.MULTILINE)
_MAJOR_MINOR = re.compile(r"\d+\.\d+")


def machine_line() -> str:
    """Such as ``AMD EPYC, 2 cores, Linux 6.18, Python 3.11.7``."""
    return f"{processor()}, {platform.system()} {kernel(platform.release())}, Python {platform.python_version()}"


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The model and the number of cores; the architecture where the system names no model."""
    try:
        model = _MODEL.search(cpuinfo.read_text("utf-8", "replace"))
    except OSError:
        model = None
    return f"{' '.join(model[1].split()) if model else platform.machine()}, {os.cpu_count()} cores"


def kernel(release: str) -> str:
    """``6.18`` of ``6.18.44-cloud-amd64``."""
    found = _MAJOR_MINOR.match(release)
    return found[0] if found else "unknown"
