"""``steplog.compat.tensorboard_sync``, of a module that is built as PyTorch's and tensorboardX's are."""

from __future__ import annotations

import importlib
import struct
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import steplog
from apart import apart
from compat.offline import Offline
from steplog.compat import tensorboard_sync

WRITERS = """
import os, struct
from types import SimpleNamespace

class FileWriter:
    def __init__(self, logdir):
        self.logdir, self.events = str(logdir), []
    def get_logdir(self):
        return self.logdir
    def add_event(self, event, step=None, walltime=None):
        if step is not None:
            event.step = int(step)
        self.events.append(event)
        return "written"
    def add_summary(self, summary, global_step=None, walltime=None):
        self.add_event(SimpleNamespace(summary=summary, step=0), global_step, walltime)

def scalar(tag, number):
    single = struct.unpack("f", struct.pack("f", float(number)))[0]
    value = SimpleNamespace(tag=tag, simple_value=single, WhichOneof=lambda group: "simple_value")
    return SimpleNamespace(value=[value])

class SummaryWriter:
    def __init__(self, log_dir):
        self.log_dir = log_dir
        self.file_writer, self.others = FileWriter(log_dir), {}
    def add_scalar(self, tag, scalar_value, global_step=None, walltime=None):
        self.file_writer.add_summary(scalar(tag, scalar_value), global_step, walltime)
    def add_scalars(self, main_tag, tag_scalar_dict, global_step=None, walltime=None):
        for tag, number in tag_scalar_dict.items():
            writer = self.others.setdefault(tag, FileWriter(f"{self.log_dir}/{main_tag}_{tag}"))
            writer.add_summary(scalar(main_tag, number), global_step, walltime)
    def add_hparams(self, hparam_dict, metric_dict, name=None, global_step=None):
        inner = SummaryWriter(os.path.join(self.log_dir, name or "1700000000.5"))
        for tag, number in metric_dict.items():
            inner.add_scalar(tag, number, global_step)
"""


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offline:
    for name, text in {
        "tensorboardX/__init__.py": "",
        "tensorboardX/writer.py": WRITERS,
    }.items():
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for name in ("tensorboardX", "tensorboardX.writer"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return Offline(tmp_path, monkeypatch)


def writers() -> Any:
    return importlib.import_module("tensorboardX.writer")


def single(number: float) -> float:
    kept: float = struct.unpack("f", struct.pack("f", number))[0]
    return kept


@pytest.mark.parametrize("imported", ["before", "after"])
@apart
def test_a_writer_is_synced_whether_it_is_imported_before_or_after(offline: Offline, imported: str):
    module = writers() if imported == "before" else None
    early = module and module.SummaryWriter("runs/a")
    with steplog.init(project="mnist", name="joined") as run:
        tensorboard_sync.start(run)
        writer = early or writers().SummaryWriter("runs/a")
        writer.add_scalar("loss", 0.1, 7)
        writer.add_scalar(scalar_value=0.2, tag="loss", global_step=8)
    assert offline.points("joined", "loss") == [(7, 0.1), (8, 0.2)]
    assert [event.summary.value[0].simple_value for event in writer.file_writer.events] == [single(0.1), single(0.2)]


@apart
def test_starting_again_goes_on_with_another_run_and_wraps_nothing_twice(offline: Offline):
    for name in ("first", "second"):
        with steplog.init(project="mnist", name=name) as run:
            tensorboard_sync.start(run)
            tensorboard_sync.start(run)
            writers().SummaryWriter("runs/a").add_scalar("loss", 0.5, 1)
    assert [offline.points(name, "loss") for name in ("first", "second")] == [[(1, 0.5)], [(1, 0.5)]]


@apart
def test_two_threads_that_start_at_once_wrap_nothing_twice(offline: Offline):
    """Each value was logged twice from then on."""
    module, reads, last = writers(), list[str](), 0

    class Kind(type):
        def __getattribute__(cls, name: str) -> Any:
            if name == "add_event":
                reads.append(name)
                if len(reads) == last:  # another thread comes, before this one has wrapped it
                    other = threading.Thread(target=tensorboard_sync._wrap_writers, args=(module,))
                    other.start()
                    other.join()
            return super().__getattribute__(name)

    for moment in (1, 2):
        last = moment
        reads.clear()
        module.FileWriter = Kind("FileWriter", (), {"add_event": lambda self, event: None})
        tensorboard_sync._wrap_writers(module)
        assert not hasattr(module.FileWriter.__dict__["add_event"].__wrapped__, "__wrapped__")


@apart
def test_a_writer_goes_on_where_another_thread_stops_it_at_any_moment(offline: Offline):
    """It raised AttributeError in the training, without the GIL."""
    module = writers()
    tensorboard_sync.start()
    writer, left = module.FileWriter("runs/a"), 0

    def trace(frame: Any, event: str, argument: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename != tensorboard_sync.__file__ or frame.f_code.co_name != "add_event":
            return None
        frame.f_trace_opcodes = True
        left -= event == "opcode"
        if left == 0:
            tensorboard_sync._synced = None
        return trace

    for moment in range(1, 60):
        left, tensorboard_sync._synced = moment, tensorboard_sync._Synced(None)
        sys.settrace(trace)
        try:
            writer.add_event(SimpleNamespace(summary=SimpleNamespace(value=[]), SerializeToString=lambda: b""))
        finally:
            sys.settrace(None)
    assert left > 0


@apart
def test_a_module_that_another_thread_is_importing_is_waited_for(offline: Offline, tmp_path: Path):
    """It had no writers yet, and nothing that they wrote was ever logged."""
    begun, goes_on = threading.Event(), threading.Event()
    sys.modules["told"] = SimpleNamespace(begun=begun, goes_on=goes_on)  # type: ignore[assignment]
    path = tmp_path / "site" / "tensorboardX" / "writer.py"
    path.write_text(f"import told\ntold.begun.set()\ntold.goes_on.wait(20)\n{WRITERS}")
    importing = threading.Thread(target=writers)
    importing.start()
    begun.wait(20)
    starting = threading.Thread(target=tensorboard_sync.start)
    starting.start()
    starting.join(0.2)
    goes_on.set()
    for thread in (importing, starting):
        thread.join(20)
    assert hasattr(writers().FileWriter.add_event, "__wrapped__")


@apart
def test_nothing_is_logged_once_it_is_stopped_and_the_writers_go_on(offline: Offline):
    with steplog.init(project="mnist", name="joined") as run:
        tensorboard_sync.start(run)
        tensorboard_sync.stop()
        writer = writers().SummaryWriter("runs/a")
        writer.add_scalar("loss", 0.5, 1)
        run.log("own", 1)
    assert offline.names("joined") == ["own"]
    assert len(writer.file_writer.events) == 1


@apart
def test_without_a_run_it_is_the_one_that_is_active(offline: Offline):
    tensorboard_sync.start()
    writer = writers().SummaryWriter("runs/a")
    writer.add_scalar("loss", 0.25, 0)  # there is none
    with steplog.init(project="mnist", name="joined"):
        writer.add_scalar("loss", 0.5, 1)
    assert offline.points("joined", "loss") == [(1, 0.5)]


@apart
def test_scalars_by_name_are_called_as_an_import_calls_them(offline: Offline):
    with steplog.init(project="mnist", name="joined") as run:
        tensorboard_sync.start(run)
        writers().SummaryWriter("runs/a").add_scalars("loss", {"train": 0.1, "val": 0.2}, 3)
    assert offline.names("joined") == ["loss/train", "loss/val"]
    assert (offline.points("joined", "loss/train"), offline.points("joined", "loss/val")) == ([(3, 0.1)], [(3, 0.2)])


@apart
def test_the_numbers_of_hyperparameters_have_no_prefix(offline: Offline):
    with steplog.init(project="mnist", name="joined") as run:
        tensorboard_sync.start(run)
        writers().SummaryWriter("runs/a").add_hparams({"lr": 0.1, "seed": 1}, {"hparam/loss": 0.3}, global_step=4)
    assert offline.points("joined", "hparam/loss") == [(4, 0.3)]


@apart
def test_a_further_log_directory_gives_its_tags_a_prefix(offline: Offline):
    with steplog.init(project="mnist", name="joined") as run:
        tensorboard_sync.start(run)
        for part in ("train", "eval"):
            writers().SummaryWriter(f"runs/a/{part}").add_scalar("loss", 0.5, 1)
    assert offline.names("joined") == ["eval/loss", "train/loss"]


@apart
def test_a_step_of_none_is_the_next_one(offline: Offline):
    with steplog.init(project="mnist", name="joined") as run:
        tensorboard_sync.start(run)
        writer = writers().SummaryWriter("runs/a")
        for number in (0.5, 0.25):
            writer.add_scalar("loss", number)
    assert offline.points("joined", "loss") == [(0, 0.5), (1, 0.25)]


@apart
def test_a_tensor_is_not_read_again(offline: Offline):
    class Tensor:
        reads = 0

        def __float__(self) -> float:
            self.reads += 1
            return 0.1

    tensor = Tensor()
    with steplog.init(project="mnist", name="joined") as run:
        tensorboard_sync.start(run)
        writers().SummaryWriter("runs/a").add_scalar("loss", tensor, 1)
    assert (tensor.reads, offline.points("joined", "loss")) == (1, [(1, single(0.1))])


@apart
def test_a_subclass_and_a_file_writer_are_synced_once(offline: Offline):
    with steplog.init(project="mnist", name="joined") as run:
        tensorboard_sync.start(run)
        module = writers()

        class Writer(module.SummaryWriter):  # type: ignore[name-defined,misc]
            def add_scalar(self, tag: str, *arguments: Any) -> None:
                super().add_scalar(f"sub/{tag}", *arguments)

        Writer("runs/a").add_scalar("loss", 0.1, 1)
        assert (
            module.FileWriter("runs/a").add_event(SimpleNamespace(summary=module.scalar("loss", 0.1), step=0), 2)
            == "written"
        )
    assert (offline.points("joined", "sub/loss"), offline.points("joined", "loss")) == ([(1, 0.1)], [(2, single(0.1))])


@apart
def test_a_finished_run_and_what_cannot_be_logged_stop_no_writer(offline: Offline, caplog):
    with steplog.init(project="mnist", name="joined") as run:
        tensorboard_sync.start(run)
        writer = writers().SummaryWriter("runs/a")
        writer.add_scalar("x" * 300, 0.5, 1)
    for step in range(3):
        writer.add_scalar("loss", 0.5, step)
    assert len(writer.file_writer.events) == 4
    assert offline.names("joined") == ["compat/unsupported", "x" * 256]
    assert len([record for record in caplog.records if "not logged of runs/a" in record.message]) == 1


@apart
def test_a_wrong_call_raises_what_the_writer_raises(offline: Offline):
    with steplog.init(project="mnist", name="joined") as run:
        tensorboard_sync.start(run)
        with pytest.raises(TypeError, match="missing 2 required positional arguments"):
            writers().SummaryWriter("runs/a").add_scalar()
        with pytest.raises(ValueError, match="could not convert"):
            writers().SummaryWriter("runs/a").add_scalar("loss", "much", 1)
        writers().SummaryWriter("runs/a").add_scalar("loss", 0.1, 1)
    assert offline.points("joined", "loss") == [(1, 0.1)]


@apart
def test_calls_of_two_threads_are_kept_apart(offline: Offline):
    with steplog.init(project="mnist", name="joined") as run:
        tensorboard_sync.start(run)
        meet = threading.Barrier(2)

        class Late(float):
            def __float__(self) -> float:
                meet.wait()  # both are within their call
                return 0.1

        def work(part: str) -> None:
            writers().SummaryWriter(f"runs/a/{part}").add_scalars("loss", {part: Late(0.1)}, 1)

        threads = [threading.Thread(target=work, args=(part,)) for part in ("train", "eval")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert offline.names("joined") == ["eval/loss/eval", "train/loss/train"]


@apart
def test_a_library_that_is_built_otherwise_is_imported_and_left_alone(offline: Offline, caplog):
    (offline.work.parent / "site" / "tensorboardX" / "writer.py").write_text("class SummaryWriter:\n    pass\n")
    tensorboard_sync.start()
    assert writers().SummaryWriter()
    assert [record for record in caplog.records if "what tensorboardX.writer writes is not logged" in record.message]


@apart
def test_the_finder_leaves_no_trace_in_what_it_wraps(offline: Offline):
    tensorboard_sync.start()
    module = writers()
    assert module.__spec__.name == "tensorboardX.writer"
    assert module.__file__.endswith("writer.py")
    tensorboard_sync.stop()
    assert not [finder for finder in sys.meta_path if type(finder).__module__ == tensorboard_sync.__name__]
