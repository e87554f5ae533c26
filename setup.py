"""The one part of the build that pyproject.toml cannot say: an extension that may fail to build.

Without a C compiler, or on a system that the code is not for, steplog is installed with the append in Python alone.
"""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension("steplog.journal._append", ["src/steplog/journal/_append.c"], optional=True),
    ]
)
