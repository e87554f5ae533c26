"""``wandb.save``, ``run.dir`` and ``restore``: which files a run has, by which names, and as they were when."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import steplog.compat.wandb as wandb
from apart import apart


def kept(run: Any) -> dict[str, bytes]:
    """The saved files of a run."""
    return {file.path: file.read() for file in run.steplog_run.files()}


@pytest.fixture
def files() -> Path:
    """In the current directory."""
    Path("ckpt/deep").mkdir(parents=True)
    Path("ckpt/a.pt").write_text("a")
    Path("ckpt/deep/b.pt").write_text("b")
    Path("notes.txt").write_text("notes")
    return Path.cwd()


@apart
def test_files_have_the_names_that_wandb_gives_them(files):
    run = wandb.init()
    assert wandb.save("notes.txt") == [os.path.join(run.dir, "notes.txt")]
    run.save("ckpt/*")
    run.save("ckpt/deep/*", base_path="ckpt")
    run.save(str(files / "ckpt" / "deep" / "*"), policy="now")
    run.save("ckpt/*", base_path=str(files.parent), policy="now")
    assert set(kept(run)) == {"notes.txt", "ckpt/a.pt", "deep/b.pt", f"{files.name}/ckpt/a.pt"}


@apart
def test_what_is_returned_is_the_file_in_the_folder_of_the_run(files):
    run = wandb.init()
    (link,) = run.save("ckpt/*.pt")
    assert Path(link).read_text() == "a"
    assert Path(link).is_relative_to(run.dir)
    assert run.save("nothing*") == []
    assert run.save() is True
    assert run.save("s3://bucket/file") == []


@apart
def test_by_its_policy_a_file_is_kept_now_at_the_end_or_both(files):
    run = wandb.init()
    for name in ("live", "now", "end"):
        Path(name).write_text("early")
        run.save(name, policy=name)
    assert {name: kept(run).get(name) for name in ("live", "now", "end")} == {
        "live": b"early",
        "now": b"early",
        "end": None,
    }
    for name in ("live", "now", "end"):
        Path(name).write_text("later, and longer")
    run.conclude()
    late = b"later, and longer"
    assert {name: kept(run)[name] for name in ("live", "now", "end")} == {"live": late, "now": b"early", "end": late}


@apart
def test_what_is_written_to_the_folder_of_the_run_is_kept_at_its_end(files):
    run = wandb.init()
    Path(run.dir, "model").mkdir()
    Path(run.dir, "model", "weights.h5").write_text("w")
    run.finish()
    assert kept(run) == {"model/weights.h5": b"w"}


@apart
def test_a_run_that_was_asked_for_no_folder_makes_none(files):
    wandb.init().finish()
    assert not Path("steplog-runs").exists()


@apart
def test_the_programs_file_is_kept_where_that_is_asked_for(files, monkeypatch):
    Path("train.py").write_text("x = 1")
    monkeypatch.setattr("sys.argv", ["train.py"])
    run = wandb.init(save_code=True)
    assert kept(run) == {"code/train.py": b"x = 1"}


@apart
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"glob_str": "a", "policy": "sometimes"}, "policies"),
        ({"glob_str": "../a"}, "above the base path"),
        ({"glob_str": "a", "base_path": "b"}, "above the base path"),
        ({"glob_str": "a", "base_path": "a"}, "same as the base path"),
        ({"glob_str": "*"}, "may not start with"),
    ],
)
def test_what_wandb_refuses_raises(arguments, words):
    run = wandb.init()
    with pytest.raises(ValueError, match=words):
        run.save(**arguments)


@apart
def test_a_run_that_is_over_takes_no_file_and_the_program_goes_on(files):
    run = wandb.init()
    run.finish()
    assert run.save("notes.txt") == []
    artifact = wandb.Artifact("a", "t")
    artifact.add_file("notes.txt")
    assert run.log_artifact(artifact) is artifact


@apart
def test_a_saved_file_is_restored(files, tmp_path):
    run = wandb.init()
    run.save("notes.txt")
    assert wandb.restore("notes.txt").read() == "notes"
    with wandb.restore("notes.txt", root=str(tmp_path / "there")) as file:
        assert (file.read(), file.name) == ("notes", str(tmp_path / "there" / "notes.txt"))
    assert run.restore("nothing.txt") is None
    run.finish()
    with pytest.raises(ValueError, match="run_path required"):
        wandb.restore("notes.txt")


@apart
def test_the_api_lists_and_downloads_files(files, tmp_path):
    run = wandb.init(project="p", id="one")
    run.save("ckpt/*")
    run.save("notes.txt")
    run.finish()
    found = wandb.Api().run("p/one")
    assert [file.name for file in found.files()] == ["ckpt/a.pt", "notes.txt"]
    assert [file.name for file in found.files(pattern="%.txt")] == ["notes.txt"]
    (file,) = found.files(["notes.txt"])
    assert (file.size, file.download(root=str(tmp_path)).read()) == (5, "notes")
    with pytest.raises(ValueError, match="already exists"):
        file.download(root=str(tmp_path))
    assert file.download(root=str(tmp_path), exist_ok=True).read() == "notes"
    with pytest.raises(wandb.CommError, match="has no file"):
        found.file("nothing")
