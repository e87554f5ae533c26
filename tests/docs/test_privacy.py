"""The page on what is recorded of a machine lists what is recorded, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from steplog.machine import gpu, system
from steplog.machine.masking import COMMAND_CHARACTERS_MAX
from steplog.machine.provenance import COLLECTED, JOB_VARIABLES

PAGE = (Path(__file__).parents[2] / "docs" / "privacy.md").read_text()


def rows(heading: str) -> list[str]:
    """The first cells of the table below a heading."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def test_it_lists_what_is_collected_of_the_start_of_a_run():
    assert rows("Where and from what a run was started") == list(COLLECTED)


def test_it_names_every_scheduler_whose_job_is_recorded():
    (row,) = re.findall(r"^\| `job` .*$", PAGE, re.MULTILINE)
    assert row.partition(": ")[2].partition(" |")[0].split(", ") == list(JOB_VARIABLES)


def test_it_lists_every_system_metric():
    assert rows("System metrics") == [*system.METRICS, *(f"gpu.N.{name}" for name in gpu.METRICS)]


def test_its_bound_of_a_command_line_is_the_codes():
    assert f"at most {COMMAND_CHARACTERS_MAX:,} characters" in PAGE


def test_the_switches_that_it_names_are_settings():
    from steplog.settings import documented

    variables = {variable for _, names, _, _ in documented() for variable in names.split(", ")}
    assert set(re.findall(r"STEPLOG_\w+", PAGE)) <= variables
    assert {"STEPLOG_PROVENANCE", "STEPLOG_SYSTEM_INTERVAL_S"} <= set(re.findall(r"STEPLOG_\w+", PAGE))
