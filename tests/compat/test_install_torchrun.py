"""The ranks that torchrun starts, and what these start in turn, see the name as the program does."""

from __future__ import annotations

import importlib.util
import textwrap
from pathlib import Path

import pytest

from compat.processes import environment, python, write

PROGRAM = """
    import os
    import torch.multiprocessing
    import wandb

    def child(number, path):
        import wandb
        open(path, "w").write(wandb.__name__)

    if __name__ == "__main__":
        rank = os.environ["RANK"]
        with wandb.init(project="ranks", name="rank" + rank) as run:
            run.log({"loss": 0.5})
        torch.multiprocessing.spawn(child, ("child" + rank,), nprocs=1)
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch: pip install 'steplog[frameworks]'")
def test_ranks_of_torchrun_and_their_children_log_to_steplog(tmp_path, monkeypatch):
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("STEPLOG_MODE", "offline")
    write(tmp_path, {"program.py": textwrap.dedent(PROGRAM)})
    torchrun = "-m", "torch.distributed.run", "--nproc-per-node", "2", "program.py"
    env = environment() | {"OMP_NUM_THREADS": "1"}
    done = python(tmp_path, env, "-m", "steplog.compat", "--replace", "wandb", *torchrun, timeout=300)
    assert done.returncode == 0, done.stderr
    read = "import steplog; print(*sorted(r.run for r in steplog.read_journal() if r.name == 'loss'))"
    assert python(tmp_path, env, "-c", read).stdout == "rank0 rank1\n"
    assert [Path(tmp_path, f"child{rank}").read_text() for rank in (0, 1)] == ["steplog.compat.wandb"] * 2
