"""Optics groups: the microscope, its aberrations and the images of each row of data_optics, checked."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import number_of
from cryosnake.numerics.aberrations import even_phase, odd_phase
from cryosnake.numerics.backend import Array
from cryosnake.numerics.ctf import Microscope

_SEPARATORS = re.compile(r"[\[\],\s]+")
_EMPTY = ("", "None", "nan")
_MULTIPLIED = "rlnCtfDataAreCtfPremultiplied"
_MAGNIFICATION = ("rlnMagMat00", "rlnMagMat01", "rlnMagMat10", "rlnMagMat11")
_MOST_TILT = 100.0  # mrad
_NYQUIST = 0.5 + 1e-6  # cycles per pixel
_MOST_DISTORTION = 0.2  # of an element of the magnification matrix


@dataclass(frozen=True, kw_only=True)
class OpticsGroup:
    """An optics group.

    Attributes
    ----------
    pixel_size : float
        Å, of its images as they are on disk.
    box : int
        Pixels, of the same.
    magnification : (2, 2) float64
        M: the frequency k of an image is M k of the particle (rlnMagMat00 … 11).
    microscope : Microscope, optional
    tilt : (float, float)
        Of the beam, mrad.
    odd, even : tuple of float
        Zernike coefficients in RELION's order, rad Åⁿ; see `numerics/aberrations.py`.
    premultiplied : bool
        Whether its images have been multiplied by their CTF.
    """

    pixel_size: float
    box: int
    magnification: np.ndarray = field(default_factory=lambda: np.eye(2))
    microscope: Microscope | None = None
    tilt: tuple[float, float] = (0.0, 0.0)
    odd: tuple[float, ...] = ()
    even: tuple[float, ...] = ()
    premultiplied: bool = False

    @property
    def distorted(self) -> bool:
        """Whether there is a magnification to be undone."""
        return not np.array_equal(self.magnification, np.eye(2))

    @property
    def as_recorded(self) -> bool:
        """Whether its images need no correction but that of their grid."""
        return not (self.distorted or self.turned or self.premultiplied)

    def fits(self, box: int, pixel_size: float) -> bool:
        """Return whether its images are on a grid of `box` pixels of `pixel_size` Å, but for their magnification."""
        return self.box == box and round(self.pixel_size, 4) == round(pixel_size, 4)

    def place(self, pixel_size: float) -> np.ndarray:
        """Return the matrix (2, 2) from pixels of `pixel_size` Å of the particle to pixels of the images on disk."""
        return np.asarray(self.magnification.T * (pixel_size / self.pixel_size))

    def seen(self, kx: Array, ky: Array) -> Array:
        """Return which frequencies of the particle, 1/Å, are below the Nyquist frequency of the images on disk."""
        (xx, xy), (yx, yy) = (np.linalg.inv(self.magnification) * self.pixel_size).tolist()
        return (abs(xx * kx + xy * ky) < _NYQUIST) & (abs(yx * kx + yy * ky) < _NYQUIST)

    @property
    def turned(self) -> bool:
        """Whether odd aberrations turn the phases of the images."""
        return any(self.odd) or any(self.tilt)

    def odd_phase(self, kx: Array, ky: Array) -> Array:
        """Return the phase of the images at frequencies of the particle, 1/Å; radians."""
        return odd_phase(self.odd, self.tilt, self.microscope, kx, ky)

    def even_phase(self, kx: Array, ky: Array) -> Array:
        """Return the phase that even aberrations take from the CTF's, at frequencies of the particle, 1/Å; radians."""
        return even_phase(self.even, kx, ky)

    def applied(self) -> list[str]:
        """Return in words what is applied beyond the usual CTF."""
        known = {"beam tilt": any(self.tilt), "odd Zernike terms": any(self.odd), "even Zernike terms": any(self.even),
                 "anisotropic magnification": self.distorted, "images multiplied by their CTF": self.premultiplied}
        return [name for name, there in known.items() if there]


def optics_groups(path: str, optics: pd.DataFrame, ctf: bool) -> tuple[OpticsGroup, ...]:
    """Return the groups of a table of optics; without `ctf` only their images' sizes and magnification.

    Raises
    ------
    CryosnakeError
        for an aberration or magnification that is no number, or cannot be one
    """
    return tuple(_group(path, row, ctf) for row in optics.to_dict("records"))


def _group(path: str, row: Mapping[Hashable, Any], ctf: bool) -> OpticsGroup:
    images: dict[str, Any] = {"pixel_size": _usual(row, "rlnImagePixelSize"), "box": int(_usual(row, "rlnImageSize")),
              "magnification": _magnification(path, row)}
    if not ctf:
        return OpticsGroup(**images)
    microscope = Microscope(*(_usual(row, f"rln{name}") for name in
                              ("Voltage", "SphericalAberration", "AmplitudeContrast")))
    x, y = (_one(path, row, f"rlnBeamTilt{axis}", 0.0, _MOST_TILT) for axis in "XY")
    multiplied = number_of(row.get(_MULTIPLIED, 0), _MULTIPLIED) == 1
    return OpticsGroup(**images, microscope=microscope, tilt=(x, y), premultiplied=multiplied,
                       odd=_terms(path, row, "rlnOddZernike"), even=_terms(path, row, "rlnEvenZernike"))


def _usual(row: Mapping[Hashable, Any], label: str) -> float:
    """Return a column that is checked where a group is used; NaN or 0 of one that no particle belongs to."""
    value = number_of(row.get(label, 0))
    return value if math.isfinite(value) else 0.0


def _magnification(path: str, row: Mapping[Hashable, Any]) -> np.ndarray:
    usual = (1.0, 0.0, 0.0, 1.0)
    values = [_one(path, row, label, value, _MOST_DISTORTION)
              for label, value in zip(_MAGNIFICATION, usual, strict=True)]
    return np.array(values).reshape(2, 2)


def _one(path: str, row: Mapping[Hashable, Any], label: str, usual: float, most: float) -> float:
    """Return a number, `usual` where there is none."""
    numbers = _terms(path, row, label)
    if not numbers:
        return usual
    if len(numbers) > 1 or abs(numbers[0] - usual) > most:
        raise CryosnakeError(f"{_where(path, row, label)}; expected one number within {most:g} of {usual:g}. {_REMEDY}")
    return numbers[0]


def _terms(path: str, row: Mapping[Hashable, Any], label: str) -> tuple[float, ...]:
    """Return the numbers of a field such as [0.1,0,0], none for an empty one."""
    text = str(row.get(label, ""))
    numbers = tuple(number_of(part) for part in _SEPARATORS.split(text) if part not in _EMPTY)
    if not all(map(math.isfinite, numbers)):
        raise CryosnakeError(f"{_where(path, row, label)}; expected numbers such as [0.1,0,-0.2]. {_REMEDY}")
    return numbers


_REMEDY = "Correct data_optics, or run CtfRefine again."


def _where(path: str, row: Mapping[Hashable, Any], label: str) -> str:
    name = row.get("rlnOpticsGroupName", row.get("rlnOpticsGroup", ""))
    return f"{path}: {label} of optics group {name} is {row[label]}"
