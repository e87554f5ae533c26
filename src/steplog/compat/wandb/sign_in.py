"""``wandb.login``: true, and nothing is asked, stored or sent. steplog's own key is that of ``steplog login``."""

from __future__ import annotations

from typing import Any

__all__ = ["api", "login"]


class _InternalApi:
    """``wandb.api``, of which programs ask whether there is a key.

    ``api_key`` is no key: a text, so that they go on.
    """

    api_key = "steplog"
    default_entity: str | None = None

    def settings(self, key: str | None = None, section: str | None = None) -> Any:
        """None are kept."""
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
    """True."""
    return True
