"""Archived projects are read-only: Snakemake does not run in them, nothing is deleted or cleaned. They may be moved.

Paths inside a project are relative, so unarchiving needs no new path; links to raw data outside are checked.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from cryosnake.atomic import write_text
from cryosnake.errors import CryosnakeError

MARK = Path(".cryosnake", "archived")


def is_archived() -> bool:
    """Say whether the project in the working directory is archived."""
    return MARK.exists()


def refuse_archived() -> None:
    """Raise CryosnakeError in an archived project."""
    if is_archived():
        raise CryosnakeError(f"this project is archived ({MARK.read_text().strip()}) and stays as it is; `cryosnake "
                             "unarchive` opens it again")


def archive() -> None:
    """Make the project in the working directory read-only; the caller holds `clean_up_lock.cleaning_up`."""
    MARK.parent.mkdir(exist_ok=True)
    write_text(MARK, f"since {time.strftime('%Y-%m-%d %H:%M')}\n")


def unarchive() -> list[str]:
    """Open an archived project again; return links in its folder that are broken since it was moved.

    Raises
    ------
    CryosnakeError
        If it is not archived.
    """
    if not is_archived():
        raise CryosnakeError("this project is not archived")
    MARK.unlink()
    return sorted(entry.name for entry in os.scandir(".") if entry.is_symlink() and not os.path.exists(entry.path))
