"""Power cuts on a real ext4: an image is copied while a run spools to it, mounted, and the journal on it is recovered.

A copy counts when a second one, made right after it, is the same: then it is what the disk held at one moment. What
``stats().durable`` had said before the copy began must be in it, under the right positions, with the right values. The
last cut of each run is recovered by another process and compared with what the server holds then.
Mounting replays the journal of the file system, as after a real cut.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from crash.calls import call, compare
from crash.episode import Episode, Victim
from journal.spooled import Found, read_all
from polling import wait_until
from server.process import ServerProcess
from steplog.host import host_id
from steplog.journal.directories import JournalRoots
from steplog.journal.files import Files
from steplog.journal.open_journal import open_journal
from steplog.journal.spooling import Disk

IMAGE_BYTES = 24 * 1024 * 1024
CUTS_A_RUN = 6
TRIES = 200


def why_not() -> str | None:
    """Why an image cannot be mounted here, if it cannot."""
    if os.geteuid() != 0:
        return "only root may mount an image"
    with tempfile.TemporaryDirectory() as directory:
        try:
            with mounted(made(Path(directory) / "image"), Path(directory) / "disk"):
                return None
        except (OSError, subprocess.CalledProcessError) as error:
            return f"no image can be mounted here: {str(error)[:100]}"


def made(image: Path) -> Path:
    """A new file system in a file."""
    with open(image, "wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, capture_output=True)
    return image


@contextlib.contextmanager
def mounted(image: Path, at: Path) -> Iterator[Path]:
    """The image as a directory."""
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(at)], check=True, capture_output=True)
    try:
        yield at
    finally:
        umount = ["umount", str(at)]
        wait_until(lambda: subprocess.run(umount, capture_output=True, check=False).returncode == 0, 5.0)


@dataclass
class Cuts:
    """What came of them. ``promised`` counts the records that had to be there."""

    cuts: int = 0
    runs: int = 0
    promised: int = 0
    found: int = 0
    missing: int = 0
    wrong: int = 0
    delivered: int = 0
    amiss: list[str] = field(default_factory=list)


class PowerCuts(Episode):
    """One run on a disk of its own, cut off several times."""

    def cut(self, cuts: Cuts, most: int) -> None:
        """Up to ``most`` cuts, added to ``cuts``."""
        image, disk = self._directory / "image", self._directory / "state"
        try:
            with self._networked() as network:
                with mounted(made(image), disk):
                    victim = self._start(network, "durable", "run0", None)
                    if not victim.read():
                        raise AssertionError(f"it does not start: {self._said(victim)}")
                    network.state = self.source.choice(("down", "flapping"))
                    victim.go_on()
                    last = self._cut_off(cuts, victim, image, most)
                    victim.end()
                if last is not None:
                    self._recover_from(cuts, network, victim, *last)
        finally:
            cuts.runs += 1
            cuts.amiss += self.outcome.wrong

    def _cut_off(self, cuts: Cuts, victim: Victim, image: Path, most: int) -> tuple[Path, int, int] | None:
        last: tuple[Path, int, int] | None = None
        for _ in range(most):
            time.sleep(self.source.uniform(0.05, 0.4))
            taken = self._copy(victim, image)
            if taken is not None:
                last = taken
                cuts.cuts += 1
                self._check(cuts, victim, *taken)
        return last

    def _copy(self, victim: Victim, image: Path) -> tuple[Path, int, int] | None:
        """A copy, and between which positions everything is promised to be in it."""
        copies = [self._directory / "copy", self._directory / "again"]
        for _ in range(TRIES):
            durable = victim.ledger.mark("durable")
            for copy in copies:
                shutil.copyfile(image, copy)
            if copies[0].read_bytes() == copies[1].read_bytes():
                return copies[0], victim.ledger.mark("delivered"), durable
        return None

    def _check(self, cuts: Cuts, victim: Victim, copy: Path, delivered: int, durable: int) -> None:
        promised = self._promised(victim, delivered, durable)
        image = shutil.copyfile(copy, self._directory / "checked")
        found: Found = {}
        with mounted(image, self._directory / "cut") as disk:
            memory = self._memory / "cut"
            roots = JournalRoots(memory, disk, host_id())
            for paths in roots.runs():
                for writer in paths.writers():
                    opened = open_journal(paths, writer, Disk(1 << 30, Files()))
                    if opened is not None:
                        found |= read_all(opened.journal)
                        opened.release()
            shutil.rmtree(memory, ignore_errors=True)
        missing = [at for at in promised if at not in found]
        wrong = [at for at in promised if at in found and not _same(found[at], promised[at])]
        cuts.promised += len(promised)
        cuts.found += len(found)
        cuts.missing += len(missing)
        cuts.wrong += len(wrong)
        if missing or wrong:
            cuts.amiss.append(f"{self.project}: of [{delivered}, {durable}) missing {missing[:5]} wrong {wrong[:5]}")

    def _promised(self, victim: Victim, delivered: int, durable: int) -> dict[int, int]:
        return {at: number for number, at in enumerate(victim.ledger.positions()) if delivered <= at < durable}

    def _recover_from(
        self, cuts: Cuts, network: object, victim: Victim, copy: Path, delivered: int, durable: int
    ) -> None:
        """Memory is gone; another process delivers what the disk has."""
        shutil.rmtree(self._memory / "root")
        promised = set(self._promised(victim, delivered, durable).values())
        with mounted(copy, self._directory / "state"):
            self._recover(network)  # type: ignore[arg-type]
            (run,) = [run for run in self._runs() if run["name"] == "run0"]
            stored = [(row["name"], row["value"], row["step"]) for row in self._metrics(run["uuid"])]
            for started in self._started:
                started.end()
        verdict = compare(stored, victim.ledger.calls())
        lost = [number for _, number in verdict.lost if number in promised]
        cuts.delivered += len(stored)
        if lost or verdict.twice or verdict.wrong or verdict.unordered:
            self.outcome.wrong.append(f"{self.project}: lost {lost[:5]}, {verdict}")


def _same(found: tuple[str, object, int | None], number: int) -> bool:
    name, value, step = call(0, number)
    return found == (name, value, step)


def cut_power(server: ServerProcess, count: int, seed: int, say: bool = False) -> Cuts:
    """At least ``count`` cuts."""
    cuts, number = Cuts(), 0
    while cuts.cuts < count and len(cuts.amiss) < 10:
        PowerCuts(server, random.Random(f"{seed}/{number}")).cut(cuts, min(CUTS_A_RUN, count - cuts.cuts))
        number += 1
        if say:
            print(f"{cuts.cuts} cuts, {len(cuts.amiss)} amiss", file=sys.stderr, flush=True)
    return cuts
