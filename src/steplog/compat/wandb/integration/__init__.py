"""``wandb.integration``: wandb's own callbacks for frameworks, each imported in its own module.

They log what wandb's log, under wandb's names. steplog's own, with fewer names and more checks, are
``steplog.integrations``.
"""

from __future__ import annotations
