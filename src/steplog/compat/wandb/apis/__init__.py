"""``wandb.apis``."""

from __future__ import annotations

from steplog.compat.wandb.api import Api
from steplog.compat.wandb.login import api

__all__ = ["Api", "InternalApi", "PublicApi"]

InternalApi = type(api)
PublicApi = Api
