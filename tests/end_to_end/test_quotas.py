"""A run whose key asks for more than its quota allows waits as long as it is told to, and loses nothing by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from end_to_end.programs import Host
from server.process import ServerProcess


@pytest.mark.slow
def test_a_run_whose_key_is_over_its_quota_waits_and_loses_nothing(tmp_path: Path):
    (tmp_path / "server").mkdir()
    with ServerProcess(tmp_path / "server", "--user", "team", "--quota-requests", "60") as server:
        refused = [server.ask("GET", "/verify-api-key/") for _ in range(62)][-1]
        assert (refused.status_code, int(refused.headers["Retry-After"]) in (1, 2)) == (429, True)
        assert "Nothing was stored" in refused.json()["detail"]
        assert server.ask("POST", "/team/projects/", data=bytes(1 << 20)).status_code == 429, "its body is not read"
        host = Host(tmp_path, server)
        done = host.run("""
            run = begin()
            for step in range(1000):
                run.log("loss", float(step))
            print(run.finish(timeout=60))
        """)
        assert "logged=1000, delivered=1000, pending=0, " in done.out, done
