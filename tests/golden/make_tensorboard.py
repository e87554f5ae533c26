"""Writes ``tensorboard-2.21.tar.gz``: event files of tensorboardX 2.6.5, and of tensorboard 2.21, as torch.

Run once, in an environment that has both and numpy: ``python tests/golden/make_tensorboard.py``.
"""

from __future__ import annotations

import socket
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ARCHIVE = HERE / "tensorboard-2.21.tar.gz"


def write_x(folder: Path) -> None:
    """What a SummaryWriter of tensorboardX can log."""
    import numpy
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for step in range(40):
            writer.add_scalar("train/loss", 1 / (step + 1), step, walltime=1_700_000_000.5 + step)
            writer.add_scalar("lr", 0.001, step, walltime=1_700_000_000.5 + step)
        writer.add_text("note", "hello", 3)
        writer.add_histogram("weights", numpy.arange(10.0), 1, max_bins=4)
        writer.add_image("sample", numpy.zeros((3, 2, 2)), 1)
        writer.add_scalars("split", {"train": 1.0, "valid": 2.0}, 5)
        writer.add_hparams({"lr": 0.1, "layers": 3, "opt": "adam", "amp": True}, {"hp/acc": 0.5}, global_step=39)


def write_v2(folder: Path) -> None:
    """What TensorFlow 2 and Keras write: tensors with metadata."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    from tensorboard.plugins.text.summary_v2 import text_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for step in range(30):
        for name, value in (("epoch_loss", 0.5 / (step + 1)), ("epoch_accuracy", step / 30)):
            summary = scalar_pb(name, value, description="of an epoch")
            writer.add_event(Event(wall_time=1_700_000_100 + step, step=step, summary=summary))
    writer.add_event(Event(wall_time=1_700_000_200, step=2, summary=text_pb("table", [["a", "b"], ["c", "d"]])))
    writer.close()


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without who made it."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def main() -> None:
    """Write the archive."""
    with tempfile.TemporaryDirectory() as scratch:
        runs = Path(scratch) / "runs"
        write_x(runs / "x")
        write_v2(runs / "keras" / "train")
        for file in [each for each in runs.rglob("*") if each.is_file()]:
            file.rename(file.with_name(file.name.replace(socket.gethostname(), "host")))
        with tarfile.open(ARCHIVE, "w:gz") as archive:
            archive.add(runs, "runs", filter=anonymous)


if __name__ == "__main__":
    main()
