"""Opening a lock file of the project in the working directory."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from cryosnake.atomic import own_file
from cryosnake.errors import CryosnakeError


def open_lock(path: Path) -> TextIO:
    """Open a lock file to read and to append; its folder is made where it is missing.

    Raises
    ------
    CryosnakeError
        where the project can't be written
    """
    try:
        path.parent.mkdir(exist_ok=True)
        return open(path, "a+", opener=own_file)
    except OSError as error:
        raise CryosnakeError(f"{path}: the project can't be written ({error.strerror}); nothing was changed") from error
