"""Where steplog cannot run, it is refused in one sentence: before it is installed, and where a copy is imported."""

from __future__ import annotations

import sys

import pytest

from distribution.building import ROOT, needs_setuptools, run_in
from steplog.platforms import why_unsupported

BITS = 64
WINDOWS = "sys.platform = 'win32'"
NOT_CPYTHON = "sys.implementation.name = 'pypy'"
OF_32_BITS = "sys.maxsize = 2**31 - 1"
REFUSED = [
    (WINDOWS, "does not run on Windows", "WSL 2"),
    (NOT_CPYTHON, "does not run on pypy", "use CPython 3.10"),
    (OF_32_BITS, "does not run on a 32-bit Python", "use a 64-bit one"),
]


@needs_setuptools
@pytest.mark.parametrize(("where", "what", "instead"), REFUSED)
@pytest.mark.parametrize("how", ["setup.py", "an installer"])
def test_an_installation_ends_with_one_sentence(tmp_path, how, where, what, instead):
    step = "from setuptools import build_meta"
    go = "build_meta.get_requires_for_build_wheel()"
    if how == "setup.py":
        step, go = "import runpy, setuptools", "sys.argv = ['setup.py', '--name']; runpy.run_path('setup.py')"
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "src/steplog/platforms.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    done = run_in(tmp_path, f"import sys\n{step}\n{where}\n{go}")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"steplog {what}")
    assert instead in line
    assert not list(tmp_path.rglob("*.egg-info"))


@pytest.mark.parametrize(("where", "what", "instead"), REFUSED)
def test_the_import_of_a_copy_is_an_error_in_words(tmp_path, where, what, instead):
    done = run_in(tmp_path, f"import sys\nsys.path.insert(0, {str(ROOT / 'src')!r})\n{where}\nimport steplog")
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: steplog {what}")
    assert instead in last


def test_nothing_else_is_refused():
    for platform in ("linux", "darwin", "freebsd14"):
        assert why_unsupported(platform, "cpython", BITS) is None
    assert why_unsupported(sys.platform, sys.implementation.name, sys.maxsize.bit_length() + 1) is None
