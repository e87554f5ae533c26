"""The packer: a process beside the server that packs what the server has logged.

1. ``packer_process`` keeps one running. Without it everything works, slower: what is long in the log is packed by a
   thread of the server (``packing_backlog``), and what is short is decoded by each read.
2. It ends with its standard input, a pipe whose other end only the server has: also when the server is killed.
3. It has a low priority, and a session of its own, which no signal of a terminal reaches. It inherits no descriptor but
   standard error, where it says what a person should know. The URL of a database, which may have a password, is in
   its environment.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from steplog.server.log_format import configure_logging
from steplog.server.open_store import file_id, open_packer
from steplog.server.repeating import repeating
from steplog.server.store import Store
from steplog.server.store_place import STORE_VARIABLE, Place
from steplog.server.store_types import StoreError, StoreReplacedError

__all__ = ["packer_process", "packing_backlog"]

_log = logging.getLogger("steplog.server")
_INTERVAL_S = 1.0
_PAUSE_S = 0.05  # between two slices of what is not urgent
_RETRY_S = 5.0  # after an error, such as a full disk
_BACKLOG_INTERVAL_S = 2.0
_NICENESS = 10
_RESTART_S, _RESTART_S_MAX = 1.0, 60.0
_END_S = 5.0
_NOT_ITS_OWN = ("STEPLOG_", "TELLURIO_")  # settings and keys


@contextmanager
def packer_process(
    place: Place, restart_s: float = _RESTART_S, log_format: str = "text"
) -> Iterator[Callable[[], Mapping[str, float]]]:
    """Keep a packer of this database running, which is open, and stays so meanwhile.

    Gives its figures, as ``Store.figures`` has them. ``log_format``: of what it says (``log_format``).
    """
    keeper = _Keeper(place, restart_s, log_format)
    thread = threading.Thread(target=keeper.keep, name="steplog-packer", daemon=True)
    thread.start()
    try:
        yield keeper.figures
    finally:
        keeper.stop()
        thread.join(_END_S)
        keeper.kill()
        thread.join()


def packing_backlog(store: Store) -> AbstractContextManager[None]:
    """In a thread of the server, pack what the packer does not keep up with."""

    def pack() -> float:
        with suppress(StoreError):  # a full disk, say: later
            store.pack_backlog()
        return _BACKLOG_INTERVAL_S

    return repeating(pack, "steplog-backlog", _BACKLOG_INTERVAL_S)


class _Keeper:
    """Starts the process, and again whenever it ends, later each time that it has not lasted."""

    def __init__(self, place: Place, restart_s: float, log_format: str) -> None:
        path = (str(place.absolute()),) if isinstance(place, Path) else ()
        self._command = [sys.executable or "", "-m", "steplog.server.packer", log_format, file_id(place), *path]
        self._environment = _environment() | ({} if isinstance(place, Path) else {STORE_VARIABLE: place})
        self._restart_s = restart_s
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    def figures(self) -> Mapping[str, float]:
        """Whether it runs, and how often it was started."""
        process = self._process
        return {"packer_up": process is not None and process.poll() is None, "packer_starts_total": self._starts}

    def keep(self) -> None:
        """Return once stopped, when the process has ended."""
        pause_s = self._restart_s
        while not self._stopping.is_set():
            began = time.monotonic()
            with suppress(OSError):  # no descriptors, no memory
                self._start()
            if self._process is not None:
                self._process.wait()
            if time.monotonic() - began > _RESTART_S_MAX:
                pause_s = self._restart_s
            self._stopping.wait(pause_s)
            pause_s = min(2 * pause_s, _RESTART_S_MAX)

    def stop(self) -> None:
        """Let the process end, and start no other."""
        with self._lock:
            self._stopping.set()
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()

    def kill(self) -> None:
        """End the process at once, if it has not ended."""
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def _start(self) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                cwd="/",
                env=self._environment,
                start_new_session=True,
            )
            self._starts += 1


def _environment() -> dict[str, str]:
    """In which modules are found where the server finds them, and nowhere else."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_ITS_OWN)}
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    return kept | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def _main(place: Place, opened: str, log_format: str) -> NoReturn:
    configure_logging(log_format)
    threading.Thread(target=_end_with_server, daemon=True).start()
    with suppress(OSError):
        os.nice(_NICENESS)
    packer = None
    while True:
        pause_s = _INTERVAL_S
        try:
            if packer is None:
                packer = open_packer(place, opened, _log.warning)
            if packer.work():
                pause_s = _PAUSE_S
        except StoreReplacedError:  # the server will end
            pause_s = _RESTART_S_MAX
        except (StoreError, MemoryError):
            pause_s = _RETRY_S
        time.sleep(pause_s)


def _end_with_server() -> NoReturn:
    with suppress(OSError):
        while os.read(0, 1):
            pass
    os._exit(0)


if __name__ == "__main__":
    form, opened, *paths = sys.argv[1:]
    _main(Path(paths[0]) if paths else os.environ.pop(STORE_VARIABLE), opened, form)
