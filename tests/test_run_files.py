"""What a program does with files and artifacts of its run, where there is no server: nothing waits, nothing is lost."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import steplog
from apart import apart
from polling import wait_until
from steplog import Artifact, ArtifactNotFoundError, RunFile, RunFileNotFoundError, RunFinishedError
from steplog.blobs.waiting_files import WaitingFiles
from steplog.errors import ServerUnavailableError
from steplog.files import chosen
from steplog.files.chosen import Chosen
from steplog.journal.jsonable import NoRoomError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with two files, of a program without a server."""
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("STEPLOG_MEMORY_DIR", str(tmp_path / "memory"))
    (tmp_path / "memory").mkdir()
    (tmp_path / "work/ckpt").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    Path("ckpt/1.pt").write_bytes(b"one")
    Path("ckpt/2.pt").write_bytes(b"two")
    return tmp_path / "work"


def begin(**given: Any) -> steplog.Run:
    return steplog.init("team", "mnist", **({"mode": "offline"} | given))


def contents(files: list[RunFile]) -> dict[str, bytes]:
    return {file.path: file.read() for file in files}


@apart
def test_saved_files_are_copies_that_wait_on_this_machine(here: Path):
    run = begin()

    assert run.save("ckpt/*.pt") == ["ckpt/1.pt", "ckpt/2.pt"]
    Path("ckpt/1.pt").write_bytes(b"changed")

    assert contents(run.files()) == {"ckpt/1.pt": b"one", "ckpt/2.pt": b"two"}
    assert all(file.waits for file in run.files())
    assert contents(run.files("ckpt/2")) == {"ckpt/2.pt": b"two"}


@apart
def test_of_a_file_that_is_saved_again_the_last_one_counts(here: Path):
    run = begin()
    for data in (b"first", b"second", b"third"):
        Path("a.pt").write_bytes(data)
        assert run.save("a.pt") == ["a.pt"]

    assert contents(run.files()) == {"a.pt": b"third"}
    assert run.file("a.pt").read() == b"third"


@apart
@pytest.mark.parametrize("given", ["ckpt", "ckpt/*.pt"])
def test_a_file_that_goes_away_before_its_copy_is_left_out(here: Path, monkeypatch: pytest.MonkeyPatch, given: str):
    def lose_one(choose: Callable[..., Chosen], *arguments: Any) -> Chosen:
        found = choose(*arguments)
        Path("ckpt/2.pt").unlink()
        return found

    run = begin()
    for name in ("chosen_to_save", "chosen_for_artifact"):
        monkeypatch.setattr(chosen, name, partial(lose_one, getattr(chosen, name)))

    assert run.save(given) == ["ckpt/1.pt"]
    Path("ckpt/2.pt").write_bytes(b"two")
    assert [file.path for file in run.log_artifact("ckpt").files] == ["1.pt"]
    Path("ckpt/2.pt").write_bytes(b"two")
    with pytest.raises(FileNotFoundError):
        run.save(["ckpt/1.pt", "ckpt/2.pt"])


@apart
def test_what_was_saved_is_there_after_the_run_has_ended(here: Path):
    run = begin(name="first try")
    run.save("ckpt")
    run.finish()

    found = steplog.open(run.uuid or "")
    wait_until(lambda: contents(found.files()) == {"ckpt/1.pt": b"one", "ckpt/2.pt": b"two"})
    assert found.file("ckpt/2.pt").download() == Path("files/first-try/ckpt/2.pt")
    assert (here / "files/first-try/ckpt/2.pt").read_bytes() == b"two"
    with pytest.raises(RunFileNotFoundError, match="did you mean"):
        found.file("ckpt/3.pt")


