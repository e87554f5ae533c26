"""Frameworks that train or evaluate, each by its own extension point: a module a framework, imported in it alone.

1. An adapter logs to the run that it is given, else to the active one, else to one of its own, which it begins with
   its ``**init`` arguments and ends (``adapter_run``).
2. It reads a tensor no earlier and no more often than the framework itself does.
3. In a program of several ranks it logs where the framework's own loggers do.
4. It never stops a training: what cannot be logged is said once.
"""

from __future__ import annotations
