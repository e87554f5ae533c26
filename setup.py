"""The one part of the build that pyproject.toml cannot say: an extension that may fail to build.

Without a C compiler, or on a system that the code is not for, steplog is installed with the append in Python alone; and
so it is on free-threaded Python, where to import the extension would turn the GIL on for the whole program.
"""

import sysconfig

from setuptools import Extension, setup

append = Extension("steplog.journal._append", ["src/steplog/journal/_append.c"], optional=True)
setup(ext_modules=[] if sysconfig.get_config_var("Py_GIL_DISABLED") else [append])
