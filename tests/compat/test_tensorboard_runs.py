"""Which run a ``SummaryWriter`` logs to, what that is called, and how it ends."""

from __future__ import annotations

import os
import pickle
import threading
import time
from datetime import datetime
from pathlib import Path

import pytest

import steplog
from apart import apart
from compat.offline import Offline
from end_to_end.fake import FakeServer
from steplog.compat.tensorboard import SummaryWriter
from steplog.compat.tensorboard.log_dirs import Names, default_log_dir, names, prefix
from steplog.testing.memory_server import Fault


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offline:
    return Offline(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("log_dir", "expected"),
    [
        ("runs/a", Names("runs", "a", None)),
        ("runs/a/", Names("runs", "a", None)),
        ("/data/cartpole/ppo_1", Names("cartpole", "ppo_1", None)),
        ("a", Names("runs", "a", None)),
        ("runs/a/train", Names("runs", "a/train", "a")),
        ("runs/a/Validation", Names("runs", "a/Validation", "a")),
        ("train", Names("runs", "train", None)),
        ("s3://bucket/mnist/a", Names("mnist", "a", None)),
    ],
)
def test_a_log_directory_names_a_run_and_its_project(log_dir: str, expected: Names):
    assert names(log_dir) == expected


def test_a_log_directory_that_is_here_is_called_as_the_directory(tmp_path, monkeypatch):
    (tmp_path / "mnist" / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "mnist" / "a")
    assert names(".") == Names("mnist", "a", None)


def test_without_a_log_directory_it_is_called_by_time_host_and_comment():
    assert default_log_dir("LR", datetime(2030, 5, 4, 22, 14, 54), "host") == "runs/May04_22-14-54_hostLR"  # noqa: DTZ001


@pytest.mark.parametrize(
    ("first", "other", "expected"),
    [
        ("runs/a", "runs/a", ("", "")),
        ("runs/a", "runs/a/eval", ("", "eval/")),
        ("runs/a/train", "runs/a/eval", ("train/", "eval/")),
        ("runs/a", "runs/a/epoch/3", ("", "epoch/3/")),
        ("runs/a", "runs/b", ("", "b/")),
        ("runs/a", "other/b", ("", "other/b/")),
    ],
)
def test_tags_of_a_run_are_named_from_its_first_log_directory(first: str, other: str, expected: tuple[str, str]):
    class Run:
        pass

    run = Run()
    assert (prefix(run, first), prefix(run, other)) == expected


@apart
def test_a_writer_alone_begins_a_run_of_its_log_directory_and_ends_it(offline: Offline):
    writer = SummaryWriter("runs/a")
    assert offline.runs() == []
    writer.add_scalar("loss", 0.5, 1)
    assert offline.status("a") == "RUNNING"
    writer.close()
    writer.close()
    assert (offline.runs(), offline.status("a")) == (["runs/a"], "COMPLETED")


@apart
def test_the_project_of_the_settings_is_that_of_a_run_of_its_own(offline: Offline, monkeypatch):
    monkeypatch.setenv("STEPLOG_PROJECT", "mnist")
    with SummaryWriter("runs/a") as writer:
        writer.add_scalar("loss", 0.5, 1)
    assert offline.runs() == ["mnist/a"]


@apart
def test_writers_of_different_directories_have_runs_of_their_own(offline: Offline):
    train, evaluation = SummaryWriter("runs/a/train"), SummaryWriter("runs/a/eval")
    train.add_scalar("loss", 0.5, 1)
    evaluation.add_scalar("loss", 0.25, 1)
    train.close()
    assert offline.status("a/eval") == "RUNNING"
    evaluation.close()
    assert offline.runs() == ["runs/a/train", "runs/a/eval"]
    assert [steplog.open(name).group for name in ("a/train", "a/eval")] == ["a", "a"]
    assert offline.points("a/eval", "loss") == [(1, 0.25)]


@apart
def test_writers_of_one_directory_share_a_run_which_the_last_one_ends(offline: Offline):
    first, second = SummaryWriter("runs/a"), SummaryWriter("./runs/a/")
    first.add_scalar("loss", 0.5, 1)
    second.add_scalar("loss", 0.25, 2)
    first.close()
    assert offline.status("a") == "RUNNING"
    second.close()
    assert (offline.runs(), offline.status("a")) == (["runs/a"], "COMPLETED")
    assert offline.points("a", "loss") == [(1, 0.5), (2, 0.25)]


@apart
def test_a_closed_writer_goes_on_with_its_run_and_so_does_another_of_its_directory(offline: Offline):
    writer = SummaryWriter("runs/a")
    for step in range(3):
        writer.add_scalar("loss", 0.5, step)
        writer.close()
    with SummaryWriter("runs/a") as again:
        again.add_scalar("loss", 0.25, 3)
    assert offline.runs() == ["runs/a"]
    assert [step for step, _ in offline.points("a", "loss")] == [0, 1, 2, 3]


