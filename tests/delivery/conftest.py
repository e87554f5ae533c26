"""Nothing that one test has to say is said in the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from steplog.delivery.news import news


@pytest.fixture(autouse=True)
def _no_news() -> Iterator[None]:
    news.forget()
    yield
    news.forget()