@apart
def test_the_file_of_a_logged_value_is_read_before_any_server_has_it(here: Path):
    run = begin(name="first")
    page = "<b>" + "x" * 100_000
    run.log("page", steplog.Html(page), step=3)
    (logged,) = run.files(logged=True)
    assert run.files() == []
    assert run.file(logged.id).read().decode() == page
    run.finish()

    found = steplog.open("first")
    (row,) = found.history("page")
    wait_until(lambda: [file.id for file in found.files(logged=True)] == [logged.id])
    file = found.file(row["page"])
    assert (file.id, file.waits, file.read().decode()) == (logged.id, True, page)
    assert file.download().name == f"{logged.id}.html"


@apart
def test_a_pattern_that_matches_nothing_is_said_once_and_no_error(here: Path, caplog: pytest.LogCaptureFixture):
    run = begin()
    assert [run.save("*.onnx"), run.save("*.onnx"), run.save([])] == [[], [], []]

    assert caplog.text.count("no file is found; nothing is kept") == 1


@apart
def test_what_is_left_out_of_a_directory_is_said(here: Path, caplog: pytest.LogCaptureFixture):
    os.mkfifo("ckpt/pipe")
    run = begin()

    assert run.save("ckpt") == ["ckpt/1.pt", "ckpt/2.pt"]
    assert "ckpt/pipe: no regular file" in caplog.text


@apart
def test_a_wrong_path_raises_and_keeps_nothing(here: Path):
    run = begin()
    os.mkfifo("pipe")

    for wrong, error in (("pipe", ValueError), ("/dev/zero", ValueError), (3, TypeError), ("s3://a/b", ValueError)):
        with pytest.raises(error):
            run.save(["ckpt/1.pt", wrong])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="base_path"):
        run.save("/etc/hostname", base_path=here)
    assert run.files() == []


@apart
def test_a_training_goes_on_where_there_is_no_room(
    here: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    def full(*given: Any, **more: Any) -> None:
        raise NoRoomError

    run = begin()
    monkeypatch.setattr(WaitingFiles, "save", full)
    monkeypatch.setattr(WaitingFiles, "save_artifact", full)

    assert run.save("ckpt") == []
    assert run.log_artifact("ckpt").wait(0) is None
    assert caplog.text.count("blob_bytes_max") == 1


@apart
def test_the_bound_of_files_on_disk_is_counted_and_said(
    here: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("STEPLOG_BLOB_BYTES_MAX", "2000000")
    Path("big.pt").write_bytes(b"x" * 3_000_000)
    run = begin()

    assert run.save(["ckpt/1.pt", "big.pt"]) == ["ckpt/1.pt"]
    assert run.stats().dropped == {"files full": 1}
    assert "the training goes on" in caplog.text


@apart
def test_an_artifact_on_its_way_can_be_used_and_read_by_its_run(here: Path):
    run = begin()
    artifact = run.log_artifact("ckpt", "cnn", "model", ["best", "latest"], metadata={"acc": 0.5}, description="a try")

    assert (artifact.name, artifact.type, artifact.version) == ("cnn", "model", None)
    assert (artifact.aliases, artifact.metadata, artifact.description) == (("best", "latest"), {"acc": 0.5}, "a try")
    assert contents(artifact.files) == {"1.pt": b"one", "2.pt": b"two"}
    for name in ("cnn", "cnn:latest", "cnn:best"):
        assert (run.use_artifact(name).download(here / "out") / "1.pt").read_bytes() == b"one"
    assert run.files() == []
    assert artifact.wait(0) is None


@apart
def test_an_artifact_may_be_a_file_or_a_mapping_of_names(here: Path):
    run = begin()

    assert contents(run.log_artifact("ckpt/1.pt").files) == {"1.pt": b"one"}
    assert run.log_artifact("ckpt/1.pt").name == "1.pt"
    named = run.log_artifact({"weights": "ckpt/1.pt", "all": "ckpt"}, "cnn")
    assert set(contents(named.files)) == {"weights", "all/1.pt", "all/2.pt"}


@apart
def test_an_artifact_that_nobody_sends_is_not_waited_for(here: Path):
    """A wait of ``finish_timeout_s`` would be in vain."""
    artifact = begin().log_artifact("ckpt")
    began = time.monotonic()

    assert artifact.wait() is None
    assert time.monotonic() - began < 30


@apart
def test_a_wrong_artifact_raises_and_keeps_nothing(here: Path):
    run = begin()
    Path("empty").mkdir()
    wrong: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"path": "nothing"}, FileNotFoundError),
        ({"path": "empty"}, ValueError),
        ({"path": {"a": "ckpt"}}, ValueError),
        ({"path": "ckpt", "name": "a/b"}, ValueError),
        ({"path": "ckpt", "name": 3}, TypeError),
        ({"path": "ckpt", "name": ".."}, ValueError),
        ({"path": "ckpt", "type": None}, TypeError),
        ({"path": "ckpt", "type": "a\nb"}, ValueError),
        ({"path": "ckpt", "aliases": ["v3"]}, ValueError),
        ({"path": "ckpt", "aliases": [3]}, TypeError),
        ({"path": "ckpt", "aliases": map(str, range(17))}, ValueError),
        ({"path": "ckpt", "metadata": [1]}, TypeError),
        ({"path": "ckpt", "metadata": {"a": object()}}, TypeError),
        ({"path": "ckpt", "metadata": {"a": "x" * 70_000}}, ValueError),
        ({"path": "ckpt", "description": "x" * 70_000}, ValueError),
    ]
    for given, error in wrong:
        with pytest.raises(error):
            run.log_artifact(**given)
    assert run.stats().files == 0


