"""The optics table where a STAR file has none, or one without the sizes of its images.

Up to RELION 3.0 each row of particles, micrographs and movies had its own voltage, aberration, contrast, detector pixel
and magnification, origins were in pixels, and tables had no names. Here they get the form of RELION 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import numbers_of
from cryosnake.io.mrc_header import MrcHeader, read_header

if TYPE_CHECKING:
    import pandas as pd

_MICROSCOPE = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast", "rlnBeamTiltX", "rlnBeamTiltY")
_DETECTOR, _MAGNIFICATION = "rlnDetectorPixelSize", "rlnMagnification"  # µm, times
# The pixel sizes of a kind of table: all that RELION 3.1 writes for it, of which the first one counts
_PIXELS = {"particles": ("rlnImagePixelSize",), "movies": ("rlnMicrographOriginalPixelSize",),
           "micrographs": ("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize")}
_SIZES = ("rlnImagePixelSize", "rlnImageSize")
_OLD_PIXELS = ("rlnPixelSize",)
_IN_PIXELS = ("rlnOriginX", "rlnOriginY", "rlnOriginXPrior", "rlnOriginYPrior")
_OLD_NAMES = ("", "images", "particles", "micrographs", "movies")
_UNKNOWN_PIXEL = 1.0  # Å: what programs write into a header that do not know it


def with_optics(path: object, tables: Mapping[str, pd.DataFrame], *, images: bool = True) -> dict[str, pd.DataFrame]:
    """Return the tables of a file in the form of RELION 3.1; `path` is for messages.

    A table whose rows do not describe their optics is left without an optics table. Sizes that data_optics of particles
    lacks are taken from the headers of their stacks, if the `images` are used.

    Raises
    ------
    CryosnakeError
        when such a stack can't be read, or does not know its pixel size
    """
    if "optics" not in tables:
        if len(tables) != 1 or next(iter(tables)) not in _OLD_NAMES:
            return dict(tables)
        (table,) = tables.values()
        kind = _kind(table)
        if not kind or not (_describes(table) or (images and "rlnImageName" in table.columns)):
            return {kind: table} if kind else dict(tables)
        optics, table = _divided(table, kind)
        tables = {"optics": optics, kind: table}
    particles = tables.get("particles")
    if particles is None:
        return dict(tables)
    old = [label for label in _IN_PIXELS if label in particles.columns and f"{label}Angst" not in particles.columns]
    if "rlnImageName" in particles.columns and (images or old):
        wanted = _SIZES if images else _SIZES[:1]
        tables = {**tables, "optics": _with_sizes(path, tables["optics"], particles, wanted)}
    return {**tables, "particles": _in_angstroms(particles, tables["optics"], old)}


def _kind(table: pd.DataFrame) -> str:
    if "rlnImageName" in table.columns or "rlnCoordinateX" in table.columns:
        return "particles"
    if "rlnMicrographCoordinates" in table.columns:
        return ""
    return next((kind for kind, label in (("movies", "rlnMicrographMovieName"), ("micrographs", "rlnMicrographName"))
                 if label in table.columns), "")


def _describes(table: pd.DataFrame) -> bool:
    return "rlnVoltage" in table.columns or {_DETECTOR, _MAGNIFICATION} <= set(table.columns)


def _divided(table: pd.DataFrame, kind: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return an optics table with a row for each set of values that occurs, and the rows with their groups' numbers."""
    import numpy as np
    import pandas as pd

    wanted = _PIXELS[kind]
    given = next((label for label in (*wanted, *_OLD_PIXELS) if label in table.columns), "")
    of_rows = {label: table[label] for label in _MICROSCOPE if label in table.columns}
    if given or {_DETECTOR, _MAGNIFICATION} <= set(table.columns):
        for label in wanted:
            of_rows[label] = table[given] if given else _from_magnification(table)
    values = pd.DataFrame(of_rows, index=table.index)
    group = (values.groupby([*values.columns], sort=False, dropna=False).ngroup().to_numpy() if len(values.columns)
             else np.zeros(len(table), np.int64))
    optics = values[~pd.Series(group).duplicated().to_numpy()].reset_index(drop=True)
    if not len(values.columns):
        optics = pd.DataFrame(index=range(1))
    optics.insert(0, "rlnOpticsGroup", np.arange(1, len(optics) + 1))
    optics.insert(0, "rlnOpticsGroupName", [f"opticsGroup{number}" for number in optics["rlnOpticsGroup"]])
    gone = {*of_rows, given, _DETECTOR, _MAGNIFICATION, "rlnOpticsGroup"}
    rows = table.drop(columns=[label for label in table.columns if label in gone])
    return optics, rows.assign(rlnOpticsGroup=group + 1)


def _from_magnification(table: pd.DataFrame) -> pd.Series:
    """Return the pixel size (Å) of each row."""
    import pandas as pd

    sizes = 1e4 * numbers_of(table[_DETECTOR]) / numbers_of(table[_MAGNIFICATION])
    return pd.Series(sizes.round(4), index=table.index)  # the magnification is a whole number


def _with_sizes(path: object, optics: pd.DataFrame, particles: pd.DataFrame, wanted: Sequence[str]) -> pd.DataFrame:
    """Return the optics table with the wanted sizes, from the stacks' headers where it lacks them."""
    lacking = [label for label in wanted if label not in optics.columns]
    if not lacking or not {"rlnOpticsGroup"} <= set(optics.columns) & set(particles.columns):
        return optics
    first = particles.drop_duplicates("rlnOpticsGroup").set_index("rlnOpticsGroup")["rlnImageName"]
    headers = {number: read_header(str(name).rpartition("@")[2]) for number, name in first.items()}
    used = [headers.get(number) for number in optics["rlnOpticsGroup"]]
    if "rlnImageSize" in lacking:
        optics = optics.assign(rlnImageSize=[0 if header is None else header.nx for header in used])
    if "rlnImagePixelSize" in lacking:
        optics = optics.assign(rlnImagePixelSize=[_pixel_size(path, header, first) for header in used])
    return optics


def _pixel_size(path: object, header: MrcHeader | None, names: pd.Series) -> float:
    if header is None:
        return 0.0  # of a group without particles, which nobody asks for
    if header.pixel_size in (0.0, _UNKNOWN_PIXEL):
        raise CryosnakeError(f"{path} does not give the pixel size of its images (rlnImagePixelSize in data_optics), "
                             f"and the header of {str(names.iloc[0]).rpartition('@')[2]} says {header.pixel_size:g} Å, "
                             "as programs write that do not know it. Add the column to data_optics.")
    return round(header.pixel_size, 6)


def _in_angstroms(particles: pd.DataFrame, optics: pd.DataFrame, old: list[str]) -> pd.DataFrame:
    """Return the particles with these columns, in pixels up to RELION 3.0, in Å."""
    if not old or "rlnImagePixelSize" not in optics.columns:
        return particles
    sizes = dict(zip(optics["rlnOpticsGroup"], numbers_of(optics["rlnImagePixelSize"]), strict=True))
    pixels = particles["rlnOpticsGroup"].map(sizes).to_numpy("f8")
    moved = {f"{label}Angst": numbers_of(particles[label]) * pixels for label in old}
    return particles.drop(columns=old).assign(**moved)
