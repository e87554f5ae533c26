"""``wandb.integration.gym``: videos of environments, of which none is kept."""

from __future__ import annotations

from steplog.compat.unsupported import unsupported

__all__ = ["monitor"]


def monitor() -> None:
    """Counted."""
    unsupported.note(
        "wandb.gym.monitor()", "videos are not kept; gymnasium.wrappers.RecordVideo writes them to a folder"
    )
