"""Several processes, one run: what a child logs arrives however it leaves, and only the owner decides the status."""

from __future__ import annotations

import signal
import subprocess

import pytest

from end_to_end.programs import Host, ended, go_on, line


def test_forked_children_that_leave_by_exit_lose_nothing_and_finish_waits_for_them(host: Host):
    done = host.run("""
        run = begin()
        run.log("parent", 0)
        children = []
        for child in range(4):
            pid = os.fork()
            if pid == 0:
                for number in range(5000):
                    run.log(f"child {child}", number)
                os._exit(0)
            children.append(pid)
        for number in range(1, 5000):
            run.log("parent", number)
        for pid in children:
            assert os.waitpid(pid, 0)[1] == 0
        report = run.finish()
        print(report.logged, report.delivered, report.pending)
    """)
    assert (done.code, done.out, done.errors) == (0, "25000 25000 0\n", "")
    for name in ("parent", *(f"child {child}" for child in range(4))):
        assert host.server.values("run", name) == list(range(5000))


def test_finish_waits_for_what_a_living_child_had_written(host: Host):
    done = host.run("""
        run = begin()
        reading, writing = os.pipe()
        go, gone = os.pipe()
        pid = os.fork()
        if pid == 0:
            run.log("loss", 1.0)
            os.write(writing, b"1")
            os.read(go, 1)
            run.log("loss", 2.0)
            os._exit(0)
        os.read(reading, 1)
        assert run.finish().delivered == 1
        os.write(gone, b"1")
        os.waitpid(pid, 0)
    """)
    assert (done.code, done.errors) == (0, "")
    assert host.server.run("run").status == "COMPLETED"
    # What came after the end is delivered too, by this process or the next.
    host.deliver("run", "COMPLETED", points=2)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["os._exit(0)", "sys.exit(0)", "sys.exit(3)", "run.finish(timeout=5)", "1 / 0"])
def test_the_end_of_a_forked_child_is_not_the_end_of_the_run(host: Host, way: str):
    done = host.run(f"""
        sys.excepthook = lambda *error: None
        run = begin()
        pid = os.fork()
        if pid == 0:
            run.log("child", 1.0)
            {way}
            os._exit(0)
        os.waitpid(pid, 0)
        run.log("parent", 2.0)
        print(run.flush(), flush=True)
        sys.stdin.readline()
    """)
    assert (done.code, done.out) == (0, "True\n")
    assert ("owner in another process" in done.errors) is ("finish" in way)
    row = host.server.run("run")
    assert (row.status, row.points) == ("COMPLETED", 2)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["sys.exit(0)", "pass"])
def test_a_child_that_leaves_the_with_block_of_its_parent_does_not_finish_the_run(host: Host, way: str):
    done = host.run(f"""
        sys.excepthook = lambda *error: None
        with begin() as run:
            pid = os.fork()
            if pid == 0:
                run.log("child", 1.0)
                {way}
            else:
                os.waitpid(pid, 0)
                run.log("parent", 2.0)
    """)
    assert done.code == 0
    row = host.server.run("run")
    assert (row.status, row.points) == ("COMPLETED", 2)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_run_is_handed_to_the_processes_of_multiprocessing(host: Host, method: str):
    done = host.run(f"""
        import multiprocessing

        def work(run, worker):
            for number in range(1000):
                run.log(f"worker {{worker}}", number)

        if __name__ == "__main__":
            context = multiprocessing.get_context("{method}")
            run = begin()
            run.log("loss", 1.0)
            workers = [context.Process(target=work, args=(run, number)) for number in range(2)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
                assert worker.exitcode == 0
            assert run.finish().delivered == 2001
    """)
    assert (done.code, done.errors) == (0, "")
    assert [host.server.values("run", f"worker {number}") for number in range(2)] == [list(range(1000))] * 2
    assert host.server.run("run").status == "COMPLETED"


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_a_pool_ends_its_processes_as_without_us_and_that_is_no_crash(host: Host, method: str):
    done = host.run(f"""
        import multiprocessing

        def work(run, number):
            run.log("loss", number)
            return signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

        if __name__ == "__main__":
            with begin() as run:
                with multiprocessing.get_context("{method}").Pool(2) as pool:
                    assert all(pool.starmap(work, [(run, number) for number in range(4)]))
                run.log("after", 1.0)
            print(run.stats().delivered, run.stats().dropped)
    """)
    assert (done.code, done.out.splitlines()[-1]) == (0, "5 {}")
    assert sorted(name for name, _, _ in host.server.metrics("run")) == ["after", *["loss"] * 4]


