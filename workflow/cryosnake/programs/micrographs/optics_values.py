"""Required values of the optics table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cryosnake.errors import CryosnakeError
from cryosnake.numerics.ctf import Microscope


def optics_value(optics: Mapping[str, Any], label: str, unit: str, *, zero: bool = False,
                 highest: float = math.inf) -> float:
    """Return a positive number of the optics table; `zero` allows 0.

    Raises
    ------
    CryosnakeError
        if it is missing, not a number or out of range
    """
    try:
        value = float(optics[label])
    except (KeyError, TypeError, ValueError):
        value = math.nan
    if not (value > 0.0 or (zero and value == 0.0)) or value > highest or math.isinf(value):
        found = optics.get(label, "missing")
        raise CryosnakeError(f"optics group {optics.get('rlnOpticsGroup', '?')}: {label} ({unit}) is {found}; "
                             "give it under `microscope:` in the config, or correct data_optics of the input STAR file")
    return value


def microscope_of(optics: Mapping[str, Any]) -> Microscope:
    """Return the microscope of an optics group; errors as `optics_value`."""
    return Microscope(voltage=optics_value(optics, "rlnVoltage", "kV"),
                      cs=optics_value(optics, "rlnSphericalAberration", "mm", zero=True),
                      amplitude_contrast=optics_value(optics, "rlnAmplitudeContrast", "a fraction", zero=True,
                                                      highest=1.0))
