"""A run is deleted on the server while a program writes it, and restored or not."""

from __future__ import annotations

from end_to_end.programs import Host, ended, go_on, line
from server.process import ServerProcess

WRITES = """
run = begin()
for number in range(5):
    run.log("loss", number, step=number)
assert run.flush(30)
print("confirmed", run.uuid, flush=True)
sys.stdin.readline()
for number in range(5, 10):
    run.log("loss", number, step=number)
print(run.flush(30), run.stats().pending, flush=True)
sys.stdin.readline()
report = run.finish(timeout=30)
print(report.delivered, report.pending, flush=True)
"""


def path_of(host: Host, said: str) -> str:
    return f"/team/projects/{host.project}/runs/{said.split()[-1]}/"


def test_a_run_that_comes_back_from_the_trash_gets_all_that_was_logged_meanwhile(host: Host, server: ServerProcess):
    with host.start(WRITES, STEPLOG_QUIET="") as program:
        run = path_of(host, line(program))
        assert server.ask("DELETE", run).status_code == 204
        go_on(program)
        assert line(program) == "False 5", "kept, and not waited for"
        assert server.ask("POST", f"{run}restore/").status_code == 200
        go_on(program)
        done = ended(program)
    assert "10 0" in done.out
    assert "the server does not have the run" in done.errors
    assert host.server.values("run", "loss") == list(range(10))
    assert host.server.run("run").status == "COMPLETED"


def test_a_run_that_was_deleted_for_good_is_not_made_again_by_what_is_left_of_it(host: Host, server: ServerProcess):
    with host.start(WRITES) as program:
        run = path_of(host, line(program))
        assert server.ask("DELETE", f"{run}?now=1").status_code == 204
        go_on(program)
        assert line(program) == "False 5"
        go_on(program)
        assert "5 5" in ended(program).out
    assert host.run("-m", "steplog", "sync").code == 1
    assert server.ask("GET", f"/team/projects/{host.project}/runs/").json() == []
    assert "run" in host.run("-m", "steplog", "ls", "--here").out