@apart
def test_a_writer_whose_run_cannot_be_resumed_begins_another(offline: Offline):
    writer = SummaryWriter("runs/a")
    writer.add_scalar("loss", 0.5, 1)
    writer.close()
    assert len(steplog.clean("a")) == 1
    writer.add_scalar("loss", 0.25, 2)
    writer.close()
    assert offline.points("a", "loss") == [(2, 0.25)]


@apart
def test_a_disabled_writer_goes_on_after_its_close(offline: Offline, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STEPLOG_MODE", "disabled")
    for step in range(3):
        with SummaryWriter("runs/a") as writer:
            writer.add_scalar("loss", 0.5, step)
            writer.add_hparams({"step": step}, {})
            writer.flush()
    assert offline.runs() == []


@apart
def test_writers_join_the_active_run_and_do_not_end_it(offline: Offline):
    early = SummaryWriter("runs/a")  # made before the run
    with steplog.init(project="mnist", name="joined") as run:
        with early:
            early.add_scalar("loss", 0.5, 1)
        with SummaryWriter("runs/a/eval") as other:
            other.add_scalar("loss", 0.25, 1)
        run.log("own", 1)
    assert offline.runs() == ["mnist/joined"]
    assert offline.names("joined") == ["eval/loss", "loss", "own"]


@apart
def test_what_comes_after_a_joined_run_is_dropped_and_said_once(offline: Offline, caplog):
    writer = SummaryWriter("runs/a")
    with steplog.init(project="mnist", name="joined"):
        writer.add_scalar("loss", 0.5, 1)
    for step in range(3):
        writer.add_scalar("loss", 0.5, step)
    writer.add_hparams({"lr": 0.1}, {})
    assert offline.runs() == ["mnist/joined"]
    assert offline.points("joined", "loss") == [(1, 0.5)]
    assert [record.message for record in caplog.records if "goes on after its run" in record.message] != []
    assert len([record for record in caplog.records if "goes on after its run" in record.message]) == 1


@apart
def test_a_writer_joins_the_run_that_follows_the_one_it_joined(offline: Offline):
    writer = SummaryWriter("runs/a")
    for name in ("first", "second"):
        with steplog.init(project="mnist", name=name):
            writer.add_scalar("loss", 0.5, 1)
            writer.add_hparams({"name": name}, {})
    assert [offline.points(name, "loss") for name in ("first", "second")] == [[(1, 0.5)], [(1, 0.5)]]
    assert [steplog.open(name).config for name in ("first", "second")] == [{"name": "first"}, {"name": "second"}]


@apart
def test_other_hyperparameters_are_runs_beside_where_it_is_alone(offline: Offline):
    with SummaryWriter("runs/a") as writer:
        for lr in (0.1, 0.2, 0.2, 0.3):
            writer.add_hparams({"lr": lr}, {"hparam/loss": lr}, run_name="third" if lr == 0.3 else None)
    assert offline.runs() == ["runs/a", "runs/a/2", "runs/a/3", "runs/a/third"]
    assert [steplog.open(name).config for name in ("a", "a/2", "a/third")] == [{"lr": 0.1}, {"lr": 0.2}, {"lr": 0.3}]
    assert (offline.points("a/third", "hparam/loss"), steplog.open("a/2").group) == ([(0, 0.3)], "a")
    assert offline.status("a/2") == "COMPLETED"


@apart
def test_other_hyperparameters_of_a_joined_run_are_its_config_too(offline: Offline):
    with steplog.init(project="mnist", name="joined"):
        writer = SummaryWriter("runs/a")
        for lr in (0.1, 0.2):
            writer.add_hparams({"lr": lr}, {"hparam/loss": lr})
    assert (offline.runs(), steplog.open("joined").config) == (["mnist/joined"], {"lr": 0.2})
    assert offline.points("joined", "hparam/loss") == [(0, 0.1), (1, 0.2)]


@apart
def test_an_exception_in_the_block_makes_the_run_crashed(offline: Offline):
    def train() -> None:
        with SummaryWriter("runs/a") as writer:
            for step in range(3):
                writer.add_scalar("loss", 1 / (1 - step), step)

    with pytest.raises(ZeroDivisionError):
        train()
    assert offline.status("a") == "CRASHED"


@apart
def test_a_close_in_finally_makes_the_run_crashed_where_an_exception_passes(offline: Offline):
    def train(name: str, divisor: int) -> None:
        writer = SummaryWriter(f"runs/{name}")
        try:
            writer.add_scalar("loss", 0.5, 1)
            writer.add_scalar("loss", 1 / divisor, 2)
        finally:
            writer.close()

    train("good", 1)
    with pytest.raises(ZeroDivisionError):
        train("bad", 0)
    assert (offline.status("good"), offline.status("bad")) == ("COMPLETED", "CRASHED")


@apart
def test_purge_step_goes_on_with_the_last_run_of_the_name(offline: Offline):
    for purge_step in (None, 1):
        pid = os.fork()
        if pid == 0:
            with SummaryWriter("runs/a", purge_step=purge_step) as writer:
                for step in range(purge_step or 0, 3):
                    writer.add_scalar("loss", 0.5, step)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    assert offline.runs() == ["runs/a"]
    assert [step for step, _ in offline.points("a", "loss")] == [0, 1, 2, 1, 2]


@apart
def test_a_forked_child_logs_to_the_run_and_does_not_end_it(offline: Offline):
    writer = SummaryWriter("runs/a")
    writer.add_scalar("loss", 0.5, 1)
    pid = os.fork()
    if pid == 0:
        writer.add_scalar("loss", 0.25, 2)
        writer.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert offline.status("a") == "RUNNING"
    writer.close()
    assert (offline.runs(), offline.status("a")) == (["runs/a"], "COMPLETED")
    assert offline.points("a", "loss") == [(1, 0.5), (2, 0.25)]


@apart
def test_a_pickled_writer_logs_to_the_same_run(offline: Offline, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STEPLOG_MODE", "online")
    FakeServer().configure(monkeypatch)
    writer = SummaryWriter("runs/a")
    writer.add_scalar("loss", 0.5, 1)
    copy = pickle.loads(pickle.dumps(writer))
    copy.add_scalar("loss", 0.25, 2)
    copy.close()
    writer.close()
    assert sorted(offline.points("runs/a", "loss")) == [(1, 0.5), (2, 0.25)]


@apart
def test_threads_that_log_first_begin_one_run(offline: Offline):
    writer, meet = SummaryWriter("runs/a"), threading.Barrier(4)

    def work(number: int) -> None:
        meet.wait()
        writer.add_scalar("loss", number, number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert offline.runs() == ["runs/a"]
    assert sorted(step for step, _ in offline.points("a", "loss")) == [0, 1, 2, 3]


@apart
def test_a_flush_waits_once_for_a_server_that_takes_nothing(offline: Offline, monkeypatch: pytest.MonkeyPatch):
    for name, value in {"MODE": "online", "URL": "http://127.0.0.1:9", "API_KEY": "key"}.items():
        monkeypatch.setenv(f"STEPLOG_{name}", value)
    monkeypatch.setenv("STEPLOG_FINISH_TIMEOUT_S", "0.5")
    writer = SummaryWriter("runs/a")
    began = time.monotonic()
    for step in range(20):
        writer.add_scalar("loss", 0.5, step)
        writer.flush()
    assert time.monotonic() - began < 5  # not 20 times half a second


@apart
def test_a_flush_delivers(offline: Offline, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STEPLOG_MODE", "online")
    FakeServer().configure(monkeypatch)
    writer = SummaryWriter("runs/a")
    for step in range(3):
        writer.add_scalar("loss", 0.5, step)
        writer.flush()
        assert steplog.get_active_run().stats().delivered == step + 1


@apart
def test_a_refused_end_stops_no_program(offline: Offline, monkeypatch: pytest.MonkeyPatch, caplog):
    monkeypatch.setenv("STEPLOG_MODE", "online")
    fake = FakeServer()
    fake.configure(monkeypatch)
    fake.memory.script = lambda request: Fault(400) if request.method == "PATCH" else None
    with SummaryWriter("runs/a") as writer:
        writer.add_scalar("loss", 0.5, 1)
    assert [record.message for record in caplog.records if "the end of run a was not taken" in record.message]


@apart
def test_the_file_writer_of_a_writer_logs_to_its_run(offline: Offline):
    with SummaryWriter("runs/a") as writer:
        with SummaryWriter(writer._get_file_writer().get_logdir()) as other:
            other.add_scalar("inner", 0.5, 1)
        writer.add_scalar("outer", 0.5, 1)
    assert offline.runs() == ["runs/a"]
    assert offline.names("a") == ["inner", "outer"]


@apart
def test_the_log_directory_is_there_for_checkpoints(offline: Offline):
    writer = SummaryWriter("runs/a")
    with open(os.path.join(writer.log_dir, "model.pt"), "w") as file:
        file.write("weights")
    assert (writer.get_logdir(), writer.logdir) == ("runs/a", "runs/a")
    assert os.listdir("runs/a") == ["model.pt"]
