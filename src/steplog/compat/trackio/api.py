"""``trackio.Api``: the runs of a project, read from steplog."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import steplog
from steplog.identity import slug_of

__all__ = ["Api", "Run", "Runs"]


class Run:
    """A run to read."""

    def __init__(self, project: str, name: str, run_id: str | None = None) -> None:
        self.project = project
        self.name = name
        self.id = run_id or name

    def __repr__(self) -> str:
        return f"<Run {self.name} in project {self.project}>"

    @property
    def config(self) -> dict[str, Any]:
        """Its config."""
        return steplog.open(self.id).config

    def alerts(self, level: str | None = None, since: str | None = None) -> list[dict[str, Any]]:
        """What it was alerted of, in the order of arrival; ``since`` is a date."""
        try:
            rows = steplog.open(self.id).history(["alerts"], form="long").rows()
        except steplog.MetricNotFoundError:
            return []
        found = [{**row["json"], "run": self.name, "step": row["step"], "timestamp": row["time"]} for row in rows]
        dated = [{**each, "timestamp": each["timestamp"].isoformat() if each["timestamp"] else ""} for each in found]
        return [each for each in dated if level in (None, each["level"]) and each["timestamp"] > (since or "")]

    def delete(self) -> bool:
        """It goes to the server's trash for 24 hours."""
        steplog.attach(self.id).delete()
        return True

    def rename(self, new_name: str) -> Run:
        """Give it another name."""
        run = steplog.attach(self.id)
        run.name = self.name = new_name
        run.finish()
        return self

    def move(self, new_project: str) -> bool:
        """False: a run stays in its project."""
        return False


class Runs:
    """The runs of a project, the oldest first; asked for once."""

    def __init__(self, project: str) -> None:
        self.project = project
        table = steplog.runs(slug_of(project), columns=["name"]).rows()
        self._runs = [Run(project, str(row["name"]), str(row["uuid"])) for row in reversed(table)]

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def __getitem__(self, index: int) -> Run:
        return self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def __repr__(self) -> str:
        return f"<Runs project={self.project} count={len(self)}>"


class Api:
    """Reads what is on the server and on this machine."""

    def runs(self, project: str) -> Runs:
        """Raises ValueError where there is no such project."""
        try:
            return Runs(project)
        except steplog.ProjectNotFoundError as error:
            raise ValueError(f"Project '{project}' does not exist: {error}") from None

    def alerts(
        self, project: str, run: str | None = None, level: str | None = None, since: str | None = None
    ) -> list[dict[str, Any]]:
        """Those of all runs, or of the one of this name."""
        runs = [each for each in self.runs(project) if run in (None, each.name)]
        return [alert for each in runs for alert in each.alerts(level, since)]
