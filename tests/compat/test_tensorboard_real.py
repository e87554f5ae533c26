"""Beside PyTorch's and tensorboardX's ``SummaryWriter``: what a run has is what their event files have."""

from __future__ import annotations

import importlib
import inspect
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import steplog
from apart import apart
from compat.offline import Offline
from steplog.compat import tensorboard_sync
from steplog.compat.tensorboard import SummaryWriter
from steplog.compat.unsupported import unsupported

WHY = "needs torch, tensorboard and tensorboardX: pip install 'steplog[frameworks]'"
torch = pytest.importorskip("torch", reason=WHY)
accumulating = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason=WHY)
tensor_util = pytest.importorskip("tensorboard.util.tensor_util", reason=WHY)
pytest.importorskip("tensorboardX", reason=WHY)
numpy = pytest.importorskip("numpy", reason=WHY)

LIBRARIES = ["torch.utils.tensorboard", "tensorboardX"]
KEPT = dict.fromkeys(("scalars", "tensors", "histograms", "images", "audio"), 0)  # 0: all of them


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offline:
    return Offline(tmp_path, monkeypatch)


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(request.param)


class EventFiles:
    """What the event files of one log directory say, and of those below it."""

    def __init__(self, log_dir: str) -> None:
        self.read = {}
        for folder, _, names in os.walk(log_dir):
            if any("tfevents" in name for name in names):
                found = accumulating.EventAccumulator(folder, size_guidance=KEPT)
                found.Reload()
                self.read[os.path.relpath(folder, log_dir)] = found

    def scalars(self, tag: str, folder: str = ".") -> list[tuple[int, float]]:
        return [(event.step, event.value) for event in self.read[folder].Scalars(tag)]

    def tensor(self, tag: str, folder: str = ".") -> Any:
        """The step and the content of the only one."""
        (event,) = self.read[folder].Tensors(tag)
        return event.step, tensor_util.make_ndarray(event.tensor_proto)

    def histogram(self, tag: str, folder: str = ".") -> tuple[int, dict[float, float]]:
        """The step of the only one, and how many values lie below each limit."""
        (event,) = self.read[folder].Histograms(tag)
        value = event.histogram_value
        return event.step, cumulated(value.bucket, value.bucket_limit)


def cumulated(counts: Any, limits: Any) -> dict[float, float]:
    below, found = 0.0, {}
    for count, limit in zip(counts, limits, strict=True):
        below += count
        if count:
            found[limit] = below
    return found


def single(number: float) -> float:
    kept: float = struct.unpack("f", struct.pack("f", number))[0]
    return kept


def write(writer: Any) -> None:
    """A script's calls, which both classes of writers take."""
    random = numpy.random.default_rng(7)
    for step in range(3):
        writer.add_scalar("float", 0.1 * step, step * 100)
        writer.add_scalar("integer", step, global_step=step)
        writer.add_scalar("tensor", torch.tensor([0.1 * step], requires_grad=True), step)
        writer.add_scalar("double", torch.tensor(0.1 * step, dtype=torch.float64), step)
        writer.add_scalar("half", torch.tensor(0.5 * step, dtype=torch.float16), step)
        writer.add_scalar("array", numpy.array([[0.1 * step]]), torch.tensor(step))
        writer.add_scalar("numpy", numpy.float32(0.1 * step), numpy.int64(step))
        writer.add_scalar("bool", step > 0, float(step))
        writer.add_scalar("infinite", float("inf"), step)
        writer.add_scalars("by/name", {"one": 0.1 * step, "two": torch.tensor(0.2 * step)}, step)
    writer.add_text("text", "|a|\n|-|", 5)
    writer.add_histogram("weights", torch.tensor(random.normal(size=(30, 10))), 6)
    writer.add_histogram("bins", random.normal(size=50), 7, bins="auto")
    writer.add_histogram_raw("raw", 0.5, 3, 5, 9, 30, [1.0, 2.0, 3.0], [2.0, 0.0, 3.0], 8)
    labels, predictions = numpy.array([0, 1, 1, 0]), numpy.array([0.1, 0.9, 0.3, 0.35])
    writer.add_pr_curve("curve", labels, predictions, 9, 5)
    writer.add_hparams({"lr": 0.1, "layers": 3, "act": "relu"}, {"hparam/loss": 0.25})
    writer.close()


SCALARS = ["float", "integer", "tensor", "double", "half", "array", "numpy", "bool", "infinite"]


