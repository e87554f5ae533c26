"""Descriptors run out, or are closed by the program: nothing is lost, no file of the program's is touched."""

from __future__ import annotations

import os
import signal

import pytest

from end_to_end.programs import Host, ended, go_on, line

LIMIT = 64
TAKE_ALL = f"""
import resource
import steplog
from polling import wait_until

HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, HARD))

def take_all():
    taken = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return taken

def close_connections():
    from steplog.network.pool import _pools
    for pool in list(_pools):
        pool.close()

def ended(report):
    print(report.logged, report.delivered, report.pending, dict(report.dropped), report.faults, flush=True)
"""


def indented(source: str, spaces: int = 8) -> str:
    return source.replace("\n", "\n" + " " * spaces)


@pytest.mark.slow
@pytest.mark.parametrize("freed", [True, False], ids=["freed later", "never freed"])
def test_a_run_without_descriptors_for_its_last_seconds_loses_nothing(host: Host, freed: bool):
    """A segment, a frame, the manifest and a new connection come out of the reserve."""
    done = host.run(
        f"""
        {indented(TAKE_ALL)}
        run = begin()
        run.log("loss", 0.0)
        run.flush()
        taken = take_all()
        close_connections()
        for number in range(1, 60_000):
            run.log("loss", float(number))
        wait_until(lambda: run.stats().delivered > 40_000)
        for number in {"taken" if freed else "()"}:
            os.close(number)
        ended(run.finish())
        """,
        STEPLOG_QUIET="",
    )
    assert (done.code, done.out) == (0, "60000 60000 0 {} 0\n"), done.errors
    assert done.errors.count("\n") == 4, done.errors
    assert f"no file descriptors left (limit {LIMIT})" in done.errors
    assert host.server.values("run", "loss") == [float(number) for number in range(60_000)]
    assert host.server.run("run").status == "COMPLETED"
    assert host.manifests() == []


def test_a_kill_while_no_descriptor_is_left_loses_nothing(host: Host):
    """The next segment was in private memory then."""
    with host.start(
        f"""
        {indented(TAKE_ALL)}
        run = begin()
        taken = take_all()
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(60_000):
            run.log("loss", float(number))
        print("logged", flush=True)
        sys.stdin.readline()
        """
    ) as program:
        assert line(program) == "ready"
        with host.silence():
            go_on(program)
            assert line(program) == "logged"
            program.kill()
            program.wait()
    host.deliver("run", "CRASHED", 60_000)
    assert host.server.values("run", "loss") == [float(number) for number in range(60_000)]


def test_what_is_lost_without_any_descriptor_is_counted_and_said(host: Host):
    done = host.run(
        f"""
        {indented(TAKE_ALL)}
        run = begin()
        run.log("loss", 0.0)
        run.flush()
        close_connections()
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, HARD))
        for number in range(60_000):
            run.log("loss", float(number))
        ended(run.finish(timeout=1.0))
        """,
        STEPLOG_QUIET="",
    )
    assert (done.code, done.out) == (0, "60001 1 60000 {} 0\n"), done.errors
    last = done.errors.splitlines()[-1]
    assert "no file descriptors left (limit 3)" in last
    assert "STEPLOG_DIR" not in last
    words = last.replace(",", "").split()
    kept, lost = (int(words[words.index(word) - 3]) for word in ("kept", "lost"))
    assert kept + lost == 60_000
    host.deliver("run", "CRASHED", kept + 1)
    assert host.server.values("run", "loss") == [0.0, *(float(number) for number in range(kept))]


@pytest.mark.parametrize("limit", [4, 5, 6])
def test_a_run_begins_with_hardly_a_descriptor_and_leaves_nothing_behind(host: Host, limit: int):
    done = host.run(
        f"""
        import resource
        import steplog
        resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        run = begin()
        for number in range(1000):
            run.log("loss", float(number))
        report = run.finish()
        print(report.delivered, report.pending, report.faults)
        """
    )
    assert (done.code, done.out) == (0, "1000 0 0\n"), done.errors
    assert done.errors.count("no file descriptors left") == 1
    assert host.server.run("run").status == "COMPLETED"
    left = [(str(p), sorted(x.name for x in p.rglob("*"))) for p in host.state.glob("*.*")]
    assert left == [], done.errors