@apart
def test_metadata_is_kept_as_log_keeps_values(here: Path):
    numpy = pytest.importorskip("numpy")
    run = begin()

    artifact = run.log_artifact("ckpt", metadata={"acc": numpy.float32(0.5), "nan": float("nan"), 3: Path("a")})

    assert artifact.metadata == {"acc": 0.5, "nan": "NaN", "3": "a"}


@apart
def test_an_artifact_that_no_server_can_be_asked_for_says_what_to_do(here: Path):
    run = begin()

    with pytest.raises(ServerUnavailableError, match="online run"):
        run.use_artifact("cnn:v3")
    with pytest.raises(ValueError, match="version"):
        run.use_artifact("cnn:")


@apart
def test_a_finished_run_takes_no_files(here: Path):
    run = begin()
    run.finish()

    for call in (run.save, run.log_artifact):
        with pytest.raises(RunFinishedError, match="no more files"):
            call("ckpt")


@apart
def test_a_disabled_run_has_the_same_calls_and_keeps_nothing(here: Path):
    run = begin(mode="disabled")

    assert run.save("ckpt/*.pt") == ["ckpt/1.pt", "ckpt/2.pt"]
    artifact = run.log_artifact("ckpt", "cnn")
    assert isinstance(artifact, Artifact)
    assert (artifact.wait(), artifact.files, run.files()) == (None, [], [])
    with pytest.raises(RunFileNotFoundError):
        run.file("ckpt/1.pt")
    with pytest.raises(ArtifactNotFoundError, match=r"as steplog\.artifact\(project, name\) does"):
        run.use_artifact("cnn")
    with pytest.raises(ValueError, match="no regular file"):
        run.save("/dev/zero")


@apart
def test_a_forked_child_saves_into_the_run(here: Path):
    run = begin()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if run.save("ckpt/1.pt") == ["ckpt/1.pt"] and contents(run.files()) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    run.finish()

    wait_until(lambda: contents(steplog.open(run.uuid or "").files()) == {"ckpt/1.pt": b"one"})


@apart
def test_a_run_that_was_passed_on_saves(here: Path):
    run = begin()
    passed = pickle.loads(pickle.dumps(run))

    assert passed.save("ckpt/1.pt") == ["ckpt/1.pt"]
    assert contents(passed.files()) == {"ckpt/1.pt": b"one"}
