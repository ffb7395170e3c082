"""Required values of the optics table."""

from __future__ import annotations

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
