"""Each setting that a run is made with has its effect; those of the network are tested where the network is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from end_to_end.programs import Host, ended, go_on, line
from polling import wait_until
from steplog.journal import compiled

INIT = "import steplog\nrun = steplog.init()\nrun.log('loss', 0.5)\nrun.finish()\n"


def file_of(host: Host, way: str, **settings: object) -> dict[str, str]:
    """The settings as the environment, or as a file beside the program."""
    if way == "environment":
        return {f"STEPLOG_{name.upper()}": str(value) for name, value in settings.items()}
    lines = [
        f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for name, value in settings.items()
    ]
    if way == "pyproject.toml":
        lines.insert(0, "[tool.steplog]")
    (host.directory / way).write_text("\n".join(lines))
    return {}


@pytest.mark.parametrize("way", ["environment", "steplog.toml", "pyproject.toml"])
def test_project_namespace_and_name_are_those_of_the_run(host: Host, way: str):
    given = file_of(host, way, project=host.project, namespace="team", name=f"by {way}")
    done = host.run(INIT, **given)
    assert done.code == 0, done.errors
    assert host.server.run(f"by {way}").points == 1


@pytest.mark.parametrize("way", ["environment", "steplog.toml"])
def test_mode_is_that_of_the_run(host: Host, way: str):
    done = host.run(
        INIT + "print(steplog.journals()[0].why)", **file_of(host, way, project=host.project, mode="offline")
    )
    assert done.out == "it was started offline: steplog sync\n"
    assert host.server.runs() == []


@pytest.mark.parametrize("way", ["environment", "steplog.toml"])
def test_quiet_is_no_lines(host: Host, way: str):
    host.environment["STEPLOG_QUIET"] = ""
    assert host.run("begin()").errors != ""
    assert host.run("begin()", **file_of(host, way, quiet=True)).errors == ""


@pytest.mark.parametrize("way", ["environment", "steplog.toml"])
def test_strict_raises_and_without_it_the_value_is_coerced(host: Host, way: str):
    program = "run = begin()\nrun.log('it', object())\nprint(run.stats().coerced, run.finish().coerced)"
    assert host.run(program, name="lax").out == "1 1\n"
    done = host.run(program, name="strict", **file_of(host, way, strict=True))
    assert done.code == 1
    assert "TypeError: a value of type object cannot be logged: nothing converts it" in done.errors
    assert host.server.values("lax", "it")[0].startswith("<object object at ")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["environment", "steplog.toml"])
@pytest.mark.skipif(not compiled._built, reason="the compiled append is not built")
def test_pure_is_the_append_in_python(host: Host, way: str):
    program = "print(begin().stats().append)"
    assert host.run(program).out == "c\n"
    assert host.run(program, **file_of(host, way, pure=True)).out == "pure\n"


LOGS_AND_WAITS = """
run = begin(mode='offline')
run.log('loss', 0.5)
print('logged', flush=True)
sys.stdin.readline()
os._exit(0)
"""


def spooled(directory: Path) -> list[Path]:
    """The files with records in them, by their size: marks and locks are empty or fixed."""
    return [path for path in directory.glob("*/*/*") if path.name not in ("marks", "alive") and path.stat().st_size]


def test_spool_interval_s_is_when_what_stays_undelivered_goes_to_disk(host: Host, tmp_path: Path):
    roots = {seconds: tmp_path / f"after {seconds} s" for seconds in ("600", "0.6")}
    programs = []
    for seconds, paths in roots.items():
        variables = {"STEPLOG_SPOOL_INTERVAL_S": seconds, "STEPLOG_DIR": str(paths)}
        programs.append(host.start(LOGS_AND_WAITS, **variables))
        assert line(programs[-1]) == "logged"
    wait_until(lambda: spooled(roots["0.6"]))
    assert spooled(roots["600"]) == []
    for program in programs:
        go_on(program)
        assert ended(program).code == 0


def test_signal_flush_s_is_how_long_a_flush_after_a_signal_takes(host: Host):
    program = host.start(
        """
        run = begin()
        print("ready", flush=True)
        sys.stdin.readline()
        run.log("loss", 0.5)
        print("logged", flush=True)
        sys.stdin.readline()
        """,
        STEPLOG_SIGNAL_FLUSH_S="0.7",
    )
    assert line(program) == "ready"
    with host.silence():
        go_on(program)
        assert line(program) == "logged"
        began = time.monotonic()
        program.terminate()
        assert ended(program).code == -15
        assert 0.6 < time.monotonic() - began < 1.2
