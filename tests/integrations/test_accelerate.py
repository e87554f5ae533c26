"""accelerate's trackers with ours among them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integrations.trainings import TORCHRUN, Trainings, needs, trainings
from server.process import ServerProcess

pytestmark = needs("torch", "accelerate")

TRAINING = """\
from accelerate import Accelerator
from steplog.integrations.accelerate import SteplogTracker

def train(log_with, name="", fails=False):
    accelerator = Accelerator(log_with=log_with, cpu=True)
    accelerator.init_trackers(PROJECT, config={"lr": 0.1}, init_kwargs={"steplog": {"name": name}})
    model = torch.nn.Linear(4, 1)
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), 0.1))
    for step in range(5):
        loss = model(torch.randn(4, 4)).pow(2).mean()
        accelerator.backward(loss)
        optimizer.step()
        accelerator.log({"loss": loss, "norm": {"weight": 0.5, "bias": 0.25}}, step=step)
        if fails and step == 2:
            raise ValueError("a loss of nan")
    if accelerator.is_main_process:
        accelerator.get_tracker("steplog", unwrap=True).log("mine", accelerator.num_processes, step=5)
    accelerator.end_training()
"""

ONE_AFTER_THE_OTHER = """
train(SteplogTracker(PROJECT, name="given"))
train("steplog", name="named")
with steplog.init(project=PROJECT, name="theirs"):
    train(SteplogTracker())

from torch.utils._python_dispatch import TorchDispatchMode

class Reads(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.count += "_local_scalar_dense" in str(function)  # what item() of a tensor on any device is
        return function(*arguments, **(keywords or {}))

tracker = SteplogTracker(PROJECT, name="reads")
tracker.start()
with Reads() as reads:
    tracker.log({"loss": torch.tensor(0.5), "hits": torch.tensor([3])}, step=0)
print(reads.count)
tracker.finish()

train(SteplogTracker(PROJECT, name="fails"), fails=True)
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, server: ServerProcess) -> Iterator[Trainings]:
    yield from trainings(tmp_path_factory, server)


def test_a_tracker_is_given_or_named_logs_curves_and_reads_a_tensor_once(host: Trainings):
    done = host.train(TRAINING + ONE_AFTER_THE_OTHER)
    assert (done.code, done.out) == (1, "2\n"), "each tensor is read once"
    for name in ("given", "named", "theirs"):
        found = host.points(name)
        assert {metric: [step for step, _ in seen] for metric, seen in found.items()} == {
            **{metric: [*range(5)] for metric in ("loss", "norm/weight", "norm/bias")},
            "mine": [5],
        }
        assert all(isinstance(value, float) for _, value in found["loss"])
        assert host.told(name)["config"] == {"lr": 0.1}
    assert [(row.name, row.status) for row in host.server.runs()] == [
        ("given", "COMPLETED"),
        ("named", "COMPLETED"),
        ("theirs", "COMPLETED"),
        ("reads", "COMPLETED"),
        ("fails", "CRASHED"),
    ]
    assert [kept["message"] for kept in host.server.values("fails", "steplog/exception")] == ["a loss of nan"]


@pytest.mark.slow
def test_two_ranks_are_one_run_and_no_point_is_there_twice(host: Trainings):
    done = host.train(TRAINING + 'train(SteplogTracker(PROJECT, name="ranks"))', under=TORCHRUN)
    assert done.code == 0, done.errors
    found = host.points("ranks")
    assert (len(found["loss"]), found["mine"]) == (5, [(5, 2)])
    assert [row.status for row in host.server.runs() if row.name.startswith("ranks")] == ["COMPLETED"]
