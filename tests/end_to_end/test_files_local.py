"""Files of real programs on this machine: what a process took is on disk, whoever of them lives."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from end_to_end.programs import PRELUDE, Host, ended, line
from polling import wait_until
from steplog.blobs.waiting_files import WaitingFiles
from steplog.journal.directories import JournalRoots, RunPaths

MEDIA = (
    PRELUDE
    + """
from pathlib import Path
from steplog.media_value import LOGGED_BYTES_MAX, Content, MediaValue

class Blob(MediaValue):
    def __init__(self, data):
        self.data = data

    def content(self, bytes_max=LOGGED_BYTES_MAX):
        return Content("image", "image/png", ".png", [self.data], {"width": len(self.data)})

def open_run():
    from steplog.lifecycle.open_run import open_runs
    return open_runs()[0]

"""
)
NO_MEMORY = {"STEPLOG_MEMORY_DIR": "/dev/null/nowhere"}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A machine without a server."""
    return Host(tmp_path, None)


def program(host: Host, source: str) -> Path:
    return host.write(source, MEDIA)


def waiting(host: Host) -> WaitingFiles:
    """The files of its only run, taken in by who holds the run next."""
    name = next(path.name for path in host.state.iterdir() if "." in path.name and path.is_dir())
    local_id, host_id = name.split(".")
    memory = Path(host.environment["STEPLOG_MEMORY_DIR"])
    paths: RunPaths = JournalRoots(memory, host.state, host_id).run(local_id)
    files = WaitingFiles(paths)
    files.hold()
    while files.take_in():
        pass
    return files


def contents(files: WaitingFiles) -> list[bytes]:
    return sorted(files.read(entry.sha256, 0, entry.size) for entry in files.entries())


def test_what_log_and_save_took_is_on_disk_soon_and_counted(host: Host):
    done = host.run(
        program(
            host,
            """
            from polling import wait_until
            run = begin(mode="offline")
            data = bytearray(b"first")
            run.log("x", Blob(data), step=1)
            data[:] = b"later"
            run.log({"y": [Blob(b"one"), {"z": Blob(b"two")}], "loss": 1.0})
            Path("saved").write_bytes(b"saved")
            open_run().files.save(Path("saved"), "saved")
            wait_until(lambda: len(open_run().files.entries()) == 4)
            stats = run.stats()
            print(stats.files, stats.files_pending, stats.files_lost, stats.logged)
            run.finish()
            """,
        )
    )
    assert (done.code, done.out) == (0, "4 4 0 3\n"), done.errors
    assert contents(waiting(host)) == [b"first", b"one", b"saved", b"two"]


@pytest.mark.parametrize("kind", ["SIGKILL", "SIGTERM"])
def test_a_killed_process_loses_none_of_the_files_that_it_took(host: Host, kind: str):
    started = host.start(
        program(
            host,
            """
            run = begin(mode="offline")
            Path("saved").write_bytes(bytes(3_000_000))
            for n in range(50):
                run.log("x", Blob(b"%d" % n + bytes(20_000)), step=n)
            open_run().files.save(Path("saved"), "saved")
            print("taken", flush=True)
            sys.stdin.read()
            """,
        )
    )
    assert line(started) == "taken"
    started.send_signal(getattr(signal, kind))
    ended(started)
    files = waiting(host)
    assert len(files.entries()) == 51
    assert len(contents(files)) == 51
    assert (files.lost(), files.left()) == (0, 51)


@pytest.mark.parametrize("leaves", ["os._exit(0)", "sys.exit(0)"])
def test_a_forked_child_keeps_what_it_takes_whichever_way_it_ends(host: Host, leaves: str):
    done = host.run(
        program(
            host,
            f"""
            run = begin(mode="offline")
            Path("saved").write_bytes(b"saved")
            run.log("parent", Blob(b"parent"))
            pid = os.fork()
            if pid == 0:
                run.log("child", Blob(b"child"))
                open_run().files.save(Path("saved"), "saved")
                {leaves}
            assert os.waitpid(pid, 0)[1] == 0
            run.finish()
            """,
        )
    )
    assert done.code == 0, done.errors
    files = waiting(host)
    assert contents(files) == [b"child", b"parent", b"saved"]
    assert files.lost() == 0


def test_without_shared_memory_a_process_that_ends_has_its_files_on_disk(host: Host):
    done = host.run(
        program(
            host,
            """
            run = begin(mode="offline")
            run.log("x", Blob(b"private" * 100_000))
            print(run.stats().files)
            pid = os.fork()
            if pid == 0:
                run.log("child", Blob(b"of a worker"))
                sys.exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            """,
        ),
        **NO_MEMORY,
    )
    assert (done.code, done.out) == (0, "1\n"), done.errors
    assert contents(waiting(host)) == [b"of a worker", b"private" * 100_000]


def test_a_file_that_neither_memory_nor_disk_takes_is_lost_and_not_kept(host: Host):
    done = host.run(
        program(
            host,
            """
            import resource
            run = begin(mode="offline")
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            run.log("x", Blob(b"private" * 100_000))
            report = run.finish(timeout=1)
            print(report.files, report.files_pending, report.files_lost)
            """,
        )
    )
    assert done.out == "1 0 1\n", done.errors


