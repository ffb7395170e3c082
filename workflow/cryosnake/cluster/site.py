"""A SLURM cluster as its own commands describe it: partitions with limits, accounts, how to query a job's state."""

from __future__ import annotations

import getpass
import re
import shutil
import subprocess
from dataclasses import dataclass, replace

from cryosnake.errors import CryosnakeError


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A partition and the most that one job may request of one of its nodes; `minutes` is 0 where there is no limit."""

    name: str
    default: bool
    up: bool
    minutes: int
    nodes: int
    cpus: int
    memory: int  # MB
    gpus: int

    def __str__(self) -> str:
        """Return a line that describes it."""
        time = f"{self.minutes} minutes" if self.minutes else "no time limit"
        gpus = f", {self.gpus} GPUs" if self.gpus else ""
        return (f"{self.name}{' (default)' if self.default else ''}{'' if self.up else ', down'}: {self.nodes} nodes "
                f"of {self.cpus} cores, {self.memory:,} MB{gpus}; {time}")


@dataclass(frozen=True)
class Site:
    """A cluster: `accounts` are the user's, the default first; `accounting` says whether sacct has data."""

    name: str
    partitions: tuple[Partition, ...]
    accounts: tuple[str, ...] = ()
    accounting: bool = False


def detect_site() -> Site:
    """Query SLURM's commands.

    Raises
    ------
    CryosnakeError
        when there is no SLURM, or it does not answer
    """
    if shutil.which("sinfo") is None:
        raise CryosnakeError("sinfo is not on the PATH, so there is no SLURM to query; run this on a computer from "
                             "which jobs are submitted (a login node), or load its module. For another scheduler: "
                             "cryosnake profile import, with a template of cryoSPARC or RELION")
    settings = _ask("scontrol", "show", "config")
    name = _setting(settings, "ClusterName") or "slurm"
    accounting = "none" not in (_setting(settings, "AccountingStorageType") or "none")
    partitions = parse_partitions(_ask("sinfo", "-h", "-o", "%P|%a|%l|%D|%c|%m|%G"))
    if not partitions:
        raise CryosnakeError("SLURM answers, but lists no partition for you (sinfo); ask its administrators")
    return Site(name, partitions, _accounts() if accounting else (), accounting)


def parse_partitions(text: str) -> tuple[Partition, ...]:
    """Return the partitions of `sinfo -h -o "%P|%a|%l|%D|%c|%m|%G"`, which has a line for each kind of node."""
    found: dict[str, Partition] = {}
    for line in text.splitlines():
        words = line.strip().split("|")
        if len(words) != 7:
            continue
        name, state, limit, nodes, cpus, memory, gres = words
        new = Partition(name=name.rstrip("*"), default=name.endswith("*"), up=state.startswith("up"),
                        minutes=minutes_of(limit), nodes=int(nodes), cpus=_number(cpus), memory=_number(memory),
                        gpus=gpus_of(gres))
        old = found.get(new.name)
        if old:
            new = replace(new, nodes=old.nodes + new.nodes, cpus=max(old.cpus, new.cpus),
                          memory=max(old.memory, new.memory), gpus=max(old.gpus, new.gpus))
        found[new.name] = new
    return tuple(found.values())


def minutes_of(limit: str) -> int:
    """Return a SLURM time limit (`1-12:00:00`, `30:00`, `infinite`) in minutes, 0 for no limit."""
    days, _, clock = limit.rpartition("-")
    if not re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}", limit):
        return 0
    parts = [int(part) for part in clock.split(":")]
    if days:  # days-hours[:minutes[:seconds]]
        parts += [0] * (3 - len(parts))
        return int(days) * 1440 + parts[0] * 60 + parts[1]
    if len(parts) == 3:
        return parts[0] * 60 + parts[1]
    return parts[0]  # minutes[:seconds]


def gpus_of(gres: str) -> int:
    """Return the number of GPUs in a node's generic resources: `gpu:a100:4(S:0-1),gpu:2,lustre:1` has 6."""
    return sum(int(number) for number in re.findall(r"(?:^|,)gpu(?::[^:,()]+)?:(\d+)", gres))


def _number(text: str) -> int:
    return int(re.match(r"\d*", text)[0] or 0)  # type: ignore[index]  # "64+": at least 64


def _accounts() -> tuple[str, ...]:
    if shutil.which("sacctmgr") is None:
        return ()
    user = getpass.getuser()
    try:
        first = _ask("sacctmgr", "-nP", "show", "user", user, "format=DefaultAccount").split()
        others = _ask("sacctmgr", "-nP", "show", "assoc", f"user={user}", "format=account").split()
    except CryosnakeError:
        return ()
    return tuple(dict.fromkeys([*first, *others]))


def _setting(text: str, name: str) -> str:
    match = re.search(rf"^{name}\s*=\s*(.*)$", text, re.MULTILINE)
    return match[1].strip() if match else ""


def _ask(*words: str) -> str:
    try:
        result = subprocess.run(words, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CryosnakeError(f"`{' '.join(words)}` did not answer: {error}") from error
    if result.returncode:
        raise CryosnakeError(f"`{' '.join(words)}` failed: {result.stderr.strip()}; is slurmctld up?")
    return result.stdout
