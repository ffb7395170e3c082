"""Process identity: computer, number and start, because numbers are reused. For every layer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ProcessId:
    """What distinguishes a process from all others, as files record it.

    `start` is in the kernel's ticks since boot. `machine`, `boot` and `namespace` (of process numbers) distinguish
    computers of the same name, boots, and containers. "" means not known, None not recorded.
    """

    host: str
    pid: int
    start: str
    machine: str | None = None
    boot: str | None = None
    namespace: str | None = None

    def __str__(self) -> str:
        """Return "process 4711 on scope1"."""
        return f"process {self.pid} on {self.host}"

    def lives(self) -> bool:
        """Return False only if the process has certainly ended; for another computer that is not known."""
        here = this_computer()
        if self.host != here["host"] or self.machine not in (None, here["machine"]):
            return True
        if self.boot not in (None, here["boot"]):
            return not (self.boot and here["boot"]) or self.machine == ""
        if self.namespace not in (None, here["namespace"]):
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except (OSError, OverflowError):
            pass
        state, start = _state_and_start(self.pid)
        return state not in ("Z", "X") and ("" in (start, self.start) or start == self.start)


def this_process() -> ProcessId:
    """Return this process."""
    return process(os.getpid())


def process(pid: int) -> ProcessId:
    """Return the process of this computer with a number."""
    return ProcessId(pid=pid, start=_state_and_start(pid)[1], **this_computer())


def read_process(found: Any) -> ProcessId | None:
    """Return the process that a mapping describes among other things; None if it describes none."""
    try:
        others = {key: found.get(key) for key in ("machine", "boot", "namespace")}
        return ProcessId(host=found["host"], pid=int(found["pid"]), start=str(found["start"]), **others)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def this_computer() -> dict[str, str]:
    """Return host, machine, boot and namespace of this process."""
    try:
        namespace = str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        namespace = ""
    return {"host": os.uname().nodename, "machine": text_of("/etc/machine-id")[:8],
            "boot": text_of("/proc/sys/kernel/random/boot_id")[:8], "namespace": namespace}


def _state_and_start(pid: int) -> tuple[str, str]:
    # The command name, in brackets, may contain spaces and brackets: count fields after the last bracket.
    fields = text_of(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (fields[0], fields[19]) if len(fields) > 19 else ("", "")


def text_of(path: str | os.PathLike[str]) -> str:
    """Return the text of a file, stripped of white space; "" where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
