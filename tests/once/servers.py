"""Several servers over one store, each behind a proxy, killed between a commit and its answer, and started again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from signal import SIGKILL

from once.cutting import CuttingProxy
from server.process import ServerProcess, lasting_port

EVERYWHERE = ("--user", "team", "--allow-host", "127.0.0.1")  # so that a proxy's port counts, too


class KilledServer:
    """A server that is killed at every ``kill_every``-th answer, ``kills_max`` times; 0: never. A context manager.

    Attributes:
        url: of the proxy.
        kills: how often it was killed, each time with an answer on its way.
        errors: of starting it again.
    """

    def __init__(self, directory: Path, store: str, kill_every: int, kills_max: int = 2**31) -> None:
        directory.mkdir()
        port = lasting_port()
        self.server = ServerProcess(directory, "--port", str(port), *EVERYWHERE, store=store)
        self.kills = 0
        self.errors: list[BaseException] = []
        self._every, self._kills_max = kill_every, kills_max
        self._answers = 0
        self._lock = threading.Lock()
        self._dead: SimpleQueue[bool] = SimpleQueue()
        self._proxy = CuttingProxy(port, self._on_answer)
        self.url = self._proxy.url
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def __enter__(self) -> KilledServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._dead.put(False)
        self._keeper.join()
        self._proxy.__exit__(None, None, None)
        self.server.__exit__(None, None, None)

    def _on_answer(self) -> bool:
        with self._lock:
            self._answers += 1
            if not self._every or self.kills == self._kills_max or self._answers % self._every:
                return False
            self.kills += 1
            self.server.process.kill()
        self._dead.put(True)
        return True

    def _keep(self) -> None:
        while self._dead.get():
            try:
                self.server.end(SIGKILL)
                self.server.start()
            except BaseException as error:  # noqa: BLE001 - for the test
                self.errors.append(error)
                return


@contextlib.contextmanager
def killed_servers(
    directory: Path, store: str, kill_every: tuple[int, ...], kills_max: int = 2**31
) -> Iterator[list[KilledServer]]:
    """A server for each of these."""
    with contextlib.ExitStack() as opened:
        made = [
            opened.enter_context(KilledServer(directory / f"server{number}", store, every, kills_max))
            for number, every in enumerate(kill_every)
        ]
        yield made
        assert [error for each in made for error in each.errors] == []
