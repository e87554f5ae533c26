"""Names in addresses, and the status of a run."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from slugify import slugify

from steplog.identity import RunStatus, slug_of

NAMES = st.text() | st.from_regex(r"[a-z0-9-]{0,12}", fullmatch=True) | st.from_regex(r"[A-Za-z0-9 ,_.-]{0,12}")


@given(NAMES)
@example("")
@example("-")
@example("a--b")
@example("1-000")
@example("mnist-2")
@example("bright_onion_373")
@example("My project")
@example("a_ b")
@example("\u212a")
def test_the_slug_of_a_name_is_what_slugify_makes_of_it(name):
    assert slug_of(name) == slugify(name)


PROGRAM = """
import sys
import steplog
steplog.init
import steplog.lifecycle.open_run, steplog.network.connection
from steplog.identity import RunStatus, slug_of
slug_of("mnist-2"), slug_of("bright_onion_373"), slug_of("My project")
late = {"asyncio", "html", "slugify", "numpy", "rich", "click", "starlette", "sqlite3", "tomllib"}
print(*sorted(late & set(sys.modules)))
"""


def test_a_run_begins_without_importing_what_it_has_no_use_for():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""


def test_a_status_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match=r"^the status of a run is RUNNING, COMPLETED, CRASHED, FAILED, not 'failed'$"):
        RunStatus("failed")
