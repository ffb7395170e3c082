"""Coordinates as boxes: .box files of EMAN, and .cbox files of crYOLO in their two forms.

A box is given by its corner with the smallest x and y, and its width and height, in pixels; a particle lies at its
middle.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import numbers_of
from cryosnake.io.star import read_table
from cryosnake.star_tokens import read_text

SUFFIXES = (".box", ".cbox")
_CBOX = ("CoordinateX", "CoordinateY", "Width", "Height")


def read_boxes(path: Path) -> pd.DataFrame:
    """Return the middles of boxes as rlnCoordinateX and rlnCoordinateY, float64, NaN where a field is no number.

    A .cbox also gives rlnAutopickFigureOfMerit, crYOLO's confidence.

    Raises
    ------
    CryosnakeError
        if a line has no four fields, or a .cbox no data_cryolo with its columns
    """
    try:
        text = read_text(path)
    except UnicodeDecodeError:
        raise CryosnakeError(f"{path} is not text; export the coordinates again") from None
    if "data_cryolo" in text:
        table = read_table(path, "cryolo", _CBOX) if _has_rows(text) else pd.DataFrame(columns=[*_CBOX])
        corner = {label: numbers_of(table[label]) for label in _CBOX}
        score = {"rlnAutopickFigureOfMerit": numbers_of(table["Confidence"])} if "Confidence" in table else {}
        return _middles(*corner.values()).assign(**score)
    rows = [(number, line.split()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    short = next((number for number, fields in rows if len(fields) < 4), None)
    if short is not None:
        raise CryosnakeError(f"{path}, line {short}: a box has four fields (x, y, width, height); remove the line or "
                             "export the file again")
    columns = pd.DataFrame([fields[:4] for _, fields in rows], columns=[*_CBOX])
    return _middles(*(numbers_of(columns[label]) for label in _CBOX))


def _has_rows(text: str) -> bool:
    """Whether data_cryolo has rows: crYOLO writes a table without labels for a micrograph without particles."""
    block = text.partition("data_cryolo\n")[2].partition("data_")[0]
    return "\n_CoordinateX" in block


def _middles(x: np.ndarray, y: np.ndarray, width: np.ndarray, height: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"rlnCoordinateX": x + 0.5 * width, "rlnCoordinateY": y + 0.5 * height})
