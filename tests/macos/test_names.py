"""Names that macOS takes for one: none of our files is called so, and of the user's none replaces another."""

from __future__ import annotations

from pathlib import Path

import pytest

from macos.mac import Mac

LOGGED = """
import steplog, sys
from pathlib import Path
run = steplog.init(project="p", name="Case")
folder = Path(sys.argv[1]) / "model"
folder.mkdir()
for name, text in (("Model.bin", "large"), ("model.bin", "small"), ("other.bin", "other")):
    (folder / name).write_text(text)
run.log_artifact(folder, "weights", "model")
run.finish()
"""
DOWNLOADED = """
import steplog, sys
from pathlib import Path
root = Path(sys.argv[1])
artifact = steplog.artifact("p", "weights")
try:
    artifact.download(root)
except FileExistsError as error:
    print(error.strerror, error.filename)
for file in artifact.files:
    print(file.path, file.read().decode())
print([(path.name, path.read_text()) for path in root.iterdir()])
"""
SAVED = """
import steplog
run = steplog.init(project="p", name="case")
run.log("Loss", 1.0)
run.log("loss", 2.0)
run.finish()
"""
REFUSED = "a file is there whose name differs by the case of letters alone; choose another root for one"


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mac:
    monkeypatch.delenv("STEPLOG_MEMORY_DIR")
    made = Mac(tmp_path)
    made.environment["MAC_FOLD"] = "1"
    return made


def test_of_two_files_with_one_name_the_first_stays_and_the_second_is_refused(mac, tmp_path):
    with mac.serving():
        mac.run("-c", LOGGED, str(tmp_path), STEPLOG_QUIET="1", MAC_FOLD="")
        said, *files, kept = mac.run("-c", DOWNLOADED, str(tmp_path / "here")).stdout.splitlines()
    assert said == f"{REFUSED} {tmp_path / 'here' / 'model.bin'}"
    assert files == ["Model.bin large", "model.bin small", "other.bin other"]
    assert kept == "[('Model.bin', 'large')]"


def test_a_file_that_is_there_in_another_normal_form_is_replaced(mac, tmp_path):
    """A decomposed name is the same name, as a user means it."""
    code = """
import sys
from pathlib import Path
from files.test_folder import Held
from steplog.files.folder import Folder
root = Path(sys.argv[1])
root.mkdir()
(root / "re\\u0301sume\\u0301").write_text("old")
Folder(root).put("r\\u00e9sum\\u00e9", Held(b"new"), replace=True)
[there] = root.iterdir()
assert there.read_text() == "new"
"""
    mac.run("-c", code, str(tmp_path / "here"))


def test_runs_and_metrics_whose_names_differ_by_case_stay_apart(mac, tmp_path):
    with mac.serving():
        mac.run("-c", LOGGED, str(tmp_path), STEPLOG_QUIET="1", MAC_FOLD="")
        mac.run("-c", SAVED, STEPLOG_QUIET="1")
        mac.steplog("export", "--project", "p", "--output", f"{tmp_path / 'out'}/", "--format", "csv", "--no-files")
        assert len({path.name.casefold() for path in (tmp_path / "out").glob("*.csv")}) == 2
        read = "import steplog\nrun = steplog.open('p/case')\nprint(len(run.history('Loss')), len(run.history('loss')))"
        assert mac.run("-c", read).stdout == "1 1\n"
