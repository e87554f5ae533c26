"""``steplog sync --recreate``: the server was restored from a copy that is older than a run, or the run was deleted."""

from __future__ import annotations

import json
from pathlib import Path

from apart import apart
from end_to_end.fake import FakeServer
from end_to_end.programs import Done, Host, ended, go_on, line
from steplog.testing.memory_server import Fault

LOSES = """
import steplog
before, after = int(sys.argv[1]), int(sys.argv[2])
run = steplog.init("me", "demo", "lost", description="of mine")
for number in range(before):
    run.log("loss", number, step=number)
assert run.flush(30)
print("confirmed", flush=True)
sys.stdin.readline()
for number in range(before, before + after):
    run.log("loss", number, step=number)
run.finish(timeout=2)
"""


class Lost:
    """A run of which ``before`` values were confirmed when the server lost it, and ``after`` were not."""

    def __init__(self, directory: Path, before: int = 5, after: int = 3) -> None:
        self.fake = FakeServer()
        self.server = self.fake.memory
        self.host = Host(directory, None, self.fake.url)
        with self.host.start(LOSES, str(before), str(after)) as program:
            assert line(program) == "confirmed"
            self.server.runs.clear()
            go_on(program)
            assert ended(program).code == 0

    def sync(self, *arguments: str, **variables: str) -> Done:
        return self.host.run("-m", "steplog", "sync", *arguments, **variables)

    def waiting(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(self.host.run("-m", "steplog", "ls", "--here", "--json").out)[
            "waiting"
        ]
        return found

    def there(self) -> list[tuple[str, str, str, list[float]]]:
        """Name, description, status and values of each run."""
        runs = self.server.runs.values()
        return [(run.name, run.description, run.status, [row.value for row in run.rows]) for run in runs]


@apart
def test_a_run_that_the_server_lost_is_made_anew_from_what_is_here(tmp_path: Path):
    """What was left of it could only be thrown away."""
    lost = Lost(tmp_path)
    done = lost.sync("lost", "--recreate")
    assert (done.code, done.out) == (0, "lost: 8 delivered\n")
    assert lost.there() == [("lost", "of mine", "COMPLETED", [0, 1, 2, 3, 4, 5, 6, 7])]
    assert lost.waiting() == []


@apart
def test_after_a_sync_in_vain_only_what_was_not_confirmed_is_here(tmp_path: Path):
    """It moved what was left to the disk, without what the server had confirmed."""
    lost = Lost(tmp_path)
    refused = lost.sync("lost")
    assert refused.code == 1
    assert (
        refused.out
        == "lost: 0 delivered, 3 kept here: the run is not on the server any more: steplog sync --recreate\n"
    )
    done = lost.sync("lost", "--recreate")
    assert done.out == "lost: 3 delivered; 5 values that the server had confirmed are not here any more\n"
    assert [run[2:] for run in lost.there()] == [("COMPLETED", [5, 6, 7])]


@apart
def test_what_the_server_had_confirmed_and_is_gone_here_is_said_as_a_number(tmp_path: Path):
    lost = Lost(tmp_path, before=20_000)
    assert [(run["name"], run["pending"]) for run in lost.waiting()] == [("lost", 3)]
    done = lost.sync("lost", "--recreate")
    ((_, _, _, values),) = lost.there()
    gone = 20_003 - len(values)
    assert gone > 0
    assert values == list(range(gone, 20_003))
    assert (done.code, done.out) == (
        0,
        f"lost: {len(values):,} delivered; {gone:,} values that the server had confirmed are not here any more\n",
    )


@apart
def test_a_restored_copy_that_has_the_run_keeps_it_and_another_is_made(tmp_path: Path):
    lost = Lost(tmp_path)
    old = lost.server.add_run("me", "demo", "lost")
    assert lost.sync("lost", "--recreate").code == 0
    assert (old.rows, old.statuses) == ([], [])
    assert [run[::3] for run in lost.there()] == [("lost", []), ("lost_1", [0, 1, 2, 3, 4, 5, 6, 7])]


@apart
def test_a_stock_server_gets_it_anew_too(tmp_path: Path):
    lost = Lost(tmp_path)
    lost.server.batch = False
    done = lost.sync("lost", "--recreate")
    assert (done.code, done.out) == (0, "lost: 8 delivered\n")
    ((_, _, status, values),) = lost.there()
    assert (status, sorted(values)) == ("COMPLETED", [0, 1, 2, 3, 4, 5, 6, 7])


@apart
def test_a_run_whose_recreation_was_cut_short_is_made_once(tmp_path: Path):
    """The server makes it, and each answer is lost until sync gives up."""
    lost = Lost(tmp_path)
    lost.server.script = lambda request: Fault.lost() if request.method == "POST" else None
    assert lost.sync("lost", "--recreate").code == 1
    assert len(lost.server.runs) == 1
    lost.server.script = lambda request: None
    assert lost.sync("lost").code == 0
    assert [run[::3] for run in lost.there()] == [("lost", [0, 1, 2, 3, 4, 5, 6, 7])]


@apart
def test_recreate_is_for_one_named_run_that_no_process_has(tmp_path: Path):
    lost = Lost(tmp_path)
    assert lost.sync("--recreate").code == 2
    assert "no run on this machine is called 'other'" in lost.sync("other", "--recreate").errors
    with lost.host.start(
        "run = begin('mine')\nrun.flush(30)\nprint('on', flush=True)\nsys.stdin.readline()"
    ) as program:
        assert line(program) == "on"
        done = lost.sync("mine", "--recreate")
        assert (done.code, done.errors) == (1, "steplog: the run is not made anew: another process delivers it\n")
        assert "mine" in [run.name for run in lost.server.runs.values()]
        ended(program)
