"""Nothing that one test has to say is said in the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from steplog.delivery.deferred_log import deferred_log


@pytest.fixture(autouse=True)
def _no_news() -> Iterator[None]:
    deferred_log.forget()
    yield
    deferred_log.forget()
