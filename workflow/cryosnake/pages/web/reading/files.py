"""Which files of a project may be shown: regular ones inside it, by no link that leads out of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.names import is_below, is_listed_name, shown, why_not_ours

IMAGES = (".mrc", ".mrcs", ".st", ".map", ".tif", ".tiff", ".eer", ".ctf")


class NoSuchFileError(CryosnakeError):
    """The file is not there, or is not to be shown; which of these is not said."""


def file_of(root: Path, name: str, *, through_links: bool = False) -> Path:
    """Return a file of a project by its name from the project's folder.

    `through_links`: the file itself may be a link out of the project, as raw movies and imported micrographs are. Only
    what makes a picture of a file reads such a link; it is never sent as it is.

    Raises
    ------
    NoSuchFileError
        where there is no such regular file in the project, or its name is hidden
    """
    path = root / name
    if not is_listed_name(name) or any(part.startswith(".") for part in name.split("/")) or not _inside(root, name):
        raise _missing(name)
    if not through_links and os.path.islink(path) and not _inside(root, os.path.relpath(os.path.realpath(path),
                                                                                          os.path.realpath(root))):
        raise _missing(name)
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        regular = False
    if not regular or (through_links and os.path.islink(path) and path.suffix.lower() not in IMAGES):
        raise _missing(name)
    return path


def _inside(root: Path, name: str) -> bool:
    """Whether a file's folder is in the project, or in a job directory that its owner moved and left a link to."""
    if is_below(root, name):
        return True
    folder, _, rest = name.partition("/")
    job, _, inner = rest.partition("/")
    return bool(inner) and not why_not_ours(root, f"{folder}/{job}/") and is_below(root / folder / job, inner)


def _missing(name: str) -> NoSuchFileError:
    return NoSuchFileError(f"{shown(name)}: there is no such file in this project, or it is none that is shown")
