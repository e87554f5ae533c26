"""``wandb.sdk``: where frameworks look for classes and functions that are elsewhere here."""

from __future__ import annotations

from steplog.compat.wandb.second_names import give

globals().update(
    give(
        __name__,
        {
            "wandb_alerts": "run_files",
            "wandb_config": "run_config",
            "wandb_init": "beginning",
            "wandb_login": "login",
            "wandb_metric": "metric_definitions",
            "wandb_run": "logged_run",
            "wandb_settings": "settings",
            "wandb_setup": "beginning",
            "wandb_summary": "run_summary",
            "wandb_sweep": "sweeps",
        },
    )
)
