"""``wandb.apis``: ``wandb.apis.public`` is what reads runs."""

from __future__ import annotations

import sys

from steplog.compat.wandb import public_api as public
from steplog.compat.wandb.public_api import Api
from steplog.compat.wandb.sign_in import api

__all__ = ["InternalApi", "PublicApi"]
__path__: list[str] = []  # a package, so that what is in it can be imported

InternalApi = type(api)
PublicApi = Api
sys.modules[f"{__name__}.public"] = public
