"""Makes this Linux look like macOS to a Python program: to be loaded before anything else.

What goes: the names that CPython has on Linux alone (``lacking.txt``, by typeshed; ``stubs`` in the tests derives it),
``/proc``, ``/sys`` and ``/dev/shm`` (``hidden``). What differs:

- ``sockaddr_un`` has 104 bytes, none of them for abstract names (macOS's ``sys/un.h``); a socket has no mode.
- ``LOCAL_PEERCRED`` and ``LOCAL_PEERPID`` tell who is at the other end (``sys/un.h``, ``sys/ucred.h``).
- ``F_FULLFSYNC``, and ``F_OFD_SETLK`` with the order that ``struct flock`` has there (``sys/fcntl.h``).
- ``mmap`` of a file is a ``F_FULLFSYNC`` (CPython's ``Modules/mmapmodule.c``).
- A soft limit of 256 open files and no hard one; more than ``OPEN_MAX`` is refused (setrlimit(2)).
- ``ru_maxrss`` is in bytes (getrusage(2)).
- libc has ``gethostuuid`` and ``sysctlbyname``.
- The default of ``multiprocessing`` is to spawn, ``selectors`` has no epoll (and here no kqueue either).

Environment: ``MAC_BOOT``, ``MAC_HOST``: this start, and this machine. ``MAC_LOG``: a file that gets a line for each
sync. ``MAC_FULLFSYNC``: the name of the error that ``F_FULLFSYNC`` ends with. ``MAC_FOLD``: see ``folding``.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import posix
import resource
import select
import selectors
import signal
import socket
import stat
import struct
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import folding
import hidden

__all__ = ["begin"]

_SOCKET_PATH_MAX = 103
_OPEN_MAX, _SOFT_MAX = 10_240, 256
_F_FULLFSYNC, _F_OFD_SETLK = 51, 90
_LINUX_OFD_SETLK = 37
_FLOCK, _LINUX_FLOCK = struct.Struct("@qqihh"), struct.Struct("@hhqqi4x")
_LINUX_PEERCRED, _UCRED, _XUCRED = 17, struct.Struct("iII"), struct.Struct("@IIh16I")
_SOL_LOCAL, _LOCAL_PEERCRED, _LOCAL_PEERPID = 0, 1, 2
_GONE_FROM_LIBC = {"prctl", "inotify_init", "memfd_create", "fallocate", "posix_fallocate", "renameat2", "getrandom"}
_UNAME = ("Darwin", "24.6.0", "Darwin Kernel Version 24.6.0: root:xnu-11417.140.69~1/RELEASE_ARM64_T6000", "arm64")
_MODULES: dict[str, tuple[Any, ...]] = {
    "os": (os, posix),
    "socket": (socket, sys.modules["_socket"]),
    "fcntl": (fcntl,),
    "signal": (signal,),
    "select": (select,),
    "mmap": (mmap,),
    "resource": (resource,),
    "time": (time,),
    "errno": (errno,),
}


def begin() -> None:
    """Once in a process, before anything else."""
    sysconfig.get_config_vars()  # from a module that is called after the platform; it keeps them
    log = os.environ.get("MAC_LOG")
    _limit_files()
    _lock_and_sync(None if log is None else os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600))
    _shorten_sockets()
    _replace_libc()
    _take_away()
    if os.environ.get("MAC_FOLD"):
        folding.fold()
    hidden.hide()
    name = os.uname().nodename
    os.uname = posix.uname = lambda: posix.uname_result((_UNAME[0], name, *_UNAME[1:]))
    sys.platform = "darwin"


def _take_away() -> None:
    for line in (Path(__file__).with_name("lacking.txt")).read_text().splitlines():
        module, _, names = line.partition(": ")
        for each in names.split():
            name, _, since = each.partition("@")
            if not since or sys.version_info < (3, int(since)):
                for place in _MODULES.get(module, ()):
                    if hasattr(place, name):
                        delattr(place, name)
    del selectors.EpollSelector
    selectors.DefaultSelector = selectors.PollSelector
    os.process_cpu_count = os.cpu_count  # it would ask for the affinity


def _limit_files() -> None:
    real_get, real_set = resource.getrlimit, resource.setrlimit
    hard_limit = real_get(resource.RLIMIT_NOFILE)[1]
    soft = real_get(resource.RLIMIT_NOFILE)[0]
    real_set(resource.RLIMIT_NOFILE, (min(soft, _SOFT_MAX) if soft >= 0 else _SOFT_MAX, hard_limit))

    def getrlimit(which: int) -> tuple[int, int]:
        found = real_get(which)
        return (found[0], resource.RLIM_INFINITY) if which == resource.RLIMIT_NOFILE else found

    def setrlimit(which: int, limits: tuple[int, int]) -> None:
        if which == resource.RLIMIT_NOFILE:
            if not 0 <= limits[0] <= _OPEN_MAX:
                raise ValueError("current limit exceeds maximum limit")
            limits = min(limits[0], hard_limit) if hard_limit >= 0 else limits[0], hard_limit
        real_set(which, limits)

    resource.getrlimit, resource.setrlimit = getrlimit, setrlimit
    real_usage = resource.getrusage

    def getrusage(who: int) -> resource.struct_rusage:
        found = list(real_usage(who))
        found[2] *= 1024
        return resource.struct_rusage(found)

    resource.getrusage = getrusage


def _lock_and_sync(log: int | None) -> None:
    real_fcntl, real_fsync, real_fchmod, real_write = fcntl.fcntl, os.fsync, os.fchmod, os.write

    def note(what: str) -> None:
        if log is not None:
            real_write(log, f"{what}\n".encode())

    def fsync(descriptor: int) -> None:
        note("fsync")
        real_fsync(descriptor)

    def darwin_fcntl(descriptor: Any, command: int, argument: Any = 0) -> Any:
        if command == _F_FULLFSYNC:
            note("F_FULLFSYNC")
            if name := os.environ.get("MAC_FULLFSYNC"):
                raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))
            real_fsync(descriptor)
            return 0
        if command == _F_OFD_SETLK:
            start, length, pid, kind, whence = _FLOCK.unpack(argument)
            return real_fcntl(descriptor, _LINUX_OFD_SETLK, _LINUX_FLOCK.pack(kind, whence, start, length, pid))
        return real_fcntl(descriptor, command, argument)

    def fchmod(descriptor: int, mode: int) -> None:
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real_fchmod(descriptor, mode)

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "mmap.__new__" and arguments[0] != -1:
            note("mmap of a file")

    fcntl.fcntl = darwin_fcntl
    fcntl.F_FULLFSYNC = _F_FULLFSYNC
    if hasattr(fcntl, "F_OFD_SETLK"):  # which lacking.txt takes away where macOS's Python has none
        fcntl.F_OFD_SETLK, fcntl.F_OFD_SETLKW, fcntl.F_OFD_GETLK = 90, 91, 92
    os.fsync = posix.fsync = fsync
    os.fchmod = posix.fchmod = fchmod
    sys.addaudithook(on_event)


def _shorten_sockets() -> None:
    real = sys.modules["_socket"].socket

    def checked(self: socket.socket, address: Any) -> Any:
        if self.family == socket.AF_UNIX:
            name = os.fsencode(address)
            if len(name) > _SOCKET_PATH_MAX:
                raise OSError("AF_UNIX path too long")
            if name[:1] == b"\0":
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return address

    def getsockopt(self: socket.socket, level: int, option: int, size: int = 0) -> Any:
        if self.family == socket.AF_UNIX:
            if (level, option) == (socket.SOL_SOCKET, _LINUX_PEERCRED):
                raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
            if level == _SOL_LOCAL and option in (_LOCAL_PEERCRED, _LOCAL_PEERPID):
                told = real.getsockopt(self, socket.SOL_SOCKET, _LINUX_PEERCRED, _UCRED.size)
                pid, uid, gid = _UCRED.unpack(told)
                return pid if option == _LOCAL_PEERPID else _XUCRED.pack(0, uid, 1, gid, *[0] * 15)[:size]
        return real.getsockopt(self, level, option, size) if size else real.getsockopt(self, level, option)

    made: Any = socket.socket
    made.bind = lambda self, address: real.bind(self, checked(self, address))
    made.connect = lambda self, address: real.connect(self, checked(self, address))
    made.connect_ex = lambda self, address: real.connect_ex(self, checked(self, address))
    made.getsockopt = getsockopt


def _replace_libc() -> None:
    def gethostuuid(buffer: Any, wait: Any) -> int:
        buffer.raw = bytes.fromhex(os.environ.get("MAC_HOST", "0f" * 16))
        return 0

    def sysctlbyname(name: bytes, buffer: Any, size: Any, new: None, new_size: int) -> int:
        if name != b"kern.bootsessionuuid":
            return -1
        value = os.environ.get("MAC_BOOT", "8F4E0000-0000-4000-8000-000000000001").encode()
        buffer.value = value
        size._obj.value = len(value) + 1
        return 0

    there = {"gethostuuid": gethostuuid, "sysctlbyname": sysctlbyname}
    real: Any = ctypes.CDLL

    class Library(real):
        def __getattr__(self, name: str) -> Any:
            if self._name is None:
                if name in there:
                    return there[name]
                if name in _GONE_FROM_LIBC:
                    raise AttributeError(f"dlsym(RTLD_DEFAULT, {name}): symbol not found")
            return super().__getattr__(name)

    ctypes.CDLL = Library
