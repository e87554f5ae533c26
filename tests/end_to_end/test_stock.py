"""A stock server takes one metric a request and knows no duplicates: at least once, and the extras are counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from end_to_end import workload
from end_to_end.programs import Host, ended
from end_to_end.workload import Ledger, check
from polling import wait_until
from server.process import ServerProcess

WORKLOAD = Path(workload.__file__)


@pytest.fixture
def stock(tmp_path: Path) -> Iterator[Host]:
    directory = tmp_path / "server"
    directory.mkdir()
    with ServerProcess(directory, "--user", "team", "--stock") as server:
        yield Host(tmp_path, server)


@pytest.mark.slow
def test_five_thousand_metrics_arrive_one_by_one_though_their_process_is_killed(stock: Host):
    ledger, again = Ledger(stock.directory / "ledger"), Ledger(stock.directory / "again")
    killed = stock.start(WORKLOAD, str(stock.directory / "ledger"), "5000", "wait")
    wait_until(lambda: sum(ledger.calls()) == 5000 and stock.server.run("run").points > 500)
    killed.kill()
    ended(killed)
    uuid = stock.server.run("run").uuid
    done = ended(stock.start(WORKLOAD, str(stock.directory / "again"), "0", "attach", RUN_UUID=uuid))
    assert (done.code, done.errors) == (0, "")
    logged, delivered, pending, ambiguous, abandoned, dropped = map(int, done.out.split())
    assert (logged, delivered, pending, abandoned, dropped) == (5000, 5000, 0, 0, 0)
    extras = check(stock.server.metrics("run"), ledger.calls(), unique=False)
    assert extras <= ambiguous <= 8
    assert stock.server.run("run").status == "COMPLETED"
    assert again.calls() == [0, 0, 0, 0]


def test_a_stock_server_gets_each_metric_once_in_order_while_nothing_goes_wrong(stock: Host):
    ledger = Ledger(stock.directory / "ledger")
    done = stock.run(WORKLOAD, str(stock.directory / "ledger"), "480")
    assert (done.code, done.out.split()) == (0, ["480", "480", "0", "0", "0", "0"])
    assert check(stock.server.metrics("run"), ledger.calls()) == 0