def agree(offline: Offline, run: str, files: EventFiles, library: Any) -> None:
    """Whether the run has what the files have."""
    for tag in SCALARS:
        ours = offline.points(run, tag)
        assert [(step, single(value)) for step, value in ours] == files.scalars(tag), tag
    folder = "by_name_{}" if library.__name__.startswith("torch") else "by/name/{}"
    for name in ("one", "two"):
        ours = offline.points(run, f"by/name/{name}")
        assert [(step, single(value)) for step, value in ours] == files.scalars("by/name", folder.format(name))
    step, text = files.tensor("text/text_summary")
    assert offline.points(run, "text") == [(step, text[0].decode())]
    for tag in ("weights", "bins", "raw"):
        ((step, made),) = offline.points(run, tag)
        assert (step, cumulated(made["values"], made["bins"][1:])) == files.histogram(tag)
    ((step, table),) = offline.points(run, "curve")
    their_step, curve = files.tensor("curve")
    assert step == their_step
    assert pytest.approx(curve) == numpy.array(table["data"])[:, 1:].T
    assert steplog.open(run).config == {"lr": 0.1, "layers": 3, "act": "relu"}
    assert [value for _, value in offline.points(run, "hparam/loss")] == [0.25]


@apart
def test_the_module_logs_what_the_original_writes(offline: Offline, library: Any):
    write(library.SummaryWriter("files/a"))
    write(SummaryWriter("runs/a"))
    agree(offline, "a", EventFiles("files/a"), library)
    assert offline.points("a", "float") == [(0, 0.0), (100, 0.1), (200, 0.2)]  # 64 bits
    assert unsupported.counts() == {}


@apart
def test_a_synced_writer_writes_its_files_and_the_run_has_what_they_have(offline: Offline, library: Any):
    with steplog.init(project="mnist", name="synced") as run:
        tensorboard_sync.start(run)
        write(library.SummaryWriter("files/a"))
    agree(offline, "synced", EventFiles("files/a"), library)
    assert offline.points("synced", "float") == [(0, 0.0), (100, 0.1), (200, 0.2)]
    assert offline.points("synced", "tensor") == [(0, 0.0), (1, single(0.1)), (2, single(0.2))]
    assert unsupported.counts() == {}


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
@apart
def test_what_a_synced_writer_adds_beside_values_is_counted(offline: Offline, library: Any):
    with steplog.init(project="mnist", name="synced") as run:
        tensorboard_sync.start(run)
        writer = library.SummaryWriter("files/a")
        writer.add_image("image", numpy.zeros((3, 4, 4)), 1)
        writer.add_graph(torch.nn.Linear(2, 2), torch.zeros(1, 2))
        writer.add_scalar("loss", 0.5, 1)
        writer.close()
    assert unsupported.counts() == {"TensorBoard's graphs": 1, "TensorBoard's profiles": 1}
    assert offline.names("synced") == ["compat/unsupported", "image", "loss"]


@apart
def test_summaries_made_by_the_original_functions_are_taken_by_the_module(offline: Offline, library: Any):
    functions = importlib.import_module(f"{library.__name__}.summary")
    with SummaryWriter("runs/a") as writer:
        for summary in functions.hparams({"lr": 0.1}, {"loss": 0}):
            writer.file_writer.add_summary(summary)
        writer.file_writer.add_summary(functions.scalar("loss", 0.5), 3)
        writer.file_writer.add_summary(functions.text("note", "hello"), 4)
    assert steplog.open("a").config == {"lr": 0.1}
    assert (offline.points("a", "loss"), offline.points("a", "note")) == ([(3, 0.5)], [(4, "hello")])


def test_every_method_takes_the_arguments_of_the_original(library: Any):
    for name, method in inspect.getmembers(library.SummaryWriter, inspect.isfunction):
        if name.startswith("_") and name != "__init__":
            continue
        ours = inspect.signature(getattr(SummaryWriter, name)).parameters
        if any(each.kind is each.VAR_KEYWORD for each in ours.values()):
            continue
        theirs = inspect.signature(method).parameters
        assert not [given for given in theirs if given not in ours], name


@pytest.mark.parametrize("value", [[1.0, 2.0], None, "much", torch.zeros(2), object()])
def test_what_is_no_scalar_raises_the_original_error(tmp_path: Path, value: Any):
    errors = []
    real = importlib.import_module("torch.utils.tensorboard").SummaryWriter(str(tmp_path))
    for writer in (real, SummaryWriter(str(tmp_path))):
        with pytest.raises((AssertionError, NotImplementedError, ValueError)) as caught:
            writer.add_scalar("loss", value, 1)
        errors.append(caught.type)
    real.close()
    assert errors[0] is errors[1]


PROGRAM = """
import sys
import steplog
from steplog.compat import tensorboard_sync
if sys.argv[2] == "before":
    from {library} import SummaryWriter
with steplog.init(project="mnist", name="synced") as run:
    tensorboard_sync.start(run)
    from {library} import SummaryWriter
    with SummaryWriter(sys.argv[1]) as writer:
        writer.add_scalar("loss", 0.1, 7)
"""


