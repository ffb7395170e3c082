"""The file of a learned picker: an archive of NumPy arrays."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from cryosnake.atomic import replacing
from cryosnake.errors import CryosnakeError
from cryosnake.numerics.picking.learned import ARRAYS, LearnedPicker

_NUMBERS = ("pixel_size", "diameter")
_FORM = 1  # of this file


def write_picker(path: Path, picker: LearnedPicker) -> None:
    """Write a picker; the file is complete or absent."""
    parts: dict[str, Any] = {name: np.asarray(getattr(picker, name)) for name in (*_NUMBERS, *ARRAYS)}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, form=np.asarray(_FORM), **parts)


def read_picker(path: Path) -> LearnedPicker:
    """Read a picker.

    Raises
    ------
    CryosnakeError
        if it is missing, damaged, no picker, or one of another version of cryosnake
    """
    if not path.is_file():
        raise CryosnakeError(f"{path} does not exist: run the trainpicker job that makes it again")
    try:
        with path.open("rb") as file, np.load(file) as archive:
            parts = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CryosnakeError(f"{path} is no picker, or is damaged ({error}); run its trainpicker job again") from None
    if parts.get("form") != _FORM or not {*_NUMBERS, *ARRAYS} <= parts.keys():
        raise CryosnakeError(f"{path} is not a picker of this version of cryosnake; run a trainpicker job again")
    if not all(np.isfinite(parts[name]).all() for name in (*_NUMBERS, *ARRAYS)):
        raise CryosnakeError(f"{path} contains NaN or infinite values; run its trainpicker job again")
    numbers = {name: float(parts[name]) for name in _NUMBERS}
    return LearnedPicker(**numbers, **{name: parts[name] for name in ARRAYS})
