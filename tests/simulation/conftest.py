"""Nothing of what a simulated life has to say is said, then or later."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from steplog.delivery.deferred_log import deferred_log


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logging.getLogger("steplog"), "disabled", True)
    yield
    deferred_log.forget()
