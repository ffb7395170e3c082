"""What a person decided on one micrograph: the places of its particles, whether it is used, and what they looked at.

One file per micrograph: a list that says what the picks were made on, then their places in px of that.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.coordinates.tables import PLACE
from cryosnake.io.paths import movie_of
from cryosnake.io.star import write_star
from cryosnake.names import is_listed_name
from cryosnake.star_tokens import fields, read_text

_MADE_ON, _PICKS = "made_on", "picks"


@dataclass(frozen=True, kw_only=True, eq=False)
class Decided:
    """Places (n, 2) in px of a micrograph of `pixel_size` Å, and the signature of its contents when they were picked.

    `selected` says whether the micrograph is used; `by` is who picked: person, or relion (its ManualPick).
    """

    micrograph: str
    signature: str
    pixel_size: float
    date: str
    places: np.ndarray
    selected: bool = True
    by: str = "person"

    def at(self, pixel_size: float) -> np.ndarray:
        """Return the places (n, 2) in px of a micrograph of the same movie with another pixel size (Å)."""
        known = self.pixel_size > 0 and pixel_size > 0
        return self.places * (self.pixel_size / pixel_size) if known else self.places


def root_of(micrograph: str) -> str:
    """Return the name, without extension, by which decisions know all micrographs that were made of one movie.

    >>> root_of("MotionCorr/job002/Movies/a.b.mrc")
    'Movies/a_b'
    """
    return os.path.splitext(movie_of(micrograph))[0].replace(".", "_")


def decided_file(folder: str | os.PathLike[str], micrograph: str) -> Path:
    """Return the file in a folder of decisions for a micrograph.

    Raises
    ------
    CryosnakeError
        for a micrograph that does not lie below the project
    """
    root = root_of(micrograph)
    if not is_listed_name(root):
        raise CryosnakeError(f"{micrograph} does not lie below the project folder, so that its picks can't be kept "
                             "there; link its folder into the project and import it by the relative path")
    return Path(folder, f"{root}.star")


def read_decided(path: Path) -> Decided:
    """Return what was decided on a micrograph.

    Raises
    ------
    CryosnakeError
        for a file that is damaged
    """
    try:
        about, _, picks = read_text(path).partition(f"\ndata_{_PICKS}\n")
        head = {words[0]: words[1] for words in map(fields, about.split("\n")) if len(words) == 2}
        places = _places_in(picks)
        if int(head["_csnPicks"]) != len(places):
            raise ValueError(f"{len(places)} of {head['_csnPicks']} picks are left")
        return Decided(micrograph=head["_rlnMicrographName"], signature=head["_csnSignature"],
                       pixel_size=float(head["_rlnMicrographPixelSize"]), date=head["_csnDate"],
                       places=places, selected=bool(int(head["_rlnSelected"])), by=head["_csnPickedBy"])
    except (OSError, CryosnakeError, KeyError, ValueError, IndexError) as error:
        raise CryosnakeError(f"{path} is damaged ({' '.join(str(error).split())}): restore it (git, a backup), or move "
                             "it away and pick this micrograph again") from None


def _places_in(text: str) -> np.ndarray:
    """Return the places (n, 2) of a block of picks; by hand, for a list of micrographs reads as many files."""
    lines = [line.strip() for line in text.split("\n")]
    labels = [line.split()[0][1:] for line in lines if line.startswith("_")]
    rows = [line.split() for line in lines if line and line[0] not in "_#" and line != "loop_"]
    if not rows:
        return np.empty((0, 2))
    columns = [labels.index(label) for label in PLACE]
    places = np.array([[row[column] for column in columns] for row in rows], np.float64)
    if not np.isfinite(places).all():
        raise ValueError("a place is no number")
    return places


def write_decided(path: Path, decided: Decided) -> None:
    """Write what was decided on a micrograph, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {"rlnMicrographName": decided.micrograph, "csnSignature": decided.signature or "unknown",
            "rlnMicrographPixelSize": decided.pixel_size, "csnDate": decided.date,
            "rlnSelected": int(decided.selected), "csnPickedBy": decided.by, "csnPicks": len(decided.places)}
    picks = {_PICKS: pd.DataFrame(decided.places, columns=list(PLACE))} if len(decided.places) else {}
    write_star(path, {_MADE_ON: head, **picks})
