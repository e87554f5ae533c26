"""Another user of the machine prepares shared memory for our programs: nobody is killed, hung or misled."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from end_to_end.programs import Host, ended
from users import needs_users, other_user

__all__ = ["other_user"]

UNSHARED = [
    "unshare",
    "--mount",
    "sh",
    "-c",
    'mount --make-rprivate / && mount -t tmpfs -o mode=1777,size=64m tmpfs /dev/shm && exec "$@"',
    "sh",
]
pytestmark = [
    needs_users,
    pytest.mark.skipif(
        shutil.which("unshare") is None or subprocess.run([*UNSHARED, "true"], capture_output=True).returncode != 0,
        reason="no mount namespace may be made here",
    ),
]
FORGED_RECORDS = 3000
LEFT = f"""
run = begin()
for number in range({FORGED_RECORDS}):
    run.log("forged", number)
os.kill(os.getpid(), signal.SIGKILL)
"""
# The attacker is forked by the program that it attacks: its Python may be out of the other user's reach.
ATTACKED = """
import shutil
from pathlib import Path
uid, left = int(sys.argv[1]), Path(sys.argv[2])
root = Path(f"/dev/shm/steplog-{os.getuid()}")
(run,) = left.iterdir()
host = run.name.partition(".")[2]
files = {path.relative_to(run): path.read_bytes() for path in run.rglob("*") if path.is_file()}
ready, told = os.pipe()
victim, attacker = os.getpid(), os.fork()
if not attacker:
    for number in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), number)
    os.setgroups([]); os.setgid(uid); os.setuid(uid); os.umask(0)
    root.mkdir()
    for number in range(4):  # each could be delivered as a run of ours, by its files
        for path, data in files.items():
            place = root / f"{number:032x}.{host}" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        (root / f"{number:032x}.{host}" / "lock").touch()
    hung = root / f"{'f' * 32}.{host}"
    hung.mkdir()
    (hung / "lock").touch()
    os.mkfifo(hung / "manifest")
    segments = list(root.glob("*/*/*.segment"))
    data = segments[0].read_bytes()
    os.write(told, b"x")
    while os.getppid() == victim:  # valid ones, which are cut just after somebody may have mapped them
        for path in segments:
            scratch = path.with_suffix(".x")
            scratch.write_bytes(data)
            scratch.rename(path)
            time.sleep(0.0002)
            os.truncate(path, 0)
    os._exit(0)
try:
    assert os.read(ready, 1) == b"x"
    run = begin("ours")
    for number in range(1000):
        run.log("loss", number)
    for _ in range(3):  # maintenance looks around once a second
        time.sleep(1)
        assert run.flush(20)
    report = run.finish()
    import steplog
    others = [path for path in Path("/dev/shm").iterdir() if path != root]
    print(report.delivered, report.faults, [one.name for one in steplog.journals()], len(others))
finally:
    os.kill(attacker, signal.SIGKILL)
    os.waitpid(attacker, 0)
"""


def test_what_another_user_puts_in_place_of_our_root_is_not_read(host: Host, other_user: int, tmp_path: Path):
    """Its runs were delivered as ours, its pipe was waited for, and its cut segments killed the training."""
    left = tmp_path / "left"
    killed = ended(host.start(LEFT, name="forged", STEPLOG_MEMORY_DIR=str(left), STEPLOG_MODE="offline"))
    assert killed.code == -9
    program = host.start(
        ATTACKED,
        str(other_user),
        str(left),
        under=UNSHARED,
        STEPLOG_MEMORY_DIR="",
        STEPLOG_DIR=str(tmp_path / "ours"),
        HOME=os.environ["HOME"],
    )
    done = ended(program)
    assert done.code == 0, done.errors
    assert done.out == "1000 0 [] 1\n"
    assert "shared memory" not in done.errors
    assert [run.name for run in host.server.runs()] == ["ours"]
    assert host.server.run("ours").points == 1000
