"""Picks that a person made for a job: a file per micrograph in `decisions/<job>/`, named after its movie.

What is in a file: `io/coordinates/decided.py`. Nothing but saving picks writes here, and no clean-up comes here.
"""

from __future__ import annotations

import os

from cryosnake.digests import digest
from cryosnake.errors import CryosnakeError
from cryosnake.names import is_below
from cryosnake.project.config.config import DECISIONS


def picks_folder(job: str) -> str:
    """Return the folder with the picks of a job of the config.

    Raises
    ------
    CryosnakeError
        where it is a link that leads out of the project
    """
    folder = f"{DECISIONS}/{job}"
    if not is_below("", f"{folder}/file"):
        raise CryosnakeError(f"{folder} is a link that leads out of the project; make it a folder of the project")
    return folder


def picked_files(folder: str) -> list[str]:
    """Return the files of a folder of picks, by their names below it, sorted; what was set aside does not count."""
    found = []
    for place, _, names in os.walk(folder):
        below = os.path.relpath(place, folder)
        found += [os.path.normpath(f"{below}/{name}") for name in names
                  if name.endswith(".star") and name[0] != "."]
    return sorted(found)


def digest_of_picks(folder: str) -> str:
    """Return a digest of all picks in a folder, "" where there are none."""
    names = picked_files(folder)
    if not names:
        return ""
    from hashlib import blake2b  # here: a plan seldom needs it

    found = blake2b(digest_size=16)
    for name in names:
        found.update(f"{name}\n{digest(f'{folder}/{name}')}\n".encode(errors="surrogateescape"))
    return found.hexdigest()


def rename_picks(old: str, new: str) -> bool:
    """Give the picks of a renamed job its new name, which has none; return whether there are any."""
    if not os.path.isdir(picks_folder(old)):
        return False
    os.rename(picks_folder(old), picks_folder(new))
    return True
