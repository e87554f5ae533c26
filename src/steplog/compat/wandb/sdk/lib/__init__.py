"""``wandb.sdk.lib``."""

from __future__ import annotations

from steplog.compat.wandb.sdk.lib import telemetry
from steplog.compat.wandb.sdk.lib.disabled import RunDisabled, SummaryDisabled
from steplog.compat.wandb.second_names import give

__all__ = ["RunDisabled", "SummaryDisabled", "telemetry"]

globals().update(give(__name__, {"config_util": "errors", "runid": "util"}))
