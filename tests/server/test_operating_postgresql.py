"""A server over PostgreSQL as its operator sees it, while the database runs, stops and comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

import postgresql
from polling import wait_until
from server.batches import range_of
from server.process import DEADLINE_S, ServerProcess
from server.test_metrics_route import scraped, value


@pytest.fixture
def cluster() -> Iterator[postgresql.Cluster]:
    """One that may be stopped."""
    postgresql.cluster()  # skips where there is none
    found = postgresql.versions()
    with postgresql.cluster_directory() as directory:
        made = postgresql.Cluster(found[max(found)], directory)
        made.start()
        try:
            yield made
        finally:
            made.stop("immediate")


def ready(server: ServerProcess) -> tuple[int, list[str]]:
    answer = requests.get(f"{server.url}/readyz", timeout=DEADLINE_S)
    return answer.status_code, answer.json()["reasons"]


@pytest.mark.slow
def test_while_postgresql_is_away_the_server_is_alive_unready_and_counts_on(tmp_path, cluster):
    with ServerProcess(tmp_path, "--store", cluster.new_database()) as server:
        run = server.new_run()
        assert server.send(run, range_of([("loss", 1.0)])).status_code == 200
        assert ready(server) == (200, [])
        found = scraped(server)
        assert value(found, "steplog_store_up") == 1
        assert value(found, "steplog_commits_total") >= 3
        assert value(found, "steplog_commit_seconds_total") > 0
        assert value(found, "steplog_pool_waiting") == 0
        assert value(found, "steplog_writes_waiting") == 0
        assert value(found, "steplog_unpacked_bytes") > 0
        cluster.stop()
        wait_until(lambda: ready(server)[0] == 503)
        assert requests.get(f"{server.url}/healthz", timeout=DEADLINE_S).status_code == 200
        found = scraped(server)
        assert value(found, "steplog_store_up") == 0
        assert value(found, "steplog_points_stored_total") == 1
        refused = server.send(run, range_of([("loss", 2.0)], first=1))
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        cluster.start()
        wait_until(lambda: ready(server) == (200, []))
        wait_until(lambda: server.send(run, range_of([("loss", 2.0)], first=1)).status_code == 200)
        assert value(scraped(server), "steplog_store_up") == 1
        assert [each["value"] for each in server.ask("GET", f"{run}metrics/").json()] == [1.0, 2.0]
        code, said = server.end()
    assert code == 0
    assert [line for line in said.splitlines() if not line.startswith("steplog serve: ")] == []
    assert "not ready: " in said
    assert "steplog serve: ready again" in said
