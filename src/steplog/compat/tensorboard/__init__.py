"""TensorBoard's ``SummaryWriter``, of PyTorch's signature and of tensorboardX's, on a run.

::

    from steplog.compat.tensorboard import SummaryWriter

    writer = SummaryWriter("runs/a")
    writer.add_scalar("train/loss", 0.3, 7)
    writer.close()
"""

from __future__ import annotations

from steplog.compat.tensorboard.writer import FileWriter, SummaryWriter

__all__ = ["FileWriter", "SummaryWriter"]
