"""What the benchmarks ask of the server that they started."""

from __future__ import annotations

from benchmarks.stage import Stage
from benchmarks.startup import open_and_finish


def test_a_server_of_the_benchmarks_tells_how_many_points_of_a_metric_it_has(tmp_path):
    with Stage(quick=True, peers=tmp_path) as stage, stage.server() as server:
        stage.child(open_and_finish, stage.environment(server))
        assert (server.points(), server.points("loss"), server.points("absent")) == (1, 1, 0)
