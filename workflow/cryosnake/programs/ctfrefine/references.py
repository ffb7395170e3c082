"""The half maps, mask and FSC of a PostProcess job, with which particles are predicted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cryosnake.digests import digest
from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import numbers_of
from cryosnake.io.mrc_header import read_header
from cryosnake.io.star import read_star
from cryosnake.numerics.backend import Array, to_device
from cryosnake.numerics.projection import band_limited_transform
from cryosnake.programs.maps.postprocess_inputs import Halves, read_halves, read_mask

_MAPS = ("rlnUnfilteredMapHalf1", "rlnUnfilteredMapHalf2")
_MASK, _FSC = "rlnMaskName", "rlnFourierShellCorrelationCorrected"
_LEAST = 0.05  # of the FSC: beyond the first shell below it, images say nothing of the lens


@dataclass(frozen=True, kw_only=True)
class References:
    """What predicts the particles.

    Attributes
    ----------
    transforms : two complex64 arrays
        Of half maps 1 and 2 inside the mask, for `central_slices`.
    box, pixel_size : int, float
        Voxels, Å, of the half maps.
    fsc : (shells,) float64
        0 to 1; weights of the predictions, 0 beyond `limit`.
    radius : int
        Shells that `transforms` hold.
    limit : float
        Å: the finest resolution that is used.
    names : (str, str)
        The files of the half maps.
    identity : str
        Names and digests of the files.
    """

    transforms: tuple[Array, Array]
    box: int
    pixel_size: float
    fsc: np.ndarray
    radius: int
    limit: float
    names: tuple[str, str]
    identity: str

    @property
    def length(self) -> float:
        """Å, of the box."""
        return self.box * self.pixel_size


def read_references(path: str, max_resolution: float | None = None, device: str = "cpu") -> References:
    """Return the references that postprocess.star names, with transforms on `device`, "cpu" or "gpu".

    Raises
    ------
    CryosnakeError
        when the file is no PostProcess result, names no mask or no half maps, one of them is missing or does not fit,
        or its FSC gives no signal
    """
    general, fsc = _tables(path)
    names = [_name(path, general, label) for label in (*_MAPS, _MASK)]
    halves = read_halves(names[0], None)
    if Path(halves.name2).resolve() != Path(names[1]).resolve():
        raise CryosnakeError(f"{path}: {_MAPS[0]} is {names[0]}, whose other half would be {halves.name2}, but "
                             f"{_MAPS[1]} is {names[1]}: each particle must be predicted from its own half map. Run "
                             "PostProcess again on the half maps of one refinement")
    mask = read_mask(names[2], halves, None)
    weights, radius = _weights(path, fsc, halves, max_resolution)
    transforms = tuple(band_limited_transform(to_device((half * mask).astype(np.float32), device), radius + 1)
                       for half in (halves.half1, halves.half2))
    length = len(mask) * halves.pixel_size
    return References(transforms=(transforms[0], transforms[1]), box=len(mask), pixel_size=halves.pixel_size,
                      fsc=weights, radius=radius, limit=length / radius,
                      names=(halves.name1, halves.name2), identity=_identity([path, *names]))


def half_map_box(path: str) -> int:
    """Return the box in voxels of the half maps that postprocess.star names; raises as `read_references`."""
    general, _ = _tables(path)
    return read_header(_name(path, general, _MAPS[0])).nx


def _tables(path: str) -> tuple[dict[str, object], pd.DataFrame]:
    tables = read_star(path)
    if not {"general", "fsc"} <= set(tables) or _FSC not in tables["fsc"].columns:
        raise CryosnakeError(f"{path} is no result of PostProcess: it needs data_general and data_fsc with {_FSC}. "
                             "Connect postprocess.star of a PostProcess job")
    return {str(label): tables["general"][label].iloc[0] for label in tables["general"]}, tables["fsc"]


def _name(path: str, general: dict[str, object], label: str) -> str:
    name = str(general.get(label, "")).strip()
    what = "mask" if label == _MASK else "half map"
    if name in ("", "None", '""'):
        raise CryosnakeError(f"{path} names no {what} ({label}); particles are predicted from half maps inside a mask. "
                             "Run PostProcess again, with a mask")
    if not Path(name).exists():
        raise CryosnakeError(f"{path}: the {what} {name} ({label}) does not exist. Restore it, or run PostProcess "
                             "again")
    return name


def _weights(path: str, fsc: pd.DataFrame, halves: Halves, max_resolution: float | None) -> tuple[np.ndarray, int]:
    """Return the FSC by shell of the half maps' box, and the last shell with signal."""
    box = len(halves.half1)
    values = np.nan_to_num(np.asarray(numbers_of(fsc[_FSC]), float))
    if len(values) != box // 2 + 1:
        raise CryosnakeError(f"{path}: data_fsc has {len(values)} shells, the half maps, of {box} voxels, "
                             f"{box // 2 + 1}. Run PostProcess again")
    low = np.flatnonzero(values[1:] < _LEAST)
    last = int(low[0]) if len(low) else box // 2
    if not len(low):
        print("the FSC never falls: all frequencies below Nyquist's are used; a mask that is too tight, or halves that "
              "are not independent, look like this")
    last = min(last, box // 2 - 2)
    if max_resolution:
        last = min(last, int(box * halves.pixel_size / max_resolution))
    if last < 4:
        raise CryosnakeError(f"{path}: the half maps agree in {last} shell(s) only (corrected FSC); the lens cannot be "
                             "refined with them. Refine the particles better first")
    values = np.clip(values, 0.0, 1.0)
    values[0], values[last + 1 :] = 1.0, 0.0
    return values, last


def _identity(names: list[str]) -> str:
    return ";".join(f"{name}:{digest(name)}" for name in names)
