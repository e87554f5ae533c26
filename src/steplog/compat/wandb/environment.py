"""What the environment says of a run: ``WANDB_*``, where ``STEPLOG_*`` says nothing of the same.

::

    WANDB_PROJECT NAME ENTITY MODE        STEPLOG_PROJECT NAME NAMESPACE MODE come first
    WANDB_RUN_ID RESUME RUN_GROUP TAGS NOTES JOB_TYPE DIR SWEEP_ID
    WANDB_DISABLED                        a true value is WANDB_MODE=disabled

Keys, addresses and directories of wandb's own are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["from_environment", "is_true"]

_NAMES = {  # wandb's setting: its variable, and ours that decides before it
    "project": ("WANDB_PROJECT", "STEPLOG_PROJECT"),
    "entity": ("WANDB_ENTITY", "STEPLOG_NAMESPACE"),
    "run_name": ("WANDB_NAME", "STEPLOG_NAME"),
    "mode": ("WANDB_MODE", "STEPLOG_MODE"),
    "run_id": ("WANDB_RUN_ID", ""),
    "resume": ("WANDB_RESUME", ""),
    "run_group": ("WANDB_RUN_GROUP", ""),
    "run_tags": ("WANDB_TAGS", ""),
    "run_notes": ("WANDB_NOTES", ""),
    "run_job_type": ("WANDB_JOB_TYPE", ""),
    "root_dir": ("WANDB_DIR", ""),
    "sweep_id": ("WANDB_SWEEP_ID", ""),
    "reinit": ("WANDB_REINIT", ""),
}
_WORDS = {"true": True, "false": False}  # as a setting that is a word or a bool has them


def is_true(text: str) -> bool:
    """Whether a variable is switched on."""
    return text.strip().lower() in ("1", "true", "yes", "on", "y", "t")


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings that variables give, by wandb's names. Pure."""
    found: dict[str, Any] = {}
    for setting, (variable, before) in _NAMES.items():
        text = environ.get(variable, "")
        if text and not environ.get(before, ""):
            found[setting] = _WORDS.get(text.lower(), text) if setting in ("resume", "reinit") else text
    if "run_tags" in found:
        found["run_tags"] = tuple(tag.strip() for tag in found["run_tags"].split(",") if tag.strip())
    if is_true(environ.get("WANDB_DISABLED", "")) and not environ.get("STEPLOG_MODE"):
        found["mode"] = "disabled"
    return found