@pytest.mark.slow
def test_a_process_that_attaches_logs_and_flushes_and_does_not_decide_the_status(host: Host):
    owner = host.start("run = begin()\nprint(run.uuid, flush=True)\nsys.stdin.readline()\nrun.finish(status='FAILED')")
    uuid = line(owner)
    done = host.run(
        """
        import steplog
        run = steplog.attach(sys.argv[1])
        for number in range(1000):
            run.log("loss", number)
        assert run.flush()
        assert run.finish().delivered == 1000
        """,
        uuid,
    )
    assert done.code == 0
    assert "owner in another process" in done.errors
    row = host.server.run("run")
    assert (row.status, row.points) == ("RUNNING", 1000)
    go_on(owner)
    assert ended(owner).code == 0
    assert host.server.run("run").status == "FAILED"


@pytest.mark.slow
def test_a_run_of_a_killed_owner_is_running_while_its_child_lives_and_then_crashed(host: Host):
    owner = host.start("""
        run = begin()
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            run.log("child", 1.0)
            os.write(writing, b"1")
            sys.stdin.readline()
            run.log("child", 2.0)
            os._exit(0)
        os.read(reading, 1)
        print("ready", flush=True)
        signal.pause()
    """)
    assert line(owner) == "ready"
    owner.kill()
    owner.wait()
    adopting = host.start("run = begin('adopts')\nsys.stdin.read()")
    host.server.wait_for_points("run", 1)
    assert host.server.run("run").status == "RUNNING"
    go_on(owner)
    host.server.wait_for("run", "CRASHED")
    assert host.server.values("run", "child") == [1.0, 2.0]
    ended(adopting)
    ended(owner)


def test_a_child_does_not_wait_for_a_server_at_the_end_of_an_offline_run(host: Host):
    """It waited for its whole deadline, of a minute."""
    done = host.run("""
        run = begin(mode="offline")
        if os.fork() == 0:
            run.log("child", 1.0)
            began = time.monotonic()
            report = run.finish()
            print(report.pending, time.monotonic() - began < 5.0, flush=True)
            os._exit(0)
        os.wait()
    """)
    assert (done.code, done.out) == (0, "1 True\n")


def test_a_child_that_takes_over_from_a_killed_owner_has_what_that_had_spooled(host: Host):
    """It saw none of that: values of its own, out of memory and on the disk, were counted as lost."""
    owner = host.start(
        """
        run = begin(mode="offline")
        if os.fork() == 0:
            from pathlib import Path
            from polling import wait_until
            place, first = Path(os.environ["STEPLOG_MEMORY_DIR"]), f"{os.getpid():x}-00000001.segment"
            for number in range(20_000):
                run.log("child", number)
            wait_until(lambda: not any(place.rglob(first)))
            print("spooled", flush=True)
            sys.stdin.readline()
            run.log("child", 20_000)  # which nobody but this process writes to the disk
            spooled = lambda: sum(found.stat().st_size for found in Path(os.environ["STEPLOG_DIR"]).rglob("*.spool"))
            before = spooled()
            wait_until(lambda: spooled() > before)
            report = run.finish()
            print(report.logged, report.pending, report.abandoned, flush=True)
            os._exit(0)
        os.wait()
        """,
        STEPLOG_SPOOL_INTERVAL_S="0.05",
    )
    assert line(owner) == "spooled"
    owner.kill()
    owner.wait()
    go_on(owner)
    assert line(owner) == "20001 20001 0"