CLOSES = """
        taken = []
        def close_all():
            os.closerange(3, 256)
            for number in range(40):
                file = open(f"mine{number}", "w+b")
                file.write(b"before")
                file.flush()
                taken.append(file)
        def check():
            for number, file in enumerate(taken):
                file.write(b" and after")
                file.flush()
                file.seek(0)
                assert file.read() == b"before and after", number
                assert os.path.samestat(os.fstat(file.fileno()), os.stat(f"mine{number}")), number
                file.close()
"""


def test_a_program_that_closes_all_descriptors_keeps_the_files_that_it_opens_then(host: Host):
    """``finish`` closed them: their numbers had been those of locks and connections."""
    done = host.run(
        f"""
        {CLOSES}
        from polling import wait_until
        run = begin()
        other = begin("other", activate=False)
        run.log("loss", 0.0)
        run.flush()
        close_all()
        for number in range(1, 60_000):
            run.log("loss", float(number))
        wait_until(lambda: run.stats().delivered > 40_000)
        other.log("loss", 1.0)
        print(other.finish().pending, run.finish().pending)
        check()
        """
    )
    assert (done.code, done.out, done.errors) == (0, "0 0\n", "")
    assert host.server.values("run", "loss") == [float(number) for number in range(60_000)]
    assert (host.server.run("run").status, host.server.run("other").status) == ("COMPLETED", "COMPLETED")
    assert host.manifests() == []


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 500], ids=["at once", "later"])
def test_a_daemon_that_closes_what_it_has_inherited_logs_on(host: Host, after: int):
    """As python-daemon does: fork twice, close all, open its own files."""
    done = host.run(
        f"""
        {CLOSES}
        from polling import wait_until
        run = begin()
        run.log("loss", 0.0)
        run.flush()
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.dup2(writing, 1)
                import gc
                for number in range(1, 1000):
                    if number == {after}:
                        close_all()
                        gc.collect()
                    run.log("loss", float(number))
                flushed = run.flush(30.0)
                check()
                os.write(1, b"%d" % flushed)
                os._exit(0)
            os._exit(0)
        os.close(writing)
        print(os.read(reading, 100))
        run.finish()
        """
    )
    assert (done.code, done.out) == (0, "b'1'\n"), done.errors
    assert sorted(host.server.values("run", "loss")) == [float(number) for number in range(1000)]


def test_locks_that_the_program_has_closed_are_taken_again(host: Host):
    """Another process took the run for one that was killed."""
    with host.start(
        """
        run = begin()
        run.log("loss", 0.0)
        run.flush()
        os.closerange(3, 256)
        print("closed", flush=True)
        sys.stdin.readline()
        run.log("loss", 1.0)
        print(run.finish().pending, flush=True)
        """
    ) as program:
        assert line(program) == "closed"
        found = host.run(
            """
            from polling import wait_until
            import steplog
            from steplog.file_lock import FileLock
            from steplog.lifecycle.process import current
            (paths,) = current().roots.runs()
            wait_until(lambda: not FileLock.is_free(paths.lock))
            wait_until(lambda: not FileLock.is_free(next(paths.memory.glob("*/alive"))))
            print([synced.why for synced in steplog.sync(wait=False)])
            """
        )
        assert found.out == "['another process delivers it']\n", found.errors
        go_on(program)
        done = ended(program)
    assert (done.code, done.out, done.errors) == (0, "0\n", "")
    assert host.server.run("run").status == "COMPLETED"


