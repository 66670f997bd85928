"""Which process it is, and whether that one is still there. Names hosts and processes, never people."""

import os
import socket
from pathlib import Path


def this_process() -> str:
    """``host:pid:namespace:started``: enough for a process on this host to tell whether it is still alive."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{_namespace()}:{_started(pid)}"


def is_gone(owner: str) -> bool:
    """Whether *owner* was a process here that is no longer; False for another host, which only time can tell."""
    if not is_here(owner):
        return False
    _host, pid, _space, started = _parts(owner)
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _started(int(pid)) != started  # the number was given to another process


def is_here(owner: str) -> bool:
    """Whether *owner* is, or was, a process that this one could see."""
    host, pid, namespace, _started_at = _parts(owner)
    return host == socket.gethostname() and namespace == _namespace() and pid.isdigit()


def _parts(owner: str) -> tuple[str, str, str, str]:
    host, pid, namespace, started = (*owner.split(":"), "", "", "", "")[:4]
    return host, pid, namespace, started


def _namespace() -> str:
    """Process numbers mean something in one namespace of one started kernel: machines may share a host name."""
    try:
        kernel = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{kernel}-{Path('/proc/self/ns/pid').readlink().name.strip('pid:[]')}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When the process began, in the kernel's ticks; empty where the system does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "dead" if state in ("Z", "X") else fields[18]  # proc(5): state is field 3, starttime field 22
