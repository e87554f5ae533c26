"""What two servers over one PostgreSQL acknowledge is stored once, whatever dies between a commit and its answer.

The long form is ``python -m tests.once``.
"""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

import postgresql
from once.delivery import Counts, Line, new_runs
from once.scenario import Progress, Size, deliver_once
from once.servers import killed_servers
from once.standby import Pair, durable_cluster
from steplog.delivery.wire import api_path

SMALL = Size(runs=2, writers=2, points=1500, range_max=120)


def test_ranges_sent_to_two_servers_that_die_before_they_answer_are_stored_once(tmp_path):
    """Each is killed with answers on their way, and every key is asked for at both at once."""
    with killed_servers(tmp_path, postgresql.new_database(), kill_every=(31, 47), kills_max=1) as servers:
        told = deliver_once([server.url for server in servers], SMALL)
        assert [server.kills for server in servers] == [1, 1]
        assert told["requests without an answer"] >= 2


@pytest.mark.slow
def test_ranges_are_stored_once_though_the_database_crashes_meanwhile(tmp_path):
    """The servers go on by themselves."""
    with durable_cluster() as cluster:

        def crash(progress: Progress) -> None:
            for share in (0.2, 0.5):
                progress.wait_for(share)
                cluster.stop("immediate")
                cluster.start()

        with killed_servers(tmp_path, cluster.new_database(), kill_every=(0, 0)) as servers:
            told = deliver_once([server.url for server in servers], SMALL, disturb=crash)
            assert [server.server.process.poll() for server in servers] == [None, None]
        assert told["answers"].keys() <= {"200", "201", "409", "503"}


@pytest.mark.slow
def test_ranges_are_stored_once_through_a_failover_to_a_synchronous_standby(tmp_path):
    with Pair() as pair:

        def fail_over(progress: Progress) -> None:
            progress.wait_for(0.3)
            pair.fail_over()

        with killed_servers(tmp_path, pair.url, kill_every=(0, 0)) as servers:
            told = deliver_once([server.url for server in servers], SMALL, disturb=fail_over)
            assert [server.server.process.poll() for server in servers] == [None, None]
        assert told["answers"].keys() <= {"200", "201", "409", "503"}


@pytest.mark.slow
def test_runs_made_at_two_servers_at_once_under_one_name_get_names_of_their_own(tmp_path):
    with killed_servers(tmp_path, postgresql.new_database(), kill_every=(0, 0)) as servers:
        urls = [server.url for server in servers]
        new_runs(urls, 4, Counts())
        path = api_path("team", "projects", "once", "runs")
        names: list[str] = []

        def make(url: str) -> None:
            with closing(Line(url, Counts())) as line:
                for _ in range(5):
                    status, run = line.json("POST", path, {"name": "one name"})
                    assert status == 201, run
                    names.append(run["name"])

        making = [threading.Thread(target=make, args=(url,)) for url in urls]
        for thread in making:
            thread.start()
        for thread in making:
            thread.join()
        assert sorted(names) == sorted(f"one name_{number}" for number in range(4, 14))
