"""What asking an artifact for something raises that it has not in its state; wandb's classes."""

from __future__ import annotations

from typing import Any

from steplog.compat.wandb.errors import Error

__all__ = ["ArtifactFinalizedError", "ArtifactNotLoggedError", "ArtifactStatusError", "WaitTimeoutError"]


class ArtifactStatusError(AttributeError):
    """The artifact is not in a state for what was asked."""

    def __init__(self, message: str, name: str, obj: Any) -> None:
        super().__init__(message, name=name, obj=obj)


class ArtifactNotLoggedError(ArtifactStatusError):
    """It has no version: it was not logged, or no server has it yet."""

    def __init__(self, fullname: str, obj: Any) -> None:
        words = f"{fullname!r} used prior to logging artifact or while in offline mode. Call wait() before accessing"
        super().__init__(f"{words} logged artifact properties.", fullname.rpartition(".")[2], obj)


class ArtifactFinalizedError(ArtifactStatusError):
    """It was logged, and nothing is added any more."""

    def __init__(self, fullname: str, obj: Any) -> None:
        words = f"{fullname!r} used on logged artifact. Can't modify finalized artifact."
        super().__init__(words, fullname.rpartition(".")[2], obj)


class WaitTimeoutError(Error):
    """What was waited for has not come in time."""
