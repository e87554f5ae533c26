"""Takes a name for steplog. Another Python, which inherits PYTHONPATH and has no steplog, gets its own logger."""

import importlib
import sys
from pathlib import Path

try:
    from steplog.compat.shadow import take_over
except ModuleNotFoundError:
    here = str(Path(__file__).parent.parent)
    sys.path[:] = [path for path in sys.path if path != here]
    del sys.modules[__name__]
    importlib.import_module(__name__)
else:
    take_over(__name__)
