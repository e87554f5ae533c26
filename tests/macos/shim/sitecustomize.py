"""Makes this Linux look like macOS to a Python program, and to those that it starts: see ``as_macos``."""

from __future__ import annotations

import as_macos

as_macos.begin()
