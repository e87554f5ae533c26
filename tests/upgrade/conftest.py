"""A machine on which steplog 0.1.0 was used, and 0.1.0 itself from the history."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.process import SOURCES, ServerProcess
from steplog.host import host_id
from upgrade.former import Side, end_programs, unpack

GOLDEN = Path(__file__).parents[1] / "golden" / "machine-0.1.0.tar.gz"


@pytest.fixture(scope="session")
def former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of 0.1.0."""
    return unpack(tmp_path_factory.mktemp("former"))


@pytest.fixture(autouse=True)
def _no_program_goes_on_afterwards() -> Iterator[None]:
    yield
    end_programs()


@pytest.fixture
def machine(tmp_path: Path) -> Side:
    """That machine, now with the version of this tree; the runs were logged on this host."""
    with tarfile.open(GOLDEN) as members:
        members.extractall(tmp_path, **({"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}))
    side = Side(SOURCES, tmp_path / "state")
    for root in (side.state, side.memory):
        for manifest in root.glob("*/manifest"):
            manifest.parent.rename(manifest.parent.with_suffix(f".{host_id()}"))
    return side


@pytest.fixture
def server(machine: Side) -> Iterator[ServerProcess]:
    """The server of this version on the database of that machine."""
    with ServerProcess(machine.state, "--user", "team", key=None) as started:
        yield started
