"""Tests that use steplog as a program does, each in a process of its own.

A process has one agent, one active run and one set of settings for its life, so a test of the public API runs in a
forked child, which leaves by ``os._exit``: what it left open is gone, and the next test begins with nothing.
"""

from __future__ import annotations

import functools
import os
import select
import signal
import traceback
from collections.abc import Callable
from typing import Any

import pytest

DEADLINE_S = 60.0
_SKIPPED = "skipped: "


def apart(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a forked child; its failure is the child's, with the child's traceback, and so is its skip."""

    @functools.wraps(test)
    def forked(*arguments: Any, **fixtures: Any) -> None:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _leave(writing, test, arguments, fixtures)
        os.close(writing)
        try:
            said = _read(reading)
        finally:
            os.close(reading)
            if said is None:
                os.kill(pid, signal.SIGKILL)
            _, ended = os.waitpid(pid, 0)
        if said is None:
            pytest.fail(f"still running after {DEADLINE_S:g} s")
        if said and said.startswith(_SKIPPED) and not ended:
            pytest.skip(said.removeprefix(_SKIPPED))
        if said or ended:
            pytest.fail(said or f"ended with wait status {ended}", pytrace=False)

    return forked


def _leave(writing: int, test: Callable[..., None], arguments: Any, fixtures: Any) -> None:
    code = 1
    try:
        test(*arguments, **fixtures)
        code = 0
    except pytest.skip.Exception as skipped:
        os.write(writing, f"{_SKIPPED}{skipped}".encode())
        code = 0
    except BaseException:  # noqa: BLE001 - also what ends a program
        os.write(writing, traceback.format_exc()[-60_000:].encode())
    finally:
        os._exit(code)


def _read(reading: int) -> str | None:
    said = b""
    while select.select([reading], [], [], DEADLINE_S)[0]:
        more = os.read(reading, 65536)
        if not more:
            return said.decode()
        said += more
    return None