def test_a_suspended_owner_is_not_taken_for_dead_and_goes_on_where_it_was(host: Host):
    """As a laptop does that sleeps; meanwhile somebody else looks for what the dead have left, twice at least."""
    owner = host.start("""
        run = begin(provenance=False)  # nothing of it is still to be recorded
        for step in range(1000):
            run.log("loss", float(step), step)
        run.flush(60)
        print("ready", flush=True)
        sys.stdin.readline()
        for step in range(1000, 2000):
            run.log("loss", float(step), step)
        run.finish()
    """)
    assert line(owner) == "ready"
    owner.send_signal(signal.SIGSTOP)
    looks = """
        import steplog
        begin("looks").finish()
        (waiting,) = [run for run in steplog.journals() if run.name == "run"]
        print(waiting.why, [(done.pending, done.why) for done in steplog.sync(waiting.id)])
    """
    for _ in range(2):
        seen = host.run(looks)
        assert seen.out.strip() == "it is being delivered [(0, '')]", seen
    assert host.server.run("run").status == "RUNNING"
    owner.send_signal(signal.SIGCONT)
    go_on(owner)
    assert ended(owner).code == 0
    assert host.server.values("run", "loss") == [float(step) for step in range(2000)]
    assert host.server.run("run").status == "COMPLETED"


def test_a_run_of_a_dead_owner_is_delivered_though_a_living_process_has_its_pid(host: Host):
    """In a namespace of its own each first program has the same pid."""
    under = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*under, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no pid namespace can be made here")
    source = host.write("""
        run = begin()
        run.log("loss", 1.0)
        run.flush()
        print(os.getpid(), flush=True)
        signal.pause()
    """)
    dead, living = (host.start(source, name=name, under=under) for name in ("dead", "living"))
    assert line(dead) == line(living) == "1"
    dead.kill()
    ended(dead)
    host.server.wait_for("dead", "CRASHED")  # by the living one
    assert host.server.run("living").status == "RUNNING"
    living.kill()
    ended(living)


def test_a_killed_run_is_resumed_by_a_new_owner(host: Host):
    killed = host.start("run = begin()\nrun.log('loss', 1.0)\nprint(run.uuid, flush=True)\nsignal.pause()")
    uuid = line(killed)
    killed.send_signal(signal.SIGKILL)
    ended(killed)
    done = host.run(
        """
        import steplog
        run = steplog.attach(sys.argv[1], owner=True)
        run.log("loss", 2.0)
        assert run.finish().delivered == 2
        """,
        uuid,
    )
    assert (done.code, done.errors) == (0, "")
    assert host.server.run("run").status == "COMPLETED"
    assert sorted(host.server.values("run", "loss")) == [1.0, 2.0]


def test_a_child_that_makes_a_run_of_its_own_finishes_that_one(host: Host):
    done = host.run("""
        run = begin("parent")
        pid = os.fork()
        if pid == 0:
            begin("child").log("loss", 1.0)
            sys.exit(3)
        os.waitpid(pid, 0)
    """)
    assert (done.code, done.errors) == (0, "")
    assert (host.server.run("parent").status, host.server.run("child").status) == ("COMPLETED", "CRASHED")


def test_workers_that_have_ended_cost_no_descriptor(host: Host):
    """Each kept one for as long as the run lived, and the records of the sixtieth could not be read."""
    done = host.run("""
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (48, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        run = begin()
        for number in range(60):
            pid = os.fork()
            if pid == 0:
                run.log("loss", float(number), number)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        assert run.flush(60.0)
        print(len(os.listdir("/proc/self/fd")) < 30)
        run.log("loss", 60.0, 60)
        report = run.finish()
        print(report.pending, report.faults)
    """)
    assert (done.code, done.out) == (0, "True\n0 0\n"), done.errors
    assert sorted(host.server.values("run", "loss")) == [float(number) for number in range(61)]


def test_an_open_run_costs_two_descriptors_and_a_forked_child_inherits_none(host: Host):
    done = host.run("""
        def descriptors():
            return len(os.listdir("/proc/self/fd"))

        begin("warm", activate=False).finish()
        before = descriptors()
        runs = [begin(f"run {number}", activate=False, provenance=False) for number in range(40)]
        for run in runs:
            run.log("loss", 1.0)
        each = (descriptors() - before - 4) / len(runs)
        pid = os.fork()
        if pid == 0:
            runs[0].log("loss", 2.0)
            os._exit(descriptors() - before > 4)
        assert os.waitpid(pid, 0)[1] == 0
        print(each <= 2)
        for run in runs:
            run.finish()
    """)
    assert (done.code, done.out, done.errors) == (0, "True\n", "")
