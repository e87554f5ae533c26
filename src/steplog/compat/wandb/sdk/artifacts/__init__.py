"""``wandb.sdk.artifacts``."""

from __future__ import annotations

from steplog.compat.wandb.second_names import give

globals().update(give(__name__, dict.fromkeys(("artifact", "artifact_manifest_entry", "artifact_ttl"), "artifact")))
