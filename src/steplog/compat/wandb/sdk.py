"""``wandb.sdk``: modules that frameworks import of wandb, by wandb's names.

Each is a module of this package under a second name in ``sys.modules``, or a package that has such modules in it.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from steplog.compat.wandb.no_ops import RunDisabled, SummaryDisabled

__all__: list[str] = []
__path__: list[str] = []  # a package, so that what is in it can be imported

_MEDIA = dict.fromkeys(("audio", "bokeh", "graph", "html", "molecule", "object_3d", "plotly", "video"), "media_files")
_MODULES: dict[str, Any] = {
    "artifacts": dict.fromkeys(("artifact", "artifact_manifest_entry", "artifact_ttl"), "artifact"),
    "data_types": {
        **_MEDIA,
        "image": "image",
        "base_types": dict.fromkeys(("media", "wb_value"), "media"),
        "helper_types": {"bounding_boxes_2d": "image", "image_mask": "image", "classes": "media"},
        "histogram": "table",
        "table": "table",
    },
    "lib": {
        "config_util": "errors",
        "disabled": "no_ops",
        "printer": "no_ops",
        "runid": "util",
        "telemetry": "no_ops",
    },
    "wandb_alerts": "run_files",
    "wandb_config": "run_config",
    "wandb_init": "beginning",
    "wandb_login": "sign_in",
    "wandb_metric": "metric_definitions",
    "wandb_run": "logged_run",
    "wandb_settings": "settings",
    "wandb_setup": "beginning",
    "wandb_summary": "run_summary",
    "wandb_sweep": "sweeps",
}


def _give(package: ModuleType, modules: dict[str, Any]) -> None:
    for name, meant in modules.items():
        full = f"{package.__name__}.{name}"
        if isinstance(meant, str):
            module = importlib.import_module(f"{__package__}.{meant}")
        else:
            module = ModuleType(full, f"``{name}`` of wandb.")
            module.__spec__ = ModuleSpec(full, None, is_package=True)
            module.__path__ = []
            _give(module, meant)
        sys.modules[full] = module
        setattr(package, name, module)


_give(sys.modules[__name__], _MODULES)
vars(sys.modules[f"{__name__}.lib"]).update(RunDisabled=RunDisabled, SummaryDisabled=SummaryDisabled)
