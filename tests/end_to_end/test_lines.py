"""What a run prints: two lines when it begins, one when it ends, on stderr or through a ``logging`` that is set up."""

from __future__ import annotations

import logging

import pytest

from end_to_end.programs import Host, go_on, line
from end_to_end.programs import ended as over
from steplog import Report, Stats
from steplog.lifecycle.messages import ended

LOUD = {"STEPLOG_QUIET": ""}
LOGS = "run = begin()\nfor step in range(2000):\n    run.log('loss', step / 2, step)\n"
ENDS = {
    "finish": LOGS + "run.finish()",
    "with": LOGS.replace("run = begin()", "run = begin().__enter__()") + "run.__exit__(None, None, None)",
    "the end of the program": LOGS,
    "sys.exit": LOGS + "sys.exit(0)",
    "SIGTERM": LOGS + "os.kill(os.getpid(), 15)",
}


def lines(host: Host, name: str = "run") -> list[str]:
    paths = f"team/projects/{host.project}/runs/{name}"
    return [
        f"steplog: run {name} in team/{host.project}",
        f"steplog: {host.environment['STEPLOG_URL']}/{paths}/",
    ]


@pytest.mark.parametrize("way", ENDS)
def test_a_run_prints_its_name_its_address_and_what_was_delivered(host: Host, way: str):
    done = host.run(ENDS[way], **LOUD, STEPLOG_EXCEPTIONS="0")
    assert done.errors.splitlines() == [*lines(host), "steplog: run run: 2,000 delivered"]
    assert done.out == ""


@pytest.mark.slow
def test_while_the_server_hangs_its_address_is_said_and_how_long_it_is_waited_for(host: Host):
    with host.start(
        """
        run = begin()
        run.flush()
        print("ready", flush=True)
        sys.stdin.readline()
        run.log("loss", 1.0)
        run.finish(timeout=2.0)
        print(run.stats().last_error)
        """,
        **LOUD,
    ) as program:
        assert line(program) == "ready"
        with host.silence():
            go_on(program)
            done = over(program)
    waiting = f"waiting for an answer of {host.environment['STEPLOG_URL']} for "
    assert done.out.startswith(waiting)
    last = done.errors.splitlines()[-1]
    assert "1 record is kept in " in last
    assert f"({waiting}" in last


def test_quiet_silences_the_lines(host: Host):
    assert host.run(LOGS, STEPLOG_QUIET="1").errors == ""


def test_a_program_that_has_set_up_logging_gets_the_lines_there_by_its_levels(host: Host):
    format_ = "import logging\nlogging.basicConfig(level={}, format='%(levelname)s %(name)s %(message)s')\n"
    told = host.run(format_.format("logging.INFO") + LOGS, **LOUD).errors.splitlines()
    said = [f"INFO steplog {line}" for line in (*lines(host), "steplog: run run: 2,000 delivered")]
    assert [line for line in told if "logged in as" not in line] == said
    assert host.run(format_.format("logging.WARNING") + LOGS, **LOUD).errors == ""


def test_a_closed_stderr_takes_no_program_down(host: Host):
    for close in ("sys.stderr.close()", "sys.stderr = None", "sys.stderr = open('/dev/full', 'w')"):
        done = host.run(f"{close}\n{LOGS}run.finish()\nprint('done', flush=True)\nos._exit(0)", **LOUD)
        assert (done.code, done.out) == (0, "done\n")


def test_an_offline_run_prints_one_line_at_its_start_and_one_at_its_end(host: Host):
    done = host.run(LOGS.replace("begin()", "begin(mode='offline')"), **LOUD)
    began, ended = done.errors.splitlines()
    assert began == "steplog: run run is kept on this machine; to send it, type: steplog sync"
    assert ended.startswith("steplog: run run: 2,000 records are kept in ")
    assert ended.endswith("; to send it, type: steplog sync")


@pytest.mark.parametrize("way", ["run.finish()", ""], ids=["finish", "the end of the program"])
def test_the_line_at_the_end_of_an_offline_run_counts_what_its_children_logged(host: Host, way: str):
    """It counted what this process had logged."""
    done = host.run(
        f"""
        run = begin(mode="offline")
        run.log("parent", 1.0)
        for child in range(2):
            if os.fork() == 0:
                for step in range(50):
                    run.log("child", step)
                os._exit(0)
        os.wait(), os.wait()
        {way}
        """,
        **LOUD,
    )
    assert done.errors.splitlines()[-1].startswith("steplog: run run: 101 records are kept in ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("memory", "disk"), [("", "/dev/null/no"), ("/dev/null/no", ""), ("/dev/null/no", "/dev/null/no")]
)
def test_the_line_at_the_end_says_kept_only_of_what_outlives_the_process(host: Host, memory: str, disk: str):
    """It said so of records that neither shared memory nor the disk had taken."""
    roots = {name: paths for name, paths in (("STEPLOG_MEMORY_DIR", memory), ("STEPLOG_DIR", disk)) if paths}
    done = host.run(LOGS.replace("begin()", "begin(mode='offline')"), **LOUD, **roots)
    began, ended = (line for line in done.errors.splitlines() if line.startswith("steplog: "))
    if memory and disk:
        assert began == "steplog: run run is kept in this process alone; to send it, type: steplog sync"
        assert "2,000 records are lost, which neither shared memory nor the disk takes" in ended
        assert ended.endswith("; set STEPLOG_DIR")
    else:
        assert began == "steplog: run run is kept on this machine; to send it, type: steplog sync"
        assert ended.startswith("steplog: run run: 2,000 records are kept in ")


