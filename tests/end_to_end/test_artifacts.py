"""Files and artifacts from one program to another, through a server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import steplog
from apart import apart
from end_to_end.programs import Host, ended, go_on, line
from server.process import ServerProcess, lasting_port
from steplog import ArtifactNotFoundError, ProjectNotFoundError, RunFileNotFoundError


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team") as started:
        yield started


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("stock"), "--user", "team", "--stock") as started:
        yield started


@pytest.fixture
def host(tmp_path: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> Host:
    """This process is a program of it, in a directory with some files."""
    made = Host(tmp_path, server)
    made.configure(monkeypatch)
    place = tmp_path / "work"
    (place / "data/deep").mkdir(parents=True)
    (place / "data/a.bin").write_bytes(os.urandom(3_000_000))
    (place / "data/deep/b.txt").write_text("b")
    (place / "data/empty").touch()
    monkeypatch.chdir(place)
    return made


def begin(host: Host, name: str = "run") -> steplog.Run:
    return steplog.init("team", host.project, name)


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@apart
def test_saved_files_come_back_as_they_were_saved(host: Host):
    with begin(host) as run:
        assert sorted(run.save("data")) == ["data/a.bin", "data/deep/b.txt", "data/empty"]
        before = tree(Path("data"))
        Path("data/a.bin").write_bytes(b"changed")
        assert run.flush()
        assert {file.path: file.waits for file in run.files()} == dict.fromkeys(
            ["data/a.bin", "data/deep/b.txt", "data/empty"], False
        )
    assert run.stats().files_pending == 0

    found = steplog.open(f"{host.project}/run")
    for file in found.files():
        file.download("out")
    assert tree(Path("out/data")) == before
    assert [file.path for file in found.files("data/deep")] == ["data/deep/b.txt"]


@apart
def test_an_artifact_that_has_arrived_is_used_as_its_version(host: Host, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("steplog.blobs.waiting_files.WaitingFiles.forget", lambda self, ids: None)  # still here, too
    with begin(host) as run:
        assert run.log_artifact("data", "set").wait(30) == "v0"
        assert run.use_artifact("set").version == "v0"
        assert [each.name for each in steplog.artifacts(host.project)] == ["set"]


@apart
def test_the_file_of_a_logged_value_is_read_by_the_value(host: Host):
    page = "<b>" + "x" * 100_000
    with begin(host) as run:
        for step in range(3):
            run.log("page", steplog.Html(f"{page}{step}"), step=step)

    found = steplog.open(f"{host.project}/run")
    values = [row["page"] for row in found.history("page")]
    assert [found.file(value).read().decode() for value in values] == [f"{page}{step}" for step in range(3)]
    assert found.files() == []
    assert sorted(file.id for file in found.files(logged=True)) == sorted(value["file"] for value in values)


@apart
def test_an_artifact_goes_from_one_run_to_another(host: Host):
    with begin(host, "first") as run:
        logged = run.log_artifact("data", "set", "dataset", ["best"], metadata={"rows": 3}, description="some data")
        assert logged.wait() == "v0"
        assert (logged.version, logged.run) == ("v0", run.uuid)

    with begin(host, "second") as run:
        for name in ("set", "set:v0", "set:best", f"{host.project}/set:latest", f"team/{host.project}/set"):
            used = run.use_artifact(name)
            assert (used.name, used.version, used.type, used.metadata) == ("set", "v0", "dataset", {"rows": 3})
        assert used.aliases == ("latest", "best") or set(used.aliases) == {"latest", "best"}
        assert used.description == "some data"
        root = used.download()
    assert root == Path("artifacts/set-v0")
    assert tree(root) == tree(Path("data"))


@apart
def test_versions_are_numbered_and_equal_files_are_the_same_version(host: Host):
    versions = []
    with begin(host) as run:
        for text in ("one", "two", "two", "one"):
            Path("model.txt").write_text(text)
            versions.append(run.log_artifact("model.txt", "model", "model", [f"is-{text}"]).wait())

    assert versions == ["v0", "v1", "v1", "v2"]
    assert steplog.artifact(host.project, "model:is-two").version == "v1"
    assert steplog.artifact(host.project, "model:is-one").version == "v2"
    assert [each.version for each in steplog.artifacts(host.project, "model")] == ["v2", "v1", "v0"]
    assert steplog.artifact(f"team/{host.project}", "model").file("model.txt").read() == b"one"
    assert {each.name for each in steplog.artifacts(host.project, run=run.uuid)} == {"model"}
    assert steplog.artifacts(host.project, type="dataset") == []


@apart
def test_files_keep_their_names_whatever_these_are(host: Host):
    names = [
        "a b.txt",
        "é ü/日本.json",
        "x.tar.gz",
        "no_suffix",
        ".hidden",
        "a.very-long_suffix-of_a-file",
        "a?b=c&d#e%20.f",
    ]
    names += ["quote'\"s.png", "emoji😀.bin", "..dots..", "a+b;c.html", "C:\\x.txt", "x" * 200]
    for name in names:
        (Path("odd") / name).parent.mkdir(parents=True, exist_ok=True)
        (Path("odd") / name).write_text(name)
    with begin(host) as run:
        assert sorted(run.save("odd", base_path="odd")) == sorted(names)
        run.log_artifact("odd", "odd").wait()

    found = steplog.open(f"{host.project}/run")
    assert {file.path: file.read().decode() for file in found.files()} == dict(zip(names, names, strict=True))
    assert all(found.file(name).download("out").read_text() == name for name in names)
    assert tree(steplog.artifact(host.project, "odd").download("out2")) == tree(Path("odd"))


@pytest.mark.slow
@apart
def test_an_artifact_of_many_small_files_arrives_whole(host: Host):
    """Once, what had not been sent was forgotten with the first 64 files that had."""
    Path("many").mkdir()
    for number in range(300):
        Path(f"many/{number}.txt").write_text(f"{number}")
    with begin(host) as run:
        assert run.log_artifact("many", "many").wait() == "v0"
        assert run.stats().files_pending == 0

    found = steplog.artifact(host.project, "many")
    assert all(file.present for file in found.files)
    assert tree(found.download("out")) == tree(Path("many"))


@apart
def test_another_process_of_a_run_saves_and_logs_artifacts(host: Host):
    """The process that delivers the run sends them."""
    call = """if True:
        import sys, steplog
        run = steplog.attach(sys.argv[1])
        run.save("data/deep/b.txt")
        print(run.log_artifact("data", "of-worker").wait(), [file.path for file in run.files()])
        run.finish()
    """
    with begin(host) as run:
        command = [sys.executable, "-c", call, str(run.uuid)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
        assert done.stdout == "v0 ['data/deep/b.txt']\n", done.stderr
        assert run.use_artifact("of-worker").version == "v0"
        assert run.file("data/deep/b.txt").read() == b"b"


@pytest.mark.slow
def test_a_run_that_began_while_its_server_was_away_has_its_use_noted(tmp_path: Path):
    directory = tmp_path / "server"
    directory.mkdir()
    with ServerProcess(directory, "--user", "team", "--port", str(lasting_port())) as server:
        host = Host(tmp_path, server)
        made = host.run("""
            run = begin("first")
            print(run.log_artifact(__file__, "a").wait())
            run.finish()
        """)
        assert made.out == "v0\n"
        server.end(signal.SIGTERM)
        program = host.start("""
            run = begin("second")
            print("ready", flush=True)
            sys.stdin.readline()
            print(run.use_artifact("a").version, run.uuid)
            run.finish()
        """)
        assert line(program) == "ready"
        server.start()
        go_on(program)
        done = ended(program)
        assert done.code == 0, done.err
        version, uuid = done.out.split()
        used = server.ask("GET", f"/team/projects/{host.project}/artifacts/", params={"used_by": uuid}).json()
        assert (version, [each["name"] for each in used]) == ("v0", ["a"])


@apart
def test_what_is_not_there_says_what_is(host: Host):
    with begin(host) as run:
        run.log_artifact("data/deep/b.txt", "weights", "model").wait()
        with pytest.raises(ArtifactNotFoundError, match="did you mean 'weights'"):
            run.use_artifact("weight")
        with pytest.raises(ArtifactNotFoundError, match="it has v0"):
            run.use_artifact("weights:v7")
        with pytest.raises(ProjectNotFoundError):
            run.use_artifact("nothing-like-it/weights")
        with pytest.raises(RunFileNotFoundError):
            run.file("nothing")


@apart
def test_files_of_an_offline_run_come_with_sync(host: Host):
    run = steplog.init("team", host.project, "late", mode="offline")
    run.save("data/deep/b.txt")
    run.log_artifact("data", "late-data")
    run.finish()

    assert [each.pending for each in steplog.sync()] == [0]
    assert steplog.open(f"{host.project}/late").file("data/deep/b.txt").read() == b"b"
    assert tree(steplog.artifact(host.project, "late-data").download()) == tree(Path("data"))


@apart
def test_what_was_saved_before_a_kill_arrives_with_the_next_sync(host: Host):
    call = """if True:
        import os, signal, sys, steplog
        run = steplog.init("team", sys.argv[1], "killed")
        run.save("data")
        run.log("page", steplog.Html("<b>" * 50_000), step=1)
        run.log_artifact("data", "of-killed", aliases=["last-words"])
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", call, host.project], capture_output=True, timeout=50, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr

    assert [each.pending for each in steplog.sync()] == [0]

    found = steplog.open(f"{host.project}/killed")
    assert found.status.value == "CRASHED"
    assert {file.path: file.read() for file in found.files()} == {
        f"data/{path}": data for path, data in tree(Path("data")).items()
    }
    (row,) = found.history("page")
    assert found.file(row["page"]).size == 150_000
    assert tree(steplog.artifact(host.project, "of-killed:last-words").download()) == tree(Path("data"))


