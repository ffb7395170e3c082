"""Size of the whole project, measured on request and stored, with a check whether it is out of date.

Jobs are measured again for every preview; the rest of the project (movies, references) only here, because walking it
may take minutes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cryosnake.atomic import write_text
from cryosnake.errors import CryosnakeError
from cryosnake.json_files import read_json
from cryosnake.names import TRASH
from cryosnake.project.records.file_sizes import folder_size
from cryosnake.project.records.own_trash import trash_size

FILE = Path(".cryosnake", "sizes.json")
MAX_AGE = 24 * 3600.0  # seconds


@dataclass(frozen=True, kw_only=True)
class ProjectSizes:
    """Bytes of jobs, Trash and other files when they were measured (seconds since the epoch), and the folders then."""

    measured: float
    jobs: int
    trash: int
    other: int
    folders: dict[str, int]  # top-level folders that hold no jobs -> time of their last change, ns

    @property
    def total(self) -> int:
        """Bytes of the project."""
        return self.jobs + self.trash + self.other


def measure(jobs: Iterable[str], *, keep: bool = True) -> ProjectSizes:
    """Measure the project in the working directory and return the result, stored where it is to be kept.

    Parameters
    ----------
    jobs
        The job directories (`Extract/job005/`).
    keep
        Whether the result is stored, for `read_sizes`.
    """
    in_jobs = sum(folder_size(job) for job in jobs)
    trash = trash_size()
    total = folder_size(".") + (trash if os.path.islink(TRASH) else 0)
    sizes = ProjectSizes(measured=time.time(), jobs=in_jobs, trash=trash, other=total - in_jobs - trash,
                         folders=_folders())
    if not keep:
        return sizes
    with suppress(OSError, CryosnakeError):  # a preview needs no permission to write
        FILE.parent.mkdir(exist_ok=True)
        write_text(FILE, json.dumps(asdict(sizes)))
    return sizes


def with_trash(sizes: ProjectSizes) -> ProjectSizes:
    """Return measured sizes with that of the Trash as it is now: every clean-up changes it."""
    return replace(sizes, trash=trash_size())


def read_sizes() -> ProjectSizes | None:
    """Return the last measured sizes, None if there are none or the file is damaged."""
    try:
        found = ProjectSizes(**read_json(FILE))
        return found if found.total + found.measured >= 0 and dict(found.folders) == found.folders else None
    except (OSError, ValueError, TypeError):
        return None


def staleness(sizes: ProjectSizes) -> str:
    """Return why stored sizes may be wrong, "" if there is no sign of it."""
    age = time.time() - sizes.measured
    if age > MAX_AGE or age < -60:
        return f"the project was measured {age / 3600:.0f} h ago"
    now = _folders()
    changed = sorted(name for name in now.keys() | sizes.folders.keys() if now.get(name) != sizes.folders.get(name))
    return f"{', '.join(changed[:5])} changed since the project was measured" if changed else ""


def _folders() -> dict[str, int]:
    """Return the times of top-level files and folders that are neither jobs' nor the project's own bookkeeping."""
    found = {}
    with os.scandir(".") as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name == TRASH or entry.name == "default_pipeline.star":
                continue
            if entry.is_dir(follow_symlinks=False) and any(name.startswith("job") for name in os.listdir(entry.path)):
                continue
            found[entry.name] = entry.stat(follow_symlinks=False).st_mtime_ns
    return found
