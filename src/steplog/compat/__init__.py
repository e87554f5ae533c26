"""Other loggers' names, on steplog: an existing script changes one line, or none.

::

    import steplog.compat.wandb as wandb
    from steplog.compat.tensorboard import SummaryWriter
    import steplog.compat.mlflow as mlflow
    import steplog.compat.trackio as trackio

or, in a program that is not changed at all::

    python -m steplog.compat wandb train.py

1. What such a call is given is recorded as steplog records it. What is accepted and cannot be kept is counted, and
   said once, when the run ends (``unsupported``); no call that logs raises for it.
2. Nothing is ever sent to the other logger's servers, and its keys are not read.
3. All share the active run of the process.
"""

from __future__ import annotations

from steplog.compat.shadow import install

__all__ = ["install"]
