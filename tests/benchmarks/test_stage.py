"""What the benchmarks ask of the server that they started."""

from __future__ import annotations

import pytest
from benchmarks.fresh import open_and_finish
from benchmarks.stage import Stage


def test_a_server_of_the_benchmarks_tells_how_many_points_of_a_metric_it_has(tmp_path):
    with Stage(quick=True, peers=tmp_path) as stage, stage.server() as server:
        stage.child(open_and_finish, stage.environment(server))
        assert (server.points(), server.points("loss"), server.points("absent")) == (1, 1, 0)


def test_import_is_measured_in_a_process_that_has_not_imported_steplog(tmp_path):
    with Stage(quick=True, peers=tmp_path) as stage, stage.server() as server:
        took_ms = stage.child(open_and_finish, stage.environment(server))
        assert set(took_ms) == {"import", "init", "finish"}
    with pytest.raises(RuntimeError, match=r"imported before it is measured: .*steplog"):
        open_and_finish()
