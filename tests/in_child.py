"""A test's body in a forked child, which has none of the threads that earlier tests have left, nor the descriptors that
these open and close meanwhile."""

from __future__ import annotations

import functools
import os
import traceback
from collections.abc import Callable
from typing import Any

__all__ = ["in_child"]


def in_child(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a forked child; its failure is the child's traceback."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            failed = "the child ended"
            try:
                os.close(reading)
                test(*args, **kwargs)
                failed = ""
            except BaseException:  # noqa: BLE001 - the child must not go on with other tests
                failed = traceback.format_exc()
            finally:
                os.write(writing, failed.encode()[-60_000:])  # less than a pipe holds
                os._exit(bool(failed))
        os.close(writing)
        with open(reading, encoding="utf-8") as file:
            failed = file.read()
        _, status = os.waitpid(pid, 0)
        assert status == 0, failed or f"the child ended with {status}"

    return run