def test_a_server_that_is_away_is_named_once_at_the_start_and_once_at_the_end(host: Host):
    done = host.run(LOGS, STEPLOG_URL="http://127.0.0.1:9", STEPLOG_FINISH_TIMEOUT_S="0.5", **LOUD)
    began, *between, ended = done.errors.splitlines()
    assert began.startswith("steplog: run run is kept on this machine, and sent once the server answers: ")
    assert "http://127.0.0.1:9" in began
    assert ended.startswith("steplog: run run: 2,000 records are kept in ")
    assert ended.endswith("; the next run on this machine sends it; or type: steplog sync")
    assert len(between) <= 1, between  # the agent's own word that the server is away, which is logging's


def test_a_run_without_a_name_is_called_by_its_id_until_it_has_one(host: Host):
    done = host.run("import steplog\nrun = steplog.init(project='p', mode='offline')\nprint(run.id[:8])", **LOUD)
    assert done.errors.startswith(f"steplog: run {done.out.strip()} is kept on this machine")


def test_a_run_that_is_superseded_says_so_in_one_line_with_the_fix(host: Host):
    done = host.run("begin('first').log('loss', 1.0)\nbegin('second').log('loss', 2.0)", **LOUD)
    assert done.errors.splitlines() == [
        *lines(host, "first"),
        *lines(host, "second"),
        "steplog: run first is FAILED: init() came before its end; use `with init(...) as run:` or run.finish(); "
        'to go on with a run instead: init(..., name="...", resume="allow")',
        "steplog: run second: 1 delivered",
    ]


def test_workers_print_nothing(host: Host):
    done = host.run(
        """
        import multiprocessing

        def work(run):
            run.log("loss", 1.0)

        if __name__ == "__main__":
            with begin() as run:
                for way in ("fork", "spawn"):
                    worker = multiprocessing.get_context(way).Process(target=work, args=(run,))
                    worker.start()
                    worker.join()
        """,
        **LOUD,
    )
    assert done.errors.splitlines() == [*lines(host), "steplog: run run: 2 delivered"]


def test_nothing_is_printed_at_import(host: Host):
    done = host.run("import steplog\nsteplog.Run, steplog.init, steplog.log", **LOUD)
    assert (done.out, done.errors) == ("", "")


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (Report(logged=2, delivered=2), "2 delivered"),
        (Report(), "0 delivered"),
        (Report(logged=5, pending=5), ""),
        (Report(logged=5, delivered=1000, pending=5), "1,000 delivered"),
        (
            Report(logged=12, delivered=1, rejected=2, ambiguous=3, coerced=4, abandoned=5, dropped={"memory full": 6}),
            "1 delivered, 2 refused by the server and set aside, 3 sent twice, perhaps, 4 logged as their repr; "
            "6 of 12 values were dropped: memory full; 5 values were lost in memory",
        ),
        (
            Report(logged=10_100_000, delivered=8_967_228, dropped={"memory full": 1_132_772}),
            "8,967,228 delivered; 1,132,772 of 10,100,000 values were dropped: memory full",
        ),
        (
            Report(logged=8, delivered=1, lost=4, dropped={"memory full": 2, "oldest": 1}),
            "1 delivered; 3 of 8 values were dropped: 2 memory full, 1 oldest; "
            "up to 4 values were lost with private memory",
        ),
        (
            Report(logged=1, delivered=1, lost=None),
            "1 delivered; an unknown number of values may be lost with memory that is gone",
        ),
        (Report(logged=1, delivered=1, faults=1), "1 delivered, 1 error in steplog itself, see the log"),
        (Report(logged=1, delivered=1, faults=2), "1 delivered, 2 errors in steplog itself, see the log"),
        (Report(logged=2, delivered=1, lost=1), "1 delivered; up to 1 value was lost with private memory"),
    ],
)
def test_the_line_at_the_end_tells_of_every_loss(report: Report, words: str, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "steplog"):
        ended(False, "brave", Stats(**vars(report)), None)
    assert [record.message for record in caplog.records] == [f"steplog: run brave: {words}"]
