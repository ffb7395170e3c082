"""Settings of a simulated data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryosnake.errors import CryosnakeError
from cryosnake.numerics.ctf import Microscope
from cryosnake.simulation.aberrations import NONE, Aberrations
from cryosnake.simulation.micrograph import Optics


def silent(done: int, total: int, message: str) -> None:
    """Report no progress."""


@dataclass(frozen=True, kw_only=True)
class ProjectSettings:
    """Settings of a simulated project. Lengths in Å unless stated otherwise.

    `size` is (h, w) in pixels. `defocus` is a range, `astigmatism` the largest U - V; `ice_spread` is the standard
    deviation of a particle's height. `contaminated` and `carbon` are the fractions of movies with ice crystals and
    with a carbon edge. `blur` is the camera's error in placing an electron, in pixels; with it mtf.star is written.
    `box` and `box_pixel_size` belong to the truth map and the starting reference. `aberrations` are the lens's; the
    optics tables of the truth have them.
    """

    movies: int = 12
    first: int = 1
    size: tuple[int, int] = (1280, 1280)
    frames: int = 16
    pixel_size: float = 1.77
    voltage: float = 300.0
    cs: float = 2.7
    amplitude_contrast: float = 0.1
    phase_shift: float = 0.0
    dose_per_frame: float = 3.0
    particles_per_movie: int = 70
    symmetry: str = "D2"
    residues: int = 960
    box: int = 64
    box_pixel_size: float = 4.425
    defocus: tuple[float, float] = (8000.0, 20000.0)
    astigmatism: float = 400.0
    ice_thickness: float = 350.0
    ice_spread: float = 80.0
    drift: float = 12.0
    local_motion: float = 4.0
    contaminated: float = 0.25
    carbon: float = 0.0
    hot_pixels: int = 12
    dead_pixels: int = 6
    b_factor: float = 40.0
    blur: float = 0.0
    aberrations: Aberrations = NONE
    seed: int = 1
    format: str = "tiff"


def checked_settings(given: dict[str, Any]) -> ProjectSettings:
    """Return `ProjectSettings` from keyword arguments.

    Raises
    ------
    CryosnakeError
        for an unknown name or a value that the simulation cannot work with
    """
    unknown = set(given) - set(ProjectSettings.__dataclass_fields__)
    if unknown:
        raise CryosnakeError(f"simulate: {', '.join(sorted(unknown))} is not a setting; there are "
                             f"{', '.join(ProjectSettings.__dataclass_fields__)}.")
    chosen = ProjectSettings(**given)
    if chosen.format not in ("tiff", "mrcs"):
        raise CryosnakeError(f"simulate: format {chosen.format!r} is not known; use tiff or mrcs.")
    if chosen.size[0] % 2 or chosen.size[1] % 2:
        raise CryosnakeError(f"simulate: size {chosen.size} has an odd number of pixels; use even numbers.")
    return chosen


def optics_row(pixel_size: float, microscope: Microscope) -> dict[str, Any]:
    """Return the columns that RELION's optics tables of movies and of particles share; the movies' pixel size in Å."""
    return {"rlnOpticsGroupName": "opticsGroup1", "rlnOpticsGroup": 1, "rlnMicrographOriginalPixelSize": pixel_size,
            "rlnVoltage": microscope.voltage, "rlnSphericalAberration": microscope.cs,
            "rlnAmplitudeContrast": microscope.amplitude_contrast}


def optics_of(settings: ProjectSettings) -> Optics:
    """Return the microscope of these settings."""
    return Optics(settings.pixel_size, Microscope(settings.voltage, settings.cs, settings.amplitude_contrast),
                  aberrations=settings.aberrations)
