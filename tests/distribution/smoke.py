"""Whether an installed steplog logs: what cibuildwheel runs with each wheel, by the Python that it is installed in.

    python tests/distribution/smoke.py [c | pure | locked]

The argument is the append that is wanted; by default "locked" on free-threaded Python and "c" elsewhere, as wheels
have it. Needs nothing but steplog, and leaves nothing behind. Ends with 0 and one line where all is well.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile

VALUES = 1000


def main() -> None:
    """Log, and read what was logged. Raises AssertionError."""
    usual = "locked" if sysconfig.get_config_var("Py_GIL_DISABLED") else "c"
    wanted = sys.argv[1] if len(sys.argv) > 1 else usual
    with tempfile.TemporaryDirectory() as directory:
        places = {"STEPLOG_DIR": directory, "STEPLOG_MEMORY_DIR": os.path.join(directory, "memory")}
        os.environ |= {**places, "STEPLOG_MODE": "offline", "STEPLOG_QUIET": "1"}
        import steplog

        run = steplog.init("me", "smoke")
        for step in range(VALUES):
            run.log("loss", step / 3, step=step)
        run.log({"text": "größe"})
        append, report = run.stats().append, run.finish()
        kept = [record.value for record in steplog.read_journal() if record.name == "loss"]
    assert kept == [step / 3 for step in range(VALUES)], f"{len(kept)} of {VALUES} values were kept: {report}"
    assert append == wanted, f"log() is served by the append {append!r}, not by {wanted!r}"
    place = os.path.dirname(steplog.__file__)
    print(f"steplog in {place}: {VALUES} values kept, append {append}, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
