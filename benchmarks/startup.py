"""``import steplog``, ``init`` against a local server, ``finish()`` with nothing pending."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.figure import Figure, over, quantile
from benchmarks.fresh import import_requests, open_and_finish
from benchmarks.stage import Stage

__all__ = ["figures"]

GROUP = "startup"


def figures(stage: Stage) -> Iterator[Figure]:
    """Fresh processes, alternating with ones that import requests."""
    requests, ours = [], []
    with stage.server() as server:
        environment = stage.environment(server)
        stage.child(open_and_finish, environment)  # compiles what is imported
        for _ in range(stage.pick(25, 7)):
            requests.append(stage.child(import_requests, environment))
            ours.append(stage.child(open_and_finish, environment))
    beside = quantile(requests, 0.5)
    note = f"import requests takes {beside:.0f} ms"
    importing = [each["import"] for each in ours]
    yield over(importing, group=GROUP, name="import steplog", unit="ms", must=60, reach=30, note=note)
    above = [each["init"] - other for each, other in zip(ours, requests, strict=True)]
    name = "init() above import requests"
    yield over(above, group=GROUP, name=name, unit="ms", must=100, reach=30, note="with what it imports")
    finishing = [each["finish"] for each in ours]
    yield over(finishing, group=GROUP, name="finish(), nothing pending", unit="ms", must=100, reach=20)
