"""Fakes for tests of programs that log, and of steplog itself.

``FakeClock``       time, advanced by hand
``HostileServer``   a TCP server that runs a script on each connection
``MemoryServer``    the run server in memory, with ``Fault``
``FailingFiles``    a disk that fails, stalls and loses power
"""

from __future__ import annotations

from steplog.testing.clock import FakeClock
from steplog.testing.failing_files import FailingFiles
from steplog.testing.hostile_server import HostileServer, Peer, Script, answer
from steplog.testing.memory_server import Fault, MemoryServer

__all__ = ["FailingFiles", "FakeClock", "Fault", "HostileServer", "MemoryServer", "Peer", "Script", "answer"]