TAKEN = """
from polling import wait_until
from steplog.file_lock import FileLock
from steplog.lifecycle.open_run import open_runs

def begin_with_worker():
    run = begin()
    run.log("loss", 0.0)
    run.flush()
    reading, writing = os.pipe()
    worker = os.fork()  # as long as it lives the run is not over
    if worker == 0:
        run.log("worker", 1.0)
        os.write(writing, b".")
        signal.pause()
    os.read(reading, 1)  # else it may still have the locks that it inherits
    assert run.flush()
    return run, worker

def lose_locks(until=lambda: True):
    opened = open_runs()[0]
    FileLock.regain, regain = lambda lock: True, FileLock.regain  # as if it were before the next look
    os.closerange(3, 256)
    wait_until(lambda: not FileLock.is_free(opened.paths.lock) and until())
    return lambda: setattr(FileLock, "regain", regain)
"""


def test_a_run_that_another_process_took_meanwhile_goes_on_as_its_worker(host: Host):
    with host.start("import steplog\nrun = begin('other')\nsys.stdin.readline()") as other:
        done = host.run(
            f"""
            {indented(TAKEN, 12)}
            run, worker = begin_with_worker()
            look_again = lose_locks()
            look_again()
            wait_until(lambda: open_runs()[0].lease is None)
            for number in range(1, 1000):
                run.log("loss", float(number))
            print(run.flush(30.0))
            os.kill(worker, signal.SIGKILL)
            """
        )
        assert (done.code, done.out) == (0, "True\n"), done.errors
        assert "another process delivers it now" in done.errors
        assert host.server.values("run", "loss") == [float(number) for number in range(1000)]
        go_on(other)
        assert ended(other).code == 0


@pytest.mark.slow
def test_what_is_logged_after_another_process_has_taken_the_run_arrives(host: Host):
    """It had removed the segments of a writer that it took for dead, which goes on in them."""
    done = host.run(
        f"""
        {indented(TAKEN)}
        run, worker = begin_with_worker()
        old = open_runs()[0].opened
        old.maintain = lambda: None
        look_again = lose_locks(until=lambda: not list(old.directory.glob("*.segment")))
        for number in range(1, 1000):
            run.log("loss", float(number))
        del old.maintain
        look_again()
        wait_until(lambda: open_runs()[0].lease is None)
        print(run.flush(30.0))
        os.kill(worker, signal.SIGKILL)
        """
    )
    assert (done.code, done.out) == (0, "True\n"), done.errors
    assert "shared memory was removed" not in done.errors
    assert host.server.values("run", "loss") == [float(number) for number in range(1000)]


def test_adoption_does_not_replace_a_status_that_ended_the_run_on_the_server(host: Host):
    """A process without descriptors had sent COMPLETED, and could not store so: CRASHED was sent later."""
    with host.start(
        """
        import steplog
        run = begin()
        run.log("loss", 1.0)
        run.flush()
        path = f"/api/v0/team/projects/{os.environ['PROJECT']}/runs/{run.uuid}/"
        assert steplog.get_default_client().patch(path, {"status": "COMPLETED"}).ok
        print("ended", flush=True)
        sys.stdin.readline()
        """
    ) as program:
        assert line(program) == "ended"
        program.send_signal(signal.SIGKILL)
        program.wait()
    assert len(host.manifests()) == 1
    done = host.run("-m", "steplog", "sync")
    assert done.code == 0, done.errors
    assert host.server.run("run").status == "COMPLETED"
    assert host.manifests() == []


def test_a_run_that_was_taken_up_again_and_killed_is_crashed(host: Host):
    assert host.run("run = begin()\nrun.log('loss', 0.5)\nrun.finish()").code == 0
    uuid = host.server.run("run").uuid
    with host.start(
        """
        import steplog
        run = steplog.attach(sys.argv[1], namespace_slug="team", project_slug=os.environ["PROJECT"], owner=True)
        run.log("loss", 1.0)
        print("attached", flush=True)
        sys.stdin.readline()
        """,
        uuid,
    ) as program:
        assert line(program) == "attached"
        os.kill(program.pid, signal.SIGKILL)
        program.wait()
    assert host.run("-m", "steplog", "sync").code == 0
    assert host.server.run("run").status == "CRASHED"
