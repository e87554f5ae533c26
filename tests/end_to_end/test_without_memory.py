"""Several processes where there is no usable shared memory: the workers' records come to the agent over the disk."""

from __future__ import annotations

import pytest

from end_to_end.programs import Host, ended, go_on, line

NO_MEMORY = {"STEPLOG_MEMORY_DIR": "/dev/null/nowhere"}
CHILD = """
run = begin()
run.log("parent", 1.0)
pid = os.fork()
if pid == 0:
    for number in range(1000):
        run.log("child", number)
    {leaves}
assert os.waitpid(pid, 0)[1] == 0
report = run.finish()
print(report.pending)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "leaves", ["sys.exit(0)", "assert run.flush(20)\n    os._exit(0)", "run.finish(20)\n    sys.exit(0)"]
)
def test_without_shared_memory_a_childs_records_arrive_once_by_the_end_of_finish(host: Host, leaves: str):
    done = host.run(CHILD.format(leaves=leaves), **NO_MEMORY)
    assert done.code == 0, done.errors
    assert host.server.values("run", "child") == list(range(1000))
    assert host.server.values("run", "parent") == [1]
    assert host.server.run("run").status == "COMPLETED"
    assert host.manifests() == []


def test_without_shared_memory_a_child_of_multiprocessing_loses_nothing_at_its_end(host: Host):
    done = host.run(
        """
        import multiprocessing

        def work(run):
            for number in range(1000):
                run.log("child", number)

        if __name__ == "__main__":
            run = begin()
            child = multiprocessing.get_context("fork").Process(target=work, args=(run,))
            child.start()
            child.join()
            assert child.exitcode == 0
            run.finish()
        """,
        **NO_MEMORY,
    )
    assert done.code == 0, done.errors
    assert host.server.values("run", "child") == list(range(1000))


@pytest.mark.slow
def test_without_shared_memory_a_child_that_exits_at_once_loses_one_interval_at_most(host: Host):
    done = host.run(
        """
        from polling import wait_until
        run = begin()
        pid = os.fork()
        if pid == 0:
            for number in range(1000):
                run.log("early", number)
            wait_until(lambda: run.stats().durable >= 1000, 1.5)  # an interval is one second
            run.log("late", 1.0)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        run.finish()
        """,
        **NO_MEMORY,
    )
    assert done.code == 0, done.errors
    assert host.server.values("run", "early") == list(range(1000))


@pytest.mark.slow
def test_without_shared_memory_a_child_outlives_its_parent_and_delivers_what_is_left(host: Host):
    done = host.run(
        """
        from polling import wait_until
        run = begin()
        reading, writing = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            for number in range(1000):
                run.log("child", number)
            os.write(writing, b"1")
            os.close(writing)
            wait_until(lambda: os.getppid() != parent)
            deadline = time.monotonic() + 30
            while not run.flush(1) and time.monotonic() < deadline:
                pass
            sys.exit(0)
        os.read(reading, 1)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        **NO_MEMORY,
    )
    assert done.code == -9, done.errors
    host.server.wait_for_points("run", 1000)
    assert host.server.values("run", "child") == list(range(1000))


@pytest.mark.slow
def test_a_child_without_memory_and_disk_counts_its_drops_and_reports_them_once(host: Host):
    done = host.run(
        """
        run = begin()
        pid = os.fork()
        if pid == 0:
            for number in range(1000):
                run.log("child", number)
            print(dict(run.stats().dropped), flush=True)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        run.log("parent", 1.0)
        run.finish()
        """,
        STEPLOG_DIR="/dev/null/nowhere",
        **NO_MEMORY,
    )
    assert (done.code, done.out) == (0, "{'no place': 1000}\n"), done.errors
    assert done.errors.count("what it logs is dropped") == 1
    assert host.server.values("run", "parent") == [1]


def test_a_child_that_finds_shared_memory_full_loses_nothing_at_its_end(host: Host):
    fill = "memory = os.environ['STEPLOG_MEMORY_DIR']\nos.makedirs(memory, 0o700, exist_ok=True)\n"
    fill += "open(memory + '/others', 'wb').write(b'x' * 1024 * 1024)\n"
    done = host.run(fill + CHILD.format(leaves="sys.exit(0)"), STEPLOG_MEMORY_BYTES_MAX="1048576")
    assert done.code == 0, done.errors
    assert host.server.values("run", "child") == list(range(1000))


@pytest.mark.slow
def test_without_shared_memory_a_child_is_delivered_while_it_logs_and_frees_its_disk(host: Host):
    done = host.run(
        """
        from pathlib import Path
        from polling import wait_until
        run = begin()
        pid = os.fork()
        if pid == 0:
            for number in range(3000):
                run.log("child", number)
                if number % 1000 == 999:
                    wait_until(lambda: run.stats().durable > number, 20)
            assert run.flush(20)
            wait_until(lambda: not list(Path(os.environ["STEPLOG_DIR"]).glob("*/*/*.spool")), 20)
            run.log("child", 3000)
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        run.finish()
        """,
        **NO_MEMORY,
    )
    assert done.code == 0, done.errors
    assert host.server.values("run", "child") == list(range(3001))
    assert host.manifests() == []


@pytest.mark.slow
def test_without_shared_memory_a_killed_childs_spool_arrives_once_after_an_outage(host: Host):
    with host.start(
        """
        from polling import wait_until
        run = begin()
        print("ready", flush=True)
        sys.stdin.readline()
        pid = os.fork()
        if pid == 0:
            for number in range(1000):
                run.log("child", number)
            wait_until(lambda: run.stats().durable >= 1000)
            os.kill(os.getpid(), signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        print("killed", flush=True)
        sys.stdin.readline()
        run.finish()
        """,
        **NO_MEMORY,
    ) as program:
        assert line(program) == "ready"
        with host.silence():
            go_on(program)
            assert line(program) == "killed"
        go_on(program)
        assert ended(program).code == 0
    assert host.server.values("run", "child") == list(range(1000))
    assert host.server.run("run").status == "COMPLETED"


@pytest.mark.slow
def test_without_shared_memory_a_child_turned_agent_leaves_nothing_in_its_memory(host: Host):
    done = host.run(
        """
        from polling import wait_until
        run = begin()
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            run.log("child", 0)
            os.close(writing)
            os.read(reading, 1)  # until the parent is dead
            wait_until(lambda: run._opened.lease is not None)
            for number in range(1, 1000):
                run.log("child", number)
            sys.exit(0)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        **NO_MEMORY,
    )
    assert done.code == -9, done.errors
    host.deliver("run", "CRASHED", points=1000)
    assert host.server.values("run", "child") == list(range(1000))