@pytest.mark.slow
@pytest.mark.parametrize("imported", ["before", "after"])
@pytest.mark.parametrize("name", LIBRARIES)
def test_a_program_is_synced_whenever_it_imports_its_writer(offline: Offline, name: str, imported: str):
    command = [sys.executable, "-c", PROGRAM.format(library=name), "files/a", imported]
    environment = os.environ | {"PYTHONPATH": str(Path(steplog.__file__).parent.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")

    @apart
    def look() -> None:
        assert offline.points("synced", "loss") == [(7, 0.1)]
        assert EventFiles("files/a").scalars("loss") == [(7, single(0.1))]

    look()


@pytest.mark.slow
@apart
def test_a_script_in_the_manner_of_cleanrl_is_one_run(offline: Offline):
    from torch.utils.tensorboard import SummaryWriter as RealWriter

    import steplog.compat.wandb as wandb

    name, config = "CartPole-v1__ppo__1", {"lr": 2.5e-4, "seed": 1}
    wandb.init(project="cleanRL", entity=None, sync_tensorboard=True, config=config, name=name, save_code=True)
    writer = RealWriter(f"runs/{name}")
    rows = "\n".join(f"|{key}|{value}|" for key, value in config.items())
    writer.add_text("hyperparameters", f"|param|value|\n|-|-|\n{rows}")
    for step in range(0, 400, 100):
        writer.add_scalar("charts/episodic_return", numpy.float64(step / 7), step)
        writer.add_scalar("losses/value_loss", torch.tensor(1 / (1 + step)).item(), step)
        writer.add_scalar("charts/SPS", int(step / 3), step)
    writer.close()
    wandb.finish()
    files = EventFiles(f"runs/{name}")
    assert offline.runs() == [f"cleanrl/{name}"]
    assert steplog.open(name).config == config
    assert offline.points(name, "charts/episodic_return") == [(step, step / 7) for step in range(0, 400, 100)]
    for tag in ("charts/episodic_return", "losses/value_loss", "charts/SPS"):
        assert [(step, single(value)) for step, value in offline.points(name, tag)] == files.scalars(tag)
    assert offline.points(name, "hyperparameters")[0][1].startswith("|param|value|")


@pytest.mark.slow
@apart
def test_what_lightning_writes_by_its_tensorboard_logger_is_synced(offline: Offline):
    loggers = pytest.importorskip("lightning.pytorch.loggers", reason=WHY)
    with steplog.init(project="mnist", name="synced") as run:
        tensorboard_sync.start(run)
        logger = loggers.TensorBoardLogger("logs", name="a", version=0)
        logger.log_hyperparams({"lr": 0.1, "layers": 2}, {"hp_metric": 0.5})
        logger.log_metrics({"loss": torch.tensor(0.25), "epoch": 1, "parts": {"x": 0.5, "y": 0.75}}, step=3)
        logger.finalize("success")
    files = EventFiles("logs/a/version_0")
    assert files.scalars("loss") == offline.points("synced", "loss") == [(3, 0.25)]
    assert offline.points("synced", "hp_metric") == [(0, 0.5)]
    assert offline.points("synced", "parts/x") == [(3, 0.5)]
    assert steplog.open("synced").config == {"lr": 0.1, "layers": 2}


@pytest.mark.slow
@apart
def test_what_stable_baselines_write_by_their_tensorboard_format_is_synced(offline: Offline):
    formats = pytest.importorskip("stable_baselines3.common.logger", reason=WHY)
    with steplog.init(project="mnist", name="synced") as run:
        tensorboard_sync.start(run)
        logger = formats.Logger("tb/PPO_1", [formats.TensorBoardOutputFormat("tb/PPO_1")])
        logger.record("hparams", formats.HParam({"lr": 0.1}, {"rollout/ep_rew_mean": 0}))
        logger.record("rollout/ep_rew_mean", 21.5)
        logger.record("weights", torch.tensor([0.5, 1.5]))
        logger.record("note", "hello")
        logger.dump(step=2048)
        logger.close()
    assert offline.points("synced", "rollout/ep_rew_mean") == EventFiles("tb/PPO_1").scalars("rollout/ep_rew_mean")
    assert offline.points("synced", "rollout/ep_rew_mean") == [(2048, 21.5)]
    assert offline.points("synced", "note") == [(2048, "hello")]
    assert offline.names("synced") == ["note", "rollout/ep_rew_mean", "weights"]
    assert steplog.open("synced").config == {"lr": 0.1}
