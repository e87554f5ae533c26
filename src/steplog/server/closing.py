"""Closing a listener without losing a request that a client has sent.

The kernel completes connections by itself. One that the server has not accepted when the listener is closed is reset,
with the request that its client may have sent by then: a proxy cannot send a POST to another server after that, and
answers 502. So before the end nobody new is let in, those who are on their way are, and then the listener is closed.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from contextlib import suppress

__all__ = ["let_nobody_in"]

_SO_ATTACH_FILTER = 26  # socket(7), Linux; on some processors another one, where setsockopt then refuses this
_FLAGS_AT, _SYN = 13, 0x02  # in the head of TCP, where a filter of a TCP socket begins
# Classic BPF (linux/filter.h): operation, jump if true, jump if false, operand.
_DROP_SYN = (
    (0x30, 0, 0, _FLAGS_AT),  # load the byte
    (0x45, 0, 1, _SYN),  # skip the next one unless it has the bit
    (0x06, 0, 0, 0),  # drop the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # keep all of it
)


def let_nobody_in(listener: socket.socket) -> None:
    """Have the kernel ignore who begins to connect, and complete the connections that have begun; on Linux, of TCP.

    A client that is ignored tries again by itself a second later, and is refused then, if the listener is closed.
    """
    if sys.platform == "linux" and listener.family != socket.AF_UNIX:
        program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in _DROP_SYN))
        where = struct.pack("@HP", len(_DROP_SYN), ctypes.addressof(program))
        with suppress(OSError):  # a sandbox that has no filters: a request of this instant may be lost, as without this
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, where)