def test_a_kill_counts_the_files_that_were_in_private_memory_as_lost(host: Host):
    """They are private where shared memory is full."""
    done = host.run(
        program(
            host,
            """
            import signal
            run = begin(mode="offline")
            taken = open_run().files._media
            taken._directory = lambda: None  # as where shared memory is full
            open_run().process.agent.start_files = lambda: None
            for n in range(3):
                run.log("x", Blob(b"private"))
            print(run.stats().files, run.stats().files_lost, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
            """,
        )
    )
    assert (done.code, done.out) == (-signal.SIGKILL, "3 0\n"), done.errors
    later = host.run(
        """
        from steplog.lifecycle.recovery import journals
        (run,) = journals()
        print(run.files, run.files_lost)
        """
    )
    assert later.out == "0 3\n", later.errors


@pytest.mark.slow
def test_a_file_without_room_is_counted_and_the_training_goes_on(host: Host):
    done = host.run(
        program(
            host,
            """
            run = begin(mode="offline")
            agent = open_run().process.agent
            agent.start_files = lambda: None
            for n in range(10):
                run.log({"image": Blob(bytes(50_000)), "loss": 1.0}, step=n)
            stats = run.stats()
            print(stats.files, dict(stats.dropped), stats.logged)
            """,
        ),
        STEPLOG_BLOB_MEMORY_BYTES_MAX=str(256 * 1024),
        STEPLOG_QUIET="0",
    )
    assert done.out == "4 {'files full': 6} 20\n", done.errors
    full = "media take all of the memory that they may (blob_memory_bytes_max)"
    assert done.errors.count(f"images and the like are dropped, and counted: {full}; log fewer, or smaller ones") == 1


def test_a_record_that_is_not_taken_leaves_no_file(host: Host):
    done = host.run(
        program(
            host,
            """
            run = begin(mode="offline")
            open_run().process.agent.start_files = lambda: None
            for value in ([Blob(b"x"), object()], [Blob(b"x"), "y" * 2_000_000]):
                try:
                    run.log("strict", value)
                except (TypeError, ValueError):
                    print(open_run().files.left(), run.stats().files)
            try:
                run.log({"a": Blob(b"x"), "b": object()})
            except TypeError:
                print(open_run().files.left(), run.stats().files)
            """,
        ),
        STEPLOG_STRICT="1",
    )
    assert done.out == "0 0\n" * 3, done.errors


def test_values_dropped_since_memory_is_full_leave_no_file(host: Host):
    done = host.run(
        program(
            host,
            """
            run = begin(mode="offline")
            agent = open_run().process.agent
            agent.start_files = lambda: None
            open_run().process.disk.files.write = lambda *given: 1 / 0
            text = "t" * 4000
            while not run.stats().dropped:
                run.log("x", text)
            for n in range(50):
                run.log("y", [Blob(b"abc"), text])
            stats = run.stats()
            print(stats.dropped["memory full"] >= 50, open_run().files.left())
            os._exit(0)
            """,
        ),
        STEPLOG_MEMORY_BYTES_MAX=str(128 * 1024),
    )
    assert done.out == "True 0\n", done.errors


def test_no_thread_for_files_starts_before_the_first_one(host: Host):
    done = host.run(
        program(
            host,
            """
            from polling import wait_until
            run = begin(mode="offline")
            names = lambda: [thread.name for thread in threading.enumerate()]
            run.log("x", 1.0)
            run.flush()
            print("steplog-files" in names())
            run.log("x", Blob(b"a file"))
            wait_until(lambda: "steplog-files" in names())
            """,
        )
    )
    assert (done.code, done.out) == (0, "False\n"), done.errors


def test_memory_removed_under_a_program_loses_what_was_not_on_disk_and_says_so(host: Host):
    done = host.run(
        program(
            host,
            """
            import shutil
            from polling import wait_until
            run = begin(mode="offline")
            agent = open_run().process.agent
            start, agent.start_files = agent.start_files, lambda: None
            run.log("x", Blob(b"gone"))
            shutil.rmtree(open_run().paths.memory)
            agent.start_files = start
            run.log("x", Blob(b"here"))
            wait_until(lambda: open_run().files.entries() and run.stats().files_lost == 1)
            run.log("x", Blob(b"afterwards"))
            wait_until(lambda: len(open_run().files.entries()) == 2)
            print(run.stats().files, run.stats().files_pending, run.stats().files_lost)
            """,
        )
    )
    assert (done.code, done.out) == (0, "3 2 1\n"), done.errors


@pytest.mark.slow
def test_a_program_whose_disk_is_full_keeps_media_in_memory_and_says_it_once(host: Host):
    done = host.run(
        program(
            host,
            """
            import errno
            from polling import wait_until
            run = begin(mode="offline")
            files, create = open_run().process.disk.files, open_run().process.disk.files.create
            def fails(path):
                if "/files/" in str(path):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
                return create(path)
            files.create = fails
            run.log("x", Blob(b"waits"))
            wait_until(lambda: open_run().files.trouble)
            print(open_run().files.left())
            files.create = create
            wait_until(lambda: open_run().files.entries() and open_run().files.trouble is None)
            print("written")
            """,
        )
    )
    assert (done.code, done.out) == (0, "1\nwritten\n"), done.errors
    assert done.errors.count("cannot write the files of run") == 1
    wait_until(lambda: contents(waiting(host)) == [b"waits"])
