"""A short run of each fuzzer with a fixed seed, what longer runs found, and that each finds a bug planted for it.

``scripts/fuzz`` runs for minutes, with seeds of its own.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from fuzz import fuzzing
from fuzz.fuzzing import check, found_inputs, fuzz
from fuzz.targets import TARGETS
from steplog.blobs import raw_media
from steplog.blobs.file_place import FilePlace
from steplog.delivery import wire
from steplog.files import server_files
from steplog.formats.tfevents import reader as tf_reader
from steplog.formats.wandb import runs as wandb_offline
from steplog.journal import cursor, frame, losses, manifest, segment, sources
from steplog.server.records import batch

ROOT = Path(__file__).parents[2]
SEED = 20
INPUTS = {
    "json": 3000,
    "segment": 1000,
    "cursor": 2000,
    "losses": 1500,
    "manifest": 200,
    "answer": 2000,
    "journal": 40,
    "events": 60,
    "media": 1500,
    "unit": 300,
}
INPUTS_MAX = 10_000  # to find a planted bug; each takes a fraction of it
Patch = pytest.MonkeyPatch


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_raises_what_is_not_documented_or_changes_when_encoded_again(target):
    count = INPUTS.get(target, 300)
    tried, finding = fuzz(target, SEED, lambda number: number >= count)
    assert finding is None, f"input {tried - 1}: {finding.reason}"


@pytest.mark.parametrize("path", found_inputs(), ids=lambda path: path.name)
def test_what_was_found_before_is_no_fault_any_more(path):
    check(path.name.partition("-")[0], path.read_bytes())


def without_a_check(patch: Patch) -> None:
    patch.setattr("steplog.journal.range._check_records", lambda records: None)


def null_taken_for_nan(patch: Patch) -> None:
    patch.setitem(batch._NON_FINITE, b"null", math.nan)


def frames_without_a_checksum(patch: Patch) -> None:
    patch.setattr(frame, "_end", lambda data, start: len(data))


def damaged_slots_kept(patch: Patch) -> None:
    patch.setattr(segment, "_damaged", lambda slots, kinds: set())


def a_count_not_stored(patch: Patch) -> None:
    encode = cursor.encode
    patch.setattr(cursor, "encode", lambda found, sequence: encode(replace(found, oldest=0), sequence))


def reasons_put_together(patch: Patch) -> None:
    patch.setitem(losses.encode.__globals__, "_MAP_BYTES_MAX", 16)


def a_field_not_stored(patch: Patch) -> None:
    store = manifest.store
    patch.setattr(manifest, "store", lambda directory, found: store(directory, found.but(plan=None)))


def any_answer_an_acknowledgement(patch: Patch) -> None:
    patch.setattr(wire, "acknowledges", lambda body, *sent: b"writer" in body)


def damage_not_expected(patch: Patch) -> None:
    patch.setattr(sources, "FormatError", KeyError)


def lengths_not_checked(patch: Patch) -> None:
    patch.setattr(tf_reader.EventFile, "_right_length", lambda *_: True)


def records_not_expected_to_be_damaged(patch: Patch) -> None:
    patch.setattr(wandb_offline, "FormatError", KeyError)


def paths_not_checked(patch: Patch) -> None:
    patch.setattr(server_files, "checked_path", lambda path: path)


def sizes_not_checked(patch: Patch) -> None:
    patch.setattr(raw_media, "FormatError", KeyError)


def a_unit_without_its_artifact(patch: Patch) -> None:
    store = FilePlace.store
    patch.setattr(FilePlace, "store", lambda place, unit: store(place, msgspec.structs.replace(unit, artifact=None)))


PLANTED: dict[str, Callable[[Patch], None]] = {
    "batch": without_a_check,
    "json": null_taken_for_nan,
    "frames": frames_without_a_checksum,
    "segment": damaged_slots_kept,
    "cursor": a_count_not_stored,
    "losses": reasons_put_together,
    "manifest": a_field_not_stored,
    "answer": any_answer_an_acknowledgement,
    "journal": damage_not_expected,
    "events": lengths_not_checked,
    "listing": paths_not_checked,
    "media": sizes_not_checked,
    "unit": a_unit_without_its_artifact,
    "wandb": records_not_expected_to_be_damaged,
}


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_a_planted_bug_is_found_by_its_fuzzer(target, monkeypatch):
    PLANTED[target](monkeypatch)
    finding = fuzz(target, SEED, lambda number: number >= INPUTS_MAX)[1]
    assert finding is not None
    with pytest.raises(Exception):  # noqa: B017, PT011 - alone, too, whatever it is
        check(target, finding.data)


def test_an_input_that_never_ends_is_found(monkeypatch):
    def spin(data: bytes) -> None:
        while True:
            pass

    monkeypatch.setattr(fuzzing, "INPUT_CPU_S_MAX", 0.05)
    monkeypatch.setitem(TARGETS, "json", TARGETS["json"]._replace(check=spin))
    finding = fuzz("json", SEED, lambda number: number >= 1)[1]
    assert finding is not None
    assert "TooSlowError" in finding.reason


@pytest.mark.parametrize("target", TARGETS)
def test_the_same_seed_makes_the_same_inputs(target):
    inputs = [[fuzzing.input_of(TARGETS[target], target, seed, 5) for seed in (1, 1, 2, 3)] for _ in range(2)]
    assert inputs[0] == inputs[1]
    assert inputs[0][0] == inputs[0][1]
    assert len(set(inputs[0])) > 1


def script(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "fuzz"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, env=os.environ | environment)


@pytest.mark.slow
def test_the_script_says_its_seed_and_how_many_inputs_it_tried():
    done = script("--seconds", "0.3", "--seed", "7", "json", "answer")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("seed 7\njson: ")
    assert done.stdout.count("nothing found") == 2


@pytest.mark.slow
def test_the_script_saves_what_it_finds_and_finds_it_again(tmp_path):
    planted = tmp_path / "sitecustomize.py"
    planted.write_text("import math; from steplog.server.records import batch\nbatch._NON_FINITE[b'null'] = math.nan\n")
    found = tmp_path / "found"
    done = script("--seconds", "20", "--seed", "7", "--found", str(found), "json", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    (saved,) = found.iterdir()
    assert f"saved as {saved}" in done.stdout
    assert script("--replay", str(saved), PYTHONPATH=str(tmp_path)).returncode == 1
    assert script("--replay", str(saved)).returncode == 0


def test_the_script_bounds_the_memory_of_an_input(tmp_path):
    planted = tmp_path / "sitecustomize.py"
    planted.write_text("import steplog.server.records.batch as b\nb._word = lambda text: bytes(1 << 30)\n")
    done = script("--seconds", "20", "--found", str(tmp_path / "found"), "json", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "MemoryError" in done.stdout
