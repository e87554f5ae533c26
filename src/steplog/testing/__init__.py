"""Fakes for tests of programs that log, and of steplog itself: a clock, servers, a file system.

``FakeClock``                      monotonic and wall time that go when they are told to
``HostileServer``                  a TCP server on loopback that does to each connection what a script says
``MemoryServer``, ``Fault``        a model of the run server in memory, behind the agent's ``Transport``
``FailingFiles``                   a disk that fails where a test wants it to
"""

from __future__ import annotations

from steplog.testing.hostile_server import FakeClock, HostileServer, Peer, Script, answer
from steplog.testing.memory_server import Fault, MemoryServer

__all__ = ["FakeClock", "Fault", "HostileServer", "MemoryServer", "Peer", "Script", "answer"]
