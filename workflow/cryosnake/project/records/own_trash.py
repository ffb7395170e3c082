"""The project's own folder where `Trash` is a link to a disk that others use too, and what is in the Trash.

A link to an empty folder is used as it is. Otherwise it is pointed to a new folder there. Either contains the path of
its project. So RELION and cryosnake agree on `Trash/Type/jobNNN`, and emptying the Trash of one project touches no
files of another.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from cryosnake.atomic import replacing, write_text
from cryosnake.errors import CryosnakeError
from cryosnake.names import TRASH
from cryosnake.processes import text_of
from cryosnake.project.records.file_sizes import folder_size

OWNER = ".cryosnake_trash_of"
_JOB = re.compile(r"job[0-9]{3,}(\.old[0-9]+)?")


def is_own() -> bool:
    """Whether what is in `Trash` is this project's: it is no link, or a link to the project's own folder."""
    if not os.path.islink(TRASH):
        return True
    owner = text_of(Path(TRASH, OWNER))
    # a copy of a project has its link too: the folder belongs to the original while that is there and uses it
    return bool(owner) and (owner == os.path.realpath(".")
                            or os.path.realpath(f"{owner}/{TRASH}") != os.path.realpath(TRASH))


def claim_trash() -> None:
    """Make sure that the Trash is the project's own before something is moved there or back.

    The caller holds `clean_up_lock.cleaning_up`.

    Raises
    ------
    CryosnakeError
        when `Trash` is a link to a folder that does not exist or can't be written
    """
    if not os.path.islink(TRASH):
        return
    here, place = os.path.realpath("."), os.path.realpath(TRASH)
    if not os.path.isdir(place):
        raise CryosnakeError(f"{TRASH} is a link to {place}, which does not exist; mount its disk, or make the folder")
    try:
        if not is_own() and os.listdir(place):
            folder = f"{os.path.basename(here)}-trash-{os.urandom(4).hex()}"
            shared, place = place, f"{place}/{folder}"
            os.mkdir(place)
            with replacing(TRASH) as temporary:
                temporary.unlink()
                temporary.symlink_to(os.path.join(os.readlink(TRASH), folder))  # relative if it was
            print(f"{shared} may contain files of others, so this project's Trash is now {place}. Jobs of this project "
                  f"that were moved to {shared} before can be moved there.", file=sys.stderr)
        if text_of(Path(place, OWNER)) != here:
            write_text(Path(place, OWNER), f"{here}\n", durable=True)
    except OSError as error:
        raise CryosnakeError(f"{error.filename}: can't be written ({error.strerror}); it is needed for this project's "
                             "Trash") from error


def trashed() -> Iterator[str]:
    """Yield the paths of what is in the project's Trash: deleted jobs, and files cleaned from jobs."""
    for folder in os.scandir(TRASH) if is_own() and os.path.isdir(TRASH) else ():
        if folder.is_dir(follow_symlinks=False) and folder.name[0] != ".":
            yield from (entry.path for entry in os.scandir(folder.path) if _JOB.fullmatch(entry.name))


def free_trash() -> None:
    """Take the project's mark from the folder of an empty Trash."""
    if os.path.islink(TRASH) and is_own() and os.listdir(TRASH) == [OWNER]:
        os.unlink(f"{TRASH}/{OWNER}")


def trash_size() -> int:
    """Return the bytes that emptying the Trash would free."""
    return sum(folder_size(path) for path in trashed() if not os.path.islink(path))


def trash_stamp() -> str:
    """Return a word that is another one when other jobs, or other files of theirs, are in the Trash."""
    return hashlib.sha256(f"{sorted(trashed())} {trash_size()}".encode()).hexdigest()[:16]
