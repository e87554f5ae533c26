"""A cell of a notebook with ``init`` in it, which runs again: a new run each time, or with ``resume`` the same one."""

from __future__ import annotations

import pytest

from end_to_end.programs import PRELUDE, Host

SESSION = f"""
{PRELUDE}
sys.ps1 = ">>> "  # as at a prompt

def cell(text):
    try:
        exec(text, globals())
    except Exception as error:
        sys.last_value = error
        print(f"{{type(error).__name__}}: {{error}}")
"""


def session(host: Host, *cells: str, **variables: str) -> tuple[str, str]:
    """What a session prints that runs these cells and then ends, and its standard error."""
    source = "\n".join(f"cell({cell!r})" for cell in cells)
    done = host.run(host.write(source, SESSION), STEPLOG_QUIET="", **variables)
    assert done.code == 0, done
    return done.out, done.errors


def test_a_bare_cell_that_runs_again_fails_the_run_before_and_says_how_to_go_on(host: Host):
    cell = "run = begin('bare'); run.log('loss', 1.0)"
    _, said = session(host, cell, cell)
    words = "use `with init(...) as run:` or run.finish(); to go on with a run instead: "
    assert f'run bare is FAILED: init() came before its end; {words}init(..., name="...", resume="allow")' in said
    statuses = {row.name: row.status for row in host.server.runs()}
    assert statuses == {"bare": "FAILED", "bare_1": "COMPLETED"}


@pytest.mark.slow
@pytest.mark.parametrize("resume", ["allow", "must"])
@pytest.mark.parametrize("given", ["name", "id"])
@pytest.mark.parametrize("mode", ["online", "offline"])
def test_a_cell_that_resumes_its_run_goes_on_with_it(host: Host, given: str, resume: str, mode: str):
    """It was made FAILED, and another one begun."""
    begins = f"run = steplog.init('team', os.environ['PROJECT'], {given}='mine', resume='allow', config={{'lr': 0.1}})"
    again = begins.replace("'allow'", f"'{resume}'").replace("'lr': 0.1", "'lr': 0.2, 'bs': 8")
    out, said = session(
        host,
        f"import steplog; {begins}; first = run; run.log('loss', 1.0)",
        f"{again}; run.log('loss', 2.0)",
        "print(run is first, run is steplog.get_active_run(), run.status.value, dict(run.config))",
        "print(run.finish().pending == 0)",
        STEPLOG_MODE=mode,
    )
    assert out.splitlines()[0] == "True True RUNNING {'lr': 0.2, 'bs': 8}"
    assert said.count(" continues\n") == 1
    assert "FAILED" not in said
    if mode == "online":
        (row,) = host.server.runs()
        assert f"run {row.name} continues" in said
        assert (row.status, host.server.values(row.name, "loss")) == ("COMPLETED", [1.0, 2.0])


def test_a_cell_that_resumes_another_run_than_the_last_fails_that_one(host: Host):
    _, said = session(
        host,
        "one = begin('one', resume='allow'); one.log('loss', 1.0)",
        "two = begin('two', resume='allow', activate=False)",
        "again = begin('two', resume='allow'); print(again is two)",
    )
    assert "run one is FAILED" in said
    assert {row.name: row.status for row in host.server.runs()} == {"one": "FAILED", "two": "COMPLETED"}


@pytest.mark.parametrize("given", ["name", "id"])
def test_a_cell_that_resumes_its_run_after_the_end_begins_a_generation_of_it(host: Host, given: str):
    begins = f"run = steplog.init('team', os.environ['PROJECT'], {given}='mine', resume='allow')"
    out, said = session(
        host,
        f"import steplog; {begins}; run.log('loss', 1.0); print(run.finish().pending); first = run",
        f"{begins}; run.log('loss', 2.0); print(run is first, run.uuid == first.uuid, run.status.value)",
        "run.log('loss', 3.0); print(run.finish().pending, run.status.value)",
    )
    assert out == "0\nFalse True RUNNING\n0 COMPLETED\n", said
    assert "continues" not in said
    (row,) = host.server.runs()
    assert (row.name, row.status, host.server.values("mine", "loss")) == ("mine", "COMPLETED", [1.0, 2.0, 3.0])


def test_an_exception_in_a_cell_does_not_end_the_run(host: Host):
    out, _ = session(
        host,
        "run = begin('goes on'); run.log('loss', 1.0)",
        "1 / 0",
        "run.log('loss', 2.0); print(run.status.value)",
    )
    assert out == "ZeroDivisionError: division by zero\nRUNNING\n"
    assert host.server.run("goes on").status == "COMPLETED"
    assert host.server.values("goes on", "loss") == [1.0, 2.0]


def test_a_run_of_another_project_or_namespace_is_another_run(host: Host):
    out, _ = session(
        host,
        "import steplog; one = steplog.init('team', os.environ['PROJECT'], 'x', resume='allow', activate=False)",
        "two = steplog.init('team', os.environ['PROJECT'] + '-b', 'x', resume='allow', activate=False)",
        "three = steplog.init('team-b', os.environ['PROJECT'], 'x', resume='allow', activate=False)",
        "print(len({one.uuid, two.uuid, three.uuid}))",
    )
    assert out == "3\n"


def test_a_cell_that_attaches_as_the_owner_goes_on_with_its_run(host: Host):
    """The second time it said that the run was open in another process, and changed no status."""
    path = f"runs of {host.project}"
    out, said = session(
        host,
        f"import steplog; begin({path!r}).finish()",
        f"first = steplog.attach({path!r}, owner=True)",
        f"run = steplog.attach({path!r}, owner=True); print(run is first)",
        "print(run.finish(status='FAILED').pending)",
    )
    assert out == "True\n0\n", said
    assert said.count("continues") == 1
    assert host.server.run(path).status == "FAILED"
