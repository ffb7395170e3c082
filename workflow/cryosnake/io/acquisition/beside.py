"""The record of a movie: a file beside it whose name begins like the movie's."""

from __future__ import annotations

import os
from collections.abc import Iterator

from cryosnake.io.acquisition.epu import read_epu
from cryosnake.io.acquisition.mdoc import read_mdoc
from cryosnake.io.acquisition.record import Acquisition
from cryosnake.io.completeness import EER_NAMES, MRC_NAMES, TIFF_NAMES

_OF_EPU = ("_fractions", "_eer")  # ends of names of movies that the record's name lacks


def read_acquisition(movie: str) -> Acquisition | None:
    """Return what the record beside a movie says, or beside the file that it is a link to; None without a record.

    SerialEM: `m.tif.mdoc`, `m.mdoc`, and `m.mrc.mdoc` beside a movie that was converted. EPU: `m.xml`, where
    `m_Fractions.tiff` or `m_EER.eer` is the movie. A file that is none of these, or is damaged, is passed over.
    """
    for path in dict.fromkeys((movie, os.path.realpath(movie))):
        for name in _mdoc_names(path):
            if found := read_mdoc(name, movie):
                return found
        for name in _epu_names(path):
            if found := read_epu(name):
                return found
    return None


def _mdoc_names(movie: str) -> Iterator[str]:
    stem, ending = os.path.splitext(movie)
    for other in dict.fromkeys((ending, "", *MRC_NAMES, *TIFF_NAMES, *EER_NAMES)):
        yield f"{stem}{other}.mdoc"


def _epu_names(movie: str) -> Iterator[str]:
    stem = os.path.splitext(movie)[0]
    yield f"{stem}.xml"
    for end in _OF_EPU:
        if stem.lower().endswith(end):
            yield f"{stem[:-len(end)]}.xml"
