"""Required values of the optics table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import OPTICS, number_of
from cryosnake.numerics.ctf import Microscope


def optics_value(optics: Mapping[str, Any], label: str) -> float:
    """Return a number of the optics table.

    Raises
    ------
    CryosnakeError
        if it is missing, not a number or out of range
    """
    value = number_of(optics.get(label, ""), label)
    problem = OPTICS[label].problem(value)
    if problem:
        unit = f" ({OPTICS[label].unit})" if OPTICS[label].unit else ""
        found = f"{problem}: {optics[label]}" if label in optics else "missing"
        raise CryosnakeError(f"optics group {optics.get('rlnOpticsGroup', '?')}: {label}{unit} is {found}; "
                             "give it under `microscope:` in the config, or correct data_optics of the input STAR file")
    return value


def microscope_of(optics: Mapping[str, Any]) -> Microscope:
    """Return the microscope of an optics group; errors as `optics_value`."""
    return Microscope(voltage=optics_value(optics, "rlnVoltage"), cs=optics_value(optics, "rlnSphericalAberration"),
                      amplitude_contrast=optics_value(optics, "rlnAmplitudeContrast"))


def say_optics(optics: Mapping[str, Any], *values: str) -> None:
    """Print the values of an optics group that a job uses: no image says whether they are right."""
    print(f"Optics group {optics.get('rlnOpticsGroup', 1)}: {', '.join(values)}", flush=True)


def say_microscope(optics: Mapping[str, Any], microscope: Microscope, pixel_size: str) -> None:
    """Print the microscope of an optics group, and the pixel size in the column of this label, where it is given."""
    size = number_of(optics.get(pixel_size, ""), pixel_size)
    pixel = "the pixel size of the spectra" if math.isnan(size) else f"{size:g} Å per pixel"
    say_optics(optics, f"{microscope.voltage:g} kV", f"Cs {microscope.cs:g} mm",
               f"amplitude contrast {microscope.amplitude_contrast:g}", pixel)
