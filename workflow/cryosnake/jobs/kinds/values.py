"""What a parameter's value must be besides its type and range: functions that say what is wrong, "" if nothing is."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Patterns are compiled by their user: every job imports this
_POINT_GROUP = r"[CD][1-9]\d{0,2}|T|O|I[1-4]?"
_GPUS = r"\d+(,\d+)*(:\d+(,\d+)*)*"
_TURNS = (0, 90, 180, 270, 1, 2, 3)


def even(value: int) -> str:
    """Judge the side of images that are cropped in Fourier space."""
    return f"must be even: {value - 1} or {value + 1}" if value % 2 else ""


def point_group(value: str) -> str:
    """Judge a symmetry of maps."""
    known = re.fullmatch(_POINT_GROUP, value.strip(), re.IGNORECASE)
    if value.strip().upper() == "I5":
        return "is I5, which RELION has no operators for either; turn the map to one of I1 to I4"
    return "" if known else "must be a point group: Cn, Dn, T, O, I, I1, I2, I3 or I4, such as C1 or D2"


def ascending(values: Sequence[float]) -> str:
    """Judge the ends of a range."""
    ordered = ", ".join(f"{value:g}" for value in sorted(values))
    return "" if list(values) == sorted(values) else f"must have the smaller value first: [{ordered}]"


def quarter_turns(value: int) -> str:
    """Judge a rotation of the camera's image."""
    return "" if value in _TURNS else "must be 0, 90, 180 or 270 degrees (or 1, 2, 3 quarter turns)"


def gpu_numbers(value: str) -> str:
    """Judge GPUs in RELION's notation; an empty text stands for all."""
    known = not value or re.fullmatch(_GPUS, value.strip())
    return "" if known else "must be numbers of GPUs, as in 0,1 or, for two ranks, 0,1:2,3"