@apart
def test_a_download_that_is_killed_goes_on_where_it_was(host: Host, tmp_path: Path):
    big = os.urandom(40_000_000)
    Path("big.bin").write_bytes(big)
    with begin(host) as run:
        run.log_artifact("big.bin", "big").wait()
    call = f"import steplog; steplog.artifact({host.project!r}, 'big').download('out')"
    download = subprocess.Popen([sys.executable, "-c", call])
    parts: list[Path] = []
    while not parts or parts[0].stat().st_size < 1_000_000:
        assert download.poll() is None, "it was over before it could be killed"
        parts = list(Path("out").glob(".steplog-*.part"))
    download.send_signal(signal.SIGKILL)
    download.wait()
    assert not Path("out/big.bin").exists()
    came = parts[0].stat().st_size

    steplog.artifact(host.project, "big").download("out")

    assert tree(Path("out")) == {"big.bin": big}
    assert came >= 1_000_000


@apart
def test_a_stock_server_keeps_no_files_which_is_said(
    host: Host, stock: ServerProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    Host(host.directory, stock).configure(monkeypatch)
    monkeypatch.delenv("STEPLOG_QUIET")
    with begin(host, "stock") as run:
        run.save("data/deep/b.txt")
        run.log("loss", 0.5)
        assert run.flush(5) in (True, False)
        assert [file.read() for file in run.files()] == [b"b"]
        with pytest.raises(steplog.SteplogError, match="keeps no files"):
            run.use_artifact("set")
    assert "keeps no files; those of this run are below kept-files in the state directory" in caplog.text
