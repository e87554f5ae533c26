"""What pyproject.toml cannot say of the build: an extension that may fail to build, and where nothing is built.

Without a C compiler, steplog is installed with the append in Python alone; and so it is on free-threaded Python, where
to import the extension would turn the GIL on for the whole program. Every wheel is of one platform, also one without
the extension: pip takes a wheel for any platform where steplog cannot run, and where it could compile.
"""

import runpy
import sys
import sysconfig
from pathlib import Path

from setuptools import Distribution, Extension, setup


class OfOnePlatform(Distribution):
    """Gives a wheel the tag of this interpreter and platform, whatever is in it."""

    def has_ext_modules(self) -> bool:
        """See Distribution."""
        return True


platforms = runpy.run_path(str(Path(__file__).parent / "src" / "steplog" / "platforms.py"))
if reason := platforms["why_unsupported"](sys.platform, sys.implementation.name, sys.maxsize.bit_length() + 1):
    sys.exit(reason)

append = Extension("steplog.journal._append", ["src/steplog/journal/_append.c"], optional=True)
setup(distclass=OfOnePlatform, ext_modules=[] if sysconfig.get_config_var("Py_GIL_DISABLED") else [append])
