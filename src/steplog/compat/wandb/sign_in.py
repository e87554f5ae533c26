"""``wandb.login``: true, and nothing is asked, stored or sent. steplog's own key is that of ``steplog login``."""

from __future__ import annotations

from typing import Any

from steplog.compat.unsupported import unsupported

__all__ = ["api", "login", "sagemaker_auth"]


class _InternalApi:
    """``wandb.api``, of which programs ask whether there is a key.

    ``api_key`` is no key: a text, so that they go on.
    """

    api_key = "steplog"
    default_entity: str | None = None

    def settings(self, key: str | None = None, section: str | None = None) -> Any:
        """Return no setting; none is kept."""
        return {} if key is None else None


api = _InternalApi()


def login(
    key: str | None = None,
    relogin: bool | None = None,
    host: str | None = None,
    force: bool | None = None,
    timeout: int | None = None,
    verify: bool = True,
    referrer: str | None = None,
    prompt: bool = True,
    anonymous: Any = None,
) -> bool:
    """Return True; the module says why."""
    return True


def sagemaker_auth(overrides: Any = None, path: str = ".", api_key: str | None = None) -> None:
    """Counted: no file of keys is written."""
    unsupported.note("wandb.sagemaker_auth()", "set STEPLOG_URL and STEPLOG_API_KEY in the environment of the job")
