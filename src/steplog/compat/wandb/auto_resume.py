"""``resume="auto"``: which run was the last of a folder and a project, until it is finished with 0."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from steplog.compat.notices import say
from steplog.compat.wandb.settings import Settings
from steplog.identity import slug_of

__all__ = ["AutoResume"]


class AutoResume:
    """The file that has its id: ``steplog-runs/resume-PROJECT.json``."""

    def __init__(self, chosen: Settings, project: str) -> None:
        self._file = Path(chosen.root_dir or os.getcwd(), "steplog-runs", f"resume-{slug_of(project)}.json")

    def last(self) -> str | None:
        """The id, if there is one."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads(self._file.read_text("utf-8"))["run_id"])
        return None

    def began(self, run_id: str) -> None:
        """This is the last run now."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps({"run_id": run_id}), "utf-8")
        except OSError as error:
            say(f'resume="auto" cannot go on with this run later: {error}')

    def finished(self, failed: bool) -> None:
        """Forget it, unless it failed."""
        if not failed:
            with suppress(OSError):
                self._file.unlink()
