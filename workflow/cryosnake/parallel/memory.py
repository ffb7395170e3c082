"""Available memory: of the computer, and within the job's control group."""

from __future__ import annotations

from pathlib import Path

_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_bytes(root: Path = Path("/")) -> int:
    """Return the bytes that this process may still use without swapping; `root` is where /proc and /sys are.

    The minimum of MemAvailable and of what is left in each control group above the process (SLURM, containers); file
    cache that can be dropped counts as left.
    """
    found = [_mem_available(root)]
    for controller, path in _groups(root):
        base = root / "sys/fs/cgroup" / controller
        names = _V1 if controller else _V2
        folder = base / path
        while True:
            found.append(_left_in_group(folder, names))
            if folder in (base, base.parent) or base not in folder.parents:
                break
            folder = folder.parent
    return min(value for value in found if value is not None)


def _mem_available(root: Path) -> int | None:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
    except OSError:
        return 1 << 62  # not Linux: nothing is known
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 1 << 62)


def _groups(root: Path) -> list[tuple[str, str]]:
    """Return (folder of the controller, path of the group): "" and a path for version 2, "memory" for version 1."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    groups = []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            groups.append(("", path.lstrip("/")))
        elif "memory" in controllers.split(","):
            groups.append(("memory", path.lstrip("/")))
    return groups


def _left_in_group(folder: Path, names: tuple[str, str, str]) -> int | None:
    limit, usage, cache = names
    try:
        most, used = (folder / limit).read_text().strip(), int((folder / usage).read_text())
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    if most == "max":
        return None
    return max(int(most) - used + int(statistics.get(cache, 0)), 0)
